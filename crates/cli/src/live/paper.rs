//! A paper account: the strategy of a run file on the simulator's venue, in one process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use domain::{Calendar, SessionDate, Strategy, Timestamp};
use engine::{Engine, Idle, Limits, Margin};
use journal::{FileLines, Log};
use strategies::Inputs;
use trading::feed::warm_up;
use trading::guardian::Guardian;
use trading::{Desk, Feed, Market, Next, PaperBroker, Trader};

use super::account::{Account, Place};
use super::drive::{Drive, observer};
use super::feeds::{self, FromLake};
use super::heads::{self, HEADS};
use super::kept::{self, Journal, Recorder};
use super::limits::House;
use super::requests::{Obeyed, Requests};
use super::watch::Watch;
use crate::backtest::Ending;
use crate::collect::Collector;
use crate::config::RunConfig;
use crate::folder::{self, Finished};

/// History that the strategy saw before its first session.
pub const WARM_UP: &str = "warm-up.jsonl";

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The lake's sessions, one after the other.
    Lake {
        /// Wait for new ones.
        follow: bool,
    },
    /// A feed by its name, told as it happens.
    Named(PathBuf),
}

/// A paper account that is to trade.
#[derive(Debug)]
pub struct Paper {
    /// Its folder.
    pub place: Place,
    /// Whose it is.
    pub account: Account,
    /// The run file.
    pub config: RunConfig,
    /// What the rule needs beside it.
    pub inputs: Inputs,
    /// The lake.
    pub location: String,
    /// What the house allows.
    pub house: House,
    /// Where prices come from.
    pub source: Source,
    /// Time between sessions.
    pub pace: Option<Duration>,
    /// The time.
    pub clock: fn() -> Timestamp,
}

type Running = Trader<Box<dyn Strategy + Send>, PaperBroker, Journal>;

/// The account behind a desk, which judges every order again. Margin is the broker's business.
#[must_use]
pub fn gate(account: &Account, limits: &Limits) -> Engine<Idle> {
    let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    Engine::new(Idle, account.facts.cash, account.facts.symbols.len(), Limits { margin, ..limits.clone() })
}

impl Paper {
    /// Trades until the feed ends or it is stopped; leaves tables and a tear sheet beside the journal.
    ///
    /// # Errors
    /// One sentence.
    pub fn run(self, stop: &Arc<AtomicBool>, watch: &Watch) -> Result<Finished> {
        let head = heads::hold(&self.place)?;
        let (recorder, known) = Recorder::open(&self.place)?;
        let mut first = Vec::new();
        let mut feed: Box<dyn Feed> = match &self.source {
            Source::Lake { follow } => {
                Box::new(FromLake::after(&self.location, &self.config.data, kept::goes_on_after(&known), *follow)?)
            }
            Source::Named(path) => {
                let symbols = &self.account.facts.symbols;
                let mut feed = feeds::named(path, symbols, kept::goes_on_after(&known), self.clock)?;
                if known.is_empty() {
                    first = opening(feed.as_mut(), stop)?;
                }
                Box::new(Before { first: first.clone().into(), feed })
            }
        };
        let begins = known.iter().chain(&first).find_map(|event| match event {
            Market::Opened(session) => Some(session.date),
            _ => None,
        });
        let warm = matches!(self.source, Source::Named(_)).then_some(begins).flatten();
        let strategy = self.strategy(warm)?;
        let collector = Arc::new(Mutex::new(Collector::new(&self.account.facts.symbols)));
        let obeyed = Obeyed::default();
        let board = Arc::clone(&watch.board);
        let mut trader = self.trader(strategy, &recorder)?.observed(observer(&collector, &obeyed, &board));
        let live = matches!(self.source, Source::Named(_) | Source::Lake { follow: true });
        let mut drive = Drive {
            place: self.place.clone(),
            deposit: self.account.facts.cash,
            recorder,
            heads: FileLines::open(&self.place.file(HEADS))?,
            head,
            requests: Requests::of(&self.place, &obeyed),
            guardian: Guardian::new(self.house.ladders.clone()),
            pace: self.pace,
            clock: live.then_some(self.clock),
            flatten: None,
            unreadable: false,
            differences: 0,
            trouble: None,
            stop: Arc::clone(stop),
            seen: watch.seen(self.clock),
            collector: Arc::clone(&collector),
        };
        drive.run(&mut trader, &known, feed.as_mut())?;
        let open_trades = trader.engine().open_trades()?;
        let ending = Ending {
            journal_sha256: trader.log().digest().to_string(),
            ambiguous_bars: trader.desk().broker().ambiguous_bars(),
            open_trades,
        };
        // What waits in the journal is written before the report vouches for it.
        drop(trader);
        drop(drive);
        let collected = std::mem::replace(
            &mut *collector.lock().unwrap_or_else(PoisonError::into_inner),
            Collector::new(&self.account.facts.symbols),
        );
        let collected = collected.finish(&ending.open_trades);
        folder::beside_journal(&self.account.facts, ending, collected, self.place.folder())
    }

