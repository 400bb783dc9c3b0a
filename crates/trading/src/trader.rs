//! The live loop: market events and what a broker says, through the engine into the journal, and only then out.
//!
//! A step is journalled and synced before its commands reach the desk. A restart is a replay, in one of two ways. A
//! broker that is its own market (paper) is fed the market again from the beginning, and every step must come out as
//! the journal has it ([`Log`]). A broker elsewhere has lived on: [`Trader::recover`] replays the journal alone, after
//! which the desk asks about every order that is open and [`Trader::compare`] compares the books.

mod books;

use domain::{Bar, InstrumentId, SessionDate, Strategy, Timestamp};
use engine::{Command, Engine, EngineError, Event, Mode, Step};
use journal::{Lines, Log, LogError};

pub use books::Books;
use books::Keeping;

use crate::broker::{Broker, Failure};
use crate::desk::Desk;
use crate::heard::Heard;
use crate::market::Market;

/// Trading cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TradingError {
    /// The engine refused an event.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The journal cannot be kept: nothing may leave any more.
    #[error(transparent)]
    Journal(#[from] LogError),
    /// The broker cannot go on.
    #[error(transparent)]
    Broker(#[from] Failure),
}

/// Sees every step.
pub type Observer = Box<dyn FnMut(&Event, Option<&str>, &Step) + Send>;

/// One strategy, trading.
pub struct Trader<S, B, L> {
    engine: Engine<S>,
    log: Log<L>,
    desk: Desk<B>,
    observer: Option<Observer>,
    /// Bars of the session that is about to close.
    bars: Vec<Bar>,
    heard: Heard,
    /// Longest silence of an instrument inside a session, in nanoseconds.
    silence_max: Option<i64>,
    heard_at: Vec<Timestamp>,
    closing_at: Timestamp,
    books: Keeping,
}

impl<S, B, L> std::fmt::Debug for Trader<S, B, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trader").field("heard", &self.heard).finish_non_exhaustive()
    }
}

impl<S: Strategy, B: Broker, L: Lines> Trader<S, B, L> {
    /// A trader of `instruments` instruments whose journal has been opened.
    pub fn new(engine: Engine<S>, desk: Desk<B>, log: Log<L>, instruments: usize) -> Self {
        Self {
            engine,
            log,
            desk,
            observer: None,
            bars: Vec::new(),
            heard: Heard::default(),
            silence_max: None,
            heard_at: vec![Timestamp::default(); instruments],
            closing_at: Timestamp::default(),
            books: Keeping::default(),
        }
    }

    /// The same, seen by somebody.
    #[must_use]
    pub fn observed(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same, which begins nothing in an instrument that was silent for so long inside a session.
    #[must_use]
    pub fn silent_at_most(mut self, nanos: i64) -> Self {
        self.silence_max = Some(nanos);
        self
    }

    /// The engine.
    pub fn engine(&self) -> &Engine<S> {
        &self.engine
    }

    /// The desk.
    pub fn desk(&mut self) -> &mut Desk<B> {
        &mut self.desk
    }

    /// The desk, to look at.
    pub fn desk_ref(&self) -> &Desk<B> {
        &self.desk
    }

    /// Time of an instrument's last price, or open of its session.
    pub fn heard_at(&self, instrument: InstrumentId) -> Timestamp {
        self.heard_at.get(instrument.index()).copied().unwrap_or_default()
    }

    /// The journal.
    pub fn log(&self) -> &Log<L> {
        &self.log
    }

    /// Whether the journal holds steps that have not come again yet.
    pub fn replaying(&self) -> bool {
        self.log.expected().is_some()
    }

    /// Session that was opened last, and whether it is closed.
    pub fn position(&self) -> Option<(SessionDate, bool)> {
        self.heard.position()
    }

    /// Replays the journal without the market, at a time by the clock. Returns the number of steps.
    ///
    /// # Errors
    /// [`TradingError`]: among others, a step that comes out otherwise than it is written.
    pub fn recover(&mut self, now: Timestamp) -> Result<u64, TradingError> {
        self.recover_seen(now, |_, _| {})
    }

    /// The same, seen step by step.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn recover_seen(
        &mut self,
        now: Timestamp,
        mut seen: impl FnMut(&Engine<S>, &Event),
    ) -> Result<u64, TradingError> {
        self.desk.wake(now);
        while let Some(entry) = self.log.expected() {
            let (event, note) = (entry.event, entry.note.clone());
            let commands = self.journal(&event, note.as_deref())?;
            self.desk.recall(&event, &commands)?;
            self.saw(&event);
            self.saw_foreign(&event, note);
            seen(&self.engine, &event);
        }
        Ok(self.log.seq())
    }

    fn saw(&mut self, event: &Event) {
        self.heard.saw(event);
        match event {
            Event::SessionOpened(session) => self.heard_at.fill(session.open),
            Event::Price { instrument, at, .. } => {
                if let Some(heard) = self.heard_at.get_mut(instrument.index()) {
                    *heard = (*heard).max(*at);
                }
            }
            _ => {}
        }
    }

    /// Steps the engine and journals the step; what it commands may leave afterwards.
    fn journal(&mut self, event: &Event, note: Option<&str>) -> Result<Vec<Command>, TradingError> {
        let step = self.engine.step(event)?;
        let added = self.log.put(event, note, step)?;
        if let Some(observer) = &mut self.observer {
            observer(event, note, step);
        }
        let commands = step.commands.clone();
        let weighty = !matches!(event, Event::Price { .. } | Event::Bar(_) | Event::Borrowed { .. } | Event::Clock(_));
        if added && (weighty || !commands.is_empty()) {
            self.log.sync()?;
        }
        Ok(commands)
    }

