//! `model.json`: everything about a model but its numbers.

use std::collections::BTreeMap;

use domain::{SessionDate, Symbol};
use serde::{Deserialize, Serialize};

use crate::features::{FeatureSet, WIDTH, hex};
use crate::foreign::{Answers, Format};
use crate::labels::LabelRule;
use crate::policy::Side;

/// Of this layout of `model.json`.
pub const VERSION: u32 = 1;

/// A model cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// `model.json` is none.
    #[error("model.json is not a model's: {reason}")]
    Card {
        /// Why.
        reason: String,
    },
    /// It was written in another layout.
    #[error("model.json has layout {found}, and this program reads {VERSION}; train the model again")]
    Layout {
        /// Its layout.
        found: u32,
    },
    /// The features mean something else now.
    #[error(
        "the model was trained on features with the fingerprint {trained}, and this program computes {computed}; \
         train it again"
    )]
    Features {
        /// Of the model.
        trained: String,
        /// Of this program.
        computed: String,
    },
    /// The file beside `model.json` is another one.
    #[error("`{file}` is not the file that model.json was written for (its SHA-256 differs)")]
    Changed {
        /// Which.
        file: String,
    },
    /// The weights cannot be used.
    #[error("the model's weights cannot be used: {reason}")]
    Weights {
        /// Why.
        reason: String,
    },
    /// The model does something else.
    #[error("the model is a {found}, and a {wanted} is wanted")]
    Kind {
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A name that is none.
    #[error("`{name}` is no name for a model; use at most 64 letters, digits, `-` and `_`")]
    Name {
        /// What it was to be.
        name: String,
    },
    /// A row that cannot be predicted.
    #[error("{reason}")]
    Row {
        /// Why.
        reason: String,
    },
}

/// What a model does and how it is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Architecture {
    /// A multilayer perceptron that forecasts *long* and *short*.
    Mlp {
        /// Width of the row, of each hidden layer, and of the answer.
        layers: Vec<usize>,
    },
    /// Somebody else's model, which forecasts *long* and *short* from the features as they are.
    Foreign {
        /// Of its files.
        format: Format,
        /// Which of its answers are meant.
        answers: Answers,
        /// The file of *short*, where the weights are those of *long* alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        short: Option<Beside>,
    },
    /// A layer-normalised LSTM that chooses to be *short*, *flat* or *long*.
    Lstm {
        /// Width of the row: the features, then the side held.
        inputs: usize,
        /// Units that remember.
        units: usize,
    },
}

impl Architecture {
    /// In a word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp { .. } | Self::Foreign { .. } => "forecast",
            Self::Lstm { .. } => "policy",
        }
    }
}

/// Shifts and scales each feature: `(x - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scaler {
    /// What is taken off.
    pub mean: Vec<f32>,
    /// What it is divided by; never zero.
    pub deviation: Vec<f32>,
}

impl Scaler {
    /// Whether there is a usable entry for every feature.
    ///
    /// # Errors
    /// There is not.
    pub fn check(&self) -> Result<(), ModelError> {
        let bad = |reason: &str| Err(ModelError::Card { reason: reason.to_owned() });
        if self.mean.len() != WIDTH || self.deviation.len() != WIDTH {
            return bad("the scaler must have one entry for each feature");
        }
        if self.deviation.iter().any(|deviation| !(deviation.is_finite() && *deviation > 0.0)) {
            return bad("the scaler's deviations must be more than 0");
        }
        Ok(())
    }

    /// A row as a network reads it.
    #[inline]
    pub fn apply(&self, row: &[f32; WIDTH], scaled: &mut [f32]) {
        for (cell, ((value, mean), deviation)) in scaled.iter_mut().zip(row.iter().zip(&self.mean).zip(&self.deviation))
        {
            *cell = (value - mean) / deviation;
        }
    }

