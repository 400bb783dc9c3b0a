//! What a run may know: of each bar the version that was there when it would have decided on it.
//!
//! A bar is in time when its first version was known within 36 hours of its session's close. What came later is a
//! backfill if it came with the first delivery of its symbol: nobody could have had it earlier, and it is taken as
//! known at the close. Any other late bar is left out and counted. A correction that came too late for the decision
//! does not change what was decided on, but it is what fills are reckoned with.

use std::collections::BTreeSet;

use domain::{Bar, Calendar, CorporateAction, InstrumentId, Price, SessionDate, Symbol};
use sha2::{Digest, Sha256};

use crate::actions::{self, ActionVersion};
use crate::contracts::Version;
use crate::stored::source_text;

/// Microseconds between a session's close and the last moment at which its bar may arrive.
const PATIENCE_US: i64 = 36 * 3_600 * 1_000_000;

/// The data of a run; instruments are numbered as the symbols were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarketData {
    /// What decisions are made on, by session and instrument.
    pub bars: Vec<Bar>,
    /// By ex-date and instrument, in their latest version.
    pub actions: Vec<CorporateAction>,
    /// Bars whose latest version differs from the one in `bars`, by session and instrument.
    pub restated: Vec<Bar>,
    /// Bars that came with the first delivery, after the fact.
    pub backfilled: u64,
    /// Bars left out because they came too late.
    pub late: u64,
    /// Revisions of the files it all came from.
    pub revisions: Vec<String>,
    /// Of the content, however it is stored: equal data, equal digest.
    pub sha256: String,
    /// Bars with a flag.
    pub flagged: u64,
}

fn bar(instrument: InstrumentId, version: &Version) -> Bar {
    let [open, high, low, close, volume] = version.values;
    Bar {
        instrument,
        session: version.session,
        open: Price::from_units(open),
        high: Price::from_units(high),
        low: Price::from_units(low),
        close: Price::from_units(close),
        volume: volume.max(0) as u64,
    }
}

/// Sorts out the versions of each symbol; they are sorted by session and time known.
pub(crate) fn market(
    symbols: &[Symbol],
    versions: &[Vec<Version>],
    known: &[Vec<ActionVersion>],
    (from, to): (Option<SessionDate>, Option<SessionDate>),
) -> MarketData {
    let wanted = |date: SessionDate| from.is_none_or(|from| date >= from) && to.is_none_or(|to| date <= to);
    let mut data = MarketData::default();
    let mut sources = BTreeSet::new();
    for (at, (versions, known)) in versions.iter().zip(known).enumerate() {
        let instrument = InstrumentId(at as u32);
        let first_delivery = versions.iter().map(|version| version.known_at).min().unwrap_or_default();
        for same in versions.chunk_by(|a, b| a.session == b.session).filter(|same| wanted(same[0].session)) {
            // A date without session cannot be traded; `data check` reports it.
            let Ok(session) = Calendar::nyse().session(same[0].session) else { continue };
            let deadline = session.close.micros() + PATIENCE_US;
            let in_time = same[0].known_at <= deadline;
            if !in_time && same[0].known_at != first_delivery {
                data.late += 1;
                continue;
            }
            data.backfilled += u64::from(!in_time);
            let decided = same.iter().rfind(|version| version.known_at <= deadline).unwrap_or(&same[0]);
            let latest = same.last().unwrap_or(decided);
            data.bars.push(bar(instrument, decided));
            data.flagged += u64::from(decided.flags.0 != 0);
            sources.insert(decided.source);
            if latest.values != decided.values {
                data.restated.push(bar(instrument, latest));
                sources.insert(latest.source);
            }
        }
        for action in actions::current(known, None).into_iter().filter(|action| wanted(action.ex_date)) {
            sources.insert(action.source);
            data.actions.extend(action.to_domain(instrument));
        }
    }
    data.bars.sort_by_key(|bar| (bar.session, bar.instrument));
    data.restated.sort_by_key(|bar| (bar.session, bar.instrument));
    data.actions.sort_by_key(|action| (action.ex_date, action.instrument));
    data.revisions = sources.into_iter().map(source_text).collect();
    data.sha256 = digest(symbols, &data);
    data
}

/// Hashes numbers, not files: a lake that was put together otherwise but says the same gives the same.
fn digest(symbols: &[Symbol], data: &MarketData) -> String {
    let mut sha256 = Sha256::new();
    let mut number = |number: i64| sha256.update(number.to_le_bytes());
    for (kind, bars) in [&data.bars, &data.restated].into_iter().enumerate() {
        number(kind as i64);
        number(bars.len() as i64);
        for bar in bars {
            number(i64::from(bar.instrument.0));
            number(i64::from(bar.session.days()));
            for price in [bar.open, bar.high, bar.low, bar.close] {
                number(price.units());
            }
            number(bar.volume as i64);
        }
    }
    number(data.actions.len() as i64);
    for action in &data.actions {
        number(i64::from(action.instrument.0));
        number(i64::from(action.ex_date.days()));
        let (kind, values) = match action.kind {
            domain::ActionKind::Split { ratio } => (0, [ratio.numerator(), ratio.denominator()]),
            domain::ActionKind::Dividend { amount } => (1, [amount.units(), 1]),
            domain::ActionKind::Delisting { price } => (2, [price.units(), 1]),
        };
        number(kind);
        values.into_iter().for_each(&mut number);
    }
    for symbol in symbols {
        sha256.update(symbol.as_str());
        sha256.update([0]);
    }
    sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
