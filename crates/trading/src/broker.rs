//! What is asked of a broker, and what it says.
//!
//! Every call may fail in three ways that differ in what is known afterwards ([`Failure`]). An order is known to both
//! sides by a [`ClientOrderId`] that is a function of account, strategy and order: submitting it again is safe, because
//! a broker refuses an id that it has seen, and after a time-out one asks ([`Broker::find`]) instead of sending again.

use std::fmt;

use domain::{Money, OrderId, Price, Quantity, Symbol, Timestamp};
use engine::{Approved, OrderEnd};
use serde::{Deserialize, Serialize};

use crate::market::Market;

/// An order's name at a broker: `ACCOUNT-STRATEGY-ORDER`, letters, digits, `-` and `_`, at most 54 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientOrderId(String);

/// Whose orders they are: what all their ids begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// Of an account's strategy.
    ///
    /// `None` where a name is empty, has other characters than letters, digits and `_`, or both together are longer
    /// than 36.
    #[must_use]
    pub fn new(account: &str, strategy: &str) -> Option<Self> {
        let fits =
            |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (fits(account) && fits(strategy) && account.len() + strategy.len() <= 36)
            .then(|| Self(format!("{account}-{strategy}")))
    }

    /// The name of an order.
    #[must_use]
    pub fn order(&self, order: OrderId) -> ClientOrderId {
        ClientOrderId(format!("{}-{:x}", self.0, order.0))
    }

    /// The order behind a name; none if it is somebody else's.
    #[must_use]
    pub fn own(&self, id: &ClientOrderId) -> Option<OrderId> {
        let digits = id.0.strip_prefix(&self.0)?.strip_prefix('-')?;
        let order = OrderId(u64::from_str_radix(digits, 16).ok()?);
        (self.order(order) == *id).then_some(order)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ClientOrderId {
    /// As a broker tells it; it may be another's.
    pub fn told(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An approved order on its way to a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// Its name there.
    pub id: ClientOrderId,
    /// The broker's name of the instrument.
    pub symbol: Symbol,
    /// What passed the limits. Its bracket is not for the broker: exits are orders of their own, sent as the entry
    /// fills. Alternatives share a group.
    pub approved: Approved,
    /// Whether it sells what is not held, which some brokers want to be told.
    pub short: bool,
}

/// A call did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The broker said no; nothing was done.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// Nothing reached the broker; it may be tried again later.
    #[error("the broker was not reached: {0}")]
    NotSent(String),
    /// It may have been done: ask.
    #[error("the broker gave no answer: {0}")]
    Unclear(String),
}

/// An execution, as the broker reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The broker's name of it.
    pub id: String,
    /// Of which order.
    pub order: ClientOrderId,
    /// Bought (positive) or sold (negative).
    pub quantity: Quantity,
    /// At which price.
    pub price: Price,
    /// Commission, where the broker says so at once.
    pub fee: Money,
    /// How much of the order is filled with it, as a positive number: tells what was missed and what is told twice.
    pub cumulative: Quantity,
    /// When.
    pub at: Timestamp,
}

/// What an order has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works, or waits for its session.
    Working,
    /// Nothing is left of it.
    Filled,
    /// It ended with part of it unfilled.
    Ended(OrderEnd),
}

/// An order as the broker knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderStatus {
    /// Its name.
    pub id: ClientOrderId,
    /// In what.
    pub symbol: Symbol,
    /// To buy (positive) or sell (negative), in all.
    pub quantity: Quantity,
    /// What it has come to.
    pub state: State,
    /// Every execution so far, oldest first. A broker that only tells sums gives one for all of it.
    pub executions: Vec<Execution>,
}

/// A position at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// In what.
    pub symbol: Symbol,
    /// Long (positive) or short (negative).
    pub quantity: Quantity,
    /// Last price the broker values it at, where it says so.
    pub price: Option<Price>,
}

/// The account at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Cash, short-sale proceeds included; none where the broker does not tell it.
    pub cash: Option<Money>,
    /// Positions that are not zero.
    pub holdings: Vec<Holding>,
}

/// What a broker says by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerEvent {
    /// It works the order.
    Accepted(ClientOrderId),
    /// An execution. It may come twice, late, or never; [`Execution::cumulative`] tells.
    Executed(Execution),
    /// An order ended with part of it unfilled.
    Ended {
        /// Which.
        id: ClientOrderId,
        /// Why.
        reason: OrderEnd,
        /// In the broker's words; may be empty.
        text: String,
    },
    /// A charge on a position carried overnight.
    Borrowed {
        /// On what.
        symbol: Symbol,
        /// How much, never negative.
        amount: Money,
    },
    /// The line is down: what happens from here on may be missed.
    Disconnected(String),
    /// The line is up again: ask for what was missed.
    Connected,
}

/// A broker. No call waits longer than its adapter's time-out.
pub trait Broker {
    /// Works an order, or several that are alternatives: one that fills ends the others.
    ///
    /// # Errors
    /// [`Failure`]; for alternatives it holds for all of them.
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure>;

    /// Asks to stop working an order; its end comes as an event.
    ///
    /// # Errors
    /// [`Failure`]; an order that has ended already is no failure.
    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure>;

    /// Puts another order in the place of one, in one go: the first ends as replaced when the broker agrees.
    ///
    /// # Errors
    /// [`Failure`]; the first then still works, unless it is unclear.
    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure>;

    /// An order with all its executions; none if the broker has never seen it.
    ///
    /// # Errors
    /// [`Failure`].
    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure>;

    /// Everything that works in the account, whoever sent it.
    ///
    /// # Errors
    /// [`Failure`].
    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure>;

    /// Cash and positions.
    ///
    /// # Errors
    /// [`Failure`].
    fn account(&mut self) -> Result<Account, Failure>;

    /// What the broker said since the last call, oldest first; does not wait.
    fn events(&mut self) -> Vec<BrokerEvent>;

    /// Why it does not come back by itself, if it does not: a person has to settle something first.
    fn stopped(&self) -> Option<String> {
        None
    }

    /// Hears of the market; only a broker that is its own market does anything with it.
    ///
    /// # Errors
    /// [`Failure`].
    fn market(&mut self, _event: &Market) -> Result<(), Failure> {
        Ok(())
    }

    /// Goes on with what the market has made possible, one execution at a time, so that the engine hears of each
    /// before the next. False when there is nothing left.
    ///
    /// # Errors
    /// [`Failure`].
    fn advance(&mut self) -> Result<bool, Failure> {
        Ok(false)
    }
}

impl<B: Broker + ?Sized> Broker for Box<B> {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        (**self).submit(tickets)
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        (**self).cancel(id)
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        (**self).replace(id, with)
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        (**self).find(id)
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        (**self).working()
    }

    fn account(&mut self) -> Result<Account, Failure> {
        (**self).account()
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        (**self).events()
    }

    fn stopped(&self) -> Option<String> {
        (**self).stopped()
    }

    fn market(&mut self, event: &Market) -> Result<(), Failure> {
        (**self).market(event)
    }

    fn advance(&mut self) -> Result<bool, Failure> {
        (**self).advance()
    }
}
