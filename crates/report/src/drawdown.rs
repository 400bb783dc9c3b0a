//! Falls of equity from a peak.

use crate::run::EquityPoint;

/// The deepest fall; places are indices of sessions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drawdown {
    /// Fraction of the peak, negative.
    pub(crate) depth: f64,
    pub(crate) peak: usize,
    pub(crate) trough: usize,
    /// First session at or above the peak again.
    pub(crate) recovery: Option<usize>,
}

/// Fraction below the highest equity so far, for each session.
pub(crate) fn depths(equity: &[EquityPoint]) -> Vec<f64> {
    let mut peak = f64::MIN;
    equity
        .iter()
        .map(|point| {
            peak = peak.max(point.equity);
            point.equity / peak - 1.0
        })
        .collect()
}

/// The deepest fall, the first of equal ones; none when equity never fell.
pub(crate) fn deepest(equity: &[EquityPoint]) -> Option<Drawdown> {
    let depths = depths(equity);
    let (trough, depth) =
        depths.iter().copied().enumerate().fold((0, 0.0), |deepest, one| if one.1 < deepest.1 { one } else { deepest });
    if depth >= 0.0 {
        return None;
    }
    let before = &equity[..=trough];
    let (peak, top) = before
        .iter()
        .enumerate()
        .fold((0, f64::MIN), |best, (at, point)| if point.equity > best.1 { (at, point.equity) } else { best });
    let recovery = equity[trough..].iter().position(|point| point.equity >= top).map(|at| trough + at);
    Some(Drawdown { depth, peak, trough, recovery })
}
