//! What is said to Alpaca and what it says, in its words.

use std::fmt;

use domain::{Money, Order, OrderKind, Price, Quantity, Symbol, TimeInForce, Timestamp, Trail};
use engine::OrderEnd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use trading::{BrokerEvent, ClientOrderId, Execution, State, Ticket};

use super::names;

/// How long after an order has filled its fills may be told, in nanoseconds.
const FILLS_LATE_MAX: i64 = 60_000_000_000;

/// To buy or to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Buy,
    #[serde(alias = "sell_short")]
    Sell,
}

impl Side {
    pub(super) fn of(quantity: Quantity) -> Self {
        if quantity.signum() < 0 { Self::Sell } else { Self::Buy }
    }

    /// With the sign that we give it.
    pub(super) fn signed(self, quantity: Quantity) -> Quantity {
        match self {
            Self::Buy => quantity.abs(),
            Self::Sell => quantity.abs().neg(),
        }
    }
}

/// An order's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Type {
    Market,
    Limit,
    Stop,
    StopLimit,
    TrailingStop,
}

/// How long an order works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Term {
    Day,
    Gtc,
    Opg,
    Cls,
    Ioc,
    Fok,
}

/// How orders hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    #[default]
    #[serde(alias = "")]
    Simple,
    Bracket,
    Oco,
    Oto,
    /// Of options, which nothing here trades.
    #[serde(other)]
    Other,
}

/// What an order has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    New,
    PartiallyFilled,
    Filled,
    Canceled,
    Expired,
    Replaced,
    Rejected,
    Held,
    Accepted,
    PendingNew,
    /// Any other, in which an order may still trade.
    #[serde(other)]
    Other,
}

impl Status {
    pub(super) fn state(self) -> State {
        match self {
            Self::Filled => State::Filled,
            Self::Canceled => State::Ended(OrderEnd::Cancelled),
            Self::Expired => State::Ended(OrderEnd::Expired),
            Self::Replaced => State::Ended(OrderEnd::Replaced),
            Self::Rejected => State::Ended(OrderEnd::Rejected),
            Self::New | Self::PartiallyFilled | Self::Held | Self::Accepted | Self::PendingNew | Self::Other => {
                State::Working
            }
        }
    }
}

/// The profitable exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TakeProfit {
    pub(super) limit_price: Price,
}

/// The other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StopLoss {
    pub(super) stop_price: Price,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) limit_price: Option<Price>,
}

/// Prices of an order, as far as its type has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Prices {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trail_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trail_percent: Option<Percent>,
}

/// Hundredths of a percent, written as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `POST /v2/orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct NewOrder {
    pub(super) client_order_id: String,
    pub(super) symbol: Symbol,
    pub(super) qty: Quantity,
    pub(super) side: Side,
    #[serde(rename = "type")]
    pub(super) kind: Type,
    pub(super) time_in_force: Term,
    pub(super) order_class: Class,
    #[serde(flatten)]
    pub(super) prices: Prices,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) take_profit: Option<TakeProfit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_loss: Option<StopLoss>,
}

/// `PATCH /v2/orders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Replacement {
    pub(super) client_order_id: String,
    pub(super) qty: Quantity,
    pub(super) time_in_force: Term,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trail: Option<String>,
}

/// An order's kind at prices that Alpaca takes: it does not round.
fn on_tick(order: &Order) -> Result<OrderKind, String> {
    order.kind.on_tick(order.quantity).map_err(|error| error.to_string())
}

