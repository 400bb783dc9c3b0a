//! The figures of a run, each with its definition. What is not defined is null, never 0.
//!
//! Figures of returns follow empyrical-reloaded 0.7.1: returns per session, 252 sessions a year, a risk-free rate per
//! session, sample deviations (n - 1), percentiles interpolated linearly. Skew and kurtosis are pandas' (and so
//! quantstats'). Two figures are backtrader's and named after its analyzers.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::drawdown::{Drawdown, deepest};
use crate::run::Run;

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// A date as `YYYY-MM-DD`.
    Date(String),
    /// Not defined for this run.
    Null,
}

/// A figure with what it means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// The figure.
    pub value: Value,
    /// What it means, with its unit.
    pub definition: &'static str,
}

/// All figures of a run, in the order a reader wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(Vec<(&'static str, Metric)>);

/// Rates that figures are measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Risk-free return of one session, as a fraction.
    pub risk_free_per_period: f64,
    /// Sessions of a year.
    pub periods_per_year: f64,
}

impl Metrics {
    /// A figure that is a number and defined.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)?.value {
            Value::Number(value) => Some(value),
            Value::Date(_) | Value::Null => None,
        }
    }

    /// A figure by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, metric)| metric)
    }

    /// Name and figure, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Metric)> {
        self.0.iter().map(|(name, metric)| (*name, metric))
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.iter().try_for_each(|(name, metric)| map.serialize_entry(name, metric))?;
        map.end()
    }
}

/// Name and definition of every figure, in order.
pub const DEFINITIONS: [(&str, &str); 33] = [
    ("final_equity", "Cash plus positions after the last session, in the account's currency."),
    ("cum_returns_final", "Return over the whole run: final equity over the first session's, minus 1."),
    ("annual_return", "Compound annual growth rate (CAGR): (1 + return over the run) ^ (252 / sessions) - 1."),
    ("annual_volatility", "Sample standard deviation of session returns times the square root of 252."),
    (
        "sharpe_ratio",
        "Mean excess return of a session over its sample standard deviation, times the square root of 252.",
    ),
    (
        "sortino_ratio",
        "Mean excess return of a session times 252, over the downside risk: the root mean square of excess returns below 0 (others count as 0) times the square root of 252.",
    ),
    ("calmar_ratio", "Annual return over the absolute value of the largest drawdown."),
    ("max_drawdown", "Largest fall of equity from a peak, as a fraction of the peak (negative)."),
    ("drawdown_peak", "Session of the peak before the largest drawdown."),
    ("drawdown_trough", "Session at the bottom of the largest drawdown."),
    ("drawdown_recovery", "First session at or above the peak again; null while it has not come."),
    ("max_drawdown_sessions", "Longest run of consecutive sessions below a peak."),
    (
        "alpha",
        "Annualised mean of (excess return - beta x excess benchmark return): (1 + mean) ^ 252 - 1. The benchmark is the equally weighted mean total return of the run's symbols.",
    ),
    ("beta", "Covariance of session returns with the benchmark's over the benchmark's variance."),
    ("value_at_risk", "5th percentile of session returns (VaR 95), interpolated linearly."),
    ("conditional_value_at_risk", "Mean of the lowest 5 % of session returns (CVaR 95), the cutoff session included."),
    ("tail_ratio", "Absolute 95th percentile of session returns over the absolute 5th."),
    ("skew", "Skewness of session returns, corrected for bias (pandas, quantstats)."),
    ("kurtosis", "Excess kurtosis of session returns, corrected for bias (pandas, quantstats)."),
    ("trades", "Round trips from flat to flat that have ended."),
    ("win_rate", "Share of ended trades with a profit of 0 or more, after costs."),
    ("average_trade", "Mean profit of ended trades after costs, in the account's currency."),
    ("average_win", "Mean profit of ended trades with a profit of 0 or more."),
    ("average_loss", "Mean profit of ended trades that lost (negative)."),
    ("profit_factor", "Sum of the profits of winning trades over the absolute sum of the losses of losing ones."),
    (
        "sqn",
        "System quality number as backtrader's SQN: square root of the number of ended trades times their mean profit over its population standard deviation.",
    ),
    (
        "sharpe_ratio_a",
        "backtrader's SharpeRatio_A: mean of calendar-year returns less 1 %, over their population standard deviation. A first or last year that is not whole counts as one.",
    ),
    ("exposure", "Share of sessions that end with a position."),
    ("gross_exposure", "Mean of long plus short positions over equity, at the end of sessions."),
    ("turnover", "Value bought and sold in a year over mean equity."),
    ("fees", "Commission paid, in the account's currency."),
    ("best_session", "Largest session return, as a fraction."),
    ("worst_session", "Smallest session return, as a fraction."),
];

