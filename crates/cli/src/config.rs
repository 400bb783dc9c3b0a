//! The run file: TOML, layered file < environment < `--set`, with its JSON Schema.
//!
//! Every key may be overridden by an environment variable `ALGOTRADING_SECTION__KEY` and by `--set section.key=value`.
//! A key that nothing knows is an error that names the nearest known one; the schema is the list of known keys.

use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{Money, SessionDate, Symbol};
use engine::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use simulator::Costs;
use strategies::StrategyConfig;
use toml::{Table, Value};

/// A backtest: what is traded, by which rule, with how much money, at which costs, within which limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is traded, and when.
    pub data: Data,
    /// The trading rule.
    pub strategy: StrategyConfig,
    /// The account.
    #[serde(default)]
    pub account: Account,
    /// What trading costs; nothing unless said.
    #[serde(default)]
    pub costs: Costs,
    /// Limits on orders and positions; none but margin unless said.
    #[serde(default)]
    pub risk: Limits,
    /// How results are measured.
    #[serde(default)]
    pub metrics: Measure,
}

/// The `[data]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Symbols to trade, sharing the cash. Within a session they come in this order.
    #[schemars(length(min = 1))]
    pub symbols: Vec<Symbol>,
    /// First date; the first known one unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SessionDate>,
    /// Last date; the last known one unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SessionDate>,
}

/// The `[account]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Cash at the start; 100,000 unless said.
    pub cash: Money,
}

impl Default for Account {
    fn default() -> Self {
        Self { cash: Money::from_units(100_000 * Money::UNITS) }
    }
}

/// The `[metrics]` section.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Measure {
    /// Risk-free return of one session, as a fraction: 0.0001 is about 2.5 % a year.
    pub risk_free_per_session: f64,
}

impl RunConfig {
    /// Reads a run file and puts the layers over it.
    ///
    /// # Errors
    /// One sentence that names the file, the key and what to do.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>, set: &[String]) -> Result<Self> {
        let name = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the run file `{name}`"))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| anyhow::anyhow!("the run file `{name}` is not text; a run file is TOML in UTF-8"))?;
        let table = parse(&text).map_err(|error| anyhow::anyhow!("the run file `{name}` is not TOML: {error}"))?;
        Self::layered(table, environment, set).with_context(|| format!("the run file `{name}`"))
    }

    /// Puts the layers over a table.
    ///
    /// # Errors
    /// One sentence that names the key and what to do.
    pub fn layered(
        mut table: Table,
        environment: impl IntoIterator<Item = (String, String)>,
        set: &[String],
    ) -> Result<Self> {
        let mut variables: Vec<(String, String)> = environment.into_iter().collect();
        variables.sort();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("ALGOTRADING_").filter(|rest| rest.contains("__")) else { continue };
            let key = key.to_ascii_lowercase().replace("__", ".");
            put(&mut table, &key, &value).with_context(|| format!("the environment variable {name}"))?;
        }
        for setting in set {
            let Some((key, value)) = setting.split_once('=') else {
                bail!("`--set {setting}` has no `=`; write --set section.key=value");
            };
            put(&mut table, key.trim(), value).with_context(|| format!("`--set {setting}`"))?;
        }
        known_keys(&table, &schema(), "")?;
        let config: Self = serde_path_to_error::deserialize(Value::Table(plain_dates(table))).map_err(|error| {
            let at = error.path().to_string();
            let reason = one_line(&error.into_inner().to_string());
            if at == "." { anyhow::anyhow!("{reason}") } else { anyhow::anyhow!("{at}: {reason}") }
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        if self.data.symbols.is_empty() {
            bail!("data.symbols is empty; name at least one symbol");
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.data.symbols.iter().find(|symbol| !seen.insert(*symbol)) {
            bail!("data.symbols names {twice} twice; name each symbol once");
        }
        if let (Some(from), Some(to)) = (self.data.from, self.data.to)
            && from > to
        {
            bail!("data.from ({from}) is after data.to ({to})");
        }
        if self.account.cash.signum() <= 0 {
            bail!("account.cash must be more than 0");
        }
        let not_negative = [
            ("costs.commission_per_share", self.costs.commission_per_share.to_f64()),
            ("costs.commission_bps", self.costs.commission_bps),
            ("costs.commission_min", self.costs.commission_min.to_f64()),
            ("costs.slippage_bps", self.costs.slippage_bps),
            ("costs.spread_bps", self.costs.spread_bps),
            ("costs.volume_impact_bps", self.costs.volume_impact_bps),
            ("costs.borrow_bps", self.costs.borrow_bps),
            ("risk.price_collar_bps", self.risk.price_collar_bps.unwrap_or(0.0)),
            ("risk.margin.initial_long", self.risk.margin.initial_long),
            ("risk.margin.initial_short", self.risk.margin.initial_short),
            ("risk.margin.maintenance", self.risk.margin.maintenance),
        ];
        if let Some((key, value)) = not_negative.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            bail!("{key} is {value}; it must be 0 or more");
        }
        if self.costs.slippage_bps + self.costs.spread_bps / 2.0 + self.costs.volume_impact_bps >= 10_000.0 {
            bail!(
                "costs.slippage_bps, half of costs.spread_bps and costs.volume_impact_bps together must be below 10000"
            );
        }
        if self.costs.volume_share_max.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            bail!("costs.volume_share_max must be above 0 and at most 1");
        }
        if !self.metrics.risk_free_per_session.is_finite() {
            bail!("metrics.risk_free_per_session must be a number such as 0.0001");
        }
        // Its own checks of periods and sizes.
        self.strategy.build(0, Vec::new())?;
        Ok(())
    }

    /// The one text of this configuration, whatever way it was written: it decides the run id.
    ///
    /// # Errors
    /// Never for a configuration that was loaded.
    pub fn canonical(&self) -> Result<String> {
        toml::to_string(self).context("cannot write the configuration as TOML")
    }
}

