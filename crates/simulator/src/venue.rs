//! Matching orders against a bar, of which only open, high, low and close are known.
//!
//! | order | in the opening auction | during the session |
//! |---|---|---|
//! | market, market-on-open | at the open | |
//! | limit | at the open, if that is the limit or better | at the limit, if the bar reaches it |
//! | stop, trailing stop | at the open, if that is at or beyond the trigger | at the trigger, if the bar reaches it, or at the market, if that is beyond it already |
//! | stop-limit | as a limit, once the open is at or beyond the trigger | at the trigger, if that is within the limit; else it rests as a limit from the next bar |
//! | market-on-close | | at the close |
//!
//! Exits of an entry filled in the opening auction meet the whole session. An order that starts working later (the
//! exits of an entry filled inside the session) meets the rest of a bar whose order of prices is unknown: its stop
//! fills if the bar touches it at all, its limit waits for the next bar. When a bar reaches two alternatives, the one
//! that leaves less money fills. Both assumptions cost money, and every bar that needs one is counted as ambiguous.

use domain::{
    ActionKind, Bar, CorporateAction, Fill, InstrumentId, Money, Notional, Order, OrderKind, Overflow, Price, Quantity,
    SessionDate, TimeInForce, Trail,
};
use engine::{Approved, Command, Event, OrderEnd};

use crate::costs::Costs;

/// The venue cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// A figure left the range of its type.
    #[error("an amount became too large to represent; use fewer shares or less cash")]
    Overflow,
    /// An order names an instrument that is not traded here.
    #[error("an order names instrument {0}, which this venue does not trade")]
    UnknownInstrument(u32),
}

impl From<Overflow> for VenueError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// The moments of a session at which orders trade, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The opening auction.
    Open,
    /// Continuous trading.
    During,
    /// What is left of it for orders that started working inside it.
    After,
    /// The closing auction.
    Close,
    /// One price inside a session that is followed price by price: a bar of that price alone.
    Tick,
}

#[derive(Debug, Clone)]
struct Resting {
    order: Order,
    remaining: Quantity,
    /// What it has traded: the base of its commission.
    traded: Quantity,
    traded_value: Notional,
    charged: Money,
    /// A stop that was touched and now rests as a limit.
    triggered: bool,
    /// Best price since it was placed, for a trailing stop; in the session it was placed in, the price then.
    best: Price,
    /// It started working inside the current session.
    fresh: bool,
    /// How many orders came before it.
    arrival: u64,
    /// The last moment at which it was looked at.
    looked_at: u64,
}

/// A candidate execution within one bar.
#[derive(Debug, Clone, Copy)]
struct Touch {
    at: usize,
    price: Price,
    takes_liquidity: bool,
}

/// Works orders on recorded bars.
#[derive(Debug, Clone)]
pub struct Venue {
    costs: Costs,
    resting: Vec<Resting>,
    positions: Vec<Quantity>,
    /// Number of positions that are short: nothing to charge for when zero.
    shorts: usize,
    /// Last price of each instrument: its close, and during a session the last at which an order traded.
    lasts: Vec<Price>,
    used: Vec<Quantity>,
    last_session: Option<SessionDate>,
    trading: bool,
    /// Orders that ever came.
    arrivals: u64,
    /// What had come when the session opened.
    before_session: u64,
    /// What had come when the current moment began, and its number.
    here: u64,
    moment: u64,
    ambiguous_bars: u64,
    last_ambiguous: Option<(SessionDate, InstrumentId)>,
}

impl Venue {
    /// A venue for `instruments` instruments.
    #[must_use]
    pub fn new(costs: Costs, instruments: usize) -> Self {
        Self {
            costs,
            resting: Vec::new(),
            positions: vec![Quantity::ZERO; instruments],
            shorts: 0,
            lasts: vec![Price::ZERO; instruments],
            used: vec![Quantity::ZERO; instruments],
            last_session: None,
            trading: false,
            arrivals: 0,
            before_session: 0,
            here: 0,
            moment: 0,
            ambiguous_bars: 0,
            last_ambiguous: None,
        }
    }

    /// Bars that reached two alternatives, so that the worse one was assumed.
    #[must_use]
    pub fn ambiguous_bars(&self) -> u64 {
        self.ambiguous_bars
    }

