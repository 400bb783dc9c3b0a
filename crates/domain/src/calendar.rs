//! Trading sessions of an exchange, from a table of exceptions to its weekly rule.
//!
//! Every weekday is a session from 09:30 to 16:00 in New York unless the table says otherwise; outside the table's
//! horizon nothing is known, and asking is an error, not a guess.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::time::{SessionDate, Timestamp};

/// One trading day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The exchange-local date.
    pub date: SessionDate,
    /// When continuous trading starts.
    pub open: Timestamp,
    /// When it ends; earlier on the eve of some holidays.
    pub close: Timestamp,
    /// Position in the calendar: the previous session has `index - 1`.
    pub index: u32,
}

/// Why a date is not a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The exchange is closed: a weekend or a holiday.
    #[error("{0} is not a trading session")]
    Closed(SessionDate),
    /// The calendar says nothing about the date.
    #[error("{date} is outside the trading calendar ({first} to {last})")]
    OutsideHorizon {
        /// The date asked about.
        date: SessionDate,
        /// First date of the calendar.
        first: SessionDate,
        /// Last date of the calendar.
        last: SessionDate,
    },
}

/// A table of exceptions could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar line {line}: {problem}")]
pub struct CalendarTableError {
    /// One-based line of the table.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

const CLOSED: u32 = u32::MAX;

/// The sessions of one exchange over a horizon.
#[derive(Debug, Clone)]
pub struct Calendar {
    name: &'static str,
    first: SessionDate,
    zone: jiff::tz::TimeZone,
    sessions: Vec<Session>,
    /// Session index by days since `first`.
    by_day: Vec<u32>,
}

static NYSE: LazyLock<Calendar> = LazyLock::new(|| {
    let table = include_str!("../../../data/calendar/nyse_exceptions_1990_2030.csv");
    #[expect(clippy::expect_used, reason = "the table is compiled in and a test reads it")]
    Calendar::from_exceptions("XNYS", table, 1990, 2030).expect("the committed calendar is well formed")
});

impl Calendar {
    /// The New York Stock Exchange (MIC `XNYS`), 1990 to 2030; the sessions of Nasdaq are the same.
    #[must_use]
    pub fn nyse() -> &'static Self {
        &NYSE
    }

    /// Builds a calendar from `date,kind,open_local,close_local,source` lines.
    ///
    /// # Errors
    /// A line that cannot be read, with its number.
    pub fn from_exceptions(
        name: &'static str,
        table: &str,
        first_year: i32,
        last_year: i32,
    ) -> Result<Self, CalendarTableError> {
        let bad = |line, problem| CalendarTableError { line, problem };
        let zone = jiff::tz::TimeZone::get("America/New_York").map_err(|_| bad(0, "no time zone data for New York"))?;
        let mut exceptions = std::collections::BTreeMap::new();
        for (at, line) in table.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
            let line_number = at + 1;
            let mut fields = line.split(',');
            let mut next = || fields.next().unwrap_or_default();
            let date = SessionDate::parse(next()).map_err(|_| bad(line_number, "bad date"))?;
            let (kind, open, close) = (next(), next(), next());
            let time = |text: &str, usual| {
                if text.is_empty() { Ok(usual) } else { minutes(text).ok_or(bad(line_number, "bad time of day")) }
            };
            let hours = match kind {
                "closed" => None,
                "early_close" | "late_open" => Some((time(open, USUAL.0)?, time(close, USUAL.1)?)),
                _ => return Err(bad(line_number, "unknown kind")),
            };
            // A day can both open late and close early; the table has a line for each.
            let merged = match (exceptions.get(&date), hours) {
                (Some(Some((o, c))), Some((open, close))) => Some((open.max(*o), close.min(*c))),
                _ => hours,
            };
            exceptions.insert(date, merged);
        }
        let edge = |year, month, day| SessionDate::from_ymd(year, month, day).ok_or(bad(0, "bad horizon"));
        let (first, last) = (edge(first_year, 1, 1)?, edge(last_year, 12, 31)?);
        let mut calendar = Self { name, first, zone, sessions: Vec::new(), by_day: Vec::new() };
        for day in first.days()..=last.days() {
            let date = SessionDate::from_days(day);
            let hours = exceptions.get(&date).copied().unwrap_or((date.weekday() < 5).then_some(USUAL));
            let Some((open, close)) = hours else {
                calendar.by_day.push(CLOSED);
                continue;
            };
            let instant = |minutes: i32| -> Option<Timestamp> {
                let (year, month, day) = date.ymd();
                let civil = jiff::civil::date(year as i16, month as i8, day as i8).at(
                    (minutes / 60) as i8,
                    (minutes % 60) as i8,
                    0,
                    0,
                );
                let instant = calendar.zone.to_timestamp(civil).ok()?;
                i64::try_from(instant.as_nanosecond()).ok().map(Timestamp::from_nanos)
            };
            let (Some(open), Some(close)) = (instant(open), instant(close)) else {
                return Err(bad(0, "a session lies outside representable time"));
            };
            let index = calendar.sessions.len() as u32;
            calendar.sessions.push(Session { date, open, close, index });
            calendar.by_day.push(index);
        }
        Ok(calendar)
    }

    /// Market identifier code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// First and last date of the horizon.
    #[must_use]
    pub fn horizon(&self) -> (SessionDate, SessionDate) {
        (self.first, SessionDate::from_days(self.first.days() + self.by_day.len() as i32 - 1))
    }

    /// The session of a date.
    ///
    /// # Errors
    /// [`CalendarError`] when the exchange is closed or the date lies outside the horizon.
    #[inline]
    pub fn session(&self, date: SessionDate) -> Result<&Session, CalendarError> {
        match self.by_day.get((i64::from(date.days()) - i64::from(self.first.days())) as usize) {
            Some(&CLOSED) => Err(CalendarError::Closed(date)),
            Some(&index) => Ok(&self.sessions[index as usize]),
            None => {
                let (first, last) = self.horizon();
                Err(CalendarError::OutsideHorizon { date, first, last })
            }
        }
    }

    /// The civil date at the exchange at an instant.
    #[must_use]
    pub fn date_of(&self, at: Timestamp) -> SessionDate {
        let seconds = at.nanos().div_euclid(1_000_000_000);
        let offset = jiff::Timestamp::from_second(seconds).map_or(0, |at| self.zone.to_offset(at).seconds());
        SessionDate::from_days((seconds + i64::from(offset)).div_euclid(86_400) as i32)
    }

    /// All sessions, in order.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }
}

