//! The training file of a forecast.

use algotrading::config::{Account, Data, check_money};
use algotrading::layers::Settings;
use anyhow::{Context, Result, bail};
use domain::{Quantity, SessionDate};
use engine::Limits;
use models::{FeatureSet, LabelRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use simulator::Costs;
use strategies::Exits;

use crate::forecast;

/// A forecast model: what it reads and says, what it is trained on and how, and the trading its report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastConfig {
    /// Name and shape.
    #[serde(default)]
    pub model: Model,
    /// What it is trained on.
    pub data: Data,
    /// What it reads.
    #[serde(default)]
    pub features: FeatureSet,
    /// What it forecasts.
    #[serde(default)]
    pub labels: LabelRule,
    /// What trains, what says when to stop, and what judges.
    #[serde(default)]
    pub split: Parts,
    /// How it is fitted.
    #[serde(default)]
    pub training: Training,
    /// How its report trades it.
    #[serde(default)]
    pub trading: Trading,
    /// The account of the report.
    #[serde(default)]
    pub account: Account,
    /// What trading costs in the report; nothing unless said.
    #[serde(default)]
    pub costs: Costs,
    /// Limits on orders and positions in the report; none but margin unless said.
    #[serde(default)]
    pub risk: Limits,
}

/// The `[model]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Its name in the lake.
    pub name: String,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
}

impl Default for Model {
    fn default() -> Self {
        Self { name: "forecast".to_owned(), hidden: vec![31, 15] }
    }
}

/// The `[split]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Parts {
    /// First session of the validation rows; when 60 % of the sessions are over unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_from: Option<SessionDate>,
    /// First session of the test rows; when 80 % of the sessions are over unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_from: Option<SessionDate>,
    /// Sessions kept free between the parts beyond the labels' own reach; the labels' horizon unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embargo: Option<usize>,
    /// Whether rows whose label reaches into the next part are left out. The reference kept them.
    pub purge: bool,
    /// Purged folds of the rows before the test rows that judge the model too; 0 for none.
    pub folds: usize,
}

impl Default for Parts {
    fn default() -> Self {
        Self { validation_from: None, test_from: None, embargo: None, purge: true, folds: 5 }
    }
}

/// The `[training]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Most passes over the training rows.
    pub epochs: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Passes without a better validation loss before it stops.
    pub patience: usize,
    /// Size of a step of Adam.
    pub learning_rate: f64,
    /// Chance that a hidden unit is dropped in a step.
    pub dropout: f64,
    /// Whether successes count as much as failures in sum.
    pub class_weights: bool,
    /// Whether each feature is scaled to mean 0 and deviation 1 over the training rows.
    pub standardise: bool,
    /// Of first weights, order and dropout: the same seed and data give the same model.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 32,
            patience: 10,
            learning_rate: 1e-3,
            dropout: 0.2,
            class_weights: true,
            standardise: true,
            seed: 1,
        }
    }
}

/// The `[trading]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trading {
    /// Least probability for a long entry; where target and stop break even unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_threshold: Option<f64>,
    /// Least probability for a short entry; where target and stop break even unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_threshold: Option<f64>,
    /// Shares.
    pub size: Quantity,
    /// How a position is closed.
    pub exits: Exits,
}

impl Default for Trading {
    fn default() -> Self {
        Self {
            long_threshold: None,
            short_threshold: None,
            size: Quantity::from_units(100 * Quantity::UNITS),
            exits: Exits::default(),
        }
    }
}

impl ForecastConfig {
    /// The probability at which target and stop break even, before costs.
    #[must_use]
    pub fn break_even(&self) -> f64 {
        self.labels.stop / (self.labels.stop + self.labels.target)
    }

    /// How it is trained.
    #[must_use]
    pub fn settings(&self) -> forecast::Settings {
        let Training { epochs, batch, patience, learning_rate, dropout, class_weights, standardise, seed } =
            self.training;
        forecast::Settings {
            hidden: self.model.hidden.clone(),
            epochs,
            batch,
            patience,
            learning_rate,
            dropout,
            class_weights,
            standardise,
            folds: self.split.folds,
            embargo: self.embargo(),
            seed,
        }
    }

    /// Sessions kept free between the parts.
    #[must_use]
    pub fn embargo(&self) -> usize {
        self.split.embargo.unwrap_or(self.labels.horizon)
    }

    /// The one text of this configuration.
    ///
    /// # Errors
    /// Never for a configuration that was loaded.
    pub fn canonical(&self) -> Result<String> {
        toml::to_string(self).context("cannot write the configuration as TOML")
    }
}

impl Settings for ForecastConfig {
    const TITLE: &'static str = "A training file of a forecast model of algotrading";
    const VERB: &'static str = "train forecast";

    fn check(&self) -> Result<()> {
        self.data.check()?;
        check_money(&self.account, &self.costs, &self.risk)?;
        models::registry::check_name(&self.model.name).context("model.name")?;
        if self.model.hidden.len() > 8 || self.model.hidden.iter().any(|width| !(1..=4_096).contains(width)) {
            bail!("model.hidden is {:?}; give at most 8 widths from 1 to 4096", self.model.hidden);
        }
        let fractions = [("labels.target", self.labels.target), ("labels.stop", self.labels.stop)];
        let thresholds = [
            ("trading.long_threshold", self.trading.long_threshold),
            ("trading.short_threshold", self.trading.short_threshold),
        ];
        let fractions = fractions.into_iter().chain(thresholds.into_iter().filter_map(|(key, of)| Some((key, of?))));
        for (key, value) in fractions {
            if !(value > 0.0 && value < 1.0) {
                bail!("{key} is {value}; it must be more than 0 and less than 1");
            }
        }
        let counts = [
            ("labels.horizon", self.labels.horizon, 1, 250),
            ("split.embargo", self.embargo(), 0, 1_000),
            ("split.folds", self.split.folds, 0, 50),
            ("training.epochs", self.training.epochs, 1, 1_000_000),
            ("training.batch", self.training.batch, 1, 1_000_000),
            ("training.patience", self.training.patience, 1, 1_000_000),
        ];
        for (key, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                bail!("{key} is {value}; it must be from {least} to {most}");
            }
        }
        if self.split.folds == 1 {
            bail!("split.folds is 1; one fold has nothing to train on: give 0 or at least 2");
        }
        if !(0.0..1.0).contains(&self.training.dropout) {
            bail!("training.dropout is {}; it must be 0 or more and less than 1", self.training.dropout);
        }
        if !(self.training.learning_rate > 0.0 && self.training.learning_rate <= 1.0) {
            bail!("training.learning_rate is {}; it must be more than 0 and at most 1", self.training.learning_rate);
        }
        if let (Some(validation), Some(test)) = (self.split.validation_from, self.split.test_from)
            && validation >= test
        {
            bail!("split.validation_from ({validation}) must be before split.test_from ({test})");
        }
        if self.trading.size.signum() <= 0 {
            bail!("trading.size must be more than 0 shares");
        }
        Ok(())
    }
}