    fn strategy(&self, warm: Option<SessionDate>) -> Result<Box<dyn Strategy + Send>> {
        let instruments = self.account.facts.symbols.len();
        let mut strategy = self.config.strategy.build(instruments, self.inputs.clone())?;
        if let Some(first) = warm {
            let history = match history_kept(&self.place)? {
                Some(history) => history,
                None => keep_history(&self.place, &self.location, &self.config, first)?,
            };
            warm_up(&mut strategy, instruments, Calendar::nyse(), &history);
        }
        Ok(strategy)
    }

    fn trader(&self, strategy: Box<dyn Strategy + Send>, recorder: &Recorder) -> Result<Running> {
        let account = &self.account;
        let symbols = &account.facts.symbols;
        let limits = self.config.risk.and(&self.house.limits);
        let broker = PaperBroker::new(self.config.costs, symbols, account.facts.cash);
        let desk = Desk::new(broker, account.owner()?, symbols, account.cancels(), gate(account, &limits));
        let engine = Engine::new(strategy, account.facts.cash, symbols.len(), limits);
        let log = Log::open(Journal::open(&self.place, recorder)?, &account.header())?;
        Ok(Trader::new(engine.at_venue(symbols, account.cancels()), desk, log, symbols.len()))
    }
}

/// What the strategy of an account saw before its first session, where anything was kept of it.
///
/// # Errors
/// It was changed.
pub fn history_kept(place: &Place) -> Result<Option<Vec<Market>>> {
    let path = place.file(WARM_UP);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let events = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    events.map(Some).with_context(|| format!("`{}` was changed; restore it", path.display()))
}

/// Keeps what the lake knew before the first session, so that a restart shows the strategy the same.
///
/// # Errors
/// The lake cannot be read, or the folder cannot be written.
pub fn keep_history(place: &Place, location: &str, config: &RunConfig, first: SessionDate) -> Result<Vec<Market>> {
    let path = place.file(WARM_UP);
    let recorded = feeds::history(location, &config.data, Some(first))?;
    let events = trading::feed::replay(Calendar::nyse(), &recorded, None)?;
    let mut text = String::new();
    for event in &events {
        text.push_str(&serde_json::to_string(event)?);
        text.push('\n');
    }
    let draft = place.file(".warm-up.draft");
    let put = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
    put.with_context(|| format!("cannot write `{}`; make room", path.display()))?;
    Ok(events)
}

/// Waits for the first session, before which the strategy is shown the past.
fn opening(feed: &mut dyn Feed, stop: &AtomicBool) -> Result<Vec<Market>> {
    loop {
        match feed.next(200)? {
            Next::Event(event @ Market::Opened(_)) => return Ok(vec![event]),
            Next::Event(_) => bail!("the feed begins in the middle of a session; begin with a line {{\"open\": DATE}}"),
            Next::End => bail!("the feed ended before any session opened; its first line is {{\"open\": DATE}}"),
            Next::Nothing if stop.load(std::sync::atomic::Ordering::Relaxed) => {
                bail!("stopped before any session opened")
            }
            Next::Nothing => {}
        }
    }
}

/// A feed whose first events have been looked at already.
struct Before {
    first: std::collections::VecDeque<Market>,
    feed: Box<dyn Feed>,
}

impl Feed for Before {
    fn next(&mut self, wait_ms: u64) -> Result<Next, trading::FeedError> {
        match self.first.pop_front() {
            Some(event) => Ok(Next::Event(event)),
            None => self.feed.next(wait_ms),
        }
    }
}

/// The folder of an account unless one is named.
#[must_use]
pub fn usual_place(strategy: &str) -> PathBuf {
    Path::new("trading").join(format!("paper-{strategy}"))
}
