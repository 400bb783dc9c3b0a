//! Labels: what became of a long and of a short entry within the next sessions.

use serde::{Deserialize, Serialize};

/// Which prices of a later bar may reach the target or the stop.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelPrices {
    /// Highs and lows; of a bar that touches both, the stop comes first.
    #[default]
    HighLow,
    /// Closes alone, as the reference had it.
    Close,
}

/// When an entry counts as a success.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelRule {
    /// Sessions that the target has to be reached in.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 250)))]
    pub horizon: usize,
    /// Profit that counts, as a fraction of the close of the decision.
    pub target: f64,
    /// Loss that ends it, as a fraction of the close of the decision.
    pub stop: f64,
    /// What may touch them.
    pub prices: LabelPrices,
}

impl Default for LabelRule {
    fn default() -> Self {
        Self { horizon: 5, target: 0.02, stop: 0.015, prices: LabelPrices::HighLow }
    }
}

/// High, low and close of a session, restated for splits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
}

impl LabelRule {
    /// Whether a long and a short entry at the close of `bars[at]` would have reached the target before the stop;
    /// nothing while the sessions that decide it have not all been.
    #[must_use]
    pub fn label(&self, bars: &[Range], at: usize) -> Option<[bool; 2]> {
        let close = bars.get(at)?.close;
        let later = bars.get(at + 1..at + 1 + self.horizon)?;
        let touched = |bar: &Range| match self.prices {
            LabelPrices::HighLow => (bar.high, bar.low),
            LabelPrices::Close => (bar.close, bar.close),
        };
        let long = first(
            later
                .iter()
                .map(touched)
                .map(|(high, low)| (low <= close * (1.0 - self.stop), high >= close * (1.0 + self.target))),
        );
        let short = first(
            later
                .iter()
                .map(touched)
                .map(|(high, low)| (high >= close * (1.0 + self.stop), low <= close * (1.0 - self.target))),
        );
        Some([long, short])
    }
}

/// Whether the target is touched before the stop.
fn first(touches: impl Iterator<Item = (bool, bool)>) -> bool {
    for (stop, target) in touches {
        if stop {
            return false;
        }
        if target {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(high: f64, low: f64, close: f64) -> Range {
        Range { high, low, close }
    }

    #[test]
    fn the_stop_comes_first_when_a_bar_touches_both() {
        let rule = LabelRule { horizon: 1, ..LabelRule::default() };
        let start = bar(100.0, 100.0, 100.0);
        let label = |next: Range| rule.label(&[start, next], 0).unwrap();
        assert_eq!(label(bar(102.0, 99.0, 99.0)), [true, false]);
        assert_eq!(label(bar(102.0, 98.5, 101.0)), [false, false], "long stopped at 98.5, short stopped at 101.5");
        assert_eq!(label(bar(101.4, 98.0, 98.0)), [false, true]);
        assert_eq!(label(bar(101.0, 99.0, 101.0)), [false, false]);
    }

    #[test]
    fn the_first_touch_of_the_horizon_decides_and_a_later_one_does_not() {
        let rule = LabelRule { horizon: 3, ..LabelRule::default() };
        let quiet = bar(100.5, 99.5, 100.0);
        let up = bar(103.0, 100.0, 103.0);
        let down = bar(100.0, 97.0, 97.0);
        assert_eq!(rule.label(&[quiet, quiet, up, down], 0), Some([true, false]));
        assert_eq!(rule.label(&[quiet, quiet, down, up], 0), Some([false, true]));
        assert_eq!(rule.label(&[quiet, quiet, quiet, quiet, up], 0), Some([false, false]), "after the horizon");
        assert_eq!(rule.label(&[quiet, quiet, quiet], 0), None, "not yet known");
    }

    #[test]
    fn closes_alone_do_not_see_what_happened_within_a_session() {
        let spike = bar(103.0, 97.0, 100.0);
        let bars = [bar(100.0, 100.0, 100.0), spike];
        let close = LabelRule { horizon: 1, prices: LabelPrices::Close, ..LabelRule::default() };
        assert_eq!(close.label(&bars, 0), Some([false, false]));
        let bars = [bars[0], bar(103.0, 97.0, 102.5)];
        assert_eq!(close.label(&bars, 0), Some([true, false]));
        assert_eq!(LabelRule { horizon: 1, ..LabelRule::default() }.label(&bars, 0), Some([false, false]));
    }
}
