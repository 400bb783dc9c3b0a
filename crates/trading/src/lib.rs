//! Trading on paper and live: the loop around the engine, between a market and a broker that may both fail.
//!
//! The market says what happens, the [`runner`](crate) steps the engine, journals the step and only then lets its
//! commands go to the desk, which works them at a [`broker`] and brings executions back as the next events.
//!
//! Invariant: no clock, no network, no randomness; time comes with events, and what is asked of the outside goes
//! through the [`broker::Broker`] port.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod broker;
pub mod desk;
pub mod feed;
pub mod guardian;
pub mod heard;
pub mod market;
pub mod paper;
pub mod parity;
pub mod remote;
pub mod tape;
pub mod trader;
pub mod view;

pub use broker::Owner;
pub use broker::{
    Account, Broker, BrokerEvent, ClientOrderId, Execution, Failure, Holding, OrderStatus, State, Ticket,
};
pub use desk::{Desk, Told};
pub use feed::{Feed, FeedError, Next};
pub use guardian::Guardian;
pub use heard::Heard;
pub use market::Market;
pub use paper::PaperBroker;
pub use remote::{Adapter, RemoteBroker};
pub use trader::{Books, Trader, TradingError};
pub use view::Snapshot;
