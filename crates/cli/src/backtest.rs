//! One backtest: market from the lake, rule from the run file, engine and venue, and what came of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use domain::{Calendar, Money, Strategy, Symbol};
use engine::{Engine, Event, Step, Trade};
use journal::{Header, JournalFile};
use lake::{Lake, MarketData};
use models::card::{self, TrainedOn};
use report::run as shown;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use simulator::{Market, Venue};
use strategies::Inputs;

use crate::collect::{Collected, Collector};
use crate::config::RunConfig;
use crate::targets;

/// Everything a run depends on, read and ready.
#[derive(Debug)]
pub struct Prepared {
    /// The run file with its layers.
    pub config: RunConfig,
    /// Bars and actions.
    pub market: Market,
    /// What the rule needs beside its parameters.
    pub inputs: Inputs,
    /// What the reader of a report must know about them.
    pub facts: Facts,
    /// Where the run file lies; none for one that is no file.
    pub run_file: Option<PathBuf>,
}

/// What identifies a run and qualifies its result; `run.json` holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// Hash of configuration, input and version: the same run has the same id on every machine.
    pub run_id: String,
    /// The rule and its parameters in words.
    pub name: String,
    /// Version of this program.
    pub version: String,
    /// What is traded.
    pub symbols: Vec<Symbol>,
    /// Cash at the start.
    pub cash: Money,
    /// Configuration, canonical.
    pub config: String,
    /// Vendor files behind the bars.
    pub inputs: Vec<String>,
    /// Hash of every bar, action and target used.
    pub input_sha256: String,
    /// Risk-free return of one session.
    pub risk_free_per_session: f64,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What a run adds to its facts; `run.json` holds it too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ending {
    /// Hash of the journal's last line.
    pub journal_sha256: String,
    /// Bars whose order of prices decided between two exits, so that the worse was assumed.
    pub ambiguous_bars: u64,
    /// Trades that have not ended.
    pub open_trades: Vec<Trade>,
}

/// Reads the market of a run file.
///
/// # Errors
/// A symbol the lake does not have, no bars between the dates, …: one sentence.
pub fn prepare(config: RunConfig, lake: &Lake, mut inputs: Inputs) -> Result<Prepared> {
    let symbols = &config.data.symbols;
    let data = lake.market(symbols, config.data.from, config.data.to)?;
    if data.bars.is_empty() {
        bail!(
            "the lake has no bars of {} {}; `algotrading data show SYM` shows what it has",
            list(symbols),
            range(&config)
        );
    }
    let missing: Vec<Symbol> = symbols
        .iter()
        .enumerate()
        .filter(|(at, _)| !data.bars.iter().any(|bar| bar.instrument.index() == *at))
        .map(|(_, symbol)| symbol.clone())
        .collect();
    if !missing.is_empty() {
        bail!("the lake has no bars of {} {}; leave it out or change the dates", list(&missing), range(&config));
    }
    targets::carry(&mut inputs.table, &config, lake)?;
    let facts = facts(&config, &data, &inputs)?;
    let MarketData { bars, actions, restated, .. } = data;
    let market = Market::new(Calendar::nyse(), bars, actions, restated)?;
    Ok(Prepared { config, market, inputs, facts, run_file: None })
}

fn list(symbols: &[Symbol]) -> String {
    symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(", ")
}

fn range(config: &RunConfig) -> String {
    match (config.data.from, config.data.to) {
        (None, None) => "at all".to_owned(),
        (Some(from), None) => format!("from {from} on"),
        (None, Some(to)) => format!("up to {to}"),
        (Some(from), Some(to)) => format!("from {from} to {to}"),
    }
}

