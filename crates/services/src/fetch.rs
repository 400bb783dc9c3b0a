//! A journal out of the table, as the folder of an account: what verifies, shows and replays a folder does so with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use algotrading::config::RunConfig;
use algotrading::folder::JOURNAL;
use algotrading::live::account::{Account, Place, begin};
use algotrading::live::heads::{HEADS, Head};
use algotrading::live::paper::WARM_UP;
use anyhow::{Context, Result, ensure};
use engine::Event;
use journal::{Entry, Header};
use ports::objects::Objects;
use serde::Serialize;

use crate::Here;
use crate::past;
use crate::table::Table;

/// Brokers that a journal may be of.
const BROKERS: [&str; 3] = ["paper", "alpaca", "fix"];

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Where it lies.
    pub folder: PathBuf,
    /// Its run.
    pub run_id: String,
    /// With whom it trades.
    pub broker: String,
    /// Steps.
    pub steps: u64,
    /// Heads that the archive has of it.
    pub heads: usize,
}

/// Puts a strategy's journal into a folder that is not there yet, whole or not at all; with the heads of the archive,
/// which nobody can change, if that is given.
///
/// # Errors
/// There is no such journal, its run file or limits are others now, or the folder cannot be written.
pub fn fetch(here: &Here<'_>, table: &Table, archive: Option<&dyn Objects>, out: &Path) -> Result<Fetched> {
    let name = out.file_name().context("--out names no folder")?;
    ensure!(!out.exists(), "`{}` is there already; choose another --out", out.display());
    let draft = out.with_file_name(format!(".{}.draft", name.to_string_lossy()));
    let _ = fs::remove_dir_all(&draft);
    let fetched = fill(here, table, archive, &draft).and_then(|fetched| {
        fs::rename(&draft, out).with_context(|| format!("cannot make `{}`", out.display()))?;
        Ok(Fetched { folder: out.to_owned(), ..fetched })
    });
    if fetched.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    fetched
}

fn fill(here: &Here<'_>, table: &Table, archive: Option<&dyn Objects>, folder: &Path) -> Result<Fetched> {
    let cannot_write = || format!("cannot write below `{}`; make room, or choose another --out", folder.display());
    fs::create_dir_all(folder).with_context(cannot_write)?;
    let place = Place::at(folder);
    // Before the lines: a session that closes meanwhile must not look cut off.
    let archived = archive.map_or(Ok(Vec::new()), |archive| heads(archive, &here.strategy, folder))?;
    let (first, second, steps) = lines(&here.strategy, table, &place)?;
    let header: Header = serde_json::from_str(&first).context("the first line of the journal")?;
    let config = here.config()?;
    let account = account(here, &config, &header.run_id)?;
    place.keep(&account)?;
    if let Some(Event::SessionOpened(session)) = second.and_then(|line| opening(&line))
        && let Some(events) = past::kept(here, table, &header.run_id, session.date)?
    {
        let text = events.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        fs::write(place.file(WARM_UP), text.join("\n") + "\n").with_context(cannot_write)?;
    }
    // A journal of another run under the same name would be held against nothing.
    let runs: BTreeSet<&str> = archived.iter().map(|(run, _)| run.as_str()).collect();
    ensure!(
        runs.is_empty() || runs.contains(header.run_id.as_str()),
        "the archive has heads of `{}` for run {}, and none for run {}, which the table has: the table was written anew, or \
         the strategy has begun anew and not closed a session yet",
        here.strategy,
        runs.into_iter().collect::<Vec<_>>().join(", "),
        header.run_id
    );
    let heads: Vec<Head> =
        archived.into_iter().filter(|(run, _)| *run == header.run_id).map(|(_, head)| head).collect();
    let mut text = String::new();
    for head in &heads {
        text.push_str(&serde_json::to_string(head)?);
        text.push('\n');
    }
    if !heads.is_empty() {
        fs::write(place.file(HEADS), text).with_context(cannot_write)?;
    }
    let (folder, broker) = (folder.to_owned(), account.broker);
    Ok(Fetched { folder, run_id: header.run_id, broker, steps, heads: heads.len() })
}

/// Writes the lines of a journal; gives the first two, and the number of the last.
fn lines(strategy: &str, table: &Table, place: &Place) -> Result<(String, Option<String>, u64)> {
    let path = place.file(JOURNAL);
    let cannot_write = || format!("cannot write `{}`; make room, or choose another --out", path.display());
    let mut file = std::io::BufWriter::new(fs::File::create(&path).with_context(cannot_write)?);
    let (mut first, mut second, mut next) = (None, None, 0);
    loop {
        let page = table.read(strategy, next)?;
        if page.is_empty() {
            break;
        }
        for line in page {
            ensure!(line.seq == next, "line {next} of the journal of `{strategy}` is missing from the table");
            writeln!(file, "{}", line.text).with_context(cannot_write)?;
            match next {
                0 => first = Some(line.text),
                1 => second = Some(line.text),
                _ => {}
            }
            next += 1;
        }
    }
    file.flush().with_context(cannot_write)?;
    let first = first.with_context(|| format!("the table has no journal of `{strategy}`"))?;
    Ok((first, second, next - 1))
}

fn opening(line: &str) -> Option<Event> {
    serde_json::from_str::<Entry>(line).ok().map(|entry| entry.event)
}

/// Whose journal it is: its run is named by what the lake says of the strategy.
fn account(here: &Here<'_>, config: &RunConfig, run_id: &str) -> Result<Account> {
    let house = here.house()?;
    for broker in BROKERS {
        let account = begin(broker, &here.short_name(), config, &house.text)?;
        if account.facts.run_id == run_id {
            return Ok(account);
        }
    }
    anyhow::bail!(
        "the journal of `{0}` is of run {run_id}, and not of what the lake says now; take back `strategies/{0}.toml` and \
         `limits/{0}.toml` as they were when it began, and the version of this program",
        here.strategy
    )
}

/// Heads of a strategy with their runs, in order.
fn heads(archive: &dyn Objects, strategy: &str, scratch: &Path) -> Result<Vec<(String, Head)>> {
    let copy = scratch.join(".head");
    let mut heads = Vec::new();
    for file in archive.list(strategy)? {
        let parts: Vec<&str> = file.path.split('/').collect();
        let [.., run, name] = parts[..] else { continue };
        if !name.starts_with("head-") {
            continue;
        }
        archive.download(&file.path, &copy)?;
        let text = fs::read(&copy).with_context(|| format!("cannot read `{}`", copy.display()))?;
        let head =
            serde_json::from_slice(&text).with_context(|| format!("`{}` of the archive is no head", file.path))?;
        heads.push((run.to_owned(), head));
    }
    let _ = fs::remove_file(&copy);
    heads.sort_by_key(|(_, head): &(String, Head)| head.seq);
    Ok(heads)
}
