//! The sections of a tear sheet that are plain HTML, readable without a script.

use std::fmt::Write as _;

use super::html::{NONE, escape, figure, number, percent, shares, sign};
use super::months;
use crate::catalogue;
use crate::metrics::{Metrics, Value};
use crate::run::{EquityPoint, Manifest, Run, Trade};

const TILES: [&str; 8] = [
    "cum_returns_final",
    "annual_return",
    "sharpe_ratio",
    "max_drawdown",
    "annual_volatility",
    "final_equity",
    "trades",
    "win_rate",
];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Name, symbols, period, run id.
pub(super) fn header(run: &Run) -> String {
    let symbols: Vec<&str> = run.instruments.iter().map(|one| one.symbol.as_str()).collect();
    let period = match (run.equity.first(), run.equity.last()) {
        (Some(first), Some(last)) => {
            format!("{} to {} · {} sessions", first.date, last.date, number(run.equity.len() as f64, 0))
        }
        _ => "no sessions".to_owned(),
    };
    let synthetic = if run.manifest.synthetic {
        "<p class=\"warning\">Synthetic prices: made by a generator, no market's.</p>"
    } else {
        ""
    };
    format!(
        "<header><h1>{}</h1><p>{} · {period}</p><p class=\"muted\">Run <code>{}</code></p>{synthetic}</header>",
        escape(&run.manifest.name),
        escape(&symbols.join(", ")),
        escape(&run.manifest.run_id),
    )
}

/// The figures a reader looks for first.
pub(super) fn tiles(metrics: &Metrics) -> String {
    let mut html = String::from("<section class=\"tiles\" aria-label=\"Key figures\">");
    for name in TILES {
        let (Some(entry), Some(metric)) = (catalogue::of(name), metrics.get(name)) else { continue };
        let class = match &metric.value {
            Value::Number(value) if matches!(name, "cum_returns_final" | "annual_return") => sign(*value),
            _ => "",
        };
        let _ = write!(
            html,
            "<div class=\"tile\" title=\"{}\"><span>{}</span><b class=\"{class}\">{}</b></div>",
            escape(metric.definition),
            entry.label,
            figure(&metric.value, entry.unit)
        );
    }
    html + "</section>"
}

/// Years by months, coloured by size.
pub(super) fn monthly(equity: &[EquityPoint]) -> String {
    let years = months::by_year(equity);
    let largest = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
    let month = largest(&mut years.iter().flat_map(|year| year.months).flatten());
    let whole = largest(&mut years.iter().filter_map(|year| year.total));
    let cell = |value: Option<f64>, largest: f64| match value {
        Some(value) => {
            let depth = if largest > 0.0 { (value.abs() / largest).sqrt() * 70.0 } else { 0.0 };
            format!("<td class=\"{}\" style=\"--depth:{depth:.0}%\">{}</td>", sign(value), number(value * 100.0, 1))
        }
        None => "<td></td>".to_owned(),
    };
    let mut html =
        String::from("<div class=\"scroll\"><table id=\"months\" class=\"heat\"><thead><tr><th scope=\"col\">%</th>");
    for name in MONTHS {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("<th scope=\"col\">Year</th></tr></thead><tbody>");
    for year in years {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", year.year);
        html.extend(year.months.map(|value| cell(value, month)));
        let _ = write!(html, "{}</tr>", cell(year.total, whole));
    }
    html + "</tbody></table></div>"
}

/// Every trade.
pub(super) fn trades(trades: &[Trade]) -> String {
    if trades.is_empty() {
        return "<p class=\"muted\">No trades.</p>".to_owned();
    }
    let mut html = String::from("<div class=\"scroll tall\"><table id=\"trades\" class=\"sortable\"><thead><tr>");
    for name in ["Symbol", "Side", "Opened", "Closed", "Sessions", "Quantity", "Entry", "Exit", "Profit", "Fees"] {
        let _ = write!(html, "<th scope=\"col\"><button type=\"button\">{name}</button></th>");
    }
    html.push_str("</tr></thead><tbody>");
    let cell =
        |value: f64, text: String, class: &str| format!("<td data-v=\"{value}\" class=\"n {class}\">{text}</td>");
    for trade in trades {
        let side = if trade.quantity < 0.0 { "Short" } else { "Long" };
        let closed = trade.closed.map_or_else(|| "open".to_owned(), |date| date.to_string());
        let none = || format!("<td data-v=\"\" class=\"n\">{NONE}</td>");
        let exit = trade.exit.map_or_else(none, |price| cell(price, number(price, 2), ""));
        let held = f64::from(trade.bars);
        let sessions = if trade.bars > 0 { cell(held, number(held, 0), "") } else { none() };
        // What fees and dividends came to so far would read as the whole of it.
        let profit = match trade.closed {
            Some(_) => cell(trade.profit, number(trade.profit, 2), sign(trade.profit)),
            None => none(),
        };
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{side}</td><td>{}</td><td>{closed}</td>{}{}{}{exit}{}{}</tr>",
            escape(&trade.symbol),
            trade.opened,
            sessions,
            cell(trade.quantity, shares(trade.quantity), ""),
            cell(trade.entry, number(trade.entry, 2), ""),
            profit,
            cell(trade.fees, number(trade.fees, 2), ""),
        );
    }
    html.push_str("</tbody></table></div>");
    if trades.iter().any(|trade| trade.closed.is_none()) {
        html.push_str(
            "<p class=\"muted\">Open trades are valued in the equity; their profit counts once they close.</p>",
        );
    }
    html
}

