//! A broker in another process, over two queues that may lose, double and delay what they carry.
//!
//! [`RemoteBroker`] is the [`Broker`] of whoever trades: a call is a request with a number, and its answer comes back
//! with the same number, or not in time ([`Failure::Unclear`]). [`Adapter`] stands before the real broker. It takes
//! requests in the order of their numbers and does each once: one that comes again is answered from memory, one that
//! comes after a later one is refused, so that an order which the broker "has never seen" cannot turn up afterwards.
//! What may change something is written down before it is done ([`journal::Lines`]), so that a restart forgets nothing.
//!
//! An order arrives as an [`Order`] and is judged by the adapter's own account before anything leaves: nothing that was
//! approved elsewhere counts as approved here.
//!
//! Requests carry the number of the sender's lease ([`RemoteBroker::new`]). Once a higher one was seen, a lower one is
//! refused: a trader that was frozen while somebody else took over can do no harm when it wakes.
//!
//! A broker that is its own market (paper) reads the market stream beside the trader, and goes on in it as far as the
//! trader says ([`RemoteBroker::at`]): so fills come at the same place in the journal every time. When the trader is gone
//! and everything is to be closed ([`flatten`]), it goes on by itself.

use std::collections::{BTreeMap, VecDeque};

use domain::{Bar, Fill, InstrumentId, Money, Order, OrderId, OrderKind, Quantity, SessionDate, Symbol, TimeInForce};
use engine::{Approved, Cancels, Correction, Engine, EngineError, Event, Idle};
use journal::{Lines, LinesError};
use serde::{Deserialize, Serialize};

use crate::broker::{
    Account, Broker, BrokerEvent, ClientOrderId, Execution, Failure, Holding, OrderStatus, Owner, State, Ticket,
};
use crate::market::Market;
use crate::tape::{Numbered, TapeError};

/// Version of the messages; either side refuses any other.
pub const VERSION: u32 = 1;

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it says.
    pub text: String,
    /// What the channel knows it by.
    pub receipt: String,
}

/// A message did not leave for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// It did not.
    NotSent(String),
    /// It may have.
    Unclear(String),
}

/// What has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages, oldest first.
    pub letters: Vec<Letter>,
    /// How long that took.
    pub waited_ms: u64,
}

/// Two queues: one to the other side, one from it.
pub trait Channel {
    /// Sends a message under an id that no other has.
    ///
    /// # Errors
    /// [`SendError`].
    fn send(&mut self, id: &str, text: &str) -> Result<(), SendError>;

    /// What has come since; waits for it at most so long. A message comes again until it is done with.
    ///
    /// # Errors
    /// In words.
    fn receive(&mut self, wait_ms: u64) -> Result<Received, String>;

    /// Is done with a message.
    fn done(&mut self, letter: &Letter);
}

/// An order on its way to the adapter: no approval goes with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sheet {
    id: ClientOrderId,
    symbol: Symbol,
    order: Order,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Hello,
    Submit(Vec<Sheet>),
    Cancel(ClientOrderId),
    Replace(ClientOrderId, Sheet),
    Find(ClientOrderId),
    Working,
    Account,
    Market(u64),
    Advance,
    Flatten(String),
}

impl Ask {
    /// Whether a restart must know of it: it changes something, or what was answered rules out something earlier.
    fn counts(&self) -> bool {
        !matches!(self, Self::Working | Self::Account)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Request {
    v: u32,
    epoch: u64,
    n: u64,
    ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Hello { account: String, own_market: bool },
    Done,
    Found(Option<OrderStatus>),
    Working(Vec<OrderStatus>),
    Account(Account),
    Advanced(bool),
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reply {
    epoch: u64,
    n: u64,
    answer: Answer,
}

/// What the adapter says: events, each with a number, and an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    v: u32,
    /// Changes when the numbers of events begin anew.
    line: u64,
    /// Number of the first event; of the next one, where there is none.
    first: u64,
    events: Vec<BrokerEvent>,
    reply: Option<Reply>,
}

/// What any version says of itself.
#[derive(Deserialize)]
struct Preface {
    v: u32,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    n: u64,
}

/// A request to cancel everything that works and close every position, from whoever has taken the lease with this
/// number: its id and its text.
#[must_use]
pub fn flatten(epoch: u64, reason: &str) -> Option<(String, String)> {
    let request = Request { v: VERSION, epoch, n: 1, ask: Ask::Flatten(reason.to_owned()) };
    Some((format!("{epoch}-1-0"), serde_json::to_string(&request).ok()?))
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// One request.
    pub answer_ms: u64,
    /// How often a broker that is its own market is asked: its market waits, and nothing may overtake what was lost.
    pub market_tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer_ms: 5_000, market_tries: 24 }
    }
}

