//! A strategy up to a session: the run file of the lake, the account replayed from its beginning, what it did in the
//! session written down once.

use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{Money, OrderKind, SessionDate, Symbol, TimeInForce};
use engine::{Event, Record};
use lake::Lake;
use ports::records::Records;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::control::{self, Controlled, Entry};
use super::tables::{self, Cell};
use super::{Outcome, Trouble, What};
use crate::backtest::hex;
use crate::config::RunConfig;
use crate::folder::{self, JOURNAL, MANIFEST};
use crate::layers;

/// Largest difference between a stored signal and what the strategy's own model says.
const SIGNAL_DIFFERENCE_MAX: f64 = 1e-6;

/// What a strategy did in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traded {
    /// Its name.
    pub strategy: String,
    /// The session.
    pub session: SessionDate,
    /// The run that says so.
    pub run_id: String,
    /// Orders that left.
    pub orders: usize,
    /// Orders that a limit stopped.
    pub refused: usize,
    /// Executions.
    pub fills: usize,
    /// At the close.
    pub equity: f64,
    /// Whether it had been written down before; then nothing was written now.
    pub before: bool,
}

/// Names of the lake's strategies, sorted.
///
/// # Errors
/// The lake cannot be read, or a name is none.
pub fn strategies(lake: &Lake) -> Outcome<Vec<String>> {
    let files = lake.list("strategies").context("the strategies").map_err(Trouble::of(What::NotFound))?;
    let mut names = Vec::new();
    for file in files {
        let Some(name) = file.strip_prefix("strategies/").and_then(|name| name.strip_suffix(".toml")) else { continue };
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            let text = format!("`{file}` is no name for a strategy; use at most 64 letters, digits, `-` and `_`");
            return Err(Trouble::new(What::BadInput, text));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The run file of a strategy, up to a session.
///
/// # Errors
/// There is none, or it makes no sense.
pub fn config(lake: &Lake, strategy: &str, session: SessionDate) -> Result<RunConfig> {
    let path = format!("strategies/{strategy}.toml");
    let Some(bytes) = lake.read(&path)? else {
        bail!("the lake has no `{path}`; put the run file of the strategy there")
    };
    let text = std::str::from_utf8(&bytes).with_context(|| format!("`{path}` is not text"))?;
    let table = layers::parse(text).map_err(anyhow::Error::msg).with_context(|| format!("`{path}`"))?;
    let mut config = RunConfig::layered(table, [], &[]).with_context(|| format!("`{path}`"))?;
    config.data.to = Some(session);
    config.data.check().with_context(|| format!("`{path}`"))?;
    Ok(config)
}

/// Where the journal and the report of a strategy's session lie in the lake.
#[must_use]
pub fn report_folder(strategy: &str, session: SessionDate) -> String {
    format!("reports/{strategy}/{session}")
}

fn record_file(table: &str, strategy: &str, session: SessionDate) -> String {
    format!("{table}/{strategy}/{session}.parquet")
}

/// Whether a strategy's session is written down.
///
/// # Errors
/// The lake cannot be read.
pub fn is_recorded(lake: &Lake, strategy: &str, session: SessionDate) -> Outcome<bool> {
    let file = record_file("runs", strategy, session);
    let there = lake.list(&format!("runs/{strategy}")).context("the runs").map_err(Trouble::of(What::TaskFailed))?;
    Ok(there.contains(&file))
}

/// Runs a strategy up to a session and writes down what it did in it.
///
/// # Errors
/// No such strategy, no bars, a model that says other than what was scored, a lake that cannot be written.
pub fn trade(location: &str, records: &dyn Records, strategy: &str, session: SessionDate) -> Outcome<Traded> {
    let entries = control::read(records, strategy)?.entries;
    let done = run(location, entries, strategy, session);
    done.with_context(|| format!("strategy {strategy}, session {session}")).map_err(Trouble::of(What::TaskFailed))
}

fn run(location: &str, entries: Vec<Entry>, strategy: &str, session: SessionDate) -> Result<Traded> {
    let lake = Lake::open(location)?;
    let config = config(&lake, strategy, session)?;
    let config_sha256 = hex(&Sha256::digest(config.canonical()?));
    let run_file = format!("strategies/{strategy}.toml");
    let mut prepared = crate::command::load(config, Path::new(&run_file), location)?;
    let in_force: Vec<String> = entries.iter().map(|one| format!("{} from {}", one.mode, one.from)).collect();
    let control = in_force.join(", ");
    if !control.is_empty() {
        let name = format!("{}; {control}", prepared.facts.name);
        prepared = prepared.named(&name);
    }
    let rule = Controlled::new(prepared.strategy()?, entries);
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let out = scratch.path().join("run");
    folder::backtest(&prepared, rule, &out)?;

    let day = Day::read(&out.join(JOURNAL), session)?;
    if let Some(model) = prepared.config.strategy.model() {
        compare_signals(&lake, model, session, &day)?;
    }
    let facts = &prepared.facts;
    let mut traded = Traded {
        strategy: strategy.to_owned(),
        session,
        run_id: facts.run_id.clone(),
        orders: day.orders.iter().filter(|order| order.refused.is_none()).count(),
        refused: day.orders.iter().filter(|order| order.refused.is_some()).count(),
        fills: day.fills.len(),
        equity: day.equity.to_f64(),
        before: false,
    };
    // What was written down stays, even when data that came later would make it another run.
    if lake.list(&format!("runs/{strategy}"))?.contains(&record_file("runs", strategy, session)) {
        traded.before = true;
        return Ok(traded);
    }
    let read = |name: &str| std::fs::read(out.join(name)).with_context(|| format!("cannot read the run's {name}"));
    let reports = report_folder(strategy, session);
    let mut files =
        vec![(format!("{reports}/{JOURNAL}"), read(JOURNAL)?), (format!("{reports}/{MANIFEST}"), read(MANIFEST)?)];
    let who = Who { strategy, session, run_id: &facts.run_id, symbols: &facts.symbols };
    let summary = vec![
        Cell::Date(session),
        strategy.into(),
        facts.run_id.as_str().into(),
        facts.name.as_str().into(),
        facts.version.as_str().into(),
        day.journal_sha256.as_str().into(),
        facts.input_sha256.as_str().into(),
        config_sha256.as_str().into(),
        control.as_str().into(),
        Cell::Count(traded.fills as u64),
        Cell::Count(traded.orders as u64),
        Cell::Count(traded.refused as u64),
    ];
    let all = [
        ("orders", day.orders.iter().map(|order| order.row(&who)).collect()),
        ("fills", day.fills.iter().map(|fill| fill_row(fill, &who)).collect()),
        ("equity", vec![day.equity_row(&who)]),
        // The last one vouches for the others.
        ("runs", vec![summary]),
    ];
    for (table, rows) in all {
        if !rows.is_empty() {
            files.push((record_file(table, strategy, session), tables::write(table, &rows)?));
        }
    }
    lake.write(&files)?;
    Ok(traded)
}

/// Whose rows they are.
struct Who<'a> {
    strategy: &'a str,
    session: SessionDate,
    run_id: &'a str,
    symbols: &'a [Symbol],
}

impl Who<'_> {
    fn symbol(&self, instrument: domain::InstrumentId) -> Cell {
        self.symbols.get(instrument.index()).map_or(Cell::Nothing, |symbol| symbol.as_str().into())
    }

    fn order_id(&self, order: domain::OrderId) -> Cell {
        Cell::Text(format!("{}-{}", self.strategy, order.0))
    }
}

