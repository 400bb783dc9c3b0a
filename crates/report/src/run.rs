//! What a report needs to know of a run: plain figures, ready to be shown.
//!
//! Amounts are floats in the account's currency and prices floats in the instrument's. A report rounds and draws;
//! it decides nothing, so the exact types of the engine end here.

use domain::SessionDate;
use serde::{Deserialize, Serialize};

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was run, on what.
    pub manifest: Manifest,
    /// Prices of what was traded.
    pub instruments: Vec<Instrument>,
    /// The account after each session, oldest first.
    pub equity: Vec<EquityPoint>,
    /// Round trips, those still open last.
    pub trades: Vec<Trade>,
    /// Executions, oldest first.
    pub fills: Vec<Fill>,
    /// Orders that were stopped, by limit.
    pub refused: Vec<Refused>,
    /// Bars that touched both a stop and a target; the worse of the two was assumed.
    pub ambiguous_bars: u64,
    /// What the reader should know, in whole sentences.
    pub notes: Vec<String>,
}

/// What was run, on what: enough to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Follows from the configuration, the inputs and the version.
    pub run_id: String,
    /// The strategy, for people.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// The whole configuration as TOML, defaults written out.
    pub config: String,
    /// What the prices came from.
    pub inputs: Vec<Input>,
    /// Digest of every bar and action the run was given, in hex.
    pub input_sha256: String,
    /// When it was started, RFC 3339; absent where the report must be the same each time.
    pub started: Option<String>,
    /// The prices were made by a generator and are no market's.
    pub synthetic: bool,
}

/// One source of prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What it is.
    pub name: String,
    /// Which version of it.
    pub revision: String,
}

/// Orders that one limit stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The limit's name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// When, in what and with which figures the first was stopped.
    pub first: String,
}

/// An instrument and its prices, restated in shares of the last day so that a split is no cliff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    /// Ticker.
    pub symbol: String,
    /// One a session, oldest first.
    pub bars: Vec<PriceBar>,
}

/// The prices of one session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PriceBar {
    /// Session.
    pub date: SessionDate,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
}

/// The account after a session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EquityPoint {
    /// Session.
    pub date: SessionDate,
    /// Cash plus the value of the positions.
    pub equity: f64,
    /// Cash.
    pub cash: f64,
    /// Value of the positions, shorts negative.
    pub net: f64,
    /// Value of the positions, shorts positive.
    pub gross: f64,
}

/// A round trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trade {
    /// Ticker.
    pub symbol: String,
    /// Session of the first fill.
    pub opened: SessionDate,
    /// Session of the last fill; absent while open.
    pub closed: Option<SessionDate>,
    /// Largest position held, short negative.
    pub quantity: f64,
    /// Mean price in.
    pub entry: f64,
    /// Mean price out; absent while open.
    pub exit: Option<f64>,
    /// Money made, fees taken off. Of an open trade what its fees and dividends came to; the position is in the equity.
    pub profit: f64,
    /// Fees paid.
    pub fees: f64,
    /// Sessions held; 0 when not known, as of an open trade.
    pub bars: u32,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// Session.
    pub date: SessionDate,
    /// Ticker.
    pub symbol: String,
    /// Shares, sold negative.
    pub quantity: f64,
    /// Price paid, as it was then.
    pub price: f64,
    /// The same price in shares of the last day, for the chart.
    pub chart_price: f64,
    /// Fee paid.
    pub fee: f64,
}
