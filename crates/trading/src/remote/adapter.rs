//! What stands before the real broker: each request once, in order.

mod closing;
mod orders;

use std::collections::{BTreeMap, VecDeque};

use domain::{Bar, Fill, InstrumentId, Money, Order, Quantity, SessionDate, Symbol};
use engine::{Approved, Cancels, Engine, EngineError, Event, Idle};
use journal::{Lines, LinesError};
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Channel, Preface, Reply, Request, SendError, Told, VERSION};
use crate::broker::{Account, Broker, BrokerEvent, ClientOrderId, Execution, Failure, Holding, Owner};
use crate::market::Market;
use crate::tape::{Numbered, TapeError};

/// An adapter cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Its account refused an event.
    #[error("the account of the broker adapter: {0}")]
    Engine(#[from] EngineError),
    /// What it does cannot be written down: it must not be done.
    #[error(transparent)]
    Log(#[from] LinesError),
    /// The broker cannot go on.
    #[error(transparent)]
    Broker(Failure),
    /// The market stream makes no sense.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// What it wrote down is of other instruments or another format.
    #[error("line {line} of what the broker adapter has written down {what}")]
    Written {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// What an adapter is told about itself.
#[derive(Debug)]
pub struct Rules {
    /// Name of the broker.
    pub account: String,
    /// Whose orders it takes.
    pub owner: Owner,
    /// Whose orders those are that it makes itself to close positions.
    pub closer: Owner,
    /// The instruments, by their order.
    pub symbols: Vec<Symbol>,
    /// The account that judges every order.
    pub gate: Engine<Idle>,
    /// Whether the broker is its own market.
    pub own_market: bool,
    /// A number that grows with each start.
    pub start: u64,
}

/// What an adapter's account is, for whoever watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Number of the lease whose requests it takes.
    pub epoch: u64,
    /// Last market event it has gone on to.
    pub position: u64,
    /// Session of its market.
    pub session: Option<SessionDate>,
    /// Whether it closes everything.
    pub flattening: bool,
    /// Cash, where the broker tells it.
    pub cash: Option<Money>,
    /// Positions.
    pub holdings: Vec<Holding>,
    /// Names of the orders that work.
    pub working: Vec<ClientOrderId>,
}

impl Status {
    /// Whether nothing is held and nothing works.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.holdings.is_empty() && self.working.is_empty()
    }
}

#[derive(Debug, Clone)]
struct Known {
    order: Order,
    approved: Option<Approved>,
    filled: Quantity,
    over: bool,
}

/// A line of what was done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Noted {
    Began { v: u32, symbols: Vec<Symbol> },
    Market { seq: u64, event: Option<Market> },
    Request(Request),
}

/// Answers that are remembered.
const REMEMBERED: usize = 1_000;
/// How often the market stream is looked into for what a trader has read already.
const LOOKS: u32 = 25;
/// First of the numbers of orders that the adapter makes itself; an engine's own are below.
const OWN_ORDERS: u64 = 1 << 63;
/// Turns without asking a broker for an account that it has not told.
const UNALIGNED_TURNS: u32 = 10;

/// A broker's side of the queues.
#[derive(Debug)]
pub struct Adapter<B, C, L> {
    broker: B,
    channel: C,
    log: L,
    lines: u64,
    rules: Rules,
    epoch: u64,
    last: u64,
    replies: BTreeMap<(u64, u64), String>,
    orders: BTreeMap<ClientOrderId, Known>,
    tape: VecDeque<Numbered>,
    position: u64,
    /// Bars of a session that the broker is still working through.
    bars: Vec<Bar>,
    closed: bool,
    /// Whether the account is the broker's.
    aligned: bool,
    /// Why it is not, and how many turns it is not asked for again: a broker that gives no answer takes its time.
    unaligned: (String, u32),
    flattening: bool,
    own_orders: u64,
    outbox: Vec<BrokerEvent>,
    /// Whether a trader is still to be told that events are numbered anew.
    unannounced: bool,
    said: u64,
    sent: u64,
}

/// Where market events come from: those that have come since it was last asked.
pub type Source<'a> = &'a mut dyn FnMut() -> Result<Vec<Numbered>, TapeError>;

