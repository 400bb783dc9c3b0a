//! From the bytes of a row to its values: a fast way for plain rows and a patient way for all others.
//!
//! The fast way only ever accepts what the patient way would read as the same values; whatever surprises it (a quote,
//! a space, an exponent, a date that is no session) goes the patient way, which also finds the words for a refusal.

use std::borrow::Cow;

use domain::{ParseDecimalError, Price, SessionDate};

use super::dates;
use super::layout::{Layout, Role};
use super::profile::{DateFormat, PriceText};
use super::scan::{billionths, field_end, number};
use super::symbols::Symbols;

/// Rows longer than this are refused unread.
pub(super) const LONGEST_ROW: usize = 64 << 10;

/// A row's values, read but not judged; amounts in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) symbol: u32,
    pub(super) date: SessionDate,
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
    pub(super) close: i64,
    pub(super) volume: i64,
    pub(super) volume_cut: bool,
    pub(super) dividend: i64,
    pub(super) split: i64,
    pub(super) raw_close: i64,
}

const ONE: i64 = Price::UNITS;

impl Values {
    pub(super) const NONE: Self = Self {
        symbol: 0,
        date: SessionDate::from_days(0),
        open: 0,
        high: 0,
        low: 0,
        close: 0,
        volume: 0,
        volume_cut: false,
        dividend: 0,
        split: ONE,
        raw_close: 0,
    };
}

/// The contract a row broke, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) rule: &'static str,
    pub(super) value: String,
}

impl Broken {
    pub(super) fn new(rule: &'static str, value: impl Into<String>) -> Self {
        Self { rule, value: value.into() }
    }
}

/// The values of a row without surprises: `bytes[from..end]`, behind which the next row may follow.
#[inline]
pub(super) fn fast(
    layout: &Layout,
    bytes: &[u8],
    from: usize,
    end: usize,
    symbols: &mut Symbols,
    day: &mut dates::Cache,
    values: &mut Values,
) -> Option<()> {
    *values = Values::NONE;
    let mut at = from;
    let last = layout.roles.len() - 1;
    let delimiter = layout.delimiter;
    for (column, role) in layout.roles.iter().enumerate() {
        match role {
            Role::Skip => at = field_end(bytes, at, end, delimiter)?,
            Role::Symbol => {
                let until = field_end(bytes, at, end, delimiter)?;
                values.symbol = symbols.known(&bytes[at..until])?;
                at = until;
            }
            Role::Date => {
                let until = match layout.profile.date {
                    DateFormat::Iso => at + 10,
                    _ => field_end(bytes, at, end, delimiter)?,
                };
                values.date = day.session(bytes.get(at..until)?)?;
                at = until;
            }
            Role::Open => values.open = price(layout, bytes, &mut at, end)?,
            Role::High => values.high = price(layout, bytes, &mut at, end)?,
            Role::Low => values.low = price(layout, bytes, &mut at, end)?,
            Role::Close => values.close = price(layout, bytes, &mut at, end)?,
            Role::RawClose => values.raw_close = price(layout, bytes, &mut at, end)?,
            Role::Volume => {
                let number = number(bytes, &mut at)?;
                if number.fraction != 0 {
                    return None;
                }
                values.volume = number.whole as i64;
            }
            Role::Dividend => values.dividend = billionths(bytes, &mut at)?,
            Role::Split => {
                values.split = billionths(bytes, &mut at)?;
                if values.split == 0 {
                    return None;
                }
            }
            Role::Required(index) => {
                let until = field_end(bytes, at, end, delimiter)?;
                if !layout.required[*index].iter().any(|allowed| allowed.as_bytes() == &bytes[at..until]) {
                    return None;
                }
                at = until;
            }
        }
        if column < last {
            if at >= end || bytes[at] != delimiter {
                return None;
            }
            at += 1;
        }
    }
    (at == end).then_some(())
}

#[inline]
fn price(layout: &Layout, bytes: &[u8], at: &mut usize, end: usize) -> Option<i64> {
    let from = *at;
    if layout.profile.price_text == PriceText::Decimal
        && let Some(price) = billionths(bytes, at)
    {
        return Some(price);
    }
    // Vendors also print all the digits of a binary fraction.
    *at = field_end(bytes, from, end, layout.delimiter)?;
    patient_price(layout, &bytes[from..*at]).ok()
}

