//! Our figures against those of backtrader, empyrical and quantstats in `tests/oracles/golden`.
//!
//! The goldens hold fills, not the equity of each day; from the fills and the raw closes of `data/sample` the equity
//! the judges saw is put together again, so that a fault in the engine cannot hide one in the metrics.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use domain::SessionDate;
use report::run::{EquityPoint, Fill, Manifest, Run, Trade};
use report::{Metrics, Rates, Value, metrics};
use serde_json::Value as Json;

const CASH: f64 = 100_000.0;
const EMPYRICAL: [&str; 12] = [
    "cum_returns_final",
    "annual_return",
    "annual_volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "alpha",
    "beta",
    "value_at_risk",
    "conditional_value_at_risk",
    "tail_ratio",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn closes(symbol: &str) -> Vec<(SessionDate, f64)> {
    let text = fs::read_to_string(root().join(format!("data/sample/daily_adjusted_{symbol}.csv"))).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        (SessionDate::parse(fields[0]).unwrap(), fields[4].parse().unwrap())
    };
    // Newest first.
    let mut closes: Vec<_> = text.lines().skip(1).map(row).collect();
    closes.reverse();
    closes
}

/// The run the judges saw.
fn rebuilt(symbol: &str, golden: &Json) -> (Run, Vec<f64>) {
    let closes = closes(symbol);
    let fill = |fill: &Json| Fill {
        date: SessionDate::parse(fill[0].as_str().unwrap()).unwrap(),
        symbol: symbol.to_owned(),
        quantity: fill[2].as_f64().unwrap(),
        price: fill[3].as_f64().unwrap(),
        chart_price: fill[3].as_f64().unwrap(),
        fee: fill[4].as_f64().unwrap(),
    };
    let fills: Vec<Fill> = golden["fills"].as_array().unwrap().iter().map(fill).collect();
    let (mut cash, mut held) = (CASH, 0.0);
    let mut equity = Vec::new();
    for (date, close) in &closes {
        for fill in fills.iter().filter(|fill| fill.date == *date) {
            held += fill.quantity;
            cash -= fill.quantity * fill.price + fill.fee;
        }
        let net: f64 = held * close;
        equity.push(EquityPoint { date: *date, equity: cash + net, cash, net, gross: net.abs() });
    }
    let trade = |profit: &Json| Trade {
        symbol: symbol.to_owned(),
        opened: closes[0].0,
        closed: Some(closes[1].0),
        quantity: 100.0,
        entry: 1.0,
        exit: Some(1.0),
        profit: profit.as_f64().unwrap(),
        fees: 0.0,
        bars: 1,
    };
    let run = Run {
        manifest: Manifest {
            run_id: String::new(),
            name: String::new(),
            version: String::new(),
            config: String::new(),
            inputs: Vec::new(),
            input_sha256: String::new(),
            started: None,
            synthetic: false,
        },
        instruments: Vec::new(),
        equity,
        trades: golden["trades"]["pnl"].as_array().unwrap().iter().map(trade).collect(),
        fills,
        refused: Vec::new(),
        ambiguous_bars: 0,
        notes: Vec::new(),
    };
    (run, closes.windows(2).map(|pair| pair[1].1 / pair[0].1 - 1.0).collect())
}

/// Every strategy on every symbol: a name for messages, what the judges say, our figures.
fn judged() -> Vec<(String, Json, Metrics)> {
    let mut all = Vec::new();
    for symbol in ["AAPL", "FB", "GOOG", "IBM", "MSFT"] {
        let text = fs::read_to_string(root().join(format!("tests/oracles/golden/{symbol}.json"))).unwrap();
        let golden: Json = serde_json::from_str(&text).unwrap();
        for (name, strategy) in golden["strategies"].as_object().unwrap() {
            let (run, benchmark) = rebuilt(symbol, strategy);
            let ours = metrics(&run, Some(&benchmark), Rates::default());
            all.push((format!("{name} on {symbol}"), strategy.clone(), ours));
        }
    }
    assert_eq!(all.len(), 20);
    all
}

#[track_caller]
fn same(what: &str, ours: Option<f64>, theirs: &Json) {
    let close = match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= (1e-9 * theirs.abs().max(ours.abs())).max(1e-12),
        (None, None) => theirs.is_null(),
        _ => false,
    };
    assert!(close, "{what}: ours {ours:?}, the judge's {theirs}");
}

#[test]
fn metrics_of_returns_equal_empyricals_and_quantstats() {
    for (run, golden, ours) in judged() {
        for name in EMPYRICAL {
            same(&format!("{name}, {run}"), ours.number(name), &golden["metrics"]["empyrical"][name]);
        }
        let theirs = [("skew", "skew"), ("kurtosis", "kurtosis"), ("best_session", "best"), ("worst_session", "worst")];
        for (name, judge) in theirs {
            same(&format!("{name}, {run}"), ours.number(name), &golden["metrics"]["quantstats"][judge]);
        }
        same(&format!("final_equity, {run}"), ours.number("final_equity"), &golden["final_equity"]);
    }
}

#[test]
fn backtraders_figures_equal_backtraders() {
    for (run, golden, ours) in judged() {
        for name in ["sqn", "sharpe_ratio_a", "max_drawdown_sessions"] {
            // backtrader calls the SQN of a single trade zero; it has no deviation, so ours is null.
            let single = name == "sqn" && golden["trades"]["closed"] == 1;
            let theirs = if single { &Json::Null } else { &golden["analyzers"][name] };
            same(&format!("{name}, {run}"), ours.number(name), theirs);
        }
        same(&format!("trades, {run}"), ours.number("trades"), &golden["trades"]["closed"]);
        if let Some(rate) = ours.number("win_rate") {
            let closed = golden["trades"]["closed"].as_f64().unwrap();
            same(&format!("won, {run}"), Some((rate * closed).round()), &golden["trades"]["won"]);
        }
    }
}

#[test]
fn drawdown_dates_equal_the_judges() {
    for (run, golden, ours) in judged() {
        for (name, theirs) in [("peak", "peak"), ("trough", "valley"), ("recovery", "recovery")] {
            let date = match &ours.get(&format!("drawdown_{name}")).unwrap().value {
                Value::Date(date) => Some(date.as_str()),
                _ => None,
            };
            assert_eq!(date, golden["metrics"]["drawdown_dates"][theirs].as_str(), "{name}, {run}");
        }
    }
}
