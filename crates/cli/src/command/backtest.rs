//! `algotrading backtest`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::args::Backtest;
use crate::folder::{self, Finished, SHEET};
use crate::print::{Reply, amount, count, figure, percent, table};

pub(super) fn run(args: &Backtest) -> Result<Reply> {
    let prepared = super::prepare(&args.run_file)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&prepared.facts.run_id));
    let finished = folder::backtest(&prepared, prepared.strategy()?, &out)?;
    reply(&finished, args.json)
}

pub(super) fn reply(finished: &Finished, json: bool) -> Result<Reply> {
    if json { Reply::json(&Answer::of(finished)) } else { Ok(Reply::ok(text(finished))) }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    run_id: &'a str,
    final_equity: Option<f64>,
    fills: Vec<Fill<'a>>,
    trades: Trades,
    metrics: &'a report::Metrics,
    /// How many orders each limit stopped.
    refused: BTreeMap<&'a str, u64>,
    ambiguous_bars: u64,
    notes: &'a [String],
    folder: &'a Path,
}

#[derive(Debug, Serialize)]
struct Fill<'a> {
    dt: String,
    sym: &'a str,
    quantity: f64,
    price: f64,
    fee: f64,
}

#[derive(Debug, Serialize, Default, Clone, Copy)]
pub(super) struct Trades {
    pub(super) closed: usize,
    pub(super) open: usize,
    pub(super) won: usize,
    pub(super) lost: usize,
}

impl Trades {
    pub(super) fn of(finished: &Finished) -> Self {
        let mut all = Self::default();
        for trade in &finished.run.trades {
            match (trade.closed, trade.profit >= 0.0) {
                (None, _) => all.open += 1,
                (Some(_), true) => all.won += 1,
                (Some(_), false) => all.lost += 1,
            }
        }
        all.closed = all.won + all.lost;
        all
    }
}

impl<'a> Answer<'a> {
    fn of(finished: &'a Finished) -> Self {
        let run = &finished.run;
        let fills = run.fills.iter().map(|fill| Fill {
            dt: fill.date.to_string(),
            sym: &fill.symbol,
            quantity: fill.quantity,
            price: fill.price,
            fee: fill.fee,
        });
        Self {
            run_id: &run.manifest.run_id,
            final_equity: run.equity.last().map(|point| point.equity),
            fills: fills.collect(),
            trades: Trades::of(finished),
            metrics: &finished.metrics,
            refused: run.refused.iter().map(|one| (one.name.as_str(), one.count)).collect(),
            ambiguous_bars: run.ambiguous_bars,
            notes: &run.notes,
            folder: &finished.folder,
        }
    }
}

/// One line of the table that `demo` and `backtest` print.
pub(super) fn summary(finished: &[&Finished]) -> String {
    let rows: Vec<Vec<String>> = finished
        .iter()
        .map(|one| {
            let metric = |name| one.metrics.number(name);
            vec![
                one.run.manifest.name.clone(),
                Trades::of(one).closed.to_string(),
                // None before a session has closed.
                one.run.equity.last().map_or_else(|| "-".to_owned(), |point| amount(point.equity)),
                percent(metric("annual_return")),
                figure(metric("sharpe_ratio")),
                percent(metric("max_drawdown")),
            ]
        })
        .collect();
    table(&["strategy", "trades", "final equity", "CAGR", "Sharpe", "max drawdown"], &rows, 1)
}

fn text(finished: &Finished) -> String {
    let mut text = summary(&[finished]);
    let run = &finished.run;
    text.push('\n');
    for one in &run.refused {
        let orders = if one.count == 1 { "order" } else { "orders" };
        let name = one.name.replace('_', " ");
        text.push_str(&format!("{} {orders} refused: {name}; the first on {}\n", count(one.count), one.first));
    }
    if run.ambiguous_bars > 0 {
        text.push_str(&format!("{} ambiguous bars: the worse of two exits was assumed\n", run.ambiguous_bars));
    }
    for note in &run.notes {
        text.push_str(&format!("{note}\n"));
    }
    text.push_str(&format!("run {}: {}\n", run.manifest.run_id, finished.folder.join(SHEET).display()));
    text
}
