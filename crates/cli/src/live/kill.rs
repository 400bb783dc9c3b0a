//! The kill switch: what works is cancelled, every position closed, by request, and what came of it, timed.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use domain::Timestamp;
use engine::Mode;
use journal::{FileLines, LinesError};
use serde::Serialize;
use serde_json::Value;
use trading::Snapshot;

use super::account::{ACCOUNT, Account, Place};
use super::drive::STATUS;
use super::requests::{self, Ask, Request};
use crate::folder::JOURNAL;

/// Which accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those of a strategy.
    Strategy(String),
    /// Those at a broker.
    Broker(String),
    /// Every one.
    All,
}

/// Something that happened after the request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// Seconds since the kill was asked for.
    pub seconds: f64,
    /// What.
    pub what: String,
}

/// What came of a kill in one account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Killed {
    /// Its folder.
    pub folder: PathBuf,
    /// The strategy.
    pub strategy: String,
    /// The broker.
    pub broker: String,
    /// Whether nothing works and nothing is held any more.
    pub flat: bool,
    /// Whether a program was trading it.
    pub running: bool,
    /// Step by step.
    pub record: Vec<Moment>,
}

/// The accounts below a folder that are meant.
///
/// # Errors
/// There is none.
pub fn accounts(root: &Path, which: &Which) -> Result<Vec<(Place, Account)>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(root).with_context(|| {
        format!("cannot look for accounts below `{}`; say where they are with --root", root.display())
    })?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.push(root.to_owned());
    folders.sort();
    for folder in folders.into_iter().filter(|folder| folder.join(ACCOUNT).is_file()) {
        let place = Place::at(folder);
        let Some(account) = place.account()? else { continue };
        let meant = match which {
            Which::All => true,
            Which::Strategy(name) => account.strategy == *name,
            Which::Broker(name) => account.broker == *name,
        };
        if meant {
            found.push((place, account));
        }
    }
    if found.is_empty() {
        bail!("no account below `{}` is meant; `ls` it, or say where accounts are with --root", root.display());
    }
    Ok(found)
}

/// Whether a program is trading the account now.
fn is_running(place: &Place) -> bool {
    let path = place.file(JOURNAL);
    path.exists() && matches!(FileLines::open(&path), Err(LinesError::Taken(_)))
}

/// Asks accounts to stop and close everything, all of them before any is waited for; then watches them until they are
/// flat or the time is over.
///
/// An account at a broker that no program trades is closed by `alone`.
///
/// # Errors
/// A folder cannot be written or read.
pub fn kill(
    accounts: &[(Place, Account)],
    by: &str,
    reason: &str,
    at: Timestamp,
    wait: Duration,
    alone: &dyn Fn(&Place, &Account, Duration) -> Result<bool>,
) -> Result<Vec<Killed>> {
    let begun = Instant::now();
    let mut watched = Vec::new();
    for (place, account) in accounts {
        let running = is_running(place);
        let from = fs::metadata(place.file(JOURNAL)).map_or(0, |file| file.len());
        let ask = Ask::Control(Mode::Flatten);
        let request = Request { ask, by: by.to_owned(), reason: reason.to_owned(), at };
        let number = requests::ask(place, &request)?;
        let mut record = Vec::new();
        moment(&mut record, begun, format!("asked for (request {number})"));
        watched.push((place, account, running, from, number, record));
    }
    let mut all = Vec::new();
    for (place, account, running, from, number, mut record) in watched {
        let mut flat = false;
        if running {
            let mut tail = Tail { from, rest: Vec::new(), obeyed: None };
            loop {
                tail.read(&place.file(JOURNAL), number, &account.facts.symbols, begun, &mut record)?;
                if let (Some(step), Some(status)) = (tail.obeyed, status(place))
                    && status.step >= step
                    && status.orders.is_empty()
                    && status.positions.iter().all(|position| position.quantity.is_zero())
                {
                    flat = true;
                    moment(&mut record, begun, "flat, and nothing works".to_owned());
                    break;
                }
                if begun.elapsed() >= wait {
                    moment(&mut record, begun, "not flat yet; the program goes on closing".to_owned());
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        } else if account.broker != "paper" {
            moment(&mut record, begun, "no program trades it now: asking the broker".to_owned());
            match alone(place, account, wait) {
                Ok(done) => flat = done,
                Err(error) => moment(&mut record, begun, format!("it could not be closed: {error:#}")),
            }
            let mut tail = Tail { from, rest: Vec::new(), obeyed: None };
            if place.file(JOURNAL).exists() {
                tail.read(&place.file(JOURNAL), number, &account.facts.symbols, begun, &mut record)?;
            }
            moment(&mut record, begun, if flat { "flat, and nothing works" } else { "not flat" }.to_owned());
        } else {
            let text = "no program trades it now; the next one that does obeys before anything else";
            moment(&mut record, begun, text.to_owned());
            flat = status(place).is_some_and(|status| {
                status.orders.is_empty() && status.positions.iter().all(|position| position.quantity.is_zero())
            });
        }
        let (folder, strategy, broker) = (place.folder().to_owned(), account.strategy.clone(), account.broker.clone());
        all.push(Killed { folder, strategy, broker, flat, running, record });
    }
    Ok(all)
}

fn status(place: &Place) -> Option<Snapshot> {
    serde_json::from_slice(&fs::read(place.file(STATUS)).ok()?).ok()
}

fn moment(record: &mut Vec<Moment>, begun: Instant, what: String) {
    record.push(Moment { seconds: begun.elapsed().as_secs_f64(), what });
}

/// Reads what a journal gains.
struct Tail {
    from: u64,
    rest: Vec<u8>,
    obeyed: Option<u64>,
}

impl Tail {
    fn read(
        &mut self,
        path: &Path,
        number: u64,
        symbols: &[domain::Symbol],
        begun: Instant,
        record: &mut Vec<Moment>,
    ) -> Result<()> {
        let mut read = || -> std::io::Result<()> {
            let mut file = fs::File::open(path)?;
            file.seek(SeekFrom::Start(self.from))?;
            self.from += file.read_to_end(&mut self.rest)? as u64;
            Ok(())
        };
        read().with_context(|| format!("cannot read `{}`", path.display()))?;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let Ok(entry) = serde_json::from_slice::<Value>(&line) else { continue };
            if self.obeyed.is_none() && requests::number(entry["note"].as_str()) == Some(number) {
                self.obeyed = entry["seq"].as_u64();
                let count = |kind: &str| {
                    let commands = entry["commands"].as_array().into_iter().flatten();
                    commands.filter(|command| command.get(kind).is_some()).count()
                };
                let (cancelled, closing) = (count("cancel"), count("submit"));
                let text = format!("obeyed: {cancelled} orders cancelled, {closing} orders to close positions sent");
                moment(record, begun, text);
            } else if self.obeyed.is_some()
                && let Some(fill) = entry["event"].get("filled")
            {
                let symbol = fill["instrument"].as_u64().and_then(|at| symbols.get(at as usize));
                let symbol = symbol.map_or("?", domain::Symbol::as_str);
                let word = |name: &str| fill[name].as_str().unwrap_or("?").to_owned();
                moment(record, begun, format!("filled: {} {symbol} at {}", word("quantity"), word("price")));
            }
        }
        Ok(())
    }
}