struct DayOrder {
    order: domain::Order,
    refused: Option<String>,
}

impl DayOrder {
    fn row(&self, who: &Who<'_>) -> Vec<Cell> {
        let order = &self.order;
        let price = |price: domain::Price| Cell::Units(price.units());
        let (kind, limit, stop) = match order.kind {
            OrderKind::Market => ("market", Cell::Nothing, Cell::Nothing),
            OrderKind::Limit { limit } => ("limit", price(limit), Cell::Nothing),
            OrderKind::Stop { stop } => ("stop", Cell::Nothing, price(stop)),
            OrderKind::StopLimit { stop, limit } => ("stop_limit", price(limit), price(stop)),
            OrderKind::TrailingStop { .. } => ("trailing_stop", Cell::Nothing, Cell::Nothing),
            OrderKind::MarketOnOpen => ("market_on_open", Cell::Nothing, Cell::Nothing),
            OrderKind::MarketOnClose => ("market_on_close", Cell::Nothing, Cell::Nothing),
        };
        let time_in_force = match order.time_in_force {
            TimeInForce::Day => "day",
            TimeInForce::GoodTillCancelled => "good_till_cancelled",
        };
        vec![
            Cell::Date(who.session),
            who.strategy.into(),
            who.order_id(order.id),
            who.symbol(order.instrument),
            if order.quantity.signum() < 0 { "sell" } else { "buy" }.into(),
            Cell::Units(order.quantity.abs().units()),
            kind.into(),
            limit,
            stop,
            time_in_force.into(),
            if self.refused.is_some() { "refused" } else { "accepted" }.into(),
            self.refused.as_deref().map_or(Cell::Nothing, Cell::from),
            who.run_id.into(),
        ]
    }
}