fn said(kind: OrderKind, term: TimeInForce) -> (Type, Term, Prices) {
    let term = match term {
        TimeInForce::Day => Term::Day,
        TimeInForce::GoodTillCancelled => Term::Gtc,
    };
    let none = Prices::default();
    match kind {
        OrderKind::Market => (Type::Market, term, none),
        OrderKind::MarketOnOpen => (Type::Market, Term::Opg, none),
        OrderKind::MarketOnClose => (Type::Market, Term::Cls, none),
        OrderKind::Limit { limit } => (Type::Limit, term, Prices { limit_price: Some(limit), ..none }),
        OrderKind::Stop { stop } => (Type::Stop, term, Prices { stop_price: Some(stop), ..none }),
        OrderKind::StopLimit { stop, limit } => {
            let (stop_price, limit_price) = (Some(stop), Some(limit));
            (Type::StopLimit, term, Prices { stop_price, limit_price, ..none })
        }
        OrderKind::TrailingStop { trail: Trail::Amount(amount) } => {
            (Type::TrailingStop, term, Prices { trail_price: Some(amount), ..none })
        }
        OrderKind::TrailingStop { trail: Trail::BasisPoints(points) } => {
            (Type::TrailingStop, term, Prices { trail_percent: Some(Percent(points)), ..none })
        }
    }
}

impl NewOrder {
    /// One order, or two that are alternatives.
    pub(super) fn of(tickets: &[Ticket]) -> Result<Self, String> {
        match tickets {
            [ticket] => Self::single(ticket),
            [one, other] => match (one.approved.order().kind, other.approved.order().kind) {
                (OrderKind::Limit { .. }, _) => Self::alternatives(one, other),
                _ => Self::alternatives(other, one),
            },
            [] => Err("there is nothing to send".to_owned()),
            more => Err(format!("Alpaca takes two alternatives, not {}", more.len())),
        }
    }

    fn single(ticket: &Ticket) -> Result<Self, String> {
        let order = ticket.approved.order();
        let (kind, time_in_force, prices) = said(on_tick(order)?, order.time_in_force);
        Ok(Self {
            client_order_id: ticket.id.as_str().to_owned(),
            symbol: ticket.symbol.clone(),
            qty: order.quantity.abs(),
            side: Side::of(order.quantity),
            kind,
            time_in_force,
            order_class: Class::Simple,
            prices,
            take_profit: None,
            stop_loss: None,
        })
    }

    fn alternatives(profit: &Ticket, loss: &Ticket) -> Result<Self, String> {
        let (one, other) = (profit.approved.order(), loss.approved.order());
        let alike =
            profit.symbol == loss.symbol && one.quantity == other.quantity && one.time_in_force == other.time_in_force;
        let stop_loss = match on_tick(other)? {
            OrderKind::Stop { stop } => Some(StopLoss { stop_price: stop, limit_price: None }),
            OrderKind::StopLimit { stop, limit } => Some(StopLoss { stop_price: stop, limit_price: Some(limit) }),
            _ => None,
        };
        let (OrderKind::Limit { limit }, Some(stop_loss), true) = (on_tick(one)?, stop_loss, alike) else {
            return Err("Alpaca takes as alternatives a limit and a stop in one symbol, of one size and for one time"
                .to_owned());
        };
        let take_profit = TakeProfit { limit_price: limit };
        Ok(Self {
            client_order_id: names::both(&profit.id, &loss.id),
            order_class: Class::Oco,
            prices: Prices::default(),
            take_profit: Some(take_profit),
            stop_loss: Some(stop_loss),
            ..Self::single(profit)?
        })
    }
}

impl Replacement {
    /// What changes when `with` takes the place of an order.
    pub(super) fn of(old: &OrderRow, with: &Ticket, client_order_id: String) -> Result<Self, String> {
        let new = NewOrder::single(with)?;
        if old.symbol != Some(new.symbol) || old.side != Some(new.side) || old.kind != Some(new.kind) {
            return Err("Alpaca replaces an order only by one in the same symbol, on the same side and of the same \
                        type; cancel it and send another"
                .to_owned());
        }
        if !old.filled_qty.is_zero() {
            return Err(format!(
                "{} of the order are filled already, and Alpaca would work the new size on top; cancel it and send \
                 another",
                old.filled_qty
            ));
        }
        let Prices { limit_price, stop_price, trail_price, trail_percent } = new.prices;
        Ok(Self {
            client_order_id,
            qty: new.qty,
            time_in_force: new.time_in_force,
            limit_price,
            stop_price,
            trail: trail_price.map(|price| price.to_string()).or(trail_percent.map(|percent| percent.to_string())),
        })
    }
}

