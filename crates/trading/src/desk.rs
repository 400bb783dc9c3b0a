//! Between the engine and a broker: works commands, asks instead of repeating, and tells the engine what came of them.
//!
//! An order leaves once. When nobody knows whether it arrived the broker is asked, and only when it has never heard of
//! the order is it sent again, under the same name. Executions are taken by what they bring an order's filled quantity
//! to, so that one told twice counts once, and one that was missed is noticed by the next and asked for.
//!
//! Every order is judged once more before it leaves, by an account of the desk's own ([`Desk::heard`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::{Calendar, Fill, InstrumentId, Order, OrderId, Quantity, Ratio, SessionDate, Symbol, Timestamp};
use engine::{Approved, Cancels, Command, Engine, EngineError, Event, Idle, OrderEnd};

use crate::broker::{Broker, BrokerEvent, ClientOrderId, Execution, Failure, OrderStatus, Owner, State, Ticket};

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It waits to be sent.
    Waiting,
    /// It was sent, and the broker took it.
    Sent,
    /// Something about it may have been missed: ask. Sent again if the broker has not heard of it by `again_from`.
    Unsure { again_from: Timestamp },
    /// It is over.
    Over,
}

#[derive(Debug, Clone)]
struct Kept {
    order: Order,
    /// What the engine let pass, and whether the desk's own account has let it pass too.
    approved: Approved,
    admitted: bool,
    stage: Stage,
    /// Until when it may leave, unless it only reduces a position.
    good_until: Timestamp,
    /// Absolute quantity that the engine knows to be filled.
    filled: Quantity,
    /// A cancel is wanted, and whether it has left.
    cancel: Option<bool>,
}

/// An event for the engine, and what the broker said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// In the broker's words.
    pub note: Option<String>,
}

/// How long a broker that has not heard of an order may still be on its way to it.
const SETTLE: i64 = 5_000_000_000;
/// Shortest and longest wait before a broker that was not reached is tried again.
const RETRY: (i64, i64) = (1_000_000_000, 60_000_000_000);
/// How long an order that may build a position waits for a broker that is not reached: after that it is of another time.
const PATIENCE: i64 = 30 * 60 * 1_000_000_000;
const TOO_LATE: &str = "it could not be sent within 30 minutes of the time it was meant for";
/// Answers that do not come, one after the other, before a broker counts as one that is not reached.
const UNCLEAR_MAX: u32 = 2;
/// For [`Stage::Unsure`]: reckoned from the next look at the clock, because the call itself took time.
const UNSET: Timestamp = Timestamp::from_nanos(i64::MAX - 1);
/// Orders that are over and still known, so that what is told late counts once.
const REMEMBERED: usize = 10_000;

/// Works an account's orders at a broker.
#[derive(Debug)]
pub struct Desk<B> {
    broker: B,
    owner: Owner,
    symbols: Vec<Symbol>,
    cancels: Cancels,
    /// The second account, which judges every order again.
    gate: Engine<Idle>,
    orders: BTreeMap<OrderId, Kept>,
    /// Those of them that are not over.
    alive: BTreeSet<OrderId>,
    over: VecDeque<OrderId>,
    /// Orders to be sent, alternatives together.
    waiting: VecDeque<Vec<OrderId>>,
    told: VecDeque<Told>,
    session: Option<SessionDate>,
    connected: bool,
    came_back: bool,
    /// Whether orders wait for compared books once the broker was not reached.
    holds: bool,
    /// They do now.
    held: bool,
    now: Timestamp,
    retry_at: Timestamp,
    failures: u32,
    /// How often unsure orders were asked about.
    asked: usize,
    trouble: Option<String>,
    /// Why the broker's books are not known.
    untold: Option<String>,
    /// Orders that were refused since this was last asked, in words.
    refused: Vec<String>,
}

