//! Pre-trade limits. [`check`] is the only maker of [`Approved`], and nothing leaves without one.
//!
//! Every limit is judged at the worst the account's working orders could do, so that no sequence of fills takes a
//! position past it. An order that can only shrink a position always passes: risk must never trap anyone.

use domain::{
    InstrumentId, Money, Notional, Order, OrderId, OrderKind, Overflow, Price, Quantity, Symbol, TimeInForce, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::book::Book;
use crate::guard::{Guard, Mode};

/// An order that passed every limit. Only [`check`] can make one; it is never deserialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Approved(Order);

impl Approved {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.0
    }
}

/// Limits on single orders and on positions; `None` does not limit.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest distance of an order's price from the last price, in hundredths of a percent.
    pub price_collar_bps: Option<f64>,
    /// Largest number of shares in one order.
    pub order_quantity_max: Option<Quantity>,
    /// Largest value of one order.
    pub order_notional_max: Option<Money>,
    /// Largest position in one instrument, long or short, in shares.
    pub position_quantity_max: Option<Quantity>,
    /// Largest value of a position in one instrument.
    pub position_notional_max: Option<Money>,
    /// Largest sum of the values of all positions.
    pub gross_notional_max: Option<Money>,
    /// Largest value of long minus short positions, either way.
    pub net_notional_max: Option<Money>,
    /// Largest number of orders in one session.
    pub orders_per_session_max: Option<u32>,
    /// Largest number of orders in a minute.
    pub orders_per_minute_max: Option<u32>,
    /// Number of cancels in a minute after which no new order leaves; a cancel itself always may.
    pub cancels_per_minute_max: Option<u32>,
    /// Seconds in which the same order may not leave twice.
    pub duplicate_window_s: Option<u32>,
    /// Loss since the session opened at which nothing new is begun.
    pub daily_loss_max: Option<Money>,
    /// Fall of equity from its highest, as a fraction, at which nothing new is begun.
    pub drawdown_max: Option<f64>,
    /// Executions after which the strategy is stopped until a person enables it again.
    pub repeated_executions_max: Option<u32>,
    /// Refuse an order that could trade with one of the account's own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_self_trade: bool,
    /// Symbols in which nothing may be begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restricted: Vec<Symbol>,
    /// What positions require of equity.
    pub margin: Margin,
}

/// The smaller of two limits, either of which may be none.
fn smaller<T: PartialOrd>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other < one { other } else { one }),
        (one, other) => one.or(other),
    }
}

impl Limits {
    /// Both at once: of each figure the stricter.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut restricted = self.restricted.clone();
        restricted.extend(other.restricted.iter().filter(|symbol| !self.restricted.contains(symbol)).cloned());
        Self {
            price_collar_bps: smaller(self.price_collar_bps, other.price_collar_bps),
            order_quantity_max: smaller(self.order_quantity_max, other.order_quantity_max),
            order_notional_max: smaller(self.order_notional_max, other.order_notional_max),
            position_quantity_max: smaller(self.position_quantity_max, other.position_quantity_max),
            position_notional_max: smaller(self.position_notional_max, other.position_notional_max),
            gross_notional_max: smaller(self.gross_notional_max, other.gross_notional_max),
            net_notional_max: smaller(self.net_notional_max, other.net_notional_max),
            orders_per_session_max: smaller(self.orders_per_session_max, other.orders_per_session_max),
            orders_per_minute_max: smaller(self.orders_per_minute_max, other.orders_per_minute_max),
            cancels_per_minute_max: smaller(self.cancels_per_minute_max, other.cancels_per_minute_max),
            // The longer window is the stricter.
            duplicate_window_s: self.duplicate_window_s.max(other.duplicate_window_s),
            daily_loss_max: smaller(self.daily_loss_max, other.daily_loss_max),
            drawdown_max: smaller(self.drawdown_max, other.drawdown_max),
            repeated_executions_max: smaller(self.repeated_executions_max, other.repeated_executions_max),
            no_self_trade: self.no_self_trade || other.no_self_trade,
            restricted,
            margin: Margin {
                initial_long: self.margin.initial_long.max(other.margin.initial_long),
                initial_short: self.margin.initial_short.max(other.margin.initial_short),
                maintenance: self.margin.maintenance.max(other.margin.maintenance),
            },
        }
    }
}