/// Measures a run. `benchmark` holds one return for each session but the first.
#[must_use]
pub fn metrics(run: &Run, benchmark: Option<&[f64]>, rates: Rates) -> Metrics {
    let mut found = BTreeMap::new();
    of_returns(run, benchmark, rates, &mut found);
    of_drawdown(run, &mut found);
    of_trades(run, &mut found);
    of_activity(run, rates, &mut found);
    let named = DEFINITIONS.iter().map(|(name, definition)| {
        let value = match found.remove(name) {
            Some(Value::Number(value)) if !value.is_finite() => Value::Null,
            Some(value) => value,
            None => Value::Null,
        };
        (*name, Metric { value, definition })
    });
    Metrics(named.collect())
}

type Found = BTreeMap<&'static str, Value>;

fn put(found: &mut Found, name: &'static str, value: Option<f64>) {
    found.insert(name, value.map_or(Value::Null, Value::Number));
}

/// Session returns; none when equity was ever 0 or below, since a return on nothing means nothing.
fn returns(run: &Run) -> Option<Vec<f64>> {
    let equity = &run.equity;
    if equity.iter().any(|point| point.equity <= 0.0) {
        return None;
    }
    Some(equity.windows(2).map(|pair| pair[1].equity / pair[0].equity - 1.0).collect())
}

fn of_returns(run: &Run, benchmark: Option<&[f64]>, rates: Rates, found: &mut Found) {
    let Some(returns) = returns(run).filter(|returns| !returns.is_empty()) else { return };
    let periods = rates.periods_per_year;
    let excess: Vec<f64> = returns.iter().map(|value| value - rates.risk_free_per_period).collect();
    let total = returns.iter().map(|value| 1.0 + value).product::<f64>();
    let annual = total.powf(periods / returns.len() as f64) - 1.0;
    put(found, "cum_returns_final", Some(total - 1.0));
    put(found, "annual_return", Some(annual));
    put(found, "annual_volatility", deviation(&returns).map(|value| value * periods.sqrt()));
    let spread = deviation(&excess).filter(|value| *value > negligible(&excess));
    put(found, "sharpe_ratio", spread.map(|spread| mean(&excess) / spread * periods.sqrt()));
    let downside = (excess.iter().map(|value| value.min(0.0).powi(2)).sum::<f64>() / excess.len() as f64).sqrt();
    let sortino = (returns.len() > 1 && downside > 0.0).then(|| mean(&excess) * periods / (downside * periods.sqrt()));
    put(found, "sortino_ratio", sortino);
    let worst = deepest(&run.equity).map_or(0.0, |drawdown: Drawdown| drawdown.depth);
    put(found, "calmar_ratio", (worst < 0.0).then(|| annual / worst.abs()));

    let mut sorted = returns.clone();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (percentile(&sorted, 0.05), percentile(&sorted, 0.95));
    put(found, "value_at_risk", Some(low));
    let tail = ((sorted.len() - 1) as f64 * 0.05) as usize;
    put(found, "conditional_value_at_risk", Some(mean(&sorted[..=tail])));
    put(found, "tail_ratio", (low != 0.0).then(|| (high / low).abs()));
    put(found, "skew", skew(&returns));
    put(found, "kurtosis", kurtosis(&returns));
    put(found, "best_session", sorted.last().copied());
    put(found, "worst_session", sorted.first().copied());
    put(found, "sharpe_ratio_a", sharpe_ratio_a(run));

    if let Some(benchmark) = benchmark.filter(|benchmark| benchmark.len() == returns.len() && returns.len() > 1) {
        let centre = mean(benchmark);
        let variance = benchmark.iter().map(|value| (value - centre).powi(2)).sum::<f64>();
        let covariance: f64 = benchmark.iter().zip(&returns).map(|(other, own)| (other - centre) * own).sum();
        let beta = (variance / benchmark.len() as f64 > 1e-30).then(|| covariance / variance);
        put(found, "beta", beta);
        let free = rates.risk_free_per_period;
        let alpha = beta.map(|beta| {
            let rest: Vec<f64> = excess.iter().zip(benchmark).map(|(own, other)| own - beta * (other - free)).collect();
            (1.0 + mean(&rest)).powf(periods) - 1.0
        });
        put(found, "alpha", alpha);
    }
}

