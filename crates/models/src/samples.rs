//! Rows with their labels, of several symbols.

use domain::SessionDate;

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

/// Every sample of a symbol's sessions, oldest first; prices are restated for splits.
#[must_use]
pub fn samples(
    symbol: usize,
    sessions: &[SessionDate],
    bars: &[Range],
    features: FeatureSet,
    labels: &LabelRule,
) -> Vec<Sample> {
    let mut window = Window::new(features);
    let mut found = Vec::new();
    for (at, (session, bar)) in sessions.iter().zip(bars).enumerate() {
        window.push(bar.close);
        let decided = sessions.get(at + labels.horizon).copied();
        if let (Some(row), Some(label), Some(decided)) = (window.row(), labels.label(bars, at), decided) {
            found.push(Sample { symbol, session: *session, decided, row, label });
        }
    }
    found
}
