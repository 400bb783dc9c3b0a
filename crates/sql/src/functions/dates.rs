//! Dates and timestamps.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Duration, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::arrow::array::{Array, ArrayRef, Date32Array, Float64Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::format::{self, Item};
use super::iso;
use super::kernel::{
    Kind, days, doubles, function, gives, integers, is_text, refuse, takes, texts, time_array, time_at, timestamp,
    timestamp_utc,
};

/// Every function of this file.
pub(super) fn all() -> Vec<ScalarUDF> {
    let mut functions = vec![
        parse("date_parse", format::mysql, timestamp()),
        parse("parse_datetime", format::joda, timestamp_utc()),
        print("date_format", format::mysql),
        print("format_datetime", format::joda),
        from_iso8601_date(),
        from_iso8601_timestamp(),
        to_iso8601(),
        date(),
        from_unixtime(),
        to_unixtime(),
        date_trunc(),
        date_add(),
        date_diff(),
        last_day_of_month(),
    ];
    functions.extend(fields());
    functions
}

type Pattern = fn(&str) -> std::result::Result<Vec<Item>, String>;

/// Keeps the last pattern, as nearly every query has one for all its rows.
struct Patterns {
    read: Pattern,
    last: Option<(String, Vec<Item>)>,
}

impl Patterns {
    fn get(&mut self, pattern: &str) -> Result<&[Item]> {
        if self.last.as_ref().is_none_or(|(text, _)| text != pattern) {
            let items = (self.read)(pattern).map_err(refuse)?;
            self.last = Some((pattern.to_owned(), items));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, items)| items))
    }
}

fn parse(name: &'static str, read: Pattern, result: DataType) -> ScalarUDF {
    let returned = result.clone();
    function(name, &[], takes(name, &[Kind::Text, Kind::Text], 0), gives(result), move |args, rows| {
        let (values, formats) = (texts(&args[0])?, texts(&args[1])?);
        let mut patterns = Patterns { read, last: None };
        let parsed = (0..rows).map(|row| {
            if values.is_null(row) || formats.is_null(row) {
                return Ok(None);
            }
            let (value, pattern) = (values.value(row), formats.value(row));
            format::parse(patterns.get(pattern)?, value)
                .map(Some)
                .ok_or_else(|| refuse(format!("{name}: `{value}` does not fit the pattern `{pattern}`")))
        });
        time_array(&returned, parsed)
    })
}

