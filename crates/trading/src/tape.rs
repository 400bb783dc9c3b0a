//! Market events on a stream that several programs read: numbered, and about symbols, because each reader counts its
//! instruments by itself.
//!
//! Whoever writes numbers without gaps. So a reader ([`Tape`]) takes each event once and in order, whatever the stream
//! tells twice or out of order, and knows when something is missing.

use domain::{ActionKind, Bar, CorporateAction, InstrumentId, Price, Session, SessionDate, Symbol, Timestamp};
use serde::{Deserialize, Serialize};

use crate::market::Market;

/// Version of the messages; a reader refuses any other.
pub const VERSION: u32 = 1;

/// A market event with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// One more than the event's before.
    pub seq: u64,
    /// What happened; none when it is about an instrument that this reader does not trade.
    pub event: Option<Market>,
}

/// A message makes no sense, or one is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TapeError {
    /// A format this program does not know.
    #[error("the market stream speaks version {0}, and this program {VERSION}; use the same release for all programs")]
    Version(u32),
    /// It is no market event.
    #[error("a message of the market stream makes no sense: {0}")]
    Nonsense(String),
    /// The stream has forgotten what comes next, or never had it.
    #[error("the market stream goes on with event {found}, and {wanted} comes next; what lies between is missing")]
    Gap {
        /// What comes next.
        wanted: u64,
        /// What the stream has.
        found: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Version {
    v: u32,
}

#[derive(Serialize, Deserialize)]
struct Message {
    v: u32,
    seq: u64,
    what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Opened(Session),
    Action { sym: Symbol, ex_date: SessionDate, kind: ActionKind },
    Price { sym: Symbol, price: Price, volume: u64, at: Timestamp },
    Bar { sym: Symbol, session: SessionDate, shown: Figures, traded: Figures },
    Closed,
    Clock(Timestamp),
}

/// Open, high, low, close, volume.
#[derive(Serialize, Deserialize)]
struct Figures(Price, Price, Price, Price, u64);

impl Figures {
    fn of(bar: &Bar) -> Self {
        Self(bar.open, bar.high, bar.low, bar.close, bar.volume)
    }

    fn bar(&self, instrument: InstrumentId, session: SessionDate) -> Bar {
        Bar { instrument, session, open: self.0, high: self.1, low: self.2, close: self.3, volume: self.4 }
    }
}

/// An event as a message; none if its instrument has no symbol.
#[must_use]
pub fn write(seq: u64, event: &Market, symbols: &[Symbol]) -> Option<String> {
    let symbol = |instrument: InstrumentId| symbols.get(instrument.index()).cloned();
    let what = match *event {
        Market::Opened(session) => What::Opened(session),
        Market::Action(CorporateAction { instrument, ex_date, kind }) => {
            What::Action { sym: symbol(instrument)?, ex_date, kind }
        }
        Market::Price { instrument, price, volume, at } => What::Price { sym: symbol(instrument)?, price, volume, at },
        Market::Bar { bar, traded } => What::Bar {
            sym: symbol(bar.instrument)?,
            session: bar.session,
            shown: Figures::of(&bar),
            traded: Figures::of(&traded),
        },
        Market::Closed => What::Closed,
        Market::Clock(at) => What::Clock(at),
    };
    serde_json::to_string(&Message { v: VERSION, seq, what }).ok()
}

/// A message as an event.
///
/// # Errors
/// [`TapeError`].
pub fn read(text: &str, symbols: &[Symbol]) -> Result<Numbered, TapeError> {
    let nonsense = |error: serde_json::Error| TapeError::Nonsense(error.to_string());
    let version: Version = serde_json::from_str(text).map_err(nonsense)?;
    if version.v != VERSION {
        return Err(TapeError::Version(version.v));
    }
    let Message { seq, what, .. } = serde_json::from_str(text).map_err(nonsense)?;
    let known = |sym: &Symbol| symbols.iter().position(|known| known == sym).map(|at| InstrumentId(at as u32));
    let event = match what {
        What::Opened(session) => Some(Market::Opened(session)),
        What::Action { sym, ex_date, kind } => {
            known(&sym).map(|instrument| Market::Action(CorporateAction { instrument, ex_date, kind }))
        }
        What::Price { sym, price, volume, at } => {
            known(&sym).map(|instrument| Market::Price { instrument, price, volume, at })
        }
        What::Bar { sym, session, shown, traded } => known(&sym).map(|instrument| Market::Bar {
            bar: shown.bar(instrument, session),
            traded: traded.bar(instrument, session),
        }),
        What::Closed => Some(Market::Closed),
        What::Clock(at) => Some(Market::Clock(at)),
    };
    Ok(Numbered { seq, event })
}

/// How many events may come before the one that is missing.
const AHEAD: usize = 10_000;

/// Puts what a stream tells in order, each event once.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    next: Option<u64>,
    ahead: std::collections::BTreeMap<u64, Option<Market>>,
}