fn facts(config: &RunConfig, data: &MarketData, inputs: &Inputs) -> Result<Facts> {
    let canonical = config.canonical()?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut input = Sha256::new();
    input.update(&data.sha256);
    for row in &inputs.table {
        input.update(format!("\n{} {} {}", row.session, row.instrument.0, row.target));
    }
    if let Some(model) = &inputs.model {
        input.update(format!("\nmodel {}", card::sha256(&model.card().write()?)));
    }
    let input_sha256 = hex(&input.finalize());
    let run_id = id(&[&version, &input_sha256, &canonical]);
    let mut notes = Vec::new();
    let mut note = |count: u64, text: &str| {
        if count > 0 {
            notes.push(format!("{count} {text}"));
        }
    };
    note(data.late, "bars were first known more than a day and a half after their session and are left out.");
    note(data.restated.len() as u64, "bars were corrected later: decisions saw the first print, fills the correction.");
    note(data.flagged, "bars carry a flag (see `algotrading data show`).");
    note(
        data.backfilled,
        "bars came in a first delivery after the fact; the run assumes they were known when their session closed.",
    );
    notes.extend(targets::notes(&inputs.table, &data.bars));
    match inputs.model.as_ref().map(|model| &model.card().trained_on) {
        Some(Some(TrainedOn { from, to, .. })) => {
            let seen = data.bars.iter().map(|bar| bar.session).filter(|session| session <= to);
            let seen: BTreeSet<_> = seen.collect();
            if !seen.is_empty() {
                notes.push(format!(
                    "The model was trained on sessions from {from} to {to}: {} sessions of this run are in sample, and \
                     nobody could have traded them with it.",
                    seen.len()
                ));
            }
        }
        Some(None) => notes.push(
            "Nobody said on which sessions the model was trained: any part of this run may be in sample.".to_owned(),
        ),
        None => {}
    }
    let needed = config.strategy.bars_needed();
    for (at, symbol) in config.data.symbols.iter().enumerate() {
        let bars = data.bars.iter().filter(|bar| bar.instrument.index() == at).count();
        if bars < needed {
            notes.push(format!(
                "The strategy decides from its bar {needed} on, and {symbol} has only {bars}: it is never traded."
            ));
        }
    }
    Ok(Facts {
        run_id,
        name: describe(config),
        version,
        symbols: config.data.symbols.clone(),
        cash: config.account.cash,
        config: canonical,
        inputs: data.revisions.clone(),
        input_sha256,
        risk_free_per_session: config.metrics.risk_free_per_session,
        notes,
    })
}

/// Sixteen digits that stand for some texts.
pub(crate) fn id(parts: &[&str]) -> String {
    hex(&Sha256::digest(parts.join("\n")))[..16].to_owned()
}

