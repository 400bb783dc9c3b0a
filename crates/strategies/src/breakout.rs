//! Breakout from the channel of the last bars.
//!
//! As in the reference: a flat account goes long when the close is above the previous channel's top, short when below
//! its bottom; a long position closes when the close is back below the top, a short one when back above the bottom.

use domain::{Bar, Decisions, InstrumentId, Quantity, Ratio, Strategy, View};
use serde::{Deserialize, Serialize};

use crate::indicator::Extremes;

/// What the channel is made of.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Highest and lowest close, as the reference's indicators do by default.
    #[default]
    Close,
    /// Highest high and lowest low.
    HighLow,
}

/// Breakout of a channel, closing when the price falls back inside.
#[derive(Debug, Clone)]
pub struct Breakout {
    size: Quantity,
    channel: Channel,
    extremes: Vec<Extremes>,
}

impl Breakout {
    /// Channel over `period` sessions, `size` shares either way, for `instruments` instruments.
    #[must_use]
    pub fn new(period: usize, channel: Channel, size: Quantity, instruments: usize) -> Self {
        Self { size, channel, extremes: vec![Extremes::new(period); instruments] }
    }
}

impl Strategy for Breakout {
    #[inline]
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let Some(extremes) = self.extremes.get_mut(bar.instrument.index()) else { return };
        let channel = extremes.get();
        match self.channel {
            Channel::Close => extremes.update(bar.close, bar.close),
            Channel::HighLow => extremes.update(bar.high, bar.low),
        }
        let Some((top, bottom)) = channel else { return };
        let wanted = match view.position(bar.instrument).signum() {
            0 if bar.close > top => Some(self.size),
            0 if bar.close < bottom => Some(self.size.neg()),
            1 if bar.close < top => Some(Quantity::ZERO),
            -1 if bar.close > bottom => Some(Quantity::ZERO),
            _ => None,
        };
        if let Some(wanted) = wanted {
            decisions.target(bar.instrument, wanted);
        }
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        if let Some(extremes) = self.extremes.get_mut(instrument.index()) {
            extremes.split(ratio);
        }
    }
}
