//! What a step leaves behind for the journal and the report.

use domain::{InstrumentId, Money, Notional, Order, OrderId, SessionDate, Signal, Target};
use serde::{Deserialize, Serialize};

use crate::book::Trade;
use crate::risk::Refused;

/// One consequence of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The strategy predicted.
    Signal(Signal),
    /// The strategy wanted a position.
    Target(Target),
    /// An order passed every limit and left.
    Ordered(Order),
    /// An order was stopped, and by which limit.
    Refused(Refused),
    /// Cash moved.
    Ledger(LedgerEntry),
    /// A position went back to flat.
    TradeClosed(Trade),
    /// Equity fell below the maintenance margin; everything is being closed.
    MarginCall {
        /// Cash plus positions.
        equity: Money,
        /// What the positions require.
        required: Money,
    },
    /// The strategy repeated itself too often: what works is cancelled, and nothing new is begun until a person
    /// enables it again.
    Throttled {
        /// Executions since a person last enabled it.
        executions: u32,
        /// Limit.
        max: u32,
    },
    /// An execution of an order that was no longer counted on: it ended or was cancelled before the broker said so.
    FilledLate(OrderId),
    /// The account at the end of a session.
    Equity {
        /// Which session.
        session: SessionDate,
        /// Cash, short-sale proceeds included.
        cash: Money,
        /// Value of long minus value of short positions.
        net: Notional,
        /// Value of long plus value of short positions.
        gross: Notional,
    },
}

/// A movement of cash. The sum of all of them is the cash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When.
    pub session: SessionDate,
    /// Why.
    pub kind: LedgerKind,
    /// Because of what; none for deposits.
    pub instrument: Option<InstrumentId>,
    /// Received (positive) or paid (negative).
    pub amount: Money,
}

/// Why cash moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    /// Paid in at the start.
    Deposit,
    /// Bought or sold.
    Trade,
    /// Commission.
    Fee,
    /// Dividend received, or paid on a short position.
    Dividend,
    /// Fee for borrowed shares.
    Borrow,
    /// Paid out for shares that stopped trading.
    Delisting,
    /// Put right after the broker's books.
    Correction,
}