/// Share of a position's value that must be covered by equity.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Margin {
    /// To open a long position: 1 is a cash account, 0.5 is Regulation T.
    pub initial_long: f64,
    /// To open a short position, beyond the proceeds.
    pub initial_short: f64,
    /// To keep any position; below it everything is closed.
    pub maintenance: f64,
}

impl Default for Margin {
    fn default() -> Self {
        Self { initial_long: 1.0, initial_short: 0.5, maintenance: 0.25 }
    }
}

/// An order that a limit stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The order.
    pub order: Order,
    /// The limit, with its numbers.
    pub reason: Refusal,
}

/// Why an order was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It asks for nothing.
    #[error("it asks for nothing")]
    NothingToTrade,
    /// It may only reduce, and there is no position on the other side.
    #[error("it may only reduce, and there is no position on the other side")]
    NothingToReduce,
    /// The run does not trade this instrument.
    #[error("the run does not trade this instrument")]
    UnknownInstrument,
    /// A price it names is zero or negative.
    #[error("a price it names is not above 0")]
    PriceNotPositive,
    /// No price is known yet, so its value cannot be judged.
    #[error("no price is known yet, so its value cannot be judged")]
    NoPriceYet,
    /// Its price is too far from the last one.
    #[error("its price {price} is more than {max_bps} basis points from the last one, {reference}")]
    PriceOutsideCollar {
        /// Of the order.
        price: Price,
        /// Last price.
        reference: Price,
        /// Allowed distance.
        max_bps: f64,
    },
    /// Too many shares.
    #[error("it asks for {quantity} shares, and at most {max} are allowed")]
    QuantityTooLarge {
        /// Of the order.
        quantity: Quantity,
        /// Limit.
        max: Quantity,
    },
    /// Too much value.
    #[error("its value is {notional}, and at most {max} is allowed")]
    NotionalTooLarge {
        /// Of the order.
        notional: Money,
        /// Limit.
        max: Money,
    },
    /// The position could become too large.
    #[error("the position could become {quantity} shares, and at most {max} are allowed")]
    PositionTooLarge {
        /// Largest position that could result.
        quantity: Quantity,
        /// Limit.
        max: Quantity,
    },
    /// The position could become too valuable.
    #[error("the position could become worth {notional}, and at most {max} is allowed")]
    PositionNotionalTooLarge {
        /// Largest value that could result.
        notional: Money,
        /// Limit.
        max: Money,
    },
    /// All positions together could become too valuable.
    #[error("all positions together could become worth {notional}, and at most {max} is allowed")]
    GrossNotionalTooLarge {
        /// Largest sum that could result.
        notional: Money,
        /// Limit.
        max: Money,
    },
    /// Equity does not cover the position.
    #[error("the positions would require {required} of equity, and there is {equity}")]
    NotEnoughBuyingPower {
        /// Margin that all positions would require.
        required: Money,
        /// Cash plus positions.
        equity: Money,
    },
    /// Too many orders in this session.
    #[error("the session has had {max} orders, and no more are allowed")]
    TooManyOrders {
        /// Limit.
        max: u32,
    },
    /// Longs and shorts together could lean too far to one side.
    #[error("long less short positions could become {notional}, and at most {max} either way is allowed")]
    NetNotionalTooLarge {
        /// Largest difference that could result.
        notional: Money,
        /// Limit.
        max: Money,
    },
    /// Too many orders in a minute.
    #[error("the last minute has had {max} orders, and no more are allowed")]
    TooManyOrdersAMinute {
        /// Limit.
        max: u32,
    },
    /// Too many cancels in a minute.
    #[error("the last minute has had {max} cancels, and after that no new order leaves")]
    TooManyCancelsAMinute {
        /// Limit.
        max: u32,
    },
    /// The same order has just left.
    #[error("the same order left less than {window_s} seconds ago")]
    Duplicate {
        /// Seconds in which it may not leave twice.
        window_s: u32,
    },
    /// The session has lost too much.
    #[error("the session has lost {loss}, and at {max} nothing new is begun")]
    DailyLoss {
        /// Since the session opened.
        loss: Money,
        /// Limit.
        max: Money,
    },
    /// Equity has fallen too far.
    #[error("equity is {drawdown:.4} of its highest below it, and at {max} nothing new is begun")]
    Drawdown {
        /// Fall from the highest equity, as a fraction of it.
        drawdown: f64,
        /// Limit.
        max: f64,
    },
    /// The symbol is on the list of those in which nothing may be begun.
    #[error("its symbol is on the restricted list")]
    Restricted,
    /// It could trade with an order of the same account.
    #[error("it could trade with order {other} of the same account")]
    SelfTrade {
        /// Which.
        other: u64,
    },
    /// A person or the guardian said so.
    #[error("the strategy is in mode {mode}")]
    NotNow {
        /// What is in force.
        mode: Mode,
    },
    /// The strategy repeated itself too often.
    #[error("the strategy has had {executions} executions without a person, who must enable it again")]
    Throttled {
        /// Since a person last enabled it.
        executions: u32,
    },
    /// The books differed from the broker's.
    #[error("the books have differed from the broker's since {since}, and nobody has accepted it yet")]
    BooksDiffer {
        /// When they first did.
        since: Timestamp,
    },
    /// Nobody hears of its prices.
    #[error("its prices have been stale since {since}")]
    StalePrices {
        /// When that was said.
        since: Timestamp,
    },
    /// A figure is too large to compute.
    #[error("a figure is too large to compute")]
    OutOfRange,
}

