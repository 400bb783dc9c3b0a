//! Small runs.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use domain::SessionDate;
use report::run::{EquityPoint, Fill, Manifest, Run, Trade};

/// A run with this equity on consecutive days from 1999-12-29, and nothing else.
pub fn run(equity: &[f64]) -> Run {
    let point = |(at, equity): (usize, &f64)| EquityPoint {
        date: day(at),
        equity: *equity,
        cash: *equity,
        net: 0.0,
        gross: 0.0,
    };
    Run {
        manifest: Manifest {
            run_id: "run".to_owned(),
            name: "name".to_owned(),
            version: "0.1.0".to_owned(),
            config: "[data]\n".to_owned(),
            inputs: Vec::new(),
            input_sha256: "00".to_owned(),
            started: None,
            synthetic: false,
        },
        instruments: Vec::new(),
        equity: equity.iter().enumerate().map(point).collect(),
        trades: Vec::new(),
        fills: Vec::new(),
        refused: Vec::new(),
        ambiguous_bars: 0,
        notes: Vec::new(),
    }
}

/// The `at`-th day.
pub fn day(at: usize) -> SessionDate {
    SessionDate::from_days(SessionDate::from_ymd(1999, 12, 29).unwrap().days() + at as i32)
}

/// A trade of ABC with this profit.
pub fn trade(profit: f64, closed: bool) -> Trade {
    Trade {
        symbol: "ABC".to_owned(),
        opened: day(0),
        closed: closed.then(|| day(1)),
        quantity: 10.0,
        entry: 5.0,
        exit: closed.then_some(6.0),
        profit,
        fees: 1.0,
        bars: 1,
    }
}

/// A fill of ABC on the first day.
pub fn fill(quantity: f64, price: f64, fee: f64) -> Fill {
    Fill { date: day(0), symbol: "ABC".to_owned(), quantity, price, chart_price: price, fee }
}
