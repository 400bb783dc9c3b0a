//! The loop: what people ask first, then the market, then whatever waited.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::{Money, Strategy, Timestamp};
use engine::{Event, Mode, Step as EngineStep};
use journal::{FileLines, Lines};
use trading::guardian::{Guardian, Step};
use trading::{Books, Broker, Feed, Market, Next, Snapshot, Trader};

use super::account::Place;
use super::board::{Shared, look, many};
use super::heads::Head;
use super::kept::Recorder;
use super::requests::{Ask, Obeyed, Requests};
use crate::collect::Collector;

/// What a person sees of an account, for whoever looks into its folder.
pub const STATUS: &str = "status.json";

/// What the loop works with beside the trader.
pub struct Drive {
    /// The account.
    pub place: Place,
    /// Cash at the start.
    pub deposit: Money,
    /// Where the market is kept.
    pub recorder: Recorder,
    /// Where the journal's heads are kept.
    pub heads: FileLines,
    /// Step of the last head there.
    pub head: u64,
    /// What people ask.
    pub requests: Requests,
    /// Who watches losses.
    pub guardian: Guardian,
    /// Time between sessions of a replay; none goes as fast as it can.
    pub pace: Option<Duration>,
    /// Whether time goes by outside of the feed: what is silent is stale, what was put off is done later.
    pub clock: Option<fn() -> Timestamp>,
    /// Why the guardian wants everything closed, as long as that waits for the broker.
    pub flatten: Option<String>,
    /// Whether what people ask could not be read when that was last tried.
    pub unreadable: bool,
    /// Differences to the broker's books that have been told.
    pub differences: usize,
    /// What has been said of the way to the broker.
    pub trouble: Option<String>,
    /// Set from outside when it is to stop.
    pub stop: Arc<AtomicBool>,
    /// Sees the account after each turn.
    pub seen: Box<dyn FnMut(&Snapshot) + Send>,
    /// What the report is made from.
    pub collector: Arc<Mutex<Collector>>,
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive").field("place", &self.place).finish_non_exhaustive()
    }
}

/// How often the status is written at most, and the longest wait for the market before people are heard again.
const STATUS_EVERY: Duration = Duration::from_millis(200);
const WAIT_MS: u64 = 50;

/// Sees every step for a report and for requests.
#[must_use]
pub fn observer(collector: &Arc<Mutex<Collector>>, obeyed: &Obeyed, board: &Shared) -> trading::trader::Observer {
    let (collector, obeyed, board) = (Arc::clone(collector), obeyed.clone(), Arc::clone(board));
    Box::new(move |event: &Event, note: Option<&str>, step: &EngineStep| {
        collector.lock().unwrap_or_else(PoisonError::into_inner).observe(event, &step.records);
        look(&board).saw(event, note, step);
        obeyed.saw(note);
    })
}

