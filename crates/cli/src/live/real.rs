//! A live account: the strategy of a run file at a broker.
//!
//! The account began with the broker's cash, whatever the run file says: the first comparison of the books puts it
//! right, and a person accepts that, as every later difference, by name.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use domain::{Calendar, Money, SessionDate, Strategy, Timestamp};
use engine::{Engine, Event};
use journal::{FileLines, Log};
use strategies::Inputs;
use trading::feed::warm_up;
use trading::guardian::Guardian;
use trading::{Broker, Desk, Feed, Market, Next, Trader};

use super::account::{Account, Place};
use super::drive::{Drive, observer};
use super::heads::{self, HEADS};
use super::kept::{Journal, Recorder};
use super::kill;
use super::limits::House;
use super::paper::{gate, history_kept, keep_history};
use super::requests::{Obeyed, Requests};
use super::watch::{Wanted, Watch};
use crate::backtest::Ending;
use crate::collect::Collector;
use crate::config::RunConfig;
use crate::folder::{self, Finished};

/// A live account that is to trade.
pub struct Real {
    /// Its folder.
    pub place: Place,
    /// Whose it is.
    pub account: Account,
    /// The run file.
    pub config: RunConfig,
    /// What the rule needs beside it.
    pub inputs: Inputs,
    /// The lake, whose history the strategy sees before it trades.
    pub location: String,
    /// What the house allows.
    pub house: House,
    /// The broker.
    pub broker: Box<dyn Broker + Send>,
    /// Where prices come from; none only to watch orders that work, as a kill does.
    pub feed: Option<Box<dyn Feed>>,
    /// Difference in cash that counts as none.
    pub tolerance: Money,
    /// Longest silence of an instrument inside a session, in seconds.
    pub silence_s: u32,
    /// The time.
    pub clock: fn() -> Timestamp,
}

impl std::fmt::Debug for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Real").field("place", &self.place).finish_non_exhaustive()
    }
}

type Running = Trader<Box<dyn Strategy + Send>, Box<dyn Broker + Send>, Journal>;

impl Real {
    /// Trades until the feed ends or it is stopped; leaves tables and a tear sheet beside the journal.
    ///
    /// # Errors
    /// One sentence.
    pub fn run(mut self, stop: &Arc<AtomicBool>, watch: &Watch) -> Result<Finished> {
        let Some(feed) = self.feed.take() else { bail!("a live account needs prices: --feed") };
        let mut feed = Ahead { first: None, feed };
        let (place, facts) = (self.place.clone(), self.account.facts.clone());
        let head = heads::hold(&place)?;
        let (mut trader, mut drive) = self.begin(head, stop, watch, |known| match known {
            Some(session) => Ok(session),
            None => feed.opening(stop),
        })?;
        drive.run(&mut trader, &[], &mut feed)?;
        let open_trades = trader.engine().open_trades()?;
        let ending = Ending { journal_sha256: trader.log().digest().to_string(), ambiguous_bars: 0, open_trades };
        drop(trader);
        let empty = Collector::new(&facts.symbols);
        let collected = std::mem::replace(&mut *drive.collector.lock().unwrap_or_else(PoisonError::into_inner), empty);
        drop(drive);
        folder::beside_journal(&facts, ending.clone(), collected.finish(&ending.open_trades), place.folder())
    }