impl Facts {
    /// Whether id, name, symbols and cash are those of the configuration.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        let config = toml::from_str(&self.config).ok().and_then(|table| RunConfig::layered(table, [], &[]).ok());
        let Some(config) = config else { return false };
        let plain = id(&[&self.version, &self.input_sha256, &self.config]);
        let named = self.run_id == plain && self.name == describe(&config) || self.run_id == id(&[&plain, &self.name]);
        named
            && self.symbols == config.data.symbols
            && self.cash == config.account.cash
            && self.risk_free_per_session == config.metrics.risk_free_per_session
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sma 50/200 × 100` and the like.
pub(crate) fn describe(config: &RunConfig) -> String {
    use strategies::StrategyConfig as Rule;
    match &config.strategy {
        Rule::Sma { fast, slow, size } => format!("SMA crossover {fast}/{slow}, {size} shares"),
        Rule::Ema { fast, slow, size } => format!("EMA crossover {fast}/{slow}, {size} shares"),
        Rule::Breakout { period, size, .. } => format!("Breakout of {period} sessions, {size} shares"),
        Rule::Forecast { model, size, .. } => format!("Forecast by model {model}, {size} shares"),
        Rule::Policy { model, size } => format!("Policy by model {model}, {size} shares"),
        Rule::Targets { .. } => "Targets from a table".to_owned(),
    }
}

impl Prepared {
    /// The same data for a strategy of your own: its name stands in the report and counts for the run's id.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.facts.run_id = id(&[&self.facts.run_id, name]);
        self.facts.name = name.to_owned();
        self
    }

    /// The rule of the run file.
    ///
    /// # Errors
    /// Parameters that make no sense.
    pub fn strategy(&self) -> Result<Box<dyn Strategy + Send>> {
        Ok(self.config.strategy.build(self.config.data.symbols.len(), self.inputs.clone())?)
    }

    /// Runs a strategy; every step goes to the observer.
    ///
    /// # Errors
    /// A figure that does not fit its type.
    pub fn simulate<S: Strategy>(
        &self,
        market: &Market,
        strategy: S,
        mut observe: impl FnMut(&Event, &Step),
    ) -> Result<(Vec<Trade>, u64)> {
        let instruments = self.config.data.symbols.len();
        let engine = Engine::new(strategy, self.config.account.cash, instruments, self.config.risk.clone());
        let mut engine = engine.at_venue(&self.config.data.symbols, engine::Cancels::AtOnce);
        let mut venue = Venue::new(self.config.costs, instruments);
        simulator::run(Calendar::nyse(), market, &mut engine, &mut venue, &mut observe)
            .context("the simulation stopped")?;
        Ok((engine.open_trades()?, venue.ambiguous_bars()))
    }

    /// Runs a strategy into a journal and collects what the report shows.
    ///
    /// # Errors
    /// A figure that does not fit its type, or a journal that cannot be written.
    pub fn run<S: Strategy>(&self, strategy: S, journal: &mut JournalFile) -> Result<(Collected, u64, Vec<Trade>)> {
        let mut collector = Collector::new(&self.config.data.symbols);
        let mut failed = None;
        let (open, ambiguous) = self.simulate(&self.market, strategy, |event, step| {
            collector.observe(event, &step.records);
            if failed.is_none() {
                failed = journal.step(event, step).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error).context("cannot write the journal; choose another --out or make room");
        }
        Ok((collector.finish(&open), ambiguous, open))
    }

    /// Runs a strategy without a journal: what a report would show, and its benchmark.
    ///
    /// # Errors
    /// A figure that does not fit its type.
    pub fn collected<S: Strategy>(&self, strategy: S) -> Result<(shown::Run, Vec<f64>)> {
        let mut collector = Collector::new(&self.config.data.symbols);
        let (open_trades, ambiguous_bars) =
            self.simulate(&self.market, strategy, |event, step| collector.observe(event, &step.records))?;
        let ending = Ending { journal_sha256: String::new(), ambiguous_bars, open_trades };
        Ok(shown(&self.facts, &ending, collector.finish(&ending.open_trades)))
    }

    /// First line of the run's journal.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            journal: journal::VERSION,
            run_id: self.facts.run_id.clone(),
            instruments: self.facts.symbols.clone(),
            cash: self.facts.cash,
        }
    }
}

/// What the report shows of a run.
#[must_use]
pub fn shown(facts: &Facts, ending: &Ending, collected: Collected) -> (shown::Run, Vec<f64>) {
    let mut notes = facts.notes.clone();
    if collected.margin_calls > 0 {
        notes.push(format!(
            "Equity fell below the maintenance margin {} times and everything was closed.",
            collected.margin_calls
        ));
    }
    let manifest = shown::Manifest {
        run_id: facts.run_id.clone(),
        name: facts.name.clone(),
        version: facts.version.clone(),
        config: facts.config.clone(),
        inputs: facts
            .inputs
            .iter()
            .map(|revision| shown::Input { name: "vendor file".to_owned(), revision: revision.clone() })
            .collect(),
        input_sha256: facts.input_sha256.clone(),
        started: None,
        synthetic: false,
    };
    let run = shown::Run {
        manifest,
        instruments: collected.instruments,
        equity: collected.equity,
        trades: collected.trades,
        fills: collected.fills,
        refused: collected.refused,
        ambiguous_bars: ending.ambiguous_bars,
        notes,
    };
    (run, collected.benchmark)
}
