//! Where the orders of the API trade: a broker in this process, behind the limits.
//!
//! The gate is an engine whose strategy wants nothing: it keeps the account, and only what it admits reaches the
//! broker. What the engine itself asks for (a margin call closes positions) is passed on too.

use std::collections::HashMap;

use domain::{
    Bar, Calendar, Fill, InstrumentId, Money, Order, OrderId, OrderKind, Overflow, Price, Quantity, Session, Symbol,
    TimeInForce, Timestamp,
};
use engine::{Cancels, Command, Engine, EngineError, Event, Idle, Limits, Mode, OrderEnd, Refusal};
use trading::market::Market;
use trading::{Broker, BrokerEvent, ClientOrderId, Execution, Failure, Ticket};

/// The account cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// The account.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] Failure),
}

/// An order as it is wished.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) id: ClientOrderId,
    pub(super) instrument: InstrumentId,
    /// To buy (positive) or sell (negative).
    pub(super) quantity: Quantity,
    pub(super) kind: OrderKind,
    pub(super) time_in_force: TimeInForce,
    pub(super) reduce_only: bool,
}

/// What has happened to an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Executed {
        execution: Execution,
        position: Quantity,
    },
    Ended {
        id: ClientOrderId,
        reason: OrderEnd,
    },
    /// The gate asked for an order by itself.
    Forced {
        id: ClientOrderId,
        order: Order,
    },
}

/// Why a wish did not come to the floor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Declined {
    Limit(Refusal),
    Failed(FloorError),
}

impl From<FloorError> for Declined {
    fn from(error: FloorError) -> Self {
        Self::Failed(error)
    }
}

/// A position as the account has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) instrument: InstrumentId,
    pub(super) quantity: Quantity,
    pub(super) entry_price: Price,
    pub(super) price: Price,
    pub(super) last_close: Price,
}

/// A broker in this process with an account in front of it.
#[derive(Debug)]
pub struct Floor<B> {
    gate: Engine<Idle>,
    limits: Limits,
    broker: B,
    symbols: Vec<Symbol>,
    calendar: &'static Calendar,
    now: Timestamp,
    trades: bool,
    bars: Vec<Bar>,
    /// Prices and equity when the session opened.
    last_closes: Vec<Option<Price>>,
    last_equity: Money,
    names: HashMap<OrderId, ClientOrderId>,
    orders: HashMap<ClientOrderId, Order>,
    count: u64,
    told: Vec<Told>,
}

/// Above every number that an engine gives.
const FIRST_ORDER: u64 = 1 << 63;

impl<B: Broker> Floor<B> {
    /// An account with the cash that the broker's has, and nothing else.
    #[must_use]
    pub fn new(broker: B, symbols: &[Symbol], cash: Money, limits: Limits) -> Self {
        let gate = Engine::new(Idle, cash, symbols.len(), limits.clone());
        Self {
            gate: gate.at_venue(symbols, Cancels::WhenConfirmed),
            limits,
            broker,
            symbols: symbols.to_vec(),
            calendar: Calendar::nyse(),
            now: Timestamp::default(),
            trades: false,
            bars: Vec::new(),
            last_closes: vec![None; symbols.len()],
            last_equity: cash,
            names: HashMap::new(),
            orders: HashMap::new(),
            count: 0,
            told: Vec::new(),
        }
    }

    /// Something happened in the market: the broker trades on it, and the account hears of both.
    ///
    /// # Errors
    /// [`FloorError`].
    pub fn market(&mut self, event: &Market) -> Result<(), FloorError> {
        match event {
            Market::Opened(session) => {
                (self.now, self.trades) = (session.open, true);
                for (at, close) in self.last_closes.iter_mut().enumerate() {
                    *close = self.gate.book().mark_of(InstrumentId(at as u32));
                }
                self.last_equity = self.gate.book().equity().map_err(EngineError::from)?;
                self.step(&Event::SessionOpened(*session))?;
                self.broker.market(event)?;
            }
            Market::Action(action) => {
                self.broker.market(event)?;
                self.hear()?;
                self.step(&Event::Action(*action))?;
            }
            Market::Price { instrument, price, at, .. } => {
                self.now = self.now.max(*at);
                self.step(&Event::Price { instrument: *instrument, price: *price, at: *at })?;
                self.broker.market(event)?;
            }
            Market::Bar { bar, .. } => {
                self.bars.push(*bar);
                self.broker.market(event)?;
            }
            Market::Closed => {
                if let Some(close) = self.gate.session().map(|session| session.close) {
                    self.now = self.now.max(close);
                }
                self.broker.market(event)?;
                while self.broker.advance()? {
                    self.hear()?;
                }
                self.hear()?;
                for bar in std::mem::take(&mut self.bars) {
                    self.step(&Event::Bar(bar))?;
                }
                self.trades = false;
                self.step(&Event::SessionClosed)?;
            }
            Market::Clock(at) => {
                self.now = self.now.max(*at);
                self.step(&Event::Clock(*at))?;
                self.broker.market(event)?;
            }
        }
        self.hear()
    }

