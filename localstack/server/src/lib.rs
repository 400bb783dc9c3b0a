//! The AWS services that no emulator has, before an emulator that has the others.
//!
//! One port speaks Data Exchange (export jobs that write to the emulator's S3), SageMaker's runtime (answered by the
//! models of a lake), Athena (the embedded SQL engine over the emulator's Glue and S3), the tasks of ECS (a container's
//! program on this machine) and the crawls of Glue. Whatever else arrives goes on to the emulator. A call is told apart
//! by its `X-Amz-Target`, or by its path.
//!
//! In reading order: `wire`, `clock`, `upstream` (the emulator), [`faults`](router) (what tests have go wrong),
//! `router`, then the services: `exchange`, `sagemaker`, `ecs`, `glue`, and `athena` with `statement`, `catalogue` and
//! `execution`.
//!
//! Invariant: what a service is told to do it really does, or says that it does not.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod athena;
mod clock;
mod ecs;
mod exchange;
mod faults;
mod glue;
mod router;
mod sagemaker;
mod upstream;
mod wire;

pub use router::{Settings, serve};
