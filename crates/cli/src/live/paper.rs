//! A paper account: the strategy of a run file on the simulator's venue, in one process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use domain::{Calendar, SessionDate, Strategy, Timestamp};
use engine::{Engine, Idle, Limits, Margin};
use journal::{FileLines, Log, LogError};
use lake::Lake;
use strategies::Inputs;
use trading::feed::warm_up;
use trading::guardian::Guardian;
use trading::trader::TradingError;
use trading::{Desk, Feed, Market, Next, PaperBroker, Trader};

use super::account::{Account, Place};
use super::drive::{Drive, observer};
use super::feeds::{self, FromLake};
use super::heads::{self, HEADS};
use super::kept::{self, Journal, MARKET, Recorder};
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

/// A paper account whose folder says whose it is.
pub struct Begun {
    paper: Paper,
    head: u64,
    recorder: Recorder,
    known: Vec<Market>,
    feed: Box<dyn Feed>,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("paper", &self.paper).finish_non_exhaustive()
    }
}

type Running = Trader<Box<dyn Strategy + Send>, PaperBroker, Journal>;

/// The account behind a desk, which judges every order again. Margin is the broker's business.
#[must_use]
pub fn gate(account: &Account, limits: &Limits) -> Engine<Idle> {
    let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    Engine::new(Idle, account.facts.cash, account.facts.symbols.len(), Limits { margin, ..limits.clone() })
}

impl Paper {
    /// Looks at the files that it needs, and only then writes down whose the folder is.
    ///
    /// # Errors
    /// One sentence.
    pub fn begin(self) -> Result<Begun> {
        let head = heads::hold(&self.place)?;
        let kept = self.place.account()?.map(|_| Recorder::open(&self.place)).transpose()?;
        let after = kept.as_ref().and_then(|(_, known)| kept::goes_on_after(known));
        let feed: Box<dyn Feed> = match &self.source {
            Source::Lake { follow } => Box::new(FromLake::after(&self.location, &self.config.data, after, *follow)?),
            Source::Named(path) => {
                has_history(&self.place, &self.location)?;
                feeds::named(path, &self.account.facts.symbols, after, self.clock)?
            }
        };
        self.config.strategy.build(self.account.facts.symbols.len(), self.inputs.clone())?;
        self.place.keep(&self.account)?;
        let (recorder, known) = kept.map_or_else(|| Recorder::open(&self.place), Ok)?;
        Ok(Begun { paper: self, head, recorder, known, feed })
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

impl Begun {
    /// Its folder.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.paper.place
    }

    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.paper.account
    }

    /// Trades until the feed ends or it is stopped; leaves tables and a tear sheet beside the journal.
    ///
    /// # Errors
    /// One sentence.
    pub fn run(self, stop: &Arc<AtomicBool>, watch: &Watch) -> Result<Finished> {
        let Self { paper: this, head, recorder, known, mut feed } = self;
        let mut first = Vec::new();
        if known.is_empty() && matches!(this.source, Source::Named(_)) {
            first = opening(feed.as_mut(), stop)?;
        }
        let mut feed = Before { first: first.clone().into(), feed };
        let begins = known.iter().chain(&first).find_map(|event| match event {
            Market::Opened(session) => Some(session.date),
            _ => None,
        });
        let warm = matches!(this.source, Source::Named(_)).then_some(begins).flatten();
        let strategy = this.strategy(warm)?;
        let collector = Arc::new(Mutex::new(Collector::new(&this.account.facts.symbols)));
        let obeyed = Obeyed::default();
        let board = Arc::clone(&watch.board);
        let mut trader = this.trader(strategy, &recorder)?.observed(observer(&collector, &obeyed, &board));
        let live = matches!(this.source, Source::Named(_) | Source::Lake { follow: true });
        let mut drive = Drive {
            place: this.place.clone(),
            deposit: this.account.facts.cash,
            recorder,
            heads: FileLines::open(&this.place.file(HEADS))?,
            head,
            requests: Requests::of(&this.place, &obeyed),
            guardian: Guardian::new(this.house.ladders.clone()),
            pace: this.pace,
            clock: live.then_some(this.clock),
            flatten: None,
            unreadable: false,
            differences: 0,
            trouble: None,
            stop: Arc::clone(stop),
            seen: watch.seen(this.clock),
            collector: Arc::clone(&collector),
        };
        drive.run(&mut trader, &known, &mut feed).map_err(|error| match error.downcast_ref() {
            Some(TradingError::Journal(LogError::Diverged { .. })) => {
                let market = this.place.file(MARKET);
                error.context(format!(
                    "`{}` was changed, or something else that the account began with",
                    market.display()
                ))
            }
            _ => error,
        })?;
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
            Collector::new(&this.account.facts.symbols),
        );
        let collected = collected.finish(&ending.open_trades);
        folder::beside_journal(&this.account.facts, ending, collected, this.place.folder())
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

/// Refuses a lake that cannot tell the history that a new account is to see.
///
/// # Errors
/// It cannot be read.
pub fn has_history(place: &Place, location: &str) -> Result<()> {
    if history_kept(place)?.is_none() {
        Lake::open(location)?;
    }
    Ok(())
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