/// Nothing where it is none of ours: an order of options has an empty text for its symbol and side, and must not make
/// the others unreadable.
fn of_ours<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(deserializer)?).ok())
}

/// An order, as Alpaca tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct OrderRow {
    pub(super) id: String,
    pub(super) client_order_id: String,
    #[serde(default, deserialize_with = "of_ours")]
    pub(super) symbol: Option<Symbol>,
    #[serde(default)]
    pub(super) qty: Option<Quantity>,
    #[serde(default)]
    pub(super) filled_qty: Quantity,
    #[serde(default)]
    pub(super) filled_avg_price: Option<Price>,
    #[serde(default)]
    pub(super) order_class: Option<Class>,
    #[serde(default, rename = "type", deserialize_with = "of_ours")]
    pub(super) kind: Option<Type>,
    #[serde(default, deserialize_with = "of_ours")]
    pub(super) side: Option<Side>,
    pub(super) status: Status,
    pub(super) created_at: Timestamp,
    #[serde(default)]
    pub(super) submitted_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) updated_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) replaces: Option<String>,
    #[serde(default)]
    pub(super) legs: Option<Vec<OrderRow>>,
}

impl OrderRow {
    /// It and its legs.
    pub(super) fn family(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.legs.iter().flatten())
    }

    /// What is filled that the given executions do not tell, at the price that explains the average.
    fn untold(&self, id: &ClientOrderId, side: Side, told: &[Execution]) -> Option<Execution> {
        let known = told.iter().try_fold(Quantity::ZERO, |sum, one| sum.add(one.quantity.abs())).ok()?;
        let missing = self.filled_qty.sub(known).ok()?;
        if missing.signum() <= 0 {
            return None;
        }
        let value = self.filled_avg_price?.times(self.filled_qty);
        let value = told.iter().fold(value, |left, one| left.minus(one.price.times(one.quantity.abs())));
        Some(Execution {
            id: format!("{}:{}", self.id, self.filled_qty),
            order: id.clone(),
            quantity: side.signed(missing),
            price: value.per_share(missing).ok()?,
            fee: Money::ZERO,
            cumulative: self.filled_qty,
            at: self.updated_at.unwrap_or(self.created_at),
        })
    }

    /// As we tell it, under the given name and with what has been read of the account's fills.
    ///
    /// An order may be filled a moment before its fills are told. That is waited for, because a price that only
    /// explains an average is not one at which anything traded.
    pub(super) fn told(
        &self,
        id: ClientOrderId,
        fills: &[Activity],
        now: Timestamp,
    ) -> Result<trading::OrderStatus, String> {
        let nameless = || format!("Alpaca's order {} is in something that has no name here", self.id);
        let symbol = self.symbol.clone().ok_or_else(nameless)?;
        let side = self.side.ok_or_else(nameless)?;
        let own = fills.iter().filter(|fill| fill.order_id == self.id);
        let mut executions: Vec<Execution> = own.map(|fill| fill.execution(id.clone())).collect();
        executions.sort_by_key(|execution| execution.cumulative);
        executions.dedup_by_key(|execution| execution.cumulative);
        let untold = self.untold(&id, side, &executions);
        if untold.as_ref().is_some_and(|one| now.nanos().saturating_sub(one.at.nanos()) < FILLS_LATE_MAX) {
            return Err(format!("the fills of Alpaca's order {} are not told yet", self.id));
        }
        executions.extend(untold);
        Ok(trading::OrderStatus {
            id,
            symbol,
            quantity: side.signed(self.qty.unwrap_or(self.filled_qty)),
            state: self.status.state(),
            executions,
        })
    }
}

/// One of `GET /v2/account/activities/FILL`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Activity {
    pub(super) id: String,
    pub(super) order_id: String,
    pub(super) qty: Quantity,
    pub(super) cum_qty: Quantity,
    pub(super) price: Price,
    /// `buy`, `sell`, or `sell_short`.
    pub(super) side: String,
    pub(super) transaction_time: Timestamp,
}

