//! What the charts draw, as JSON inside the page.

use serde::Serialize;

use crate::metrics::{Fall, drawdowns, returns};
use crate::run::{Fill, Instrument, Run};
use crate::statistics as stats;

/// Sessions in the window of the rolling Sharpe ratio: half a year.
pub(super) const WINDOW: usize = 126;

#[derive(Serialize)]
struct Charts<'a> {
    equity: Equity,
    instruments: Vec<Prices<'a>>,
}

#[derive(Serialize)]
struct Equity {
    date: Vec<String>,
    equity: Vec<f64>,
    drawdown: Vec<f64>,
    /// Null while the window is not full.
    sharpe: Vec<Option<f64>>,
    /// Peak and recovery of the deepest drawdown, or the last session while there is none.
    worst: Option<[String; 2]>,
}

#[derive(Serialize)]
struct Prices<'a> {
    symbol: &'a str,
    date: Vec<String>,
    close: Vec<f64>,
    bought: Markers,
    sold: Markers,
}

#[derive(Serialize, Default)]
struct Markers {
    date: Vec<String>,
    /// In shares of the last day, as the line is.
    price: Vec<f64>,
    quantity: Vec<f64>,
    /// As paid then.
    paid: Vec<f64>,
}

/// What the charts show, as JSON.
pub(super) fn json(run: &Run) -> String {
    let points = &run.equity;
    let charts = Charts {
        equity: Equity {
            date: points.iter().map(|point| point.date.to_string()).collect(),
            equity: points.iter().map(|point| short(point.equity)).collect(),
            drawdown: drawdowns(points).into_iter().map(|depth| round(depth, 1e6)).collect(),
            sharpe: rolling_sharpe(run),
            worst: worst(run),
        },
        instruments: run.instruments.iter().map(|one| prices(one, &run.fills)).collect(),
    };
    // Writing plain vectors to a string cannot fail.
    serde_json::to_string(&charts).unwrap_or_default()
}

fn prices<'a>(instrument: &'a Instrument, fills: &[Fill]) -> Prices<'a> {
    let (mut bought, mut sold) = (Markers::default(), Markers::default());
    for fill in fills.iter().filter(|fill| fill.symbol == instrument.symbol) {
        let side = if fill.quantity > 0.0 { &mut bought } else { &mut sold };
        side.date.push(fill.date.to_string());
        side.price.push(short(fill.chart_price));
        side.quantity.push(short(fill.quantity));
        side.paid.push(short(fill.price));
    }
    Prices {
        symbol: &instrument.symbol,
        date: instrument.bars.iter().map(|bar| bar.date.to_string()).collect(),
        close: instrument.bars.iter().map(|bar| short(bar.close)).collect(),
        bought,
        sold,
    }
}

fn worst(run: &Run) -> Option<[String; 2]> {
    let fall = Fall::deepest(&run.equity)?;
    let end = fall.recovery.map_or(run.equity.last(), |at| run.equity.get(at))?;
    Some([run.equity.get(fall.peak)?.date.to_string(), end.date.to_string()])
}

/// Sharpe ratio of the last [`WINDOW`] returns, a year of 252 sessions, no risk-free rate.
fn rolling_sharpe(run: &Run) -> Vec<Option<f64>> {
    let mut rolling = vec![None; run.equity.len()];
    for (at, window) in returns(&run.equity).unwrap_or_default().windows(WINDOW).enumerate() {
        let ratio = stats::mean(window).zip(stats::deviation(window, 1)).map(|(mean, by)| mean / by * 252_f64.sqrt());
        rolling[at + WINDOW] = ratio.and_then(stats::finite).map(|ratio| round(ratio, 1e4));
    }
    rolling
}

/// Without the dust of floats, which would double the size of the page.
fn short(value: f64) -> f64 {
    round(value, 1e6)
}

fn round(value: f64, to: f64) -> f64 {
    let rounded = (value * to).round() / to;
    if rounded.is_finite() { rounded + 0.0 } else { value }
}
