//! What the scheduled day and the programs that are always on ask of the world around them: one trait for each service, small enough that a folder can
//! answer it, and named for what it does, not for who does it.
//!
//! Every call is synchronous, does one thing, and fails with a [`CallError`] that says which call on which resource
//! failed and of what kind the failure is. Nothing here waits: what takes long is started by one call and asked about
//! by another, and whoever drives the day waits in between.
//!
//! In reading order: [`error`], [`exchange`] (data products and their revisions), [`objects`] (the landing place),
//! [`records`] (what was done, written once), [`catalog`], [`queries`], [`endpoint`] (a model), [`tasks`]
//! (containers), [`notices`] and [`figures`]; for programs that are always on [`stream`] (market events), [`queue`] (orders
//! and executions), [`lines`] (a journal), [`archive`] and [`secrets`]; and [`embedded`]: the same on nothing but memory
//! and a folder.
//!
//! Invariant: no trait here knows of trading.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod archive;
pub mod catalog;
pub mod embedded;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod figures;
pub mod lines;
pub mod notices;
pub mod objects;
pub mod queries;
pub mod queue;
pub mod records;
pub mod secrets;
pub mod stream;
pub mod tasks;

pub use error::{Answer, CallError, Kind};