    /// A step that did not come from the desk.
    fn step(&mut self, event: &Event, note: Option<&str>) -> Result<(), TradingError> {
        let commands = self.journal(event, note)?;
        self.saw(event);
        self.desk.heard(event)?;
        self.desk.take(&commands);
        Ok(())
    }

    /// Lets commands out and takes what comes back, until nothing does.
    fn deliver(&mut self) -> Result<(), TradingError> {
        loop {
            let now = self.desk.now();
            self.desk.work(now)?;
            let mut any = false;
            while let Some(told) = self.desk.next_event() {
                any = true;
                let commands = self.journal(&told.event, told.note.as_deref())?;
                self.desk.take(&commands);
                if !commands.is_empty() {
                    self.desk.work(now)?;
                }
            }
            if !any {
                return Ok(());
            }
        }
    }

    /// After the market has been told again: what people said last comes again too.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn catch_up(&mut self) -> Result<(), TradingError> {
        self.what_people_said()
    }

    /// Events that came from people and clocks before a restart come again where they came then.
    fn what_people_said(&mut self) -> Result<(), TradingError> {
        while let Some(entry) = self.log.expected() {
            let (event, note) = (entry.event, entry.note.clone());
            match event {
                Event::Control(_) | Event::Accepted | Event::Reenabled | Event::Clock(_) | Event::Feed { .. } => {
                    self.step(&event, note.as_deref())?;
                    self.deliver()?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Whether a feed told this before: one that was interrupted tells a session again, and perhaps those before it.
    pub fn was_told(&mut self, event: &Market) -> bool {
        self.heard.was_told(event)
    }

    /// Takes what a feed tells. What was told before is left out. Where the broker is elsewhere, say first what time it
    /// is ([`Trader::turn`]).
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn market(&mut self, event: &Market) -> Result<(), TradingError> {
        self.what_people_said()?;
        if self.was_told(event) {
            return Ok(());
        }
        match event {
            Market::Opened(session) => {
                self.bars.clear();
                self.step(&Event::SessionOpened(*session), None)?;
                self.desk.broker().market(event)?;
            }
            Market::Action(action) => {
                self.desk.broker().market(event)?;
                self.deliver()?;
                self.step(&Event::Action(*action), None)?;
            }
            Market::Price { instrument, price, at, .. } => {
                if self.silence_max.is_some() && self.engine.guard().stale(*instrument) {
                    self.step(&Event::Feed { instrument: *instrument, stale: false }, None)?;
                }
                self.step(&Event::Price { instrument: *instrument, price: *price, at: *at }, None)?;
                self.desk.broker().market(event)?;
            }
            Market::Bar { bar, .. } => {
                self.desk.broker().market(event)?;
                self.heard.hear(event);
                self.bars.push(*bar);
            }
            Market::Closed => {
                self.desk.broker().market(event)?;
                while self.desk.broker().advance()? {
                    self.deliver()?;
                }
                self.close()?;
            }
            Market::Clock(_) => self.desk.broker().market(event)?,
        }
        self.deliver()
    }

    fn close(&mut self) -> Result<(), TradingError> {
        self.deliver()?;
        self.bars.sort_by_key(|bar| bar.instrument);
        for bar in std::mem::take(&mut self.bars) {
            if self.silence_max.is_some() && self.engine.guard().stale(bar.instrument) {
                self.step(&Event::Feed { instrument: bar.instrument, stale: false }, None)?;
            }
            self.step(&Event::Bar(bar), None)?;
            self.deliver()?;
        }
        self.step(&Event::SessionClosed, None)
    }

    /// Says what may still be done: obeyed before anything else. To close everything at a broker elsewhere there is
    /// [`Trader::flatten`].
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn control(&mut self, mode: Mode, note: &str) -> Result<(), TradingError> {
        self.closes_no_more();
        self.say(mode, note)
    }

    fn say(&mut self, mode: Mode, note: &str) -> Result<(), TradingError> {
        self.step(&Event::Control(mode), Some(note))?;
        self.deliver()
    }

    /// A person accepted every correction so far.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn accept(&mut self, note: &str) -> Result<(), TradingError> {
        self.step(&Event::Accepted, Some(note))?;
        self.deliver()
    }

    /// A person enabled the strategy again.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn reenable(&mut self, note: &str) -> Result<(), TradingError> {
        self.step(&Event::Reenabled, Some(note))?;
        self.deliver()
    }

    /// Goes on at a time: sends and asks what was put off, notices silence, goes on closing.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn turn(&mut self, now: Timestamp) -> Result<(), TradingError> {
        self.desk.work(now)?;
        self.deliver()?;
        if let (Some(max), Some(session)) = (self.silence_max, self.engine.session().copied())
            && session.open <= now
            && now < session.close
        {
            for at in 0..self.heard_at.len() {
                let instrument = InstrumentId(at as u32);
                let silent = now.nanos().saturating_sub(self.heard_at[at].nanos()) > max;
                if silent && !self.engine.guard().stale(instrument) {
                    self.step(&Event::Feed { instrument, stale: true }, None)?;
                }
            }
        }
        self.go_on_closing(now)?;
        self.deliver()
    }
}
