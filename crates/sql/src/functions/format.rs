//! Date patterns in two dialects, MySQL's (`%Y-%m-%d`) and Joda's (`yyyy-MM-dd`), over one list of items.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Literal(String),
    /// Four digits.
    Year,
    /// Two digits, 1970 to 2069.
    YearOfCentury,
    WeekYear,
    /// The numbers below carry their least width.
    Month(usize),
    MonthName,
    MonthShort,
    Day(usize),
    DayOfYear,
    Week,
    WeekdayName,
    WeekdayShort,
    Hour24(usize),
    Hour12(usize),
    Minute(usize),
    Second(usize),
    /// Digits of a second.
    Fraction(usize),
    HalfDay,
    /// Always UTC here: `Z`.
    Zone,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Reads a pattern of `date_parse` and `date_format`.
pub(super) fn mysql(pattern: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut literal = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let Some(specifier) = chars.next() else {
            return Err(format!("the pattern `{pattern}` ends in a lone %"));
        };
        let found: Vec<Item> = match specifier {
            'Y' => vec![Item::Year],
            'y' => vec![Item::YearOfCentury],
            'x' => vec![Item::WeekYear],
            'm' => vec![Item::Month(2)],
            'c' => vec![Item::Month(1)],
            'M' => vec![Item::MonthName],
            'b' => vec![Item::MonthShort],
            'd' => vec![Item::Day(2)],
            'e' => vec![Item::Day(1)],
            'j' => vec![Item::DayOfYear],
            'v' => vec![Item::Week],
            'W' => vec![Item::WeekdayName],
            'a' => vec![Item::WeekdayShort],
            'H' => vec![Item::Hour24(2)],
            'k' => vec![Item::Hour24(1)],
            'h' | 'I' => vec![Item::Hour12(2)],
            'l' => vec![Item::Hour12(1)],
            'i' => vec![Item::Minute(2)],
            's' | 'S' => vec![Item::Second(2)],
            'f' => vec![Item::Fraction(6)],
            'p' => vec![Item::HalfDay],
            'T' => time(Item::Hour24(2), false),
            'r' => time(Item::Hour12(2), true),
            'D' | 'U' | 'u' | 'V' | 'w' | 'X' => {
                return Err(format!("%{specifier} is not supported in a date pattern"));
            }
            // As in MySQL and Trino: %% is %, and any other letter is itself.
            other => {
                literal.push(other);
                continue;
            }
        };
        flush(&mut items, &mut literal);
        items.extend(found);
    }
    flush(&mut items, &mut literal);
    Ok(items)
}

fn time(hour: Item, half_day: bool) -> Vec<Item> {
    let colon = || Item::Literal(":".to_owned());
    let mut items = vec![hour, colon(), Item::Minute(2), colon(), Item::Second(2)];
    if half_day {
        items.extend([Item::Literal(" ".to_owned()), Item::HalfDay]);
    }
    items
}

fn flush(items: &mut Vec<Item>, literal: &mut String) {
    if !literal.is_empty() {
        items.push(Item::Literal(std::mem::take(literal)));
    }
}

/// Reads a pattern of `format_datetime` and `parse_datetime`.
pub(super) fn joda(pattern: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut literal = String::new();
    let chars: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c == '\'' {
            at =
                quoted(&chars, at, &mut literal).ok_or_else(|| format!("the pattern `{pattern}` has an open quote"))?;
            continue;
        }
        if !c.is_ascii_alphabetic() {
            literal.push(c);
            at += 1;
            continue;
        }
        let width = chars[at..].iter().take_while(|&&next| next == c).count();
        at += width;
        flush(&mut items, &mut literal);
        items.push(match (c, width) {
            ('y' | 'Y', 2) => Item::YearOfCentury,
            ('y' | 'Y', _) => Item::Year,
            ('x', _) => Item::WeekYear,
            ('M', 1 | 2) => Item::Month(width),
            ('M', 3) => Item::MonthShort,
            ('M', _) => Item::MonthName,
            ('d', _) => Item::Day(width),
            ('D', _) => Item::DayOfYear,
            ('w', _) => Item::Week,
            ('E', 1..=3) => Item::WeekdayShort,
            ('E', _) => Item::WeekdayName,
            ('H', _) => Item::Hour24(width),
            ('h', _) => Item::Hour12(width),
            ('m', _) => Item::Minute(width),
            ('s', _) => Item::Second(width),
            ('S', 1..=9) => Item::Fraction(width),
            ('a', _) => Item::HalfDay,
            ('Z', _) => Item::Zone,
            _ => {
                let found: String = std::iter::repeat_n(c, width).collect();
                return Err(format!("`{found}` is not supported in a date pattern"));
            }
        });
    }
    flush(&mut items, &mut literal);
    Ok(items)
}