const USUAL: (i32, i32) = (9 * 60 + 30, 16 * 60);

fn minutes(text: &str) -> Option<i32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (i32, i32) = (hour.parse().ok()?, minute.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> SessionDate {
        SessionDate::parse(text).unwrap()
    }

    #[test]
    fn knows_holidays_early_closes_and_daylight_saving() {
        let nyse = Calendar::nyse();
        assert_eq!(nyse.session(date("2001-09-11")), Err(CalendarError::Closed(date("2001-09-11"))));
        assert_eq!(nyse.session(date("2013-03-02")), Err(CalendarError::Closed(date("2013-03-02"))));
        let winter = nyse.session(date("2013-03-01")).unwrap();
        assert_eq!(
            (winter.open.to_string(), winter.close.to_string()),
            ("2013-03-01T14:30:00Z".into(), "2013-03-01T21:00:00Z".into())
        );
        assert_eq!(nyse.session(date("2013-07-02")).unwrap().close.to_string(), "2013-07-02T20:00:00Z");
        assert_eq!(nyse.session(date("2013-07-03")).unwrap().close.to_string(), "2013-07-03T17:00:00Z");
    }

    #[test]
    fn outside_the_horizon_is_an_error() {
        for text in ["1989-12-29", "2031-01-02", "0001-01-01", "9999-12-31"] {
            assert!(
                matches!(Calendar::nyse().session(date(text)), Err(CalendarError::OutsideHorizon { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn a_year_has_about_252_sessions_in_order() {
        let nyse = Calendar::nyse();
        for year in 1990..=2030 {
            let count = nyse.sessions().iter().filter(|session| session.date.year() == year).count();
            assert!((248..=254).contains(&count), "{year}: {count}");
        }
        assert!(
            nyse.sessions().windows(2).all(|pair| pair[0].close < pair[1].open && pair[0].index + 1 == pair[1].index)
        );
    }

    #[test]
    fn a_bad_table_names_its_line() {
        let error = Calendar::from_exceptions("X", "date,kind\n2000-01-03,maybe,,,", 2000, 2000).unwrap_err();
        assert_eq!(error.to_string(), "calendar line 2: unknown kind");
    }

    #[test]
    fn the_date_is_the_one_in_new_york_in_winter_and_in_summer() {
        let date = |text: &str| Calendar::nyse().date_of(Timestamp::parse(text).unwrap()).to_string();
        assert_eq!(date("2013-03-01T23:30:00Z"), "2013-03-01");
        assert_eq!(date("2013-03-02T04:59:59Z"), "2013-03-01");
        assert_eq!(date("2013-03-02T05:00:00Z"), "2013-03-02");
        assert_eq!(date("2013-07-02T03:59:59Z"), "2013-07-01");
        assert_eq!(date("2013-07-02T04:00:00Z"), "2013-07-02");
    }
}
