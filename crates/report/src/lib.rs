//! From a finished run to its figures and its tear sheet.
//!
//! A [`run::Run`] holds what happened as plain numbers. [`metrics()`] derives the figures a reader compares runs by,
//! each with the sentence that defines it, and [`tear_sheet`] draws both into one HTML file that opens from disk:
//! the charting library is embedded, the traces are JSON, and nothing is fetched.
//!
//! - [`run`]: what a report needs to know of a run
//! - [`metrics`](mod@metrics): the figures and their definitions
//! - [`sheet`]: the tear sheet and the page that lists several
//! - [`model`] and [`policy`]: the pages of a trained forecast and of a trained policy
//!
//! Invariant: the same run gives the same figures and the same bytes; a figure that is not defined is null, never
//! zero and never infinite; no text of a run reaches the page unescaped.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod catalogue;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod run;
pub mod sheet;
mod statistics;

pub use metrics::{Metric, Metrics, Rates, Value, metrics};
pub use model::{ModelPage, model_page};
pub use policy::{PolicyPage, policy_page};
pub use sheet::{IndexRow, index_page, tear_sheet};
