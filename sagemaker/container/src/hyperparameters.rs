//! What a job is asked for: `hyperparameters.json`, a list of texts.
//!
//! A name with a dot is a key of the training file or run file, `training.epochs`; `kind` chooses what is trained, and
//! `strategy` asks for a backtest instead. Names that SageMaker's own tools add are left alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Forecast,
    Policy,
    Backtest,
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    /// `section.key=value`, as `--set` takes them.
    pub(crate) set: Vec<String>,
}

pub(crate) fn read(paths: &Paths) -> Result<Asked> {
    alone(paths)?;
    let path = paths.config("hyperparameters.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let all: BTreeMap<String, String> = serde_json::from_slice(&bytes).with_context(|| {
        format!("`{}` must be one JSON object whose values are all text, as SageMaker writes it", path.display())
    })?;
    understand(all)
}

fn understand(all: BTreeMap<String, String>) -> Result<Asked> {
    let mut kind = None;
    let mut set = Vec::new();
    for (name, value) in all {
        // SageMaker's Python package writes texts as JSON.
        let plain = value.trim().trim_matches('"');
        match name.as_str() {
            "strategy" if kind.is_some() => {
                bail!("the hyperparameter strategy asks for a backtest, and kind for a training; leave one out")
            }
            "strategy" => {
                kind = Some(Kind::Backtest);
                set.push(format!("strategy.name=\"{plain}\""));
            }
            // The names come sorted: no strategy stands before it.
            "kind" => {
                kind = Some(match plain {
                    "forecast" => Kind::Forecast,
                    "policy" => Kind::Policy,
                    _ => bail!("the hyperparameter kind is \"{plain}\"; it must be forecast or policy"),
                });
            }
            _ if name.starts_with("sagemaker_") || name.starts_with('_') => {}
            _ if name.contains('.') => set.push(format!("{name}={value}")),
            _ => bail!(
                "the hyperparameter `{name}` is not known; give kind, strategy, or a key of the training file such as \
                 training.seed"
            ),
        }
    }
    Ok(Asked { kind: kind.unwrap_or(Kind::Forecast), set })
}

/// One instance trains; several would each do the same.
fn alone(paths: &Paths) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Resources {
        #[serde(default)]
        hosts: Vec<String>,
    }
    let path = paths.config("resourceconfig.json");
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let resources: Resources = serde_json::from_slice(&bytes).with_context(|| format!("`{}`", path.display()))?;
    if resources.hosts.len() > 1 {
        bail!("the job has {} instances, and this trains on one; set InstanceCount to 1", resources.hosts.len());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(all: &[(&str, &str)]) -> Result<Asked, String> {
        let all = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        understand(all).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_become_settings_and_the_tools_own_are_left_alone() {
        let found = asked(&[
            ("kind", "\"policy\""),
            ("training.seed", "7"),
            ("data.symbols", "[\"IBM\"]"),
            ("sagemaker_region", "x"),
            ("_tuning_objective_metric", "validation_loss"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.kind, Kind::Policy);
        assert_eq!(found.set, ["data.symbols=[\"IBM\"]", "training.seed=7"]);
    }

    #[test]
    fn a_strategy_asks_for_a_backtest() {
        let found = asked(&[("strategy", "sma"), ("strategy.fast", "50")]).unwrap();
        assert_eq!((found.kind, found.set.len()), (Kind::Backtest, 2));
        assert!(asked(&[("strategy", "sma"), ("kind", "policy")]).unwrap_err().contains("leave one out"));
        assert!(asked(&[("epochs", "3")]).unwrap_err().contains("`epochs` is not known"));
        assert!(asked(&[("kind", "tree")]).unwrap_err().contains("forecast or policy"));
    }
}
