//! Fitting models: gradients by hand, no framework, no thread, no clock.
//!
//! A network is a flat list of numbers with a forward and a backward pass over it, written once for `f32`, in which it
//! is trained, and `f64`, in which the tests hold its gradients against finite differences ([`real`]). [`adam`] moves
//! the numbers, [`random`] makes first weights, masks, orders and actions, [`scaler`] puts features on one scale.
//! [`forecast`] learns from samples what comes after a close, [`policy`] learns from trading in our engine what to do at
//! one; each has its training file, its training, and its report. [`curve`] draws in a terminal.
//!
//! Invariant: the same seed and the same data give the same bytes, on every machine and whatever else runs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adam;
pub mod curve;
pub mod forecast;
pub mod policy;
pub mod random;
pub mod real;
pub mod scaler;
