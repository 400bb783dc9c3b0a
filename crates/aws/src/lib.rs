//! The ports on AWS: one adapter for each, around the SDK's client of one service.
//!
//! An adapter turns a call of its port into one request, or into the pages of one, waits for the answer, and turns the
//! service's failure into a [`ports::CallError`]. All share what [`config`] says: where the account is, how long an
//! answer may take, and that what was throttled or lost is asked again, while what was refused is not. Making an adapter
//! asks nothing of the network, so a function makes only those it needs, when it starts.
//!
//! In reading order: [`config`] and [`Aws`], which makes the adapters; `error` (what a failure means); `calls` (waiting
//! for an answer on a thread that may wait); [`place`] (a prefix of a bucket); then the adapters: [`exchange`] (Data
//! Exchange), [`objects`] (S3), [`records`] (DynamoDB), [`catalog`] (Glue), [`queries`] (Athena), [`endpoint`]
//! (SageMaker), [`tasks`] (ECS on Fargate), [`notices`] (SNS) and [`figures`] (CloudWatch); for programs that are
//! always on [`stream`] (Kinesis), [`queue`] (SQS), [`lines`] (DynamoDB), [`archive`] (S3) and [`secrets`] (Secrets
//! Manager).
//!
//! Invariant: no adapter knows of trading, and none decides anything: what a failure means for the day, its caller says.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod archive;
mod calls;
pub mod catalog;
pub mod config;
pub mod endpoint;
mod error;
pub mod exchange;
pub mod figures;
pub mod lines;
pub mod notices;
pub mod objects;
pub mod place;
pub mod queries;
pub mod queue;
pub mod records;
pub mod secrets;
pub mod stream;
pub mod tasks;

pub use config::Aws;
pub use place::Place;