    /// Whether nothing is waiting to be matched.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.resting.is_empty()
    }

    /// Takes a command of the engine. A cancelled order is forgotten; its end needs no event, since the engine asked.
    ///
    /// # Errors
    /// [`VenueError::UnknownInstrument`].
    pub fn command(&mut self, command: &Command) -> Result<(), VenueError> {
        match command {
            Command::Submit(approved) => self.submit(approved),
            Command::Cancel(id) => {
                self.resting.retain(|resting| resting.order.id != *id);
                Ok(())
            }
        }
    }

    fn submit(&mut self, approved: &Approved) -> Result<(), VenueError> {
        let order = *approved.order();
        let best =
            *self.lasts.get(order.instrument.index()).ok_or(VenueError::UnknownInstrument(order.instrument.0))?;
        self.resting.push(Resting {
            order,
            remaining: order.quantity,
            traded: Quantity::ZERO,
            traded_value: Notional::ZERO,
            charged: Money::ZERO,
            triggered: false,
            best,
            fresh: self.trading,
            arrival: self.arrivals,
            looked_at: 0,
        });
        self.arrivals += 1;
        Ok(())
    }

    /// Starts a session: charges for shares borrowed since the last one.
    ///
    /// # Errors
    /// [`VenueError::Overflow`].
    #[inline]
    pub fn open_session(&mut self, session: SessionDate, events: &mut Vec<Event>) -> Result<(), VenueError> {
        if self.shorts > 0 && self.costs.borrow_bps != 0.0 {
            self.charge_borrowing(session, events)?;
        }
        self.last_session = Some(session);
        self.before_session = self.arrivals;
        Ok(())
    }

    fn charge_borrowing(&mut self, session: SessionDate, events: &mut Vec<Event>) -> Result<(), VenueError> {
        let Some(last) = self.last_session else { return Ok(()) };
        let days = f64::from(session.days() - last.days());
        for (at, position) in self.positions.iter().enumerate().filter(|(_, position)| position.signum() < 0) {
            let amount = self.lasts[at].times(position.abs()).basis_points(self.costs.borrow_bps * days / 360.0)?;
            if amount.signum() > 0 {
                events.push(Event::Borrowed { instrument: InstrumentId(at as u32), amount });
            }
        }
        Ok(())
    }

    /// Applies a corporate action to positions and resting orders.
    ///
    /// # Errors
    /// [`VenueError::Overflow`], [`VenueError::UnknownInstrument`].
    pub fn act(&mut self, action: &CorporateAction, events: &mut Vec<Event>) -> Result<(), VenueError> {
        let at = action.instrument.index();
        let position = *self.positions.get(at).ok_or(VenueError::UnknownInstrument(action.instrument.0))?;
        match action.kind {
            ActionKind::Dividend { .. } => {}
            ActionKind::Split { ratio } => {
                self.positions[at] = ratio.quantity(position)?;
                self.lasts[at] = ratio.price(self.lasts[at])?;
                for resting in self.resting.iter_mut().filter(|resting| resting.order.instrument == action.instrument) {
                    resting.remaining = ratio.quantity(resting.remaining)?;
                    resting.traded = ratio.quantity(resting.traded)?;
                    resting.best = ratio.price(resting.best)?;
                    resting.order = resting.order.split(ratio)?;
                }
            }
            ActionKind::Delisting { .. } => {
                self.set_position(at, Quantity::ZERO);
                let gone = |resting: &Resting| resting.order.instrument == action.instrument;
                let ended = self.resting.iter().filter(|resting| gone(resting));
                events.extend(
                    ended.map(|resting| Event::OrderEnded { order: resting.order.id, reason: OrderEnd::Delisted }),
                );
                self.resting.retain(|resting| !gone(resting));
            }
        }
        Ok(())
    }

    fn set_position(&mut self, at: usize, position: Quantity) {
        self.shorts -= usize::from(self.positions[at].signum() < 0);
        self.shorts += usize::from(position.signum() < 0);
        self.positions[at] = position;
    }

    /// Begins a moment of the session. What is placed while it lasts waits for the next one, and every order trades
    /// at most once in it.
    pub fn begin(&mut self) {
        self.here = self.arrivals;
        self.moment += 1;
    }

    /// Looks for one order of a bar's instrument that trades at this moment; false when there is none left.
    ///
    /// The caller delivers the events before it asks again, because a fill may make the engine cancel other orders.
    ///
    /// # Errors
    /// [`VenueError::Overflow`], [`VenueError::UnknownInstrument`].
    pub fn match_next(&mut self, bar: &Bar, phase: Phase, events: &mut Vec<Event>) -> Result<bool, VenueError> {
        if bar.instrument.index() >= self.positions.len() {
            return Err(VenueError::UnknownInstrument(bar.instrument.0));
        }
        let Some(touch) = self.next_touch(bar, phase)? else { return Ok(false) };
        self.resting[touch.at].looked_at = self.moment;
        self.resting[touch.at].triggered = true;
        self.execute(touch, bar, events)?;
        Ok(true)
    }

    /// Ends the opening auction: what is placed from here on does not meet the whole session.
    pub fn start_trading(&mut self) {
        self.trading = true;
    }

    /// The next order that trades: the oldest, unless an alternative to it trades too and leaves less money.
    fn next_touch(&mut self, bar: &Bar, phase: Phase) -> Result<Option<Touch>, VenueError> {
        let mut first: Option<Touch> = None;
        let mut rivals = 0;
        for at in 0..self.resting.len() {
            let resting = &mut self.resting[at];
            let meets = matches!(phase, Phase::Close | Phase::Tick) || resting.fresh == (phase == Phase::After);
            let waits = resting.arrival >= self.here || resting.looked_at == self.moment;
            if !meets || waits || resting.order.instrument != bar.instrument {
                continue;
            }
            if triggers_only(resting, bar, phase) {
                // From here on it is a limit order, for which this bar, once trading, is sure of the trigger price only.
                resting.triggered = true;
                resting.fresh = !matches!(phase, Phase::Open | Phase::Tick);
                continue;
            }
            let Some((price, takes_liquidity)) = touched(resting, bar, phase)? else { continue };
            let touch = Touch { at, price, takes_liquidity };
            match first {
                None => first = Some(touch),
                Some(chosen) => {
                    let (old, new) = (&self.resting[chosen.at], &self.resting[at]);
                    if old.order.group.is_some() && old.order.group == new.order.group {
                        rivals += 1;
                        if outcome(new, price, bar) < outcome(old, chosen.price, bar) {
                            first = Some(touch);
                        }
                    }
                }
            }
        }
        let assumed = rivals > 0 && phase == Phase::During || first.is_some() && phase == Phase::After;
        if assumed && self.last_ambiguous != Some((bar.session, bar.instrument)) {
            self.last_ambiguous = Some((bar.session, bar.instrument));
            self.ambiguous_bars += 1;
        }
        Ok(first)
    }

    fn execute(&mut self, touch: Touch, bar: &Bar, events: &mut Vec<Event>) -> Result<(), VenueError> {
        let instrument = bar.instrument.index();
        let resting = &self.resting[touch.at];
        let (order, mut size) = (resting.order, resting.remaining.abs());
        if order.reduce_only {
            let position = self.positions[instrument];
            let reducible =
                if position.signum() * order.quantity.signum() < 0 { position.abs() } else { Quantity::ZERO };
            size = size.min(reducible);
        }
        if let Some(available) = self.costs.available(bar.volume, self.used[instrument]) {
            size = size.min(available);
        }
        if size.is_zero() {
            return Ok(());
        }
        let quantity = if order.quantity.signum() > 0 { size } else { size.neg() };
        let price =
            if touch.takes_liquidity { self.costs.slipped(touch.price, quantity, bar.volume)? } else { touch.price };
        let resting = &mut self.resting[touch.at];
        resting.remaining = resting.remaining.sub(quantity)?;
        resting.traded = resting.traded.add(quantity)?;
        resting.traded_value = resting.traded_value.plus(price.times(quantity));
        let due = self.costs.commission(resting.traded_value, resting.traded)?;
        let fee = due.sub(resting.charged)?.max(Money::ZERO);
        resting.charged = resting.charged.add(fee)?;
        let done = resting.remaining.is_zero();
        self.lasts[instrument] = touch.price;
        self.used[instrument] = self.used[instrument].add(size)?;
        self.set_position(instrument, self.positions[instrument].add(quantity)?);
        events.push(Event::Filled(Fill {
            order: order.id,
            instrument: bar.instrument,
            session: bar.session,
            quantity,
            price,
            fee,
        }));
        if done {
            self.resting.remove(touch.at);
        }
        self.settle_alternatives(&order, quantity, done, events)
    }

    /// Alternatives of an order that traded: exits shrink with it, anything else is over.
    fn settle_alternatives(
        &mut self,
        order: &Order,
        quantity: Quantity,
        done: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), VenueError> {
        let Some(group) = order.group else { return Ok(()) };
        let mut at = 0;
        while at < self.resting.len() {
            let other = &mut self.resting[at];
            if other.order.group != Some(group) || other.order.id == order.id {
                at += 1;
                continue;
            }
            let exits = order.reduce_only && other.order.reduce_only && order.instrument == other.order.instrument;
            if !done && exits && other.remaining.abs() > quantity.abs() {
                at += 1;
                continue;
            }
            events.push(Event::OrderEnded { order: other.order.id, reason: OrderEnd::Replaced });
            self.resting.remove(at);
        }
        Ok(())
    }

    /// Lets trailing stops follow, once the bar has been survived.
    fn follow(&mut self, bar: &Bar) {
        for resting in self.resting.iter_mut().filter(|resting| resting.order.instrument == bar.instrument) {
            // An order placed inside the session has only surely seen the close.
            let (high, low) = if resting.fresh { (bar.close, bar.close) } else { (bar.high, bar.low) };
            resting.best =
                if resting.order.quantity.signum() < 0 { resting.best.max(high) } else { resting.best.min(low) };
        }
    }

    /// Ends an instrument's session, or one price of it: remembers the close.
    #[inline]
    pub fn close_bar(&mut self, bar: &Bar) {
        let at = bar.instrument.index();
        self.lasts[at] = bar.close;
        self.used[at] = Quantity::ZERO;
        if !self.resting.is_empty() {
            self.follow(bar);
        }
    }

    /// Ends the session: orders whose time is over end, traded or not, and what is placed from here on waits for the
    /// next session.
    #[inline]
    pub fn close_session(&mut self, events: &mut Vec<Event>) {
        self.trading = false;
        if !self.resting.is_empty() {
            self.expire(events);
        }
    }

    fn expire(&mut self, events: &mut Vec<Event>) {
        let before_session = self.before_session;
        self.resting.retain_mut(|resting| {
            let auction = matches!(resting.order.kind, OrderKind::MarketOnOpen | OrderKind::MarketOnClose);
            let one_session = auction || resting.order.time_in_force == TimeInForce::Day;
            let over = one_session && resting.arrival < before_session;
            resting.fresh = false;
            if over {
                events.push(Event::OrderEnded { order: resting.order.id, reason: OrderEnd::Expired });
            }
            !over
        });
    }
}

