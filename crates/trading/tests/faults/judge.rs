//! Judges what the trader sends by what arrives at the broker, what the broker did, and what the trader had been told:
//! none of the engine's figures are used.
//!
//! Where a limit is about what working orders could do, the least is reckoned that this can be: the broker may have
//! filled or ended what the trader still counts on. So what is found here is a breach, whatever was on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use domain::{Money, Order, OrderId, OrderKind, Price, Quantity, Symbol, Timestamp};
use engine::{Limits, Mode, Refusal};
use trading::{Broker as _, Execution, Owner, PaperBroker, State, Ticket};

use crate::known::{Known, Written, step_of};

/// How long an order may be on its way, so that an answer about it counts.
const SETTLE: i64 = 5_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// An order that was sent.
struct Sent {
    order: Order,
    last: Timestamp,
    /// When the broker last said that it does not know it.
    unknown: Option<Timestamp>,
    arrived: u32,
    filled: Quantity,
}

/// What is found.
pub struct Judge {
    limits: Limits,
    symbols: Vec<Symbol>,
    cash: Money,
    pub known: Known,
    sent: BTreeMap<OrderId, Sent>,
    /// Last step written when the cancel of an order first left.
    cancels: BTreeMap<OrderId, u64>,
    step: u64,
    /// Lines of the journal by their steps.
    lines: Vec<(Vec<u8>, Rc<Written>)>,
    /// Positions by the broker's executions.
    held: [Quantity; 2],
    /// When the clock by which the trader reckons jumped ahead.
    jumps: Vec<Timestamp>,
    /// Orders that arrived after the broker had said, and the trader had to believe, that they would not: a clock that
    /// jumps ahead ends the wait for what is on its way, and a broker may deny an order that it has.
    pub overtaken: BTreeSet<OrderId>,
    /// It was killed and is flat: nothing may follow.
    pub flat: bool,
    /// The broker has lied, so that what it has is not what the trader could know of.
    pub lied: bool,
    pub breaches: Vec<String>,
    /// How often each limit held something back.
    pub refusals: BTreeMap<&'static str, u64>,
    pub again: u64,
}

impl Judge {
    pub fn new(limits: Limits, symbols: Vec<Symbol>, cash: Money) -> Self {
        Self {
            limits,
            symbols,
            cash,
            known: Known::new(cash),
            sent: BTreeMap::new(),
            cancels: BTreeMap::new(),
            step: 0,
            lines: Vec::new(),
            held: [Quantity::ZERO; 2],
            jumps: Vec::new(),
            overtaken: BTreeSet::new(),
            flat: false,
            lied: false,
            breaches: Vec::new(),
            refusals: BTreeMap::new(),
            again: 0,
        }
    }

    fn claim(&mut self, holds: bool, breach: impl FnOnce() -> String) {
        if !holds {
            self.breaches.push(breach());
        }
    }

    /// The trader reads its journal from the beginning: only what is there counts.
    pub fn reopened(&mut self) {
        self.known = Known::new(self.cash);
        self.step = 0;
    }

    pub fn synced(&mut self) {
        self.known.synced();
    }

    /// What a line says; most are read more than once.
    fn parse(&mut self, text: &[u8]) -> Rc<Written> {
        let at = self.step as usize;
        match self.lines.get(at) {
            Some((known, line)) if known == text => return line.clone(),
            _ => self.lines.truncate(at),
        }
        let line: Rc<Written> = Rc::new(serde_json::from_slice(text).unwrap());
        self.lines.push((text.to_vec(), line.clone()));
        line
    }

    /// A line is read again.
    pub fn read(&mut self, line: &[u8]) {
        let line = self.parse(line);
        self.known.take(&line);
        line.records.iter().filter_map(|noted| noted.ordered).for_each(|order| self.known.decide(order, true));
        self.step += 1;
    }

    /// A line is written: what it decides is judged.
    pub fn written(&mut self, line: &[u8], broker: &mut PaperBroker, coming: &[Order]) {
        let line = self.parse(line);
        self.known.take(&line);
        self.step += 1;
        let mut beside = Vec::new();
        for noted in &line.records {
            if let Some(order) = noted.ordered {
                if !order.reduce_only {
                    if beside.is_empty() {
                        beside = self.working(broker, coming);
                    }
                    self.decided(&order, &beside, broker);
                    beside.push((order, order.quantity));
                }
                self.known.decide(order, false);
            }
            if let Some(name) = noted.refused.as_ref().and_then(|refused| limit(&refused.reason)) {
                *self.refusals.entry(name).or_default() += 1;
            }
        }
    }

