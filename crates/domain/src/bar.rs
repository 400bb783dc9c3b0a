//! One session of one instrument.

use serde::{Deserialize, Serialize};

use crate::{InstrumentId, Price, SessionDate};

/// Open, high, low, close and volume as printed that day, never adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Whose bar.
    pub instrument: InstrumentId,
    /// Of which session.
    pub session: SessionDate,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Shares traded.
    pub volume: u64,
}
