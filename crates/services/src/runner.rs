//! The runner: the live loop of one strategy, its journal in a table, its broker behind queues.
//!
//! Control records are obeyed before anything else, and while they cannot be read nothing is traded. Where the broker is
//! its own market it is told of an event only when nothing is on its way any more, so that the journal is that of one
//! process, byte for byte.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use algotrading::config::RunConfig;
use algotrading::eod::control;
use algotrading::live::account::{Account, begin};
use algotrading::live::feeds;
use algotrading::live::paper::gate;
use algotrading::live::requests::{Ask, Obeyed};
use anyhow::{Context, Result, bail};
use domain::{Calendar, Money, SessionDate, Strategy};
use engine::{Cancels, Engine, Event, Mode};
use journal::Log;
use ports::archive::Archive;
use ports::queue::Queue;
use ports::stream::Stream;
use serde_json::json;
use trading::remote::{Patience, RemoteBroker};
use trading::tape::Numbered;
use trading::{Books, Desk, Market, Trader};

use crate::Here;
use crate::past;
use crate::post::Post;
use crate::table::{Keeper, Table, TableLines, now_ms};
use crate::wire::Wire;

/// What a runner leaves in the records about itself.
pub const LIVE: &str = "live";
/// How often it does.
const SHOW_MS: i64 = 1_000;
/// How often it looks for what it is told.
const OBEY_MS: i64 = 500;

/// What it works with.
pub struct Ports<'a> {
    /// Requests go there.
    pub orders: &'a dyn Queue,
    /// Answers come from here.
    pub executions: &'a dyn Queue,
    /// Prices.
    pub stream: &'a dyn Stream,
    /// The journal.
    pub table: Table,
    /// Where its finished parts are kept.
    pub archive: Option<&'a dyn Archive>,
    /// A name that no other process has.
    pub owner: String,
    /// Difference in cash to the broker's that counts as none.
    pub tolerance: Money,
    /// Longest silence of an instrument inside a session before nothing new is begun in it.
    pub silence: Duration,
}

impl std::fmt::Debug for Ports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// What the journal's steps say about how far it has come.
#[derive(Debug, Default)]
struct Seen {
    seq: u64,
    /// Numbers of the last steps of sessions that are not archived.
    closed: Vec<u64>,
}

type Running<'a> = Trader<Box<dyn Strategy + Send>, RemoteBroker<Post<'a>>, TableLines>;

struct Runner<'r, 'a> {
    here: &'r Here<'a>,
    ports: &'r Ports<'a>,
    keeper: Keeper,
    account: Account,
    own_market: bool,
    seen: Arc<Mutex<Seen>>,
    obeyed: Obeyed,
    /// Of requests that make no sense, what was said.
    said: BTreeSet<String>,
    archived: u64,
    /// When it last read what it is told.
    read: i64,
    shown: i64,
    /// Differences to the broker's books that have been told.
    differences: usize,
}

