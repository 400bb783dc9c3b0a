//! Instants as FIX writes them: `20240131-21:00:00.123`, in UTC.

use domain::{SessionDate, Timestamp};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// With milliseconds, the most that 4.4 allows.
pub(super) fn format(at: Timestamp) -> String {
    let (days, rest) = (at.nanos().div_euclid(DAY), at.nanos().rem_euclid(DAY));
    let (second, millis) = (rest / SECOND, rest % SECOND / 1_000_000);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{}-{hour:02}:{minute:02}:{second:02}.{millis:03}", day(days))
}

/// The date alone.
pub(super) fn date(at: Timestamp) -> String {
    day(at.nanos().div_euclid(DAY))
}

fn day(days: i64) -> String {
    let (year, month, day) = SessionDate::from_days(i32::try_from(days).unwrap_or_default()).ymd();
    format!("{year:04}{month:02}{day:02}")
}

/// With any number of digits behind the second, as later versions write them.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let digits = |text: &str, range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
    };
    let colons = time.len() == 8 && time.as_bytes()[2] == b':' && time.as_bytes()[5] == b':';
    if date.len() != 8 || !colons || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let days = SessionDate::from_ymd(digits(date, 0..4)? as i32, digits(date, 4..6)?, digits(date, 6..8)?)?.days();
    let (hour, minute, second) = (digits(time, 0..2)?, digits(time, 3..5)?, digits(time, 6..8)?);
    // A leap second is the one after it here.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    let nanos: i64 =
        fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    let days = i64::from(days).checked_mul(DAY)?;
    days.checked_add(seconds * SECOND + nanos).map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written() {
        let at = Timestamp::parse("2024-02-29T21:00:59.123Z").unwrap();
        assert_eq!(format(at), "20240229-21:00:59.123");
        assert_eq!(parse("20240229-21:00:59.123"), Some(at));
        assert_eq!(parse("20240229-21:00:59"), Some(Timestamp::from_nanos(at.nanos() - 123_000_000)));
        assert_eq!(parse("20240229-21:00:59.123456789").map(Timestamp::nanos), Some(at.nanos() + 456_789));
        assert_eq!(date(at), "20240229");
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "20240230-00:00:00",
            "20240101-24:00:00",
            "2024-01-01T00:00:00Z",
            "20240101-00:00:00.x",
            "99999999-00:00:00",
            "20240101-1:00:000",
            "+0240101-00:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