impl Refusal {
    /// Whether both are for want of margin, and this one wants no less.
    pub(crate) fn needs_as_much_margin_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NotEnoughBuyingPower { required: this, .. }, Self::NotEnoughBuyingPower { required: other, .. }) => {
                this >= other
            }
            _ => false,
        }
    }
}

/// What is working in one instrument, beside its position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Working {
    /// Unfilled quantity of buy orders.
    pub buys: Quantity,
    /// Unfilled quantity of sell orders, as a positive number.
    pub sells: Quantity,
    /// Unfilled quantity of buy orders that fill at the next price whatever it is.
    pub certain_buys: Quantity,
    /// Unfilled quantity of such sell orders, as a positive number.
    pub certain_sells: Quantity,
    /// Unfilled quantity, as a positive number, of orders that passed because they only shrink the position.
    pub shrinking: Quantity,
    /// Signed unfilled quantity of those of them that fill at the next price whatever it is.
    pub certain_shrinking: Quantity,
    /// Unfilled quantity, as a positive number, of exits: orders that were asked for as reduce-only.
    pub exits: Quantity,
}

impl Working {
    /// Counts `quantity` more of an order; one of the opposite sign takes it off again.
    pub(crate) fn count(&mut self, order: &Order, role: Role, quantity: Quantity) -> Result<(), Overflow> {
        let certain = is_certain(order);
        let buys = order.quantity.signum() > 0;
        let size = if buys { quantity } else { quantity.neg() };
        match role {
            Role::Exit => self.exits = self.exits.add(size)?,
            Role::Shrinking => {
                self.shrinking = self.shrinking.add(size)?;
                if certain {
                    self.certain_shrinking = self.certain_shrinking.add(quantity)?;
                }
            }
            Role::Free => {
                let side = if buys { &mut self.buys } else { &mut self.sells };
                *side = side.add(size)?;
                if certain {
                    let side = if buys { &mut self.certain_buys } else { &mut self.certain_sells };
                    *side = side.add(size)?;
                }
            }
        }
        Ok(())
    }
}