/// Trades until it is told to stop.
///
/// # Errors
/// Another runner has the journal, the journal cannot be kept, replaying it came to something else, or the market stream
/// breaks off.
pub fn run(here: &Here<'_>, ports: &Ports<'_>) -> Result<()> {
    let (config, house) = (here.config()?, here.house()?);
    let keeper = Keeper::wait(here, &ports.table, &here.strategy, &ports.owner)?;
    let post = Post::new(ports.orders, ports.executions, &here.strategy);
    let mut broker = RemoteBroker::new(post, keeper.epoch(), Patience::default());
    let (name, own_market) = loop {
        match broker.hello() {
            Ok(known) => break known,
            Err(failure) => here.warn(failure),
        }
        if here.stopped() {
            keeper.release(here.now_ms());
            return Ok(());
        }
        here.beat();
        keeper.renew(here.now_ms())?;
    };
    let account = begin(&name, &here.short_name(), &config, &house.text)?;
    let symbols = account.facts.symbols.clone();
    let log = Log::open(keeper.lines(now_ms), &account.header())?;
    let mut wire = Wire::new(ports.stream, &symbols, 0);
    let mut waiting = VecDeque::new();
    let begun = log.expected().is_some();
    let first = match log.expected().map(|entry| entry.event) {
        Some(Event::SessionOpened(session)) => session.date,
        Some(_) => bail!("the journal does not begin with a session"),
        None => match first_session(here, &keeper, &mut wire, &mut waiting)? {
            Some(first) => first,
            None => {
                drop(log);
                keeper.release(here.now_ms());
                return Ok(());
            }
        },
    };
    let limits = config.risk.and(&house.limits);
    // A venue in lockstep does at once what it is asked; a broker elsewhere says when it has.
    let cancels = if own_market { Cancels::AtOnce } else { Cancels::WhenConfirmed };
    let owner = crate::broker::owner(&name, &account.strategy)?;
    let desk = Desk::new(broker, owner, &symbols, cancels, gate(&account, &limits));
    let strategy = warmed(here, ports, &config, first, &account.facts.run_id, begun)?;
    let engine = Engine::new(strategy, account.facts.cash, symbols.len(), limits).at_venue(&symbols, cancels);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let obeyed = Obeyed::default();
    let (observed, hears) = (Arc::clone(&seen), obeyed.clone());
    let trader = Trader::new(engine, desk, log, symbols.len());
    let trader = trader.silent_at_most(i64::try_from(ports.silence.as_nanos()).unwrap_or(i64::MAX));
    let trader = trader.elsewhere(ports.tolerance);
    let mut trader = trader.observed(Box::new(move |event, note, _| {
        hears.saw(note);
        let mut seen = observed.lock().unwrap_or_else(PoisonError::into_inner);
        seen.seq += 1;
        if matches!(event, Event::SessionClosed) {
            let seq = seen.seq;
            seen.closed.push(seq);
        }
    }));
    let steps = trader.recover((here.now)())?;
    here.info("trades", json!({ "broker": name, "steps": steps, "first_session": first }));
    let mut runner = Runner {
        here,
        ports,
        keeper,
        account,
        own_market,
        seen,
        obeyed,
        said: BTreeSet::new(),
        archived: 0,
        read: 0,
        shown: 0,
        differences: 0,
    };
    runner.already_archived()?;
    while !here.stopped() {
        runner.look_after(&mut trader)?;
        let events = if waiting.is_empty() { wire.next(Duration::from_millis(100))? } else { Vec::new() };
        waiting.extend(events);
        while let Some(Numbered { seq, event }) = waiting.pop_front() {
            let Some(event) = event else { continue };
            // The stream is read from its oldest event on.
            if !trader.was_told(&event) && !runner.tell(&mut trader, seq, &event)? {
                break;
            }
        }
    }
    runner.show(&trader, "stopped")?;
    drop(trader);
    runner.keeper.release(here.now_ms());
    here.info("stopped", json!({}));
    Ok(())
}

/// Waits for the first session that is told.
fn first_session(
    here: &Here<'_>,
    keeper: &Keeper,
    wire: &mut Wire<'_>,
    waiting: &mut VecDeque<Numbered>,
) -> Result<Option<SessionDate>> {
    while !here.stopped() {
        here.beat();
        keeper.renew(here.now_ms())?;
        waiting.extend(wire.next(Duration::from_millis(500))?);
        let opened = waiting.iter().find_map(|told| match told.event {
            Some(Market::Opened(session)) => Some(session.date),
            _ => None,
        });
        if opened.is_some() {
            return Ok(opened);
        }
    }
    Ok(None)
}

