//! `algotrading data import`, `check` and `show`

use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use domain::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use lake::{ImportRequest, ImportSummary, Lake, Progress};

use crate::args::{Adjust, Check, Import, Show};
use crate::print::{Reply, count, table};

pub(super) fn import(args: Import) -> Result<Reply> {
    let lake = Lake::create(&args.lake.lake)?;
    let request = ImportRequest {
        paths: args.paths,
        profile: args.profile,
        symbol: args.symbol,
        known_at: args.known_at,
        now: now()?,
        strict: args.strict,
        behind: false,
    };
    let summary = import_with_progress(&lake, &request)?;
    if args.json { Reply::json(&summary) } else { Ok(Reply::ok(counts(&summary))) }
}

/// Imports with a bar on a terminal.
pub(super) fn import_with_progress(lake: &Lake, request: &ImportRequest) -> Result<ImportSummary> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    let summary = lake.import(request, &mut |progress: Progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
        bar.set_message(progress.what);
    });
    bar.finish_and_clear();
    Ok(summary?)
}

/// The clock, read once where a command starts.
pub(super) fn now() -> Result<Timestamp> {
    let elapsed =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("this machine's clock is before 1970")?;
    Ok(Timestamp::from_nanos(i64::try_from(elapsed.as_nanos()).context("this machine's clock is past 2262")?))
}

/// The summary of an import in words.
pub(super) fn counts(summary: &ImportSummary) -> String {
    let mut text = format!(
        "{} rows read: {} stored, {} unchanged, {} quarantined; {} of the stored flagged\n",
        count(summary.read),
        count(summary.stored),
        count(summary.unchanged),
        count(summary.quarantined),
        count(summary.flagged)
    );
    for (rule, rows) in &summary.rules {
        text.push_str(&format!("  {rule}: {}\n", count(*rows)));
    }
    text
}

pub(super) fn check(args: &Check) -> Result<Reply> {
    let report = Lake::open(&args.lake.lake)?.check()?;
    let failed = !report.ok;
    let reply = if args.json { Reply::json(&report)? } else { Reply::ok(report.to_string()) };
    Ok(Reply { failed, ..reply })
}

pub(super) fn show(args: &Show) -> Result<Reply> {
    let lake = Lake::open(&args.lake.lake)?;
    let adjust = match args.adjust {
        Adjust::None => lake::Adjust::None,
        Adjust::Split => lake::Adjust::Split,
        Adjust::Total => lake::Adjust::Total,
    };
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        bail!("--from ({from}) is after --to ({to})");
    }
    let bars = lake.show(&args.symbol, args.from, args.to, args.as_of, adjust)?;
    if bars.is_empty() {
        let symbols = lake.symbols()?;
        let stored = symbols.iter().find(|info| info.symbol == args.symbol);
        let has = stored.map_or_else(String::new, |info| format!("; the lake has {} to {}", info.first, info.last));
        let known = args.as_of.map_or_else(String::new, |moment| format!(" known at {moment}"));
        bail!("{} has no bars between these dates{known}{has}", args.symbol);
    }
    if args.json {
        return Reply::json(&bars);
    }
    if args.csv {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for bar in &bars {
            writer.serialize(bar)?;
        }
        return Ok(Reply::ok(String::from_utf8(writer.into_inner()?)?));
    }
    let rows: Vec<Vec<String>> = bars
        .iter()
        .map(|bar| {
            let price = |price: domain::Price| price.to_string();
            vec![
                bar.dt.to_string(),
                price(bar.open),
                price(bar.high),
                price(bar.low),
                price(bar.close),
                bar.vol.to_string(),
                bar.flags.clone(),
            ]
        })
        .collect();
    Ok(Reply::ok(table(&["dt", "open", "high", "low", "close", "vol", "flags"], &rows, 1)))
}
