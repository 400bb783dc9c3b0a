//! What was traded.

use serde::{Deserialize, Serialize};

use crate::{InstrumentId, Money, OrderId, Price, Quantity, SessionDate};

/// An execution, as the venue reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Of which order.
    pub order: OrderId,
    /// Of what.
    pub instrument: InstrumentId,
    /// On which session.
    pub session: SessionDate,
    /// Bought (positive) or sold (negative).
    pub quantity: Quantity,
    /// At which price, slippage included.
    pub price: Price,
    /// Commission, never negative.
    pub fee: Money,
}
