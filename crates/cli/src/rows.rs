//! Rows of features from bars and actions, as a strategy computes them.

use domain::{ActionKind, Bar, CorporateAction, Ratio, SessionDate};
use models::features::WIDTH;
use models::labels::Range;
use models::samples::Printed;
use models::{FeatureSet, Window};

/// The bars of one symbol with the splits before them; both in the order of time.
#[must_use]
pub fn printed(bars: &[Bar], actions: &[CorporateAction], symbol: usize) -> Vec<Printed> {
    let mut splits = actions.iter().filter(|one| one.instrument.index() == symbol).peekable();
    let bars = bars.iter().filter(|bar| bar.instrument.index() == symbol);
    bars.map(|bar| {
        let mut split: Option<Ratio> = None;
        while let Some(action) = splits.next_if(|action| action.ex_date <= bar.session) {
            if let ActionKind::Split { ratio } = action.kind {
                // Two splits between two bars are one.
                let product = |one: Ratio| {
                    Ratio::new(
                        one.numerator().checked_mul(ratio.numerator())?,
                        one.denominator().checked_mul(ratio.denominator())?,
                    )
                };
                split = split.map_or(Some(ratio), product);
            }
        }
        let range = Range { high: bar.high.to_f64(), low: bar.low.to_f64(), close: bar.close.to_f64() };
        Printed { session: bar.session, range, split }
    })
    .collect()
}

/// The rows of one symbol, session by session.
#[must_use]
pub fn features(bars: &[Printed], features: FeatureSet) -> Vec<(SessionDate, [f32; WIDTH])> {
    let mut window = Window::new(features);
    let mut found = Vec::with_capacity(bars.len());
    for bar in bars {
        if let Some(ratio) = bar.split {
            window.split(ratio);
        }
        window.push(bar.range.close);
        found.extend(window.row().map(|row| (bar.session, row)));
    }
    found
}