/// Every metric and what it means.
pub(super) fn definitions(metrics: &Metrics) -> String {
    let mut html = String::from(
        "<table id=\"metrics\" class=\"definitions\"><thead><tr><th scope=\"col\">Metric</th><th scope=\"col\">Value</th>\
         <th scope=\"col\">Definition</th></tr></thead><tbody>",
    );
    for (name, metric) in metrics.iter() {
        let Some(entry) = catalogue::of(name) else { continue };
        let _ = write!(
            html,
            "<tr data-name=\"{name}\"><th scope=\"row\">{}<code>{name}</code></th><td class=\"n\">{}</td><td>{}</td></tr>",
            entry.label,
            figure(&metric.value, entry.unit),
            escape(metric.definition)
        );
    }
    html + "</tbody></table>"
}

/// Orders that were refused, bars that were ambiguous, and notes.
pub(super) fn remarks(run: &Run) -> String {
    let mut html = String::from("<ul id=\"remarks\">");
    for refused in &run.refused {
        let orders = if refused.count == 1 { "order" } else { "orders" };
        let count = number(refused.count as f64, 0);
        let (name, first) = (escape(&refused.name.replace('_', " ")), escape(&refused.first));
        let _ = write!(html, "<li>{count} {orders} refused: {name}; the first on {first}</li>");
    }
    if run.refused.is_empty() {
        html.push_str("<li>No order was refused.</li>");
    }
    let _ = match run.ambiguous_bars {
        0 => write!(html, "<li>No bar touched both a stop and a target.</li>"),
        count => write!(
            html,
            "<li>Bars that touched both a stop and a target, where the worse of the two was assumed: {}</li>",
            number(count as f64, 0)
        ),
    };
    for note in &run.notes {
        let _ = write!(html, "<li>{}</li>", escape(note));
    }
    html + "</ul>"
}

/// What was run, on what.
pub(super) fn manifest(manifest: &Manifest) -> String {
    let mut html = String::from("<dl>");
    let mut item = |name: &str, value: &str| {
        let _ = write!(html, "<dt>{name}</dt><dd><code>{}</code></dd>", escape(value));
    };
    item("Run", &manifest.run_id);
    item("Version", &manifest.version);
    if let Some(started) = &manifest.started {
        item("Started", started);
    }
    for input in &manifest.inputs {
        item("Input", &format!("{} {}", input.name, input.revision));
    }
    item("Digest of the inputs (SHA-256)", &manifest.input_sha256);
    html + &format!("</dl><h3>Configuration</h3><pre>{}</pre>", escape(&manifest.config))
}

/// A table of runs.
pub(super) fn index(rows: &[super::IndexRow]) -> String {
    let share = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), |value| percent(value, 2));
    let mut html = String::from("<div class=\"scroll\"><table id=\"runs\"><thead><tr><th scope=\"col\">Strategy</th>");
    for name in ["Trades", "Final equity", "CAGR", "Sharpe", "Max drawdown"] {
        let _ = write!(html, "<th scope=\"col\" class=\"n\">{name}</th>");
    }
    html.push_str("<th scope=\"col\">Run</th></tr></thead><tbody>");
    for row in rows {
        let _ = write!(
            html,
            "<tr><th scope=\"row\"><a href=\"{}\">{}</a></th><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td><code>{}</code></td></tr>",
            escape(&row.href),
            escape(&row.name),
            number(row.trades as f64, 0),
            number(row.final_equity, 2),
            share(row.cagr),
            row.sharpe.map_or_else(|| NONE.to_owned(), |value| number(value, 3)),
            share(row.max_drawdown),
            escape(&row.run_id)
        );
    }
    html + "</tbody></table></div>"
}
