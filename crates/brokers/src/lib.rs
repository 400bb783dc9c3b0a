//! Brokers behind [`trading::Broker`], and feeds.
//!
//! - [`fix`]: a broker over FIX 4.4.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod fix;
