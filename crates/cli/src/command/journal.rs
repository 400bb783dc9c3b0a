//! `algotrading journal`

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use domain::{Calendar, Strategy, Symbol};
use engine::{Cancels, Correction, Engine, Event, Limits, Record};
use journal::{JournalError, Lines, LinesError, Log};
use serde::Serialize;
use trading::feed::warm_up;

use crate::args::{JournalReplay, JournalShow, JournalVerify};
use crate::backtest::Facts;
use crate::config::RunConfig;
use crate::folder::{self, JOURNAL, MANIFEST};
use crate::live::account::Place;
use crate::live::heads::{self, HEADS};
use crate::live::kept::MARKET;
use crate::live::limits;
use crate::live::paper::history_kept;
use crate::origin;
use crate::print::Reply;

/// The journal of a folder, or the file itself.
fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(JOURNAL) } else { path.to_owned() }
}

fn open(path: &Path) -> Result<journal::Reader<BufReader<fs::File>>> {
    let file = file_of(path);
    journal::open(&file).with_context(|| cannot_use(&file))
}

fn cannot_use(journal: &Path) -> String {
    format!("cannot use the journal `{}`", journal.display())
}

#[derive(Debug, Serialize)]
struct Verified {
    journal: PathBuf,
    run_id: String,
    steps: u64,
    sha256: String,
    /// What the journal was held against beside itself.
    against: Vec<String>,
}

pub(super) fn verify(args: &JournalVerify) -> Result<Reply> {
    let file = file_of(&args.path);
    let heads_file = args.heads.clone().unwrap_or_else(|| file.with_file_name(HEADS));
    ensure!(args.heads.is_none() || heads_file.is_file(), "there is no `{}`", heads_file.display());
    let Proof { run_id, steps, sha256, heads, .. } = prove(&file, &heads_file)?;
    let mut against = Vec::new();
    if heads > 0 {
        against.push(format!("{heads} heads in {}", heads_file.display()));
    }
    if let Some(expected) = &args.expect {
        ensure!(*expected == sha256, "the journal ends with {sha256}, and not with {expected}");
        against.push("the hash given".to_owned());
    }
    let answer = Verified { journal: file, run_id, steps, sha256, against };
    if args.json {
        return Reply::json(&answer);
    }
    let against = if answer.against.is_empty() { "nothing but itself".to_owned() } else { answer.against.join(", ") };
    Ok(Reply::ok(format!(
        "{}: run {}, {} steps, each follows the one before\nlast hash {}\nheld against {against}\n",
        answer.journal.display(),
        answer.run_id,
        answer.steps,
        answer.sha256,
    )))
}

/// What a journal that is whole comes to.
pub(super) struct Proof {
    run_id: String,
    steps: u64,
    sha256: String,
    /// How many heads it was held against.
    heads: usize,
    /// Step that closed the last session.
    pub(super) closed: Option<u64>,
}

/// Holds a journal against itself and its heads.
pub(super) fn prove(file: &Path, heads_file: &Path) -> Result<Proof> {
    let mut reader = open(file)?;
    let heads = heads::read(heads_file)?;
    let (mut steps, mut closes, mut closed, mut next) = (0, 0, None, heads.iter().peekable());
    while let Some(entry) = reader.next() {
        if let (Err(JournalError::Torn { line }), Some(head)) = (&entry, heads.last())
            && head.seq >= line - 1
        {
            bail!(
                "line {line} of `{}` is cut off, and `{}` knows of step {}; restore it from a copy",
                file.display(),
                heads_file.display(),
                head.seq
            );
        }
        let entry = entry.with_context(|| cannot_use(file))?;
        steps = entry.seq;
        if entry.event == Event::SessionClosed {
            (closes, closed) = (closes + 1, Some(steps));
        }
        while let Some(head) = next.next_if(|head| head.seq == steps) {
            let sha256 = reader.digest().to_string();
            ensure!(
                head.sha256 == sha256,
                "step {steps} of `{}` is not the one that `{}` has: the journal was written anew",
                file.display(),
                heads_file.display()
            );
        }
    }
    if let Some(head) = next.peek() {
        bail!(
            "`{}` ends with step {steps}, and `{}` knows of step {}: the end was cut off; restore it from a copy",
            file.display(),
            heads_file.display(),
            head.seq
        );
    }
    // A backtest's has none, and one that was fetched from AWS has those of the archive, if there is one.
    if file.with_file_name(MARKET).exists() {
        heads::are_there(&heads, heads_file, closes)?;
    }
    let (run_id, sha256) = (reader.header().run_id.clone(), reader.digest().to_string());
    Ok(Proof { run_id, steps, sha256, heads: heads.len(), closed })
}

pub(super) fn show(args: &JournalShow) -> Result<Reply> {
    let mut reader = open(&args.path)?;
    let symbols = reader.header().instruments.clone();
    let mut lines = Vec::new();
    let mut session = String::new();
    for entry in reader.by_ref() {
        let entry = entry.with_context(|| cannot_use(&file_of(&args.path)))?;
        if let Event::SessionOpened(opened) = &entry.event {
            session = opened.date.to_string();
        }
        if entry.seq < args.from.unwrap_or(0) {
            continue;
        }
        let mut said = Vec::new();
        said.extend(event(&entry.event, &symbols));
        said.extend(entry.records.iter().filter_map(|record| self::record(record, &symbols)));
        if let Some(note) = &entry.note {
            said.push(format!("[{note}]"));
        }
        if !said.is_empty() {
            lines.push(format!("{:>7}  {session}  {}\n", entry.seq, said.join("; ")));
        }
    }
    let skip = args.last.map_or(0, |last| lines.len().saturating_sub(last));
    Ok(Reply::ok(lines[skip..].concat()))
}