/// Money left after the fill, at the bar's close: the measure by which the worse alternative is chosen.
fn outcome(resting: &Resting, price: Price, bar: &Bar) -> Notional {
    bar.close.times(resting.remaining).minus(price.times(resting.remaining))
}

/// Whether a stop-limit order is touched beyond its limit: it trades later, if at all.
fn triggers_only(resting: &Resting, bar: &Bar, phase: Phase) -> bool {
    let OrderKind::StopLimit { stop, limit } = resting.order.kind else { return false };
    let buys = resting.order.quantity.signum() > 0;
    let beyond = |at: Price| if buys { at > limit } else { at < limit };
    !resting.triggered && stop_touched(stop, buys, resting.best, bar, phase).is_some_and(beyond)
}

/// Whether and at which price an order trades in a phase; the flag says that it takes liquidity.
fn touched(resting: &Resting, bar: &Bar, phase: Phase) -> Result<Option<(Price, bool)>, Overflow> {
    let buys = resting.order.quantity.signum() > 0;
    let stopped = |stop| stop_touched(stop, buys, resting.best, bar, phase);
    Ok(match (resting.order.kind, phase) {
        (OrderKind::Market | OrderKind::MarketOnOpen, Phase::Open) | (OrderKind::Market, Phase::Tick) => {
            Some((bar.open, true))
        }
        (OrderKind::MarketOnClose, Phase::Close) => Some((bar.close, true)),
        (OrderKind::Limit { limit }, phase) => limit_touched(limit, buys, bar, phase).map(|price| (price, false)),
        (OrderKind::StopLimit { limit, .. }, phase) if resting.triggered => {
            limit_touched(limit, buys, bar, phase).map(|price| (price, false))
        }
        (OrderKind::StopLimit { stop, .. }, _) => stopped(stop).map(|price| (price, false)),
        (OrderKind::Stop { stop }, _) => stopped(stop).map(|price| (price, true)),
        (OrderKind::TrailingStop { trail }, _) => {
            stopped(trailing_level(resting.best, trail, buys)?).map(|price| (price, true))
        }
        _ => None,
    })
}