fn print(name: &'static str, read: Pattern) -> ScalarUDF {
    function(name, &[], takes(name, &[Kind::Time, Kind::Text], 0), gives(DataType::Utf8), move |args, rows| {
        let formats = texts(&args[1])?;
        let mut patterns = Patterns { read, last: None };
        let printed: StringArray = (0..rows)
            .map(|row| match time_at(&args[0], row)? {
                Some(time) if !formats.is_null(row) => Ok(Some(format::print(patterns.get(formats.value(row))?, time))),
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(printed))
    })
}

fn from_iso8601_date() -> ScalarUDF {
    let name = "from_iso8601_date";
    function(name, &[], takes(name, &[Kind::Text], 0), gives(DataType::Date32), |args, _| {
        let dates: Date32Array = texts(&args[0])?
            .iter()
            .map(|text| text.map(|text| iso::date(text).map_err(refuse).and_then(days)).transpose())
            .collect::<Result<_>>()?;
        Ok(Arc::new(dates))
    })
}

fn from_iso8601_timestamp() -> ScalarUDF {
    let name = "from_iso8601_timestamp";
    function(name, &[], takes(name, &[Kind::Text], 0), gives(timestamp_utc()), |args, _| {
        let moments = texts(&args[0])?.iter().map(|text| {
            text.map(|text| iso::instant(text).map(|moment| moment.naive_utc()).map_err(refuse)).transpose()
        });
        time_array(&timestamp_utc(), moments)
    })
}

fn to_iso8601() -> ScalarUDF {
    let name = "to_iso8601";
    function(name, &[], takes(name, &[Kind::Time], 0), gives(DataType::Utf8), |args, rows| {
        let plain_date = *args[0].data_type() == DataType::Date32;
        let zone = matches!(args[0].data_type(), DataType::Timestamp(_, Some(_)));
        let printed: StringArray = (0..rows)
            .map(|row| {
                Ok(time_at(&args[0], row)?.map(|time| match plain_date {
                    true => time.date().to_string(),
                    false => iso::print(time, zone),
                }))
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(printed))
    })
}

/// `date(x)` is `cast(x as date)`, of text too.
fn date() -> ScalarUDF {
    function(
        "date",
        &[],
        |types| match types {
            [text] if is_text(text) => Ok(vec![DataType::Utf8]),
            _ => takes("date", &[Kind::Time], 0)(types),
        },
        gives(DataType::Date32),
        |args, rows| {
            if let Ok(values) = texts(&args[0]) {
                let dates: Date32Array = values
                    .iter()
                    .map(|text| text.map(|text| iso::date(text).map_err(refuse).and_then(days)).transpose())
                    .collect::<Result<_>>()?;
                return Ok(Arc::new(dates));
            }
            time_array(&DataType::Date32, (0..rows).map(|row| time_at(&args[0], row)))
        },
    )
}

fn from_unixtime() -> ScalarUDF {
    let name = "from_unixtime";
    function(name, &[], takes(name, &[Kind::Double], 0), gives(timestamp_utc()), |args, _| {
        let moments = doubles(&args[0])?.iter().map(|seconds| {
            let Some(seconds) = seconds else {
                return Ok(None);
            };
            // Trino keeps milliseconds; the cast saturates and the calendar check refuses.
            #[expect(clippy::cast_possible_truncation, reason = "rounded, and checked by the calendar")]
            let millis = (seconds * 1e3).round() as i64;
            DateTime::from_timestamp_millis(millis)
                .filter(|_| seconds.is_finite())
                .map(|moment| Some(moment.naive_utc()))
                .ok_or_else(|| refuse(format!("from_unixtime: {seconds} lies outside the calendar")))
        });
        time_array(&timestamp_utc(), moments)
    })
}

fn to_unixtime() -> ScalarUDF {
    let name = "to_unixtime";
    function(name, &[], takes(name, &[Kind::Time], 0), gives(DataType::Float64), |args, rows| {
        let seconds: Float64Array = (0..rows)
            .map(|row| {
                #[expect(clippy::cast_precision_loss, reason = "a double is what Trino returns")]
                let seconds = |time: NaiveDateTime| time.and_utc().timestamp_micros() as f64 / 1e6;
                Ok(time_at(&args[0], row)?.map(seconds))
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(seconds))
    })
}

/// A date stays a date, every other moment keeps its type.
fn same_time(types: &[DataType], at: usize) -> Result<DataType> {
    match types.get(at) {
        Some(found) => Ok(found.clone()),
        None => plan_err!("an argument is missing"),
    }
}

/// A unit of `date_trunc`, `date_add` and `date_diff`.
#[derive(Clone, Copy)]
enum Unit {
    /// A fixed length in microseconds, at most a week.
    Fixed(i64),
    /// A number of months.
    Months(u32),
}

const DAY: i64 = 86_400_000_000;

fn unit(name: &str, text: &str, of_date: bool) -> Result<Unit> {
    let unit = match text.to_ascii_lowercase().as_str() {
        "millisecond" => Unit::Fixed(1_000),
        "second" => Unit::Fixed(1_000_000),
        "minute" => Unit::Fixed(60_000_000),
        "hour" => Unit::Fixed(3_600_000_000),
        "day" => Unit::Fixed(DAY),
        "week" => Unit::Fixed(7 * DAY),
        "month" => Unit::Months(1),
        "quarter" => Unit::Months(3),
        "year" => Unit::Months(12),
        _ => {
            return Err(refuse(format!(
                "{name}: `{text}` is no unit; use millisecond, second, minute, hour, day, week, month, quarter or year"
            )));
        }
    };
    match unit {
        Unit::Fixed(length) if of_date && length < DAY => {
            Err(refuse(format!("{name}: a date has no {text}; cast it to timestamp first")))
        }
        unit => Ok(unit),
    }
}

fn date_trunc() -> ScalarUDF {
    let name = "date_trunc";
    function(
        name,
        &[],
        takes(name, &[Kind::Text, Kind::Time], 0),
        |types| same_time(types, 1),
        move |args, rows| {
            let units = texts(&args[0])?;
            let of_date = *args[1].data_type() == DataType::Date32;
            let cut = (0..rows).map(|row| match time_at(&args[1], row)? {
                Some(time) if !units.is_null(row) => truncate(unit(name, units.value(row), of_date)?, time).map(Some),
                _ => Ok(None),
            });
            time_array(args[1].data_type(), cut)
        },
    )
}

fn truncate(unit: Unit, time: NaiveDateTime) -> Result<NaiveDateTime> {
    let out_of_range = || refuse(format!("date_trunc: {time} lies outside the calendar"));
    match unit {
        Unit::Fixed(length) => {
            let micros = time.and_utc().timestamp_micros();
            // 1970-01-01 was a Thursday; weeks start on Monday.
            let shift = if length == 7 * DAY { 3 * DAY } else { 0 };
            let cut = micros - (micros + shift).rem_euclid(length);
            DateTime::from_timestamp_micros(cut).map(|moment| moment.naive_utc()).ok_or_else(out_of_range)
        }
        Unit::Months(months) => {
            let month = time.month0() / months * months + 1;
            NaiveDate::from_ymd_opt(time.year(), month, 1)
                .map(|date| date.and_time(NaiveTime::MIN))
                .ok_or_else(out_of_range)
        }
    }
}

fn date_add() -> ScalarUDF {
    let name = "date_add";
    function(
        name,
        &[],
        takes(name, &[Kind::Text, Kind::Integer, Kind::Time], 0),
        |types| same_time(types, 2),
        move |args, rows| {
            let (units, counts) = (texts(&args[0])?, integers(&args[1])?);
            let of_date = *args[2].data_type() == DataType::Date32;
            let moved = (0..rows).map(|row| match time_at(&args[2], row)? {
                Some(time) if !units.is_null(row) && !counts.is_null(row) => {
                    let count = counts.value(row);
                    add(unit(name, units.value(row), of_date)?, count, time).map(Some).ok_or_else(|| {
                        refuse(format!("date_add: {time} and {count} {} lie outside the calendar", units.value(row)))
                    })
                }
                _ => Ok(None),
            });
            time_array(args[2].data_type(), moved)
        },
    )
}

/// Months keep the day where the month has it and take its last day otherwise.
fn add(unit: Unit, count: i64, time: NaiveDateTime) -> Option<NaiveDateTime> {
    match unit {
        Unit::Fixed(length) if length >= DAY => {
            let days = Days::new(count.unsigned_abs().checked_mul(u64::try_from(length / DAY).ok()?)?);
            if count < 0 { time.checked_sub_days(days) } else { time.checked_add_days(days) }
        }
        Unit::Fixed(length) => time.checked_add_signed(Duration::microseconds(count.checked_mul(length)?)),
        Unit::Months(months) => {
            let months = u32::try_from(count.unsigned_abs()).ok()?.checked_mul(months)?;
            let months = Months::new(months);
            if count < 0 { time.checked_sub_months(months) } else { time.checked_add_months(months) }
        }
    }
}

fn date_diff() -> ScalarUDF {
    let name = "date_diff";
    function(
        name,
        &[],
        takes(name, &[Kind::Text, Kind::Time, Kind::Time], 0),
        gives(DataType::Int64),
        move |args, rows| {
            let units = texts(&args[0])?;
            let of_date = args[1..].iter().all(|arg| *arg.data_type() == DataType::Date32);
            let differences: Int64Array = (0..rows)
                .map(|row| match (time_at(&args[1], row)?, time_at(&args[2], row)?) {
                    (Some(from), Some(to)) if !units.is_null(row) => {
                        Ok(Some(difference(unit(name, units.value(row), of_date)?, from, to)))
                    }
                    _ => Ok(None),
                })
                .collect::<Result<_>>()?;
            Ok(Arc::new(differences))
        },
    )
}

/// Whole units from the first moment to the second, negative when it lies before.
fn difference(unit: Unit, from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    match unit {
        Unit::Fixed(length) => {
            // From one end of the calendar to the other there are more microseconds than an i64 holds.
            let micros = |time: NaiveDateTime| i128::from(time.and_utc().timestamp_micros());
            i64::try_from((micros(to) - micros(from)) / i128::from(length)).unwrap_or(i64::MAX)
        }
        Unit::Months(months) if to < from => -whole_months(to, from) / i64::from(months),
        Unit::Months(months) => whole_months(from, to) / i64::from(months),
    }
}

/// Whole months between two moments in order; from the 31st to the last day of a shorter month is whole.
fn whole_months(from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    let index = |time: NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
    let last_day = to.date().num_days_in_month();
    let mut day = from.day();
    if to.day() == u32::from(last_day) && day > to.day() {
        day = to.day();
    }
    let unfinished = (day, from.time()) > (to.day(), to.time());
    index(to) - index(from) - i64::from(unfinished)
}

fn last_day_of_month() -> ScalarUDF {
    let name = "last_day_of_month";
    function(name, &[], takes(name, &[Kind::Time], 0), gives(DataType::Date32), |args, rows| {
        let last = (0..rows).map(|row| {
            Ok(time_at(&args[0], row)?.map(|time| {
                let day = u32::from(time.date().num_days_in_month());
                time.date().with_day(day).unwrap_or(time.date()).and_time(NaiveTime::MIN)
            }))
        });
        time_array(&DataType::Date32, last)
    })
}

type Field = (&'static str, &'static [&'static str], fn(NaiveDateTime) -> i64);

fn fields() -> Vec<ScalarUDF> {
    let fields: [Field; 12] = [
        ("year", &[], |time| i64::from(time.year())),
        ("quarter", &[], |time| i64::from(time.month0() / 3 + 1)),
        ("month", &[], |time| i64::from(time.month())),
        ("week", &["week_of_year"], |time| i64::from(time.iso_week().week())),
        ("year_of_week", &["yow"], |time| i64::from(time.iso_week().year())),
        ("day", &["day_of_month"], |time| i64::from(time.day())),
        ("day_of_week", &["dow"], |time| i64::from(time.weekday().number_from_monday())),
        ("day_of_year", &["doy"], |time| i64::from(time.ordinal())),
        ("hour", &[], |time| i64::from(time.hour())),
        ("minute", &[], |time| i64::from(time.minute())),
        ("second", &[], |time| i64::from(time.second())),
        ("millisecond", &[], |time| i64::from(time.nanosecond() / 1_000_000)),
    ];
    fields
        .into_iter()
        .map(|(name, aliases, read)| {
            function(
                name,
                aliases,
                takes(name, &[Kind::Time], 0),
                gives(DataType::Int64),
                move |args: &[ArrayRef], rows| {
                    let values: Int64Array =
                        (0..rows).map(|row| Ok(time_at(&args[0], row)?.map(read))).collect::<Result<_>>()?;
                    Ok(Arc::new(values))
                },
            )
        })
        .collect()
}
