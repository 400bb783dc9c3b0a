//! What the engine is told and what it asks for.

use domain::{Bar, CorporateAction, Fill, InstrumentId, Money, OrderId, Price, Quantity, Session, Timestamp};
use serde::{Deserialize, Serialize};

use crate::guard::Mode;
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
    /// A price inside a session: it values the account and says that prices are heard of.
    Price {
        /// Of what.
        instrument: InstrumentId,
        /// Last traded.
        price: Price,
        /// When.
        at: Timestamp,
    },
    /// Time has moved on.
    Clock(Timestamp),
    /// Whether prices of an instrument are heard of.
    Feed {
        /// Of what.
        instrument: InstrumentId,
        /// Nothing was heard for too long.
        stale: bool,
    },
    /// A person or the guardian says what may still be done.
    Control(Mode),
    /// The broker's books differ, and they count: ours are put right, and nothing new is begun until a person has
    /// accepted it.
    Corrected(Correction),
    /// A person accepted every correction so far.
    Accepted,
    /// A person enabled a strategy again that had repeated itself too often.
    Reenabled,
}

/// What the broker's books say otherwise than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Another position.
    Position {
        /// In what.
        instrument: InstrumentId,
        /// What we thought.
        ours: Quantity,
        /// What counts.
        theirs: Quantity,
        /// At which it is valued.
        price: Price,
    },
    /// Other cash.
    Cash {
        /// What we thought.
        ours: Money,
        /// What counts.
        theirs: Money,
    },
    /// An order or position that is not of this run; the journal's note says which.
    Foreign,
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
