//! `train`: a forecast, a policy, or a backtest, from what SageMaker laid out.
//!
//! The state of a training goes to a checkpoint after the first pass, then about once a second, and when the job is told to stop (Spot); the same
//! job finds it again and ends with the same bytes as one that was never stopped. The checkpoint bears the hash of
//! settings and data, so that jobs may share a folder.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use algotrading::args::Cli;
use algotrading::layers::{self, Settings};
use algotrading::serving::told_to_stop;
use anyhow::{Context, Result};
use models::Card;
use models::card::sha256;
use toml::Table;
use training::forecast::config::ForecastConfig;
use training::policy::config::PolicyConfig;
use training::{forecast, policy};

use crate::channels::{self, Data};
use crate::hyperparameters::{self, Asked, Kind};
use crate::paths::{self, Paths};

/// Between two checkpoints.
const PAUSE: Duration = Duration::from_secs(1);

/// As the shell says it of SIGTERM.
const INTERRUPTED: u8 = 143;

pub(crate) fn run(paths: &Paths) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    tokio::spawn({
        let stop = stop.clone();
        async move {
            told_to_stop().await;
            stop.store(true, Ordering::Relaxed);
        }
    });
    let asked = hyperparameters::read(paths)?;
    let data = channels::read(&paths.data())?;
    match asked.kind {
        Kind::Backtest => backtest(paths, &asked, &data),
        Kind::Forecast => train_forecast(paths, &asked, &data, &stop),
        Kind::Policy => train_policy(paths, &asked, &data, &stop),
    }
}

/// Settings from the hyperparameters; all of the data's symbols unless they name some.
fn settings<T: Settings>(asked: &Asked, data: &Data) -> Result<T> {
    layers::layered(Table::new(), layers::environment(), &with_symbols(asked, data)?).context("hyperparameters")
}

fn with_symbols(asked: &Asked, data: &Data) -> Result<Vec<String>> {
    let mut set = asked.set.clone();
    if !set.iter().any(|one| one.starts_with("data.symbols=")) {
        let symbols: Vec<String> = data.lake.symbols()?.into_iter().map(|info| info.symbol.to_string()).collect();
        set.push(format!("data.symbols={}", symbols.join(",")));
    }
    Ok(set)
}

/// A training that can be saved and taken up.
trait Resumable: Sized {
    /// The next pass, and what it came to.
    fn next(&mut self) -> Result<String>;
    fn is_over(&self) -> bool;
    fn passes(&self) -> usize;
    fn state(&self) -> Result<Vec<u8>>;
    fn taken_up(self, state: &[u8]) -> Option<Self>;
}

impl Resumable for forecast::Job {
    fn next(&mut self) -> Result<String> {
        let epoch = self.epoch()?;
        Ok(format!(
            "epoch={} train_loss={:.6} validation_loss={:.6}",
            self.history().len(),
            epoch.train,
            epoch.validation
        ))
    }

    fn is_over(&self) -> bool {
        self.is_done()
    }

    fn passes(&self) -> usize {
        self.history().len()
    }

    fn state(&self) -> Result<Vec<u8>> {
        Ok(self.checkpoint()?)
    }

    fn taken_up(self, state: &[u8]) -> Option<Self> {
        self.resume(state).ok()
    }
}

impl Resumable for policy::Job {
    fn next(&mut self) -> Result<String> {
        let round = self.round()?;
        Ok(format!(
            "round={} reward={:.6} entropy={:.6} turns={:.6} explained={:.6}",
            self.history().len(),
            round.reward,
            round.entropy,
            round.turns,
            round.explained
        ))
    }

    fn is_over(&self) -> bool {
        self.is_done()
    }

    fn passes(&self) -> usize {
        self.history().len()
    }

    fn state(&self) -> Result<Vec<u8>> {
        Ok(self.checkpoint()?)
    }

    fn taken_up(self, state: &[u8]) -> Option<Self> {
        self.resume(state).ok()
    }
}

