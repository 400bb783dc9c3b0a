//! The simulator's venue as a broker: an account with cash and positions, orders by their names, executions.
//!
//! It is its own market ([`Broker::market`]). Told of bars alone it does what a backtest does, in the same order; told
//! of prices inside a session it trades on each of them.

use std::collections::{BTreeMap, VecDeque};

use domain::{Bar, InstrumentId, Money, Order, OrderId, Quantity, Symbol, Timestamp};
use engine::{Cancels, Command, Engine, Event, Idle, Limits, Margin, OrderEnd};
use simulator::{Costs, Phase, Venue};

use crate::broker::{
    Account, Broker, BrokerEvent, ClientOrderId, Execution, Failure, Holding, OrderStatus, State, Ticket,
};
use crate::market::Market;

#[derive(Debug, Clone)]
struct Known {
    id: ClientOrderId,
    order: Order,
    state: State,
    executions: Vec<Execution>,
}

/// Where the venue is with the bars of a finished session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Matching { phase: usize, bar: usize },
}

const PHASES: [Phase; 4] = [Phase::Open, Phase::During, Phase::After, Phase::Close];

/// A paper account.
#[derive(Debug)]
pub struct PaperBroker {
    venue: Venue,
    account: Engine<Idle>,
    symbols: Vec<Symbol>,
    orders: BTreeMap<OrderId, Known>,
    names: BTreeMap<ClientOrderId, OrderId>,
    said: VecDeque<BrokerEvent>,
    /// Bars of the session so far, as shown and as traded.
    bars: Vec<(Bar, Bar)>,
    /// Instruments followed price by price in this session.
    ticked: Vec<bool>,
    stage: Stage,
    now: Timestamp,
    executions: u64,
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(format!("the paper venue cannot go on: {error}"))
}

impl PaperBroker {
    /// An account with cash and nothing else.
    #[must_use]
    pub fn new(costs: Costs, symbols: &[Symbol], cash: Money) -> Self {
        // The account of a broker that lends what is asked for: limits are the business of who sends orders.
        let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
        let limits = Limits { margin, ..Limits::default() };
        Self {
            venue: Venue::new(costs, symbols.len()),
            account: Engine::new(Idle, cash, symbols.len(), limits).at_venue(symbols, Cancels::WhenConfirmed),
            symbols: symbols.to_vec(),
            orders: BTreeMap::new(),
            names: BTreeMap::new(),
            said: VecDeque::new(),
            bars: Vec::new(),
            ticked: vec![false; symbols.len()],
            stage: Stage::Waiting,
            now: Timestamp::default(),
            executions: 0,
        }
    }

    /// The account, as the broker keeps it.
    #[must_use]
    pub fn book(&self) -> &engine::Book {
        self.account.book()
    }

    /// Bars that reached two alternatives, so that the worse one was assumed.
    #[must_use]
    pub fn ambiguous_bars(&self) -> u64 {
        self.venue.ambiguous_bars()
    }

    /// Names of the orders that work.
    pub fn working_ids(&self) -> impl Iterator<Item = &ClientOrderId> {
        self.orders.values().filter(|known| known.state == State::Working).map(|known| &known.id)
    }