    /// What could still build a position at the broker, and how much of it.
    fn working(&self, broker: &mut PaperBroker, coming: &[Order]) -> Vec<(Order, Quantity)> {
        let mut working: Vec<(Order, Quantity)> = Vec::new();
        for status in broker.working().unwrap() {
            let Some(sent) = owner().own(&status.id).and_then(|id| self.sent.get(&id)) else { continue };
            let left = sent.order.quantity.sub(sent.filled).unwrap();
            working.push((sent.order, left));
        }
        let coming = coming.iter().filter(|order| self.sent.get(&order.id).is_none_or(|sent| sent.arrived == 0));
        working.extend(coming.map(|order| (*order, order.quantity)));
        // Each once, and none that the trader was made to give up.
        let mut seen = BTreeSet::new();
        let given_up = |id: &OrderId| self.overtaken.contains(id) || self.known.is_over(*id);
        working.retain(|(order, _)| !order.reduce_only && !given_up(&order.id) && seen.insert(order.id));
        working
    }

    /// A position and what exits could make of it, by which more may be built on either side. What exits filled and
    /// the trader has not heard of is left out: to it they still work.
    fn span(&self, at: usize, broker: &PaperBroker) -> (Quantity, Quantity) {
        let (mut position, mut exits) = (broker.book().positions()[at], Quantity::ZERO);
        let of_this = |sent: &&Sent| sent.order.reduce_only && sent.order.instrument.index() == at;
        for sent in self.sent.values().filter(of_this) {
            let told = self.known.filled.get(&sent.order.id).copied().unwrap_or_default();
            position = position.sub(sent.filled.sub(told).unwrap()).unwrap();
        }
        for sent in self.sent.values().filter(of_this).filter(|sent| !self.known.is_over(sent.order.id)) {
            let told = self.known.filled.get(&sent.order.id).copied().unwrap_or_default();
            if sent.order.quantity.signum() * position.signum() < 0 {
                exits = exits.add(sent.order.quantity.sub(told).unwrap()).unwrap();
            }
        }
        let closed = position.add(exits).unwrap();
        let reduced = if closed.signum() * position.signum() > 0 { closed } else { Quantity::ZERO };
        (position.min(reduced), position.max(reduced))
    }

    /// An order that may build a position was decided: nothing may stand against it.
    fn decided(&mut self, order: &Order, beside: &[(Order, Quantity)], broker: &PaperBroker) {
        let (limits, known) = (&self.limits, &self.known);
        let at = order.instrument.index();
        let mut found = Vec::new();
        let mut claim = |holds: bool, what: &'static str| found.extend((!holds).then_some(what));
        let within = |max: Option<Money>, value: Money| max.is_none_or(|max| value <= max);
        claim(known.mode == Mode::Normal, "it was stopped");
        claim(!known.disputed, "the books are disputed");
        claim(limits.repeated_executions_max.is_none_or(|max| known.fills < max), "repeated executions");
        claim(!limits.restricted.contains(&self.symbols[at]), "restricted");
        claim(limits.order_quantity_max.is_none_or(|max| order.quantity.abs() <= max), "order quantity");
        claim(known.marks[at].is_some(), "no price is known");
        let mark = known.marks[at].unwrap_or_default();
        let named = prices(order);
        let dearest = named.iter().fold(mark, |most, price| most.max(*price));
        claim(within(limits.order_notional_max, worth(dearest, order.quantity.abs())), "order notional");
        let collar = limits.price_collar_bps.unwrap_or(f64::INFINITY);
        let far = |price: &Price| (price.to_f64() / mark.to_f64() - 1.0).abs() * 10_000.0 > collar;
        claim(!named.iter().any(far), "price collar");
        if let (Some(max), Some(at_open)) = (limits.daily_loss_max, known.at_open) {
            claim(at_open.sub(known.equity()).unwrap() < max, "daily loss");
        }
        if let (Some(max), Some(peak)) = (limits.drawdown_max, known.peak) {
            claim(1.0 - known.equity().to_f64() / peak.to_f64() < max, "drawdown");
        }
        if !self.lied {
            // The farthest that the positions can get by what is there.
            let spans = [self.span(0, broker), self.span(1, broker)];
            let (mut low, mut high) = (spans.map(|span| span.0), spans.map(|span| span.1));
            for (order, left) in beside.iter().chain([&(*order, order.quantity)]) {
                let side = if left.signum() > 0 { &mut high } else { &mut low };
                side[order.instrument.index()] = side[order.instrument.index()].add(*left).unwrap();
            }
            let price = |other: usize| if other == at { dearest } else { known.marks[other].unwrap_or_default() };
            let most = |other: usize| high[other].max(low[other].neg()).max(Quantity::ZERO);
            let sum = |of: &dyn Fn(usize) -> Quantity| {
                let value = |other: usize| price(other).times(of(other));
                value(0).plus(value(1)).to_money().unwrap()
            };
            let net = sum(&|other| high[other]).max(sum(&|other| low[other]).neg());
            claim(limits.position_quantity_max.is_none_or(|max| most(at) <= max), "position quantity");
            claim(within(limits.position_notional_max, worth(dearest, most(at))), "position notional");
            claim(within(limits.gross_notional_max, sum(&most)), "gross notional");
            claim(within(limits.net_notional_max, net), "net notional");
        }
        self.breaches.extend(found.into_iter().map(|what| format!("{what}: {order:?}")));
    }

