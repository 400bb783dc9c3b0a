//! The figures runs are compared by. `docs/metrics.md` has the formulas and their sources.
//!
//! Returns are of the equity from session to session, so there is one fewer than sessions. Where an equity is not
//! positive there are no returns, and what is made of them is null.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::catalogue::CATALOGUE;
use crate::run::{EquityPoint, Run};
use crate::statistics as stats;

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// A session, `YYYY-MM-DD`.
    Date(String),
    /// Not defined for this run.
    Null,
}

/// A figure and what it means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// The figure.
    pub value: Value,
    /// Whole sentences, with the unit.
    pub definition: &'static str,
}

/// Figures by name, in the order in which they are shown. Serialises as an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(Vec<(&'static str, Metric)>);

impl Metrics {
    /// A figure that is a number; `None` when it is null, a date or unknown.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)?.value {
            Value::Number(number) => Some(number),
            Value::Date(_) | Value::Null => None,
        }
    }

    /// A figure.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, metric)| metric)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Metric)> {
        self.0.iter().map(|(name, metric)| (*name, metric))
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, metric) in self.iter() {
            map.serialize_entry(name, metric)?;
        }
        map.end()
    }
}

/// How returns are put on a yearly footing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Return of a session without risk.
    pub risk_free_per_period: f64,
    /// Sessions in a year.
    pub periods_per_year: f64,
}

impl Default for Rates {
    /// No risk-free return, 252 sessions.
    fn default() -> Self {
        Self { risk_free_per_period: 0.0, periods_per_year: 252.0 }
    }
}

/// The figures of a run.
///
/// `benchmark` holds the returns of what the run is compared with, one for each session but the first; with another
/// number of them alpha and beta are null.
#[must_use]
pub fn metrics(run: &Run, benchmark: Option<&[f64]>, rates: Rates) -> Metrics {
    let figures = Figures::of(run, benchmark, rates);
    let number = |value: Option<f64>| value.map_or(Value::Null, Value::Number);
    let date = |at: Option<usize>| match at.and_then(|at| run.equity.get(at)) {
        Some(point) => Value::Date(point.date.to_string()),
        None => Value::Null,
    };
    let fall = Fall::deepest(&run.equity);
    let all = CATALOGUE.iter().map(|entry| {
        let value = match entry.name {
            "drawdown_peak" => date(fall.map(|fall| fall.peak)),
            "drawdown_trough" => date(fall.map(|fall| fall.trough)),
            "drawdown_recovery" => date(fall.and_then(|fall| fall.recovery)),
            name => number(figures.number(name).and_then(stats::finite)),
        };
        (entry.name, Metric { value, definition: entry.definition })
    });
    Metrics(all.collect())
}

/// Returns from session to session; `None` when an equity is not positive.
pub(crate) fn returns(equity: &[EquityPoint]) -> Option<Vec<f64>> {
    if !equity.iter().all(|point| point.equity.is_finite() && point.equity > 0.0) {
        return None;
    }
    Some(equity.windows(2).map(|pair| pair[1].equity / pair[0].equity - 1.0).collect())
}

/// Distance below the highest equity so far as a share of it, for each session; zero or negative.
pub(crate) fn drawdowns(equity: &[EquityPoint]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let below = |point: &EquityPoint| {
        peak = peak.max(point.equity);
        point.equity / peak - 1.0
    };
    equity.iter().map(below).collect()
}

/// The deepest drawdown, as positions in the equity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fall {
    pub(crate) peak: usize,
    pub(crate) trough: usize,
    /// None while equity is below the peak.
    pub(crate) recovery: Option<usize>,
}

impl Fall {
    pub(crate) fn deepest(equity: &[EquityPoint]) -> Option<Self> {
        returns(equity)?;
        let depth = drawdowns(equity);
        let trough = (0..depth.len()).rev().min_by(|a, b| depth[*a].total_cmp(&depth[*b]).then(a.cmp(b)))?;
        if depth[trough] >= 0.0 {
            return None;
        }
        let height = equity[..=trough].iter().map(|point| point.equity).fold(f64::NEG_INFINITY, f64::max);
        let peak = equity.iter().position(|point| point.equity == height)?;
        let recovery = (trough..equity.len()).find(|at| equity[*at].equity >= height);
        Some(Self { peak, trough, recovery })
    }
}

struct Figures<'a> {
    run: &'a Run,
    returns: Option<Vec<f64>>,
    benchmark: Option<&'a [f64]>,
    risk_free: f64,
    year: f64,
    profits: Vec<f64>,
}

impl<'a> Figures<'a> {
    fn of(run: &'a Run, benchmark: Option<&'a [f64]>, rates: Rates) -> Self {
        Self {
            run,
            returns: returns(&run.equity).filter(|returns| !returns.is_empty()),
            benchmark,
            risk_free: rates.risk_free_per_period,
            year: rates.periods_per_year,
            profits: run.trades.iter().filter(|trade| trade.closed.is_some()).map(|trade| trade.profit).collect(),
        }
    }

