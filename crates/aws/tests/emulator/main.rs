//! One suite for each port, run on the folders and the memory of a laptop, and on an emulator of AWS.
//!
//! The emulator is at `ALGOTRADING_OFFLINE_AWS` (`http://127.0.0.1:PORT`); `AWS_ENDPOINT_URL_<SERVICE>` may send one
//! service elsewhere. What the tests need there, they make, under names that no other run has.
#![allow(clippy::unwrap_used)]

mod conformance;
mod embedded;
mod offline;