    /// Orders leave: each was decided and is on the disk, is not over, and leaves again only once nobody has it.
    pub fn sends(&mut self, tickets: &[Ticket], now: Timestamp) {
        for ticket in tickets {
            let order = *ticket.approved.order();
            let id = order.id;
            let decided = self.known.decided.get(&id);
            let approved = decided.is_some_and(|decided| {
                decided.safe && Order { bracket: None, ..decided.order } == Order { bracket: None, ..order }
            });
            self.claim(approved, || format!("not as approved on the disk: {order:?}"));
            let named = ticket.id == owner().order(id) && ticket.symbol == self.symbols[order.instrument.index()];
            self.claim(named, || format!("under another name: {ticket:?}"));
            self.claim(!self.known.is_over(id), || format!("it is over and was sent: {order:?}"));
            self.claim(!self.flat, || format!("sent after everything was flat: {order:?}"));
            let stopped = self.known.mode != Mode::Normal && !order.reduce_only;
            self.claim(!stopped, || format!("sent after a stop: {order:?}"));
            let before = self.sent.get(&id).map(|sent| (sent.last, sent.unknown));
            match before {
                None => {
                    let sent = Sent { order, last: now, unknown: None, arrived: 0, filled: Quantity::ZERO };
                    self.sent.insert(id, sent);
                }
                Some((last, unknown)) => {
                    self.again += 1;
                    let asked = unknown.is_some_and(|at| at.nanos() - last.nanos() >= SETTLE || self.jumped(last, at));
                    self.claim(asked, || format!("sent again though it may be on its way: {order:?}"));
                    if let Some(sent) = self.sent.get_mut(&id) {
                        (sent.last, sent.unknown) = (now, None);
                    }
                }
            }
        }
    }

    pub fn cancels(&mut self, id: OrderId) {
        let step = self.step;
        self.cancels.entry(id).or_insert(step);
        self.claim(self.sent.contains_key(&id), || format!("a cancel of {id:?}, which never left"));
    }

    /// The clock of the trader jumps ahead.
    pub fn jumps(&mut self, now: Timestamp) {
        self.jumps.push(now);
    }

    fn jumped(&self, from: Timestamp, to: Timestamp) -> bool {
        self.jumps.iter().any(|jump| from <= *jump && *jump <= to)
    }

