//! Session after session: what is heard and what is asked becomes what is told.
//!
//! One question is on its way at a time, beside the listening, so that a server that does not answer about one symbol
//! holds back no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use domain::{Bar, Calendar, InstrumentId, Session, SessionDate, Symbol, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use trading::{FeedError, Market};

use super::day::{Day, Minute, Times, Want};
use super::rest::{Query, Refused, Rest, Rows};
use super::said::Said;
use super::wire::{self, MINUTE, Row, TradeRow};
use super::{Clock, DataSettings};

/// Symbols in one question, so that its address stays short.
const SYMBOLS_PER_QUESTION: usize = 200;
/// How long before the open the socket is opened.
const EARLY: i64 = 5 * MINUTE;
/// How much faster than ours Alpaca's clock may be, in nanoseconds.
const CLOCKS_APART_MAX: i64 = 10_000_000_000;
/// How far around a session its corporate actions are looked for, in days: Alpaca files a dividend under the day on
/// which it is paid, weeks after the day on which it is in force.
const ACTIONS_AROUND: (i32, i32) = (30, 120);

/// What comes to the one who tells.
pub(super) enum Heard {
    Minute(String, Value),
    Trade(String, Value),
    /// Trying again does not help.
    ForGood(String),
    Answer(SessionDate, Want, Result<Rows, Refused>),
}

/// Nobody hears any more, or there is nothing more to tell.
struct Ended;

pub(super) struct Days {
    settings: DataSettings,
    calendar: &'static Calendar,
    clock: Clock,
    symbols: Vec<Symbol>,
    names: HashMap<String, InstrumentId>,
    rest: Arc<Rest>,
    said: Said,
    tell: Sender<Result<Market, FeedError>>,
    wanted: watch::Sender<bool>,
    own: UnboundedSender<Heard>,
    day: Day,
    asking: bool,
    /// The first question is whether we may ask at all: a wrong key shows at once, not at the next open.
    checked: bool,
    /// After a refusal it waits.
    ask_after: Option<tokio::time::Instant>,
}

/// The first session to tell.
pub(super) fn first(calendar: &Calendar, after: Option<SessionDate>, now: Timestamp) -> Option<Session> {
    // Without a past it is today's, or else the next.
    let today = calendar.date_of(now);
    let is_due = |session: &&Session| after.map_or(session.date >= today, |after| session.date > after);
    calendar.sessions().iter().find(is_due).copied()
}

impl Days {
    #[expect(clippy::too_many_arguments, reason = "the ends of every channel come together here")]
    pub(super) fn new(
        settings: DataSettings,
        clock: Clock,
        symbols: Vec<Symbol>,
        rest: Rest,
        said: Said,
        tell: Sender<Result<Market, FeedError>>,
        wanted: watch::Sender<bool>,
        own: UnboundedSender<Heard>,
        first: Session,
    ) -> Self {
        Self {
            calendar: Calendar::nyse(),
            clock,
            names: wire::by_name(&symbols),
            rest: Arc::new(rest),
            said,
            tell,
            wanted,
            own,
            day: Day::new(first, symbols.len(), times(&settings)),
            symbols,
            settings,
            asking: false,
            checked: false,
            ask_after: None,
        }
    }

    /// Tells until nobody hears.
    pub(super) async fn run(mut self, mut heard: UnboundedReceiver<Heard>) {
        loop {
            if self.turn().is_err() {
                return;
            }
            let next = tokio::select! {
                next = heard.recv() => next,
                () = tokio::time::sleep(self.settings.look_every) => continue,
            };
            let Some(next) = next else { return };
            if self.take(next).is_err() {
                return;
            }
            // What waits is taken before the next question.
            while let Ok(next) = heard.try_recv() {
                if self.take(next).is_err() {
                    return;
                }
            }
        }
    }

