//! The steps of the scheduled day through their ports: what they do once, what they do when something fails, and the
//! day in one process as a user runs it.
#![allow(clippy::unwrap_used)]

mod day;
mod export;
mod ingest;
mod launch;
mod query;
mod score;
mod support;
mod watch;
