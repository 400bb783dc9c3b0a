//! The vocabulary of the system: prices, quantities, money, dates and sessions, bars, corporate actions, signals,
//! targets, orders and fills.
//!
//! Amounts are integers in one fixed scale each, so that a sum is exact and the same on every machine; a value with
//! more digits than its scale is rounded half to even, once, where it enters. Two amounts that may not be added are
//! different types. Indicators work on `f64`, and the conversion is spelled [`Price::to_f64`].
//!
//! In reading order: [`decimal`] (text to integers), [`amount`] (price, quantity, money), [`time`] (instants and
//! civil dates), [`calendar`] (sessions), [`instrument`], [`bar`], [`corporate_action`], [`order`],
//! [`tick`] (the prices an order may name), [`fill`], [`strategy`] (the trait a user implements).
//!
//! Invariant: no clock, no input or output, no randomness, no panic on any input.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod amount;
pub mod bar;
pub mod calendar;
pub mod corporate_action;
pub mod decimal;
pub mod fill;
pub mod instrument;
pub mod order;
#[cfg(feature = "schema")]
mod schema;
pub mod strategy;
pub mod tick;
pub mod time;

pub use amount::{Money, Notional, Overflow, Price, Quantity};
pub use bar::Bar;
pub use calendar::{Calendar, CalendarError, Session};
pub use corporate_action::{ActionKind, CorporateAction, Ratio};
pub use decimal::ParseDecimalError;
pub use fill::Fill;
pub use instrument::{InstrumentId, Symbol, SymbolError};
pub use order::{Bracket, Order, OrderId, OrderKind, OrderRequest, StopLoss, TimeInForce, Trail};
pub use strategy::{Decisions, Signal, Strategy, Target, View};
pub use tick::{NoTick, Toward};
pub use time::{ParseDateError, ParseTimestampError, SessionDate, Timestamp};