/// The JSON Schema of the run file.
#[must_use]
pub fn schema() -> serde_json::Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<RunConfig>();
    schema.insert("title".into(), "A run file of algotrading".into());
    schema.to_value()
}

fn parse(text: &str) -> Result<Table, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("line {line}: {}", one_line(error.message()))
    })
}

/// Sets one key; the value is TOML where it can be read so, and text otherwise.
fn put(table: &mut Table, key: &str, value: &str) -> Result<()> {
    let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let parts: Vec<&str> = key.split('.').collect();
    let [sections @ .., last] = parts.as_slice() else { bail!("the key is empty; write section.key=value") };
    if sections.is_empty() || parts.iter().any(|part| part.is_empty()) {
        bail!("`{key}` is not section.key");
    }
    let mut place = table;
    for section in sections {
        let entry = place.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = entry else { bail!("`{section}` is not a section") };
        place = inner;
    }
    // A list given without brackets: data.symbols=AAPL,IBM.
    let value = match (key, value) {
        ("data.symbols", Value::String(names)) => {
            Value::Array(names.split(',').map(|name| Value::String(name.trim().to_owned())).collect())
        }
        (_, value) => value,
    };
    place.insert((*last).to_owned(), value);
    Ok(())
}

/// TOML has dates of its own; ours are text.
fn plain_dates(table: Table) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Datetime(date) => Value::String(date.to_string()),
                Value::Table(inner) => Value::Table(plain_dates(inner)),
                other => other,
            };
            (key, value)
        })
        .collect()
}

/// Walks a table along its schema and names the first key that is not there.
fn known_keys(table: &Table, schema: &serde_json::Value, path: &str) -> Result<()> {
    let schema = match schema.get("oneOf").and_then(|variants| variants.as_array()) {
        None => schema,
        Some(variants) => {
            let names: Vec<&str> =
                variants.iter().filter_map(|one| one["properties"]["name"]["const"].as_str()).collect();
            let Some(name) = table.get("name") else {
                bail!("{path}name is missing; choose one of {}", names.join(", "));
            };
            let name = name.as_str().unwrap_or_default();
            match variants.iter().find(|one| one["properties"]["name"]["const"] == name) {
                Some(variant) => variant,
                None => bail!("{path}name = \"{name}\" is not known{}", suggestion(name, &names)),
            }
        }
    };
    let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) else {
        return Ok(());
    };
    for (key, value) in table {
        let Some(inner) = properties.get(key) else {
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            let what = if path.is_empty() { "section" } else { "key" };
            bail!("the {what} `{path}{key}` is not known{}", suggestion(key, &names));
        };
        if let Value::Table(table) = value {
            known_keys(table, inner, &format!("{path}{key}."))?;
        }
    }
    Ok(())
}