fn of_drawdown(run: &Run, found: &mut Found) {
    if returns(run).is_none_or(|returns| returns.is_empty()) {
        return;
    }
    let Some(deepest) = deepest(&run.equity) else {
        put(found, "max_drawdown", Some(0.0));
        put(found, "max_drawdown_sessions", Some(0.0));
        return;
    };
    put(found, "max_drawdown", Some(deepest.depth));
    let date = |at: usize| Value::Date(run.equity[at].date.to_string());
    found.insert("drawdown_peak", date(deepest.peak));
    found.insert("drawdown_trough", date(deepest.trough));
    found.insert("drawdown_recovery", deepest.recovery.map_or(Value::Null, date));
    let (mut peak, mut length, mut longest) = (f64::MIN, 0_u32, 0_u32);
    for point in &run.equity {
        length = if point.equity < peak { length + 1 } else { 0 };
        peak = peak.max(point.equity);
        longest = longest.max(length);
    }
    put(found, "max_drawdown_sessions", Some(f64::from(longest)));
}

fn of_trades(run: &Run, found: &mut Found) {
    let profits: Vec<f64> =
        run.trades.iter().filter(|trade| trade.closed.is_some()).map(|trade| trade.profit).collect();
    put(found, "trades", Some(profits.len() as f64));
    if profits.is_empty() {
        return;
    }
    let (won, lost): (Vec<f64>, Vec<f64>) = profits.iter().partition(|profit| **profit >= 0.0);
    put(found, "win_rate", Some(won.len() as f64 / profits.len() as f64));
    put(found, "average_trade", Some(mean(&profits)));
    put(found, "average_win", (!won.is_empty()).then(|| mean(&won)));
    put(found, "average_loss", (!lost.is_empty()).then(|| mean(&lost)));
    let losses = lost.iter().sum::<f64>().abs();
    put(found, "profit_factor", (losses > 0.0).then(|| won.iter().sum::<f64>() / losses));
    let spread = population_deviation(&profits).filter(|value| *value > negligible(&profits));
    let sqn = spread.map(|spread| (profits.len() as f64).sqrt() * mean(&profits) / spread);
    put(found, "sqn", sqn.filter(|_| profits.len() > 1));
}

