//! The `[strategy]` section of a run file.

use domain::{Quantity, Strategy};
use models::{Model, ModelError};
use serde::{Deserialize, Serialize};

use crate::breakout::{Breakout, Channel};
use crate::crossover::{EmaCrossover, SmaCrossover};
use crate::forecast::{Exits, ForecastRule, Levels};
use crate::policy::{Likeliest, PolicyRule};
use crate::table::{TableRow, TargetTable};

/// A strategy's parameters make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A period is zero or absurdly long.
    #[error("strategy.{0} must be between 1 and 100000 sessions")]
    Period(&'static str),
    /// The fast average is not faster.
    #[error("strategy.fast ({fast}) must be smaller than strategy.slow ({slow})")]
    NotFaster {
        /// Fast period.
        fast: usize,
        /// Slow period.
        slow: usize,
    },
    /// A size that cannot be traded.
    #[error("strategy.size must be more than 0 shares")]
    Size,
    /// A fraction that is none.
    #[error("strategy.{0} must be more than 0 and less than 1")]
    Fraction(&'static str),
    /// The rule needs a model, and none was loaded.
    #[error("the strategy needs the model that strategy.model names")]
    NoModel,
    /// The model is of another kind.
    #[error("strategy.model: {0}")]
    Model(#[from] ModelError),
}

/// Which rule, with its parameters.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum StrategyConfig {
    /// Crossover of simple moving averages, stop and reverse.
    Sma {
        /// Sessions of the fast average.
        fast: usize,
        /// Sessions of the slow average.
        slow: usize,
        /// Shares.
        size: Quantity,
    },
    /// Crossover of exponential moving averages, stop and reverse.
    Ema {
        /// Sessions of the fast average.
        fast: usize,
        /// Sessions of the slow average.
        slow: usize,
        /// Shares.
        size: Quantity,
    },
    /// Breakout of a channel, closing when the price falls back inside.
    Breakout {
        /// Sessions of the channel.
        period: usize,
        /// Shares.
        size: Quantity,
        /// What the channel is made of.
        #[serde(default)]
        channel: Channel,
    },
    /// Enters where a model gives an entry a good chance, with a profit target and a stop.
    Forecast {
        /// A model of the lake: its name for the promoted version, or `name@version`.
        model: String,
        /// Least probability for a long entry.
        #[serde(default = "half")]
        long_threshold: f64,
        /// Least probability for a short entry.
        #[serde(default = "half")]
        short_threshold: f64,
        /// Profit that closes, as a fraction of the close of the decision.
        #[serde(default = "target")]
        target: f64,
        /// Loss that closes, as a fraction of the close of the decision.
        #[serde(default = "stop")]
        stop: f64,
        /// Shares.
        #[serde(default = "hundred")]
        size: Quantity,
        /// How a position is closed.
        #[serde(default)]
        exits: Exits,
    },
    /// Is long, flat or short as a model that was trained by reinforcement says.
    Policy {
        /// A model of the lake: its name for the promoted version, or `name@version`.
        model: String,
        /// Shares.
        #[serde(default = "hundred")]
        size: Quantity,
    },
    /// Follows targets decided elsewhere.
    Targets {
        /// A CSV file `dt,sym,target`, relative to the run file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// An SQL query over the lake that gives the columns `dt, sym, target`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sql: Option<String>,
    },
}

fn half() -> f64 {
    0.5
}

fn target() -> f64 {
    models::LabelRule::default().target
}

fn stop() -> f64 {
    models::LabelRule::default().stop
}

fn hundred() -> Quantity {
    Quantity::from_units(100 * Quantity::UNITS)
}

/// What a rule needs beside its parameters; the caller has read it.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Rows of a table of targets.
    pub table: Vec<TableRow>,
    /// The model that `strategy.model` names.
    pub model: Option<Model>,
}

impl StrategyConfig {
    /// Whether its entries bring exits of which one ends the other.
    #[must_use]
    pub fn has_alternatives(&self) -> bool {
        matches!(self, Self::Forecast { exits: Exits::Bracket, .. })
    }

    /// The name in the run file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sma { .. } => "sma",
            Self::Ema { .. } => "ema",
            Self::Breakout { .. } => "breakout",
            Self::Forecast { .. } => "forecast",
            Self::Policy { .. } => "policy",
            Self::Targets { .. } => "targets",
        }
    }

    /// Bars of an instrument that the rule must have seen for its first decision.
    #[must_use]
    pub fn bars_needed(&self) -> usize {
        match *self {
            Self::Sma { slow, .. } | Self::Ema { slow, .. } => slow,
            // The channel is made of the bars before the one that breaks out.
            Self::Breakout { period, .. } => period.saturating_add(1),
            Self::Forecast { .. } | Self::Policy { .. } => models::FeatureSet::default().closes_needed(),
            Self::Targets { .. } => 1,
        }
    }

    /// Whether the parameters make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let period = |name, value: usize| {
            if (1..=100_000).contains(&value) { Ok(()) } else { Err(ConfigError::Period(name)) }
        };
        let crossover = |fast, slow| {
            period("fast", fast)?;
            period("slow", slow)?;
            if fast < slow { Ok(()) } else { Err(ConfigError::NotFaster { fast, slow }) }
        };
        let shares = |size: Quantity| if size.signum() > 0 { Ok(()) } else { Err(ConfigError::Size) };
        match *self {
            Self::Sma { fast, slow, size } | Self::Ema { fast, slow, size } => {
                crossover(fast, slow)?;
                shares(size)
            }
            Self::Breakout { period: length, size, .. } => {
                period("period", length)?;
                shares(size)
            }
            Self::Forecast { long_threshold, short_threshold, target, stop, size, .. } => {
                let fractions = [
                    ("long_threshold", long_threshold),
                    ("short_threshold", short_threshold),
                    ("target", target),
                    ("stop", stop),
                ];
                match fractions.iter().find(|(_, value)| !(*value > 0.0 && *value < 1.0)) {
                    Some((name, _)) => Err(ConfigError::Fraction(name)),
                    None => shares(size),
                }
            }
            Self::Policy { size, .. } => shares(size),
            Self::Targets { .. } => Ok(()),
        }
    }

    /// The model of the lake that the rule follows.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Forecast { model, .. } | Self::Policy { model, .. } => Some(model),
            _ => None,
        }
    }

    /// Builds the rule.
    ///
    /// # Errors
    /// [`ConfigError`] when the parameters make no sense.
    pub fn build(&self, instruments: usize, inputs: Inputs) -> Result<Box<dyn Strategy + Send>, ConfigError> {
        self.check()?;
        Ok(match *self {
            Self::Sma { fast, slow, size } => Box::new(SmaCrossover::new(fast, slow, size, instruments)),
            Self::Ema { fast, slow, size } => Box::new(EmaCrossover::new(fast, slow, size, instruments)),
            Self::Breakout { period, size, channel } => Box::new(Breakout::new(period, channel, size, instruments)),
            Self::Forecast { long_threshold, short_threshold, target, stop, size, exits, .. } => {
                let levels = Levels { long_threshold, short_threshold, target, stop };
                let model = inputs.model.ok_or(ConfigError::NoModel)?.forecast()?;
                Box::new(ForecastRule::new(model, levels, size, exits, instruments))
            }
            Self::Policy { size, .. } => {
                let model = inputs.model.ok_or(ConfigError::NoModel)?.policy()?;
                let features = model.card().features;
                Box::new(PolicyRule::new(Likeliest::new(model, instruments), features, size, instruments))
            }
            Self::Targets { .. } => Box::new(TargetTable::new(inputs.table, instruments)),
        })
    }
}
