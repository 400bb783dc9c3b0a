//! Rows with their labels, of several symbols.

use domain::{Ratio, SessionDate};

use crate::features::{FeatureSet, WIDTH, Window};
use crate::labels::{LabelRule, Range};

/// A row of features and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which symbol, by its place in the list of symbols.
    pub symbol: usize,
    /// The session at whose close the row was known.
    pub session: SessionDate,
    /// The last session its label looked at.
    pub decided: SessionDate,
    /// Features.
    pub row: [f32; WIDTH],
    /// Whether a long and a short entry succeeded.
    pub label: [bool; 2],
}

/// A session of a symbol, with prices as printed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Printed {
    /// When.
    pub session: SessionDate,
    /// In shares of its day.
    pub range: Range,
    /// Shares split before it opened.
    pub split: Option<Ratio>,
}

/// Every sample of a symbol's sessions, oldest first.
///
/// A row is computed as a strategy computes it, bar by bar, so that both have the same bits; a label looks at prices
/// restated for splits.
#[must_use]
pub fn samples(symbol: usize, bars: &[Printed], features: FeatureSet, labels: &LabelRule) -> Vec<Sample> {
    let mut ranges: Vec<Range> = Vec::with_capacity(bars.len());
    let mut factor = 1.0;
    for bar in bars.iter().rev() {
        let Range { high, low, close } = bar.range;
        ranges.push(Range { high: high * factor, low: low * factor, close: close * factor });
        if let Some(ratio) = bar.split {
            factor *= ratio.denominator() as f64 / ratio.numerator() as f64;
        }
    }
    ranges.reverse();
    let mut window = Window::new(features);
    let mut found = Vec::new();
    for (at, bar) in bars.iter().enumerate() {
        if let Some(ratio) = bar.split {
            window.split(ratio);
        }
        window.push(bar.range.close);
        let decided = bars.get(at + labels.horizon).map(|last| last.session);
        if let (Some(row), Some(label), Some(decided)) = (window.row(), labels.label(&ranges, at), decided) {
            found.push(Sample { symbol, session: bar.session, decided, row, label });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(split_at: Option<usize>) -> Vec<Printed> {
        (0..60)
            .map(|day| {
                // Binary fractions, so that halving them is exact.
                let close = 64.0 + f64::from(day * day % 23) / 4.0;
                let shares = if split_at.is_some_and(|at| day as usize >= at) { 0.5 } else { 1.0 };
                let range = Range { high: (close + 1.0) * shares, low: (close - 1.0) * shares, close: close * shares };
                let split = (split_at == Some(day as usize)).then(|| Ratio::new(2, 1)).flatten();
                Printed { session: SessionDate::from_days(day), range, split }
            })
            .collect()
    }

    #[test]
    fn a_split_changes_neither_rows_nor_labels() {
        let of = |bars: &[Printed]| samples(0, bars, FeatureSet::default(), &LabelRule::default());
        let plain = of(&printed(None));
        assert_eq!(plain.len(), 60 - 16 - 5);
        assert!(plain.iter().any(|one| one.label[0]) && plain.iter().any(|one| one.label[1]));
        assert_eq!(of(&printed(Some(30))), plain);
        let (first, last) = (&plain[0], &plain[plain.len() - 1]);
        assert_eq!((first.session, first.decided), (SessionDate::from_days(16), SessionDate::from_days(21)));
        assert_eq!(last.decided, SessionDate::from_days(59));
    }

    #[test]
    fn a_row_does_not_change_when_later_bars_do() {
        let mut bars = printed(None);
        let before = samples(0, &bars, FeatureSet::default(), &LabelRule::default());
        for bar in &mut bars[40..] {
            bar.range = Range { high: 9.0, low: 7.0, close: 8.0 };
        }
        let after = samples(0, &bars, FeatureSet::default(), &LabelRule::default());
        let known = |all: &[Sample]| -> Vec<_> {
            all.iter().filter(|one| one.session < SessionDate::from_days(40)).map(|one| one.row).collect()
        };
        assert_eq!(known(&before), known(&after));
        assert_ne!(before[23].label, after[23].label);
    }
}