    fn turn(&mut self) -> Result<(), Ended> {
        let now = (self.clock)();
        if self.day.is_over() {
            let Some(next) = first(self.calendar, Some(self.day.session().date), now) else {
                return self.fail(format!("the trading calendar ends on {}", self.calendar.horizon().1));
            };
            self.day = Day::new(next, self.symbols.len(), times(&self.settings));
            self.said.forget();
        }
        if let Some(event) = self.day.tick(now) {
            self.tell([event])?;
        }
        let listens = self.day.listens(now, EARLY);
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, listens) != listens);
        if self.asking || self.ask_after.is_some_and(|after| tokio::time::Instant::now() < after) {
            return Ok(());
        }
        let check = (!self.checked).then_some(Want::Actions);
        if let Some(want) = check.or_else(|| self.day.want(now, SYMBOLS_PER_QUESTION)) {
            self.ask(want);
        }
        Ok(())
    }

    fn ask(&mut self, want: Want) {
        self.asking = true;
        let (query, session) = (self.query(&want), self.day.session().date);
        let (rest, own) = (self.rest.clone(), self.own.clone());
        tokio::spawn(async move {
            let answer = match want {
                Want::Actions => rest.actions(query).await,
                Want::Minutes { .. } | Want::Bars => rest.bars(query).await,
            };
            // Nobody hears when the feed has ended.
            let _ = own.send(Heard::Answer(session, want, answer));
        });
    }

    fn query(&self, want: &Want) -> Query {
        let names = |of: &[InstrumentId]| {
            let names = of.iter().filter_map(|of| self.symbols.get(of.index())).map(Symbol::as_str);
            names.collect::<Vec<_>>().join(",")
        };
        let all: Vec<InstrumentId> = (0..).map(InstrumentId).take(self.symbols.len()).collect();
        let session = self.day.session();
        match want {
            Want::Actions => {
                let (before, after) = ACTIONS_AROUND;
                let day = |offset: i32| SessionDate::from_days(session.date.days() + offset).to_string();
                vec![("symbols", names(&all)), ("start", day(-before)), ("end", day(after))]
            }
            Want::Minutes { of, from, to } => vec![
                ("symbols", names(of)),
                ("timeframe", "1Min".to_owned()),
                ("start", self.day.start_of(*from).to_string()),
                // The end is part of it.
                ("end", self.day.start_of(to.saturating_sub(1)).to_string()),
                ("feed", self.settings.source.name().to_owned()),
            ],
            // A day's bar begins at midnight in New York, which lies in the hours before the open.
            Want::Bars => vec![
                ("symbols", names(&all)),
                ("timeframe", "1Day".to_owned()),
                ("start", Timestamp::from_nanos(session.open.nanos() - 12 * 60 * MINUTE).to_string()),
                ("end", session.open.to_string()),
                ("feed", self.settings.daily.name().to_owned()),
            ],
        }
    }

    fn take(&mut self, heard: Heard) -> Result<(), Ended> {
        match heard {
            Heard::ForGood(why) => self.fail(why),
            Heard::Minute(name, value) => self.minute(&name, value),
            Heard::Trade(name, value) => self.trade(&name, value),
            Heard::Answer(session, want, answer) => {
                self.asking = false;
                match answer {
                    Ok(rows) => self.answered(session, want, rows),
                    Err(Refused(why)) if !self.rest.has_answered() => self.fail(why),
                    Err(Refused(why)) => {
                        self.said.once("refused".to_owned(), || format!("Alpaca refuses an answer: {why}"));
                        match want {
                            // It will not say: that is an answer too, and the deadline counts.
                            Want::Bars => self.answered(session, want, Vec::new()),
                            Want::Actions | Want::Minutes { .. } => {
                                let wait = self.settings.reconnect_after.1;
                                self.ask_after = Some(tokio::time::Instant::now() + wait);
                                Ok(())
                            }
                        }
                    }
                }
            }
        }
    }

    fn answered(&mut self, session: SessionDate, want: Want, rows: Rows) -> Result<(), Ended> {
        self.checked = true;
        if session != self.day.session().date {
            return Ok(());
        }
        match want {
            Want::Actions => {
                let before = self.before(session);
                let (actions, left_out) = wire::actions(rows, &self.names, before, session);
                for sentence in left_out {
                    self.said.once(sentence.clone(), || sentence);
                }
                let events = self.day.actions(&actions);
                self.tell(events)
            }
            Want::Minutes { of, to, .. } => {
                let now = (self.clock)();
                let read = |(name, value): (String, Value)| self.read_minute(&name, value, now);
                let minutes: Vec<_> = rows.into_iter().filter_map(read).collect();
                let events = self.day.settle(&of, to, minutes);
                self.tell(events)
            }
            Want::Bars => {
                let mut bars: Vec<Bar> = Vec::new();
                for (name, value) in rows {
                    let bar = self.read_bar(&name, value);
                    bars.extend(bar.filter(|bar| bars.iter().all(|known| known.instrument != bar.instrument)));
                }
                let (events, missing) = self.day.bars((self.clock)(), bars);
                for instrument in missing {
                    let symbol = &self.symbols[instrument.index()];
                    self.said.say(format!("{symbol} traded on {session}, but Alpaca has no bar of that day in time"));
                }
                self.tell(events)
            }
        }
    }

    /// The session before one, or the day before the first.
    fn before(&self, session: SessionDate) -> SessionDate {
        let index = self.calendar.session(session).map(|session| session.index as usize).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| self.calendar.sessions().get(before));
        before.map_or(SessionDate::from_days(session.days() - 1), |before| before.date)
    }

    fn known(&self, name: &str) -> Option<InstrumentId> {
        let known = self.names.get(name).copied();
        if known.is_none() {
            let name: String = name.chars().filter(|letter| !letter.is_control()).take(24).collect();
            // Of strangers in general once: they may be many.
            self.said.once("stranger".to_owned(), || format!("prices of {name:?} come, which nobody asked for"));
        }
        known
    }

    fn leave_out(&self, what: &str, name: &str, why: &str) {
        let why: String = why.chars().take(200).collect();
        self.said.once(format!("{what} {name}"), || format!("a {what} of {name} is left out: {why}"));
    }

    /// A minute of the session that can be so.
    fn read_minute(&self, name: &str, value: Value, now: Timestamp) -> Option<(InstrumentId, usize, Minute)> {
        let instrument = self.known(name)?;
        let row = match Row::read(value) {
            Ok(row) => row,
            Err(why) => {
                self.leave_out("minute", name, &why);
                return None;
            }
        };
        if row.t.nanos().saturating_add(MINUTE - CLOCKS_APART_MAX) > now.nanos() {
            self.leave_out("minute to come", name, &format!("it begins at {}, and it is {now}", row.t));
            return None;
        }
        // Before and after the session there is trading too.
        let number = self.day.minute_of(row.t)?;
        if self.day.start_of(number) != row.t {
            self.leave_out("minute", name, &format!("none begins at {}", row.t));
            return None;
        }
        Some((instrument, number, Minute { price: row.c, volume: row.volume() }))
    }

    fn read_bar(&self, name: &str, value: Value) -> Option<Bar> {
        let instrument = self.known(name)?;
        let session = self.day.session().date;
        let row = match Row::read(value) {
            Ok(row) => row,
            Err(why) => {
                self.leave_out("day", name, &why);
                return None;
            }
        };
        let date = self.calendar.date_of(row.t);
        if date != session {
            self.leave_out("day", name, &format!("it is the bar of {date}, not of {session}"));
            return None;
        }
        let volume = row.volume();
        Some(Bar { instrument, session, open: row.o, high: row.h, low: row.l, close: row.c, volume })
    }

    fn minute(&mut self, name: &str, value: Value) -> Result<(), Ended> {
        let Some((instrument, number, minute)) = self.read_minute(name, value, (self.clock)()) else { return Ok(()) };
        let events = self.day.minute(instrument, number, minute);
        self.tell(events)
    }

    fn trade(&mut self, name: &str, value: Value) -> Result<(), Ended> {
        let Some(instrument) = self.known(name) else { return Ok(()) };
        let (at, price, volume) = match TradeRow::read(value) {
            Ok(Some(trade)) => trade,
            Ok(None) => return Ok(()),
            Err(why) => {
                self.leave_out("trade", name, &why);
                return Ok(());
            }
        };
        let now = (self.clock)();
        if at.nanos().saturating_sub(CLOCKS_APART_MAX) > now.nanos() {
            self.leave_out("trade to come", name, &format!("it is of {at}, and it is {now}"));
            return Ok(());
        }
        let events = self.day.trade(instrument, at, price, volume);
        self.tell(events)
    }

    fn tell(&self, events: impl IntoIterator<Item = Market>) -> Result<(), Ended> {
        events.into_iter().try_for_each(|event| self.tell.send(Ok(event)).map_err(|_| Ended))
    }

    fn fail(&self, why: String) -> Result<(), Ended> {
        let _ = self.tell.send(Err(FeedError(why)));
        Err(Ended)
    }
}

