//! Decimal text to scaled integers and back, exactly.
//!
//! Vendors print `118.56`, `118.55999755859375`, `1.2e-05` and `+3`; all mean a number, and at most one rounding
//! (half to even, at the last digit of the scale) stands between the text and the integer.

/// Why a text is not a number of the wanted scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDecimalError {
    /// The text is empty or not a decimal number.
    #[error("not a decimal number")]
    Malformed,
    /// The number does not fit.
    #[error("a number too large to store")]
    TooLarge,
}

/// Parses `text` as a decimal number times `10^digits`, rounding half to even.
///
/// # Errors
/// [`ParseDecimalError::Malformed`] unless the text is `[+-]digits[.digits][e[+-]digits]` with at least one digit
/// (so `NaN`, `inf` and an empty text are refused); [`ParseDecimalError::TooLarge`] when the result exceeds `i64`.
#[inline]
pub fn parse_scaled(text: &[u8], digits: u32) -> Result<i64, ParseDecimalError> {
    let (negative, body) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = match plain(body, digits) {
        Some(magnitude) => magnitude,
        None => general(body, digits)?,
    };
    let magnitude = i64::try_from(magnitude).map_err(|_| ParseDecimalError::TooLarge)?;
    Ok(if negative { -magnitude } else { magnitude })
}

/// The common case: at most 18 digits in all, no exponent, no rounding. `None` sends the text to [`general`].
#[inline]
fn plain(body: &[u8], digits: u32) -> Option<u64> {
    if body.is_empty() || body.len() > 18 {
        return None;
    }
    let mut value = 0_u64;
    let mut decimals = None::<u32>;
    let mut seen = 0_u32;
    for &byte in body {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + u64::from(digit);
            seen += 1;
            if let Some(count) = &mut decimals {
                *count += 1;
            }
        } else if byte == b'.' && decimals.is_none() {
            decimals = Some(0);
        } else {
            return None;
        }
    }
    let decimals = decimals.unwrap_or(0);
    if seen == 0 || decimals > digits {
        return None;
    }
    value.checked_mul(10_u64.pow(digits - decimals))
}

/// Any number of digits, with exponent and rounding.
fn general(body: &[u8], digits: u32) -> Result<u64, ParseDecimalError> {
    let (mantissa, exponent) = match body.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&body[..at], exponent(&body[at + 1..])?),
        None => (body, 0),
    };
    let mut decimals = 0_i64;
    let mut after_point = false;
    let mut number = Vec::with_capacity(mantissa.len());
    for &byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                number.push(byte - b'0');
                decimals += i64::from(after_point);
            }
            b'.' if !after_point => after_point = true,
            _ => return Err(ParseDecimalError::Malformed),
        }
    }
    if number.is_empty() {
        return Err(ParseDecimalError::Malformed);
    }
    // `number * 10^shift` is the result; a negative shift drops that many digits with rounding.
    let shift = i64::from(digits) - decimals + exponent;
    let kept = usize::try_from((number.len() as i64 + shift.min(0)).max(0)).unwrap_or(0);
    let mut value = 0_u64;
    for &digit in &number[..kept] {
        value =
            value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))).ok_or(ParseDecimalError::TooLarge)?;
    }
    if shift >= 0 {
        for _ in 0..shift {
            if value == 0 {
                break;
            }
            value = value.checked_mul(10).ok_or(ParseDecimalError::TooLarge)?;
        }
        return Ok(value);
    }
    // When every digit is dropped, leading zeros may stand between the point and the first of them.
    let vanished = -shift > number.len() as i64;
    let dropped = &number[kept..];
    let round_up = !vanished
        && match dropped.first() {
            Some(6..) => true,
            Some(5) => dropped[1..].iter().any(|&digit| digit != 0) || value % 2 == 1,
            _ => false,
        };
    value.checked_add(u64::from(round_up)).ok_or(ParseDecimalError::TooLarge)
}

