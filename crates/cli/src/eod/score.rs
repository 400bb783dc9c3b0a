//! What the model says of a session, about every symbol with a bar of it: asked in this process, or of an endpoint.

use anyhow::{Context, Result, bail};
use domain::{SessionDate, Symbol, Timestamp};
use lake::Lake;
use models::features::WIDTH;
use models::{Forecast, Model};
use ports::endpoint::Endpoint;
use serde::{Deserialize, Serialize};

use super::tables::{self, Cell};
use super::{Outcome, Trouble, What};
use crate::{rows, shelf};

/// Rows that one call to an endpoint takes; SageMaker takes bodies of up to 6 MB.
const ROWS_MAX: usize = 2_000;

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// Always.
    pub done: bool,
    /// Name and version; empty when nothing scores.
    pub model: String,
    /// Symbols there is a signal about.
    pub signals: usize,
    /// Whether an endpoint answered.
    pub endpoint: bool,
}

/// Where the signals of a model lie in the lake.
#[must_use]
pub fn file(model: &str, session: SessionDate) -> String {
    format!("signals/{model}/{session}.parquet")
}

/// Scores a session; signals that are there already stay as they are.
///
/// # Errors
/// There is no such model, it or the endpoint fails, or answers something else than two chances for each row.
pub fn score(
    lake: &Lake,
    name: &str,
    endpoint: Option<&dyn Endpoint>,
    session: SessionDate,
    now: Timestamp,
) -> Outcome<Scored> {
    if name.is_empty() {
        return Ok(Scored { done: true, ..Scored::default() });
    }
    let failed = Trouble::of(What::ModelFailed);
    let (entry, model) = shelf::model(lake, name).map_err(&failed)?;
    let Model::Forecast(model) = model else {
        let text =
            format!("model {name} is a policy, and only a forecast scores; a policy decides inside its strategy");
        return Err(Trouble::new(What::BadInput, text));
    };
    let reference = format!("{}@{}", entry.name, entry.version);
    let path = file(&entry.name, session);
    let mut answer = Scored { done: true, model: reference.clone(), signals: 0, endpoint: endpoint.is_some() };
    if let Some(bytes) = lake.read(&path).context("the signals").map_err(&failed)? {
        answer.signals = tables::doubles(bytes.to_vec(), "sym", "value").map_err(&failed)?.len();
        return Ok(answer);
    }
    let (rows, input) = features(lake, &model, session).map_err(&failed)?;
    let chances = match endpoint {
        None => in_process(model, &rows).map_err(&failed)?,
        Some(endpoint) => {
            let mut all = Vec::with_capacity(rows.len());
            for part in rows.chunks(ROWS_MAX) {
                all.extend(ask(endpoint, part)?);
            }
            all
        }
    };
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .zip(&chances)
        .map(|((symbol, _), [long, short])| {
            let [long, short] = [f64::from(*long), f64::from(*short)];
            vec![
                Cell::Date(session),
                symbol.as_str().into(),
                reference.as_str().into(),
                Cell::Number(long),
                Cell::Number(short),
                Cell::Number(long - short),
                input.as_str().into(),
                Cell::Time(now),
            ]
        })
        .collect();
    answer.signals = cells.len();
    if !cells.is_empty() {
        let bytes = tables::write("signals", &cells).map_err(&failed)?;
        lake.write(&[(path, bytes)]).context("the signals").map_err(&failed)?;
    }
    Ok(answer)
}

type Row = (Symbol, [f32; WIDTH]);

/// The rows of the session, and what they were made from.
fn features(lake: &Lake, model: &Forecast, session: SessionDate) -> Result<(Vec<Row>, String)> {
    let set = model.card().features;
    // Twice the sessions needed, with weekends and holidays: a row looks at no more.
    let days = 2 * set.closes_needed() as i32 + 30;
    let from = SessionDate::from_days(session.days() - days);
    let symbols: Vec<Symbol> = lake
        .symbols()?
        .into_iter()
        .filter(|info| info.first <= session && info.last >= session)
        .map(|info| info.symbol)
        .collect();
    if symbols.is_empty() {
        bail!("the lake has no bar of {session}");
    }
    let data = lake.market(&symbols, Some(from), Some(session))?;
    let mut found = Vec::new();
    for (at, symbol) in symbols.into_iter().enumerate() {
        let rows = rows::features(&rows::printed(&data.bars, &data.actions, at), set);
        if let Some((last, row)) = rows.last()
            && *last == session
        {
            found.push((symbol, *row));
        }
    }
    Ok((found, data.sha256))
}

fn in_process(mut model: Forecast, rows: &[Row]) -> Result<Vec<[f32; 2]>> {
    rows.iter().map(|(_, row)| Ok(model.probabilities(row)?)).collect()
}

fn ask(endpoint: &dyn Endpoint, rows: &[Row]) -> Outcome<Vec<[f32; 2]>> {
    let mut body = String::new();
    for (_, row) in rows {
        let cells: Vec<String> = row.iter().map(f32::to_string).collect();
        body.push_str(&cells.join(","));
        body.push('\n');
    }
    let answer =
        endpoint.invoke("text/csv", body.into_bytes()).map_err(|error| match Trouble::from(error.clone()) {
            Trouble { what: What::BadInput, .. } => Trouble::new(What::ModelFailed, error.to_string()),
            trouble => trouble,
        })?;
    chances(&answer, rows.len()).map_err(|reason| {
        Trouble::new(What::ModelFailed, format!("the endpoint answered what is no forecast: {reason}"))
    })
}

fn chances(answer: &[u8], rows: usize) -> Result<Vec<[f32; 2]>, String> {
    let text = std::str::from_utf8(answer).map_err(|_| "it is not text".to_owned())?;
    let mut found = Vec::with_capacity(rows);
    for (at, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        let numbers: Vec<f32> = line.split(',').filter_map(|cell| cell.trim().parse().ok()).collect();
        match numbers[..] {
            [long, short] if [long, short].iter().all(|chance| (0.0..=1.0).contains(chance)) => {
                found.push([long, short]);
            }
            _ => {
                let line: String = line.chars().take(60).collect();
                return Err(format!("line {} is `{line}` and should be two chances between 0 and 1", at + 1));
            }
        }
    }
    if found.len() != rows {
        return Err(format!("it has {} rows for {rows}", found.len()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_shape_is_refused_with_its_line() {
        assert_eq!(chances(b"0.5,0.25\n1,0\n", 2).unwrap(), [[0.5, 0.25], [1.0, 0.0]]);
        for (answer, reason) in [
            ("{\"predictions\": []}", "line 1 is `{\"predictions\": []}` and should be two chances between 0 and 1"),
            ("0.5,0.2,0.3\n", "line 1 is `0.5,0.2,0.3` and should be two chances between 0 and 1"),
            ("0.5,NaN\n", "line 1 is `0.5,NaN` and should be two chances between 0 and 1"),
            ("0.5,1.5\n", "line 1 is `0.5,1.5` and should be two chances between 0 and 1"),
            ("0.5,0.5\n", "it has 1 rows for 2"),
            ("", "it has 0 rows for 2"),
        ] {
            assert_eq!(chances(answer.as_bytes(), 2).unwrap_err(), reason);
        }
    }
}
