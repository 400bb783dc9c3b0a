//! What a strategy was shown of the past before its first session, kept beside its journal: whatever becomes of the lake
//! later, a restart shows it the same, so that its steps come out again.
//!
//! The events lie in the journal's table, many to a line, under a name that nobody used before; a record says which name
//! is whole.

use anyhow::{Context, Result, bail, ensure};
use ports::lines::{Held, Line};
use serde_json::json;
use trading::Market;

use crate::Here;
use crate::table::Table;

/// The record of a strategy's past.
const WARMED: &str = "warmed";
/// Bytes of a line, about: an item of the table holds more.
const LINE: usize = 200 << 10;
/// Lines that are written at once: a transaction holds more.
const LINES: usize = 10;

/// What a run's strategy was shown; none where nothing was kept.
///
/// # Errors
/// It cannot be read, or is not whole any more.
pub fn kept(here: &Here<'_>, table: &Table, run: &str) -> Result<Option<Vec<Market>>> {
    let Some(body) = here.shown(WARMED)?.filter(|body| body["run"] == run) else { return Ok(None) };
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

/// Keeps what a run's strategy is shown. `unique` is a name that no other process has.
///
/// # Errors
/// It cannot be written.
pub fn keep(here: &Here<'_>, table: &Table, run: &str, unique: &str, events: &[Market]) -> Result<()> {
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
    here.show(WARMED, &json!({ "run": run, "in": name, "events": events.len() }))
}