/// Copies a quoted text (`''` is a quote) and returns where it ends.
fn quoted(chars: &[char], start: usize, literal: &mut String) -> Option<usize> {
    let mut at = start + 1;
    if chars.get(at) == Some(&'\'') {
        literal.push('\'');
        return Some(at + 1);
    }
    loop {
        match (chars.get(at)?, chars.get(at + 1)) {
            ('\'', Some('\'')) => {
                literal.push('\'');
                at += 2;
            }
            ('\'', _) => return Some(at + 1),
            (c, _) => {
                literal.push(*c);
                at += 1;
            }
        }
    }
}

/// Writes a moment.
pub(super) fn print(items: &[Item], time: NaiveDateTime) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    for item in items {
        // Writing to a String cannot fail.
        let _ = match item {
            Item::Literal(text) => write!(out, "{text}"),
            Item::Year => write!(out, "{:04}", time.year()),
            Item::YearOfCentury => write!(out, "{:02}", time.year().rem_euclid(100)),
            Item::WeekYear => write!(out, "{:04}", time.iso_week().year()),
            Item::Month(width) => write!(out, "{:0width$}", time.month()),
            Item::MonthName => write!(out, "{}", MONTHS[time.month0() as usize]),
            Item::MonthShort => write!(out, "{}", &MONTHS[time.month0() as usize][..3]),
            Item::Day(width) => write!(out, "{:0width$}", time.day()),
            Item::DayOfYear => write!(out, "{:03}", time.ordinal()),
            Item::Week => write!(out, "{:02}", time.iso_week().week()),
            Item::WeekdayName => write!(out, "{}", weekday(time)),
            Item::WeekdayShort => write!(out, "{}", &weekday(time)[..3]),
            Item::Hour24(width) => write!(out, "{:0width$}", time.hour()),
            Item::Hour12(width) => write!(out, "{hour12:0width$}"),
            Item::Minute(width) => write!(out, "{:0width$}", time.minute()),
            Item::Second(width) => write!(out, "{:0width$}", time.second()),
            Item::Fraction(digits) => {
                let nanos = format!("{:09}", time.nanosecond() % 1_000_000_000);
                write!(out, "{}", &nanos[..(*digits).min(9)])
            }
            Item::HalfDay => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
            Item::Zone => write!(out, "Z"),
        };
    }
    out
}

fn weekday(time: NaiveDateTime) -> &'static str {
    WEEKDAYS[time.weekday().num_days_from_monday() as usize]
}

/// What a text said, before it is put together.
#[derive(Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    ordinal: Option<u32>,
    week_year: Option<i32>,
    week: Option<u32>,
    weekday: Option<u32>,
    hour24: Option<u32>,
    hour12: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
}

