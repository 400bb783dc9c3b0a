//! A strategy of your own, in twenty lines: buy after three falling closes, sell after one that rises.
//!
//!     cargo run --release --example own_strategy -- demo/lake IBM
//!
//! It runs through the doors the built-in ones use: the same engine, costs and limits, the look-ahead check, a journal
//! and a tear sheet.

use std::path::Path;

use algotrading::{backtest, config::RunConfig, folder, lookahead};
use domain::{Bar, Decisions, InstrumentId, Price, Quantity, Ratio, Strategy, View};
use strategies::Inputs;

/// Buys dips: long after `falls` falling closes in a row, flat after a rising one.
struct BuyDips {
    falls: u32,
    size: Quantity,
    last: Option<Price>,
    seen: u32,
}

impl Strategy for BuyDips {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let fell = self.last.is_some_and(|last| bar.close < last);
        self.seen = if fell { self.seen + 1 } else { 0 };
        self.last = Some(bar.close);
        if self.seen >= self.falls {
            decisions.target(bar.instrument, self.size);
        } else if !fell && !view.position(bar.instrument).is_zero() {
            decisions.target(bar.instrument, Quantity::ZERO);
        }
    }

    fn on_split(&mut self, _instrument: InstrumentId, ratio: Ratio) {
        // Remembered prices are restated, so that a split is no falling close.
        self.last = self.last.and_then(|last| ratio.price(last).ok());
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(lake), Some(symbol)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: own_strategy LAKE SYM   (`algotrading demo` makes demo/lake)");
    };
    // The rule named here is not used; everything else of the run file is.
    let run = format!(
        "data.symbols = [\"{symbol}\"]\nstrategy = {{ name = \"targets\" }}\ncosts.commission_per_share = 0.005\n"
    );
    let config = RunConfig::layered(toml::from_str(&run)?, std::iter::empty(), &[])?;
    let prepared = backtest::prepare(config, &lake::Lake::open(&lake)?, Inputs::default())?.named("Buy dips");
    let strategy = || BuyDips { falls: 3, size: Quantity::from_units(100 * Quantity::UNITS), last: None, seen: 0 };

    let verdict = lookahead::check(&prepared, 12, |_| Ok(strategy()))?;
    anyhow::ensure!(verdict.leaks.is_empty(), "the strategy sees the future: {:?}", verdict.leaks);

    let finished = folder::backtest(&prepared, strategy(), Path::new("runs/own_strategy"))?;
    println!("{} trades: {}", finished.run.trades.len(), finished.folder.join(folder::SHEET).display());
    Ok(())
}