/// How an approved order counts while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It may build a position.
    Free,
    /// It passed because it can only shrink the position, and leaves as reduce-only so that this stays true.
    Shrinking,
    /// It is reduce-only: it was asked for as such, or is a way out that nothing else would let pass.
    Exit,
}

/// An order that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOrder {
    /// The order.
    pub order: Order,
    /// Signed quantity that is not filled yet.
    pub remaining: Quantity,
    /// How it counts.
    pub role: Role,
    /// Whether it is on its way to a target.
    pub(crate) for_target: bool,
    /// Whether its cancel has left and nobody has confirmed it: it may still fill.
    pub leaving: bool,
}

/// State that the limits are judged against.
#[derive(Debug, Clone, Copy)]
pub struct Exposure<'a> {
    /// The account.
    pub book: &'a Book,
    /// What is working, per instrument.
    pub working: &'a [Working],
    /// The orders behind it.
    pub open: &'a [OpenOrder],
    /// What else stands in the way.
    pub guard: &'a Guard,
    /// Symbols behind the instruments; where they are unknown every one counts as restricted once any is.
    pub names: &'a [Symbol],
    /// Orders that left in this session so far.
    pub orders_this_session: u32,
}

/// Whether an order fills at the next price, whatever that is: at the market, and nothing can fill in its stead.
fn is_certain(order: &Order) -> bool {
    let at_market = matches!(order.kind, OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose);
    at_market && order.group.is_none()
}

/// Judges an order against every limit.
///
/// # Errors
/// [`Refusal`] with the numbers of the first limit that it breaks.
#[expect(clippy::result_large_err, reason = "a refusal carries its order, and is rare")]
pub fn check(order: Order, limits: &Limits, exposure: &Exposure<'_>) -> Result<(Approved, Role), Refused> {
    if order.reduce_only && reduces(&order, exposure) {
        return match exit_refusal(&order) {
            None => Ok((Approved(order), Role::Exit)),
            Some(reason) => Err(Refused { order, reason }),
        };
    }
    if only_shrinks(&order, exposure) && exit_refusal(&order).is_none() {
        // Whatever else fills first, it never turns the position round.
        return Ok((Approved(Order { reduce_only: true, ..order }), Role::Shrinking));
    }
    match judge(&order, limits, exposure) {
        Ok(None) => Ok((Approved(order), Role::Free)),
        // Another order may be closing the position already; that must not bar a second way out of it.
        _ if is_way_out(&order, exposure) => Ok((Approved(Order { reduce_only: true, ..order }), Role::Exit)),
        Ok(Some(reason)) => Err(Refused { order, reason }),
        Err(Overflow) => Err(Refused { order, reason: Refusal::OutOfRange }),
    }
}

/// Judges an order that somebody else has already judged, by an account of one's own: it counts as what it says it is,
/// so that both accounts count alike, and only where it would be refused may it pass as a way out.
///
/// # Errors
/// [`Refusal`] with the numbers of the first limit that it breaks.
#[expect(clippy::result_large_err, reason = "a refusal carries its order, and is rare")]
pub fn check_again(order: Order, limits: &Limits, exposure: &Exposure<'_>) -> Result<(Approved, Role), Refused> {
    if !order.reduce_only && matches!(judge(&order, limits, exposure), Ok(None)) {
        return Ok((Approved(order), Role::Free));
    }
    check(order, limits, exposure)
}

/// Whether the order is on the other side of the position.
fn reduces(order: &Order, exposure: &Exposure<'_>) -> bool {
    order.quantity.signum() * exposure.book.position(order.instrument).signum() < 0
}

/// What even an order that only reduces is refused for.
fn exit_refusal(order: &Order) -> Option<Refusal> {
    prices(order).any(|price| price.signum() <= 0).then_some(Refusal::PriceNotPositive)
}