impl Drive {
    /// Trades until the feed ends or somebody stops it. `known` is the market that was told before.
    ///
    /// # Errors
    /// The feed fails for good, the journal cannot be kept, or replaying came to something else.
    pub fn run<S: Strategy, B: Broker, L: Lines>(
        &mut self,
        trader: &mut Trader<S, B, L>,
        known: &[Market],
        feed: &mut dyn Feed,
    ) -> Result<()> {
        for event in known {
            trader.market(event)?;
            self.watch(trader, event, false)?;
        }
        trader.catch_up()?;
        self.guardian.forget();
        let mut written = None;
        loop {
            let mut busy = self.obey(trader)?;
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match feed.next(WAIT_MS)? {
                Next::Event(event) if trader.was_told(&event) => {}
                Next::Event(event) => {
                    if let Some(clock) = self.clock {
                        trader.turn(clock())?;
                    }
                    if matches!(event, Market::Closed) {
                        // Decisions follow: not before the books are known to agree.
                        trader.books_are_due();
                        self.settle(trader, &mut written)?;
                        if self.stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    self.recorder.keep(&event)?;
                    trader.market(&event)?;
                    if matches!(event, Market::Opened(_)) {
                        self.compare(trader)?;
                    }
                    self.watch(trader, &event, true)?;
                    busy = true;
                    if matches!(event, Market::Closed) {
                        self.head(trader)?;
                    }
                    if let (Some(pace), Market::Closed) = (self.pace, event) {
                        self.show(trader, &mut written, true)?;
                        self.rest(pace, trader)?;
                    }
                }
                Next::Nothing => {
                    if let Some(clock) = self.clock {
                        trader.turn(clock())?;
                    }
                    self.compare(trader)?;
                }
                Next::End => break,
            }
            for refused in trader.desk().refused() {
                eprintln!("warning: {refused}");
            }
            // A fast replay is not slowed down by looking at it.
            if self.pace.is_some() || self.clock.is_some() {
                self.show(trader, &mut written, busy)?;
            }
        }
        self.heads.sync()?;
        self.show(trader, &mut written, true)
    }

    /// Obeys what people have asked, and the guardian. True when anything had been.
    ///
    /// What depends on the books waits until they have been compared: an acceptance, and the closing of positions, which
    /// by wrong books would open some. What works is cancelled meanwhile, and while nobody knows what people ask.
    ///
    /// # Errors
    /// The trader cannot go on.
    pub fn obey<S: Strategy, B: Broker, L: Lines>(&mut self, trader: &mut Trader<S, B, L>) -> Result<bool> {
        let mut any = false;
        let requests = match self.requests.waiting() {
            Ok(requests) => {
                self.unreadable = false;
                requests
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    eprintln!("warning: {error:#}; nobody can be obeyed, so what works is cancelled and nothing begun");
                }
                if trader.engine().guard().mode() < Mode::Cancel {
                    trader.control(Mode::Cancel, "what people ask cannot be read")?;
                }
                Vec::new()
            }
        };
        for request in requests {
            let note = request.note();
            match request.ask {
                Ask::Control(Mode::Flatten) => {
                    let why = format!("{}: {}, first what works", request.by, request.reason);
                    if !trader.flatten(self.time(), &why, &note)? {
                        break;
                    }
                }
                // An acceptance that waits keeps nobody else waiting.
                Ask::Accept if !self.compare(trader)? => continue,
                Ask::Accept => trader.accept(&note)?,
                Ask::Reenable => trader.reenable(&note)?,
                Ask::Control(mode) => {
                    self.flatten = None;
                    trader.control(mode, &note)?;
                }
            }
            any = true;
        }
        if let Some(why) = self.flatten.take()
            && !trader.flatten(self.time(), &format!("{why}, first what works"), &why)?
        {
            self.flatten = Some(why);
        }
        Ok(any)
    }

    fn time(&self) -> Timestamp {
        self.clock.map_or_else(Timestamp::default, |clock| clock())
    }

    /// Compares the books if that is due and the broker answers. False while it is still due.
    ///
    /// # Errors
    /// The trader cannot go on.
    pub fn compare<S: Strategy, B: Broker, L: Lines>(&mut self, trader: &mut Trader<S, B, L>) -> Result<bool> {
        Ok(matches!(trader.compare(self.time())?, Books::Compared { .. }))
    }

    /// Waits until the books have been compared; hears people meanwhile.
    fn settle<S: Strategy, B: Broker, L: Lines>(
        &mut self,
        trader: &mut Trader<S, B, L>,
        written: &mut Option<Instant>,
    ) -> Result<()> {
        while !self.compare(trader)? && !self.stop.load(Ordering::Relaxed) {
            self.show(trader, written, false)?;
            thread::sleep(Duration::from_millis(WAIT_MS));
            self.obey(trader)?;
            if let Some(clock) = self.clock {
                trader.turn(clock())?;
            }
        }
        Ok(())
    }

