//! The server's own services, asked by AWS's clients for Rust over HTTP.
#![allow(clippy::unwrap_used)]

mod athena;
mod ecs;
mod emulator;
mod exchange;
mod faults;
mod glue;
mod sagemaker;
mod support;
