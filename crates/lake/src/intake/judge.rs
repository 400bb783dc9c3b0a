//! From a row's values to its bar and corporate actions, or the contract that it breaks.

use domain::{Price, Ratio};

use super::extract::{Broken, Values};
use super::layout::Layout;
use super::profile::Prices;
use crate::row::{Batch, Flags, Place, RowAction, RowActionKind, RowBar};

/// Adds to the batch the bar and the actions of a row whose date is a session that has ended.
#[inline]
pub(super) fn judge(layout: &Layout, values: &Values, place: Place, batch: &mut Batch) -> Result<(), Broken> {
    let Values { open, high, low, close, .. } = *values;
    if open <= 0 || high <= 0 || low <= 0 || close <= 0 {
        return Err(non_positive(values));
    }
    if values.volume < 0 {
        return Err(Broken::new("negative_volume", values.volume.to_string()));
    }
    if high < low || high < open || high < close || low > open || low > close {
        return Err(high_low(values));
    }
    if values.split <= 0 {
        return Err(Broken::new("bad_split", Price::from_units(values.split).to_string()));
    }
    if values.dividend < 0 {
        return Err(Broken::new("bad_dividend", Price::from_units(values.dividend).to_string()));
    }
    let prices = layout.profile.prices;
    if prices == Prices::SplitAdjustedWithRawClose && values.raw_close != values.close {
        return judge_as_traded(layout, values, place, batch);
    }
    add(layout, values, place, batch)
}

#[inline(never)]
fn judge_as_traded(layout: &Layout, values: &Values, place: Place, batch: &mut Batch) -> Result<(), Broken> {
    add(layout, &as_traded(layout, values)?, place, batch)
}

#[inline]
fn add(layout: &Layout, values: &Values, place: Place, batch: &mut Batch) -> Result<(), Broken> {
    let prices = layout.profile.prices;
    let adjusted = matches!(prices, Prices::SplitAdjusted | Prices::TotalAdjusted);
    let mut flags = if adjusted { Flags::VENDOR_ADJUSTED } else { Flags::default() };
    if values.volume_cut {
        flags = flags.with(Flags::FRACTIONAL_VOLUME);
    }
    let action = |kind| RowAction { symbol: values.symbol, ex_date: values.date, kind, place };
    // What the vendor has already worked into the prices must not be applied again.
    if values.split != Price::UNITS && prices == Prices::Raw {
        let ratio = Ratio::from_units(values.split)
            .ok_or_else(|| Broken::new("bad_split", Price::from_units(values.split).to_string()))?;
        batch.actions.push(action(RowActionKind::Split(ratio)));
    }
    if values.dividend > 0 && prices != Prices::TotalAdjusted {
        batch.actions.push(action(RowActionKind::Dividend(Price::from_units(values.dividend))));
    }
    batch.bars.push(RowBar {
        symbol: values.symbol,
        session: values.date,
        open: Price::from_units(values.open),
        high: Price::from_units(values.high),
        low: Price::from_units(values.low),
        close: Price::from_units(values.close),
        volume: values.volume,
        flags,
        place,
    });
    Ok(())
}

#[cold]
fn non_positive(values: &Values) -> Broken {
    let (name, price) = prices(values).into_iter().find(|(_, price)| *price <= 0).unwrap_or(("close", values.close));
    Broken::new("non_positive_price", format!("{name} {}", Price::from_units(price)))
}

#[cold]
fn high_low(values: &Values) -> Broken {
    let shown = Price::from_units;
    let value = match prices(values).into_iter().find(|(_, price)| values.high < *price) {
        Some((name, price)) => format!("high {} below {name} {}", shown(values.high), shown(price)),
        None => match prices(values).into_iter().find(|(_, price)| values.low > *price) {
            Some((name, price)) => format!("low {} above {name} {}", shown(values.low), shown(price)),
            None => String::new(),
        },
    };
    Broken::new("high_low", value)
}

fn prices(values: &Values) -> [(&'static str, i64); 4] {
    [("open", values.open), ("high", values.high), ("low", values.low), ("close", values.close)]
}

/// Prices and volume as traded, from split-adjusted ones and the close as traded.
///
/// `raw_close / close` is the product of later splits, blurred by the rounding of the adjusted close; the simplest
/// fraction that explains both closes is taken for it.
fn as_traded(layout: &Layout, values: &Values) -> Result<Values, Broken> {
    let unfit = |what: &str| {
        let (raw, close) = (Price::from_units(values.raw_close), Price::from_units(values.close));
        Broken::new("unreadable_price", format!("{what}: raw close {raw}, close {close}"))
    };
    if values.raw_close <= 0 {
        return Err(Broken::new("non_positive_price", format!("raw close {}", Price::from_units(values.raw_close))));
    }
    let (new, old) = factor(values).unwrap_or((values.raw_close, values.close));
    let scaled = |units: i64| {
        Price::from_units(units).scale(new, old).map(Price::units).map_err(|_| unfit("too large as traded"))
    };
    let (open, high, low) = (scaled(values.open)?, scaled(values.high)?, scaled(values.low)?);
    let close = values.raw_close;
    let volume = match layout.volume_follows_prices() {
        true => i64::try_from((i128::from(values.volume) * i128::from(old) + i128::from(new) / 2) / i128::from(new))
            .map_err(|_| unfit("volume too large as traded"))?,
        false => values.volume,
    };
    if open == 0 || low == 0 {
        return Err(unfit("nothing left as traded"));
    }
    // The close is exact and the others carry the adjusted ones' rounding, which may put them a hair beyond it.
    Ok(Values { open, high: high.max(close), low: low.min(close), close, volume, ..*values })
}

/// The simplest `new / old` for which the adjusted close times it rounds to the raw close.
fn factor(values: &Values) -> Option<(i64, i64)> {
    // Half a unit of the last digit that the row's adjusted prices use, but not coarser than half a cent.
    let mut unit = 1_i64;
    while unit < 10_000_000 && prices(values).iter().all(|(_, price)| price % (unit * 10) == 0) {
        unit *= 10;
    }
    let slack = i128::from(unit / 2 + 1);
    let (close, raw) = (i128::from(values.close), i128::from(values.raw_close));
    (1..=20_i128)
        .find_map(|old| {
            let new = (raw * old + close / 2) / close;
            // |close - raw * old / new| <= slack
            let fits = new > 0 && (close * new - raw * old).abs() <= slack * new;
            (fits && (old == 1 || new <= 1_000)).then(|| Some((i64::try_from(new).ok()?, old as i64))).flatten()
        })
        .or_else(|| {
            // Reverse splits of high ratio: many old shares for one.
            let old = (close + raw / 2) / raw.max(1);
            ((close - raw * old).abs() <= slack)
                .then(|| Some((1, i64::try_from(old).ok().filter(|old| *old > 0)?)))
                .flatten()
        })
}
