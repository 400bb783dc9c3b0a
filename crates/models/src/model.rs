//! A model of either kind.

use crate::card::{Architecture, Card, Files, ModelError};
use crate::forecast::Forecast;
use crate::foreign::{Foreign, Opener, open};
use crate::policy::Policy;

/// A model that is ready to be asked.
#[expect(clippy::large_enum_variant, reason = "a run has one, and takes it apart at once")]
#[derive(Debug, Clone)]
pub enum Model {
    /// Says how good the chances of an entry are.
    Forecast(Forecast),
    /// Says which side to be on.
    Policy(Policy),
}

impl Model {
    /// From `model.json` and the files beside it; the opener opens what this crate does not read.
    ///
    /// # Errors
    /// They do not belong together, or are not what this program can use.
    pub fn new(card: Card, files: &Files, opener: &dyn Opener) -> Result<Self, ModelError> {
        let weights = card.weights.find(files)?;
        match &card.architecture {
            Architecture::Mlp { .. } => Forecast::new(card, weights).map(Self::Forecast),
            Architecture::Lstm { .. } => Policy::new(card, weights).map(Self::Policy),
            Architecture::Foreign { format, answers, short } => {
                let first = open(*format, weights, opener)?;
                let second = match short {
                    Some(beside) => Some(open(*format, beside.find(files)?, opener)?),
                    None => None,
                };
                let foreign = Foreign::new(first, second, answers.clone())?;
                Ok(Self::Forecast(Forecast::of(card, foreign)))
            }
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
