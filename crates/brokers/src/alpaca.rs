//! Alpaca: its Trading API as a [`trading::Broker`], and our paper venue served over the same API.
//!
//! [`AlpacaBroker`] asks over HTTPS and listens to the `trade_updates` socket. What a call leaves open is said as it is:
//! refused (4xx, in Alpaca's own words), not sent (no connection, or too many requests), or unclear (no answer, half an
//! answer, 5xx). An order's name is Alpaca's `client_order_id`, which Alpaca takes only once: a name that it has seen
//! is an order that arrived.
//!
//! Two alternatives become one OCO order. Alpaca names the second leg itself, so the first carries both names
//! (`FIRST.SECOND`) and the second is found as its leg, also by a process that did not send it. Cancelling one of them
//! cancels both: that is how Alpaca treats a group.
//!
//! What Alpaca refuses and a strategy may wish: an order that takes a position through zero, alternatives other than a
//! limit and a stop of one size, a replacement of another kind.
//!
//! In reading order: `wire` (what is said, and in which words), `throttle` (how often), `names`, `client` (HTTPS),
//! `stream` (the socket), `broker`; [`server`] is the other side of all that, [`data`] is the market.

mod broker;
mod client;
pub mod data;
mod names;
pub mod server;
mod settings;
mod stream;
mod throttle;
mod wire;

pub use broker::{AlpacaBroker, SetUpError};
pub use settings::{Base, BaseError, Credentials, CredentialsError, Settings};
