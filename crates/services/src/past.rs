//! What a strategy was shown of the past before its first session, kept beside its journal: whatever becomes of the lake
//! later, a restart shows it the same, so that its steps come out again.
//!
//! The events lie in the journal's table, many to a line, under a name that nobody used before; a record says which name
//! is whole.

use anyhow::{Context, Result, bail, ensure};
use domain::SessionDate;
use ports::lines::{Held, Line};
use ports::records::{Key, Put};
use serde_json::{Value, json};
use trading::Market;

use crate::Here;
use crate::table::Table;

/// The record of a strategy's past.
const WARMED: &str = "warmed";
/// Bytes of a line, about: an item of the table holds more.
const LINE: usize = 200 << 10;
/// Lines that are written at once: a transaction holds more.
const LINES: usize = 10;

/// What a run's strategy was shown before its first session; none where nothing was kept.
///
/// # Errors
/// It cannot be read, or is not whole any more.
pub fn kept(here: &Here<'_>, table: &Table, run: &str, first: SessionDate) -> Result<Option<Vec<Market>>> {
    let meant = |body: &Value| body["run"] == run && body["before"] == first.to_string();
    let Some(body) = here.shown(WARMED)?.filter(meant) else { return Ok(None) };
    let damaged = || format!("the record {WARMED}/{} and what it names do not fit; restore them", here.strategy);
    let name = body["in"].as_str().with_context(damaged)?;
    let (mut events, mut next) = (Vec::new(), 0);
    loop {
        let lines = table.read(name, next)?;
        let Some(last) = lines.last().map(|line| line.seq) else { break };
        for event in lines.iter().flat_map(|line| line.text.lines()) {
            events.push(serde_json::from_str(event).with_context(damaged)?);
        }
        next = last + 1;
    }
    ensure!(body["events"] == events.len(), "{}", damaged());
    Ok(Some(events))
}

/// Keeps what a run's strategy is shown before its first session. `unique` is a name that no other process has.
///
/// # Errors
/// It cannot be written, or another process has kept it meanwhile.
pub fn keep(
    here: &Here<'_>,
    table: &Table,
    (run, first): (&str, SessionDate),
    unique: &str,
    events: &[Market],
) -> Result<()> {
    let key = Key::new(WARMED, here.strategy.as_str());
    let seen = here.records.get(&key)?.map_or(0, |record| record.version);
    let name = format!("warm#{} {run} {unique}", here.strategy);
    let now = here.now_ms();
    let Held::Yes(lease) = table.claim(&name, unique, now, now + here.lease_ms)? else {
        bail!("another program writes `{name}`")
    };
    let mut lines = vec![Line { seq: 0, text: String::new() }];
    for event in events {
        let next = lines.len() as u64;
        if let Some(line) = lines.last_mut() {
            line.text.push_str(&serde_json::to_string(event)?);
            line.text.push('\n');
            if line.text.len() > LINE {
                lines.push(Line { seq: next, text: String::new() });
            }
        }
    }
    for some in lines.chunks(LINES) {
        here.beat();
        let Held::Yes(_) = table.append(&name, some, &lease)? else { bail!("another program writes `{name}`") };
    }
    let body = json!({ "run": run, "before": first.to_string(), "in": name, "events": events.len() });
    ensure!(here.records.put(&key, &body, seen)? == Put::Stored, "another program writes the record {key}");
    Ok(())
}
