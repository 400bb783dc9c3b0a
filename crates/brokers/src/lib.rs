//! Brokers behind [`trading::Broker`], and feeds.
//!
//! - [`alpaca`] trades at Alpaca, and serves our paper venue over Alpaca's API.
//! - [`fix`] trades over FIX 4.4.
//!
//! Invariant: an adapter sends nothing twice; where it cannot know, it says so ([`trading::Failure::Unclear`]).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alpaca;
pub mod fix;
