//! The tear sheet, and the page that lists several.
//!
//! Tables are written as HTML here, so that they are read and printed without a script; the charts are drawn by
//! `assets/sheet.js` with the embedded plotly.js from JSON in the page. A content security policy forbids the page to
//! fetch anything, so a mistake shows as an empty chart and not as a request.

mod data;
pub(crate) mod html;
mod months;
mod parts;

use html::escape;

use crate::metrics::{Metric, Metrics, Value};
use crate::run::Run;

const STYLE: &str = include_str!("../assets/sheet.css");
/// What every page of charts begins with.
const CHARTS: &str = include_str!("../assets/charts.js");
const SCRIPT: &str = include_str!("../assets/sheet.js");

/// One line of the page that lists several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRow {
    /// The strategy.
    pub name: String,
    /// Where its tear sheet lies, relative to the page.
    pub href: String,
    /// Closed trades.
    pub trades: u64,
    /// Equity after the last session.
    pub final_equity: f64,
    /// Annual return, as a share.
    pub cagr: Option<f64>,
    /// Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Maximum drawdown, as a share.
    pub max_drawdown: Option<f64>,
    /// Run id.
    pub run_id: String,
}

/// A run as one HTML file that needs nothing else.
#[must_use]
pub fn tear_sheet(run: &Run, metrics: &Metrics) -> String {
    let options: String = run
        .instruments
        .iter()
        .enumerate()
        .map(|(at, one)| format!("<option value=\"{at}\">{}</option>", escape(&one.symbol)))
        .collect();
    let fell = matches!(metrics.get("drawdown_peak"), Some(Metric { value: Value::Date(_), .. }));
    let shaded = if fell {
        "<p class=\"muted\">Shaded: the maximum drawdown, from its peak until equity was back there or to the end.</p>"
    } else {
        ""
    };
    let body = [
        parts::header(run),
        parts::tiles(metrics),
        section("Equity and drawdown", "", &format!("{shaded}<div id=\"equity\" class=\"chart high\"></div>")),
        section("Monthly returns", "", &parts::monthly(&run.equity)),
        section(
            "Price and trades",
            &format!(
                "<span><label><input type=\"checkbox\" id=\"log\"> Log scale</label> \
                 <label>Symbol <select id=\"symbol\">{options}</select></label></span>"
            ),
            "<p class=\"muted\">Closing price, earlier prices restated for splits.</p><div id=\"price\" class=\"chart\"></div>",
        ),
        section(
            "Rolling Sharpe ratio",
            "",
            &format!(
                "<p class=\"muted\">Over the last {} sessions, per year of 252, no risk-free rate.</p>\
                 <div id=\"sharpe\" class=\"chart low\"></div>",
                data::WINDOW
            ),
        ),
        section(&format!("Trades ({})", run.trades.len()), "", &parts::trades(&run.trades)),
        section("Metrics", "", &parts::definitions(metrics)),
        section("Remarks", "", &parts::remarks(run)),
        section("Run", "", &parts::manifest(&run.manifest)),
        charts(&data::json(run), SCRIPT),
    ];
    page(&run.manifest.name, &body.join("\n"))
}

/// A page that lists runs and links to their tear sheets.
#[must_use]
pub fn index_page(title: &str, rows: &[IndexRow]) -> String {
    let table = section("Runs", "", &parts::index(rows));
    page(title, &format!("<header><h1>{}</h1></header>\n{table}", escape(title)))
}

/// Data and the script that draws it, behind the charting library.
pub(crate) fn charts(data: &str, script: &str) -> String {
    // Nothing in the data may end the script element early.
    let data = data.replace('<', "\\u003c");
    let plotly = plotly_js();
    format!("<script type=\"application/json\" id=\"data\">{data}</script>{plotly}<script>{CHARTS}{script}</script>")
}

pub(crate) fn section(title: &str, beside: &str, content: &str) -> String {
    format!("<section><div class=\"title\"><h2>{title}</h2>{beside}</div>{content}</section>")
}

pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; \
         style-src 'unsafe-inline'; img-src data: blob:\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// The first script element of those the crate carries: plotly.js, without the two megabytes of MathJax.
fn plotly_js() -> String {
    const END: &str = "</script>";
    let scripts = plotly::Plot::offline_js_sources();
    match scripts.find(END) {
        Some(at) => scripts[..at + END.len()].to_owned(),
        None => scripts,
    }
}
