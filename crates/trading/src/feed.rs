//! Where market events come from.

use std::collections::BTreeSet;

use domain::{
    ActionKind, Bar, Calendar, CalendarError, CorporateAction, Decisions, InstrumentId, Money, Notional, Price,
    Quantity, Ratio, Session, SessionDate, Strategy, Symbol, Timestamp, View,
};
use serde::Deserialize;

use crate::market::Market;

/// What a feed has next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something happened.
    Event(Market),
    /// Nothing yet.
    Nothing,
    /// Nothing will happen any more.
    End,
}

/// A feed failed for good; one that reconnects by itself says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FeedError(pub String);

/// A source of market events in order. It may tell something twice, after it was interrupted; it leaves nothing out.
pub trait Feed {
    /// The next event; waits for it at most so many milliseconds.
    ///
    /// # Errors
    /// [`FeedError`].
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError>;
}

impl<F: Feed + ?Sized> Feed for Box<F> {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        (**self).next(wait_ms)
    }
}

/// A recorded market, as a feed would have told it from a session on.
///
/// # Errors
/// A bar outside the calendar.
pub fn replay(
    calendar: &Calendar,
    market: &simulator::Market,
    after: Option<SessionDate>,
) -> Result<Vec<Market>, CalendarError> {
    let (mut events, mut actions) = (Vec::new(), market.actions());
    for today in market.bars().chunk_by(|one, other| one.session == other.session) {
        let session = *calendar.session(today[0].session)?;
        let told = after.is_some_and(|after| session.date <= after);
        if !told {
            events.push(Market::Opened(session));
        }
        while let Some((action, rest)) = actions.split_first().filter(|(action, _)| action.ex_date <= session.date) {
            actions = rest;
            if !told {
                events.push(Market::Action(*action));
            }
        }
        if !told {
            events.extend(today.iter().map(|bar| Market::Bar { bar: *bar, traded: *market.traded(bar) }));
            events.push(Market::Closed);
        }
    }
    Ok(events)
}

/// Lets a strategy see what happened before it trades: it remembers, and what it wants is dropped.
pub fn warm_up<S: Strategy>(strategy: &mut S, instruments: usize, calendar: &Calendar, history: &[Market]) {
    let flat = vec![Quantity::ZERO; instruments];
    let mut decisions = Decisions::default();
    for event in history {
        match event {
            Market::Action(action) => match action.kind {
                ActionKind::Split { ratio } => strategy.on_split(action.instrument, ratio),
                ActionKind::Dividend { .. } | ActionKind::Delisting { .. } => strategy.on_action(action),
            },
            Market::Bar { bar, .. } => {
                let Ok(session) = calendar.session(bar.session) else { continue };
                let view = View {
                    at: session.close,
                    cash: Money::ZERO,
                    net_value: Notional::ZERO,
                    positions: &flat,
                    working: &flat,
                };
                strategy.on_bar(bar, &view, &mut decisions);
                decisions.clear();
            }
            Market::Opened(_) | Market::Price { .. } | Market::Closed | Market::Clock(_) => {}
        }
    }
}

/// Events that are known already, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Told(std::collections::VecDeque<Market>);

impl Told {
    /// These.
    #[must_use]
    pub fn new(events: Vec<Market>) -> Self {
        Self(events.into())
    }

    /// Whether everything was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Feed for Told {
    fn next(&mut self, _wait_ms: u64) -> Result<Next, FeedError> {
        Ok(self.0.pop_front().map_or(Next::End, Next::Event))
    }
}

/// A line of a feed in text, one JSON object each:
///
/// ```text
/// {"open": "2024-01-02"}
/// {"split": {"sym": "IBM", "new": 2, "old": 1}}
/// {"dividend": {"sym": "IBM", "amount": "1.66"}}
/// {"price": {"sym": "IBM", "price": "161.50", "volume": 300, "at": "2024-01-02T14:31:00Z"}}
/// {"bar": {"sym": "IBM", "open": "162.83", "high": "163.29", "low": "160.38", "close": "161.5", "volume": 3825044}}
/// {"close": "2024-01-02"}
/// ```
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Open(SessionDate),
    Close(SessionDate),
    Split { sym: Symbol, new: i64, old: i64 },
    Dividend { sym: Symbol, amount: Price },
    Price { sym: Symbol, price: Price, volume: u64, at: Timestamp },
    Bar { sym: Symbol, open: Price, high: Price, low: Price, close: Price, volume: u64 },
}