fn judge(order: &Order, limits: &Limits, exposure: &Exposure<'_>) -> Result<Option<Refusal>, Overflow> {
    if order.instrument.index() >= exposure.working.len() {
        return Ok(Some(Refusal::UnknownInstrument));
    }
    if order.quantity.is_zero() {
        return Ok(Some(Refusal::NothingToTrade));
    }
    if let Some(reason) = exit_refusal(order) {
        return Ok(Some(reason));
    }
    if order.reduce_only {
        return Ok(Some(Refusal::NothingToReduce));
    }
    if !limits.restricted.is_empty() {
        let name = exposure.names.get(order.instrument.index());
        // Who writes a list by hand may write a symbol in other letters.
        let listed =
            |name: &Symbol| limits.restricted.iter().any(|one| one.as_str().eq_ignore_ascii_case(name.as_str()));
        if name.is_none_or(listed) {
            return Ok(Some(Refusal::Restricted));
        }
    }
    if let Some(reason) = exposure.guard.bars(order, limits, exposure.book.equity()?) {
        return Ok(Some(reason));
    }
    if limits.no_self_trade
        && let Some(other) = exposure.open.iter().find(|open| may_trade_with(order, &open.order))
    {
        return Ok(Some(Refusal::SelfTrade { other: other.order.id.0 }));
    }
    let Some(reference) = exposure.book.mark_of(order.instrument) else {
        return Ok(Some(Refusal::NoPriceYet));
    };
    if let Some(max) = limits.orders_per_session_max
        && exposure.orders_this_session >= max
    {
        return Ok(Some(Refusal::TooManyOrders { max }));
    }
    if let Some(max_bps) = limits.price_collar_bps {
        let far = |price: &Price| (price.to_f64() / reference.to_f64() - 1.0).abs() * 10_000.0 > max_bps;
        if let Some(price) = entry_prices(order).find(far) {
            return Ok(Some(Refusal::PriceOutsideCollar { price, reference, max_bps }));
        }
    }
    let quantity = order.quantity.abs();
    if let Some(max) = limits.order_quantity_max
        && quantity > max
    {
        return Ok(Some(Refusal::QuantityTooLarge { quantity, max }));
    }
    // An order may trade at its own price or at the market's; the dearer one is judged.
    let dearest = entry_prices(order).fold(reference, Price::max);
    let notional = dearest.times(quantity).to_money()?;
    if let Some(max) = limits.order_notional_max
        && notional > max
    {
        return Ok(Some(Refusal::NotionalTooLarge { notional, max }));
    }
    judge_positions(order, dearest, limits, exposure)
}

/// What stands against it that all that works fills, after an exit that nobody counted on took part of a position away.
pub(crate) fn beyond(
    instrument: InstrumentId,
    limits: &Limits,
    exposure: &Exposure<'_>,
) -> Result<Option<Refusal>, Overflow> {
    let nothing = Order {
        id: OrderId(0),
        instrument,
        quantity: Quantity::ZERO,
        kind: OrderKind::Market,
        time_in_force: TimeInForce::default(),
        bracket: None,
        group: None,
        reduce_only: false,
    };
    let price = exposure.book.mark_of(instrument).unwrap_or_default();
    judge_positions(&nothing, price, limits, exposure)
}

/// Whether two orders could meet. A stop that waits for its trigger is not in the market.
fn may_trade_with(order: &Order, other: &Order) -> bool {
    if order.instrument != other.instrument || order.quantity.signum() * other.quantity.signum() >= 0 {
        return false;
    }
    let (buy, sell) = if order.quantity.signum() > 0 { (order, other) } else { (other, order) };
    let worst = |order: &Order| match order.kind {
        OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose => Some(None),
        OrderKind::Limit { limit } => Some(Some(limit)),
        OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. } => None,
    };
    match (worst(buy), worst(sell)) {
        (Some(Some(buy)), Some(Some(sell))) => buy >= sell,
        (Some(_), Some(_)) => true,
        _ => false,
    }
}