impl Activity {
    fn execution(&self, order: ClientOrderId) -> Execution {
        let side = if self.side == "buy" { Side::Buy } else { Side::Sell };
        Execution {
            id: self.id.rsplit("::").next().unwrap_or(&self.id).to_owned(),
            order,
            quantity: side.signed(self.qty),
            price: self.price,
            fee: Money::ZERO,
            cumulative: self.cum_qty,
            at: self.transaction_time,
        }
    }
}

/// `GET /v2/account`, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct AccountRow {
    pub(super) cash: Money,
}

/// `GET /v2/clock`, as far as it is needed: theirs counts, ours may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct ClockRow {
    pub(super) timestamp: Timestamp,
}

/// One of `GET /v2/positions`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct PositionRow {
    #[serde(default, deserialize_with = "of_ours")]
    pub(super) symbol: Option<Symbol>,
    #[serde(default, deserialize_with = "of_ours")]
    pub(super) qty: Option<Quantity>,
    pub(super) side: String,
    #[serde(default)]
    pub(super) asset_class: Option<String>,
    #[serde(default, deserialize_with = "of_ours")]
    pub(super) current_price: Option<Price>,
}

impl PositionRow {
    /// None for options and coins: nobody trades them here, and their names and sizes may be none of ours.
    pub(super) fn holding(self) -> Result<Option<trading::Holding>, String> {
        if self.asset_class.is_some_and(|class| class != "us_equity") {
            return Ok(None);
        }
        let (Some(symbol), Some(qty)) = (self.symbol, self.qty) else {
            return Err("a position at Alpaca has no symbol or size that can be read".to_owned());
        };
        let quantity = if self.side == "short" { qty.abs().neg() } else { qty };
        Ok(Some(trading::Holding { symbol, quantity, price: self.current_price }))
    }
}

/// A failure in Alpaca's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) message: String,
}

impl ApiError {
    /// Alpaca has had an order of this name: it arrived.
    pub(super) fn is_known_name(message: &str) -> bool {
        message.contains("client_order_id") && message.contains("unique")
    }
}

/// What the socket says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Message {
    pub(super) stream: String,
    #[serde(default)]
    pub(super) data: serde_json::Value,
}

/// `trade_updates`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct TradeUpdate {
    pub(super) event: String,
    pub(super) order: OrderRow,
    #[serde(default)]
    pub(super) execution_id: Option<String>,
    #[serde(default)]
    pub(super) price: Option<Price>,
    #[serde(default)]
    pub(super) qty: Option<Quantity>,
    #[serde(default)]
    pub(super) timestamp: Option<Timestamp>,
}

impl TradeUpdate {
    /// What it means, of the order with the given name; nothing if it changes nothing.
    pub(super) fn told(self, id: ClientOrderId) -> Result<Option<BrokerEvent>, String> {
        let ended = |reason| BrokerEvent::Ended { id: id.clone(), reason, text: String::new() };
        Ok(Some(match self.event.as_str() {
            "new" | "accepted" | "held" => BrokerEvent::Accepted(id),
            "fill" | "partial_fill" => BrokerEvent::Executed(self.execution(id)?),
            "canceled" => ended(OrderEnd::Cancelled),
            "expired" => ended(OrderEnd::Expired),
            "replaced" => ended(OrderEnd::Replaced),
            "rejected" => ended(OrderEnd::Rejected),
            _ => return Ok(None),
        }))
    }

    fn execution(self, order: ClientOrderId) -> Result<Execution, String> {
        let lacks = |what| format!("an execution of Alpaca's order {} without its {what}", self.order.id);
        let quantity = self.qty.ok_or_else(|| lacks("size"))?;
        let cumulative = self.order.filled_qty;
        Ok(Execution {
            id: self.execution_id.clone().unwrap_or_else(|| format!("{}:{cumulative}", self.order.id)),
            order,
            quantity: self.order.side.ok_or_else(|| lacks("side"))?.signed(quantity),
            price: self.price.ok_or_else(|| lacks("price"))?,
            fee: Money::ZERO,
            cumulative,
            at: self.timestamp.ok_or_else(|| lacks("time"))?,
        })
    }
}
