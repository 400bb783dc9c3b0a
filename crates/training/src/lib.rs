//! Fitting models: gradients by hand, no framework, no thread, no clock.
//!
//! A [`network`] is a flat list of numbers with a forward and a backward pass over it, written once for `f32`, in which
//! it is trained, and `f64`, in which the tests hold its gradients against finite differences ([`real`]). [`adam`] moves
//! the numbers, [`random`] makes first weights, masks and orders. [`fit`] is the loop with early stopping,
//! [`calibration`] makes probabilities of its logits, [`measure`] judges them, and [`forecast`] puts all of it together:
//! samples in, a model and its scores out. [`config`] is the training file, [`run`] takes rows from a lake and keeps the
//! model there, [`mod@report`] says how good it is.
//!
//! Invariant: the same seed and the same samples give the same bytes, on every machine and whatever else runs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adam;
pub mod calibration;
pub mod config;
pub mod fit;
pub mod forecast;
pub mod measure;
pub mod network;
pub mod ppo;
pub mod random;
pub mod real;
pub mod recurrent;
pub mod report;
pub mod run;