    /// What a policy reads: the row as a network reads it, then the side held.
    #[inline]
    pub fn observe(&self, row: &[f32; WIDTH], held: Side, observation: &mut [f32]) {
        self.apply(row, observation);
        if let Some(last) = observation.last_mut() {
            *last = f32::from(held.sign());
        }
    }
}

/// Platt's scaling of one answer: the probability is the logistic function of `slope * logit + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// One leaves the logit as it is.
    pub slope: f64,
    /// Zero leaves it as it is.
    pub offset: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { slope: 1.0, offset: 0.0 }
    }
}

/// What a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Symbols.
    pub symbols: Vec<Symbol>,
    /// First session of a training or validation row.
    pub from: SessionDate,
    /// Last session that any label of them looked at: nothing later influenced the model.
    pub to: SessionDate,
    /// Vendor files behind the bars.
    pub revisions: Vec<String>,
    /// Hash of every bar and action.
    pub sha256: String,
}

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A file beside `model.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Its name.
    pub file: String,
    /// Its hash.
    pub sha256: String,
}

impl Beside {
    /// Its bytes among files by name.
    ///
    /// # Errors
    /// They are not there, or others.
    pub fn find<'a>(&self, files: &'a Files) -> Result<&'a [u8], ModelError> {
        match files.get(&self.file) {
            Some(bytes) if sha256(bytes) == self.sha256 => Ok(bytes),
            _ => Err(ModelError::Changed { file: self.file.clone() }),
        }
    }

    /// Of a file's bytes.
    #[must_use]
    pub fn of(file: &str, bytes: &[u8]) -> Self {
        Self { file: file.to_owned(), sha256: sha256(bytes) }
    }
}

/// `model.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Layout of this file.
    pub layout: u32,
    /// Name it was trained under.
    pub name: String,
    /// What it does and how it is built.
    pub architecture: Architecture,
    /// Which features it reads.
    pub features: FeatureSet,
    /// Of those features.
    pub features_fingerprint: String,
    /// Applied to a row before the network.
    pub scaler: Scaler,
    /// Of each answer of a forecast, in the order *long*, *short*.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<Calibration>,
    /// What a forecast forecasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelRule>,
    /// Of weights, masks and order.
    pub seed: u64,
    /// What it has seen; nobody may know of a model that was trained elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
    /// The training run file, canonical.
    pub config: String,
    /// Figures, of the validation and test rows unless named otherwise.
    pub metrics: BTreeMap<String, f64>,
    /// Version of the program that trained it.
    pub code_version: String,
    /// The numbers.
    pub weights: Beside,
}

impl Card {
    /// Reads `model.json`.
    ///
    /// # Errors
    /// Not one of ours, or features that this program computes otherwise.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        #[derive(Deserialize)]
        struct Layout {
            layout: u32,
        }
        let bad = |error: serde_json::Error| ModelError::Card { reason: error.to_string() };
        let found = serde_json::from_slice::<Layout>(bytes).map_err(bad)?.layout;
        if found != VERSION {
            return Err(ModelError::Layout { found });
        }
        let card: Self = serde_json::from_slice(bytes).map_err(bad)?;
        let computed = card.features.fingerprint();
        if card.features_fingerprint != computed {
            return Err(ModelError::Features { trained: card.features_fingerprint, computed });
        }
        Ok(card)
    }

    /// The sessions it was trained on, in words.
    #[must_use]
    pub fn span(&self) -> String {
        self.trained_on.as_ref().map_or_else(|| "unknown".to_owned(), |seen| format!("{} to {}", seen.from, seen.to))
    }

    /// The files beside `model.json` that make it a model.
    #[must_use]
    pub fn files(&self) -> Vec<&Beside> {
        let short = match &self.architecture {
            Architecture::Foreign { short, .. } => short.as_ref(),
            _ => None,
        };
        [Some(&self.weights), short].into_iter().flatten().collect()
    }

    /// Writes `model.json`.
    ///
    /// # Errors
    /// A figure that is not a number.
    pub fn write(&self) -> Result<Vec<u8>, ModelError> {
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|error| ModelError::Card { reason: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}
