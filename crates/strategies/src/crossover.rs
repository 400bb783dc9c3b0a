//! Moving-average crossovers: always in the market, long while the fast average is above the slow one.
//!
//! As in the reference: once both averages exist a flat account goes long if fast > slow, else short; a long position
//! reverses when fast < slow, a short one when fast > slow; a tie changes nothing.

use std::cmp::Ordering;

use domain::{Bar, Decisions, InstrumentId, Quantity, Ratio, Strategy, View};

use crate::indicator::{Ema, SmaPair};

/// What the reference does for a position and the order of the averages: the wanted side, if it is another one.
#[inline]
fn wanted_side(position: Quantity, fast_to_slow: Ordering) -> Option<i64> {
    match (position.signum(), fast_to_slow) {
        (0, Ordering::Greater) | (-1, Ordering::Greater) => Some(1),
        (0, _) | (1, Ordering::Less) => Some(-1),
        _ => None,
    }
}

#[inline]
fn decide(bar: &Bar, size: Quantity, order: Option<Ordering>, view: &View<'_>, decisions: &mut Decisions) {
    let Some(order) = order else { return };
    if let Some(side) = wanted_side(view.position(bar.instrument), order) {
        decisions.target(bar.instrument, if side > 0 { size } else { size.neg() });
    }
}

/// Crossover of two simple moving averages of the close.
#[derive(Debug, Clone)]
pub struct SmaCrossover {
    size: Quantity,
    averages: Vec<SmaPair>,
}

impl SmaCrossover {
    /// Periods in sessions, `size` shares either way, for `instruments` instruments.
    #[must_use]
    pub fn new(fast: usize, slow: usize, size: Quantity, instruments: usize) -> Self {
        Self { size, averages: vec![SmaPair::new(fast, slow); instruments] }
    }
}

impl Strategy for SmaCrossover {
    #[inline]
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let Some(averages) = self.averages.get_mut(bar.instrument.index()) else { return };
        decide(bar, self.size, averages.update(bar.close), view, decisions);
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        if let Some(averages) = self.averages.get_mut(instrument.index()) {
            averages.split(ratio);
        }
    }
}

/// Crossover of two exponential moving averages of the close.
#[derive(Debug, Clone)]
pub struct EmaCrossover {
    size: Quantity,
    averages: Vec<(Ema, Ema)>,
}

impl EmaCrossover {
    /// Periods in sessions, `size` shares either way, for `instruments` instruments.
    #[must_use]
    pub fn new(fast: usize, slow: usize, size: Quantity, instruments: usize) -> Self {
        Self { size, averages: vec![(Ema::new(fast), Ema::new(slow)); instruments] }
    }
}

impl Strategy for EmaCrossover {
    #[inline]
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let Some((fast, slow)) = self.averages.get_mut(bar.instrument.index()) else { return };
        let (fast, slow) = (fast.update(bar.close), slow.update(bar.close));
        let order = fast.zip(slow).and_then(|(fast, slow)| fast.partial_cmp(&slow));
        decide(bar, self.size, order, view, decisions);
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        if let Some((fast, slow)) = self.averages.get_mut(instrument.index()) {
            fast.split(ratio);
            slow.split(ratio);
        }
    }
}