fn times(settings: &DataSettings) -> Times {
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    Times {
        settle_after: nanos(settings.settle_after),
        bars_after: nanos(settings.bars_after),
        bars_until: nanos(settings.bars_until),
        bars_every: MINUTE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_session_is_todays_or_the_next_or_the_one_after_what_was_told() {
        let first = |after: Option<&str>, now: &str| {
            let after = after.map(|after| SessionDate::parse(after).unwrap());
            first(Calendar::nyse(), after, Timestamp::parse(now).unwrap()).map(|session| session.date.to_string())
        };
        let some = |date: &str| Some(date.to_owned());
        assert_eq!(first(None, "2024-01-02T08:00:00Z"), some("2024-01-02"));
        assert_eq!(first(None, "2024-01-03T02:00:00Z"), some("2024-01-02"));
        assert_eq!(first(None, "2024-01-03T06:00:00Z"), some("2024-01-03"));
        assert_eq!(first(None, "2024-07-04T15:00:00Z"), some("2024-07-05"));
        assert_eq!(first(Some("2024-07-03"), "2024-07-09T15:00:00Z"), some("2024-07-05"));
        assert_eq!(first(Some("2024-07-09"), "2024-07-09T15:00:00Z"), some("2024-07-10"));
        assert_eq!(first(Some("2030-12-31"), "2024-07-09T15:00:00Z"), None);
    }
}