fn name(symbols: &[Symbol], instrument: domain::InstrumentId) -> &str {
    symbols.get(instrument.index()).map_or("?", Symbol::as_str)
}

/// What of an event a person wants to read; prices and bars are the market's business.
fn event(event: &Event, symbols: &[Symbol]) -> Option<String> {
    Some(match event {
        Event::Filled(fill) => {
            let symbol = name(symbols, fill.instrument);
            format!("filled {} {symbol} at {}, fee {} (order {:x})", fill.quantity, fill.price, fill.fee, fill.order.0)
        }
        Event::OrderEnded { order, reason } => format!("order {:x} ended: {}", order.0, word(reason)),
        Event::Control(mode) => format!("control: {mode}"),
        Event::Corrected(correction) => format!("put right after the broker: {}", corrected(correction, symbols)),
        Event::Accepted => "corrections accepted".to_owned(),
        Event::Reenabled => "enabled again".to_owned(),
        Event::Feed { instrument, stale } => {
            let symbol = name(symbols, *instrument);
            if *stale { format!("{symbol} is silent") } else { format!("{symbol} is heard of again") }
        }
        Event::Action(action) => format!("{}: {}", name(symbols, action.instrument), word(&action.kind)),
        Event::Borrowed { instrument, amount } => format!("borrowing {} cost {amount}", name(symbols, *instrument)),
        Event::SessionOpened(_) | Event::SessionClosed | Event::Bar(_) | Event::Price { .. } | Event::Clock(_) => {
            return None;
        }
    })
}

fn corrected(correction: &Correction, symbols: &[Symbol]) -> String {
    match correction {
        Correction::Position { instrument, ours, theirs, price } => {
            let symbol = name(symbols, *instrument);
            format!("{symbol}, {ours} here and {theirs} at the broker, the difference valued at {price}")
        }
        Correction::Cash { ours, theirs } => format!("cash, {ours} here and {theirs} at the broker"),
        Correction::Foreign => "something that is not of this run".to_owned(),
    }
}

fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    text.replace(['"', '{', '}'], "").replace(['_', ':'], " ")
}

fn record(record: &Record, symbols: &[Symbol]) -> Option<String> {
    let order = |order: &domain::Order| {
        let side = if order.quantity.signum() < 0 { "sell" } else { "buy" };
        format!(
            "{side} {} {} {} (order {:x})",
            order.quantity.abs(),
            name(symbols, order.instrument),
            order.kind,
            order.id.0
        )
    };
    Some(match record {
        Record::Ordered(sent) => order(sent),
        Record::Refused(refused) => format!("refused to {}: {}", order(&refused.order), refused.reason),
        Record::MarginCall { equity, required } => format!("margin call: equity {equity}, required {required}"),
        Record::Throttled { executions, max } => {
            format!("stopped after {executions} executions without a person ({max} are allowed)")
        }
        Record::FilledLate(late) => format!("order {:x} filled after its end", late.0),
        Record::Equity { cash, net, .. } => format!("cash {cash}, positions {net}"),
        Record::Signal(_) | Record::Target(_) | Record::Ledger(_) | Record::TradeClosed(_) => return None,
    })
}

/// A journal that is only read.
struct ReadOnly(BufReader<fs::File>, PathBuf);

impl Lines for ReadOnly {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line);
        let place = self.1.display().to_string();
        let count =
            read.map_err(|source| LinesError::Failed { doing: "cannot read", place, source: Box::new(source) })?;
        Ok((count > 0 && line.pop() == Some(b'\n')).then_some(line))
    }

    fn append(&mut self, _seq: u64, _line: &[u8]) -> Result<(), LinesError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        Ok(())
    }
}

pub(super) fn replay(args: &JournalReplay) -> Result<Reply> {
    let file = args.folder.join(JOURNAL);
    let place = Place::at(&args.folder);
    let (facts, house, cancels): (Facts, _, _) = match place.account()? {
        Some(account) => {
            let (house, cancels) = (limits::text(&account.limits)?, account.cancels());
            (account.facts, house, cancels)
        }
        None => (folder::facts(&args.folder)?, limits::none(), Cancels::AtOnce),
    };
    // What is empty or no journal at all is said as such, and not begun.
    open(&file)?;
    let table = toml::from_str(&facts.config).with_context(|| format!("the configuration in `{MANIFEST}`"))?;
    let config = RunConfig::layered(table, [], &[])?;
    let inputs = super::inputs(&config, &origin::of(&args.folder)?, &args.lake.lake)?;
    let instruments = facts.symbols.len();
    let mut strategy: Box<dyn Strategy + Send> = config.strategy.build(instruments, inputs)?;
    if let Some(history) = history_kept(&place)? {
        warm_up(&mut strategy, instruments, Calendar::nyse(), &history);
    }
    let limits: Limits = config.risk.and(&house.limits);
    let engine = Engine::new(strategy, facts.cash, instruments, limits);
    let mut engine = engine.at_venue(&facts.symbols, cancels);
    let header = journal::Header {
        journal: journal::VERSION,
        run_id: facts.run_id.clone(),
        instruments: facts.symbols.clone(),
        cash: facts.cash,
    };
    let reader = fs::File::open(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let mut log = Log::open(ReadOnly(BufReader::new(reader), file.clone()), &header)?;
    while let Some(entry) = log.expected() {
        let (event, note) = (entry.event, entry.note.clone());
        let step = engine.step(&event)?;
        log.put(&event, note.as_deref(), step)?;
    }
    Ok(Reply::ok(format!(
        "{} steps of `{}` came out again as they are written\nlast hash {}\n",
        log.seq(),
        file.display(),
        log.digest()
    )))
}
