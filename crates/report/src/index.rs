//! The overview of several runs.

use std::fmt::Write as _;

use crate::page::{amount, escape, page, percent, side};

/// One run of the overview.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRow {
    /// Strategy and parameters in words.
    pub name: String,
    /// Where its tear sheet lies, relative to the overview.
    pub href: String,
    /// Ended trades.
    pub trades: u64,
    /// Cash plus positions at the end.
    pub final_equity: f64,
    /// Compound annual growth rate.
    pub cagr: Option<f64>,
    /// Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Largest drawdown.
    pub max_drawdown: Option<f64>,
    /// The run.
    pub run_id: String,
}

/// A page that leads to several tear sheets.
#[must_use]
pub fn index_page(title: &str, rows: &[IndexRow]) -> String {
    let mut body = format!(
        "<h1>{}</h1>\n<div class=\"wide\"><table><thead><tr><th>strategy</th><th>trades</th><th>final equity</th>\
         <th>CAGR</th><th>Sharpe</th><th>max drawdown</th><th>run</th></tr></thead><tbody>\n",
        escape(title)
    );
    for row in rows {
        let share = |value: Option<f64>| value.map_or("–".to_owned(), percent);
        let _ = writeln!(
            body,
            "<tr><td><a href=\"{}\">{}</a></td><td>{}</td><td>{}</td><td class=\"{}\">{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escape(&row.href),
            escape(&row.name),
            row.trades,
            amount(row.final_equity),
            row.cagr.map_or("", side),
            share(row.cagr),
            row.sharpe.map_or("–".to_owned(), |value| format!("{value:.2}")),
            share(row.max_drawdown),
            escape(&row.run_id)
        );
    }
    body.push_str("</tbody></table></div>\n");
    page(title, &body)
}
