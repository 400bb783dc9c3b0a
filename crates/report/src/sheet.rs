//! The tear sheet: one HTML file that needs nothing else.

use std::fmt::Write as _;

use domain::SessionDate;
use serde_json::{Value as Json, json};

use crate::drawdown::{deepest, depths};
use crate::figures::{Metrics, Value};
use crate::page::{amount, escape, page, percent, plotly, script_json, side};
use crate::run::{Run, Trade};

/// Sessions of the rolling Sharpe ratio: half a year.
const WINDOW: usize = 126;

/// A run as one self-contained HTML file; the same run gives the same bytes.
#[must_use]
pub fn tear_sheet(run: &Run, metrics: &Metrics) -> String {
    let mut body = String::new();
    header(&mut body, run);
    tiles(&mut body, run, metrics);
    body.push_str("<h2>Equity and drawdown</h2><div id=\"equity\" class=\"chart\"></div>\n");
    months(&mut body, run);
    prices(&mut body, run);
    let _ =
        writeln!(body, "<h2>Rolling Sharpe ratio, {WINDOW} sessions</h2><div id=\"sharpe\" class=\"chart low\"></div>");
    trades(&mut body, run);
    figures(&mut body, metrics);
    remarks(&mut body, run);
    manifest(&mut body, run);
    let _ = write!(
        body,
        "<script type=\"application/json\" id=\"data\">{}</script>\n{}\n<script>\n{}</script>\n",
        script_json(&data(run)),
        plotly(),
        include_str!("../assets/sheet.js")
    );
    page(&format!("{} – {}", run.manifest.name, symbols(run)), &body)
}

fn symbols(run: &Run) -> String {
    run.instruments.iter().map(|one| one.symbol.as_str()).collect::<Vec<_>>().join(", ")
}

fn header(body: &mut String, run: &Run) {
    let period = match (run.equity.first(), run.equity.last()) {
        (Some(first), Some(last)) => format!("{} to {}, {} sessions", first.date, last.date, run.equity.len()),
        _ => "no sessions".to_owned(),
    };
    let synthetic = if run.manifest.synthetic { "<p class=\"loss\">The prices are synthetic.</p>" } else { "" };
    let _ = write!(
        body,
        "<header><h1>{}</h1><p>{} · {period}</p><p class=\"soft\">run <code>{}</code></p>{synthetic}</header>\n",
        escape(&run.manifest.name),
        escape(&symbols(run)),
        escape(&run.manifest.run_id)
    );
}

fn tiles(body: &mut String, run: &Run, metrics: &Metrics) {
    let money = |name| metrics.number(name).map_or("–".to_owned(), amount);
    let share = |name| metrics.number(name).map_or("–".to_owned(), percent);
    let ratio = |name| metrics.number(name).map_or("–".to_owned(), |value| format!("{value:.2}"));
    let won = share("win_rate");
    let open = run.trades.iter().filter(|trade| trade.closed.is_none()).count();
    let closed = run.trades.len() - open;
    let trades = if open > 0 { format!("{closed} + {open} open") } else { closed.to_string() };
    let tiles = [
        ("final equity", money("final_equity"), None),
        ("CAGR", share("annual_return"), metrics.number("annual_return")),
        ("Sharpe", ratio("sharpe_ratio"), metrics.number("sharpe_ratio")),
        ("Sortino", ratio("sortino_ratio"), metrics.number("sortino_ratio")),
        ("max drawdown", share("max_drawdown"), None),
        ("volatility", share("annual_volatility"), None),
        ("trades", trades, None),
        ("won", won, None),
    ];
    body.push_str("<div class=\"tiles\">\n");
    for (name, text, sign) in tiles {
        let class = sign.map_or("", side);
        let _ = writeln!(body, "<div class=\"tile\"><span>{name}</span><b class=\"{class}\">{text}</b></div>");
    }
    body.push_str("</div>\n");
}

/// Return of each month, from the last equity of the month before.
pub(crate) fn monthly(run: &Run) -> Vec<(i32, u32, f64)> {
    let mut ends: Vec<(i32, u32, f64)> = Vec::new();
    for point in &run.equity {
        let (year, month, _) = point.date.ymd();
        match ends.last_mut() {
            Some(end) if (end.0, end.1) == (year, month) => end.2 = point.equity,
            _ => ends.push((year, month, point.equity)),
        }
    }
    let mut before = run.equity.first().map_or(0.0, |point| point.equity);
    for end in &mut ends {
        let equity = end.2;
        end.2 = equity / before - 1.0;
        before = equity;
    }
    ends
}

