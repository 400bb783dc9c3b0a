//! What a person or a program reads on standard output.

use std::fmt::Write as _;

/// The answer of a command.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// For standard output.
    pub text: String,
    /// For standard error, after it.
    pub said: String,
    /// Whether it is bad news: the exit code is 1.
    pub failed: bool,
}

impl Reply {
    /// Good news.
    #[must_use]
    pub fn ok(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// Never for our types.
    pub fn json(value: &impl serde::Serialize) -> anyhow::Result<Self> {
        Ok(Self::ok(serde_json::to_string_pretty(value)? + "\n"))
    }
}

/// Columns set under their titles; the first `left` columns to the left, the others, numbers, to the right.
#[must_use]
pub fn table(titles: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([titles[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut row = String::new();
        for (at, cell) in cells.enumerate() {
            let pad = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            let gap = if at == 0 { "" } else { "  " };
            let _ = if at < left { write!(row, "{gap}{cell}{pad}") } else { write!(row, "{gap}{pad}{cell}") };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line(&mut titles.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// `1234567.891` as `1,234,567.89`.
#[must_use]
pub fn amount(value: f64) -> String {
    let text = format!("{:.2}", value.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && text != "0.00" { "-" } else { "" };
    format!("{sign}{grouped}.{cents}")
}

/// A whole number with separators.
#[must_use]
pub fn count(value: u64) -> String {
    amount(value as f64).trim_end_matches(".00").to_owned()
}

/// A fraction as per cent, and a dash where it is not defined.
#[must_use]
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.2} %", value * 100.0))
}

/// A figure, and a dash where it is not defined.
#[must_use]
pub fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped() {
        assert_eq!(amount(1_234_567.891), "1,234,567.89");
        assert_eq!(amount(-999.0), "-999.00");
        assert_eq!(amount(-0.001), "0.00");
        assert_eq!(count(16_358), "16,358");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let text = table(&["name", "n"], &[vec!["a".into(), "1".into()], vec!["bcdef".into(), "10".into()]], 1);
        assert_eq!(text, "name    n\na       1\nbcdef  10\n");
    }
}
