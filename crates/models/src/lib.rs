//! What a trained model is to the rest of the system: features in, probabilities out, and a directory that says all
//! about it.
//!
//! A row of [`features`] is computed from the bars known at a close; [`labels`] say what came of it; [`samples`] puts
//! both together for training and [`split`] keeps what training may see apart from what judges it. [`network`] and
//! [`lstm`] are forward passes, in plain `f32` and always in the same order of operations, so that a row gives the same
//! bits on every machine; [`weights`] reads and writes them as safetensors with PyTorch's names. [`card`] is the
//! `model.json` beside the weights, [`forecast`] and [`policy`] are both of them together, ready to be asked ([`model`]
//! is either), and [`registry`] is where they lie. [`foreign`] and [`trees`] are models that were trained elsewhere.
//!
//! Invariant: no clock, no framework, no randomness; a prediction is a function of the model's bytes and the row.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod card;
pub mod features;
pub mod forecast;
pub mod foreign;
pub mod labels;
pub mod lstm;
pub mod model;
pub mod network;
pub mod policy;
pub mod registry;
pub mod samples;
pub mod split;
pub mod trees;
pub mod weights;

pub use card::{Card, ModelError};
pub use features::{FeatureSet, Window};
pub use forecast::Forecast;
pub use labels::{LabelPrices, LabelRule};
pub use model::Model;
pub use policy::{Policy, Side};
