//! A model of either kind.

use crate::card::{Architecture, Card, ModelError};
use crate::forecast::Forecast;
use crate::policy::Policy;

/// A model that is ready to be asked.
#[expect(clippy::large_enum_variant, reason = "a run has one, and takes it apart at once")]
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// Says how good the chances of an entry are.
    Forecast(Forecast),
    /// Says which side to be on.
    Policy(Policy),
}

impl Model {
    /// From `model.json` and the file of weights beside it.
    ///
    /// # Errors
    /// They do not belong together, or are not what this program can use.
    pub fn new(card: Card, bytes: &[u8]) -> Result<Self, ModelError> {
        match card.architecture {
            Architecture::Mlp { .. } => Forecast::new(card, bytes).map(Self::Forecast),
            Architecture::Lstm { .. } => Policy::new(card, bytes).map(Self::Policy),
        }
    }

    /// Everything about it.
    #[must_use]
    pub fn card(&self) -> &Card {
        match self {
            Self::Forecast(model) => model.card(),
            Self::Policy(model) => model.card(),
        }
    }

    /// The forecast it is.
    ///
    /// # Errors
    /// It is another kind.
    pub fn forecast(self) -> Result<Forecast, ModelError> {
        match self {
            Self::Forecast(model) => Ok(model),
            Self::Policy(_) => Err(ModelError::Kind { found: "policy", wanted: "forecast" }),
        }
    }

    /// The policy it is.
    ///
    /// # Errors
    /// It is another kind.
    pub fn policy(self) -> Result<Policy, ModelError> {
        match self {
            Self::Policy(model) => Ok(model),
            Self::Forecast(_) => Err(ModelError::Kind { found: "forecast", wanted: "policy" }),
        }
    }
}
