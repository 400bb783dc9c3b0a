//! What a run came to: figures with their definitions, and a tear sheet.
//!
//! [`metrics`] measures a [`run::Run`]; [`tear_sheet`] shows both as one HTML file that opens from disk and loads
//! nothing, charts included. The charts are drawn by plotly.js, which the crate of that name carries.
//!
//! In reading order: [`run`] (what is measured and shown), [`figures`], `drawdown`, `sheet` (the tear sheet), `index`
//! (the overview of several), `page` (what the pages share).
//!
//! Invariant: no clock, no input or output; the same run gives the same bytes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod drawdown;
pub mod figures;
mod index;
mod page;
pub mod run;
mod sheet;

pub use figures::{DEFINITIONS, Metric, Metrics, Rates, Value, metrics};
pub use index::{IndexRow, index_page};
pub use sheet::tear_sheet;