/// Reads a feed in text; it may come from anybody, so every line is held against the session that is open.
#[derive(Debug)]
pub struct Text {
    symbols: Vec<Symbol>,
    session: Option<Session>,
    lines: u64,
    others: BTreeSet<Symbol>,
}

impl Text {
    /// Of these instruments.
    #[must_use]
    pub fn new(symbols: &[Symbol]) -> Self {
        Self { symbols: symbols.to_vec(), session: None, lines: 0, others: BTreeSet::new() }
    }

    /// Number of the last line.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.lines
    }

    /// Symbols that lines were about and that are not traded: perhaps a slip of the pen.
    #[must_use]
    pub fn others(&self) -> &BTreeSet<Symbol> {
        &self.others
    }

    /// What a line says; none for one that is empty or about a symbol that is not traded.
    ///
    /// # Errors
    /// A line that says nothing sensible, by its number.
    pub fn read(&mut self, calendar: &Calendar, text: &str) -> Result<Option<Market>, FeedError> {
        self.lines += 1;
        // Some editors begin a file with a mark of its encoding.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Ok(None);
        }
        self.parse(calendar, text).map_err(|reason| FeedError(format!("line {} of the feed: {reason}", self.lines)))
    }

    fn parse(&mut self, calendar: &Calendar, text: &str) -> Result<Option<Market>, String> {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            // The parser counts lines of its own.
            let text = error.to_string();
            text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
        })?;
        let session = self.session;
        let open = || session.ok_or_else(|| "no session is open; say {\"open\": DATE} first".to_owned());
        let (symbols, others) = (&self.symbols, &mut self.others);
        let mut instrument = |sym: &Symbol| {
            let at = symbols.iter().position(|known| known == sym);
            if at.is_none() {
                others.insert(sym.clone());
            }
            at.map(|at| InstrumentId(at as u32))
        };
        let positive = |price: Price| {
            if price.signum() > 0 { Ok(price) } else { Err(format!("a price of {price} is not above 0")) }
        };
        Ok(match line {
            Line::Open(date) => {
                let session = *calendar.session(date).map_err(|error| error.to_string())?;
                if let Some(before) = self.session {
                    return Err(format!("{date} opens while {} is open", before.date));
                }
                self.session = Some(session);
                Some(Market::Opened(session))
            }
            Line::Close(date) => {
                let session = open()?;
                if session.date != date {
                    return Err(format!("{date} closes while {} is open", session.date));
                }
                self.session = None;
                Some(Market::Closed)
            }
            Line::Split { sym, new, old } => {
                let ratio = Ratio::new(new, old).ok_or_else(|| format!("a split of {new} for {old} is none"))?;
                let (ex_date, kind) = (open()?.date, ActionKind::Split { ratio });
                instrument(&sym).map(|instrument| Market::Action(CorporateAction { instrument, ex_date, kind }))
            }
            Line::Dividend { sym, amount } => {
                let (ex_date, kind) = (open()?.date, ActionKind::Dividend { amount: positive(amount)? });
                instrument(&sym).map(|instrument| Market::Action(CorporateAction { instrument, ex_date, kind }))
            }
            Line::Price { sym, price, volume, at } => {
                let session = open()?;
                if at < session.open || at > session.close {
                    return Err(format!("a price at {at} lies outside the session of {}", session.date));
                }
                let price = positive(price)?;
                instrument(&sym).map(|instrument| Market::Price { instrument, price, volume, at })
            }
            Line::Bar { sym, open: first, high, low, close, volume } => {
                let session = open()?.date;
                for price in [first, high, low, close] {
                    positive(price)?;
                }
                if high < low || first > high || first < low || close > high || close < low {
                    return Err(format!("the bar of {sym} is none: {first} {high} {low} {close}"));
                }
                instrument(&sym).map(|instrument| {
                    let bar = Bar { instrument, session, open: first, high, low, close, volume };
                    Market::Bar { bar, traded: bar }
                })
            }
        })
    }
}
