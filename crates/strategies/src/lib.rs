//! Trading rules, and the indicators they are made of.
//!
//! A rule implements [`domain::Strategy`]: it sees one finished bar at a time and wishes for positions or orders.
//! Everything a rule remembers of prices is restated when a share splits, so that a signal never mistakes a split for
//! a crash. The three rules of the reference workshop are here with its exact semantics, beside those that follow a
//! table of targets, a model's forecast, and a policy that was learnt.
//!
//! In reading order: [`indicator`], [`crossover`] (`sma`, `ema`), [`breakout`], [`forecast`], [`policy`], [`table`],
//! [`config`] (the run file's `[strategy]` section).
//!
//! Invariant: no clock, no randomness, no input or output; a rule is a function of the bars it has seen.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod breakout;
pub mod config;
pub mod crossover;
pub mod forecast;
pub mod indicator;
pub mod policy;
pub mod table;

pub use breakout::{Breakout, Channel};
pub use config::{ConfigError, Inputs, StrategyConfig};
pub use crossover::{EmaCrossover, SmaCrossover};
pub use forecast::{Exits, ForecastRule, Levels};
pub use policy::{Choice, Chooser, Likeliest, Moment, PolicyRule};
pub use table::{TableRow, TargetTable};
