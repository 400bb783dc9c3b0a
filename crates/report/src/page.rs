//! What every page shares: the frame, escaping, numbers as text.

use serde_json::Value;

/// A page that loads nothing from anywhere.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; \
         style-src 'unsafe-inline'; img-src data: blob:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body><main>\n{body}</main></body>\n</html>\n",
        escape(title),
        include_str!("../assets/sheet.css")
    )
}

/// The charting library's script, and nothing else of what the crate brings.
pub(crate) fn plotly() -> String {
    let sources = plotly::Plot::offline_js_sources();
    match sources.split_once("</script>\n\n") {
        Some((script, _)) => format!("{script}</script>"),
        None => sources,
    }
}

/// Text that means nothing to HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// JSON that cannot end the script it stands in.
pub(crate) fn script_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// `1234567.891` as `1,234,567.89`.
pub(crate) fn amount(value: f64) -> String {
    let text = format!("{:.2}", value.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && text != "0.00" { "−" } else { "" };
    format!("{sign}{grouped}.{cents}")
}

pub(crate) fn percent(value: f64) -> String {
    format!("{:.2} %", value * 100.0).replace('-', "−")
}

/// Class of a number by its sign.
pub(crate) fn side(value: f64) -> &'static str {
    match value {
        value if value > 0.0 => "gain",
        value if value < 0.0 => "loss",
        _ => "",
    }
}
