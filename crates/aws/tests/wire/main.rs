//! What each adapter sends, and what it makes of the answers: against recorded answers, without a network.
#![allow(clippy::unwrap_used)]

mod archive;
mod catalog;
mod common;
mod endpoint;
mod exchange;
mod failures;
mod figures;
mod lines;
mod notices;
mod objects;
mod queries;
mod queue;
mod records;
mod secrets;
mod sockets;
mod stream;
mod tasks;
