//! Prices in terms of the last bar: earlier ones divided by the splits, or by splits and dividends, that came after.

use domain::{Price, SessionDate, Symbol, Timestamp};
use serde::Serialize;

use crate::actions::{self, ActionVersion};
use crate::contracts::{Version, flags_text};
use crate::error::LakeError;
use crate::stored::source_text;

/// What is done to prices that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adjust {
    /// As traded.
    #[default]
    None,
    /// Earlier prices divided by later splits, volumes multiplied by them.
    Split,
    /// Earlier prices divided by later splits and by one plus the yield of later dividends; volumes by splits alone.
    ///
    /// The step on an ex-date is `split * (1 + dividend / close of the ex-date)`, which is how Quandl WIKI computed
    /// its adjusted prices.
    Total,
}

/// A bar as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownBar {
    /// The session.
    pub dt: SessionDate,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Shares traded.
    pub vol: u64,
    /// Since when this version is known.
    pub known_at: Timestamp,
    /// Revision of the file it came from.
    pub source: String,
    /// Names of its flags with commas between.
    pub flags: String,
}

/// Bars, sorted by session, with the actions that were known.
pub(crate) fn shown(
    symbol: &Symbol,
    bars: &[Version],
    known: &[ActionVersion],
    adjust: Adjust,
) -> Result<Vec<ShownBar>, LakeError> {
    let steps = actions::steps(known);
    // Backwards: what lies after a bar is in the factors when the bar is reached.
    let mut ahead = steps.into_iter().rev().peekable();
    let (mut prices, mut volumes) = (1.0, 1.0);
    let mut result = Vec::with_capacity(bars.len());
    let mut later: Option<&Version> = None;
    for bar in bars.iter().rev() {
        while let Some((_, step)) = ahead.next_if(|(ex_date, _)| *ex_date > bar.session) {
            // Without a later bar the action is not yet in any price.
            let Some(later) = later else { continue };
            let ex_close = Price::from_units(later.values[3]).to_f64();
            volumes *= step.split;
            prices *= step.split * if adjust == Adjust::Total { 1.0 + step.dividend / ex_close } else { 1.0 };
        }
        let overflow = || LakeError::Overflow { symbol: symbol.clone() };
        let price = |units: i64| match adjust {
            Adjust::None => Ok(Price::from_units(units)),
            _ if prices == 1.0 => Ok(Price::from_units(units)),
            _ => Price::from_f64(Price::from_units(units).to_f64() / prices).ok_or_else(overflow),
        };
        let [open, high, low, close, volume] = bar.values;
        let vol = match adjust {
            Adjust::None => volume as f64,
            _ => (volume as f64 * volumes).round_ties_even(),
        };
        result.push(ShownBar {
            dt: bar.session,
            open: price(open)?,
            high: price(high)?,
            low: price(low)?,
            close: price(close)?,
            vol: if adjust == Adjust::None { volume.max(0) as u64 } else { vol as u64 },
            known_at: Timestamp::from_micros(bar.known_at),
            source: source_text(bar.source),
            flags: flags_text(bar.flags),
        });
        later = Some(bar);
    }
    result.reverse();
    Ok(result)
}