fn months(body: &mut String, run: &Run) {
    let months = monthly(run);
    let (Some(first), Some(last)) = (months.first(), months.last()) else { return };
    let most = months.iter().map(|(_, _, value)| value.abs()).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let cell = |value: f64, scale: f64| {
        let strength = if scale > 0.0 { (value.abs() / scale).min(1.0).sqrt() * 55.0 } else { 0.0 };
        let colour = if value < 0.0 { "--loss" } else { "--gain" };
        let text = if value.is_finite() { format!("{:.1}", value * 100.0) } else { "–".to_owned() };
        format!(
            "<td data-value=\"{value:.8}\" style=\"background:color-mix(in srgb,var({colour}) {strength:.0}%,var(--ground))\">{text}</td>"
        )
    };
    body.push_str("<h2>Monthly returns, per cent</h2><div class=\"wide\"><table class=\"heat\" id=\"months\"><thead><tr><th>year</th>");
    for name in ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "year"] {
        let _ = write!(body, "<th>{name}</th>");
    }
    body.push_str("</tr></thead><tbody>\n");
    for year in first.0..=last.0 {
        let _ = write!(body, "<tr><th>{year}</th>");
        let mut total = 1.0;
        for month in 1..=12 {
            match months.iter().find(|one| (one.0, one.1) == (year, month)) {
                Some((_, _, value)) => {
                    total *= 1.0 + value;
                    body.push_str(&cell(*value, most));
                }
                None => body.push_str("<td></td>"),
            }
        }
        let _ = writeln!(body, "{}</tr>", cell(total - 1.0, most * 3.0));
    }
    body.push_str("</tbody></table></div>\n");
}

fn prices(body: &mut String, run: &Run) {
    body.push_str("<h2>Prices and fills</h2><p><label>symbol <select id=\"symbol\">");
    for one in &run.instruments {
        let _ = write!(body, "<option>{}</option>", escape(&one.symbol));
    }
    body.push_str("</select></label> <span class=\"soft\">in shares of the last day</span></p><div id=\"price\" class=\"chart\"></div>\n");
}

fn trades(body: &mut String, run: &Run) {
    let _ = write!(body, "<h2>Trades</h2><div class=\"tall\"><table class=\"sortable\" id=\"trades\"><thead><tr>");
    for name in ["symbol", "opened", "closed", "quantity", "entry", "exit", "profit", "fees", "sessions"] {
        let _ = write!(body, "<th><button type=\"button\">{name}</button></th>");
    }
    body.push_str("</tr></thead><tbody>\n");
    for trade in &run.trades {
        trade_row(body, trade);
    }
    body.push_str("</tbody></table></div>\n");
}

fn trade_row(body: &mut String, trade: &Trade) {
    let closed = trade.closed.map_or("open".to_owned(), |date| date.to_string());
    let number = |value: f64, text: &str| format!("<td data-value=\"{value}\">{text}</td>");
    let exit = trade.exit.map_or("<td></td>".to_owned(), |value| number(value, &amount(value)));
    let _ = writeln!(
        body,
        "<tr><td>{}</td><td>{}</td><td>{closed}</td>{}{}{exit}<td data-value=\"{}\" class=\"{}\">{}</td>{}<td>{}</td></tr>",
        escape(&trade.symbol),
        trade.opened,
        number(trade.quantity, &trade.quantity.to_string()),
        number(trade.entry, &amount(trade.entry)),
        trade.profit,
        side(trade.profit),
        amount(trade.profit),
        number(trade.fees, &amount(trade.fees)),
        trade.bars
    );
}

fn figures(body: &mut String, metrics: &Metrics) {
    body.push_str("<h2>Figures and their definitions</h2><div class=\"wide\"><table id=\"metrics\"><tbody>\n");
    for (name, metric) in metrics.iter() {
        let value = match &metric.value {
            Value::Number(value) if value.abs() >= 1000.0 => amount(*value),
            Value::Number(value) if value.fract() == 0.0 => format!("{value}"),
            Value::Number(value) => format!("{value:.4}"),
            Value::Date(date) => date.clone(),
            Value::Null => "–".to_owned(),
        };
        let _ = writeln!(
            body,
            "<tr><td><code>{name}</code></td><td>{}</td><td class=\"text\">{}</td></tr>",
            escape(&value),
            escape(metric.definition)
        );
    }
    body.push_str("</tbody></table></div>\n");
}

