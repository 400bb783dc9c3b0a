//! From a date's text to a session.

use std::sync::LazyLock;

use domain::{Calendar, CalendarError, SessionDate, Timestamp};

use super::extract::Broken;
use super::profile::DateFormat;

const NO_SESSION: i32 = i32::MIN;
const FIRST_YEAR: usize = 1990;

/// Days since 1970 of every session, by year, month and day as written.
static SESSIONS: LazyLock<Vec<i32>> = LazyLock::new(|| {
    let sessions = Calendar::nyse().sessions();
    let years = sessions.last().map_or(0, |last| last.date.year() as usize + 1 - FIRST_YEAR);
    let mut table = vec![NO_SESSION; years * 512];
    for session in sessions {
        let (year, month, day) = session.date.ymd();
        table[(year as usize - FIRST_YEAR) * 512 + month as usize * 32 + day as usize] = session.date.days();
    }
    table
});

static NEW_YORK: LazyLock<Option<jiff::tz::TimeZone>> =
    LazyLock::new(|| jiff::tz::TimeZone::get("America/New_York").ok());

/// What one reader of rows remembers about dates.
pub(super) struct Cache {
    format: DateFormat,
    sessions: &'static [i32],
    /// The first session that had not ended when the file was read.
    open: i32,
    last: Vec<u8>,
    last_date: SessionDate,
}

impl Cache {
    pub(super) fn new(format: DateFormat, now: Timestamp) -> Self {
        let sessions = Calendar::nyse().sessions();
        let ended = sessions.partition_point(|session| session.close <= now);
        let open = sessions.get(ended).map_or(i32::MAX, |session| session.date.days());
        Self { format, sessions: &SESSIONS, open, last: Vec::new(), last_date: SessionDate::from_days(0) }
    }

    /// The date of a plain text, if it is a session that has ended.
    #[inline]
    pub(super) fn session(&mut self, text: &[u8]) -> Option<SessionDate> {
        match self.format {
            DateFormat::Iso => {
                let text: &[u8; 10] = text.try_into().ok()?;
                if text[4] != b'-' || text[7] != b'-' {
                    return None;
                }
                self.listed([text[0], text[1], text[2], text[3], text[5], text[6], text[8], text[9]])
            }
            DateFormat::Yyyymmdd => self.listed(text.try_into().ok()?),
            _ => {
                if text == self.last.as_slice() && !text.is_empty() {
                    return Some(self.last_date);
                }
                let date = self.parse(std::str::from_utf8(text).ok()?)?;
                self.judge(date).ok()?;
                self.last.clear();
                self.last.extend_from_slice(text);
                self.last_date = date;
                Some(date)
            }
        }
    }

    #[inline]
    fn listed(&self, digits: [u8; 8]) -> Option<SessionDate> {
        let mut bad = 0;
        let d = digits.map(|byte| {
            let digit = byte.wrapping_sub(b'0');
            bad |= u8::from(digit > 9);
            usize::from(digit)
        });
        let year = d[0] * 1000 + d[1] * 100 + d[2] * 10 + d[3];
        let (month, day) = (d[4] * 10 + d[5], d[6] * 10 + d[7]);
        if bad != 0 || year < FIRST_YEAR || month > 12 || day > 31 {
            return None;
        }
        let days = *self.sessions.get((year - FIRST_YEAR) * 512 + month * 32 + day)?;
        (days != NO_SESSION && days < self.open).then(|| SessionDate::from_days(days))
    }

    /// The date of any text of the format.
    pub(super) fn parse(&self, text: &str) -> Option<SessionDate> {
        match self.format {
            DateFormat::Iso => SessionDate::parse(text).ok(),
            DateFormat::IsoDatetime => {
                let date = text.get(..10)?;
                midnight(&text[10..]).then(|| SessionDate::parse(date).ok()).flatten()
            }
            DateFormat::Yyyymmdd => {
                let number = |range: std::ops::Range<usize>| {
                    text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<u32>().ok()
                };
                if text.len() != 8 {
                    return None;
                }
                SessionDate::from_ymd(number(0..4)? as i32, number(4..6)?, number(6..8)?)
            }
            DateFormat::EpochNsExchange => {
                let at = jiff::Timestamp::from_nanosecond(i128::from(nanos(text)?)).ok()?;
                let date = NEW_YORK.as_ref()?.to_datetime(at).date();
                SessionDate::from_ymd(i32::from(date.year()), date.month() as u32, date.day() as u32)
            }
            DateFormat::UtcDay => match nanos(text) {
                Some(nanos) => i32::try_from(nanos.div_euclid(86_400_000_000_000)).ok().map(SessionDate::from_days),
                None => {
                    let date = text.get(..10)?;
                    let rest = &text[10..];
                    let utc = rest.is_empty() || rest.ends_with('Z') || rest.ends_with("+00:00");
                    (utc && midnight(rest)).then(|| SessionDate::parse(date).ok()).flatten()
                }
            },
        }
    }

    /// Whether a bar can have this date.
    pub(super) fn judge(&self, date: SessionDate) -> Result<(), Broken> {
        if date.days() >= self.open {
            return Err(Broken::new("future_date", date.to_string()));
        }
        match Calendar::nyse().session(date) {
            Ok(_) => Ok(()),
            Err(CalendarError::Closed(_)) => Err(Broken::new("off_session", date.to_string())),
            Err(CalendarError::OutsideHorizon { .. }) => Err(Broken::new("outside_calendar", date.to_string())),
        }
    }
}

fn nanos(text: &str) -> Option<i64> {
    // Fifteen digits are 1970-01-12 in nanoseconds: fewer would be seconds or milliseconds, or a plain date.
    let digits = text.strip_prefix('-').unwrap_or(text);
    (digits.len() > 15 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Whether what stands behind a date is nothing or a midnight, with or without a zone.
fn midnight(rest: &str) -> bool {
    if rest.is_empty() {
        return true;
    }
    let Some(time) = rest.strip_prefix(['T', ' ']) else { return false };
    let (clock, zone) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    let clock = clock.trim_end();
    let zone_reads = zone.is_empty()
        || zone == "Z"
        || zone.len() <= 6 && zone[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b':') && zone.len() >= 3;
    let shape: Vec<&str> = clock.split([':', '.']).collect();
    zone_reads
        && (2..=4).contains(&shape.len())
        && shape[..shape.len().min(3)].iter().all(|part| *part == "00")
        && shape.get(3).is_none_or(|part| !part.is_empty() && part.bytes().all(|byte| byte == b'0'))
}
