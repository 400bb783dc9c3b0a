//! What each adapter sends, and what it makes of the answers: against recorded answers, without a network.
#![allow(clippy::unwrap_used)]

mod catalog;
mod common;
mod endpoint;
mod exchange;
mod failures;
mod figures;
mod notices;
mod objects;
mod queries;
mod records;
mod sockets;
mod tasks;