    fn number(&self, name: &str) -> Option<f64> {
        let returns = self.returns.as_deref();
        match name {
            "final_equity" => Some(self.run.equity.last()?.equity),
            "cum_returns_final" => Some(growth(returns?) - 1.0),
            "annual_return" => self.annual_return(),
            "annual_volatility" => Some(stats::deviation(returns?, 1)? * self.year.sqrt()),
            "sharpe_ratio" => self.sharpe_ratio(),
            "sortino_ratio" => self.sortino_ratio(),
            "calmar_ratio" => Some(self.annual_return()? / -self.max_drawdown().filter(|depth| *depth < 0.0)?),
            "max_drawdown" => self.max_drawdown(),
            "max_drawdown_sessions" => self.max_drawdown_sessions(),
            "alpha" => self.alpha(),
            "beta" => stats::beta(returns?, self.benchmark?),
            "value_at_risk" => stats::percentile(returns?, 0.05),
            "conditional_value_at_risk" => stats::mean_of_lowest(returns?, 0.05),
            "tail_ratio" => Some(stats::percentile(returns?, 0.95)?.abs() / stats::percentile(returns?, 0.05)?.abs()),
            "skew" => stats::skew(returns?),
            "kurtosis" => stats::kurtosis(returns?),
            "best_session" => returns?.iter().copied().reduce(f64::max),
            "worst_session" => returns?.iter().copied().reduce(f64::min),
            "sharpe_ratio_a" => self.sharpe_ratio_a(),
            "sqn" => self.sqn(),
            "trades" => Some(self.profits.len() as f64),
            "win_rate" => {
                let won = self.profits.iter().filter(|profit| **profit >= 0.0).count();
                Some(won as f64 / self.profits.len() as f64)
            }
            "profit_factor" => self.profit_factor(),
            "average_trade" => stats::mean(&self.profits),
            "average_win" => self.mean_profit(|profit| profit >= 0.0),
            "average_loss" => self.mean_profit(|profit| profit < 0.0),
            "exposure" => {
                let held = self.run.equity.iter().filter(|point| point.gross > 0.0).count();
                Some(held as f64 / self.run.equity.len() as f64)
            }
            "gross_exposure" => {
                self.returns.as_ref()?;
                let shares: Vec<f64> = self.run.equity.iter().map(|point| point.gross / point.equity).collect();
                stats::mean(&shares)
            }
            "turnover" => self.turnover(),
            "fees" => Some(stats::sum(self.run.fills.iter().map(|fill| fill.fee))),
            _ => None,
        }
    }

    fn annual_return(&self) -> Option<f64> {
        let returns = self.returns.as_deref()?;
        Some(growth(returns).powf(self.year / returns.len() as f64) - 1.0)
    }

    fn max_drawdown(&self) -> Option<f64> {
        self.returns.as_ref()?;
        drawdowns(&self.run.equity).into_iter().reduce(f64::min)
    }

    fn max_drawdown_sessions(&self) -> Option<f64> {
        self.returns.as_ref()?;
        let (mut longest, mut now) = (0_u32, 0);
        for depth in drawdowns(&self.run.equity) {
            now = if depth < 0.0 { now + 1 } else { 0 };
            longest = longest.max(now);
        }
        Some(f64::from(longest))
    }

    /// Returns less the risk-free rate, at least two.
    fn excess(&self) -> Option<Vec<f64>> {
        let returns = self.returns.as_deref().filter(|returns| returns.len() >= 2)?;
        Some(returns.iter().map(|one| one - self.risk_free).collect())
    }

    fn sharpe_ratio(&self) -> Option<f64> {
        let excess = self.excess()?;
        Some(stats::mean(&excess)? / stats::deviation(&excess, 1)? * self.year.sqrt())
    }

    fn sortino_ratio(&self) -> Option<f64> {
        let excess = self.excess()?;
        let below: Vec<f64> = excess.iter().map(|one| one.min(0.0).powi(2)).collect();
        Some(stats::mean(&excess)? * self.year / (stats::mean(&below)?.sqrt() * self.year.sqrt()))
    }

    fn alpha(&self) -> Option<f64> {
        let (excess, benchmark) = (self.excess()?, self.benchmark?);
        let beta = stats::beta(self.returns.as_deref()?, benchmark)?;
        let left: Vec<f64> =
            excess.iter().zip(benchmark).map(|(own, factor)| own - beta * (factor - self.risk_free)).collect();
        Some((1.0 + stats::mean(&left)?).powf(self.year) - 1.0)
    }

    fn sharpe_ratio_a(&self) -> Option<f64> {
        self.returns.as_ref()?;
        let mut start = self.run.equity.first()?.equity;
        let mut excess = Vec::new();
        for year in self.run.equity.chunk_by(|a, b| a.date.year() == b.date.year()) {
            let end = year.last()?.equity;
            // backtrader's own rate, a hundredth a year.
            excess.push(end / start - 1.0 - 0.01);
            start = end;
        }
        Some(stats::mean(&excess)? / stats::deviation(&excess, 0)?)
    }

    fn sqn(&self) -> Option<f64> {
        let count = self.profits.len();
        if count < 2 {
            return None;
        }
        Some((count as f64).sqrt() * stats::mean(&self.profits)? / stats::deviation(&self.profits, 0)?)
    }

    fn profit_factor(&self) -> Option<f64> {
        let won = stats::sum(self.profits.iter().map(|profit| profit.max(0.0)));
        let lost = stats::sum(self.profits.iter().map(|profit| profit.min(0.0)));
        Some(won / -lost)
    }

    fn mean_profit(&self, counts: impl Fn(f64) -> bool) -> Option<f64> {
        let profits: Vec<f64> = self.profits.iter().copied().filter(|profit| counts(*profit)).collect();
        stats::mean(&profits)
    }

    fn turnover(&self) -> Option<f64> {
        self.returns.as_ref()?;
        let equity: Vec<f64> = self.run.equity.iter().map(|point| point.equity).collect();
        let traded = stats::sum(self.run.fills.iter().map(|fill| (fill.quantity * fill.price).abs()));
        Some(traded / stats::mean(&equity)? / (equity.len() as f64 / self.year))
    }
}

fn growth(returns: &[f64]) -> f64 {
    returns.iter().map(|one| 1.0 + one).product()
}
