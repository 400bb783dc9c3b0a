//! The run file of a backtest.

use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{Money, Quantity, SessionDate, Symbol};
use engine::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use simulator::Costs;
use strategies::StrategyConfig;
use toml::Table;

use crate::layers::{self, Settings};

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

impl Data {
    /// Whether symbols and dates make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<()> {
        if self.symbols.is_empty() {
            bail!("data.symbols is empty; name at least one symbol");
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.symbols.iter().find(|symbol| !seen.insert(*symbol)) {
            bail!("data.symbols names {twice} twice; name each symbol once");
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            bail!("data.from ({from}) is after data.to ({to})");
        }
        Ok(())
    }
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
        layers::load(path, environment, set)
    }

    /// Puts the layers over a table.
    ///
    /// # Errors
    /// One sentence that names the key and what to do.
    pub fn layered(
        table: Table,
        environment: impl IntoIterator<Item = (String, String)>,
        set: &[String],
    ) -> Result<Self> {
        layers::layered(table, environment, set)
    }

    /// The one text of this configuration, whatever way it was written: it decides the run id.
    ///
    /// # Errors
    /// Never for a configuration that was loaded.
    pub fn canonical(&self) -> Result<String> {
        toml::to_string(self).context("cannot write the configuration as TOML")
    }
}

/// Whether cash, costs and limits make sense.
///
/// # Errors
/// The first that does not.
pub fn check_money(account: &Account, costs: &Costs, risk: &Limits) -> Result<()> {
    if account.cash.signum() <= 0 {
        bail!("account.cash must be more than 0");
    }
    // What may be at most: no broker charges more than the value traded, nor lends shares at 100 times it a year.
    let ranges = [
        ("commission_per_share", costs.commission_per_share.to_f64(), f64::MAX),
        ("commission_bps", costs.commission_bps, 10_000.0),
        ("commission_min", costs.commission_min.to_f64(), f64::MAX),
        ("slippage_bps", costs.slippage_bps, f64::MAX),
        ("spread_bps", costs.spread_bps, f64::MAX),
        ("volume_impact_bps", costs.volume_impact_bps, f64::MAX),
        ("borrow_bps", costs.borrow_bps, 1_000_000.0),
    ];
    in_range("costs", &ranges)?;
    check_limits("risk", risk)?;
    if costs.slippage_bps + costs.spread_bps / 2.0 + costs.volume_impact_bps >= 10_000.0 {
        bail!("costs.slippage_bps, half of costs.spread_bps and costs.volume_impact_bps together must be below 10000");
    }
    if costs.volume_share_max.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        bail!("costs.volume_share_max must be above 0 and at most 1");
    }
    Ok(())
}

/// Whether each is a number from 0 to its most: a limit that is none is never reached.
fn in_range(section: &str, ranges: &[(&str, f64, f64)]) -> Result<()> {
    for (key, value, most) in ranges {
        if !value.is_finite() {
            bail!("{section}.{key} is {value}; it must be a number such as 2 or 0.5");
        }
        if *value < 0.0 {
            bail!("{section}.{key} is {value}; it must be 0 or more");
        }
        if value > most {
            bail!("{section}.{key} is {value}; it must be at most {most}");
        }
    }
    Ok(())
}