    /// The trader hears that the broker does not know an order, which may still be on its way.
    pub fn unknown(&mut self, id: OrderId, now: Timestamp, coming: bool) {
        let Some(last) = self.sent.get(&id).map(|sent| sent.last) else { return };
        if coming && self.jumped(last, now) {
            self.overtaken.insert(id);
        }
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.unknown = Some(now);
        }
    }

    /// An order arrives at the broker.
    pub fn arrives(&mut self, order: &Order, broker: &mut PaperBroker) {
        let Some(sent) = self.sent.get_mut(&order.id) else {
            return self.breaches.push(format!("it arrived and was not sent: {order:?}"));
        };
        sent.arrived += 1;
        let times = sent.arrived;
        let twice = times > 1 && !self.overtaken.contains(&order.id);
        self.claim(!twice, || format!("it arrived {times} times: {order:?}"));
        if times > 1 || !self.limits.no_self_trade || self.lied {
            return;
        }
        let working = broker.working().unwrap();
        let working = working.iter().filter_map(|status| owner().own(&status.id)).filter(|id| *id != order.id);
        for other in working.collect::<Vec<_>>() {
            let Some(other) = self.sent.get(&other).map(|sent| sent.order) else { continue };
            let later = if other.id > order.id { other } else { *order };
            let meet = !later.reduce_only && meet(order, &other) && !self.overtaken.contains(&other.id);
            self.claim(!meet, || format!("self trade: {order:?} and {other:?}"));
        }
    }

    /// The broker executes. Says whether part of the order is left.
    pub fn executed(&mut self, execution: &Execution) -> bool {
        let id = owner().own(&execution.order);
        let Some(sent) = id.and_then(|id| self.sent.get_mut(&id)) else {
            self.breaches.push(format!("nobody sent what filled: {execution:?}"));
            return false;
        };
        sent.filled = sent.filled.add(execution.quantity).unwrap();
        let (order, filled) = (sent.order, sent.filled);
        let at = order.instrument.index();
        let (before, after) = (self.held[at], self.held[at].add(execution.quantity).unwrap());
        self.held[at] = after;
        self.claim(filled.abs() <= order.quantity.abs(), || format!("more filled than was ordered: {order:?}"));
        let towards_flat = before.signum() * after.signum() >= 0 && after.abs() < before.abs();
        self.claim(!order.reduce_only || towards_flat, || format!("an exit led from {before} to {after}"));
        let excused = self.lied || !self.overtaken.is_empty();
        let within = self.limits.position_quantity_max.is_none_or(|max| after.abs() <= max);
        self.claim(within || excused, || format!("position quantity at the broker: {after}"));
        self.claim(!self.flat, || format!("it was flat and traded: {execution:?}"));
        filled.abs() < order.quantity.abs()
    }

    /// What can be judged once a day is over: rates, by the orders that left.
    pub fn end(&mut self) {
        let known = &self.known;
        let mut found = Vec::new();
        let left: Vec<_> = self.sent.keys().filter_map(|id| known.decided.get(id)).collect();
        for this in left.iter().filter(|decided| !decided.order.reduce_only) {
            let before = || left.iter().filter(|other| other.order.id < this.order.id);
            let within = |at: Timestamp, window: i64| this.at.nanos() - at.nanos() < window;
            let of_session = before().filter(|other| other.session == this.session).count();
            let of_minute = before().filter(|other| within(other.at, MINUTE)).count();
            let step = step_of(this.order.id);
            let left_before = |id: &OrderId| self.cancels.get(id).is_some_and(|at| *at < step);
            let wanted = known.cancelled.iter().filter(|(id, (at, _))| *at < step && left_before(id));
            let cancels = wanted.filter(|(_, (_, at))| within(*at, MINUTE)).count();
            let window = i64::from(self.limits.duplicate_window_s.unwrap_or(0)) * 1_000_000_000;
            let same = before().any(|other| within(other.at, window) && is_same(&other.order, &this.order));
            let reached = |max: Option<u32>, count: usize| max.is_some_and(|max| count >= max as usize);
            let breaches = [
                (reached(self.limits.orders_per_session_max, of_session), "orders per session"),
                (reached(self.limits.orders_per_minute_max, of_minute), "orders per minute"),
                (reached(self.limits.cancels_per_minute_max, cancels), "cancels per minute"),
                (same, "duplicate"),
            ];
            found.extend(breaches.iter().filter(|(is, _)| *is).map(|(_, what)| format!("{what}: {:?}", this.order)));
        }
        self.breaches.extend(found);
    }

    /// What must hold when nothing is on its way: nothing was lost, and every fill is in the journal.
    pub fn at_rest(&mut self, broker: &mut PaperBroker) {
        self.claim(!self.known.meddled, || "a stopped strategy has cancelled what closes a position".to_owned());
        let positions = broker.book().positions().to_vec();
        let held = self.held.to_vec();
        self.claim(positions == held, || format!("{positions:?} are not the sums of what filled, {held:?}"));
        for decided in self.known.decided.clone().into_values() {
            let id = decided.order.id;
            let there = broker.find(&owner().order(id)).unwrap();
            let is_told = self.known.is_over(id) || there.as_ref().is_some_and(|there| there.state == State::Working);
            self.claim(is_told, || format!("it was lost: {:?}", decided.order));
        }
        for id in self.known.cancelled.keys().copied().collect::<Vec<_>>() {
            let there = broker.find(&owner().order(id)).unwrap();
            let works = there.is_some_and(|there| there.state == State::Working);
            self.claim(!works, || format!("its cancel is wanted, and it works: {id:?}"));
        }
        let throttled = self.limits.repeated_executions_max.is_some_and(|max| self.known.fills >= max);
        if throttled || self.known.mode != Mode::Normal {
            let building = self.working(broker, &[]);
            self.claim(building.is_empty(), || format!("it was stopped, and these work: {building:?}"));
        }
        if self.lied {
            return;
        }
        for (id, filled) in self.sent.iter().map(|(id, sent)| (*id, sent.filled)).collect::<Vec<_>>() {
            let told = self.known.filled.get(&id).copied().unwrap_or_default();
            self.claim(told == filled, || format!("{filled} of {id:?} filled and {told} is in the journal"));
        }
        let here = self.known.positions.to_vec();
        self.claim(here == held, || format!("{here:?} by the journal, {held:?} filled"));
    }
}

