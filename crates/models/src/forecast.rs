//! A forecast model that is ready to predict.

use crate::card::{Architecture, Calibration, Card, ModelError, sha256};
use crate::features::WIDTH;
use crate::foreign::Foreign;
use crate::network::{Dense, Mlp, sigmoid};
use crate::weights::{self, Tensors};

/// Probabilities that a long and a short entry succeed, from a row of features.
#[derive(Debug, Clone)]
pub struct Forecast {
    card: Card,
    says: Says,
    row: Vec<f32>,
}

/// Who answers.
#[derive(Debug, Clone)]
enum Says {
    /// Our own network, on scaled features; its logits are calibrated.
    Own(Mlp),
    /// Somebody else's model, on features as they are.
    Foreign(Foreign),
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
        let Architecture::Mlp { layers } = &card.architecture else {
            return Err(ModelError::Kind { found: card.architecture.name(), wanted: "forecast" });
        };
        let network = mlp(layers, &weights::read(bytes)?)?;
        let bad = |reason: &str| Err(ModelError::Card { reason: reason.to_owned() });
        card.scaler.check()?;
        if network.inputs() != WIDTH || network.outputs() != 2 {
            return bad("a forecast reads the row of features and gives two answers");
        }
        if card.calibration.len() != 2 {
            return bad("the calibration has one entry for each answer");
        }
        Ok(Self { card, says: Says::Own(network), row: vec![0.0; WIDTH] })
    }

    pub(crate) fn of(card: Card, foreign: Foreign) -> Self {
        Self { card, says: Says::Foreign(foreign), row: Vec::new() }
    }

    /// Everything about it.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Probabilities of *long* and *short* for a row.
    ///
    /// # Errors
    /// Somebody else's model that fails, or answers what is no probability.
    #[inline]
    pub fn probabilities(&mut self, row: &[f32; WIDTH]) -> Result<[f32; 2], ModelError> {
        match &mut self.says {
            Says::Own(network) => {
                self.card.scaler.apply(row, &mut self.row);
                let logits = network.logits(&self.row);
                let of = |at: usize| calibrated(logits[at], self.card.calibration[at]);
                Ok([of(0), of(1)])
            }
            Says::Foreign(foreign) => foreign.probabilities(row),
        }
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
        let get = |part: &str, shape: &[usize]| weights::get(tensors, &format!("{name}.{part}"), shape);
        dense.extend(Dense::new(inputs, outputs, get("weight", &[outputs, inputs])?, get("bias", &[outputs])?));
    }
    Mlp::new(dense).ok_or_else(|| ModelError::Card { reason: format!("{layers:?} are no layers") })
}