/// How long one look into the channel takes at most.
const SLICE_MS: u64 = 1_000;

/// A broker behind a channel.
#[derive(Debug)]
pub struct RemoteBroker<C> {
    channel: C,
    epoch: u64,
    n: u64,
    patience: Patience,
    own_market: bool,
    position: u64,
    line: Option<u64>,
    next_event: u64,
    said: VecDeque<BrokerEvent>,
    interruptions: u64,
}

impl<C: Channel> RemoteBroker<C> {
    /// A broker behind a channel, for the holder of a lease.
    pub fn new(channel: C, epoch: u64, patience: Patience) -> Self {
        Self {
            channel,
            epoch,
            n: 0,
            patience,
            own_market: false,
            position: 0,
            line: None,
            next_event: 0,
            said: VecDeque::new(),
            interruptions: 0,
        }
    }

    /// Makes itself known; gives the name of the broker, and whether it is its own market.
    ///
    /// # Errors
    /// [`Failure`]; try again.
    pub fn hello(&mut self) -> Result<(String, bool), Failure> {
        match self.call(Ask::Hello)? {
            Answer::Hello { account, own_market } => {
                self.own_market = own_market;
                Ok((account, own_market))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Says how far the market stream has been read: the number of the event that is told next.
    pub fn at(&mut self, position: u64) {
        self.position = position;
    }

    /// How often something of what the broker said was missed.
    pub fn interruptions(&self) -> u64 {
        self.interruptions
    }

    fn call(&mut self, ask: Ask) -> Result<Answer, Failure> {
        let tries = if self.own_market { self.patience.market_tries } else { 1 };
        self.n += 1;
        let request = Request { v: VERSION, epoch: self.epoch, n: self.n, ask };
        let text = serde_json::to_string(&request).map_err(|error| Failure::Refused(error.to_string()))?;
        let (mut left, mut trouble) = (false, String::new());
        for attempt in 0..tries {
            // The same number: what was done already is answered from memory.
            match self.channel.send(&format!("{}-{}-{attempt}", self.epoch, self.n), &text) {
                Ok(()) => left = true,
                Err(SendError::Unclear(words)) => (left, trouble) = (true, words),
                Err(SendError::NotSent(words)) => {
                    trouble = words;
                    continue;
                }
            }
            match self.wait()? {
                Some(Answer::Failed(failure @ Failure::NotSent(_))) if attempt + 1 < tries => {
                    trouble = failure.to_string();
                }
                Some(Answer::Failed(failure)) => return Err(failure),
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
        if left {
            let seconds = self.patience.answer_ms * u64::from(tries) / 1_000;
            let reason = if trouble.is_empty() { String::new() } else { format!(": {trouble}") };
            Err(Failure::Unclear(format!("the broker adapter did not answer within {seconds} s{reason}")))
        } else {
            Err(Failure::NotSent(trouble))
        }
    }

    /// Waits for the answer to the last request.
    fn wait(&mut self) -> Result<Option<Answer>, Failure> {
        let mut left = self.patience.answer_ms;
        while left > 0 {
            let wait = left.min(SLICE_MS);
            let Ok(received) = self.channel.receive(wait) else {
                left -= wait;
                continue;
            };
            left = left.saturating_sub(received.waited_ms.max(1));
            let mut answer = None;
            for letter in received.letters {
                let told = self.hear(&letter.text);
                self.channel.done(&letter);
                if let Some(reply) = told?.filter(|reply| (reply.epoch, reply.n) == (self.epoch, self.n)) {
                    answer = Some(reply.answer);
                }
            }
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    /// Takes a message: keeps its events, gives its answer.
    fn hear(&mut self, text: &str) -> Result<Option<Reply>, Failure> {
        let Ok(preface) = serde_json::from_str::<Preface>(text) else { return Ok(None) };
        if preface.v != VERSION {
            return Err(Failure::Refused(format!(
                "the broker adapter speaks version {}, and this program {VERSION}; use the same release for both",
                preface.v
            )));
        }
        let Ok(told) = serde_json::from_str::<Told>(text) else { return Ok(None) };
        if self.line != Some(told.line) {
            if self.line.is_some_and(|line| line > told.line) {
                // What an adapter said before it was started again.
                return Ok(told.reply);
            }
            if self.line.is_some() {
                self.missed();
            }
            (self.line, self.next_event) = (Some(told.line), told.first);
        }
        if told.first > self.next_event {
            self.missed();
            self.next_event = told.first;
        }
        for (number, event) in (told.first..).zip(told.events) {
            if number >= self.next_event {
                self.next_event = number + 1;
                self.said.push_back(event);
            }
        }
        Ok(told.reply)
    }

    fn missed(&mut self) {
        self.interruptions += 1;
        self.said.push_back(BrokerEvent::Connected);
    }

    fn ask_done(&mut self, ask: Ask) -> Result<(), Failure> {
        match self.call(ask)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::Unclear(format!("the broker adapter answered something else: {answer:?}"))
}

fn sheet(ticket: &Ticket) -> Sheet {
    Sheet { id: ticket.id.clone(), symbol: ticket.symbol.clone(), order: *ticket.approved.order() }
}

impl<C: Channel> Broker for RemoteBroker<C> {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        self.ask_done(Ask::Submit(tickets.iter().map(sheet).collect()))
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        self.ask_done(Ask::Cancel(id.clone()))
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        self.ask_done(Ask::Replace(id.clone(), sheet(with)))
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        match self.call(Ask::Find(id.clone()))? {
            Answer::Found(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        match self.call(Ask::Working)? {
            Answer::Working(orders) => Ok(orders),
            other => Err(unexpected(&other)),
        }
    }

    fn account(&mut self) -> Result<Account, Failure> {
        match self.call(Ask::Account)? {
            Answer::Account(account) => Ok(account),
            other => Err(unexpected(&other)),
        }
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        // A broker that is its own market says nothing unless it is asked to go on.
        if !self.own_market
            && let Ok(received) = self.channel.receive(0)
        {
            for letter in received.letters {
                if let Err(failure) = self.hear(&letter.text) {
                    self.said.push_back(BrokerEvent::Disconnected(failure.to_string()));
                }
                self.channel.done(&letter);
            }
        }
        self.said.drain(..).collect()
    }

    fn market(&mut self, _event: &Market) -> Result<(), Failure> {
        if !self.own_market {
            return Ok(());
        }
        match self.call(Ask::Market(self.position))? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn advance(&mut self) -> Result<bool, Failure> {
        if !self.own_market {
            return Ok(false);
        }
        match self.call(Ask::Advance)? {
            Answer::Advanced(any) => Ok(any),
            other => Err(unexpected(&other)),
        }
    }
}

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

    fn carry_out(&mut self, request: &Request) -> Result<Answer, AdapterError> {
        let done = |result: Result<(), Failure>| result.map_or_else(Answer::Failed, |()| Answer::Done);
        let answer = match &request.ask {
            Ask::Hello => {
                // Whoever trades from here on leads the market again.
                self.flattening = false;
                Answer::Hello { account: self.rules.account.clone(), own_market: self.rules.own_market }
            }
            Ask::Submit(sheets) => done(self.submit(sheets)?),
            Ask::Cancel(id) => done(self.broker.cancel(id)),
            Ask::Replace(id, with) => match self.admit(with)? {
                Ok((ticket, new)) => {
                    let replaced = self.broker.replace(id, &ticket);
                    if matches!(replaced, Err(Failure::Refused(_) | Failure::NotSent(_))) && new {
                        self.withdraw(&ticket.id)?;
                    }
                    done(replaced)
                }
                Err(failure) => Answer::Failed(failure),
            },
            Ask::Find(id) => self.broker.find(id).map_or_else(Answer::Failed, Answer::Found),
            Ask::Working => self.broker.working().map_or_else(Answer::Failed, Answer::Working),
            Ask::Account => self.broker.account().map_or_else(Answer::Failed, Answer::Account),
            Ask::Market(_) => Answer::Done,
            Ask::Advance => Answer::Advanced(self.advance()?),
            Ask::Flatten(_) => {
                self.flattening = true;
                if self.rules.own_market && self.closed {
                    while self.advance()? {}
                }
                self.close_all()?;
                Answer::Done
            }
        };
        self.gather()?;
        Ok(answer)
    }

    /// Judges and sends orders; for alternatives, all or none.
    fn submit(&mut self, sheets: &[Sheet]) -> Result<Result<(), Failure>, AdapterError> {
        let (mut tickets, mut fresh) = (Vec::new(), Vec::new());
        for sheet in sheets {
            match self.admit(sheet)? {
                Ok((ticket, new)) => {
                    if new {
                        fresh.push(ticket.id.clone());
                    }
                    tickets.push(ticket);
                }
                Err(failure) => {
                    for id in &fresh {
                        self.withdraw(id)?;
                    }
                    return Ok(Err(failure));
                }
            }
        }
        let sent = self.broker.submit(&tickets);
        if matches!(sent, Err(Failure::Refused(_) | Failure::NotSent(_))) {
            for id in &fresh {
                self.withdraw(id)?;
            }
        }
        Ok(sent)
    }

    /// Judges an order, unless it was judged before; true when it is new.
    fn admit(&mut self, sheet: &Sheet) -> Result<Result<(Ticket, bool), Failure>, AdapterError> {
        let refused = |words: String| Ok(Err(Failure::Refused(words)));
        let Some(instrument) = self.instrument(&sheet.symbol) else {
            return refused(format!("the broker adapter does not trade {}", sheet.symbol));
        };
        if self.rules.owner.own(&sheet.id) != Some(sheet.order.id) {
            return refused(format!("order {} is called {}, which is not its name", sheet.order.id.0, sheet.id));
        }
        let order = Order { instrument, bracket: None, ..sheet.order };
        let short = order.quantity.signum() < 0 && self.rules.gate.book().position(instrument).signum() <= 0;
        let ticket = |approved| Ticket { id: sheet.id.clone(), symbol: sheet.symbol.clone(), approved, short };
        if let Some(approved) = self.orders.get(&sheet.id).and_then(|known| known.approved) {
            return Ok(Ok((ticket(approved), false)));
        }
        if !self.aligned && !order.reduce_only {
            let why = if self.unaligned.0.is_empty() { "it was not asked yet" } else { &self.unaligned.0 };
            return Ok(Err(Failure::NotSent(format!("the broker adapter does not know the account: {why}"))));
        }
        match self.rules.gate.admit(order) {
            Ok(approved) => {
                let known = Known { order, approved: Some(approved), filled: Quantity::ZERO, over: false };
                self.orders.insert(sheet.id.clone(), known);
                Ok(Ok((ticket(approved), true)))
            }
            Err(judged) => refused(format!("the broker adapter refused it: {}", judged.reason)),
        }
    }

    /// Forgets an order that did not leave.
    fn withdraw(&mut self, id: &ClientOrderId) -> Result<(), AdapterError> {
        if let Some(known) = self.orders.remove(id) {
            let event = Event::OrderEnded { order: known.order.id, reason: engine::OrderEnd::Rejected };
            self.rules.gate.step(&event)?;
        }
        Ok(())
    }

    /// Makes the account the broker's, once a session is open and the broker can be asked.
    fn align(&mut self) -> Result<(), AdapterError> {
        if self.aligned || self.rules.gate.session().is_none() {
            return Ok(());
        }
        if self.unaligned.1 > 0 {
            self.unaligned.1 -= 1;
            return Ok(());
        }
        let told = self.broker.working().and_then(|working| Ok((working, self.broker.account()?)));
        let (working, account) = match told {
            Ok(told) => told,
            Err(failure) => {
                self.unaligned = (failure.to_string(), UNALIGNED_TURNS);
                return Ok(());
            }
        };
        for status in working.iter().filter(|status| status.state == State::Working) {
            let order = self.rules.owner.own(&status.id).or_else(|| self.rules.closer.own(&status.id));
            let (Some(id), Some(instrument)) = (order, self.instrument(&status.symbol)) else { continue };
            let filled = status.executions.last().map(|execution| execution.cumulative).unwrap_or_default();
            let order = market_order(id, instrument, status.quantity);
            let known = Known { order, approved: None, filled, over: false };
            self.orders.entry(status.id.clone()).and_modify(|known| known.filled = filled).or_insert(known);
        }
        self.take_over(&account)?;
        self.aligned = true;
        Ok(())
    }

    fn take_over(&mut self, account: &Account) -> Result<(), AdapterError> {
        let mut corrections = Vec::new();
        let book = self.rules.gate.book();
        for (at, symbol) in self.rules.symbols.iter().enumerate() {
            let instrument = InstrumentId(at as u32);
            let held = account.holdings.iter().find(|holding| holding.symbol == *symbol);
            let (ours, theirs) = (book.position(instrument), held.map(|holding| holding.quantity).unwrap_or_default());
            if ours != theirs {
                let price = held.and_then(|holding| holding.price).or(book.mark_of(instrument)).unwrap_or_default();
                corrections.push(Correction::Position { instrument, ours, theirs, price });
            }
        }
        if let Some(theirs) = account.cash.filter(|theirs| *theirs != book.cash()) {
            corrections.push(Correction::Cash { ours: book.cash(), theirs });
        }
        for correction in &corrections {
            self.rules.gate.step(&Event::Corrected(*correction))?;
        }
        if !corrections.is_empty() {
            self.rules.gate.step(&Event::Accepted)?;
        }
        Ok(())
    }

    /// Withdraws what works and sends what closes positions. What fails is tried again at the next turn.
    fn close_all(&mut self) -> Result<(), AdapterError> {
        let Ok(working) = self.broker.working() else { return Ok(()) };
        for order in working.iter().filter(|order| self.rules.owner.own(&order.id).is_some()) {
            let _ = self.broker.cancel(&order.id);
        }
        self.gather()?;
        let (Ok(account), Ok(working)) = (self.broker.account(), self.broker.working()) else { return Ok(()) };
        if self.rules.gate.session().is_none() {
            return Ok(());
        }
        self.take_over(&account)?;
        for holding in &account.holdings {
            let Some(instrument) = self.instrument(&holding.symbol) else { continue };
            if !self.own_closes_are_over(instrument)? {
                continue;
            }
            let closes =
                |order: &OrderStatus| self.rules.closer.own(&order.id).is_some() && order.symbol == holding.symbol;
            if working.iter().any(closes) {
                continue;
            }
            // A broker elsewhere has seen the names of an earlier adapter.
            let start = if self.rules.own_market { 0 } else { (self.rules.start & 0x7fff_ffff) << 32 };
            let id = OrderId(OWN_ORDERS | start | self.own_orders);
            self.own_orders += 1;
            let order = market_order(id, instrument, holding.quantity.neg());
            let Ok(approved) = self.rules.gate.admit(order) else { continue };
            let name = self.rules.closer.order(id);
            let known = Known { order, approved: Some(approved), filled: Quantity::ZERO, over: false };
            self.orders.insert(name.clone(), known);
            let ticket = Ticket { id: name.clone(), symbol: holding.symbol.clone(), approved, short: false };
            if matches!(self.broker.submit(&[ticket]), Err(Failure::Refused(_) | Failure::NotSent(_))) {
                self.withdraw(&name)?;
            }
        }
        self.gather()
    }

    /// Whether nothing can come any more of what was sent to close an instrument. What was sent and not answered is asked
    /// about: a second close beside it would turn the position round.
    fn own_closes_are_over(&mut self, instrument: InstrumentId) -> Result<bool, AdapterError> {
        let open = |(id, known): (&ClientOrderId, &Known)| {
            let own = known.order.instrument == instrument && !known.over && self.rules.closer.own(id).is_some();
            own.then(|| id.clone())
        };
        let open: Vec<ClientOrderId> = self.orders.iter().filter_map(open).collect();
        for id in open {
            match self.broker.find(&id) {
                Ok(None) => self.withdraw(&id)?,
                Ok(Some(status)) if status.state == State::Working => return Ok(false),
                Ok(Some(status)) => {
                    // The account that was told may be from before these.
                    let new = status
                        .executions
                        .iter()
                        .any(|one| self.orders.get(&id).is_some_and(|known| one.cumulative > known.filled));
                    for execution in &status.executions {
                        self.executed(execution)?;
                    }
                    if let Some(known) = self.orders.get_mut(&id).filter(|known| !known.over) {
                        known.over = true;
                        let event = Event::OrderEnded { order: known.order.id, reason: engine::OrderEnd::Cancelled };
                        self.rules.gate.step(&event)?;
                    }
                    if new {
                        return Ok(false);
                    }
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

fn market_order(id: OrderId, instrument: InstrumentId, quantity: Quantity) -> Order {
    Order {
        id,
        instrument,
        quantity,
        kind: OrderKind::Market,
        time_in_force: TimeInForce::GoodTillCancelled,
        bracket: None,
        group: None,
        reduce_only: true,
    }
}
