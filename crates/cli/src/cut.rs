//! A lake that ends at a date, for asking a query what it would have answered then.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use domain::{Price, SessionDate, Timestamp};
use lake::{Adjust, ImportRequest, Lake};

/// Copies the bars and corporate actions of every symbol up to and including `last` into a lake at `folder`.
///
/// Bars go through the importer again, as vendors' files with raw prices, so that the copy is a lake like any other.
///
/// # Errors
/// A lake that cannot be read, or a folder that cannot be written.
pub fn cut(lake: &Lake, last: SessionDate, folder: &Path, now: Timestamp) -> Result<()> {
    let files = folder.join("vendor");
    fs::create_dir_all(&files).with_context(|| format!("cannot write `{}`", files.display()))?;
    let mut paths = Vec::new();
    for info in lake.symbols()?.iter().filter(|info| info.first <= last) {
        let bars = lake.show(&info.symbol, None, Some(last), None, Adjust::None)?;
        let actions = lake.actions(&info.symbol, None)?;
        let mut text =
            String::from("timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n");
        let mut before = None;
        for bar in &bars {
            // An action between two bars counts from the later one.
            let since = |date: SessionDate| before.is_none_or(|before| date > before) && date <= bar.dt;
            let value = |kind: &str, none: &str| {
                let of = actions.iter().filter(|one| one.kind == kind && since(one.ex_date));
                of.map(|one| one.value).next_back().map_or(none.to_owned(), |value: Price| value.to_string())
            };
            let (dividend, split) = (value("dividend", "0"), value("split", "1"));
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{dividend},{split}",
                bar.dt, bar.open, bar.high, bar.low, bar.close, bar.close, bar.vol
            );
            before = Some(bar.dt);
        }
        let path = files.join(format!("{}.csv", info.symbol.as_str().replace('/', "_")));
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        paths.push((path, info.symbol.clone()));
    }
    let copy = Lake::create(&folder.join("lake").display().to_string())?;
    for (path, symbol) in paths {
        let request = ImportRequest {
            paths: vec![path],
            profile: Some("alpha_vantage_daily_adjusted".to_owned()),
            symbol: Some(symbol),
            known_at: None,
            now,
            strict: false,
            behind: false,
        };
        copy.import(&request, &mut |_| {})?;
    }
    Ok(())
}
