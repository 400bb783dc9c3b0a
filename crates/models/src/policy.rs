//! A policy that is ready to act.

use crate::card::{Architecture, Card, ModelError, sha256};
use crate::features::WIDTH;
use crate::lstm::{Lstm, Memory, Norm};
use crate::network::Dense;
use crate::weights::{self, Tensors};

/// What a policy chooses from.
pub const SIDES: [Side; 3] = [Side::Short, Side::Flat, Side::Long];

/// A row of features and the side held.
pub const OBSERVATION: usize = WIDTH + 1;

/// Which way a position points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Side {
    /// Fewer than no shares.
    Short,
    /// No shares.
    #[default]
    Flat,
    /// Some shares.
    Long,
}

impl Side {
    /// Of a signed number.
    #[must_use]
    pub fn of(signum: i64) -> Self {
        match signum {
            ..0 => Self::Short,
            0 => Self::Flat,
            1.. => Self::Long,
        }
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn sign(self) -> i8 {
        self as i8 - 1
    }
}

/// Probabilities of being short, flat and long next, from what was seen so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    card: Card,
    network: Lstm,
    row: Vec<f32>,
}

impl Policy {
    /// From `model.json` and the file of weights beside it.
    ///
    /// # Errors
    /// They do not belong together, or are not what this program can use.
    pub fn new(card: Card, bytes: &[u8]) -> Result<Self, ModelError> {
        if sha256(bytes) != card.weights.sha256 {
            return Err(ModelError::Changed { file: card.weights.file });
        }
        let Architecture::Lstm { inputs, units } = card.architecture else {
            return Err(ModelError::Kind { found: card.architecture.name(), wanted: "policy" });
        };
        if inputs != OBSERVATION {
            let reason = format!("a policy reads {OBSERVATION} numbers, and this one {inputs}");
            return Err(ModelError::Card { reason });
        }
        card.scaler.check()?;
        let network = lstm(inputs, units, &weights::read(bytes)?)?;
        Ok(Self { card, network, row: vec![0.0; OBSERVATION] })
    }

    /// Everything about it.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Before anything was seen of an instrument.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.network.memory()
    }

    /// Takes the next row of an instrument and the side held: probabilities in the order of [`SIDES`].
    pub fn probabilities(&mut self, row: &[f32; WIDTH], held: Side, memory: &mut Memory) -> [f32; 3] {
        self.card.scaler.observe(row, held, &mut self.row);
        let logits = self.network.step(&self.row, memory);
        softmax([logits[0], logits[1], logits[2]])
    }
}

/// The likeliest side; on a draw the first.
#[must_use]
pub fn likeliest(probabilities: [f32; 3]) -> Side {
    let mut best = 0;
    for at in 1..3 {
        if probabilities[at] > probabilities[best] {
            best = at;
        }
    }
    SIDES[best]
}

fn softmax(logits: [f32; 3]) -> [f32; 3] {
    let most = logits.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| libm::expf(logit - most));
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// The network from tensors with the names of a PyTorch module: `lstm.weight_ih`, `lstm.weight_hh`,
/// `lstm.layernorm_i.weight` and so on, `actor.weight`, `actor.bias`.
///
/// # Errors
/// A tensor is missing or has another shape.
pub fn lstm(inputs: usize, units: usize, tensors: &Tensors) -> Result<Lstm, ModelError> {
    let get = |name: &str, shape: &[usize]| weights::get(tensors, name, shape);
    let gates = units.checked_mul(4).filter(|gates| (1..=65_536).contains(gates));
    let bad = || ModelError::Card { reason: format!("{inputs} inputs and {units} units are no network") };
    let gates = gates.ok_or_else(bad)?;
    let norm = |name: &str, width: usize| -> Result<Norm, ModelError> {
        Ok(Norm {
            scale: get(&format!("lstm.{name}.weight"), &[width])?.to_vec(),
            shift: get(&format!("lstm.{name}.bias"), &[width])?.to_vec(),
        })
    };
    let none = vec![0.0; gates];
    let input = Dense::new(inputs, gates, get("lstm.weight_ih", &[gates, inputs])?, &none);
    let hidden = Dense::new(units, gates, get("lstm.weight_hh", &[gates, units])?, &none);
    let norms = [norm("layernorm_i", gates)?, norm("layernorm_h", gates)?, norm("layernorm_c", units)?];
    let head = Dense::new(units, SIDES.len(), get("actor.weight", &[SIDES.len(), units])?, get("actor.bias", &[3])?);
    let network = input.zip(hidden).zip(head).and_then(|((input, hidden), head)| Lstm::new(input, hidden, norms, head));
    network.ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_the_likeliest_is_chosen() {
        let even = softmax([500.0; 3]);
        assert!(even.iter().all(|one| (one - 1.0 / 3.0).abs() < 1e-6), "{even:?}");
        assert_eq!(likeliest(softmax([-1.0, 3.0, 2.0])), Side::Flat);
        assert_eq!(likeliest([0.2, 0.4, 0.4]), Side::Flat);
        assert_eq!(SIDES.map(Side::sign), [-1, 0, 1]);
        assert_eq!([-5, 0, 7].map(Side::of), SIDES);
    }
}
