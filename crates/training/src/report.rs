//! What a reader learns of a training: in words, in a line of the terminal, and as a page.

use anyhow::Result;
use lake::Lake;

use crate::forecast::{ANSWERS, Trained};
use crate::run::{Model, Prepared};

/// A curve in one line of the terminal, at most `width` characters wide.
#[must_use]
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown: Vec<f64> = match values.len() {
        0 => return String::new(),
        count if count <= width => values.to_vec(),
        count => (0..width).map(|at| values[at * (count - 1) / (width - 1).max(1)]).collect(),
    };
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let range = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
    let bar = |value: &f64| {
        let share = if range > 0.0 { (value - low) / range } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    shown.iter().map(bar).collect()
}

/// Whether there is any skill, in a sentence for each answer.
#[must_use]
pub fn verdict(trained: &Trained) -> String {
    let Some(test) = trained.comparisons.last() else { return String::new() };
    let mut text = String::new();
    for (name, contest) in ANSWERS.iter().zip(&test.answers) {
        let gain = 1.0 - contest.model.log_loss / contest.base_rate.log_loss;
        let against = if contest.model.log_loss < contest.logistic.log_loss { "better" } else { "no better" };
        text.push_str(&if gain > 0.0 {
            format!(
                "{name}: the test rows' log loss is {:.2} % below the base rate's, {against} than a logistic \
                 regression's\n",
                gain * 100.0
            )
        } else {
            format!("{name}: no skill; always saying the base rate has the lower log loss on the test rows\n")
        });
    }
    text
}

/// The page that is kept beside the model.
///
/// # Errors
/// The backtest of the report stops.
pub fn forecast(_prepared: &Prepared, _model: &Model, _lake: &Lake) -> Result<String> {
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_fits_its_line() {
        assert_eq!(sparkline(&[], 5), "");
        assert_eq!(sparkline(&[1.0, 1.0], 5), "▁▁");
        assert_eq!(sparkline(&[0.0, 7.0, 3.0], 5), "▁█▄");
        assert_eq!(sparkline(&(0..1_000).map(f64::from).collect::<Vec<_>>(), 8), "▁▂▃▄▅▆▇█");
    }
}
