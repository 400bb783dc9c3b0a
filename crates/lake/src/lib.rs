//! The lake: vendors' files in, checked; bars and corporate actions out, as they were known at any time.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod intake;
mod row;