/// `; did you mean ...?` where something is near, and the whole choice otherwise.
pub(crate) fn suggestion(wrong: &str, known: &[&str]) -> String {
    let near = known.iter().max_by(|a, b| {
        strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)).then_with(|| b.cmp(a))
    });
    match near.filter(|name| strsim::jaro_winkler(wrong, name) > 0.7) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; known are {}", known.join(", ")),
    }
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"
        [data]
        symbols = ["AAPL"]
        from = 2000-01-03
        [strategy]
        name = "sma"
        fast = 50
        slow = 200
        size = 100
        [costs]
        commission_per_share = 0.005
    "#;

    fn load(extra: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<RunConfig, String> {
        let table = parse(&format!("{RUN}{extra}"))?;
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        RunConfig::layered(table, environment, &set).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn set_goes_over_the_environment_and_that_over_the_file() {
        let environment = [("ALGOTRADING_ACCOUNT__CASH", "5000"), ("ALGOTRADING_STRATEGY__FAST", "20")];
        let config = load("[account]\ncash = 1\n", &environment, &["strategy.fast=10", "data.to=2001-01-02"]).unwrap();
        assert_eq!(config.account.cash, Money::parse("5000").unwrap());
        assert!(matches!(config.strategy, StrategyConfig::Sma { fast: 10, slow: 200, .. }));
        assert_eq!(config.data.to, SessionDate::from_ymd(2001, 1, 2));
        assert_eq!(config.costs.commission_per_share.to_string(), "0.005");
        assert_eq!(load("", &[], &["data.symbols=IBM, FB"]).unwrap().data.symbols.len(), 2);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let wrong = |set: &str| load("", &[], &[set]).unwrap_err();
        assert_eq!(
            wrong("costs.comission_bps=1"),
            "the key `costs.comission_bps` is not known; did you mean `commission_bps`?"
        );
        assert_eq!(wrong("strategy.fats=1"), "the key `strategy.fats` is not known; did you mean `fast`?");
        assert_eq!(wrong("cost.spread_bps=1"), "the section `cost` is not known; did you mean `costs`?");
        assert_eq!(wrong("strategy.name=emma"), "strategy.name = \"emma\" is not known; did you mean `ema`?");
        assert_eq!(
            wrong("risk.margin.initial_lon=1"),
            "the key `risk.margin.initial_lon` is not known; did you mean `initial_long`?"
        );
        assert!(load("", &[("ALGOTRADING_RISK__ORDER", "1")], &[]).unwrap_err().contains("risk.order"));
        // Not ours to judge.
        assert!(load("", &[("ALGOTRADING_BIN", "x"), ("HOME", "/")], &[]).is_ok());
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_its_key() {
        let wrong = |set: &str| load("", &[], &[set]).unwrap_err();
        assert!(wrong("account.cash=lots").starts_with("account.cash: "), "{}", wrong("account.cash=lots"));
        assert!(wrong("account.cash=0").contains("more than 0"));
        assert!(wrong("strategy.fast=300").contains("smaller than strategy.slow"));
        assert!(wrong("strategy.size=-5").contains("strategy.size"));
        assert!(wrong("data.to=1999-01-01").contains("is after"));
        assert!(wrong("costs.slippage_bps=-1").contains("0 or more"));
        assert!(wrong("costs.slippage_bps=20000").contains("below 10000"));
        assert!(wrong("costs.volume_share_max=2").contains("at most 1"));
        assert!(wrong("data.symbols=[]").contains("at least one"));
        assert!(wrong("data.symbols=AAPL,AAPL").contains("twice"));
        assert!(wrong("nonsense").contains("no `=`"));
        assert!(wrong("cash=3").contains("not section.key"));
    }

    #[test]
    fn malformed_toml_is_told_with_its_line() {
        assert!(load("[account\n", &[], &[]).unwrap_err().starts_with("line "), "{:?}", load("[account\n", &[], &[]));
    }

    #[test]
    fn the_canonical_text_does_not_depend_on_how_it_was_written() {
        let one = load("", &[], &[]).unwrap().canonical().unwrap();
        let other =
            load("[account]\ncash = \"100000.00\"\n", &[], &["costs.commission_per_share=\"0.00500\""]).unwrap();
        assert_eq!(one, other.canonical().unwrap());
        let again = RunConfig::layered(parse(&one).unwrap(), [], &[]).unwrap();
        assert_eq!(again.canonical().unwrap(), one);
    }
}
