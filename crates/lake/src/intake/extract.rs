//! From the bytes of a row to its values: a fast way for plain rows and a patient way for all others.
//!
//! The fast way only ever accepts what the patient way would read as the same values; whatever surprises it (a quote,
//! a space, an exponent, a date that is no session) goes the patient way, which also finds the words for a refusal.

use std::borrow::Cow;

use domain::{ParseDecimalError, Price, SessionDate};

use super::dates;
use super::layout::{Layout, Role};
use super::profile::{DateFormat, PriceText};
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
    const NONE: Self = Self {
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

/// The values of a row without surprises.
#[inline]
pub(super) fn fast(layout: &Layout, row: &[u8], symbols: &mut Symbols, day: &mut dates::Cache) -> Option<Values> {
    let mut values = Values::NONE;
    let mut at = 0;
    let last = layout.roles.len() - 1;
    for (column, role) in layout.roles.iter().enumerate() {
        match role {
            Role::Skip => at = skip(row, at, layout.delimiter)?,
            Role::Symbol => {
                let end = skip(row, at, layout.delimiter)?;
                values.symbol = symbols.known(&row[at..end])?;
                at = end;
            }
            Role::Date => {
                let end = match layout.profile.date {
                    DateFormat::Iso => at + 10,
                    _ => skip(row, at, layout.delimiter)?,
                };
                values.date = day.session(row.get(at..end)?)?;
                at = end;
            }
            Role::Open => values.open = price(layout, row, &mut at)?,
            Role::High => values.high = price(layout, row, &mut at)?,
            Role::Low => values.low = price(layout, row, &mut at)?,
            Role::Close => values.close = price(layout, row, &mut at)?,
            Role::RawClose => values.raw_close = price(layout, row, &mut at)?,
            Role::Volume => {
                let number = Number::read(row, &mut at)?;
                let unit = TENS[number.decimals as usize];
                let whole = if unit == 1 { number.digits } else { number.digits / unit };
                if whole * unit != number.digits {
                    return None;
                }
                values.volume = whole as i64;
            }
            Role::Dividend => values.dividend = Number::read(row, &mut at)?.billionths()?,
            Role::Split => {
                values.split = Number::read(row, &mut at)?.billionths()?;
                if values.split == 0 {
                    return None;
                }
            }
            Role::Required(index) => {
                let end = skip(row, at, layout.delimiter)?;
                if !layout.required[*index].iter().any(|allowed| allowed.as_bytes() == &row[at..end]) {
                    return None;
                }
                at = end;
            }
        }
        if column == last {
            break;
        }
        if row.get(at) != Some(&layout.delimiter) {
            return None;
        }
        at += 1;
    }
    (at == row.len()).then_some(values)
}

#[inline]
fn price(layout: &Layout, row: &[u8], at: &mut usize) -> Option<i64> {
    let number = Number::read(row, at)?;
    if layout.profile.price_text == PriceText::DecimalOrBillionths && !number.point {
        return Some(number.digits as i64);
    }
    number.billionths()
}

/// The end of a field of printable ASCII.
#[inline]
fn skip(row: &[u8], from: usize, delimiter: u8) -> Option<usize> {
    let mut at = from;
    while let Some(&byte) = row.get(at) {
        if byte == delimiter {
            break;
        }
        if !(b'!'..=b'~').contains(&byte) || byte == b'"' {
            return None;
        }
        at += 1;
    }
    Some(at)
}

/// A plain unsigned decimal number of at most 18 digits, 9 of them after the point.
struct Number {
    digits: u64,
    decimals: u32,
    point: bool,
}

const TENS: [u64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

impl Number {
    #[inline]
    fn read(row: &[u8], at: &mut usize) -> Option<Self> {
        let rest = row.get(*at..)?;
        let mut digits = 0_u64;
        let mut length = 0;
        for &byte in rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        let mut decimals = 0;
        let point = rest.get(length) == Some(&b'.');
        if point {
            for &byte in &rest[length + 1..] {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    break;
                }
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
                decimals += 1;
            }
        }
        let count = length + decimals;
        if count == 0 || count > 18 || decimals > 9 {
            return None;
        }
        *at += count + usize::from(point);
        Some(Self { digits, decimals: decimals as u32, point })
    }

    #[inline]
    fn billionths(&self) -> Option<i64> {
        i64::try_from(self.digits.checked_mul(TENS[9 - self.decimals as usize])?).ok()
    }
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
        let price = || patient_price(layout, field).map_err(|_| broken("unreadable_price"));
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

fn patient_price(layout: &Layout, field: &str) -> Result<i64, ParseDecimalError> {
    if layout.profile.price_text == PriceText::DecimalOrBillionths && !field.contains(['.', 'e', 'E']) {
        return domain::decimal::parse_scaled(field.as_bytes(), 0);
    }
    Price::parse(field.as_bytes()).map(Price::units)
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