    /// A person or the guardian says what may still be done; what has to be cancelled or closed for it is.
    ///
    /// # Errors
    /// [`FloorError`].
    pub fn control(&mut self, mode: Mode) -> Result<(), FloorError> {
        self.step(&Event::Control(mode))?;
        self.hear()
    }

    /// Lets the account hear of an event, and does what it asks for.
    fn step(&mut self, event: &Event) -> Result<(), FloorError> {
        let commands = self.gate.step(event)?.commands.clone();
        for command in commands {
            match command {
                Command::Cancel(order) => {
                    if let Some(id) = self.names.get(&order).cloned() {
                        self.broker.cancel(&id)?;
                    }
                }
                Command::Submit(approved) => {
                    let order = *approved.order();
                    let id = ClientOrderId::told(format!("forced-{:x}", order.id.0));
                    self.broker.submit(&[self.ticket(&id, approved)])?;
                    self.remember(&id, order);
                    self.told.push(Told::Forced { id, order });
                }
            }
        }
        Ok(())
    }

    /// Takes what the broker says into the account, until it says nothing more.
    fn hear(&mut self) -> Result<(), FloorError> {
        loop {
            let events = self.broker.events();
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                self.heard(event)?;
            }
        }
    }

    fn heard(&mut self, event: BrokerEvent) -> Result<(), FloorError> {
        match event {
            BrokerEvent::Executed(execution) => {
                let session = self.gate.session().map(|session| session.date).ok_or(EngineError::NoSession)?;
                let Some(order) = self.orders.get(&execution.order).copied() else { return Ok(()) };
                let Execution { quantity, price, fee, .. } = execution;
                let fill = Fill { order: order.id, instrument: order.instrument, session, quantity, price, fee };
                self.step(&Event::Filled(fill))?;
                let position = self.gate.book().position(order.instrument);
                self.told.push(Told::Executed { execution, position });
            }
            BrokerEvent::Ended { id, reason, .. } => {
                if let Some(order) = self.orders.get(&id).map(|order| order.id) {
                    self.step(&Event::OrderEnded { order, reason })?;
                }
                self.told.push(Told::Ended { id, reason });
            }
            BrokerEvent::Borrowed { symbol, amount } => {
                if let Some(instrument) = self.instrument(symbol.as_str()) {
                    self.step(&Event::Borrowed { instrument, amount })?;
                }
            }
            BrokerEvent::Accepted(_) | BrokerEvent::Connected | BrokerEvent::Disconnected(_) => {}
        }
        Ok(())
    }

    fn ticket(&self, id: &ClientOrderId, approved: engine::Approved) -> Ticket {
        let order = approved.order();
        let symbol = self.symbols[order.instrument.index()].clone();
        let short = order.quantity.signum() < 0 && self.gate.book().position(order.instrument).signum() <= 0;
        Ticket { id: id.clone(), symbol, approved, short }
    }

    fn remember(&mut self, id: &ClientOrderId, order: Order) {
        self.names.insert(order.id, id.clone());
        self.orders.insert(id.clone(), order);
    }

    /// Lets the limits judge wishes, several as alternatives: all of them pass, or none counts.
    fn admit(&mut self, wishes: &[Wish]) -> Result<Vec<Ticket>, Declined> {
        let group = (wishes.len() > 1).then_some(OrderId(FIRST_ORDER + self.count));
        let mut tickets: Vec<Ticket> = Vec::new();
        for wish in wishes {
            let order = Order {
                id: OrderId(FIRST_ORDER + self.count),
                instrument: wish.instrument,
                quantity: wish.quantity,
                kind: wish.kind,
                time_in_force: wish.time_in_force,
                bracket: None,
                group,
                reduce_only: wish.reduce_only,
            };
            self.count += 1;
            match self.gate.admit(order) {
                Ok(approved) => tickets.push(self.ticket(&wish.id, approved)),
                Err(refused) => {
                    self.withdraw(&tickets)?;
                    return Err(Declined::Limit(refused.reason));
                }
            }
        }
        Ok(tickets)
    }

    /// Takes admitted orders that did not leave out of the account.
    fn withdraw(&mut self, tickets: &[Ticket]) -> Result<(), FloorError> {
        for ticket in tickets {
            let order = ticket.approved.order().id;
            self.step(&Event::OrderEnded { order, reason: OrderEnd::Rejected })?;
        }
        Ok(())
    }

    fn send(&mut self, tickets: &[Ticket]) -> Result<(), Declined> {
        if let Err(failure) = self.broker.submit(tickets) {
            self.withdraw(tickets)?;
            return Err(Declined::Failed(failure.into()));
        }
        for ticket in tickets {
            self.remember(&ticket.id, *ticket.approved.order());
        }
        Ok(self.hear()?)
    }

    /// Works one order, or several as alternatives.
    pub(super) fn submit(&mut self, wishes: &[Wish]) -> Result<(), Declined> {
        let tickets = self.admit(wishes)?;
        self.send(&tickets)
    }

    /// Stops working an order.
    pub(super) fn cancel(&mut self, id: &ClientOrderId) -> Result<(), FloorError> {
        self.broker.cancel(id)?;
        self.hear()
    }

    /// Puts wishes in the place of orders that work. When the limits refuse them the old ones go on; one that the
    /// limits would not let pass again either (a price has moved) is cancelled.
    pub(super) fn swap(&mut self, old: &[ClientOrderId], wishes: &[Wish]) -> Result<(), Declined> {
        let mut working = Vec::new();
        for id in old {
            let Some(order) = self.orders.get(id).copied() else { continue };
            let open = self.gate.open_orders().iter().find(|open| open.order.id == order.id);
            working.extend(open.map(|open| (id.clone(), Order { quantity: open.remaining, ..open.order })));
            self.step(&Event::OrderEnded { order: order.id, reason: OrderEnd::Replaced })?;
        }
        match self.admit(wishes) {
            Ok(tickets) => {
                for id in old {
                    self.orders.remove(id);
                    self.broker.cancel(id).map_err(FloorError::from)?;
                }
                self.send(&tickets)
            }
            Err(declined) => {
                for (id, order) in working {
                    if self.gate.admit(order).is_err() {
                        self.broker.cancel(&id).map_err(FloorError::from)?;
                    }
                }
                self.hear()?;
                Err(declined)
            }
        }
    }

    /// What happened since the last call, oldest first.
    pub(super) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &B {
        &self.broker
    }

    /// The account.
    #[must_use]
    pub fn book(&self) -> &engine::Book {
        self.gate.book()
    }

    /// Orders that work.
    #[must_use]
    pub fn open_orders(&self) -> Vec<Order> {
        self.gate.open_orders().iter().map(|open| open.order).collect()
    }

    /// Time of the latest event.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    #[cfg(test)]
    pub(super) fn broker_mut(&mut self) -> &mut B {
        &mut self.broker
    }

    #[cfg(test)]
    pub(super) fn number(&self, id: &ClientOrderId) -> Option<OrderId> {
        self.orders.get(id).map(|order| order.id)
    }

    pub(super) fn trades(&self) -> bool {
        self.trades
    }

    pub(super) fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    pub(super) fn instrument(&self, symbol: &str) -> Option<InstrumentId> {
        let at = self.symbols.iter().position(|one| one.as_str().eq_ignore_ascii_case(symbol))?;
        u32::try_from(at).ok().map(InstrumentId)
    }

    pub(super) fn sessions(&self) -> &'static [Session] {
        self.calendar.sessions()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn last_equity(&self) -> Money {
        self.last_equity
    }

    pub(super) fn held(&self) -> Result<Vec<Held>, Overflow> {
        let trades = self.gate.open_trades().map_err(|_| Overflow)?;
        let held = trades.iter().map(|trade| {
            let price = self.book().mark_of(trade.instrument).unwrap_or_default();
            Held {
                instrument: trade.instrument,
                quantity: self.book().position(trade.instrument),
                entry_price: trade.entry_price,
                price,
                last_close: self.last_closes[trade.instrument.index()].unwrap_or(price),
            }
        });
        Ok(held.collect())
    }
}
