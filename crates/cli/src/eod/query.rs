//! A query of the shipped catalogue: started, asked about, fetched.

use domain::SessionDate;
use ports::queries::{Queries, QueryState};
use queries::{Kind, Severity};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Outcome, Trouble, What};
use crate::backtest::hex;

/// Rows that an answer holds at most, and characters of a value: a state machine carries no more than 256 KiB.
const ROWS_MAX: usize = 20;
const CHARACTERS_MAX: usize = 60;

/// What the step gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Whether the query has ended.
    pub done: bool,
    /// Its name.
    pub query: String,
    /// `stop` or `warn` for a check, nothing otherwise.
    pub severity: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The first rows; those of a check are findings.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there are more.
    pub more: bool,
    /// Bytes it read.
    pub scanned_bytes: u64,
    /// Milliseconds the engine took.
    pub engine_ms: u64,
}

/// Starts a query, or looks where it stands: the same run asks it once.
///
/// # Errors
/// There is none of that name, it failed, it read too much, or a check that stops the day has findings.
pub fn query(
    engine: &dyn Queries,
    name: &str,
    session: SessionDate,
    run: &str,
    scan_bytes_max: u64,
) -> Outcome<Answered> {
    let Some(shipped) = queries::find(name) else {
        let known: Vec<_> = queries::all().iter().map(|query| query.name).collect();
        let text = format!("there is no query `{name}`; there are {}", known.join(", "));
        return Err(Trouble::new(What::BadInput, text));
    };
    if matches!(shipped.kind, Kind::Table | Kind::View) {
        let text = format!("`{name}` defines something and is no query; the stack runs it when it is deployed");
        return Err(Trouble::new(What::BadInput, text));
    }
    let failed = |reason: &str| Trouble::new(What::QueryFailed, format!("the query {name} failed: {reason}"));
    let parameters = vec![format!("'{session}'"); shipped.parameters];
    let token = hex(&Sha256::digest(format!("{run}\n{name}\n{session}")));
    let id = engine.start(shipped.text, &parameters, &token)?;
    let severity = match shipped.kind {
        Kind::Check(Severity::Stop) => "stop",
        Kind::Check(Severity::Warn) => "warn",
        _ => "",
    };
    let mut answer = Answered {
        done: false,
        query: name.to_owned(),
        severity: severity.to_owned(),
        columns: Vec::new(),
        rows: Vec::new(),
        more: false,
        scanned_bytes: 0,
        engine_ms: 0,
    };
    match engine.state(&id)? {
        QueryState::Running => return Ok(answer),
        QueryState::Failed(reason) => return Err(failed(&reason)),
        QueryState::Succeeded { scanned_bytes, engine_ms } => {
            (answer.scanned_bytes, answer.engine_ms) = (scanned_bytes, engine_ms);
        }
    }
    if answer.scanned_bytes > scan_bytes_max {
        return Err(failed(&format!("it read {} bytes, and {scan_bytes_max} are allowed", answer.scanned_bytes)));
    }
    let rows = engine.rows(&id, ROWS_MAX)?;
    (answer.columns, answer.rows, answer.more) = (rows.columns, rows.rows, rows.more);
    for text in answer.rows.iter_mut().flatten().flatten() {
        if let Some((cut, _)) = text.char_indices().nth(CHARACTERS_MAX) {
            text.replace_range(cut.., "…");
        }
    }
    answer.done = true;
    if severity == "stop" && !answer.rows.is_empty() {
        let text = format!("the check {name} stops the day of {session}: {}", findings(&answer, 3));
        return Err(Trouble::new(What::DataQuality, text));
    }
    Ok(answer)
}

/// The first findings of a check in words.
#[must_use]
pub fn findings(answer: &Answered, most: usize) -> String {
    let row = |row: &Vec<Option<String>>| {
        let pairs = answer.columns.iter().zip(row);
        let pairs = pairs.map(|(name, value)| format!("{name} {}", value.as_deref().unwrap_or("nothing")));
        pairs.collect::<Vec<_>>().join(", ")
    };
    let mut text = answer.rows.iter().take(most).map(row).collect::<Vec<_>>().join("; ");
    if answer.rows.len() > most || answer.more {
        text.push_str("; and more");
    }
    text
}