fn exponent(text: &[u8]) -> Result<i64, ParseDecimalError> {
    let text = std::str::from_utf8(text).map_err(|_| ParseDecimalError::Malformed)?;
    let value: i64 = text.parse().map_err(|_| ParseDecimalError::Malformed)?;
    Ok(value.clamp(-1_000, 1_000))
}

/// Writes `value / 10^digits` without trailing zeros.
pub(crate) fn format_scaled(value: i64, digits: u32, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let unit = 10_u64.pow(digits);
    let magnitude = value.unsigned_abs();
    let (whole, fraction) = (magnitude / unit, magnitude % unit);
    let sign = if value < 0 { "-" } else { "" };
    if fraction == 0 {
        return f.pad(&format!("{sign}{whole}"));
    }
    let fraction = format!("{fraction:0width$}", width = digits as usize);
    f.pad(&format!("{sign}{whole}.{}", fraction.trim_end_matches('0')))
}

/// `numerator / denominator` rounded half to even; the denominator is positive.
#[inline]
pub(crate) fn divide_half_even(numerator: i128, denominator: i128) -> i128 {
    // Small operands are by far the most common, and their division is several times cheaper.
    let (quotient, remainder) = match (i64::try_from(numerator), i64::try_from(denominator)) {
        (Ok(n), Ok(d)) => (i128::from(n / d), i128::from(n % d)),
        _ => (numerator / denominator, numerator % denominator),
    };
    let twice = remainder.unsigned_abs() * 2;
    let denominator = denominator.unsigned_abs();
    let away = twice > denominator || (twice == denominator && quotient % 2 != 0);
    quotient + if away { numerator.signum() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_vendors_print() {
        for (text, wanted) in [
            ("118.56", 118_560_000_000),
            ("0.1", 100_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("-51.25", -51_250_000_000),
            ("+3", 3_000_000_000),
            ("118.55999755859375", 118_559_997_559),
            ("1.2e-05", 12_000),
            ("1E3", 1_000_000_000_000),
            ("0.0000000005", 0),
            ("0.0000000015", 2),
            ("0.00000000051", 1),
            ("0.00000000005", 0),
            ("9223372036.854775807", i64::MAX),
            ("00000000000000000000001.5", 1_500_000_000),
        ] {
            assert_eq!(parse_scaled(text.as_bytes(), 9), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in ["", "-", ".", "NaN", "inf", "null", "1.2.3", "1,234", " 1", "1e", "e5", "0x10", "1_000"] {
            assert_eq!(parse_scaled(text.as_bytes(), 9), Err(ParseDecimalError::Malformed), "{text:?}");
        }
        assert_eq!(parse_scaled(b"9223372036.854775808", 9), Err(ParseDecimalError::TooLarge));
        assert_eq!(parse_scaled(b"1e400", 9), Err(ParseDecimalError::TooLarge));
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..40), digits in 0_u32..12) {
            let _ = parse_scaled(&text, digits);
        }

        #[test]
        fn both_ways_agree(value in -9_999_999_999_999_999_i64..9_999_999_999_999_999, tail in "0{0,5}") {
            struct Shown(i64);
            impl std::fmt::Display for Shown {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { format_scaled(self.0, 9, f) }
            }
            let text = Shown(value).to_string();
            prop_assert_eq!(parse_scaled(text.as_bytes(), 9), Ok(value));
            if text.contains('.') {
                prop_assert_eq!(parse_scaled(format!("{text}{tail}").as_bytes(), 9), Ok(value));
            }
        }

        #[test]
        fn division_is_the_nearest(n in any::<i64>(), m in 1_i64..1_000_000_000_000) {
            let q = divide_half_even(i128::from(n) * 1_000, i128::from(m));
            let error = (q * i128::from(m) - i128::from(n) * 1_000).abs() * 2;
            prop_assert!(error <= i128::from(m));
        }
    }
}