/// Judges what the positions could become with the order at a price.
fn judge_positions(
    order: &Order,
    dearest: Price,
    limits: &Limits,
    exposure: &Exposure<'_>,
) -> Result<Option<Refusal>, Overflow> {
    let position = exposure.book.position(order.instrument);
    let working = exposure.working.get(order.instrument.index()).copied().unwrap_or_default();
    let worst = worst_position(order.quantity, position, &working)?;
    if let Some(max) = limits.position_quantity_max
        && worst > max
    {
        return Ok(Some(Refusal::PositionTooLarge { quantity: worst, max }));
    }
    let value = dearest.times(worst);
    if let Some(max) = limits.position_notional_max
        && value.to_money()? > max
    {
        return Ok(Some(Refusal::PositionNotionalTooLarge { notional: value.to_money()?, max }));
    }
    if let Some(max) = limits.gross_notional_max {
        let mut gross = value;
        for at in (0..exposure.working.len()).filter(|&at| at != order.instrument.index()) {
            let other = InstrumentId(at as u32);
            let worst = worst_position(Quantity::ZERO, exposure.book.position(other), &exposure.working[at])?;
            gross = gross.plus(exposure.book.mark_of(other).unwrap_or_default().times(worst));
        }
        let notional = gross.to_money()?;
        if notional > max {
            return Ok(Some(Refusal::GrossNotionalTooLarge { notional, max }));
        }
    }
    if let Some(max) = limits.net_notional_max {
        let (mut longest, mut shortest) = (Notional::ZERO, Notional::ZERO);
        for at in 0..exposure.working.len() {
            let other = InstrumentId(at as u32);
            let this = other == order.instrument;
            let price = if this { dearest } else { exposure.book.mark_of(other).unwrap_or_default() };
            let quantity = if this { order.quantity } else { Quantity::ZERO };
            let (low, high) = span(quantity, exposure.book.position(other), &exposure.working[at])?;
            longest = longest.plus(price.times(high));
            shortest = shortest.plus(price.times(low));
        }
        let notional = longest.to_money()?.max(shortest.to_money()?.neg());
        if notional > max {
            return Ok(Some(Refusal::NetNotionalTooLarge { notional, max }));
        }
    }
    let required = initial_margin(order, dearest, &limits.margin, exposure)?;
    let equity = exposure.book.equity()?;
    if required > equity {
        return Ok(Some(Refusal::NotEnoughBuyingPower { required, equity }));
    }
    Ok(None)
}

/// Whether the order, on top of everything that works in its direction, can take the position no further than flat.
fn only_shrinks(order: &Order, exposure: &Exposure<'_>) -> bool {
    let position = exposure.book.position(order.instrument);
    let Some(working) = exposure.working.get(order.instrument.index()) else { return false };
    if !reduces(order, exposure) {
        return false;
    }
    let same_direction = if order.quantity.signum() > 0 { working.buys } else { working.sells };
    let all = same_direction.add(working.shrinking).and_then(|all| all.add(order.quantity.abs()));
    all.is_ok_and(|all| all <= position.abs())
}

/// Whether the order by itself can take the position no further than flat.
fn is_way_out(order: &Order, exposure: &Exposure<'_>) -> bool {
    let position = exposure.book.position(order.instrument);
    reduces(order, exposure) && order.quantity.abs() <= position.abs() && exit_refusal(order).is_none()
}

/// A position after up to so much of it is closed.
fn closed_by(position: Quantity, most: Quantity) -> Result<Quantity, Overflow> {
    let left = position.abs().sub(most)?.max(Quantity::ZERO);
    Ok(if position.signum() < 0 { left.neg() } else { left })
}

/// Largest magnitude the position can reach if any part of what works, and of this order, fills.
fn worst_position(quantity: Quantity, position: Quantity, working: &Working) -> Result<Quantity, Overflow> {
    let (short, long) = span(quantity, position, working)?;
    Ok(long.max(short.neg()).max(Quantity::ZERO))
}