/// Trains to the end; nothing when it was told to stop before.
fn follow<J: Resumable + Clone>(job: J, name: &str, paths: &Paths, stop: &AtomicBool) -> Result<Option<J>> {
    let file = paths.checkpoint(name);
    let mut job = match std::fs::read(&file) {
        Ok(state) => match job.clone().taken_up(&state) {
            Some(resumed) => {
                println!("resumed after pass {} from `{}`", resumed.passes(), file.display());
                resumed
            }
            None => {
                println!("the checkpoint `{}` cannot be read; starting from the beginning", file.display());
                job
            }
        },
        Err(_) => job,
    };
    let mut saved: Option<Instant> = None;
    while !job.is_over() {
        println!("{}", job.next()?);
        let told = stop.load(Ordering::Relaxed);
        if told || saved.is_none_or(|at| at.elapsed() >= PAUSE) {
            paths::write(&file, &job.state()?)?;
            saved = Some(Instant::now());
        }
        if told {
            println!("told to stop after pass {}; the checkpoint `{}` is kept", job.passes(), file.display());
            return Ok(None);
        }
    }
    Ok(Some(job))
}

/// Stands for settings, data and program: another version may compute otherwise.
fn job_name(kind: &str, config: &str, data: &str) -> String {
    let all = format!("{config}\n{data}\n{}", env!("CARGO_PKG_VERSION"));
    format!("{kind}-{}", &sha256(all.as_bytes())[..16])
}

fn train_forecast(paths: &Paths, asked: &Asked, data: &Data, stop: &AtomicBool) -> Result<ExitCode> {
    let config: ForecastConfig = settings(asked, data)?;
    let prepared = forecast::run::prepare(config, &data.lake)?;
    let name = job_name("forecast", &prepared.config.canonical()?, prepared.digest());
    let Some(job) = follow(prepared.job()?, &name, paths, stop)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    let model = prepared.finish(job)?;
    let page = forecast::report::forecast(&prepared, &model, &data.lake)?;
    leave(paths, &model.card, &model.trained.weights, &page)?;
    print!("{}", forecast::report::verdict(&model.trained));
    Ok(ExitCode::SUCCESS)
}

fn train_policy(paths: &Paths, asked: &Asked, data: &Data, stop: &AtomicBool) -> Result<ExitCode> {
    let config: PolicyConfig = settings(asked, data)?;
    let prepared = policy::run::prepare(config, &data.lake)?;
    let name = job_name("policy", &prepared.config.canonical()?, prepared.digest());
    let Some(job) = follow(prepared.job(), &name, paths, stop)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    let model = prepared.finish(&job, &data.lake)?;
    let page = policy::report::page(&prepared, &model, &data.lake)?;
    leave(paths, &model.card, &model.weights, &page)?;
    print!("{}", policy::report::verdict(&model.judgements));
    Ok(ExitCode::SUCCESS)
}

/// Leaves the model; the card last, because it makes the folder a model.
fn leave(paths: &Paths, card: &Card, weights: &[u8], page: &str) -> Result<()> {
    let folder = paths.model();
    paths::write(&folder.join(&card.weights.file), weights)?;
    paths::write(&folder.join("report.html"), page.as_bytes())?;
    paths::write(&folder.join("model.json"), &card.write()?)?;
    for (name, value) in &card.metrics {
        println!("{name}={value}");
    }
    Ok(())
}

fn backtest(paths: &Paths, asked: &Asked, data: &Data) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("cannot make a folder for the run file")?;
    let file = folder.path().join("hyperparameters.toml");
    std::fs::write(&file, "").with_context(|| format!("cannot write `{}`", file.display()))?;
    let out = paths.model().join("run");
    let mut arguments = vec!["algotrading".into(), "backtest".into(), file.into_os_string(), "--json".into()];
    arguments.extend(["--lake".into(), data.location.clone().into(), "--out".into(), out.into_os_string()]);
    for setting in with_symbols(asked, data)? {
        arguments.extend(["--set".into(), setting.into()]);
    }
    let cli = <Cli as clap::Parser>::try_parse_from(arguments).context("the hyperparameters")?;
    let reply = algotrading::command::run(cli)?;
    let summary: serde_json::Value = serde_json::from_str(&reply.text)?;
    println!("run_id={}", summary["run_id"].as_str().unwrap_or_default());
    for (name, metric) in summary["metrics"].as_object().into_iter().flatten() {
        if let Some(value) = metric["value"].as_f64() {
            println!("{name}={value}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