/// Whether limits make sense; `section` is what they are called where they stand.
///
/// # Errors
/// The first that does not.
pub fn check_limits(section: &str, limits: &Limits) -> Result<()> {
    let shares = |limit: Option<Quantity>| limit.map_or(0.0, Quantity::to_f64);
    let money = |limit: Option<Money>| limit.map_or(0.0, Money::to_f64);
    let margin = limits.margin;
    let ranges = [
        ("price_collar_bps", limits.price_collar_bps.unwrap_or(0.0), f64::MAX),
        ("order_quantity_max", shares(limits.order_quantity_max), f64::MAX),
        ("order_notional_max", money(limits.order_notional_max), f64::MAX),
        ("position_quantity_max", shares(limits.position_quantity_max), f64::MAX),
        ("position_notional_max", money(limits.position_notional_max), f64::MAX),
        ("gross_notional_max", money(limits.gross_notional_max), f64::MAX),
        ("net_notional_max", money(limits.net_notional_max), f64::MAX),
        ("daily_loss_max", money(limits.daily_loss_max), f64::MAX),
        ("drawdown_max", limits.drawdown_max.unwrap_or(0.0), 1.0),
        ("margin.initial_long", margin.initial_long, 100.0),
        ("margin.initial_short", margin.initial_short, 100.0),
        ("margin.maintenance", margin.maintenance, 100.0),
    ];
    in_range(section, &ranges)?;
    // The first execution has happened before any is counted.
    if limits.repeated_executions_max == Some(0) {
        bail!("{section}.repeated_executions_max is 0; it must be 1 or more, or be left out");
    }
    let initial = margin.initial_long.min(margin.initial_short);
    if margin.maintenance > initial {
        bail!(
            "{section}.margin.maintenance is {}, more than the {initial} that opens a position, which would be closed \
                 again at once; make it smaller",
            margin.maintenance
        );
    }
    Ok(())
}

impl Settings for RunConfig {
    const TITLE: &'static str = "A run file of algotrading";
    const VERB: &'static str = "backtest";

    fn check(&self) -> Result<()> {
        self.data.check()?;
        check_money(&self.account, &self.costs, &self.risk)?;
        let rate = self.metrics.risk_free_per_session;
        if rate.abs() > 0.01 {
            bail!(
                "metrics.risk_free_per_session is {rate}; it is the return of one session, at most 0.01 (0.0001 is \
                 about 2.5 % a year)"
            );
        }
        Ok(self.strategy.check()?)
    }
}