fn remarks(body: &mut String, run: &Run) {
    body.push_str("<h2>What to know</h2><ul id=\"remarks\">\n");
    for one in &run.refused {
        let _ = writeln!(body, "<li>{} orders were refused: <code>{}</code></li>", one.count, escape(&one.name));
    }
    let _ = writeln!(
        body,
        "<li>{} bars reached two exits or left their order open, so that the worse was assumed.</li>",
        run.ambiguous_bars
    );
    for note in &run.notes {
        let _ = writeln!(body, "<li>{}</li>", escape(note));
    }
    body.push_str("</ul>\n");
}

fn manifest(body: &mut String, run: &Run) {
    let manifest = &run.manifest;
    body.push_str("<h2>Run</h2><div class=\"wide\"><table id=\"manifest\"><tbody>\n");
    let mut row = |name: &str, value: &str| {
        let _ =
            writeln!(body, "<tr><td>{}</td><td class=\"text\"><code>{}</code></td></tr>", escape(name), escape(value));
    };
    row("run id", &manifest.run_id);
    row("version", &manifest.version);
    if let Some(started) = &manifest.started {
        row("started", started);
    }
    row("input, SHA-256", &manifest.input_sha256);
    for input in &manifest.inputs {
        row(&input.name, &input.revision);
    }
    let _ = write!(body, "</tbody></table></div>\n<pre id=\"config\">{}</pre>\n", escape(&manifest.config));
}

fn rounded(value: f64, digits: i32) -> Json {
    let scale = 10_f64.powi(digits);
    let value = (value * scale).round() / scale;
    if value.is_finite() { json!(value) } else { Json::Null }
}

fn dates(dates: impl Iterator<Item = SessionDate>) -> Vec<String> {
    dates.map(|date| date.to_string()).collect()
}

/// What the charts draw.
fn data(run: &Run) -> Json {
    let instruments: Vec<Json> = run
        .instruments
        .iter()
        .map(|one| {
            let fills = run.fills.iter().filter(|fill| fill.symbol == one.symbol).map(|fill| {
                let verb = if fill.quantity > 0.0 { "bought" } else { "sold" };
                let text = format!("{verb} {} at {}, fee {}", fill.quantity.abs(), amount(fill.price), amount(fill.fee));
                json!({ "date": fill.date, "price": rounded(fill.chart_price, 6), "side": fill.quantity.signum(), "text": text })
            });
            json!({
                "symbol": one.symbol,
                "dates": dates(one.bars.iter().map(|bar| bar.date)),
                "close": one.bars.iter().map(|bar| rounded(bar.close, 6)).collect::<Vec<_>>(),
                "fills": fills.collect::<Vec<_>>(),
            })
        })
        .collect();
    let worst = deepest(&run.equity).map(|worst| {
        let end = worst.recovery.unwrap_or(run.equity.len() - 1);
        json!({ "peak": run.equity[worst.peak].date, "end": run.equity[end].date })
    });
    json!({
        "dates": dates(run.equity.iter().map(|point| point.date)),
        "equity": run.equity.iter().map(|point| rounded(point.equity, 2)).collect::<Vec<_>>(),
        "drawdown": depths(&run.equity).into_iter().map(|depth| rounded(depth, 8)).collect::<Vec<_>>(),
        "sharpe": rolling_sharpe(run),
        "worst": worst,
        "instruments": instruments,
    })
}

/// Sharpe ratio of the last [`WINDOW`] returns; null before there are so many, and where equity does not move.
fn rolling_sharpe(run: &Run) -> Vec<Json> {
    let returns: Vec<f64> = run.equity.windows(2).map(|pair| pair[1].equity / pair[0].equity - 1.0).collect();
    let mut values = vec![Json::Null; run.equity.len()];
    for (at, window) in returns.windows(WINDOW).enumerate() {
        let mean = window.iter().sum::<f64>() / WINDOW as f64;
        let variance = window.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (WINDOW - 1) as f64;
        if variance > 1e-24 {
            values[at + WINDOW] = rounded(mean / variance.sqrt() * 252_f64.sqrt(), 6);
        }
    }
    values
}
