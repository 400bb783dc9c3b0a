//! Sums, moments and percentiles, each defined as the judges of `tests/oracles` define it.
//!
//! Every function gives `None` where the figure is not defined, and never an infinity.

/// A finite number, without a negative zero.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value + 0.0)
}

/// Sum with Neumaier's compensation, so that the order of addition does not show in the ninth digit.
pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
        total = next;
    }
    total + lost
}

/// Arithmetic mean.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { finite(sum(values.iter().copied()) / values.len() as f64) }
}

/// Whether all values are the same but for the rounding of floats, so that their deviation is zero and not dust.
///
/// A return is a ratio less one, so its rounding is that of a number near one, however small the return.
pub(crate) fn constant(values: &[f64]) -> bool {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    values.is_empty() || high - low <= 8.0 * f64::EPSILON * (1.0 + low.abs().max(high.abs()))
}

/// Sum of the `power`-th powers of the distances from the mean.
fn moment(values: &[f64], power: i32) -> Option<f64> {
    let mean = mean(values)?;
    finite(sum(values.iter().map(|value| (value - mean).powi(power))))
}

/// Standard deviation with `ddof` degrees of freedom taken off.
pub(crate) fn deviation(values: &[f64], ddof: usize) -> Option<f64> {
    let count = values.len().checked_sub(ddof).filter(|count| *count > 0)?;
    if constant(values) {
        return Some(0.0);
    }
    finite((moment(values, 2)? / count as f64).sqrt())
}

/// Value at `share` of the sorted values, interpolated linearly as numpy's `percentile` does.
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(values);
    let at = sorted.len().checked_sub(1)? as f64 * share;
    let (low, high) = (*sorted.get(at.floor() as usize)?, *sorted.get(at.ceil() as usize)?);
    finite(low + (high - low) * at.fract())
}

/// Mean of the lowest `share` of the values, at least one, as empyrical's `conditional_value_at_risk` counts them.
pub(crate) fn mean_of_lowest(values: &[f64], share: f64) -> Option<f64> {
    let last = (values.len().checked_sub(1)? as f64 * share) as usize;
    mean(sorted(values).get(..=last)?)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Skewness corrected for bias (pandas).
pub(crate) fn skew(values: &[f64]) -> Option<f64> {
    if values.len() < 3 || constant(values) {
        return None;
    }
    let n = values.len() as f64;
    finite(n * (n - 1.0).sqrt() / (n - 2.0) * moment(values, 3)? / moment(values, 2)?.powf(1.5))
}

/// Excess kurtosis corrected for bias (pandas).
pub(crate) fn kurtosis(values: &[f64]) -> Option<f64> {
    if values.len() < 4 || constant(values) {
        return None;
    }
    let n = values.len() as f64;
    let spread = (n - 2.0) * (n - 3.0);
    let second = moment(values, 2)?;
    let ratio = n * (n + 1.0) * (n - 1.0) * moment(values, 4)? / (spread * second * second);
    finite(ratio - 3.0 * (n - 1.0) * (n - 1.0) / spread)
}

/// Slope of `values` on `factor`.
pub(crate) fn beta(values: &[f64], factor: &[f64]) -> Option<f64> {
    if values.len() != factor.len() || values.len() < 2 {
        return None;
    }
    let mean = mean(factor)?;
    let together = sum(values.iter().zip(factor).map(|(value, factor)| (factor - mean) * value));
    let alone = sum(factor.iter().map(|factor| (factor - mean) * (factor - mean)));
    // empyrical's threshold, on the mean square.
    if alone / (factor.len() as f64) < 1e-30 { None } else { finite(together / alone) }
}
