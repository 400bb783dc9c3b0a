//! How fast the event-driven engine is: one backtest, and a sweep of 1,000 parameter pairs through the same engine.
//!
//! `engine_bench CSV [--repeat N]` reads a file in the workshop's layout and prints one JSON line.

use std::hint::black_box;
use std::time::Instant;

use domain::{Bar, Calendar, InstrumentId, Money, Price, Quantity, SessionDate};
use engine::{Engine, Limits};
use rayon::prelude::*;
use simulator::{Costs, Market, Venue};
use strategies::SmaCrossover;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| anyhow::anyhow!("usage: engine_bench CSV [single|sweep] [REPEATS]"))?;
    let what = arguments.next().unwrap_or_default();
    let repeats: u32 = arguments.next().map_or(Ok(3_000), |text| text.parse())?;
    let bars = read(&path)?;
    let market = Market::new(Calendar::nyse(), bars, Vec::new(), Vec::new())?;
    let count = market.bars().len();

    if what != "sweep" {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..repeats {
                black_box(final_equity(black_box(&market), 50, 200)?);
            }
            best = best.min(start.elapsed().as_secs_f64() / f64::from(repeats));
        }
        println!(
            "{}",
            serde_json::json!({"what": "single", "bars": count, "seconds": best, "bars_per_second": count as f64 / best,
                "final_equity": final_equity(&market, 50, 200)?.to_f64()})
        );
    }
    if what != "single" {
        let combos: Vec<(usize, usize)> =
            (5..45).flat_map(|fast| (60..253).step_by(8).map(move |slow| (fast, slow))).take(1_000).collect();
        let mut best = f64::INFINITY;
        let mut equities = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            equities = combos
                .par_iter()
                .map(|&(fast, slow)| final_equity(&market, fast, slow))
                .collect::<Result<Vec<_>, _>>()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        let equities: Vec<f64> = equities.into_iter().map(Money::to_f64).collect();
        println!(
            "{}",
            serde_json::json!({"what": "sweep", "bars": count, "combos": combos.len(), "seconds": best,
                "bars_per_second": (count * combos.len()) as f64 / best, "sum": equities.iter().sum::<f64>(), "final_equity": &equities[..equities.len().min(1000)]})
        );
    }
    Ok(())
}

fn final_equity(market: &Market, fast: usize, slow: usize) -> anyhow::Result<Money> {
    let size = Quantity::whole(100)?;
    let strategy = SmaCrossover::new(fast, slow, size, 1);
    let mut engine = Engine::new(strategy, Money::parse("100000")?, 1, Limits::default());
    let mut venue = Venue::new(Costs::default(), 1);
    simulator::run(Calendar::nyse(), market, &mut engine, &mut venue, &mut ())?;
    Ok(engine.book().equity()?)
}

fn read(path: &str) -> anyhow::Result<Vec<Bar>> {
    let text = std::fs::read_to_string(path)?;
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            Ok(Bar {
                instrument: InstrumentId(0),
                session: SessionDate::parse(fields[0])?,
                open: Price::parse(fields[2])?,
                high: Price::parse(fields[3])?,
                low: Price::parse(fields[4])?,
                close: Price::parse(fields[5])?,
                volume: fields[6].parse::<f64>()? as u64,
            })
        })
        .collect()
}
