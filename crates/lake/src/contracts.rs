//! Contracts between rows: what one symbol's rows of one year add to what the lake already has of them.
//!
//! Pure: versions and rows in, verdicts out. Rows are judged in the order of their sessions, each against the last
//! bar before it, wherever that came from.

use std::collections::BTreeMap;

use domain::{Calendar, Price, SessionDate, Timestamp};

use crate::packed::Row;
use crate::row::Flags;

/// Names of the contracts between rows that send a row to quarantine.
pub(crate) const STALE_COPY: &str = "stale_copy";
pub(crate) const DUPLICATE: &str = "duplicate";
pub(crate) const CONFLICTING_VERSION: &str = "conflicting_version";
/// Counts unchanged rows that a later version superseded.
pub(crate) const SUPERSEDED: &str = "superseded";

/// A change of the close beyond this fraction needs an explanation.
const JUMP: f64 = 0.4;

/// A stored row of bars, as it was known at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) session: SessionDate,
    /// Open, high, low, close in billionths, and volume.
    pub(crate) values: [i64; 5],
    /// In microseconds, as it is stored.
    pub(crate) known_at: i64,
    pub(crate) source: u64,
    pub(crate) flags: Flags,
}

/// The last bar before the one that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) session: SessionDate,
    pub(crate) values: [i64; 5],
}

/// Splits and dividends that are in force from a date: new shares per old, and cash per new share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) split: f64,
    pub(crate) dividend: f64,
}

/// When the rows of an import were known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) now: Timestamp,
    /// Of all rows, when the user said so.
    pub(crate) known_at: Option<Timestamp>,
    /// What the lake has is newer: a session that it has stays as it is.
    pub(crate) behind: bool,
}

/// What becomes of one row, in the order of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A new version, with its `known_at` in microseconds and its flags.
    Store(i64, Flags),
    /// The lake has it.
    Unchanged,
    /// The lake had it from this very file or has it from a newer one, and a later version stands.
    Superseded,
    /// Broke a contract, with what broke it.
    Refuse(&'static str, String),
}

/// Judges the rows of a symbol and year; `stored` is sorted by session and `known_at`, `rows` by session and place.
///
/// `previous` is the last bar of earlier years and becomes the last bar of this one.
pub(crate) fn judge(
    stored: &[Version],
    rows: &[Row],
    steps: &BTreeMap<SessionDate, Step>,
    sources: &[u64],
    delivery: Delivery,
    previous: &mut Option<Previous>,
    mut verdict: impl FnMut(&Row, Verdict),
) {
    let mut stored = stored.chunk_by(|a, b| a.session == b.session).peekable();
    for same in rows.chunk_by(|a, b| a.session == b.session) {
        let session = same[0].session;
        while let Some(versions) = stored.next_if(|versions| versions[0].session < session) {
            *previous = current(versions);
        }
        let versions = stored.next_if(|versions| versions[0].session == session).unwrap_or(&[]);
        let first = judge_one(versions, &same[0], steps, sources, delivery, previous.as_ref());
        let stands = match first {
            Verdict::Store(..) => Some(Previous { session, values: same[0].values() }),
            _ => None,
        };
        verdict(&same[0], first);
        for copy in &same[1..] {
            let value = if copy.values() == same[0].values() {
                format!("the same as line {}", same[0].place().line)
            } else {
                format!("other values than line {}, which is kept", same[0].place().line)
            };
            verdict(copy, Verdict::Refuse(DUPLICATE, value));
        }
        if let Some(last) = stands.or_else(|| current(versions)) {
            *previous = Some(last);
        }
    }
    if let Some(versions) = stored.last() {
        *previous = current(versions);
    }
}

/// The bar that the latest version shows.
pub(crate) fn current(versions: &[Version]) -> Option<Previous> {
    versions
        .iter()
        .max_by_key(|version| version.known_at)
        .map(|version| Previous { session: version.session, values: version.values })
}

fn judge_one(
    versions: &[Version],
    row: &Row,
    steps: &BTreeMap<SessionDate, Step>,
    sources: &[u64],
    delivery: Delivery,
    previous: Option<&Previous>,
) -> Verdict {
    let values = row.values();
    let source = sources.get(usize::from(row.file())).copied().unwrap_or_default();
    if current(versions).is_some_and(|current| current.values == values) {
        return Verdict::Unchanged;
    }
    // A file that was imported before brings nothing new, even if a correction came in between.
    if versions.iter().any(|version| version.values == values && version.source == source) {
        return Verdict::Superseded;
    }
    if delivery.behind && !versions.is_empty() {
        return Verdict::Superseded;
    }
    let mut flags = row.flags();
    if let Some(previous) = previous {
        // Closes differ nearly always, which one comparison finds out.
        let same_close = previous.values[3] == values[3];
        if same_close && previous.values == values {
            return Verdict::Refuse(STALE_COPY, format!("the same as {}", previous.session));
        }
        if same_close && previous.values[..4] == values[..4] {
            flags = flags.with(Flags::REPEATED_PRICES);
        }
        if jumps(previous, row, steps) {
            flags = flags.with(Flags::JUMP);
        }
    }
    let known_at = match delivery.known_at {
        Some(known_at) => known_at,
        None if versions.is_empty() => Calendar::nyse().session(row.session).map_or(delivery.now, |one| one.close),
        None => delivery.now,
    }
    .micros();
    if versions.iter().any(|version| version.known_at == known_at) {
        let at = Timestamp::from_micros(known_at);
        return Verdict::Refuse(CONFLICTING_VERSION, format!("other values are stored as known at {at}"));
    }
    Verdict::Store(known_at, flags)
}

/// Whether the close left the previous one, restated by the actions in between, beyond what is usual.
fn jumps(previous: &Previous, row: &Row, steps: &BTreeMap<SessionDate, Step>) -> bool {
    let mut expected = Price::from_units(previous.values[3]).to_f64();
    if row.session <= previous.session {
        return false;
    }
    let after = (std::ops::Bound::Excluded(previous.session), std::ops::Bound::Included(row.session));
    for step in steps.range(after).map(|(_, step)| step) {
        expected = expected / step.split - step.dividend;
    }
    (row.close().to_f64() / expected - 1.0).abs() > JUMP
}

/// Names of the flags, in the order in which they are written.
pub(crate) const FLAGS: [(Flags, &str); 4] = [
    (Flags::JUMP, "jump"),
    (Flags::REPEATED_PRICES, "repeated_prices"),
    (Flags::VENDOR_ADJUSTED, "vendor_adjusted"),
    (Flags::FRACTIONAL_VOLUME, "fractional_volume"),
];

/// Flags as they are stored: names with commas between.
pub(crate) fn flags_text(flags: Flags) -> String {
    let names: Vec<_> = FLAGS.iter().filter(|(flag, _)| flags.0 & flag.0 != 0).map(|(_, name)| *name).collect();
    names.join(",")
}

/// Flags from their stored text; unknown names are passed over.
pub(crate) fn flags_from_text(text: &str) -> Flags {
    let known = |name: &str| FLAGS.iter().find(|(_, known)| *known == name).map_or(Flags::default(), |(flag, _)| *flag);
    text.split(',').fold(Flags::default(), |flags, name| flags.with(known(name)))
}
