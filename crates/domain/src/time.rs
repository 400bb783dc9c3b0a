//! Instants and civil dates.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text is not a civil date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date of the form YYYY-MM-DD")]
pub struct ParseDateError;

/// A text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2024-01-31T21:00:00Z (RFC 3339)")]
pub struct ParseTimestampError;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest instant.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Microseconds since the epoch, rounded down: the precision the lake stores.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// From microseconds since the epoch; saturates.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// From RFC 3339 text.
    ///
    /// # Errors
    /// The text is not an instant, or lies outside 1677 to 2262.
    pub fn parse(text: &str) -> Result<Self, ParseTimestampError> {
        let instant: jiff::Timestamp = text.trim().parse().map_err(|_| ParseTimestampError)?;
        i64::try_from(instant.as_nanosecond()).map(Self).map_err(|_| ParseTimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// An exchange-local civil date: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionDate(i32);

impl SessionDate {
    /// From days since 1970-01-01.
    #[must_use]
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// From year (0 to 9999), month and day; `None` when there is no such date.
    #[inline]
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(leap),
            _ => return None,
        };
        if !(0..=9999).contains(&year) || day == 0 || day > length {
            return None;
        }
        // Days in a calendar whose years start in March, so that the leap day is the last one (Hinnant).
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (month as i32 + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Self(era * 146_097 + day_of_era - 719_468))
    }

    /// Year, month and day.
    #[must_use]
    pub fn ymd(self) -> (i32, u32, u32) {
        let days = i64::from(self.0) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year as i32, month as u32, day as u32)
    }

    /// Calendar year.
    #[must_use]
    pub fn year(self) -> i32 {
        self.ymd().0
    }

    /// Monday is 0, Sunday is 6.
    #[must_use]
    pub fn weekday(self) -> u32 {
        (i64::from(self.0) + 3).rem_euclid(7) as u32
    }

    /// From `YYYY-MM-DD`.
    ///
    /// # Errors
    /// The text has another form, or there is no such date.
    #[inline]
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseDateError> {
        let text: &[u8; 10] = text.as_ref().try_into().map_err(|_| ParseDateError)?;
        if text[4] != b'-' || text[7] != b'-' {
            return Err(ParseDateError);
        }
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0_u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
        };
        match (number(&text[..4]), number(&text[5..7]), number(&text[8..])) {
            (Some(year), Some(month), Some(day)) => Self::from_ymd(year as i32, month, day).ok_or(ParseDateError),
            _ => Err(ParseDateError),
        }
    }
}

impl fmt::Display for SessionDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        f.pad(&format!("{year:04}-{month:02}-{day:02}"))
    }
}

impl Serialize for SessionDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_of_two_centuries_agrees_with_jiff() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut date = jiff::civil::date(1890, 1, 1);
        while date.year() < 2110 {
            let ours = SessionDate::from_ymd(i32::from(date.year()), date.month() as u32, date.day() as u32).unwrap();
            assert_eq!(ours.days(), (date - epoch).get_days(), "{date}");
            assert_eq!(ours.to_string(), date.to_string());
            assert_eq!(SessionDate::parse(ours.to_string()), Ok(ours));
            assert_eq!(ours.weekday() as i8, date.weekday().to_monday_zero_offset());
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn refuses_dates_that_do_not_exist() {
        for text in ["2001-02-29", "2000-13-01", "2000-00-10", "2000-01-00", "2000/01/01", "20000101", "", "2000-01-1x"]
        {
            assert_eq!(SessionDate::parse(text), Err(ParseDateError), "{text}");
        }
    }

    #[test]
    fn instants_read_and_print_as_rfc_3339() {
        let at = Timestamp::parse("2013-03-01T16:00:00-05:00").unwrap();
        assert_eq!(at.to_string(), "2013-03-01T21:00:00Z");
        assert!(Timestamp::parse("2013-03-01").is_err());
    }
}
