//! What the engine is told and what it asks for.

use domain::{Bar, CorporateAction, Fill, InstrumentId, Money, OrderId, Session};
use serde::{Deserialize, Serialize};

use crate::risk::Approved;

/// Something that happened. The journal stores these, and replaying them rebuilds every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A session begins; what follows belongs to it.
    SessionOpened(Session),
    /// A broker's charge on a position carried overnight: the fee for borrowing shares.
    Borrowed {
        /// On which short position.
        instrument: InstrumentId,
        /// How much, never negative.
        amount: Money,
    },
    /// A corporate action in force from this session's open.
    Action(CorporateAction),
    /// An execution.
    Filled(Fill),
    /// An order stopped working with part of it unfilled.
    OrderEnded {
        /// Which.
        order: OrderId,
        /// Why.
        reason: OrderEnd,
    },
    /// An instrument's session is complete.
    Bar(Bar),
    /// The session is complete: every bar has been seen.
    SessionClosed,
}

/// Why an order stopped working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderEnd {
    /// Asked for.
    Cancelled,
    /// Its time was over.
    Expired,
    /// An alternative filled.
    Replaced,
    /// The instrument stopped trading.
    Delisted,
    /// The broker refused it.
    Rejected,
}

/// What the engine asks of a venue or broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Work this order.
    Submit(Approved),
    /// Stop working this order.
    Cancel(OrderId),
}