impl<B: Broker, C: Channel, L: Lines> Adapter<B, C, L> {
    /// An adapter that goes on where an earlier one has ended.
    ///
    /// # Errors
    /// [`AdapterError`].
    pub fn open(broker: B, channel: C, log: L, mut rules: Rules) -> Result<Self, AdapterError> {
        rules.gate = rules.gate.at_venue(&rules.symbols, Cancels::WhenConfirmed);
        let (aligned, unannounced) = (rules.own_market, !rules.own_market);
        let mut this = Self {
            broker,
            channel,
            log,
            lines: 0,
            rules,
            epoch: 0,
            last: 0,
            replies: BTreeMap::new(),
            orders: BTreeMap::new(),
            tape: VecDeque::new(),
            position: 0,
            bars: Vec::new(),
            closed: false,
            aligned,
            unaligned: (String::new(), 0),
            flattening: false,
            own_orders: 0,
            outbox: Vec::new(),
            unannounced,
            said: 0,
            sent: 0,
        };
        while let Some(line) = this.log.next_line()? {
            this.recall(&line)?;
            this.lines += 1;
        }
        if this.lines == 0 {
            this.note(&Noted::Began { v: VERSION, symbols: this.rules.symbols.clone() })?;
            this.log.sync()?;
        }
        Ok(this)
    }

    /// Takes a line of an earlier adapter. A broker that is its own market is told all of it again.
    fn recall(&mut self, line: &[u8]) -> Result<(), AdapterError> {
        let number = self.lines + 1;
        let wrong = |what: String| AdapterError::Written { line: number, what };
        match serde_json::from_slice(line).map_err(|error| wrong(format!("makes no sense: {error}")))? {
            Noted::Began { v, .. } if v != VERSION => {
                return Err(wrong(format!("has version {v}, and this program writes {VERSION}")));
            }
            Noted::Began { symbols, .. } if symbols != self.rules.symbols => {
                return Err(wrong("is of other symbols; give the strategy with other symbols another name".to_owned()));
            }
            Noted::Began { .. } => {}
            Noted::Market { seq, event } => self.apply(Numbered { seq, event })?,
            Noted::Request(request) => {
                (self.epoch, self.last) = (request.epoch, request.n);
                let answer = if self.rules.own_market {
                    self.carry_out(&request)?
                } else {
                    // What was ordered stays so: everything is closed until somebody trades again.
                    match request.ask {
                        Ask::Flatten(_) => self.flattening = true,
                        Ask::Hello => self.flattening = false,
                        _ => {}
                    }
                    let words = "the broker adapter was started again while it was at it".to_owned();
                    Answer::Failed(Failure::Unclear(words))
                };
                self.reply(&request, answer);
            }
        }
        Ok(())
    }

    fn note(&mut self, noted: &Noted) -> Result<(), AdapterError> {
        let text = serde_json::to_vec(noted)
            .map_err(|error| AdapterError::Written { line: self.lines + 1, what: error.to_string() })?;
        self.log.append(self.lines, &text)?;
        self.lines += 1;
        Ok(())
    }

    /// Takes what has come, waiting for it at most so long, and says what the broker said. Returns how many requests
    /// there were.
    ///
    /// # Errors
    /// [`AdapterError`].
    pub fn turn(&mut self, wait_ms: u64, source: Source<'_>) -> Result<usize, AdapterError> {
        self.gather()?;
        if !self.rules.own_market || self.flattening {
            self.tape.extend(source()?);
            while let Some(told) = self.tape.pop_front() {
                self.go_on(told)?;
            }
            self.log.sync()?;
        }
        if !self.rules.own_market {
            self.align()?;
            if self.flattening {
                self.close_all()?;
            }
        }
        self.tell();
        let Ok(received) = self.channel.receive(wait_ms) else { return Ok(0) };
        let count = received.letters.len();
        for letter in received.letters {
            let answered = match self.take(&letter.text, source)? {
                Some(text) => self.send(&text).is_ok(),
                None => true,
            };
            // What could not be answered comes again.
            if answered {
                self.channel.done(&letter);
            }
        }
        Ok(count)
    }

    /// Last market event it has gone on to.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Grows with what is asked of it and what the broker says: as long as it stays, so does the account.
    pub fn happened(&self) -> u64 {
        self.lines + self.said + self.sent
    }

    /// The broker, to look at.
    pub fn broker(&self) -> &B {
        &self.broker
    }

