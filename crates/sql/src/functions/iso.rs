//! ISO 8601: dates by day, week or ordinal, and moments with an offset.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc, Weekday};

/// Reads `2012`, `2012-02`, `2012-02-29`, `2012-060`, `2012-W09` or `2012-W09-3`.
pub(crate) fn date(text: &str) -> Result<NaiveDate, String> {
    read_date(text).ok_or_else(|| format!("`{text}` is no ISO 8601 date such as 2012-02-29"))
}

fn read_date(text: &str) -> Option<NaiveDate> {
    if text.split('-').any(|part| part.is_empty() || part.contains(['+', ' '])) {
        return None;
    }
    let parts: Vec<&str> = text.split('-').collect();
    let (year, rest) = parts.split_first()?;
    let year = digits(year, 4)?;
    let year = i32::try_from(year).ok()?;
    match rest {
        [] => NaiveDate::from_ymd_opt(year, 1, 1),
        [part] if part.len() == 2 => NaiveDate::from_ymd_opt(year, digits(part, 2)?, 1),
        [part] if part.len() == 3 && !part.starts_with('W') => NaiveDate::from_yo_opt(year, digits(part, 3)?),
        [week] => NaiveDate::from_isoywd_opt(year, digits(week.strip_prefix('W')?, 2)?, Weekday::Mon),
        [week, day] if week.starts_with('W') => {
            let day = digits(day, 1)?.checked_sub(1)?;
            let weekday = Weekday::try_from(u8::try_from(day).ok()?).ok()?;
            NaiveDate::from_isoywd_opt(year, digits(week.strip_prefix('W')?, 2)?, weekday)
        }
        [month, day] => NaiveDate::from_ymd_opt(year, digits(month, 2)?, digits(day, 2)?),
        _ => None,
    }
}

fn digits(text: &str, count: usize) -> Option<u32> {
    let right = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// Reads a date, or a date and a time after `T`, with `Z`, an offset or (UTC) nothing behind.
pub(crate) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    read_instant(text).ok_or_else(|| format!("`{text}` is no ISO 8601 timestamp such as 2012-02-29T13:00:00Z"))
}

fn read_instant(text: &str) -> Option<DateTime<Utc>> {
    let Some((day, clock)) = text.split_once('T') else {
        return Some(read_date(text)?.and_time(NaiveTime::MIN).and_utc());
    };
    let day = read_date(day)?;
    let split = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(split);
    let local = day.and_time(read_clock(clock)?).and_utc();
    local.checked_sub_signed(Duration::minutes(offset_minutes(zone)?))
}

fn read_clock(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let part = |at: usize| parts.get(at).map_or(Some(0), |part| digits(part, 2));
    let whole = parts.len() == 3 || (parts.len() < 3 && !text.contains('.'));
    let known = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !whole || !known {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    NaiveTime::from_hms_nano_opt(part(0)?, part(1)?, part(2)?, nanos)
}

fn offset_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None => return Some(0),
        Some('Z') => return (zone == "Z").then_some(0),
        Some('+') => 1,
        Some(_) => -1,
    };
    let plain = zone[1..].replace(':', "");
    if !plain.is_ascii() {
        return None;
    }
    let (hours, minutes) = match plain.len() {
        2 => (digits(&plain, 2)?, 0),
        4 => (digits(&plain[..2], 2)?, digits(&plain[2..], 2)?),
        _ => return None,
    };
    (hours <= 14 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes))
}

/// Writes a moment with milliseconds, or microseconds where there are any.
pub(crate) fn print(time: NaiveDateTime, zone: bool) -> String {
    let pattern =
        if time.nanosecond().is_multiple_of(1_000_000) { "%Y-%m-%dT%H:%M:%S%.3f" } else { "%Y-%m-%dT%H:%M:%S%.6f" };
    let zone = if zone { "Z" } else { "" };
    format!("{}{zone}", time.format(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_by_day_week_and_ordinal_are_read() {
        for (text, day) in [
            ("2012-02-29", "2012-02-29"),
            ("2012-02", "2012-02-01"),
            ("2012", "2012-01-01"),
            ("2012-060", "2012-02-29"),
            ("2012-W09-3", "2012-02-29"),
            ("2012-W09", "2012-02-27"),
        ] {
            assert_eq!(date(text).unwrap().to_string(), day, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_or_moment_is_named() {
        for text in ["", "2012-2-9", "2011-02-29", "2012-W54", "29.2.2012", "2012-02-29 ", "+012-01-01", "é"] {
            assert!(date(text).unwrap_err().contains("ISO 8601"), "{text}");
        }
        for text in [
            "2012-01-01 10:00",
            "2012-01-01T25:00:00Z",
            "2012-01-01T1:00Z",
            "2012-01-01T10:00+99:00",
            "2012-01-01T10:00+aé1",
            "T",
            "é",
        ] {
            assert!(instant(text).unwrap_err().contains("ISO 8601"), "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_at_its_offset() {
        for (text, utc) in [
            ("2012-01-01T10:00:00Z", "2012-01-01T10:00:00.000Z"),
            ("2012-01-01T10:00:00.5-05:00", "2012-01-01T15:00:00.500Z"),
            ("2012-01-01T10+0530", "2012-01-01T04:30:00.000Z"),
            ("2012-01-01", "2012-01-01T00:00:00.000Z"),
            ("2012-01-01T00:00:00.000001Z", "2012-01-01T00:00:00.000001Z"),
        ] {
            assert_eq!(print(instant(text).unwrap().naive_utc(), true), utc, "{text}");
        }
    }
}
