//! Text and numbers as a page shows them.

use crate::catalogue::Unit;
use crate::metrics::Value;

/// What stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// Text that is safe between tags and inside quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // A browser shows these as nothing or as another order of letters.
            '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.push('\u{fffd}');
            }
            other => safe.push(other),
        }
    }
    safe
}

/// With thousands separated and a true minus sign.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut shown = String::new();
    // What rounds to zero has no sign.
    if value < 0.0 && text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        shown.push('−');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if !fraction.is_empty() {
        shown.push('.');
        shown.push_str(fraction);
    }
    shown
}

/// A share in hundredths.
pub(crate) fn percent(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{}%", number(value * 100.0, decimals)) } else { NONE.to_owned() }
}

/// As few decimals as say it: shares are mostly whole.
pub(crate) fn shares(value: f64) -> String {
    let text = number(value, 6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A figure in its unit.
pub(crate) fn figure(value: &Value, unit: Unit) -> String {
    match (value, unit) {
        (Value::Null, _) => NONE.to_owned(),
        (Value::Date(date), _) => escape(date),
        (Value::Number(value), Unit::Percent) => percent(*value, 2),
        (Value::Number(value), Unit::Count) => number(*value, 0),
        (Value::Number(value), Unit::Money) => number(*value, 2),
        (Value::Number(value), Unit::Ratio | Unit::Date) => number(*value, 3),
    }
}

/// The class that colours a gain or a loss.
pub(crate) fn sign(value: f64) -> &'static str {
    if value > 0.0 {
        "up"
    } else if value < 0.0 {
        "down"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separated_thousands_and_no_negative_zero() {
        assert_eq!(number(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(number(-100_000.0, 0), "−100,000");
        assert_eq!(number(-0.001, 2), "0.00");
        assert_eq!(number(f64::NAN, 2), "–");
        assert_eq!(percent(-0.1234, 1), "−12.3%");
        assert_eq!(shares(-100.0), "−100");
        assert_eq!(shares(0.25), "0.25");
    }

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            escape("</script><img onerror='x'>&\""),
            "&lt;/script&gt;&lt;img onerror=&#39;x&#39;&gt;&amp;&quot;"
        );
    }
}