impl<B: Broker> Desk<B> {
    /// A desk; `gate` is an account like the engine's own, with limits of its own.
    pub fn new(broker: B, owner: Owner, symbols: &[Symbol], cancels: Cancels, gate: Engine<Idle>) -> Self {
        Self {
            broker,
            owner,
            symbols: symbols.to_vec(),
            cancels,
            gate: gate.at_venue(symbols, Cancels::WhenConfirmed).observing(),
            orders: BTreeMap::new(),
            alive: BTreeSet::new(),
            over: VecDeque::new(),
            waiting: VecDeque::new(),
            told: VecDeque::new(),
            session: None,
            connected: true,
            came_back: false,
            holds: false,
            held: false,
            now: Timestamp::default(),
            retry_at: Timestamp::default(),
            failures: 0,
            asked: 0,
            trouble: None,
            untold: None,
            refused: Vec::new(),
        }
    }

    /// The broker.
    pub fn broker(&mut self) -> &mut B {
        &mut self.broker
    }

    /// The broker, to look at.
    pub fn broker_ref(&self) -> &B {
        &self.broker
    }

    /// The broker's names of the instruments.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// Whose orders these are.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether nothing waits to be sent and nothing is unsure.
    pub fn settled(&self) -> bool {
        self.connected
            && self.told.is_empty()
            && self.waiting.is_empty()
            && self.living().all(|(_, kept)| kept.stage == Stage::Sent && kept.cancel != Some(false))
    }

    /// Instruments with an order of which it is not known what became of it; none to be sure of before everything was
    /// told. What is held back is known: it did not leave.
    pub(crate) fn unsure(&self) -> Option<BTreeSet<InstrumentId>> {
        if !self.connected || !self.told.is_empty() || (!self.held && !self.waiting.is_empty()) {
            return None;
        }
        let waits = |kept: &Kept| self.held && kept.stage == Stage::Waiting && kept.cancel.is_none();
        let works = |kept: &Kept| kept.stage == Stage::Sent && kept.cancel != Some(false);
        let unsure = self.living().filter(|(_, kept)| !works(kept) && !waits(kept));
        Some(unsure.map(|(_, kept)| kept.order.instrument).collect())
    }

    /// Whether the line is up, as far as is known.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Once the broker was not reached, what was decided by then waits until the books have been compared.
    pub(crate) fn hold_for_books(&mut self) {
        self.holds = true;
    }

    /// Whether the broker was not reached and the line has come up since this was last asked.
    pub fn came_back(&mut self) -> bool {
        std::mem::take(&mut self.came_back)
    }

