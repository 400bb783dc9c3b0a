//! The tear sheet.
use crate::metrics::Metrics;
use crate::run::Run;

/// One line of the page that lists several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRow {
    /// The strategy.
    pub name: String,
    /// Where its tear sheet lies, relative to the page.
    pub href: String,
    /// Closed trades.
    pub trades: u64,
    /// Equity after the last session.
    pub final_equity: f64,
    /// Annual return, as a share.
    pub cagr: Option<f64>,
    /// Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Maximum drawdown, as a share.
    pub max_drawdown: Option<f64>,
    /// Run id.
    pub run_id: String,
}
