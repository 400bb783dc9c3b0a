//! The lake: vendors' files in, checked; bars and corporate actions out, as they were known at any time.
//!
//! An import reads each file once. Threads parse its rows and judge each by itself ([`intake`](profiles)); the rows
//! are gathered by symbol and year, on disk when they are many, merged with what the lake has of that year, and judged
//! against the session before. What is new goes into one new Parquet file for each year, prepared beside the lake and
//! put in place all at once. Nothing that is stored is ever rewritten: a correction is a further row of the same
//! session with a later `known_at`, and a reader takes the latest row that was known at the time it asks for.
//!
//! In reading order: `row` (what the intake hands over), `sort` (rows by symbol and year), `contracts` (rows against
//! each other), `import`, `encode` and `dictionary` (Parquet), `actions`, `quarantine`, `stage` (all or nothing), `files` and `stored`
//! (reading), `lake`, `adjust`, `market` (what a run may know), `check`, [`location`] (a folder or S3).
//!
//! Invariant: an import changes everything it says or nothing, and loses no row:
//! `read == stored + unchanged + quarantined`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod actions;
mod adjust;
mod check;
mod contracts;
mod dictionary;
mod encode;
mod error;
mod files;
mod import;
mod intake;
mod lake;
pub mod location;
mod market;
mod packed;
mod quarantine;
mod row;
mod sort;
mod stage;
mod stored;
mod summary;

pub use adjust::{Adjust, ShownBar};
pub use check::{CheckReport, Finding};
pub use error::LakeError;
pub use intake::{IntakeError, Profile, profiles};
pub use lake::{Lake, ShownAction, SymbolInfo};
pub use market::MarketData;
pub use summary::{ImportRequest, ImportSummary, Progress};