    /// The account, for whoever watches.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn status(&mut self) -> Result<Status, Failure> {
        let Account { cash, holdings } = self.broker.account()?;
        let working = self.broker.working()?.into_iter().map(|order| order.id).collect();
        let session = self.rules.gate.session().map(|session| session.date);
        let (epoch, position, flattening) = (self.epoch, self.position, self.flattening);
        Ok(Status { epoch, position, session, flattening, cash, holdings, working })
    }

    /// Lets events out that nobody asked for, and says once that it was started again: what was said before may be lost.
    fn tell(&mut self) {
        let any = !self.outbox.is_empty() && (!self.rules.own_market || self.flattening);
        if !any && !self.unannounced {
            return;
        }
        let told = self.told(None);
        let Ok(text) = serde_json::to_string(&told) else { return };
        match self.send(&text) {
            Ok(()) => self.unannounced = false,
            Err(_) => self.outbox = told.events,
        }
    }

    fn send(&mut self, text: &str) -> Result<(), SendError> {
        self.sent += 1;
        self.channel.send(&format!("{}-{}", self.rules.start, self.sent), text)
    }

    /// Events so far, and an answer.
    fn told(&mut self, reply: Option<Reply>) -> Told {
        let events = std::mem::take(&mut self.outbox);
        let line = if self.rules.own_market { 0 } else { self.rules.start };
        Told { v: VERSION, line, first: self.said - events.len() as u64, events, reply }
    }

    fn reply(&mut self, request: &Request, answer: Answer) -> String {
        let told = self.told(Some(Reply { epoch: request.epoch, n: request.n, answer }));
        let text = serde_json::to_string(&told).unwrap_or_default();
        self.replies.insert((request.epoch, request.n), text.clone());
        while self.replies.len() > REMEMBERED {
            self.replies.pop_first();
        }
        text
    }

    /// An answer that is not remembered, because nothing was done.
    fn refuse(&self, epoch: u64, n: u64, failure: Failure) -> Option<String> {
        let reply = Some(Reply { epoch, n, answer: Answer::Failed(failure) });
        let line = if self.rules.own_market { 0 } else { self.rules.start };
        let first = self.said - self.outbox.len() as u64;
        serde_json::to_string(&Told { v: VERSION, line, first, events: Vec::new(), reply }).ok()
    }

    /// Takes a request; gives the answer.
    fn take(&mut self, text: &str, source: Source<'_>) -> Result<Option<String>, AdapterError> {
        let Ok(Preface { v, epoch, n }) = serde_json::from_str(text) else { return Ok(None) };
        if v != VERSION {
            let words = format!("the broker adapter speaks version {VERSION}, and the request has {v}");
            return Ok(self.refuse(epoch, n, Failure::Refused(words)));
        }
        if let Some(text) = self.replies.get(&(epoch, n)) {
            return Ok(Some(text.clone()));
        }
        if epoch < self.epoch {
            let words = format!("program {} has taken over from program {epoch}", self.epoch);
            return Ok(self.refuse(epoch, n, Failure::Refused(words)));
        }
        if epoch == self.epoch && n <= self.last {
            return Ok(self.refuse(epoch, n, Failure::NotSent("it came after a later request".to_owned())));
        }
        let request = match serde_json::from_str::<Request>(text) {
            Ok(request) => request,
            Err(error) => {
                return Ok(self.refuse(epoch, n, Failure::Refused(format!("the request makes no sense: {error}"))));
            }
        };
        if let Ask::Market(until) = request.ask
            && !self.reach(until, source)?
        {
            let words = format!("the broker adapter has not seen market event {until} yet");
            return Ok(self.refuse(epoch, n, Failure::NotSent(words)));
        }
        (self.epoch, self.last) = (epoch, n);
        if request.ask.counts() {
            self.note(&Noted::Request(request.clone()))?;
            self.log.sync()?;
        }
        let answer = self.carry_out(&request)?;
        self.log.sync()?;
        Ok(Some(self.reply(&request, answer)))
    }

    /// Goes on in the market; false when the stream has not come so far.
    fn reach(&mut self, until: u64, source: Source<'_>) -> Result<bool, AdapterError> {
        if !self.rules.own_market {
            return Ok(true);
        }
        for _ in 0..LOOKS {
            while self.position < until
                && let Some(told) = self.tape.pop_front()
            {
                self.go_on(told)?;
            }
            if self.position >= until {
                return Ok(true);
            }
            self.tape.extend(source()?);
        }
        Ok(false)
    }

    /// Writes a market event down, if the broker lives by it, and takes it.
    fn go_on(&mut self, told: Numbered) -> Result<(), AdapterError> {
        if told.seq <= self.position {
            return Ok(());
        }
        if self.rules.own_market {
            self.note(&Noted::Market { seq: told.seq, event: told.event })?;
        }
        self.apply(told)
    }

    fn apply(&mut self, told: Numbered) -> Result<(), AdapterError> {
        self.position = told.seq;
        let Some(event) = told.event else { return Ok(()) };
        match &event {
            Market::Opened(session) => {
                self.settle_bars()?;
                if std::mem::take(&mut self.closed) {
                    self.rules.gate.step(&Event::SessionClosed)?;
                }
                self.rules.gate.step(&Event::SessionOpened(*session))?;
                self.broker_market(&event)?;
            }
            Market::Action(action) => {
                self.broker_market(&event)?;
                if let domain::ActionKind::Split { ratio } = action.kind {
                    let known = self.orders.values_mut().filter(|known| known.order.instrument == action.instrument);
                    for known in known {
                        known.order = known.order.split(ratio).map_err(EngineError::from)?;
                        known.filled = ratio.quantity(known.filled).map_err(EngineError::from)?;
                    }
                }
                self.rules.gate.step(&Event::Action(*action))?;
            }
            Market::Price { instrument, price, at, .. } => {
                self.rules.gate.step(&Event::Price { instrument: *instrument, price: *price, at: *at })?;
                self.broker_market(&event)?;
            }
            Market::Bar { bar, .. } => {
                self.broker_market(&event)?;
                self.bars.push(*bar);
            }
            Market::Closed => {
                self.broker_market(&event)?;
                self.closed = true;
                if !self.rules.own_market {
                    self.settle_bars()?;
                } else if self.flattening {
                    while self.advance()? {}
                }
            }
            Market::Clock(_) => self.broker_market(&event)?,
        }
        if self.flattening && self.rules.own_market {
            self.close_all()?;
        }
        Ok(())
    }

    fn broker_market(&mut self, event: &Market) -> Result<(), AdapterError> {
        if self.rules.own_market {
            self.broker.market(event).map_err(AdapterError::Broker)?;
        }
        self.gather()
    }

    fn advance(&mut self) -> Result<bool, AdapterError> {
        let any = self.broker.advance().map_err(AdapterError::Broker)?;
        self.gather()?;
        if !any {
            self.settle_bars()?;
        }
        Ok(any)
    }

    /// The account sees the bars once the session has been worked through.
    fn settle_bars(&mut self) -> Result<(), AdapterError> {
        if self.rules.gate.session().is_some() {
            for bar in std::mem::take(&mut self.bars) {
                self.rules.gate.step(&Event::Bar(bar))?;
            }
        }
        Ok(())
    }

    /// Takes what the broker said into the account, and keeps it for whoever trades.
    fn gather(&mut self) -> Result<(), AdapterError> {
        for event in self.broker.events() {
            match &event {
                BrokerEvent::Executed(execution) => self.executed(execution)?,
                BrokerEvent::Ended { id, reason, .. } => {
                    if let Some(known) = self.orders.get_mut(id).filter(|known| !known.over) {
                        known.over = true;
                        let (order, reason) = (known.order.id, *reason);
                        self.rules.gate.step(&Event::OrderEnded { order, reason })?;
                    }
                }
                BrokerEvent::Borrowed { symbol, amount } => {
                    if let (Some(instrument), true) = (self.instrument(symbol), self.rules.gate.session().is_some()) {
                        self.rules.gate.step(&Event::Borrowed { instrument, amount: *amount })?;
                    }
                }
                // What happened meanwhile is in the account.
                BrokerEvent::Connected => self.aligned = self.rules.own_market,
                BrokerEvent::Accepted(_) | BrokerEvent::Disconnected(_) => {}
            }
            self.outbox.push(event);
            self.said += 1;
        }
        Ok(())
    }

    fn executed(&mut self, execution: &Execution) -> Result<(), AdapterError> {
        let Some(session) = self.rules.gate.session().map(|session| session.date) else { return Ok(()) };
        let Some(known) = self.orders.get_mut(&execution.order) else { return Ok(()) };
        let size = execution.cumulative.sub(known.filled).map_err(EngineError::from)?.min(execution.quantity.abs());
        if size.signum() <= 0 {
            return Ok(());
        }
        known.filled = execution.cumulative;
        known.over |= known.filled >= known.order.quantity.abs();
        let quantity = if execution.quantity.signum() > 0 { size } else { size.neg() };
        let fee = if size == execution.quantity.abs() { execution.fee } else { Money::ZERO };
        let (order, instrument) = (known.order.id, known.order.instrument);
        self.rules.gate.step(&Event::Filled(Fill {
            order,
            instrument,
            session,
            quantity,
            price: execution.price,
            fee,
        }))?;
        Ok(())
    }

    fn instrument(&self, symbol: &Symbol) -> Option<InstrumentId> {
        self.rules.symbols.iter().position(|known| known == symbol).map(|at| InstrumentId(at as u32))
    }
}
