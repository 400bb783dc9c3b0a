//! A forecast model that is ready to predict.

use crate::card::{Architecture, Calibration, Card, ModelError, sha256};
use crate::features::WIDTH;
use crate::network::{Dense, Mlp, sigmoid};
use crate::weights::{self, Tensors};

/// Probabilities that a long and a short entry succeed, from a row of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    card: Card,
    network: Mlp,
    row: Vec<f32>,
}

/// PyTorch's name of a layer of ours.
#[must_use]
pub fn layer_name(at: usize) -> String {
    format!("fc{}", at + 1)
}

impl Forecast {
    /// From `model.json` and the file of weights beside it.
    ///
    /// # Errors
    /// They do not belong together, or are not what this program can use.
    pub fn new(card: Card, bytes: &[u8]) -> Result<Self, ModelError> {
        if sha256(bytes) != card.weights.sha256 {
            return Err(ModelError::Changed { file: card.weights.file });
        }
        let Architecture::Mlp { layers } = &card.architecture;
        let network = mlp(layers, &weights::read(bytes)?)?;
        let bad = |reason: &str| Err(ModelError::Card { reason: reason.to_owned() });
        if network.inputs() != WIDTH || network.outputs() != 2 {
            return bad("a forecast reads the row of features and gives two answers");
        }
        if card.scaler.mean.len() != WIDTH || card.scaler.deviation.len() != WIDTH || card.calibration.len() != 2 {
            return bad("the scaler has one entry for each feature and the calibration one for each answer");
        }
        if card.scaler.deviation.iter().any(|deviation| !(deviation.is_finite() && *deviation > 0.0)) {
            return bad("the scaler's deviations must be more than 0");
        }
        Ok(Self { card, network, row: vec![0.0; WIDTH] })
    }

    /// Everything about it.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Probabilities of *long* and *short* for a row.
    #[inline]
    pub fn probabilities(&mut self, row: &[f32; WIDTH]) -> [f32; 2] {
        let scaler = &self.card.scaler;
        for (cell, ((value, mean), deviation)) in
            self.row.iter_mut().zip(row.iter().zip(&scaler.mean).zip(&scaler.deviation))
        {
            *cell = (value - mean) / deviation;
        }
        let logits = self.network.logits(&self.row);
        let of = |at: usize| calibrated(logits[at], self.card.calibration[at]);
        [of(0), of(1)]
    }
}

/// A probability from a logit.
#[inline]
#[must_use]
pub fn calibrated(logit: f32, calibration: Calibration) -> f32 {
    sigmoid((f64::from(logit) * calibration.slope + calibration.offset) as f32)
}

/// A network of the given widths from its tensors.
///
/// # Errors
/// A tensor is missing or has another shape.
pub fn mlp(layers: &[usize], tensors: &Tensors) -> Result<Mlp, ModelError> {
    let mut dense = Vec::new();
    for (at, pair) in layers.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let name = layer_name(at);
        let get = |part: &str, shape: &[usize]| match tensors.get(&format!("{name}.{part}")) {
            Some(tensor) if tensor.shape == shape => Ok(&tensor.values),
            Some(tensor) => Err(ModelError::Weights {
                reason: format!("`{name}.{part}` has shape {:?}; it must be {shape:?}", tensor.shape),
            }),
            None => Err(ModelError::Weights { reason: format!("`{name}.{part}` is missing") }),
        };
        dense.extend(Dense::new(inputs, outputs, get("weight", &[outputs, inputs])?, get("bias", &[outputs])?));
    }
    Mlp::new(dense).ok_or_else(|| ModelError::Card { reason: format!("{layers:?} are no layers") })
}
