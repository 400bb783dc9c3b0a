//! `algotrading demo`: the whole way on the sample, from the vendor's files to tear sheets.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lake::{ImportRequest, Lake};
use models::Card;
use models::registry::Registry;

use super::backtest::{Trades, summary};
use super::data;
use crate::args::Demo;
use crate::config::RunConfig;
use crate::folder::{self, Finished, SHEET, cannot_write};
use crate::print::{Reply, count};
use crate::shelf::Shelf;

macro_rules! sample {
    ($($symbol:literal),*) => {
        [$((concat!("daily_adjusted_", $symbol, ".csv"),
            include_bytes!(concat!("../../../../data/sample/daily_adjusted_", $symbol, ".csv")).as_slice())),*]
    };
}

/// The sample travels in the program, so that the demo needs nothing else.
static SAMPLE: [(&str, &[u8]); 5] = sample!("AAPL", "FB", "GOOG", "IBM", "MSFT");

/// A small model, trained on the sample before 2009; data/models/forecast.toml says how.
static CARD: &[u8] = include_bytes!("../../../../data/models/forecast/model.json");
static WEIGHTS: &[u8] = include_bytes!("../../../../data/models/forecast/weights.safetensors");

/// The reference's strategies, on one account, with costs it left out; the forecast only where its model has not
/// been, and from the chance on at which its target and stop break even.
const STRATEGIES: [(&str, &str, &str); 4] = [
    ("sma", "name = \"sma\"\nfast = 50\nslow = 200\nsize = 100", "2000-03-01"),
    ("ema", "name = \"ema\"\nfast = 8\nslow = 21\nsize = 100", "2000-03-01"),
    ("breakout", "name = \"breakout\"\nperiod = 50\nsize = 100", "2000-03-01"),
    (
        "forecast",
        "name = \"forecast\"\nmodel = \"forecast\"\nlong_threshold = 0.43\nshort_threshold = 0.43\nsize = 100",
        "2009-01-02",
    ),
];

const REST: &str = "
[account]
cash = 250000

[costs]
commission_per_share = 0.005
commission_min = 1
spread_bps = 2
volume_share_max = 0.1
borrow_bps = 50
";

pub(super) fn run(args: &Demo) -> Result<Reply> {
    let start = Instant::now();
    let out = &args.out;
    let files = out.join("vendor");
    let vendor = SAMPLE.map(|(name, bytes)| (files.join(name), bytes.to_vec()));
    let run_files = STRATEGIES.map(|(name, strategy, from)| {
        let symbols = SAMPLE.map(|(file, _)| file.trim_start_matches("daily_adjusted_").trim_end_matches(".csv"));
        let text = format!("[strategy]\n{strategy}\n\n[data]\nsymbols = {symbols:?}\nfrom = {from}\n{REST}");
        (out.join(format!("{name}.toml")), text.into_bytes())
    });
    let all = || vendor.iter().chain(&run_files);
    if let Some((path, _)) = all().find(|(path, bytes)| fs::read(path).is_ok_and(|found| found != *bytes)) {
        bail!("`{}` is not the demo's (any more) and would be lost; move it or choose another --out", path.display());
    }
    fs::create_dir_all(&files).with_context(|| cannot_write(&files))?;
    for (path, bytes) in all() {
        fs::write(path, bytes).with_context(|| cannot_write(path))?;
    }
    let paths = vendor.into_iter().map(|(path, _)| path).collect();
    let location = out.join("lake").display().to_string();
    let request = ImportRequest {
        paths,
        profile: None,
        symbol: None,
        known_at: None,
        now: data::now()?,
        strict: false,
        behind: false,
    };
    let lake = Lake::create(&location)?;
    let summary_of_import = data::import_with_progress(&lake, &request)?;
    eprint!("{}", data::counts(&summary_of_import));
    let shelf = Shelf(&lake);
    let registry = Registry(&shelf);
    let card = Card::read(CARD)?;
    let version = registry.keep(&card, vec![(card.weights.file.clone(), WEIGHTS.to_vec())])?;
    registry.promote(&format!("{}@{version}", card.name))?;

    let mut finished = Vec::new();
    for ((name, ..), (path, _)) in STRATEGIES.iter().zip(&run_files) {
        let prepared = super::load(RunConfig::load(path, [], &[])?, path, &location)?;
        finished.push(folder::backtest(&prepared, prepared.strategy()?, &out.join("runs").join(name))?);
    }
    let index = out.join("index.html");
    fs::write(&index, overview(&finished)).with_context(|| cannot_write(&index))?;

    let bars: usize = finished.iter().flat_map(|one| &one.run.instruments).map(|one| one.bars.len()).sum();
    let mut text = summary(&finished.iter().collect::<Vec<_>>());
    text.push_str("the forecast is traded only after what its model was trained on, from 2009 on\n");
    text.push_str(&format!("\nreport: {}\n", index.display()));
    for one in &finished {
        text.push_str(&format!("        {}\n", one.folder.join(SHEET).display()));
    }
    text.push_str(&format!(
        "{} bars traded in four backtests; everything took {:.1} s\n",
        count(bars as u64),
        start.elapsed().as_secs_f64()
    ));
    Ok(Reply::ok(text))
}

fn overview(finished: &[Finished]) -> String {
    let rows: Vec<report::IndexRow> = finished
        .iter()
        .map(|one| report::IndexRow {
            name: one.run.manifest.name.clone(),
            href: format!("runs/{}/{SHEET}", one.folder.file_name().unwrap_or_default().to_string_lossy()),
            trades: Trades::of(one).closed as u64,
            final_equity: one.run.equity.last().map_or(0.0, |point| point.equity),
            cagr: one.metrics.number("annual_return"),
            sharpe: one.metrics.number("sharpe_ratio"),
            max_drawdown: one.metrics.number("max_drawdown"),
            run_id: one.run.manifest.run_id.clone(),
        })
        .collect();
    report::index_page("Four strategies on five stocks, 2000 to 2013", &rows)
}
