//! Targets from a table: a CSV file or an SQL query with the columns `dt, sym, target`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{Bar, InstrumentId, Quantity, Ratio, SessionDate, Symbol};
use lake::Lake;
use serde::Deserialize;
use strategies::{StrategyConfig, TableRow};

use crate::config::RunConfig;
use crate::keys::suggestion;
use crate::sibling;

#[derive(Debug, Deserialize)]
struct Row {
    dt: String,
    sym: String,
    target: String,
}

/// Reads the table of a run file; nothing for a rule that needs none.
///
/// # Errors
/// No table, or one that cannot be read: one sentence with the line.
pub fn read(config: &RunConfig, run_file: &Path, lake: &str) -> Result<Vec<TableRow>> {
    let StrategyConfig::Targets { file, sql } = &config.strategy else { return Ok(Vec::new()) };
    match (file, sql) {
        (Some(file), None) => {
            let path = run_file.parent().unwrap_or(Path::new("")).join(file);
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read the table of targets `{}`", path.display()))?;
            rows(&text, &config.data.symbols).with_context(|| format!("the table of targets `{}`", path.display()))
        }
        (None, Some(sql)) => {
            let text = sibling::SQL.output(&[sql, "--lake", lake, "--format", "csv"]).context("strategy.sql")?;
            rows(&text, &config.data.symbols).context("the answer to strategy.sql")
        }
        _ => bail!("strategy targets needs either strategy.file or strategy.sql"),
    }
}

/// Restates rows from before the run's first date over the splits up to it, which the run does not see.
///
/// # Errors
/// A file of the lake cannot be read, or shares that do not fit.
pub fn carry(rows: &mut [TableRow], config: &RunConfig, lake: &Lake) -> Result<()> {
    let Some(from) = config.data.from else { return Ok(()) };
    for (symbol, id) in config.data.symbols.iter().zip(0..) {
        let mut early: Vec<&mut TableRow> =
            rows.iter_mut().filter(|row| row.instrument == InstrumentId(id) && row.session < from).collect();
        if early.is_empty() {
            continue;
        }
        for split in lake.actions(symbol, None)?.iter().filter(|one| one.kind == "split" && one.ex_date < from) {
            let Some(ratio) = Ratio::from_units(split.value.units()) else { continue };
            for row in early.iter_mut().filter(|row| row.session < split.ex_date) {
                row.target = ratio.quantity(row.target).with_context(|| {
                    format!("the target for {symbol} on {} has too many shares after a split", row.session)
                })?;
            }
        }
    }
    Ok(())
}

/// What a reader of the report should know of rows that no bar or no session of their own belongs to.
#[must_use]
pub fn notes(rows: &[TableRow], bars: &[Bar]) -> Vec<String> {
    let mut ends: BTreeMap<InstrumentId, (SessionDate, SessionDate)> = BTreeMap::new();
    for bar in bars {
        ends.entry(bar.instrument).or_insert((bar.session, bar.session)).1 = bar.session;
    }
    let count = |outside: fn(&TableRow, SessionDate, SessionDate) -> bool| {
        rows.iter()
            .filter(|row| ends.get(&row.instrument).is_some_and(|(first, last)| outside(row, *first, *last)))
            .count()
    };
    let early = count(|row, first, _| row.session < first);
    let late = count(|row, _, last| row.session >= last);
    let mut notes = Vec::new();
    if early > 0 {
        notes.push(format!("Targets dated before the first bar of their symbol (the last counts from it): {early}."));
    }
    if late > 0 {
        notes.push(format!("Targets without a later bar of their symbol (they change nothing): {late}."));
    }
    notes
}

fn rows(text: &str, symbols: &[Symbol]) -> Result<Vec<TableRow>> {
    let ids: BTreeMap<&Symbol, u32> = symbols.iter().zip(0..).collect();
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    if text.trim().is_empty() {
        bail!("is empty; it needs the columns dt, sym and target, as in `2024-12-31,IBM,100`");
    }
    let header: Vec<String> = reader.headers().context("has no header")?.iter().map(str::to_ascii_lowercase).collect();
    for column in ["dt", "sym", "target"] {
        if !header.iter().any(|name| name == column) {
            bail!("has no column `{column}`; it needs dt, sym and target");
        }
    }
    reader.set_headers(header.into());
    let mut found = Vec::new();
    let mut lines = BTreeMap::new();
    for (row, line) in reader.into_deserialize::<Row>().zip(2..) {
        let row = row.with_context(|| format!("line {line} is not dt, sym, target"))?;
        let session = SessionDate::parse(&row.dt)
            .map_err(|_| anyhow::anyhow!("line {line}: `{}` is not a date; write 2024-12-31", row.dt))?;
        let symbol = Symbol::new(&row.sym).with_context(|| format!("line {line}"))?;
        let Some(id) = ids.get(&symbol) else {
            let known: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
            bail!("line {line}: {symbol} is not in data.symbols{}", suggestion(symbol.as_str(), &known));
        };
        let target = Quantity::parse(&row.target)
            .map_err(|_| anyhow::anyhow!("line {line}: the target `{}` is not a number of shares", row.target))?;
        if let Some(first) = lines.insert((session, *id), line) {
            bail!("lines {first} and {line} both have a target for {symbol} on {session}; leave one of them");
        }
        found.push(TableRow { session, instrument: InstrumentId(*id), target });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<TableRow>, String> {
        rows(text, &[Symbol::new("AAPL").unwrap(), Symbol::new("IBM").unwrap()]).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn columns_may_stand_in_any_order_and_case() {
        let found = read("\u{feff}Target, SYM, dt\n-50, ibm, 2004-01-05\n").unwrap();
        assert_eq!(found[0].instrument, InstrumentId(1));
        assert_eq!(found[0].target, Quantity::whole(-50).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert!(read("").unwrap_err().starts_with("is empty; it needs the columns"));
        let twice = "dt,sym,target\n2004-01-05,AAPL,1\n2004-01-05,IBM,1\n2004-01-05,aapl,2\n";
        assert_eq!(
            read(twice).unwrap_err(),
            "lines 2 and 4 both have a target for AAPL on 2004-01-05; leave one of them"
        );
        assert!(read("dt,sym\n").unwrap_err().contains("no column `target`"));
        assert!(
            read("dt,sym,target\n2004-01-05,AAPL,1\n05/01/2004,AAPL,1\n")
                .unwrap_err()
                .starts_with("line 3: `05/01/2004`")
        );
        assert!(read("dt,sym,target\n2004-01-05,APPL,1\n").unwrap_err().contains("did you mean `AAPL`"));
        assert!(read("dt,sym,target\n2004-01-05,AAPL,many\n").unwrap_err().contains("`many` is not a number"));
        assert!(read("dt,sym,target\n2004-01-05,AAPL\n").unwrap_err().contains("line 2"));
    }
}
