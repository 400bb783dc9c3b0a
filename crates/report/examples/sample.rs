//! Writes the tear sheet of a made-up run: `cargo run -p report --example sample -- sheet.html`.
//!
//! The browser test and anyone who works on the page use it; a real run comes from `algotrading backtest`.

use std::process::ExitCode;

use domain::SessionDate;
use report::run::{EquityPoint, Fill, Input, Instrument, Manifest, PriceBar, Refused, Run, Trade};
use report::{Rates, metrics, tear_sheet};

const CASH: f64 = 100_000.0;
const SIZE: f64 = 100.0;
const HOLD: usize = 37;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("give the file to write: cargo run -p report --example sample -- sheet.html");
        return ExitCode::from(2);
    };
    let (run, benchmark) = made_up();
    let figures = metrics(&run, Some(&benchmark), Rates::default());
    match std::fs::write(&path, tear_sheet(&run, &figures)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write `{path}`: {error}; choose another file");
            ExitCode::FAILURE
        }
    }
}

/// Three instruments on a random walk, each long and short in turn; the last trade of each stays open.
fn made_up() -> (Run, Vec<f64>) {
    let dates: Vec<SessionDate> =
        (13_150..15_650).map(SessionDate::from_days).filter(|date| date.weekday() < 5).collect();
    let mut noise = Noise(2_013);
    let instruments: Vec<Instrument> = [("ALFA", 40.0), ("BRAVO", 120.0), ("CHARLIE", 15.0)]
        .map(|(name, start)| walk(name, start, &dates, &mut noise))
        .into();
    let mut run = Run {
        manifest: Manifest {
            run_id: "0f3c5a9be1d24c77".to_owned(),
            name: "Made-up walk".to_owned(),
            version: "0.1.0".to_owned(),
            config:
                "[data]\nsymbols = [\"ALFA\", \"BRAVO\", \"CHARLIE\"]\n\n[strategy]\nname = \"made up\"\nsize = 100\n"
                    .to_owned(),
            inputs: vec![Input { name: "generator".to_owned(), revision: "seed 2013".to_owned() }],
            input_sha256: "9f".repeat(32),
            started: None,
            synthetic: true,
        },
        instruments,
        equity: Vec::new(),
        trades: Vec::new(),
        fills: Vec::new(),
        refused: vec![Refused {
            name: "order_notional".to_owned(),
            count: 3,
            first: "2010-05-06 in ABC: its value is 120000, and at most 100000 is allowed".to_owned(),
        }],
        ambiguous_bars: 2,
        notes: vec!["2 bars are flagged as jumps without a corporate action.".to_owned()],
    };
    for (at, instrument) in run.instruments.iter().enumerate() {
        trade(instrument, at, &mut run.fills, &mut run.trades);
    }
    run.fills.sort_by_key(|fill| fill.date);
    run.trades.sort_by_key(|trade| (trade.closed.is_none(), trade.closed));
    run.equity = account(&run);
    let change = |at: usize| {
        let moves = run.instruments.iter().map(|one| one.bars[at].close / one.bars[at - 1].close - 1.0);
        moves.sum::<f64>() / run.instruments.len() as f64
    };
    let benchmark = (1..dates.len()).map(change).collect();
    (run, benchmark)
}

fn walk(symbol: &str, start: f64, dates: &[SessionDate], noise: &mut Noise) -> Instrument {
    let mut close = start;
    let bar = |date: &SessionDate| {
        let open = cents(close * (1.0 + noise.next() * 0.01));
        close = cents(open * (1.0 + 0.0004 + noise.next() * 0.025));
        let (high, low) = (cents(open.max(close) * 1.004), cents(open.min(close) * 0.996));
        PriceBar { date: *date, open, high, low, close, volume: 1e6 }
    };
    Instrument { symbol: symbol.to_owned(), bars: dates.iter().map(bar).collect() }
}

fn trade(instrument: &Instrument, offset: usize, fills: &mut Vec<Fill>, trades: &mut Vec<Trade>) {
    let fill = |bar: &PriceBar, quantity: f64| Fill {
        date: bar.date,
        symbol: instrument.symbol.clone(),
        quantity,
        price: bar.open,
        chart_price: bar.open,
        fee: 1.0,
    };
    let starts: Vec<usize> = (200 + offset * 11..instrument.bars.len()).step_by(HOLD).collect();
    for (nth, at) in starts.iter().enumerate() {
        let quantity = if nth % 3 == 2 { -SIZE } else { SIZE };
        let entry = &instrument.bars[*at];
        let exit = instrument.bars.get(at + HOLD - 5);
        let last = exit.or(instrument.bars.last()).unwrap_or(entry);
        fills.push(fill(entry, quantity));
        fills.extend(exit.map(|bar| fill(bar, -quantity)));
        let fees = if exit.is_some() { 2.0 } else { 1.0 };
        let out = if exit.is_some() { last.open } else { last.close };
        trades.push(Trade {
            symbol: instrument.symbol.clone(),
            opened: entry.date,
            closed: exit.map(|bar| bar.date),
            quantity,
            entry: entry.open,
            exit: exit.map(|bar| bar.open),
            profit: (out - entry.open) * quantity - fees,
            fees,
            bars: exit.map_or(instrument.bars.len() - at, |_| HOLD - 5) as u32,
        });
    }
}

fn account(run: &Run) -> Vec<EquityPoint> {
    let mut fills = run.fills.iter().peekable();
    let (mut cash, mut held) = (CASH, vec![0.0; run.instruments.len()]);
    let day = |at: usize| {
        let date = run.instruments[0].bars[at].date;
        while let Some(fill) = fills.next_if(|fill| fill.date <= date) {
            cash -= fill.quantity * fill.price + fill.fee;
            for (held, _) in held.iter_mut().zip(&run.instruments).filter(|(_, one)| one.symbol == fill.symbol) {
                *held += fill.quantity;
            }
        }
        let values: Vec<f64> = held.iter().zip(&run.instruments).map(|(held, one)| held * one.bars[at].close).collect();
        let (net, gross) = (values.iter().sum::<f64>(), values.iter().map(|value| value.abs()).sum());
        EquityPoint { date, equity: cash + net, cash, net, gross }
    };
    (0..run.instruments[0].bars.len()).map(day).collect()
}

fn cents(price: f64) -> f64 {
    (price * 100.0).round() / 100.0
}

/// The same numbers each time, between -1 and 1 and mostly small.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        (self.uniform() + self.uniform() + self.uniform()) / 1.5 - 1.0
    }
}