fn of_activity(run: &Run, rates: Rates, found: &mut Found) {
    put(found, "fees", Some(run.fills.iter().map(|fill| fill.fee).sum()));
    let Some(last) = run.equity.last() else { return };
    put(found, "final_equity", Some(last.equity));
    let sessions = run.equity.len() as f64;
    let held = run.equity.iter().filter(|point| point.gross > 0.0).count();
    put(found, "exposure", Some(held as f64 / sessions));
    if run.equity.iter().all(|point| point.equity > 0.0) {
        let gross: Vec<f64> = run.equity.iter().map(|point| point.gross / point.equity).collect();
        put(found, "gross_exposure", Some(mean(&gross)));
        let traded: f64 = run.fills.iter().map(|fill| (fill.quantity * fill.price).abs()).sum();
        let equity = run.equity.iter().map(|point| point.equity).sum::<f64>() / sessions;
        put(found, "turnover", Some(traded / equity * rates.periods_per_year / sessions));
    }
}

/// Neumaier's sum: the result does not depend on the order of large and small terms.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
        total = next;
    }
    total + lost
}

fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / values.len() as f64
}

fn central(values: &[f64], power: i32) -> f64 {
    let centre = mean(values);
    sum(values.iter().map(|value| (value - centre).powi(power)))
}

fn deviation(values: &[f64]) -> Option<f64> {
    (values.len() > 1).then(|| (central(values, 2) / (values.len() - 1) as f64).sqrt())
}

fn population_deviation(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| (central(values, 2) / values.len() as f64).sqrt())
}

/// A deviation no larger than this is rounding, not dispersion.
fn negligible(values: &[f64]) -> f64 {
    values.iter().fold(0.0_f64, |most, value| most.max(value.abs())) * 1e-14
}

/// Linear between the two nearest, as numpy's default.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() - 1) as f64 * share;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * part
}

fn skew(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let (second, third) = (central(values, 2), central(values, 3));
    let spread = population_deviation(values)?;
    (values.len() > 2 && spread > negligible(values))
        .then(|| n * (n - 1.0).sqrt() / (n - 2.0) * third / second.powf(1.5))
}

fn kurtosis(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let (second, fourth) = (central(values, 2), central(values, 4));
    let spread = population_deviation(values)?;
    (values.len() > 3 && spread > negligible(values)).then(|| {
        let adjust = 3.0 * (n - 1.0).powi(2) / ((n - 2.0) * (n - 3.0));
        n * (n + 1.0) * (n - 1.0) * fourth / ((n - 2.0) * (n - 3.0) * second.powi(2)) - adjust
    })
}

/// Calendar-year returns less 1 %, their mean over their population deviation.
fn sharpe_ratio_a(run: &Run) -> Option<f64> {
    let start = run.equity.first()?;
    let mut ends: Vec<(i32, f64)> = Vec::new();
    for point in &run.equity {
        match ends.last_mut() {
            Some(end) if end.0 == point.date.year() => end.1 = point.equity,
            _ => ends.push((point.date.year(), point.equity)),
        }
    }
    let mut before = start.equity;
    let mut excess = Vec::new();
    for (_, equity) in ends {
        excess.push(equity / before - 1.0 - 0.01);
        before = equity;
    }
    let spread = population_deviation(&excess).filter(|value| *value > negligible(&excess))?;
    Some(mean(&excess) / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated_as_numpy_does() {
        // numpy.percentile([1, 2, 3, 4], [5, 95])
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert!((percentile(&sorted, 0.05) - 1.15).abs() < 1e-15);
        assert!((percentile(&sorted, 0.95) - 3.85).abs() < 1e-15);
    }

    #[test]
    fn skew_and_kurtosis_are_pandas() {
        // pandas.Series([1, 2, 3, 10, -4, 2]).skew(), .kurt()
        let values = [1.0, 2.0, 3.0, 10.0, -4.0, 2.0];
        assert!((skew(&values).unwrap() - 0.639_356_827_350_994_1).abs() < 1e-12);
        assert!((kurtosis(&values).unwrap() - 2.385_625_865_650_967_5).abs() < 1e-12);
        assert_eq!(skew(&[0.0; 5]), None);
        assert_eq!(kurtosis(&[0.1; 5]), None);
    }
}