    /// Does what was asked while nobody traded the account, a kill above all, and goes on until it is flat by compared
    /// books, or the time is over. Gives what the broker had to say when it is not.
    ///
    /// # Errors
    /// One sentence.
    pub fn obey(self, wait: Duration) -> Result<Option<String>> {
        let stop = Arc::new(AtomicBool::new(false));
        let clock = self.clock;
        let nobody = Watch::open(Wanted::default(), &self.place, &self.account, clock)?;
        let head = heads::hold_to_close(&self.place)?;
        let (mut trader, mut drive) = self.begin(head, &stop, &nobody, |known| {
            known.context("the account has never traded: there is nothing to close")
        })?;
        let begun = Instant::now();
        loop {
            drive.obey(&mut trader)?;
            trader.turn(clock())?;
            drive.compare(&mut trader)?;
            let seen = drive.look(&trader)?;
            if seen.is_flat() {
                return Ok(None);
            }
            if begun.elapsed() >= wait {
                return Ok(Some(kill::what_is_left(&seen)));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn begin(
        self,
        head: u64,
        stop: &Arc<AtomicBool>,
        watch: &Watch,
        first_session: impl FnOnce(Option<SessionDate>) -> Result<SessionDate>,
    ) -> Result<(Running, Drive)> {
        let (recorder, known) = Recorder::open(&self.place)?;
        let opened = |event: &Market| if let Market::Opened(session) = event { Some(session.date) } else { None };
        let begins = first_session(known.iter().find_map(opened))?;
        let instruments = self.account.facts.symbols.len();
        let mut strategy: Box<dyn Strategy + Send> = self.config.strategy.build(instruments, self.inputs.clone())?;
        let history = match history_kept(&self.place)? {
            Some(history) => history,
            None => keep_history(&self.place, &self.location, &self.config, begins)?,
        };
        warm_up(&mut strategy, instruments, Calendar::nyse(), &history);

        let symbols = self.account.facts.symbols.clone();
        let limits = self.config.risk.and(&self.house.limits);
        let owner = self.account.owner()?;
        let desk = Desk::new(self.broker, owner, &symbols, self.account.cancels(), gate(&self.account, &limits));
        let engine = Engine::new(strategy, self.account.facts.cash, instruments, limits);
        let engine = engine.at_venue(&symbols, self.account.cancels());
        let log = Log::open(Journal::open(&self.place, &recorder)?, &self.account.header())?;
        let collector = Arc::new(Mutex::new(Collector::new(&symbols)));
        let obeyed = Obeyed::default();
        let board = Arc::clone(&watch.board);
        let mut trader = Trader::new(engine, desk, log, instruments)
            .observed(observer(&collector, &obeyed, &board))
            .silent_at_most(i64::from(self.silence_s) * 1_000_000_000)
            .elsewhere(self.tolerance);
        // What was lost before a restart counts after it.
        let mut guardian = Guardian::new(self.house.ladders.clone());
        let steps = trader.recover_seen((self.clock)(), |engine, event| {
            let equity = engine.book().equity().ok();
            match (event, equity) {
                (Event::SessionOpened(_), Some(equity)) => guardian.opened(equity),
                (Event::Price { .. } | Event::SessionClosed, equity) => drop(guardian.judge(equity)),
                _ => {}
            }
        })?;
        if steps > 0 {
            eprintln!("{steps} steps of the journal came out again as they are written");
        }
        let drive = Drive {
            deposit: self.account.facts.cash,
            recorder,
            heads: FileLines::open(&self.place.file(HEADS))?,
            head,
            requests: Requests::of(&self.place, &obeyed),
            place: self.place,
            guardian,
            pace: None,
            clock: Some(self.clock),
            flatten: None,
            unreadable: false,
            differences: 0,
            trouble: None,
            stop: Arc::clone(stop),
            seen: watch.seen(self.clock),
            collector,
        };
        Ok((trader, drive))
    }
}

/// A feed whose first session is looked at before it is told.
struct Ahead {
    first: Option<Market>,
    feed: Box<dyn Feed>,
}

impl Ahead {
    fn opening(&mut self, stop: &AtomicBool) -> Result<domain::SessionDate> {
        loop {
            match self.feed.next(200)? {
                Next::Event(event @ Market::Opened(session)) => {
                    self.first = Some(event);
                    return Ok(session.date);
                }
                Next::Event(_) => bail!("the feed begins in the middle of a session; it must begin with its opening"),
                Next::End => bail!("the feed ended before any session opened"),
                Next::Nothing if stop.load(Ordering::Relaxed) => bail!("stopped before any session opened"),
                Next::Nothing => {}
            }
        }
    }
}

impl Feed for Ahead {
    fn next(&mut self, wait_ms: u64) -> Result<Next, trading::FeedError> {
        match self.first.take() {
            Some(event) => Ok(Next::Event(event)),
            None => self.feed.next(wait_ms),
        }
    }
}

/// The folder of an account unless one is named.
#[must_use]
pub fn usual_place(broker: &str, strategy: &str) -> PathBuf {
    PathBuf::from("trading").join(format!("{broker}-{strategy}"))
}

/// A variable of the environment that must be there.
///
/// # Errors
/// It is not.
pub fn given(name: &str, what: &str) -> Result<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.with_context(|| format!("{name} is not set; it holds {what}"))
}