/// The rule of the run file, which has seen what the lake knew of the time before its first session when it began.
fn warmed(
    here: &Here<'_>,
    ports: &Ports<'_>,
    config: &RunConfig,
    first: SessionDate,
    run: &str,
    begun: bool,
) -> Result<Box<dyn Strategy + Send>> {
    let run_file = format!("strategies/{}.toml", here.strategy);
    let inputs = algotrading::command::inputs(config, run_file.as_ref(), &here.location)?;
    let instruments = config.data.symbols.len();
    let mut strategy = config.strategy.build(instruments, inputs)?;
    if config.data.from.is_none_or(|from| from < first) {
        let events = match past::kept(here, &ports.table, run, first)? {
            Some(events) => events,
            None => {
                let history = feeds::history(&here.location, &config.data, Some(first));
                let history = history.context("the history to warm up with")?;
                let events = trading::feed::replay(Calendar::nyse(), &history, None)?;
                // A journal that was begun without it was shown something else, perhaps.
                if !begun {
                    past::keep(here, &ports.table, (run, first), &ports.owner, &events)?;
                }
                events
            }
        };
        trading::feed::warm_up(&mut strategy, instruments, Calendar::nyse(), &events);
        here.info("has seen the past", json!({ "events": events.len() }));
    }
    Ok(strategy)
}