/// Lowest and highest position that can come of it.
fn span(quantity: Quantity, position: Quantity, working: &Working) -> Result<(Quantity, Quantity), Overflow> {
    let zero = Quantity::ZERO;
    // What reduces may fill before what builds the other way.
    let reduced = closed_by(position, working.shrinking.add(working.exits)?)?;
    let long = position.max(reduced).add(working.buys)?.add(quantity.max(zero))?;
    let short = position.min(reduced).sub(working.sells)?.add(quantity.min(zero))?;
    Ok((short, long))
}

/// Margin of all positions once everything that will fill has filled and the rest did its worst.
///
/// An order at the market counts as filled, so that a sale pays for a purchase decided in the same step; while a venue
/// fills it only in part, the account may need more than this for as long.
fn initial_margin(order: &Order, price: Price, margin: &Margin, exposure: &Exposure<'_>) -> Result<Money, Overflow> {
    let mut required = Money::ZERO;
    for (at, working) in exposure.working.iter().enumerate() {
        let instrument = InstrumentId(at as u32);
        let this = at == order.instrument.index();
        let extra = if this { order.quantity } else { Quantity::ZERO };
        let position = exposure.book.position(instrument);
        if position.is_zero() && extra.is_zero() && *working == Working::default() {
            continue;
        }
        let price = if this { price } else { exposure.book.mark_of(instrument).unwrap_or_default() };
        let certain = working.certain_buys.sub(working.certain_sells)?;
        let settled = position.add(certain)?.add(working.certain_shrinking)?;
        // What reduces may also fill first, and all of it.
        let reduced = closed_by(position, working.shrinking.add(working.exits)?)?.add(certain)?;
        let (sure, maybe) = if is_certain(order) { (extra, Quantity::ZERO) } else { (Quantity::ZERO, extra) };
        let (settled, reduced) = (settled.add(sure)?, reduced.add(sure)?);
        let zero = Quantity::ZERO;
        let buys = working.buys.sub(working.certain_buys)?.add(maybe.max(zero))?;
        let sells = working.sells.sub(working.certain_sells)?.sub(maybe.min(zero))?;
        let long = settled.max(reduced).add(buys)?.max(zero);
        let short = settled.min(reduced).sub(sells)?.neg().max(zero);
        let of = |quantity: Quantity, rate: f64| price.times(quantity).basis_points(rate * 10_000.0);
        required = required.add(of(long, margin.initial_long)?.max(of(short, margin.initial_short)?))?;
    }
    Ok(required)
}

/// What the positions require to be kept.
pub(crate) fn maintenance(gross: Notional, margin: &Margin) -> Result<Money, Overflow> {
    gross.basis_points(margin.maintenance * 10_000.0)
}

fn entry_prices(order: &Order) -> impl Iterator<Item = Price> {
    let (first, second) = match order.kind {
        OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose | OrderKind::TrailingStop { .. } => {
            (None, None)
        }
        OrderKind::Limit { limit } => (Some(limit), None),
        OrderKind::Stop { stop } => (Some(stop), None),
        OrderKind::StopLimit { stop, limit } => (Some(stop), Some(limit)),
    };
    first.into_iter().chain(second)
}

fn prices(order: &Order) -> impl Iterator<Item = Price> {
    let trail = match order.kind {
        OrderKind::TrailingStop { trail } => Some(trail_amount(trail)),
        _ => None,
    };
    let exits = order.bracket.unwrap_or_default();
    let stop = exits.stop_loss.map(|stop| match stop {
        domain::StopLoss::At(price) => price,
        domain::StopLoss::Trailing(trail) => trail_amount(trail),
    });
    entry_prices(order).chain(trail).chain(exits.take_profit).chain(stop)
}

fn trail_amount(trail: domain::Trail) -> Price {
    match trail {
        domain::Trail::Amount(price) => price,
        domain::Trail::BasisPoints(points) => Price::from_units(i64::from(points)),
    }
}