/// The JSON Schema of the run file.
#[must_use]
pub fn schema() -> serde_json::Value {
    layers::schema::<RunConfig>()
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;
    use crate::layers::parse;

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
    fn a_value_of_another_kind_is_named_with_its_key_and_what_it_must_be() {
        let wrong = |set: &str| load("", &[], &[set]).unwrap_err();
        assert_eq!(wrong("strategy.fast=-1"), "strategy.fast is -1; it must be a whole number, 0 or more");
        assert_eq!(wrong("strategy.fast=1.5"), "strategy.fast is 1.5; it must be a whole number, 0 or more");
        assert_eq!(
            wrong("risk.orders_per_session_max=4294967296"),
            "risk.orders_per_session_max is 4294967296; it must be a whole number, 0 or more"
        );
        assert_eq!(wrong("account.cash=lots"), "account.cash is \"lots\"; it must be a number such as 1000 or 0.005");
        assert_eq!(wrong("account.cash=inf"), "account.cash is inf; it must be a number such as 1000 or 0.005");
        assert_eq!(wrong("costs.spread_bps=[1]"), "costs.spread_bps is [1]; it must be a number such as 2 or 0.5");
        assert_eq!(wrong("data.from=2012-13-01"), "data.from is \"2012-13-01\"; it must be a date such as 2012-12-31");
        assert_eq!(wrong("data.symbols=[5]"), "data.symbols[0] is 5; it must be text in quotes");
        assert_eq!(wrong("data.symbols=5"), "data.symbols is 5; it must be a list in brackets");
        assert_eq!(
            wrong("strategy.name=5"),
            "strategy.name is 5; choose one of sma, ema, breakout, forecast, policy, targets"
        );
        assert_eq!(wrong("risk.margin=1"), "risk.margin is 1; it must be a section, [risk.margin]");
        let table = |text: &str| RunConfig::layered(parse(text).unwrap(), [], &[]).unwrap_err().to_string();
        assert_eq!(table("strategy = 5"), "strategy is 5; it must be a section, [strategy]");
        assert!(table("").starts_with("the section `data` is missing (What is traded, and when);"));
        assert!(
            table("data.symbols = \"IBM\"\n[strategy]\nname = \"sma\"\nfast = 1")
                .starts_with("the key `strategy.slow` is missing (Sessions of the slow average);")
        );
        let channel = "data.symbols = \"IBM\"\n[strategy]\nname = \"breakout\"\nperiod = 9\nsize = 1\nchannel = ";
        assert_eq!(
            table(&format!("{channel}\"high\"")),
            "strategy.channel = \"high\" is not known; did you mean `high_low`?"
        );
        assert_eq!(table(&format!("{channel}5")), "strategy.channel is 5; choose one of close, high_low");
    }

    #[test]
    fn a_variable_with_one_underscore_too_few_is_named() {
        let wrong = |name: &str| load("", &[(name, "1")], &[]).unwrap_err();
        assert!(wrong("ALGOTRADING_STRATEGY_FAST").ends_with("write ALGOTRADING_STRATEGY__FAST"));
        assert!(
            wrong("ALGOTRADING_RISK_MARGIN_INITIAL_LONG").ends_with("write ALGOTRADING_RISK__MARGIN__INITIAL_LONG")
        );
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_its_key() {
        let wrong = |set: &str| load("", &[], &[set]).unwrap_err();
        assert!(wrong("account.cash=0").contains("more than 0"));
        assert!(wrong("account.cash=1e300").starts_with("account.cash: "), "{}", wrong("account.cash=1e300"));
        assert!(wrong("strategy.fast=300").contains("smaller than strategy.slow"));
        assert!(wrong("strategy.size=-5").contains("strategy.size"));
        assert!(wrong("data.to=1999-01-01").contains("is after"));
        assert!(wrong("costs.slippage_bps=-1").contains("0 or more"));
        assert!(wrong("costs.slippage_bps=20000").contains("below 10000"));
        assert_eq!(wrong("costs.borrow_bps=1e12"), "costs.borrow_bps is 1000000000000; it must be at most 1000000");
        assert!(wrong("costs.volume_share_max=2").contains("at most 1"));
        assert_eq!(wrong("risk.order_quantity_max=-1"), "risk.order_quantity_max is -1; it must be 0 or more");
        assert_eq!(wrong("risk.gross_notional_max=-0.5"), "risk.gross_notional_max is -0.5; it must be 0 or more");
        assert_eq!(
            wrong("risk.repeated_executions_max=0"),
            "risk.repeated_executions_max is 0; it must be 1 or more, or be left out"
        );
        assert!(wrong("risk.margin.maintenance=0.6").contains("more than the 0.5 that opens a position"));
        assert!(wrong("metrics.risk_free_per_session=0.05").contains("at most 0.01"));
        assert!(wrong("data.symbols=[]").contains("at least one"));
        assert!(wrong("data.symbols=AAPL,AAPL").contains("twice"));
        assert!(wrong("nonsense").contains("no `=`"));
        for set in ["cash=3", "=5", ".cash=5"] {
            assert!(wrong(set).contains("is not a key; write section.key=value"), "{}", wrong(set));
        }
    }

    /// A key of the schema with a value of its type: as a layer has it in text, and as the canonical text has it.
    fn samples(schema: &serde_json::Value, path: &str, found: &mut Vec<(String, Option<String>, String, Value)>) {
        let variants = schema["oneOf"].as_array().into_iter().flatten();
        for section in variants.chain([schema]).filter(|section| section["properties"].is_object()) {
            let name = section["properties"]["name"]["const"].as_str().map(str::to_owned);
            for (key, inner) in section["properties"].as_object().unwrap() {
                let path = format!("{path}{key}");
                let is = |kind: &str| {
                    inner["type"] == kind || inner["type"].as_array().is_some_and(|all| all.contains(&kind.into()))
                };
                let text = |text: &str| (text.to_owned(), Value::from(text));
                let choice =
                    inner["oneOf"].as_array().and_then(|all| all.last()).and_then(|last| last["const"].as_str());
                let (said, meant) = match path.as_str() {
                    "strategy.slow" => ("300".to_owned(), Value::from(300)),
                    "risk.margin.initial_long" | "risk.margin.initial_short" => ("0.75".to_owned(), Value::from(0.75)),
                    _ if inner["const"].is_string() => text(inner["const"].as_str().unwrap()),
                    _ if choice.is_some() => text(choice.unwrap()),
                    _ if is("object") || inner.get("oneOf").is_some() => {
                        samples(inner, &format!("{path}."), found);
                        continue;
                    }
                    _ if is("array") => (r#"["GME"]"#.to_owned(), vec!["GME"].into()),
                    _ if is("boolean") => ("true".to_owned(), true.into()),
                    _ if is("integer") => ("7".to_owned(), 7.into()),
                    _ if is("number") && is("string") => ("12.5".to_owned(), "12.5".into()),
                    _ if is("number") => ("0.005".to_owned(), 0.005.into()),
                    _ if inner["format"] == "date" => text("2001-02-05"),
                    _ => text("some.csv"),
                };
                found.push((path, name.clone(), said, meant));
            }
        }
    }

    #[test]
    fn every_key_with_a_value_of_its_type_is_taken_from_file_environment_and_set() {
        let mut found = Vec::new();
        samples(&schema(), "", &mut found);
        assert!(found.len() > 40, "{found:?}");
        for (key, rule, said, meant) in found {
            let rule = rule.unwrap_or_else(|| "sma".to_owned());
            let needed = match rule.as_str() {
                "sma" | "ema" => "fast = 50\nslow = 200\nsize = 100\n",
                "breakout" => "period = 20\nsize = 100\n",
                "forecast" | "policy" => "model = \"some\"\n",
                _ => "",
            };
            let base = format!("[data]\nsymbols = [\"AAPL\"]\n[strategy]\nname = \"{rule}\"\n{needed}");
            let quoted =
                if meant.is_str() && meant.as_str() != Some("12.5") { format!("\"{said}\"") } else { said.clone() };
            let mut file = parse(&base).unwrap();
            let mut place = &mut file;
            let (sections, last) = key.rsplit_once('.').unwrap();
            for section in sections.split('.') {
                place = place.entry(section).or_insert_with(|| Value::Table(Table::new())).as_table_mut().unwrap();
            }
            place.extend(parse(&format!("{last} = {quoted}")).unwrap());
            let name = format!("ALGOTRADING_{}", key.replace('.', "__").to_ascii_uppercase());
            let base = || parse(&base).unwrap();
            let ways = [
                ("file", RunConfig::layered(file, [], &[])),
                ("environment", RunConfig::layered(base(), [(name, said.clone())], &[])),
                ("--set", RunConfig::layered(base(), [], &[format!("{key}={said}")])),
            ];
            for (way, config) in ways {
                let config = config.unwrap_or_else(|error| panic!("{rule}: {key} by {way}: {error:#}"));
                let canonical = Value::Table(parse(&config.canonical().unwrap()).unwrap());
                let taken = key.split('.').fold(&canonical, |place, part| &place[part]);
                assert_eq!(*taken, meant, "{rule}: {key} by {way}");
            }
        }
        // Names may be one text, as symbols may.
        let restricted = load("", &[("ALGOTRADING_RISK__RESTRICTED", "GME, FB")], &[]).unwrap().risk.restricted;
        assert_eq!(restricted.iter().map(Symbol::as_str).collect::<Vec<_>>(), ["GME", "FB"]);
        assert_eq!(
            load("", &[], &["risk.no_self_trade=yes"]).unwrap_err(),
            "risk.no_self_trade is \"yes\"; it must be true or false"
        );
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