impl<'a> Runner<'_, 'a> {
    /// What is done whatever the market does.
    fn look_after(&mut self, trader: &mut Running<'a>) -> Result<()> {
        self.here.beat();
        self.keeper.renew(self.here.now_ms())?;
        self.obey(trader, false)?;
        trader.turn((self.here.now)())?;
        self.compare(trader)?;
        for refused in trader.desk().refused() {
            self.here.warn(refused);
        }
        if self.here.now_ms() - self.shown >= SHOW_MS {
            self.show(trader, "trading")?;
        }
        Ok(())
    }

    /// Tells of an event; false when it is to stop instead.
    fn tell(&mut self, trader: &mut Running<'a>, seq: u64, event: &Market) -> Result<bool> {
        if matches!(event, Market::Closed) {
            trader.books_are_due();
        }
        let mut said = None;
        loop {
            self.look_after(trader)?;
            // Decisions follow a close: not before the books are known to agree.
            let waits = (self.own_market && !trader.desk_ref().settled())
                || (matches!(event, Market::Closed) && trader.position().is_some() && !trader.is_compared());
            if !waits {
                break;
            }
            if self.here.stopped() {
                return Ok(false);
            }
            let trouble = trader.desk_ref().trouble().map(str::to_owned);
            if let Some(trouble) = trouble.filter(|trouble| said.as_ref() != Some(trouble)) {
                self.here.warn(format_args!("waits for the broker: {trouble}"));
                said = Some(trouble);
            }
            self.here.rest(100);
        }
        trader.desk().broker().at(seq);
        trader.market(event)?;
        match event {
            Market::Opened(session) => {
                self.obey(trader, true)?;
                trader.books_are_due();
                self.compare(trader)?;
                self.here.info("a session opened", json!({ "session": session.date }));
            }
            Market::Closed => {
                self.show(trader, "trading")?;
                self.archive(trader)?;
                let (seq, sha256) = (trader.log().seq(), trader.log().digest());
                let session = trader.position().map(|(session, _)| session);
                self.here.info("a session closed", json!({ "session": session, "seq": seq, "sha256": sha256 }));
            }
            _ => {}
        }
        Ok(true)
    }

    /// Does what people and the guardian say. While that cannot be read, nothing else is done.
    fn obey(&mut self, trader: &mut Running<'a>, at_once: bool) -> Result<()> {
        let Some((session, _)) = trader.position() else { return Ok(()) };
        if !at_once && self.here.now_ms() - self.read < OBEY_MS {
            return Ok(());
        }
        let told = loop {
            match control::read(self.here.records, &self.here.strategy) {
                Ok(told) => break told,
                Err(trouble) => self.here.warn(format_args!("trades nothing: {trouble}")),
            }
            if self.here.stopped() {
                return Ok(());
            }
            self.here.beat();
            self.here.rest(1_000);
            self.keeper.renew(self.here.now_ms())?;
        };
        self.read = self.here.now_ms();
        let entry = told.entries.iter().rfind(|entry| entry.from <= session);
        let wanted = entry.map_or(Mode::Normal, |entry| entry.mode);
        let now = trader.engine().guard().mode();
        if wanted != now {
            let note = entry.map_or_else(String::new, |entry| format!("{}: {}", entry.by, entry.reason));
            if wanted == Mode::Flatten {
                trader.flatten((self.here.now)(), &note, &note)?;
            } else {
                trader.control(wanted, &note)?;
            }
            let mode = trader.engine().guard().mode();
            if mode != now {
                self.here.info("obeys", json!({ "mode": mode }));
                self.show(trader, "trading")?;
            }
        }
        for request in told.requests() {
            let request = match request {
                Ok(request) if self.obeyed.has(&request) => continue,
                Ok(request) => request,
                Err(sentence) => {
                    if self.said.insert(sentence.clone()) {
                        self.here.warn(sentence);
                    }
                    continue;
                }
            };
            match request.ask {
                // What nobody has compared nobody can accept.
                Ask::Accept if !self.compare(trader)? => break,
                Ask::Accept => trader.accept(&request.note())?,
                Ask::Reenable => trader.reenable(&request.note())?,
                // That is an entry, and no request as one is told here.
                Ask::Control(_) => continue,
            }
            self.here.info("obeys", json!({ "ask": request.ask, "by": request.by }));
        }
        Ok(())
    }

    /// Compares the books if that is due and the broker answers. False while it is still due.
    fn compare(&mut self, trader: &mut Running<'a>) -> Result<bool> {
        let compared = matches!(trader.compare((self.here.now)())?, Books::Compared { .. });
        let found = trader.differences() - std::mem::replace(&mut self.differences, trader.differences());
        if found > 0 {
            let text = "the books differed from the broker's and were put right; nothing new is begun until somebody \
                        accepts it";
            self.here.say("WARN", text, json!({ "differences": found }));
        }
        Ok(compared)
    }

    /// Shows what it holds, and that it lives.
    fn show(&mut self, trader: &Running<'a>, state: &str) -> Result<()> {
        self.shown = self.here.now_ms();
        let snapshot = trader.snapshot(self.account.facts.cash)?;
        let body = json!({
            "at": (self.here.now)(), "state": state, "owner": self.ports.owner, "epoch": self.keeper.epoch(),
            "run": self.account.facts.run_id, "seq": trader.log().seq(), "sha256": trader.log().digest(),
            "archived": self.archived, "snapshot": snapshot,
        });
        if let Err(error) = self.here.show(LIVE, &body) {
            self.here.warn(format_args!("{error:#}"));
        }
        Ok(())
    }

    /// An earlier runner has archived some sessions; where it left no word of it all are archived again, which changes
    /// nothing of what is there.
    fn already_archived(&mut self) -> Result<()> {
        let body = self.here.shown(LIVE)?.filter(|body| body["run"] == self.account.facts.run_id);
        self.archived = body.and_then(|body| body["archived"].as_u64()).unwrap_or(0);
        let archived = self.archived;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).closed.retain(|closed| *closed > archived);
        Ok(())
    }

    /// Keeps the finished part of the journal, and its head.
    fn archive(&mut self, trader: &Running<'a>) -> Result<()> {
        let Some(archive) = self.ports.archive else { return Ok(()) };
        let closed = std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner).closed);
        for to in closed {
            // The first part begins with the header, which is line 0.
            let from = if self.archived == 0 { 0 } else { self.archived + 1 };
            let mut text = String::new();
            let mut next = from;
            while next <= to {
                let lines = self.ports.table.read(&self.here.strategy, next)?;
                let Some(last) = lines.last().map(|line| line.seq) else { break };
                for line in lines.iter().filter(|line| line.seq <= to) {
                    text.push_str(&line.text);
                    text.push('\n');
                }
                next = last + 1;
            }
            let place = format!("{}/{}", self.here.strategy, self.account.facts.run_id);
            let kept = archive.keep(&format!("{place}/{from:012}-{to:012}.jsonl"), text.into_bytes()).and_then(|()| {
                if to != trader.log().seq() {
                    return Ok(());
                }
                let head = json!({ "seq": to, "sha256": trader.log().digest() }).to_string();
                archive.keep(&format!("{place}/head-{to:012}.json"), head.into_bytes())
            });
            if let Err(error) = kept {
                // The journal itself is safe; it is tried again at the next close.
                self.here.warn(error);
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).closed.insert(0, to);
                return Ok(());
            }
            self.archived = to;
        }
        Ok(())
    }
}
