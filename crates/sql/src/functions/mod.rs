//! Trino's functions on the embedded engine.
//!
//! Most of what analysts use is in the engine under the same name. What is missing, named otherwise
//! or behaves otherwise (nulls, replaced matches, types) is defined here and takes the engine's place.
//! [`REFERENCE`] lists everything that is supported, each with an example whose result a test checks;
//! `docs/sql.md` is made from it.
//!
//! - `kernel` how a function is made
//! - `format`, `iso` date patterns and ISO 8601
//! - `dates`, `math`, `text`, `json`, `collections`, `aggregates` the functions
//! - `reference` the list

mod aggregates;
mod collections;
mod dates;
mod format;
pub(crate) mod iso;
mod json;
mod kernel;
mod math;
mod reference;
mod text;

use datafusion::prelude::SessionContext;

pub use kernel::trino_type;
pub use reference::{Entry, REFERENCE, markdown};

/// Adds every function to a session, over the engine's own of the same name.
pub(crate) fn register(context: &SessionContext) {
    let scalars = [dates::all(), math::all(), text::all(), json::all(), collections::all()];
    for function in scalars.into_iter().flatten() {
        context.register_udf(function);
    }
    for function in aggregates::all() {
        context.register_udaf(function);
    }
}