    /// Why the broker could not be reached lately, or does not tell its books; none while all is well.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref().or(self.untold.as_deref())
    }

    /// Orders that the broker or the desk refused since this was last asked, in words: an exit among them leaves a
    /// position without.
    pub fn refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    /// The broker does not tell what its books are compared by.
    pub(crate) fn untold(&mut self, what: &str, failure: &Failure) {
        self.untold = Some(format!("the books cannot be compared, because {what} are not told: {failure}"));
    }

    /// Whether the broker did not tell its books when it was last asked.
    pub(crate) fn is_untold(&self) -> bool {
        self.untold.is_some()
    }

    /// The books have been compared.
    pub(crate) fn compared(&mut self) {
        (self.untold, self.held) = (None, false);
    }

    /// The time by the clock of whoever drives the desk. Events have times too, but they jump: what waits for an answer
    /// waits by the clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Hears of what the engine is told by others than the broker.
    ///
    /// # Errors
    /// [`EngineError`] of the second account.
    pub fn heard(&mut self, event: &Event) -> Result<(), EngineError> {
        match event {
            Event::SessionOpened(session) => self.session = Some(session.date),
            Event::Action(action) => {
                if let domain::ActionKind::Split { ratio } = action.kind {
                    self.split(action.instrument, ratio)?;
                }
            }
            _ => {}
        }
        self.gate.step(event).map(|_| ())
    }

    fn split(&mut self, instrument: InstrumentId, ratio: Ratio) -> Result<(), EngineError> {
        for kept in self.orders.values_mut().filter(|kept| kept.order.instrument == instrument) {
            kept.order = kept.order.split(ratio)?;
            kept.filled = ratio.quantity(kept.filled)?;
        }
        Ok(())
    }

    /// Takes the commands of one step, to be worked by [`Desk::work`].
    pub fn take(&mut self, commands: &[Command]) {
        let mut last_group = None;
        for command in commands {
            match command {
                Command::Submit(approved) => {
                    let order = approved.order();
                    self.keep(approved, Stage::Waiting, self.good_until(false));
                    match self.waiting.back_mut().filter(|_| order.group.is_some() && last_group == order.group) {
                        Some(batch) => batch.push(order.id),
                        None => self.waiting.push_back(vec![order.id]),
                    }
                    last_group = order.group;
                }
                Command::Cancel(id) => {
                    if let Some(kept) = self.orders.get_mut(id).filter(|kept| kept.stage != Stage::Over) {
                        kept.cancel.get_or_insert(false);
                    }
                    last_group = None;
                }
            }
        }
    }

    /// Takes a step that was taken before a restart: what left then may have arrived or not.
    ///
    /// # Errors
    /// [`EngineError`] of the second account.
    pub fn recall(&mut self, event: &Event, commands: &[Command]) -> Result<(), EngineError> {
        self.heard(event)?;
        match event {
            Event::Filled(fill) => {
                let known = self.orders.get_mut(&fill.order);
                if let Some(kept) = known {
                    kept.filled = kept.filled.add(fill.quantity.abs())?;
                    if kept.filled >= kept.order.quantity.abs() {
                        self.forget(fill.order);
                    }
                }
            }
            Event::OrderEnded { order, .. } => self.forget(*order),
            _ => {}
        }
        for command in commands {
            match command {
                Command::Submit(approved) => {
                    let order = *approved.order();
                    let again_from = later(self.now, SETTLE);
                    self.keep(approved, Stage::Unsure { again_from }, self.good_until(true));
                    let admitted = self.gate.admit(plain(order)).is_ok();
                    if let Some(kept) = self.orders.get_mut(&order.id) {
                        kept.admitted = admitted;
                    }
                }
                Command::Cancel(id) => {
                    if let Some(kept) = self.orders.get_mut(id).filter(|kept| kept.stage != Stage::Over) {
                        kept.cancel = Some(false);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says what time it is.
    pub fn wake(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Something about every open order may have been missed.
    pub fn doubt(&mut self) {
        let again_from = later(self.now, SETTLE);
        for id in &self.alive {
            if let Some(kept) = self.orders.get_mut(id).filter(|kept| kept.stage == Stage::Sent) {
                kept.stage = Stage::Unsure { again_from };
            }
        }
        self.retry_at = self.now;
    }

    fn keep(&mut self, approved: &Approved, stage: Stage, good_until: Timestamp) {
        let order = *approved.order();
        let (approved, filled) = (*approved, Quantity::ZERO);
        let kept = Kept { order, approved, admitted: false, stage, good_until, filled, cancel: None };
        self.orders.insert(order.id, kept);
        self.alive.insert(order.id);
    }

    /// Until when what is decided may build a position: what follows from a close is for the next session's open. When
    /// something was decided before a restart is known by its session alone.
    fn good_until(&self, before_a_restart: bool) -> Timestamp {
        let sessions = Calendar::nyse().sessions();
        let at = self.session.map_or(0, |date| sessions.partition_point(|session| session.date < date));
        match (sessions.get(at), sessions.get(at + 1)) {
            (Some(last), Some(next)) if last.close <= self.now && (before_a_restart || self.now < next.open) => {
                later(next.open, PATIENCE)
            }
            _ => later(self.now, PATIENCE),
        }
    }

    fn living(&self) -> impl Iterator<Item = (OrderId, &Kept)> {
        self.alive.iter().filter_map(|id| self.orders.get(id).map(|kept| (*id, kept)))
    }

    fn forget(&mut self, id: OrderId) {
        let Some(kept) = self.orders.get_mut(&id).filter(|kept| kept.stage != Stage::Over) else { return };
        kept.stage = Stage::Over;
        self.alive.remove(&id);
        self.over.push_back(id);
        while self.over.len() > REMEMBERED {
            if let Some(oldest) = self.over.pop_front() {
                self.orders.remove(&oldest);
            }
        }
    }

    /// Tells the engine that an order is over, unless it asked for that itself and does not wait to hear of it.
    fn end(&mut self, id: OrderId, reason: OrderEnd, note: Option<String>) -> Result<(), EngineError> {
        let Some(kept) = self.orders.get(&id).filter(|kept| kept.stage != Stage::Over) else { return Ok(()) };
        let asked = kept.cancel.is_some() && self.cancels == Cancels::AtOnce;
        if reason == OrderEnd::Rejected {
            let (order, words) = (kept.order, note.as_deref().unwrap_or("no reason was given"));
            let symbol = &self.symbols[order.instrument.index()];
            let exit = if order.reduce_only { ", which was to reduce a position," } else { "" };
            self.refused
                .push(format!("an order of {} {symbol} {}{exit} was refused: {words}", order.quantity, order.kind));
        }
        self.forget(id);
        let event = Event::OrderEnded { order: id, reason };
        self.gate.step(&event)?;
        if !asked {
            self.told.push_back(Told { event, note });
        }
        Ok(())
    }

    /// Sends what waits, asks about what is unsure, and takes what the broker has said since.
    ///
    /// # Errors
    /// [`EngineError`] of the second account.
    pub fn work(&mut self, now: Timestamp) -> Result<(), EngineError> {
        if now > self.now {
            self.now = now;
            let unset = Stage::Unsure { again_from: UNSET };
            for id in &self.alive {
                if let Some(kept) = self.orders.get_mut(id).filter(|kept| kept.stage == unset) {
                    kept.stage = Stage::Unsure { again_from: later(now, SETTLE) };
                }
            }
        }
        self.listen()?;
        if self.connected && self.now >= self.retry_at {
            // What concerns one order stands in no other's way: answers about some may take long.
            let mut way = match self.ask()? {
                Silences { way: Way::Down, unclear: 1.. } => Way::Hindered,
                Silences { way, .. } => way,
            };
            if way < Way::Down {
                way = way.max(self.withdraw()?);
            }
            if way < Way::Down {
                way = way.max(self.send()?);
            }
            if way == Way::Down {
                let wait = RETRY.0.saturating_mul(1 << self.failures.min(6)).min(RETRY.1);
                self.failures += 1;
                self.retry_at = later(self.now, wait);
            } else {
                self.failures = 0;
                if way == Way::Open {
                    self.trouble = None;
                }
                if self.living().any(|(_, kept)| matches!(kept.stage, Stage::Unsure { .. })) {
                    self.retry_at = later(self.now, RETRY.0);
                }
            }
        }
        self.give_up()?;
        self.listen()
    }

    /// Ends what would build a position and has waited too long for a broker that is not reached.
    fn give_up(&mut self) -> Result<(), EngineError> {
        let of_another_time = |id: &&OrderId| self.orders.get(id).is_some_and(|kept| self.is_too_late(kept));
        let ended: Vec<OrderId> = self.waiting.iter().flatten().filter(of_another_time).copied().collect();
        for id in ended {
            self.end(id, OrderEnd::Expired, Some(TOO_LATE.to_owned()))?;
        }
        Ok(())
    }

    fn is_too_late(&self, kept: &Kept) -> bool {
        kept.stage == Stage::Waiting && !kept.order.reduce_only && self.now > kept.good_until
    }

    /// What the engine is to be told next.
    pub fn next_event(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn failed(&mut self, failure: &Failure) {
        self.trouble = Some(failure.to_string());
    }

    fn id_of(&self, id: OrderId) -> ClientOrderId {
        self.owner.order(id)
    }

    /// What happened at the broker meanwhile is not known.
    fn interrupted(&mut self) {
        (self.came_back, self.held) = (true, self.holds);
    }

    /// Sends batch after batch.
    fn send(&mut self) -> Result<Way, EngineError> {
        if self.held {
            let withdrawn = |id: &OrderId| self.orders.get(id).is_some_and(|kept| kept.cancel.is_some());
            let withdrawn: Vec<OrderId> = self.waiting.iter().flatten().copied().filter(withdrawn).collect();
            for id in withdrawn {
                self.prepare(id)?;
            }
            return Ok(Way::Open);
        }
        while let Some(batch) = self.waiting.front().cloned() {
            let mut tickets = Vec::new();
            for id in batch {
                if let Some(ticket) = self.prepare(id)? {
                    tickets.push(ticket);
                }
            }
            if tickets.is_empty() {
                self.waiting.pop_front();
                continue;
            }
            match self.broker.submit(&tickets) {
                Ok(()) => self.set(&tickets, Stage::Sent),
                Err(failure @ Failure::NotSent(_)) => {
                    self.failed(&failure);
                    self.interrupted();
                    return Ok(Way::Down);
                }
                Err(failure @ Failure::Unclear(_)) => {
                    self.failed(&failure);
                    self.set(&tickets, Stage::Unsure { again_from: UNSET });
                    self.waiting.pop_front();
                    return Ok(Way::Down);
                }
                Err(Failure::Refused(words)) => {
                    for ticket in &tickets {
                        self.end(ticket.approved.order().id, OrderEnd::Rejected, Some(words.clone()))?;
                    }
                }
            }
            self.waiting.pop_front();
        }
        Ok(Way::Open)
    }

    /// An order that may leave now; one that may not is ended.
    fn prepare(&mut self, id: OrderId) -> Result<Option<Ticket>, EngineError> {
        let Some(kept) = self.orders.get(&id).filter(|kept| kept.stage == Stage::Waiting) else { return Ok(None) };
        if kept.cancel.is_some() {
            self.end(id, OrderEnd::Cancelled, Some("it was withdrawn before it left".to_owned()))?;
            return Ok(None);
        }
        if self.is_too_late(kept) {
            self.end(id, OrderEnd::Expired, Some(TOO_LATE.to_owned()))?;
            return Ok(None);
        }
        let order = kept.order;
        if !kept.admitted {
            match self.gate.admit(plain(order)) {
                Ok(_) => {
                    if let Some(kept) = self.orders.get_mut(&id) {
                        kept.admitted = true;
                    }
                }
                Err(refused) => {
                    self.end(id, OrderEnd::Rejected, Some(format!("the desk refused it: {}", refused.reason)))?;
                    return Ok(None);
                }
            }
        }
        let Some(approved) = self.orders.get(&id).map(|kept| kept.approved) else { return Ok(None) };
        let position = self.gate.book().position(order.instrument);
        let symbol = self.symbols[order.instrument.index()].clone();
        let short = order.quantity.signum() < 0 && position.signum() <= 0;
        Ok(Some(Ticket { id: self.id_of(id), symbol, approved, short }))
    }

    fn set(&mut self, tickets: &[Ticket], stage: Stage) {
        for ticket in tickets {
            let id = ticket.approved.order().id;
            if let Some(kept) = self.orders.get_mut(&id).filter(|kept| kept.stage != Stage::Over) {
                kept.stage = stage;
            }
        }
    }

    /// Sends the cancels that are wanted.
    fn withdraw(&mut self) -> Result<Way, EngineError> {
        let mut silences = Silences::default();
        let wanted = self.living().filter(|(_, kept)| kept.stage == Stage::Sent && kept.cancel == Some(false));
        let wanted: Vec<OrderId> = wanted.map(|(id, _)| id).collect();
        for id in wanted {
            let asked = self.broker.cancel(&self.id_of(id));
            match asked {
                Ok(()) => {
                    if let Some(kept) = self.orders.get_mut(&id) {
                        kept.cancel = Some(true);
                    }
                }
                // It may have ended, or the cancel may have arrived: asking tells, and a cancel may be sent twice.
                Err(failure) => {
                    self.failed(&failure);
                    if let Some(kept) = self.orders.get_mut(&id).filter(|_| !matches!(failure, Failure::NotSent(_))) {
                        kept.stage = Stage::Unsure { again_from: UNSET };
                    }
                    if silences.after(&failure) == Way::Down {
                        return Ok(Way::Down);
                    }
                }
            }
        }
        // What the broker ended at once no longer counts against what is sent next.
        self.listen()?;
        Ok(silences.way)
    }

    /// Asks about every order that is unsure.
    fn ask(&mut self) -> Result<Silences, EngineError> {
        let mut silences = Silences::default();
        let unsure = self.living().filter(|(_, kept)| matches!(kept.stage, Stage::Unsure { .. }));
        let mut unsure: Vec<OrderId> = unsure.map(|(id, _)| id).collect();
        if !unsure.is_empty() {
            // Another one first each time, so that one without an answer keeps nobody from being asked about.
            self.asked = self.asked.wrapping_add(1);
            let first = self.asked % unsure.len();
            unsure.rotate_left(first);
        }
        for id in unsure {
            match self.broker.find(&self.id_of(id)) {
                Ok(Some(status)) => self.learn(id, &status)?,
                Ok(None) => {
                    let Some(kept) = self.orders.get_mut(&id) else { continue };
                    let Stage::Unsure { again_from } = kept.stage else { continue };
                    if kept.filled.signum() > 0 {
                        // It has traded, so the broker has forgotten it: nothing more will come of it.
                        self.end(id, OrderEnd::Expired, Some("the broker has forgotten it".to_owned()))?;
                    } else if kept.cancel.is_some() {
                        if self.now >= again_from {
                            self.end(id, OrderEnd::Cancelled, Some("it never reached the broker".to_owned()))?;
                        }
                    } else if self.now >= again_from {
                        kept.stage = Stage::Waiting;
                        let group = kept.order.group;
                        self.wait_with(id, group);
                    }
                }
                Err(failure) => {
                    self.failed(&failure);
                    if silences.after(&failure) == Way::Down {
                        break;
                    }
                }
            }
        }
        Ok(silences)
    }

    /// Puts an order to those that wait, beside its alternatives.
    fn wait_with(&mut self, id: OrderId, group: Option<OrderId>) {
        let orders = &self.orders;
        let with = self.waiting.iter_mut().find(|batch| {
            group.is_some() && batch.iter().any(|other| orders.get(other).is_some_and(|kept| kept.order.group == group))
        });
        match with {
            Some(batch) => batch.push(id),
            None => self.waiting.push_back(vec![id]),
        }
    }

    /// Takes what the broker knows of an order.
    fn learn(&mut self, id: OrderId, status: &OrderStatus) -> Result<(), EngineError> {
        let Some(kept) = self.orders.get(&id) else { return Ok(()) };
        let same_side = status.quantity.signum() == kept.order.quantity.signum();
        if !same_side || self.symbols.get(kept.order.instrument.index()) != Some(&status.symbol) {
            // Nothing of it is ours: neither its executions nor its end.
            let note = format!("the broker has another order of that name: {} {}", status.quantity, status.symbol);
            return self.end(id, OrderEnd::Rejected, Some(note));
        }
        for execution in &status.executions {
            self.executed(id, execution)?;
        }
        let Some(kept) = self.orders.get_mut(&id).filter(|kept| kept.stage != Stage::Over) else { return Ok(()) };
        match status.state {
            State::Working => {
                kept.stage = Stage::Sent;
                // If its cancel arrived it would not be working; it may be sent again.
                kept.cancel = kept.cancel.map(|_| false);
            }
            // Executions that the broker has not told yet will be asked for.
            State::Filled => kept.stage = Stage::Unsure { again_from: Timestamp::MAX },
            State::Ended(reason) => self.end(id, reason, None)?,
        }
        Ok(())
    }

    /// Takes what of an execution is new.
    fn executed(&mut self, id: OrderId, execution: &Execution) -> Result<(), EngineError> {
        let Some(kept) = self.orders.get_mut(&id) else { return Ok(()) };
        if execution.quantity.signum() != kept.order.quantity.signum() {
            return Ok(());
        }
        let size = execution.cumulative.sub(kept.filled)?.min(execution.quantity.abs());
        if size.signum() <= 0 {
            return Ok(());
        }
        let Some(session) = self.session else { return Err(EngineError::NoSession) };
        let whole = size == execution.quantity.abs();
        let quantity = if execution.quantity.signum() > 0 { size } else { size.neg() };
        let fee = if whole { execution.fee } else { domain::Money::ZERO };
        kept.filled = execution.cumulative;
        let (instrument, done) = (kept.order.instrument, kept.filled >= kept.order.quantity.abs());
        let fill = Fill { order: id, instrument, session, quantity, price: execution.price, fee };
        if done {
            self.forget(id);
        }
        let event = Event::Filled(fill);
        self.gate.step(&event)?;
        self.told.push_back(Told { event, note: None });
        Ok(())
    }

    /// Takes what the broker said by itself.
    fn listen(&mut self) -> Result<(), EngineError> {
        for event in self.broker.events() {
            match event {
                BrokerEvent::Accepted(_) => {}
                BrokerEvent::Connected => {
                    self.connected = true;
                    self.interrupted();
                    self.doubt();
                }
                BrokerEvent::Disconnected(words) => {
                    self.connected = false;
                    self.trouble = Some(words);
                }
                BrokerEvent::Executed(execution) => {
                    let Some(id) = self.owner.own(&execution.order) else { continue };
                    let Some(kept) = self.orders.get_mut(&id) else { continue };
                    let before = execution.cumulative.sub(execution.quantity.abs())?;
                    if before > kept.filled {
                        // One before it was missed.
                        kept.stage = Stage::Unsure { again_from: Timestamp::MAX };
                        self.retry_at = self.now;
                    } else {
                        self.executed(id, &execution)?;
                    }
                }
                BrokerEvent::Ended { id, reason, text } => {
                    let Some(id) = self.owner.own(&id) else { continue };
                    let Some(kept) = self.orders.get_mut(&id).filter(|kept| kept.stage != Stage::Over) else {
                        continue;
                    };
                    // Its last executions may have been missed, so its end is believed when it is asked about.
                    match self.broker.find(&self.owner.order(id)) {
                        Ok(Some(status)) => {
                            for execution in &status.executions {
                                self.executed(id, execution)?;
                            }
                            self.end(id, reason, (!text.is_empty()).then_some(text))?;
                        }
                        Ok(None) if kept.filled.is_zero() => {
                            self.end(id, reason, (!text.is_empty()).then_some(text))?;
                        }
                        Ok(None) | Err(_) => kept.stage = Stage::Unsure { again_from: Timestamp::MAX },
                    }
                }
                BrokerEvent::Borrowed { symbol, amount } => {
                    let Some(at) = self.symbols.iter().position(|known| *known == symbol) else { continue };
                    let event = Event::Borrowed { instrument: InstrumentId(at as u32), amount };
                    self.gate.step(&event)?;
                    self.told.push_back(Told { event, note: None });
                }
            }
        }
        Ok(())
    }
}

/// How the way to the broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Way {
    #[default]
    Open,
    /// Something about one order did not work.
    Hindered,
    /// The broker is not reached.
    Down,
}

/// What failures about single orders say about the way.
#[derive(Debug, Default)]
struct Silences {
    way: Way,
    unclear: u32,
}

impl Silences {
    fn after(&mut self, failure: &Failure) -> Way {
        self.unclear += u32::from(matches!(failure, Failure::Unclear(_)));
        let down = matches!(failure, Failure::NotSent(_)) || self.unclear >= UNCLEAR_MAX;
        self.way = if down { Way::Down } else { Way::Hindered };
        self.way
    }
}

fn later(at: Timestamp, nanos: i64) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(nanos))
}

/// The order without its bracket: the engine sends exits itself as the entry fills.
fn plain(order: Order) -> Order {
    Order { bracket: None, ..order }
}