    fn head<S: Strategy, B: Broker, L: Lines>(&mut self, trader: &Trader<S, B, L>) -> Result<()> {
        let head = Head::of(trader.log());
        if head.seq <= self.head {
            // A market that was lost is told again, and the journal's steps come again with it.
            return Ok(());
        }
        let first = std::mem::replace(&mut self.head, head.seq) == 0;
        self.heads.append(0, &serde_json::to_vec(&head)?)?;
        if first {
            // Without any the account would pass for one whose heads were taken away.
            return Ok(self.heads.sync()?);
        }
        // The step it is about is on disk already: it is never ahead of the journal.
        Ok(self.heads.write()?)
    }

    /// Waits between sessions, and hears people meanwhile.
    fn rest<S: Strategy, B: Broker, L: Lines>(&mut self, pace: Duration, trader: &mut Trader<S, B, L>) -> Result<()> {
        let until = Instant::now() + pace;
        while !self.stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(Duration::from_millis(WAIT_MS)));
            self.obey(trader)?;
        }
        Ok(())
    }

    fn watch<S: Strategy, B: Broker, L: Lines>(
        &mut self,
        trader: &mut Trader<S, B, L>,
        event: &Market,
        act: bool,
    ) -> Result<()> {
        let equity = trader.engine().book().equity().ok();
        if let (Market::Opened(_), Some(equity)) = (event, equity) {
            self.guardian.opened(equity);
        }
        if !matches!(event, Market::Price { .. } | Market::Closed) {
            return Ok(());
        }
        let breach = self.guardian.judge(equity);
        let Some(breach) = breach.filter(|_| act && !trader.replaying()) else { return Ok(()) };
        match breach.step {
            Step::Control(mode) if mode > trader.engine().guard().mode() => {
                let why = format!("guardian: {}", breach.what);
                if mode == Mode::Flatten && self.flatten.is_some() {
                    return Ok(());
                }
                eprintln!("warning: {}; the strategy is in mode {mode} until somebody lifts it", breach.what);
                if mode == Mode::Flatten {
                    self.flatten = Some(why);
                    self.obey(trader)?;
                } else {
                    trader.control(mode, &why)?;
                }
            }
            Step::Control(_) | Step::Warn => eprintln!("warning: {}", breach.what),
        }
        Ok(())
    }

    /// Shows the account to whoever looks.
    fn show<S: Strategy, B: Broker, L: Lines>(
        &mut self,
        trader: &Trader<S, B, L>,
        written: &mut Option<Instant>,
        changed: bool,
    ) -> Result<()> {
        if !changed && written.is_some_and(|written| written.elapsed() < STATUS_EVERY) {
            return Ok(());
        }
        self.look(trader)?;
        *written = Some(Instant::now());
        Ok(())
    }

    /// Looks at the account and leaves what was seen for others.
    ///
    /// # Errors
    /// A figure that does not fit its type, or the folder cannot be written.
    pub fn look<S: Strategy, B: Broker, L: Lines>(&mut self, trader: &Trader<S, B, L>) -> Result<Snapshot> {
        let snapshot = trader.snapshot(self.deposit)?;
        if snapshot.trouble != self.trouble {
            match &snapshot.trouble {
                Some(trouble) => eprintln!("warning: waiting for the broker: {trouble}"),
                None => eprintln!("the broker answers again"),
            }
            self.trouble.clone_from(&snapshot.trouble);
        }
        let found = trader.differences() - std::mem::replace(&mut self.differences, trader.differences());
        if found > 0 {
            let points = many(found, "point");
            eprintln!(
                "warning: the books differed from the broker's in {points} (algotrading journal show); ours were put right, \
                 and nothing new is begun until somebody accepts it (algotrading accept)"
            );
        }
        (self.seen)(&snapshot);
        let path = self.place.file(STATUS);
        let draft = self.place.file(".status.draft");
        let text = serde_json::to_vec_pretty(&snapshot)?;
        let put = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
        put.with_context(|| format!("cannot write `{}`; make room", path.display()))?;
        Ok(snapshot)
    }
}