fn worth(price: Price, quantity: Quantity) -> Money {
    price.times(quantity).to_money().unwrap()
}

pub fn owner() -> Owner {
    Owner::new("live", "test").unwrap()
}

fn prices(order: &Order) -> Vec<Price> {
    match order.kind {
        OrderKind::Limit { limit } => vec![limit],
        OrderKind::Stop { stop } => vec![stop],
        OrderKind::StopLimit { stop, limit } => vec![stop, limit],
        OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose | OrderKind::TrailingStop { .. } => {
            Vec::new()
        }
    }
}

/// Whether two orders could trade with each other; what waits for a trigger is not in the market.
fn meet(one: &Order, other: &Order) -> bool {
    let (buy, sell) = if one.quantity.signum() > 0 { (one, other) } else { (other, one) };
    let worst = |order: &Order, at_market: Price| match order.kind {
        OrderKind::Limit { limit } => Some(limit),
        OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose => Some(at_market),
        OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. } => None,
    };
    let sides = buy.instrument == sell.instrument && buy.quantity.signum() > 0 && sell.quantity.signum() < 0;
    let (bid, ask) = (worst(buy, Price::from_units(i64::MAX)), worst(sell, Price::ZERO));
    sides && bid.is_some_and(|bid| ask.is_some_and(|ask| bid >= ask))
}

fn is_same(one: &Order, other: &Order) -> bool {
    (one.instrument, one.quantity, one.kind, one.time_in_force)
        == (other.instrument, other.quantity, other.kind, other.time_in_force)
}

/// The limits that are judged, by what they refuse with.
fn limit(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::PriceOutsideCollar { .. } => "price collar",
        Refusal::QuantityTooLarge { .. } => "order quantity",
        Refusal::NotionalTooLarge { .. } => "order notional",
        Refusal::PositionTooLarge { .. } => "position quantity",
        Refusal::PositionNotionalTooLarge { .. } => "position notional",
        Refusal::GrossNotionalTooLarge { .. } => "gross notional",
        Refusal::NetNotionalTooLarge { .. } => "net notional",
        Refusal::TooManyOrders { .. } => "orders per session",
        Refusal::TooManyOrdersAMinute { .. } => "orders per minute",
        Refusal::TooManyCancelsAMinute { .. } => "cancels per minute",
        Refusal::Duplicate { .. } => "duplicate",
        Refusal::DailyLoss { .. } => "daily loss",
        Refusal::Drawdown { .. } => "drawdown",
        Refusal::Restricted => "restricted",
        Refusal::SelfTrade { .. } => "self trade",
        Refusal::Throttled { .. } => "repeated executions",
        Refusal::NotNow { .. } => "it was stopped",
        Refusal::BooksDiffer { .. } => "the books are disputed",
        _ => return None,
    })
}
