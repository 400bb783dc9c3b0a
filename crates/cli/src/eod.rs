//! The scheduled day, step by step: each step is one function over the lake and the [`ports`], and is called by a Lambda
//! function of the same name on AWS and by `algotrading eod` in one process.
//!
//! A step may be called again at any time, by anybody, after any failure: what was done is recorded where two cannot
//! write at once, and is not done twice. A step that has to wait says `done: false` and is called again.
//!
//! In reading order: [`trouble`] (how a step fails), [`plan`], [`export`], [`ingest`], [`catalogue`], [`query`],
//! [`score`], [`trade`] with [`control`] and [`tables`], [`launch`], [`watch`], [`report`], and [`local`]: the ports on a
//! folder, and the day in one process.
//!
//! Invariant: no step reads a clock or waits; the time comes in with the call.

pub mod catalogue;
pub mod control;
pub mod export;
pub mod ingest;
pub mod launch;
pub mod local;
pub mod plan;
pub mod query;
pub mod report;
pub mod score;
pub mod tables;
pub mod trade;
pub mod trouble;
pub mod watch;

pub use trouble::{Outcome, Trouble, What};

use ports::records::{Key, Put, Record, Records};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a record's body as what it should be.
fn body<T: DeserializeOwned>(key: &Key, record: &Record) -> Outcome<T> {
    serde_json::from_value(record.body.clone()).map_err(|error| {
        Trouble::new(What::BadRecord, format!("the record {key} is not what this program writes: {error}"))
    })
}

/// Writes a record that was last seen at a version; `false` when somebody else wrote first.
fn put<T: Serialize>(records: &dyn Records, key: &Key, body: &T, seen: u64) -> Outcome<bool> {
    let body = serde_json::to_value(body)
        .map_err(|error| Trouble::new(What::BadRecord, format!("the record {key} cannot be written: {error}")))?;
    Ok(records.put(key, &body, seen)? == Put::Stored)
}
