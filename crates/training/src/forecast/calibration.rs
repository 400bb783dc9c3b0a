//! Platt's scaling: the logistic curve through logits that fits outcomes best.

use models::card::Calibration;

/// Fits slope and offset to logits of rows that did not train.
///
/// Outcomes are pulled a little towards one half, as Platt does, so that a few rows never make a certainty. A slope
/// that turns the ranking round means that the logits know nothing of these rows; then every row gets their base rate.
#[must_use]
pub fn platt(logits: &[f64], outcomes: &[bool]) -> Calibration {
    let successes = outcomes.iter().filter(|outcome| **outcome).count() as f64;
    let failures = outcomes.len() as f64 - successes;
    let (high, low) = ((successes + 1.0) / (successes + 2.0), 1.0 / (failures + 2.0));
    let constant = Calibration { slope: 0.0, offset: libm::log((successes + 1.0) / (failures + 1.0)) };
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let softplus = |x: f64| x.max(0.0) + libm::log1p(libm::exp(-x.abs()));
    let loss = |of: Calibration| -> f64 {
        let each = logits.iter().zip(outcomes).map(|(logit, outcome)| {
            let x = of.slope * logit + of.offset;
            softplus(x) - x * if *outcome { high } else { low }
        });
        each.sum()
    };
    let mut best = constant;
    // Newton's method; the loss is convex, and a step that does not help is halved.
    for _ in 0..100 {
        let (mut g_slope, mut g_offset, mut ss, mut so, mut oo) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for (logit, outcome) in logits.iter().zip(outcomes) {
            let p = sigmoid(best.slope * logit + best.offset);
            let (error, curve) = (p - if *outcome { high } else { low }, p * (1.0 - p));
            g_slope += error * logit;
            g_offset += error;
            ss += curve * logit * logit;
            so += curve * logit;
            oo += curve;
        }
        let determinant = ss * oo - so * so;
        if g_slope.abs() + g_offset.abs() < 1e-9 || determinant <= 0.0 {
            break;
        }
        let step = ((oo * g_slope - so * g_offset) / determinant, (ss * g_offset - so * g_slope) / determinant);
        let before = loss(best);
        let tries = (0..30).map(|halvings| {
            let share = 0.5_f64.powi(halvings);
            Calibration { slope: best.slope - share * step.0, offset: best.offset - share * step.1 }
        });
        match tries.into_iter().find(|one| loss(*one) < before) {
            Some(better) => best = better,
            None => break,
        }
    }
    if best.slope > 0.0 && best.offset.is_finite() { best } else { constant }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn drawn(truth: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<bool>) {
        let mut random = Random::new(11, 0);
        let logits: Vec<f64> = (0..20_000).map(|_| random.normal() * 2.0).collect();
        let outcomes = logits.iter().map(|x| random.unit() < 1.0 / (1.0 + (-truth(*x)).exp())).collect();
        (logits, outcomes)
    }

    #[test]
    fn it_finds_the_curve_that_made_the_outcomes() {
        let (logits, outcomes) = drawn(|x| 0.4 * x - 1.0);
        let found = platt(&logits, &outcomes);
        assert!((found.slope - 0.4).abs() < 0.03 && (found.offset + 1.0).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn logits_that_know_nothing_become_the_base_rate() {
        let (logits, outcomes) = drawn(|x| -0.5 * x - 1.0);
        let found = platt(&logits, &outcomes);
        assert_eq!(found.slope, 0.0);
        let rate = outcomes.iter().filter(|outcome| **outcome).count() as f64 / 20_000.0;
        assert!((1.0 / (1.0 + (-found.offset).exp()) - rate).abs() < 1e-3);
        for empty in [platt(&[], &[]), platt(&[1.0; 5], &[true; 5]), platt(&[1e300, -1e300], &[true, false])] {
            assert!(empty.slope.is_finite() && empty.offset.is_finite(), "{empty:?}");
        }
    }
}