/// Reads a moment; what the pattern leaves out is that of 1970-01-01 00:00:00. Nothing may be left over.
pub(super) fn parse(items: &[Item], text: &str) -> Option<NaiveDateTime> {
    let mut rest = text;
    let mut fields = Fields::default();
    for item in items {
        match item {
            Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Item::Year => fields.year = Some(number(&mut rest, 4)?),
            Item::WeekYear => fields.week_year = Some(number(&mut rest, 4)?),
            Item::YearOfCentury => {
                let year: i32 = number(&mut rest, 2)?;
                fields.year = Some(if year < 70 { 2000 + year } else { 1900 + year });
            }
            Item::Month(_) => fields.month = Some(number(&mut rest, 2)?),
            Item::MonthName | Item::MonthShort => fields.month = Some(name(&mut rest, &MONTHS)? + 1),
            Item::Day(_) => fields.day = Some(number(&mut rest, 2)?),
            Item::DayOfYear => fields.ordinal = Some(number(&mut rest, 3)?),
            Item::Week => fields.week = Some(number(&mut rest, 2)?),
            Item::WeekdayName | Item::WeekdayShort => {
                fields.weekday = Some(name(&mut rest, &WEEKDAYS)?);
            }
            Item::Hour24(_) => fields.hour24 = Some(number(&mut rest, 2)?),
            Item::Hour12(_) => fields.hour12 = Some(number(&mut rest, 2)?),
            Item::Minute(_) => fields.minute = number(&mut rest, 2)?,
            Item::Second(_) => fields.second = number(&mut rest, 2)?,
            Item::Fraction(_) => {
                let digits = rest.bytes().take(9).take_while(u8::is_ascii_digit).count();
                let value: u32 = number(&mut rest, 9)?;
                fields.nanos = value * 10_u32.pow(u32::try_from(9 - digits).ok()?);
            }
            Item::HalfDay => {
                let half = rest.get(..2)?.to_ascii_uppercase();
                fields.afternoon = Some(match half.as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                rest = &rest[2..];
            }
            Item::Zone => rest = rest.strip_prefix('Z').or_else(|| rest.strip_prefix("+0000"))?,
        }
    }
    if !rest.is_empty() {
        return None;
    }
    Some(fields.date()?.and_time(fields.time()?))
}

impl Fields {
    fn date(&self) -> Option<NaiveDate> {
        let year = self.year.unwrap_or(1970);
        if let Some(ordinal) = self.ordinal {
            return NaiveDate::from_yo_opt(year, ordinal);
        }
        if let (Some(year), Some(week)) = (self.week_year.or(self.year), self.week) {
            let weekday = Weekday::try_from(u8::try_from(self.weekday.unwrap_or(0)).ok()?).ok()?;
            return NaiveDate::from_isoywd_opt(year, week, weekday);
        }
        NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }

    fn time(&self) -> Option<NaiveTime> {
        let hour = match (self.hour24, self.hour12) {
            (Some(hour), _) => hour,
            (None, Some(hour)) if (1..=12).contains(&hour) => {
                hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 }
            }
            (None, Some(_)) => return None,
            (None, None) => 0,
        };
        NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)
    }
}

/// Takes one to `digits_max` digits.
fn number<T: std::str::FromStr>(rest: &mut &str, digits_max: usize) -> Option<T> {
    let digits = rest.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
    let value = rest[..digits].parse().ok()?;
    *rest = &rest[digits..];
    Some(value)
}

/// Takes a name, in full or its first three letters, in any case.
fn name(rest: &mut &str, names: &[&str]) -> Option<u32> {
    let starts = |prefix: &str| rest.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    let (at, length) = names.iter().enumerate().find_map(|(at, name)| {
        if starts(name) {
            Some((at, name.len()))
        } else if starts(&name[..3]) {
            Some((at, 3))
        } else {
            None
        }
    })?;
    *rest = &rest[length..];
    u32::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(items: &[Item], text: &str) -> Option<String> {
        parse(items, text).map(|time| print(items, time))
    }

    #[test]
    fn every_supported_specifier_reads_what_it_writes() {
        for (pattern, text) in [
            ("%Y-%m-%d", "2012-02-29"),
            ("%Y%m%d", "20120229"),
            ("%c/%e/%y", "2/9/99"),
            ("%d %b %Y", "09 Feb 2012"),
            ("%W %d %M %Y", "Thursday 09 February 2012"),
            ("%a, %d %b %Y %T", "Thu, 09 Feb 2012 13:04:05"),
            ("%Y-%j", "2012-060"),
            ("%x-%v", "2012-09"),
            ("%H:%i:%s.%f", "13:04:05.000250"),
            ("%r", "01:04:05 PM"),
            ("%l %p", "12 AM"),
            ("%k|%i", "3|07"),
            ("100%% %Y", "100% 2012"),
        ] {
            let items = mysql(pattern).unwrap();
            assert_eq!(round_trip(&items, text).as_deref(), Some(text), "{pattern}");
        }
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2012-02-29 13:04:05.250"),
            ("EEEE, d MMMM yyyy", "Thursday, 9 February 2012"),
            ("E d MMM yy", "Thu 9 Feb 12"),
            ("h 'o''clock' a", "3 o'clock PM"),
            ("yyyyMMdd'T'HHmmssZ", "20120229T130405Z"),
        ] {
            let items = joda(pattern).unwrap();
            assert_eq!(round_trip(&items, text).as_deref(), Some(text), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_date_is_not_read() {
        let items = mysql("%Y-%m-%d").unwrap();
        for text in ["", "2012", "2012-13-01", "2012-02-30", "2012-01-01x", "é012-01-01", "-1-1-1"] {
            assert_eq!(parse(&items, text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_specifier_is_named() {
        assert!(mysql("%Y %U").unwrap_err().contains("%U"));
        assert!(mysql("%").unwrap_err().contains("lone %"));
        assert!(joda("yyyy GG").unwrap_err().contains("GG"));
        assert!(joda("'open").unwrap_err().contains("open quote"));
    }
}