    /// Time of the latest event.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn told(&mut self, event: &Event) -> Result<(), Failure> {
        self.account.step(event).map(|_| ()).map_err(broken)
    }

    /// Takes what the venue made of something into the account, and says it.
    fn report(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        for event in events {
            match event {
                Event::Filled(fill) => {
                    self.told(&event)?;
                    self.executions += 1;
                    let Some(known) = self.orders.get_mut(&fill.order) else { continue };
                    let before = known.executions.last().map_or(Quantity::ZERO, |last| last.cumulative);
                    let cumulative = before.add(fill.quantity.abs()).map_err(broken)?;
                    if cumulative >= known.order.quantity.abs() {
                        known.state = State::Filled;
                    }
                    let execution = Execution {
                        id: format!("{}-{}", known.id, known.executions.len() + 1),
                        order: known.id.clone(),
                        quantity: fill.quantity,
                        price: fill.price,
                        fee: fill.fee,
                        cumulative,
                        at: self.now,
                    };
                    known.executions.push(execution.clone());
                    self.said.push_back(BrokerEvent::Executed(execution));
                }
                Event::OrderEnded { order, reason } => self.end(order, reason),
                Event::Borrowed { instrument, amount } => {
                    self.told(&event)?;
                    let symbol = self.symbols[instrument.index()].clone();
                    self.said.push_back(BrokerEvent::Borrowed { symbol, amount });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, order: OrderId, reason: OrderEnd) {
        if let Some(known) = self.orders.get_mut(&order) {
            known.state = State::Ended(reason);
            let id = known.id.clone();
            self.said.push_back(BrokerEvent::Ended { id, reason, text: String::new() });
        }
    }

    fn price(&mut self, tick: &Bar) -> Result<(), Failure> {
        let at = tick.instrument.index();
        let first = !self.ticked[at];
        self.ticked[at] = true;
        let mut events = Vec::new();
        self.venue.begin();
        let phase = if first { Phase::Open } else { Phase::Tick };
        while self.venue.match_next(tick, phase, &mut events).map_err(broken)? {}
        self.venue.start_trading();
        self.venue.close_bar(tick);
        self.report(events)
    }

    fn status(&self, known: &Known) -> OrderStatus {
        OrderStatus {
            id: known.id.clone(),
            symbol: self.symbols[known.order.instrument.index()].clone(),
            quantity: known.order.quantity,
            state: known.state,
            executions: known.executions.clone(),
        }
    }

    fn place(&mut self, ticket: &Ticket) -> Result<(), Failure> {
        let order = *ticket.approved.order();
        if self.names.contains_key(&ticket.id) {
            return Ok(());
        }
        if self.orders.contains_key(&order.id) {
            return Err(Failure::Refused(format!("another order has number {}", order.id.0)));
        }
        self.venue.command(&Command::Submit(ticket.approved)).map_err(broken)?;
        self.names.insert(ticket.id.clone(), order.id);
        let known = Known { id: ticket.id.clone(), order, state: State::Working, executions: Vec::new() };
        self.orders.insert(order.id, known);
        self.said.push_back(BrokerEvent::Accepted(ticket.id.clone()));
        Ok(())
    }
}

impl Broker for PaperBroker {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        tickets.iter().try_for_each(|ticket| self.place(ticket))
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        let Some(order) = self.names.get(id).copied() else {
            return Err(Failure::Refused(format!("no order is called {id}")));
        };
        if self.orders.get(&order).is_some_and(|known| known.state == State::Working) {
            self.venue.command(&Command::Cancel(order)).map_err(broken)?;
            self.end(order, OrderEnd::Cancelled);
        }
        Ok(())
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        let order = self.names.get(id).copied();
        let works = |order: &OrderId| self.orders.get(order).is_some_and(|known| known.state == State::Working);
        let Some(order) = order.filter(works) else {
            return Err(Failure::Refused(format!("no order that works is called {id}")));
        };
        if self.names.contains_key(&with.id) {
            return Ok(());
        }
        self.place(with)?;
        self.venue.command(&Command::Cancel(order)).map_err(broken)?;
        self.end(order, OrderEnd::Replaced);
        Ok(())
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        let known = self.names.get(id).and_then(|order| self.orders.get(order));
        Ok(known.map(|known| self.status(known)))
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        let working = self.orders.values().filter(|known| known.state == State::Working);
        Ok(working.map(|known| self.status(known)).collect())
    }

    fn account(&mut self) -> Result<Account, Failure> {
        let book = self.account.book();
        let held = book.positions().iter().enumerate().filter(|(_, quantity)| !quantity.is_zero());
        let holdings = held.map(|(at, quantity)| Holding {
            symbol: self.symbols[at].clone(),
            quantity: *quantity,
            price: book.mark_of(InstrumentId(at as u32)),
        });
        Ok(Account { cash: Some(book.cash()), holdings: holdings.collect() })
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        self.said.drain(..).collect()
    }

    fn market(&mut self, event: &Market) -> Result<(), Failure> {
        let mut events = Vec::new();
        match event {
            Market::Opened(session) => {
                self.now = session.open;
                self.ticked.fill(false);
                self.bars.clear();
                self.told(&Event::SessionOpened(*session))?;
                self.venue.open_session(session.date, &mut events).map_err(broken)?;
            }
            Market::Action(action) => {
                self.venue.act(action, &mut events).map_err(broken)?;
                self.told(&Event::Action(*action))?;
                if let domain::ActionKind::Split { ratio } = action.kind {
                    for known in self.orders.values_mut().filter(|known| known.order.instrument == action.instrument) {
                        split(known, ratio).map_err(broken)?;
                    }
                }
            }
            Market::Price { instrument, price, volume, at } => {
                self.now = self.now.max(*at);
                let Some(session) = self.account.session().map(|session| session.date) else {
                    return Err(Failure::Refused("a price came before any session opened".to_owned()));
                };
                if instrument.index() >= self.symbols.len() {
                    return Err(Failure::Refused(format!("nobody trades instrument {} here", instrument.0)));
                }
                self.told(&Event::Price { instrument: *instrument, price: *price, at: *at })?;
                let (instrument, volume) = (*instrument, *volume);
                let tick = Bar { instrument, session, open: *price, high: *price, low: *price, close: *price, volume };
                return self.price(&tick);
            }
            Market::Bar { bar, traded } => self.bars.push((*bar, *traded)),
            Market::Closed => {
                if let Some(session) = self.account.session() {
                    self.now = self.now.max(session.close);
                }
                self.venue.begin();
                self.stage = Stage::Matching { phase: 0, bar: 0 };
            }
            Market::Clock(at) => self.now = self.now.max(*at),
        }
        self.report(events)
    }

    fn advance(&mut self) -> Result<bool, Failure> {
        while let Stage::Matching { phase, bar } = self.stage {
            let Some(now) = PHASES.get(phase) else {
                let mut events = Vec::new();
                for (bar, _) in std::mem::take(&mut self.bars) {
                    self.venue.close_bar(&bar);
                    self.told(&Event::Bar(bar))?;
                }
                self.venue.close_session(&mut events);
                self.stage = Stage::Waiting;
                let any = !events.is_empty();
                self.report(events)?;
                return Ok(any);
            };
            let Some((_, traded)) = self.bars.get(bar) else {
                self.venue.start_trading();
                self.venue.begin();
                self.stage = Stage::Matching { phase: phase + 1, bar: 0 };
                continue;
            };
            // What was followed price by price has traded already, but for the closing auction.
            let over = *now != Phase::Close && self.ticked[traded.instrument.index()];
            let mut events = Vec::new();
            if !over && self.venue.match_next(traded, *now, &mut events).map_err(broken)? {
                self.report(events)?;
                return Ok(true);
            }
            self.stage = Stage::Matching { phase, bar: bar + 1 };
        }
        Ok(false)
    }
}

/// Restates an order and what it has traded in shares after a split.
fn split(known: &mut Known, ratio: domain::Ratio) -> Result<(), domain::Overflow> {
    known.order = known.order.split(ratio)?;
    for execution in &mut known.executions {
        execution.quantity = ratio.quantity(execution.quantity)?;
        execution.price = ratio.price(execution.price)?;
        execution.cumulative = ratio.quantity(execution.cumulative)?;
    }
    Ok(())
}