/// The values of any row that has them.
pub(super) fn patient(
    layout: &Layout,
    row: &[u8],
    symbols: &mut Symbols,
    day: &mut dates::Cache,
) -> Result<Values, Broken> {
    if row.len() > LONGEST_ROW {
        return Err(too_long(row.len() as u64));
    }
    let text = std::str::from_utf8(row).map_err(|_| Broken::new("unreadable_row", "not UTF-8"))?;
    if text.bytes().any(|byte| byte < b' ' && byte != b'\t') {
        return Err(Broken::new("unreadable_row", "a control character"));
    }
    let fields = split(text, layout.delimiter)?;
    if fields.len() != layout.roles.len() {
        let (found, wanted) = (fields.len(), layout.roles.len());
        return Err(Broken::new("wrong_field_count", format!("{found} instead of {wanted}")));
    }
    let mut values = Values::NONE;
    // Identity first, then the prices: the first contract that is broken names the refusal.
    for (column, (role, field)) in layout.roles.iter().zip(&fields).enumerate() {
        match role {
            Role::Required(index) if !layout.required[*index].iter().any(|allowed| allowed == field) => {
                return Err(Broken::new("unreadable_row", shown(layout, column, field)));
            }
            Role::Symbol => {
                values.symbol = symbols.index(field).ok_or_else(|| Broken::new("bad_symbol", clip(field)))?;
            }
            Role::Date => values.date = day.parse(field).ok_or_else(|| Broken::new("unreadable_date", clip(field)))?,
            _ => {}
        }
    }
    day.judge(values.date)?;
    for (column, (role, field)) in layout.roles.iter().zip(&fields).enumerate() {
        let wanted = matches!(role, Role::Open | Role::High | Role::Low | Role::Close | Role::RawClose | Role::Volume);
        if wanted && is_null(layout, field) {
            return Err(Broken::new("null_value", shown(layout, column, field)));
        }
    }
    for (column, (role, field)) in layout.roles.iter().zip(&fields).enumerate() {
        let broken = |rule| Broken::new(rule, shown(layout, column, field));
        let price = || patient_price(layout, field.as_bytes()).map_err(|_| broken("unreadable_price"));
        match role {
            Role::Open => values.open = price()?,
            Role::High => values.high = price()?,
            Role::Low => values.low = price()?,
            Role::Close => values.close = price()?,
            Role::RawClose => values.raw_close = price()?,
            Role::Volume => {
                (values.volume, values.volume_cut) = volume(field).ok_or_else(|| broken("unreadable_volume"))?;
                if values.volume_cut && !layout.profile.fractional_volume {
                    return Err(broken("unreadable_volume"));
                }
            }
            Role::Dividend if !is_null(layout, field) => {
                values.dividend = Price::parse(field.as_bytes()).map_err(|_| broken("bad_dividend"))?.units();
            }
            Role::Split if !is_null(layout, field) => {
                values.split = Price::parse(field.as_bytes()).map_err(|_| broken("bad_split"))?.units();
                if values.split == 0 && layout.profile.zero_split_is_none {
                    values.split = ONE;
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

/// The refusal of a row of so many bytes.
pub(super) fn too_long(length: u64) -> Broken {
    Broken::new("too_long", format!("{length} bytes"))
}

fn is_null(layout: &Layout, field: &str) -> bool {
    layout.profile.nulls.iter().any(|null| null.eq_ignore_ascii_case(field))
}

fn patient_price(layout: &Layout, field: &[u8]) -> Result<i64, ParseDecimalError> {
    let point = |byte: &u8| matches!(byte, b'.' | b'e' | b'E');
    if layout.profile.price_text == PriceText::DecimalOrBillionths && !field.iter().any(point) {
        return domain::decimal::parse_scaled(field, 0);
    }
    Price::parse(field).map(Price::units)
}

/// Whole shares, and whether a fraction was cut off.
fn volume(field: &str) -> Option<(i64, bool)> {
    const UNIT: i64 = 1_000_000;
    match domain::decimal::parse_scaled(field.as_bytes(), 6) {
        Ok(micros) => Some((micros / UNIT, micros % UNIT != 0)),
        Err(ParseDecimalError::TooLarge) => domain::decimal::parse_scaled(field.as_bytes(), 0).ok().map(|v| (v, false)),
        Err(ParseDecimalError::Malformed) => None,
    }
}

/// Fields without their quotes and surrounding space.
fn split(row: &str, delimiter: u8) -> Result<Vec<Cow<'_, str>>, Broken> {
    let unbalanced = || Broken::new("unreadable_row", "unbalanced quotes");
    let delimiter = char::from(delimiter);
    let space = |c: char| c == ' ' || c == '\t' && delimiter != '\t';
    let mut fields = Vec::with_capacity(16);
    let mut rest = row;
    loop {
        let start = rest.trim_start_matches(space);
        let Some(quoted) = start.strip_prefix('"') else {
            let (field, after) = match start.split_once(delimiter) {
                Some((field, after)) => (field, Some(after)),
                None => (start, None),
            };
            if field.contains('"') {
                return Err(unbalanced());
            }
            fields.push(Cow::Borrowed(field.trim_end_matches(space)));
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        // A doubled quote inside quotes means one.
        let mut end = 0;
        let mut doubled = false;
        loop {
            end += quoted[end..].find('"').ok_or_else(unbalanced)?;
            if quoted[end + 1..].starts_with('"') {
                doubled = true;
                end += 2;
            } else {
                break;
            }
        }
        let field = quoted[..end].trim_matches(space);
        fields.push(if doubled { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) });
        let after = quoted[end + 1..].trim_start_matches(space);
        if after.is_empty() {
            return Ok(fields);
        }
        rest = after.strip_prefix(delimiter).ok_or_else(unbalanced)?;
    }
}

fn shown(layout: &Layout, column: usize, field: &str) -> String {
    format!("{} {}", layout.names[column], if field.is_empty() { "is empty".into() } else { clip(field) })
}

/// At most 80 characters.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
