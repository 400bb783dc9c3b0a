//! The `[strategy]` section of a run file.

use domain::{Quantity, Strategy};
use serde::{Deserialize, Serialize};

use crate::breakout::{Breakout, Channel};
use crate::crossover::{EmaCrossover, SmaCrossover};
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
}

/// Which rule, with its parameters.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl StrategyConfig {
    /// The name in the run file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sma { .. } => "sma",
            Self::Ema { .. } => "ema",
            Self::Breakout { .. } => "breakout",
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
            Self::Targets { .. } => 1,
        }
    }

    /// Builds the rule. `table` holds the rows of a table of targets, which the caller has read.
    ///
    /// # Errors
    /// [`ConfigError`] when the parameters make no sense.
    pub fn build(&self, instruments: usize, table: Vec<TableRow>) -> Result<Box<dyn Strategy + Send>, ConfigError> {
        let period = |name, value: usize| {
            if (1..=100_000).contains(&value) { Ok(value) } else { Err(ConfigError::Period(name)) }
        };
        let crossover = |fast, slow| {
            let (fast, slow) = (period("fast", fast)?, period("slow", slow)?);
            if fast < slow { Ok((fast, slow)) } else { Err(ConfigError::NotFaster { fast, slow }) }
        };
        let shares = |size: Quantity| if size.signum() > 0 { Ok(size) } else { Err(ConfigError::Size) };
        Ok(match *self {
            Self::Sma { fast, slow, size } => {
                let (fast, slow) = crossover(fast, slow)?;
                Box::new(SmaCrossover::new(fast, slow, shares(size)?, instruments))
            }
            Self::Ema { fast, slow, size } => {
                let (fast, slow) = crossover(fast, slow)?;
                Box::new(EmaCrossover::new(fast, slow, shares(size)?, instruments))
            }
            Self::Breakout { period: length, size, channel } => {
                Box::new(Breakout::new(period("period", length)?, channel, shares(size)?, instruments))
            }
            Self::Targets { .. } => Box::new(TargetTable::new(table, instruments)),
        })
    }
}
