//! What is asked of a venue.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{InstrumentId, Overflow, Price, Quantity, Ratio};

/// Identifies an order within a run: a function of the step that decided it, so that a replay makes the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

/// How far a trailing stop follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trail {
    /// A distance in currency.
    Amount(Price),
    /// A distance in hundredths of a percent of the best price.
    BasisPoints(u32),
}

/// At which price an order may trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// At the next price: the next session's open.
    Market,
    /// At the limit or better.
    Limit {
        /// Worst acceptable price.
        limit: Price,
    },
    /// A market order once the stop is touched.
    Stop {
        /// Trigger.
        stop: Price,
    },
    /// A limit order once the stop is touched.
    StopLimit {
        /// Trigger.
        stop: Price,
        /// Worst acceptable price after it.
        limit: Price,
    },
    /// A stop that follows the best price since the order was placed.
    TrailingStop {
        /// Distance kept.
        trail: Trail,
    },
    /// In the next opening auction only.
    MarketOnOpen,
    /// In the next closing auction only.
    MarketOnClose,
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => write!(f, "{amount}"),
            Self::BasisPoints(points) => write!(f, "{points} basis points"),
        }
    }
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market => f.write_str("at the market"),
            Self::Limit { limit } => write!(f, "at {limit} or better"),
            Self::Stop { stop } => write!(f, "at the market once {stop} is touched"),
            Self::StopLimit { stop, limit } => write!(f, "at {limit} or better once {stop} is touched"),
            Self::TrailingStop { trail } => write!(f, "at the market once the price is {trail} off its best"),
            Self::MarketOnOpen => f.write_str("at the next open"),
            Self::MarketOnClose => f.write_str("at the next close"),
        }
    }
}

/// How long an order works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// The next session only.
    Day,
    /// Until filled or cancelled.
    #[default]
    GoodTillCancelled,
}

/// The protective leg of a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopLoss {
    /// At a fixed trigger.
    At(Price),
    /// Following the best price.
    Trailing(Trail),
}

/// Exits, reduce-only, that start working as the entry fills; one filling cancels the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Bracket {
    /// Limit that takes the profit.
    pub take_profit: Option<Price>,
    /// Stop that ends the loss.
    pub stop_loss: Option<StopLoss>,
}

/// An order as a strategy wishes it, before it has an id and before any check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRequest {
    /// Of what.
    pub instrument: InstrumentId,
    /// To buy (positive) or sell (negative).
    pub quantity: Quantity,
    /// Price condition.
    pub kind: OrderKind,
    /// How long it works.
    pub time_in_force: TimeInForce,
    /// Exits attached to it.
    pub bracket: Option<Bracket>,
    /// Orders of one step with the same number are alternatives: one filling cancels the others.
    pub one_cancels_other: Option<u32>,
    /// It may bring a position towards flat, never beyond.
    pub reduce_only: bool,
}

impl OrderRequest {
    /// A plain order that works until cancelled.
    #[must_use]
    pub const fn new(instrument: InstrumentId, quantity: Quantity, kind: OrderKind) -> Self {
        Self {
            instrument,
            quantity,
            kind,
            time_in_force: TimeInForce::GoodTillCancelled,
            bracket: None,
            one_cancels_other: None,
            reduce_only: false,
        }
    }
}

/// A request to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its identity.
    pub id: OrderId,
    /// Of what.
    pub instrument: InstrumentId,
    /// To buy (positive) or sell (negative).
    pub quantity: Quantity,
    /// Price condition.
    pub kind: OrderKind,
    /// How long it works.
    pub time_in_force: TimeInForce,
    /// Exits attached to it.
    pub bracket: Option<Bracket>,
    /// The group it shares with its alternatives.
    pub group: Option<OrderId>,
    /// It may bring a position towards flat, never beyond; the venue fills at most what is held.
    pub reduce_only: bool,
}

impl Order {
    /// The same order in shares after a split.
    ///
    /// # Errors
    /// [`Overflow`] when a figure does not fit.
    pub fn split(&self, ratio: Ratio) -> Result<Self, Overflow> {
        let price = |price: Price| ratio.price(price);
        let trail = |trail: Trail| match trail {
            Trail::Amount(amount) => price(amount).map(Trail::Amount),
            Trail::BasisPoints(points) => Ok(Trail::BasisPoints(points)),
        };
        let kind = match self.kind {
            OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose => self.kind,
            OrderKind::Limit { limit } => OrderKind::Limit { limit: price(limit)? },
            OrderKind::Stop { stop } => OrderKind::Stop { stop: price(stop)? },
            OrderKind::StopLimit { stop, limit } => OrderKind::StopLimit { stop: price(stop)?, limit: price(limit)? },
            OrderKind::TrailingStop { trail: distance } => OrderKind::TrailingStop { trail: trail(distance)? },
        };
        let exits = |bracket: Bracket| {
            let stop_loss = match bracket.stop_loss {
                None => None,
                Some(StopLoss::At(stop)) => Some(StopLoss::At(price(stop)?)),
                Some(StopLoss::Trailing(distance)) => Some(StopLoss::Trailing(trail(distance)?)),
            };
            Ok(Bracket { take_profit: bracket.take_profit.map(price).transpose()?, stop_loss })
        };
        let bracket = self.bracket.map(exits).transpose()?;
        Ok(Self { quantity: ratio.quantity(self.quantity)?, kind, bracket, ..*self })
    }
}
