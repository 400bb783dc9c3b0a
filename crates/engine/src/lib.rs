//! The heart of the system: one synchronous state machine that backtest, paper and live share.
//!
//! [`Engine::step`] takes one event (a session opening, a corporate action, a fill, a bar, …), updates the account,
//! asks the strategy, checks every wish against the limits, and returns the commands that may leave together with
//! the records of what happened. Fills come back as later events. Time is the event's time.
//!
//! In reading order: [`event`] (what goes in), [`book`] (cash, positions, trades), [`guard`] (what bars
//! new exposure), [`risk`] (the only maker of [`risk::Approved`]), [`record`] (what comes out for the journal), [`engine`] (the step).
//!
//! Invariant: no clock, no randomness, no input or output; the same events give the same records.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod book;
pub mod engine;
pub mod event;
pub mod guard;
pub mod record;
pub mod risk;

pub use book::{Book, Trade};
pub use engine::{Cancels, Engine, EngineError, Idle, Step};
pub use event::{Command, Correction, Event, OrderEnd};
pub use guard::{Guard, Mode, towards_flat};
pub use record::{LedgerEntry, LedgerKind, Record};
pub use risk::{Approved, Limits, Margin, OpenOrder, Refusal, Refused, Role};