impl Tape {
    /// A reader that begins with whatever comes first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader that has had everything up to a number.
    #[must_use]
    pub fn after(seq: u64) -> Self {
        Self { next: Some(seq + 1), ..Self::default() }
    }

    /// Number of the event that comes next, once there was one.
    #[must_use]
    pub fn wanted(&self) -> Option<u64> {
        self.next
    }

    /// Takes an event, in whatever order it comes, and gives those whose turn it is.
    ///
    /// # Errors
    /// [`TapeError::Gap`] when an event does not come.
    pub fn take(&mut self, told: Numbered) -> Result<Vec<Numbered>, TapeError> {
        let mut next = self.next.unwrap_or(told.seq);
        if told.seq >= next {
            self.ahead.insert(told.seq, told.event);
        }
        let mut turn = Vec::new();
        while let Some(event) = self.ahead.remove(&next) {
            turn.push(Numbered { seq: next, event });
            next += 1;
        }
        self.next = Some(next);
        match self.ahead.first_key_value() {
            Some((found, _)) if self.ahead.len() > AHEAD => Err(TapeError::Gap { wanted: next, found: *found }),
            _ => Ok(turn),
        }
    }

    /// What has come too early, when nothing else will come before it: something is missing.
    ///
    /// # Errors
    /// [`TapeError::Gap`].
    pub fn complete(&self) -> Result<(), TapeError> {
        match (self.ahead.first_key_value(), self.next) {
            (Some((found, _)), Some(wanted)) => Err(TapeError::Gap { wanted, found: *found }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Calendar;

    use super::*;

    fn numbered(seq: u64) -> Numbered {
        Numbered { seq, event: Some(Market::Clock(Timestamp::from_nanos(seq as i64))) }
    }

    #[test]
    fn events_come_back_as_they_were() {
        let symbols = ["IBM", "AAPL"].map(|name| Symbol::new(name).unwrap());
        let session = Calendar::nyse().sessions()[1000];
        let price = Price::from_units(1_234_567_890);
        let instrument = InstrumentId(1);
        let bar =
            Bar { instrument, session: session.date, open: price, high: price, low: price, close: price, volume: 7 };
        let ratio = domain::Ratio::new(7, 1).unwrap();
        let events = [
            Market::Opened(session),
            Market::Action(CorporateAction { instrument, ex_date: session.date, kind: ActionKind::Split { ratio } }),
            Market::Price { instrument, price, volume: 3, at: session.open },
            Market::Bar { bar, traded: Bar { volume: 8, ..bar } },
            Market::Closed,
            Market::Clock(session.close),
        ];
        for (seq, event) in events.into_iter().enumerate() {
            let text = write(seq as u64, &event, &symbols).unwrap();
            assert_eq!(read(&text, &symbols).unwrap(), Numbered { seq: seq as u64, event: Some(event) }, "{text}");
            // A reader of other symbols counts it and takes no part in it.
            let other = read(&text, &[Symbol::new("MSFT").unwrap()]).unwrap();
            assert_eq!(other.seq, seq as u64);
        }
        let text = write(1, &Market::Closed, &symbols).unwrap().replace("\"v\":1", "\"v\":2");
        assert_eq!(read(&text, &symbols), Err(TapeError::Version(2)));
        assert!(matches!(read("{\"v\":1}", &symbols), Err(TapeError::Nonsense(_))));
    }

    #[test]
    fn each_event_once_and_in_order() {
        let mut tape = Tape::new();
        let mut got = Vec::new();
        for seq in [5, 6, 5, 9, 8, 7, 7, 10, 9, 12] {
            got.extend(tape.take(numbered(seq)).unwrap().into_iter().map(|one| one.seq));
        }
        assert_eq!(got, [5, 6, 7, 8, 9, 10]);
        assert_eq!(tape.complete(), Err(TapeError::Gap { wanted: 11, found: 12 }));
        assert_eq!(Tape::after(3).take(numbered(3)).unwrap(), []);
        assert_eq!(Tape::after(3).take(numbered(4)).unwrap().len(), 1);
    }
}
