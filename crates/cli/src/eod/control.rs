//! What a strategy may still do: a record that `watch-pnl` or a person writes and every run obeys.
//!
//! Entries are added and never changed; one is in force from its session on until a later one takes its place. They
//! count for the run's id, because they change what it does, and a replay obeys them on the same days.

use domain::{
    Bar, CorporateAction, Decisions, Fill, InstrumentId, Quantity, Ratio, SessionDate, Strategy, Timestamp, View,
};
pub use engine::Mode;
use engine::towards_flat;
use ports::records::{Key, Records};
use serde::{Deserialize, Serialize};

use super::{Outcome, Trouble, What, body, put};
use crate::live::requests::{Ask, Request, Wish};

/// An order to a strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The first session at whose close it is obeyed.
    pub from: SessionDate,
    /// What is allowed.
    pub mode: Mode,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What a strategy was told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Control {
    /// What it may do from which session on, in the order in which they were added.
    pub entries: Vec<Entry>,
    /// What people accept and enable again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<serde_json::Value>,
}

impl Control {
    /// What people accept and enable again, for the programs that are always on to obey once each; a sentence for one
    /// that cannot be obeyed. It is in nobody's way: what stops a strategy stands beside it.
    pub fn requests(&self) -> impl Iterator<Item = Result<Request, String>> {
        self.requests.iter().map(|request| {
            let fit = |request: Request| {
                anyhow::ensure!(!matches!(request.ask, Ask::Control(_)), "a mode belongs among the entries");
                let Request { ask, by, reason, at } = request;
                Ok(Wish { ask, by, reason }.checked()?.at(at))
            };
            serde_json::from_value(request.clone())
                .map_err(Into::into)
                .and_then(fit)
                .map_err(|error| format!("the request {request} of the control record is not obeyed: {error}"))
        })
    }
}

fn key(strategy: &str) -> Key {
    Key::new("control", strategy)
}

/// All that a strategy was told.
///
/// # Errors
/// The record cannot be read: then nothing may be traded.
pub fn read(records: &dyn Records, strategy: &str) -> Outcome<Control> {
    let key = key(strategy);
    let record = records.get(&key)?.map(|record| body(&key, &record)).transpose()?;
    Ok(record.unwrap_or_default())
}

/// The mode in force at a session.
#[must_use]
pub fn mode(entries: &[Entry], session: SessionDate) -> Mode {
    entries.iter().rfind(|entry| entry.from <= session).map_or(Mode::Normal, |entry| entry.mode)
}

/// Adds an entry; one that tightens nothing is left out unless a person lifts what is in force.
///
/// # Errors
/// The record cannot be read or written.
pub fn add(records: &dyn Records, strategy: &str, entry: &Entry, lift: bool) -> Outcome<bool> {
    change(records, strategy, |record| {
        let tightens = lift || mode(&record.entries, entry.from) < entry.mode;
        if tightens {
            record.entries.push(entry.clone());
        }
        tightens
    })
}

/// Adds what a person accepts or enables again.
///
/// # Errors
/// The record cannot be read or written.
pub fn request(records: &dyn Records, strategy: &str, request: &Request) -> Outcome<()> {
    let request = serde_json::to_value(request).map_err(|error| Trouble::new(What::BadRecord, error.to_string()))?;
    let add = |record: &mut Control| {
        record.requests.push(request.clone());
        true
    };
    change(records, strategy, add).map(|_| ())
}

/// Changes the record, whoever else does meanwhile; false where there was nothing to change.
fn change(records: &dyn Records, strategy: &str, mut change: impl FnMut(&mut Control) -> bool) -> Outcome<bool> {
    let key = key(strategy);
    for _ in 0..8 {
        let seen = records.get(&key)?;
        let version = seen.as_ref().map_or(0, |record| record.version);
        let mut record: Control = seen.map(|record| body(&key, &record)).transpose()?.unwrap_or_default();
        if !change(&mut record) {
            return Ok(false);
        }
        if put(records, &key, &record, version)? {
            return Ok(true);
        }
    }
    Err(Trouble::new(What::Transient, format!("the record {key} is being written by others all the time")))
}

/// A strategy that obeys.
#[derive(Debug)]
pub struct Controlled<S> {
    strategy: S,
    entries: Vec<Entry>,
}

impl<S> Controlled<S> {
    /// Under these entries.
    pub fn new(strategy: S, entries: Vec<Entry>) -> Self {
        Self { strategy, entries }
    }
}

impl<S: Strategy> Strategy for Controlled<S> {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        self.strategy.on_bar(bar, view, decisions);
        match mode(&self.entries, bar.session) {
            Mode::Normal => {}
            Mode::ReduceOnly => {
                for target in &mut decisions.targets {
                    target.quantity = towards_flat(target.quantity, view.position(target.instrument));
                }
                decisions.orders.retain_mut(|order| {
                    let position = view.position(order.instrument);
                    (order.reduce_only, order.bracket) = (true, None);
                    position.signum() * order.quantity.signum() < 0
                });
            }
            stricter @ (Mode::Cancel | Mode::Flatten) => {
                decisions.targets.clear();
                decisions.orders.clear();
                decisions.cancel_all(bar.instrument);
                if stricter == Mode::Flatten {
                    decisions.target(bar.instrument, Quantity::ZERO);
                }
            }
        }
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        self.strategy.on_split(instrument, ratio);
    }

    fn on_fill(&mut self, fill: &Fill) {
        self.strategy.on_fill(fill);
    }

    fn on_action(&mut self, action: &CorporateAction) {
        self.strategy.on_action(action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(count: i64) -> Quantity {
        Quantity::whole(count).unwrap()
    }

    #[test]
    fn reducing_never_grows_or_turns_a_position() {
        for held in -3..=3 {
            for wanted in -5..=5 {
                let got = towards_flat(shares(wanted), shares(held));
                assert!(got.abs() <= shares(held).abs(), "{wanted} of {held}");
                assert!(got.is_zero() || got.signum() == shares(held).signum(), "{wanted} of {held}");
            }
        }
        assert_eq!(towards_flat(shares(2), shares(3)), shares(2));
    }

    #[test]
    fn the_entry_in_force_is_the_last_that_has_begun() {
        let date = |day| SessionDate::from_ymd(2013, 3, day).unwrap();
        let entry = |day, mode| Entry {
            from: date(day),
            mode,
            reason: String::new(),
            by: String::new(),
            at: Timestamp::default(),
        };
        let entries = [entry(4, Mode::Flatten), entry(6, Mode::Normal)];
        let modes = [1, 4, 5, 6, 7].map(|day| mode(&entries, date(day)));
        assert_eq!(modes, [Mode::Normal, Mode::Flatten, Mode::Flatten, Mode::Normal, Mode::Normal]);
    }
}
