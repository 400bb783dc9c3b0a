//! The training file of a policy.

use algotrading::config::{Account, Data, check_money};
use algotrading::layers::Settings;
use anyhow::{Context, Result, bail};
use domain::{Quantity, SessionDate};
use engine::Limits;
use models::FeatureSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use simulator::Costs;

use crate::policy;
use crate::policy::environment::Rules;
use crate::policy::ppo::Objective;

/// A policy: what it learns from and how, and the trading it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Name and shape.
    #[serde(default)]
    pub model: Model,
    /// What it learns from and is judged by.
    pub data: Data,
    /// What it observes, beside the side held.
    #[serde(default)]
    pub features: FeatureSet,
    /// What it learns from, and what judges it.
    #[serde(default)]
    pub split: Parts,
    /// How it learns.
    #[serde(default)]
    pub training: Training,
    /// What it trades.
    #[serde(default)]
    pub trading: Trading,
    /// The account of an episode and of the report.
    #[serde(default)]
    pub account: Account,
    /// What trading costs, in episodes and in the report; nothing unless said.
    #[serde(default)]
    pub costs: Costs,
    /// Limits on orders and positions, in episodes and in the report; none but margin unless said.
    #[serde(default)]
    pub risk: Limits,
}

/// The `[model]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Its name in the lake.
    pub name: String,
    /// Units that remember.
    pub units: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self { name: "policy".to_owned(), units: 32 }
    }
}

/// The `[split]` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Parts {
    /// First session that it does not learn from; when 80 % of the sessions are over unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_from: Option<SessionDate>,
}

/// The `[training]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Rounds of episodes and passes over them.
    pub rounds: usize,
    /// Episodes of a round: windows of one symbol, from a random session on.
    pub episodes: usize,
    /// Decisions of an episode.
    pub steps: usize,
    /// Passes over the episodes of a round.
    pub passes: usize,
    /// Episodes of a step of Adam.
    pub batch: usize,
    /// Size of the first step of Adam; it falls to zero in a straight line.
    pub learning_rate: f64,
    /// What a gain one session later counts.
    pub discount: f64,
    /// How far ahead what came is trusted more than the critic (the lambda of generalised advantages).
    pub lambda: f64,
    /// How far the chance of an action may move in a round, as a fraction.
    pub clip: f64,
    /// How far the critic's value may move in a round, in percent of a full position.
    pub value_clip: f64,
    /// What the critic's loss counts.
    pub value_weight: f64,
    /// What the entropy of the actions counts: more explores more.
    pub entropy_weight: f64,
    /// Longest gradient; a longer one is scaled down.
    pub gradient_max: f64,
    /// Taken off the reward for each percent by which an episode's deepest drawdown deepens: more avoids risk.
    pub drawdown_penalty: f64,
    /// Of everything random: the same seed and data give the same policy.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            rounds: 100,
            episodes: 32,
            steps: 64,
            passes: 4,
            batch: 8,
            learning_rate: 1e-3,
            discount: 0.9,
            lambda: 0.95,
            clip: 0.2,
            value_clip: 0.2,
            value_weight: 0.5,
            entropy_weight: 0.005,
            gradient_max: 0.5,
            drawdown_penalty: 0.1,
            seed: 1,
        }
    }
}

/// The `[trading]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trading {
    /// Shares of a position, long or short.
    pub size: Quantity,
}

impl Default for Trading {
    fn default() -> Self {
        Self { size: Quantity::from_units(100 * Quantity::UNITS) }
    }
}

impl PolicyConfig {
    /// How it is trained.
    #[must_use]
    pub fn settings(&self) -> policy::Settings {
        let training = &self.training;
        policy::Settings {
            units: self.model.units,
            iterations: training.rounds,
            episodes: training.episodes,
            passes: training.passes,
            batch: training.batch,
            learning_rate: training.learning_rate,
            discount: training.discount,
            lambda: training.lambda,
            objective: Objective {
                clip: training.clip,
                value_clip: training.value_clip,
                value_weight: training.value_weight,
                entropy_weight: training.entropy_weight,
            },
            gradient_max: training.gradient_max,
            seed: training.seed,
        }
    }

    /// How an episode is traded.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            features: self.features,
            cash: self.account.cash,
            costs: self.costs,
            limits: self.risk.clone(),
            size: self.trading.size,
            steps: self.training.steps,
            drawdown_penalty: self.training.drawdown_penalty,
        }
    }

    /// The one text of this configuration.
    ///
    /// # Errors
    /// Never for a configuration that was loaded.
    pub fn canonical(&self) -> Result<String> {
        toml::to_string(self).context("cannot write the configuration as TOML")
    }
}

impl Settings for PolicyConfig {
    const TITLE: &'static str = "A training file of a policy of algotrading";
    const VERB: &'static str = "train policy";

    fn check(&self) -> Result<()> {
        self.data.check()?;
        check_money(&self.account, &self.costs, &self.risk)?;
        models::registry::check_name(&self.model.name).context("model.name")?;
        let training = &self.training;
        let counts = [
            ("model.units", self.model.units, 1, 1_024),
            ("training.rounds", training.rounds, 1, 10_000),
            ("training.episodes", training.episodes, 1, 10_000),
            ("training.steps", training.steps, 2, 10_000),
            ("training.passes", training.passes, 1, 100),
            ("training.batch", training.batch, 1, 10_000),
        ];
        for (key, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                bail!("{key} is {value}; it must be from {least} to {most}");
            }
        }
        // The first number is not among those allowed.
        let above = [
            ("training.learning_rate", training.learning_rate, 1.0),
            ("training.clip", training.clip, 1.0),
            ("training.value_clip", training.value_clip, 1_000.0),
            ("training.gradient_max", training.gradient_max, 1e6),
        ];
        for (key, value, most) in above {
            if !(value > 0.0 && value <= most) {
                bail!("{key} is {value}; it must be more than 0 and at most {most}");
            }
        }
        let ranges = [
            ("training.discount", training.discount, 1.0),
            ("training.lambda", training.lambda, 1.0),
            ("training.value_weight", training.value_weight, 100.0),
            ("training.entropy_weight", training.entropy_weight, 10.0),
            ("training.drawdown_penalty", training.drawdown_penalty, 100.0),
        ];
        for (key, value, most) in ranges {
            if !(0.0..=most).contains(&value) {
                bail!("{key} is {value}; it must be from 0 to {most}");
            }
        }
        if self.trading.size.signum() <= 0 {
            bail!("trading.size must be more than 0 shares");
        }
        Ok(())
    }
}
