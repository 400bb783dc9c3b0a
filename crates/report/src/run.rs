//! What a run was: plain data, ready to be measured and shown.

use domain::SessionDate;
use serde::{Deserialize, Serialize};

/// Everything a tear sheet shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What identifies it.
    pub manifest: Manifest,
    /// What was traded, with its prices.
    pub instruments: Vec<Instrument>,
    /// The account after each session.
    pub equity: Vec<EquityPoint>,
    /// Round trips; those still open have no `closed`.
    pub trades: Vec<Trade>,
    /// Executions.
    pub fills: Vec<Fill>,
    /// How many orders each limit stopped.
    pub refused: Vec<Count>,
    /// Bars that reached two exits, so that the worse was assumed.
    pub ambiguous_bars: u64,
    /// What a reader should know, one sentence each.
    pub notes: Vec<String>,
}

/// What identifies a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Hash of configuration, input and version.
    pub run_id: String,
    /// Strategy and parameters in words.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Configuration as canonical TOML.
    pub config: String,
    /// What was read.
    pub inputs: Vec<Input>,
    /// Hash of what was read.
    pub input_sha256: String,
    /// When it ran, for runs that are tied to a time.
    pub started: Option<String>,
    /// Whether the prices are made up.
    pub synthetic: bool,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Kind or name.
    pub name: String,
    /// Revision.
    pub revision: String,
}

/// So many of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Of what.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// A symbol with its prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    /// Ticker.
    pub symbol: String,
    /// Bars in shares of the last day.
    pub bars: Vec<PriceBar>,
}

/// Prices of one session in shares of the last day.
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
    /// Shares.
    pub volume: f64,
}

/// The account at the end of a session, in its currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EquityPoint {
    /// Session.
    pub date: SessionDate,
    /// Cash plus positions.
    pub equity: f64,
    /// Cash, short-sale proceeds included.
    pub cash: f64,
    /// Long minus short.
    pub net: f64,
    /// Long plus short.
    pub gross: f64,
}

/// A round trip from flat to flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trade {
    /// Ticker.
    pub symbol: String,
    /// Session of the first fill.
    pub opened: SessionDate,
    /// Session of the last fill; none while the position stands.
    pub closed: Option<SessionDate>,
    /// Largest position; short is negative.
    pub quantity: f64,
    /// Average price of the entry.
    pub entry: f64,
    /// Average price of the exit.
    pub exit: Option<f64>,
    /// After fees, dividends and borrowing; while open, what has been realised.
    pub profit: f64,
    /// Commission, within `profit`.
    pub fees: f64,
    /// Sessions between the first and the last fill.
    pub bars: u32,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// Session.
    pub date: SessionDate,
    /// Ticker.
    pub symbol: String,
    /// Bought (positive) or sold (negative).
    pub quantity: f64,
    /// As traded.
    pub price: f64,
    /// In shares of the last day.
    pub chart_price: f64,
    /// Commission.
    pub fee: f64,
}
