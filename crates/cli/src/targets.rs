//! Targets from a table: a CSV file or an SQL query with the columns `dt, sym, target`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{InstrumentId, Quantity, SessionDate, Symbol};
use serde::Deserialize;
use strategies::{StrategyConfig, TableRow};

use crate::config::{RunConfig, suggestion};
use crate::engine_sql;

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
            let text = engine_sql::csv(sql, lake).context("strategy.sql")?;
            rows(&text, &config.data.symbols).context("the answer to strategy.sql")
        }
        _ => bail!("strategy targets needs either strategy.file or strategy.sql"),
    }
}

fn rows(text: &str, symbols: &[Symbol]) -> Result<Vec<TableRow>> {
    let ids: BTreeMap<&Symbol, u32> = symbols.iter().zip(0..).collect();
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header: Vec<String> = reader.headers().context("has no header")?.iter().map(str::to_ascii_lowercase).collect();
    for column in ["dt", "sym", "target"] {
        if !header.iter().any(|name| name == column) {
            bail!("has no column `{column}`; it needs dt, sym and target");
        }
    }
    reader.set_headers(header.into());
    let mut found = Vec::new();
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