fn limit_touched(limit: Price, buys: bool, bar: &Bar, phase: Phase) -> Option<Price> {
    let good = |price: Price| if buys { price <= limit } else { price >= limit };
    match phase {
        Phase::Open | Phase::Tick if good(bar.open) => Some(bar.open),
        // Nobody trades outside the bar, whatever the limit allows.
        Phase::During if good(if buys { bar.low } else { bar.high }) => {
            Some(if buys { limit.min(bar.high) } else { limit.max(bar.low) })
        }
        _ => None,
    }
}

/// `placed` is the price when the order was placed, of interest while it has not met an opening auction.
fn stop_touched(stop: Price, buys: bool, placed: Price, bar: &Bar, phase: Phase) -> Option<Price> {
    let beyond = |price: Price| if buys { price >= stop } else { price <= stop };
    // An order that came inside the session may have its trigger behind it: it trades at the market of that moment.
    let market = match phase {
        Phase::Open | Phase::Tick => return beyond(bar.open).then_some(bar.open),
        Phase::During => bar.open,
        Phase::After => placed,
        Phase::Close => return None,
    };
    let reached = beyond(if buys { bar.high } else { bar.low });
    reached.then_some(if buys { stop.max(market) } else { stop.min(market) })
}

fn trailing_level(best: Price, trail: Trail, buys: bool) -> Result<Price, Overflow> {
    let distance = match trail {
        Trail::Amount(amount) => amount,
        Trail::BasisPoints(points) => best.scale(i64::from(points), 10_000)?,
    };
    if buys { best.add(distance) } else { best.sub(distance) }
}
