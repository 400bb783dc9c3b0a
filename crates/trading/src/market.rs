//! What a feed tells of the market, in order.

use domain::{Bar, CorporateAction, InstrumentId, Price, Session, Timestamp};
use serde::{Deserialize, Serialize};

/// Something that happened in the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Market {
    /// A session opens.
    Opened(Session),
    /// A corporate action in force from its open.
    Action(CorporateAction),
    /// A trade inside the session.
    Price {
        /// Of what.
        instrument: InstrumentId,
        /// At which price.
        price: Price,
        /// How much.
        volume: u64,
        /// When.
        at: Timestamp,
    },
    /// An instrument's session is complete.
    Bar {
        /// As it is known now: what decisions see.
        bar: Bar,
        /// As it really traded, where a replay knows of a later correction.
        traded: Bar,
    },
    /// The session is complete: every bar has been told.
    Closed,
    /// Nothing happened, but time has gone by.
    Clock(Timestamp),
}