fn fill_row(fill: &domain::Fill, who: &Who<'_>) -> Vec<Cell> {
    vec![
        Cell::Date(fill.session),
        who.strategy.into(),
        who.order_id(fill.order),
        who.symbol(fill.instrument),
        Cell::Units(fill.quantity.units()),
        Cell::Units(fill.price.units()),
        Cell::Units(fill.fee.units()),
        who.run_id.into(),
    ]
}

/// What a journal says of its last session.
#[derive(Default)]
struct Day {
    orders: Vec<DayOrder>,
    fills: Vec<domain::Fill>,
    signals: Vec<(Symbol, f64)>,
    cash: Money,
    net: Money,
    gross: Money,
    equity: Money,
    /// Of the session before.
    before: Option<Money>,
    /// The most there ever was.
    peak: Money,
    journal_sha256: String,
}

impl Day {
    fn read(journal: &Path, session: SessionDate) -> Result<Self> {
        let mut reader = journal::open(journal).context("the journal of the run")?;
        let symbols = reader.header().instruments.clone();
        let mut day = Self::default();
        let (mut now, mut closed) = (None, None);
        for entry in reader.by_ref() {
            let entry = entry.context("the journal of the run")?;
            if let Event::SessionOpened(opened) = &entry.event {
                now = Some(opened.date);
            }
            let today = now == Some(session);
            if let (Event::Filled(fill), true) = (&entry.event, today) {
                day.fills.push(*fill);
            }
            for record in entry.records {
                match record {
                    Record::Equity { session, cash, net, gross } => {
                        day.before = closed.is_some().then_some(day.equity);
                        (day.cash, day.net, day.gross) = (cash, net.to_money()?, gross.to_money()?);
                        day.equity = cash.add(day.net)?;
                        day.peak = day.peak.max(day.equity);
                        closed = Some(session);
                    }
                    Record::Ordered(order) if today => day.orders.push(DayOrder { order, refused: None }),
                    Record::Refused(refused) if today => {
                        let reason = Some(refused.reason.to_string());
                        day.orders.push(DayOrder { order: refused.order, refused: reason });
                    }
                    Record::Signal(signal) if today => {
                        let symbol = symbols.get(signal.instrument.index()).cloned();
                        day.signals.extend(symbol.map(|symbol| (symbol, signal.value)));
                    }
                    _ => {}
                }
            }
        }
        day.journal_sha256 = reader.digest().to_string();
        match closed {
            Some(last) if last == session => Ok(day),
            Some(last) => bail!("the lake's last bar of these symbols is of {last}; import the session first"),
            None => bail!("the run has no sessions"),
        }
    }

    fn equity_row(&self, who: &Who<'_>) -> Vec<Cell> {
        let part = |of: Money, whole: Money| (whole.signum() > 0).then(|| of.to_f64() / whole.to_f64() - 1.0);
        let number = |number: Option<f64>| number.map_or(Cell::Nothing, Cell::Number);
        vec![
            Cell::Date(who.session),
            who.strategy.into(),
            Cell::Units(self.cash.units()),
            Cell::Units(self.net.units()),
            Cell::Units(self.gross.units()),
            Cell::Units(self.equity.units()),
            number(self.before.and_then(|before| part(self.equity, before))),
            number(part(self.equity, self.peak)),
            who.run_id.into(),
        ]
    }
}

/// What was scored must be what the strategy's model says: otherwise somebody serves another model than is traded.
fn compare_signals(lake: &Lake, model: &str, session: SessionDate, day: &Day) -> Result<()> {
    let name = model.split('@').next().unwrap_or(model);
    let path = super::score::file(name, session);
    let Some(bytes) = lake.read(&path)? else { return Ok(()) };
    let scored = tables::doubles(bytes.to_vec(), "sym", "value").with_context(|| format!("`{path}`"))?;
    for (symbol, ours) in &day.signals {
        if let Some((_, theirs)) = scored.iter().find(|(scored, _)| scored == symbol.as_str())
            && (theirs - ours).abs() > SIGNAL_DIFFERENCE_MAX
        {
            bail!(
                "`{path}` says {theirs} of {symbol}, and the strategy's own {model} says {ours}: the model that scores \
                 is another one than the strategy's; promote or deploy the same version for both"
            );
        }
    }
    Ok(())
}
