//! How good probabilities are.

use serde::Serialize;

/// Judgement of the probabilities of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Rows judged.
    pub rows: usize,
    /// Share of successes among them.
    pub base_rate: f64,
    /// Mean of the negative logarithm of what the outcome was given; lower is better.
    pub log_loss: f64,
    /// Mean squared distance of probability and outcome; lower is better.
    pub brier: f64,
    /// Chance that a success has the higher probability of a success and a failure: 0.5 is no skill. None where one of
    /// both is missing.
    pub auc: Option<f64>,
    /// Share of rows on the right side of one half.
    pub accuracy: f64,
}

/// Judges probabilities.
#[must_use]
pub fn score(probabilities: &[f64], outcomes: &[bool]) -> Score {
    let rows = probabilities.len();
    let mean = |of: &dyn Fn(f64, bool) -> f64| {
        probabilities.iter().zip(outcomes).map(|(p, outcome)| of(*p, *outcome)).sum::<f64>() / rows.max(1) as f64
    };
    // A probability of 0 or 1 that is wrong would cost infinitely much.
    let sure = 1e-7;
    let given = |p: f64, outcome: bool| (if outcome { p } else { 1.0 - p }).clamp(sure, 1.0 - sure);
    Score {
        rows,
        base_rate: mean(&|_, outcome| f64::from(u8::from(outcome))),
        log_loss: mean(&|p, outcome| -libm::log(given(p, outcome))),
        brier: mean(&|p, outcome| (p - f64::from(u8::from(outcome))).powi(2)),
        auc: auc(probabilities, outcomes),
        accuracy: mean(&|p, outcome| f64::from(u8::from((p >= 0.5) == outcome))),
    }
}

/// By ranks, ties counting half.
fn auc(probabilities: &[f64], outcomes: &[bool]) -> Option<f64> {
    let mut ranked: Vec<(f64, bool)> = probabilities.iter().copied().zip(outcomes.iter().copied()).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut before, mut sum, mut successes) = (0.0, 0.0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let won = tied.iter().filter(|(_, outcome)| *outcome).count() as f64;
        let lost = tied.len() as f64 - won;
        sum += won * (before + lost / 2.0);
        before += lost;
        successes += won;
    }
    (successes > 0.0 && before > 0.0).then(|| sum / (successes * before))
}

/// Rows of nearly the same probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Mean probability.
    pub probability: f64,
    /// Share that succeeded.
    pub frequency: f64,
    /// Rows.
    pub rows: usize,
}

/// The reliability of probabilities: up to `count` bins of equally many rows, by probability.
#[must_use]
pub fn reliability(probabilities: &[f64], outcomes: &[bool], count: usize) -> Vec<Bin> {
    let mut ranked: Vec<(f64, bool)> = probabilities.iter().copied().zip(outcomes.iter().copied()).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    (0..count)
        .map(|bin| &ranked[ranked.len() * bin / count..ranked.len() * (bin + 1) / count])
        .filter(|rows| !rows.is_empty())
        .map(|rows| Bin {
            probability: rows.iter().map(|(p, _)| p).sum::<f64>() / rows.len() as f64,
            frequency: rows.iter().filter(|(_, outcome)| *outcome).count() as f64 / rows.len() as f64,
            rows: rows.len(),
        })
        .collect()
}

/// Decisions at a threshold against outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Confusion {
    /// Said yes, and it was.
    pub true_positive: usize,
    /// Said yes, and it was not.
    pub false_positive: usize,
    /// Said no, and it was.
    pub false_negative: usize,
    /// Said no, and it was not.
    pub true_negative: usize,
}

/// Counts decisions at a threshold.
#[must_use]
pub fn confusion(probabilities: &[f64], outcomes: &[bool], threshold: f64) -> Confusion {
    let mut counts = Confusion::default();
    for (p, outcome) in probabilities.iter().zip(outcomes) {
        match (*p >= threshold, outcome) {
            (true, true) => counts.true_positive += 1,
            (true, false) => counts.false_positive += 1,
            (false, true) => counts.false_negative += 1,
            (false, false) => counts.true_negative += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_their_definitions() {
        let (p, y) = ([0.9, 0.4, 0.6, 0.2], [true, true, false, false]);
        let found = score(&p, &y);
        let log_loss = -(0.9_f64.ln() + 0.4_f64.ln() + 0.4_f64.ln() + 0.8_f64.ln()) / 4.0;
        assert!((found.log_loss - log_loss).abs() < 1e-12);
        assert!((found.brier - (0.01 + 0.36 + 0.36 + 0.04) / 4.0).abs() < 1e-12);
        assert_eq!((found.auc, found.accuracy, found.base_rate), (Some(0.75), 0.5, 0.5));
        assert_eq!(score(&[0.5, 0.5], &[true, false]).auc, Some(0.5));
        assert_eq!(score(&[0.5, 0.6], &[true, true]).auc, None);
        assert!(score(&[0.0], &[true]).log_loss < 17.0);
        let counts = confusion(&p, &y, 0.5);
        assert_eq!(
            (counts.true_positive, counts.false_positive, counts.false_negative, counts.true_negative),
            (1, 1, 1, 1)
        );
    }

    #[test]
    fn bins_hold_every_row_once() {
        let p: Vec<f64> = (0..103).map(|n| f64::from(n) / 103.0).collect();
        let y: Vec<bool> = (0..103).map(|n| n % 3 == 0).collect();
        let bins = reliability(&p, &y, 10);
        assert_eq!(bins.iter().map(|bin| bin.rows).sum::<usize>(), 103);
        assert!(bins.windows(2).all(|pair| pair[0].probability < pair[1].probability));
        assert_eq!(reliability(&p[..3], &y[..3], 10).len(), 3);
    }
}
