//! The kill switch: what works is cancelled, every position closed, by request, and what came of it, timed.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use domain::Symbol;
use engine::Mode;
use journal::lines::is_taken;
use serde::Serialize;
use serde_json::Value;
use trading::Snapshot;

use super::account::{ACCOUNT, Account, PAPER, Place};
use super::board::many;
use super::drive::STATUS;
use super::heads::HEADS;
use super::kept::MARKET;
use super::requests::{self, Request};
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
    /// The strategy; empty where the account cannot be read.
    pub strategy: String,
    /// The broker; empty where the account cannot be read.
    pub broker: String,
    /// Whether nothing works and nothing is held any more.
    pub flat: bool,
    /// Whether a program was trading it.
    pub running: bool,
    /// Step by step.
    pub record: Vec<Moment>,
}

/// A folder that is meant.
#[derive(Debug)]
pub struct Meant {
    /// Where it lies.
    pub place: Place,
    /// Whose it is; or why that cannot be told, and then it may be meant.
    pub account: Result<Account, String>,
}

/// The accounts below a folder that are meant. One that cannot be read is meant by `--all`, and told of otherwise.
///
/// # Errors
/// There is none.
pub fn accounts(root: &Path, which: &Which) -> Result<Vec<Meant>> {
    let mut found = Vec::new();
    fs::read_dir(root).with_context(|| {
        format!("cannot look for accounts below `{}`; say where they are with --root", root.display())
    })?;
    let mut folders = Vec::new();
    below(root, &mut folders);
    folders.sort();
    for (folder, hidden) in folders {
        let lost = || format!("`{}` is gone: restore it from a copy", folder.join(ACCOUNT).display());
        let place = Place::at(folder.clone());
        let account = place.account().map_err(|error| format!("{error:#}"));
        let account = account.and_then(|account| account.ok_or_else(lost));
        let account = hidden.map_or(account, Err);
        let meant = match (which, &account) {
            (Which::All, _) | (_, Err(_)) => true,
            (Which::Strategy(name), Ok(account)) => account.strategy == *name,
            (Which::Broker(name), Ok(account)) => account.broker == *name,
        };
        if meant {
            found.push(Meant { place, account });
        }
    }
    if let (false, Some(Err(error))) = (*which == Which::All, found.first().map(|meant| &meant.account))
        && found.iter().all(|meant| meant.account.is_err())
    {
        bail!("{error}; whose account it is cannot be told: --all means it too");
    }
    if found.is_empty() {
        bail!("no account below `{}` is meant; `ls` it, or say where accounts are with --root", root.display());
    }
    Ok(found)
}

/// Folders that are accounts, or have been, at any depth; or why that cannot be told. A link is not followed: what it
/// leads to has a place of its own.
fn below(folder: &Path, found: &mut Vec<(PathBuf, Option<String>)>) {
    if [ACCOUNT, MARKET, STATUS].iter().any(|file| folder.join(file).is_file()) {
        found.push((folder.to_owned(), None));
    }
    match fs::read_dir(folder) {
        Ok(entries) => {
            let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.for_each(|entry| below(&entry.path(), found));
        }
        Err(error) => {
            found.push((folder.to_owned(), Some(format!("cannot look into `{}`: {error}", folder.display()))))
        }
    }
}

/// What closes an account at a broker that no program trades: why it is not flat, if it is not.
pub type Alone<'a> = dyn Fn(&Place, &Account, Duration) -> Result<Option<String>> + Sync + 'a;

/// Asks accounts to stop and close everything, all of them before any is waited for; then watches all of them at once
/// until they are flat or the time is over. One that fails stands in nobody else's way.
pub fn kill(meant: &[Meant], which: &Which, request: &Request, wait: Duration, alone: &Alone<'_>) -> Vec<Killed> {
    let begun = Instant::now();
    let asked: Vec<Asked<'_>> = meant.iter().map(|meant| Asked::ask(meant, which, request, begun)).collect();
    thread::scope(|scope| {
        let watched: Vec<_> = asked
            .into_iter()
            .map(|asked| scope.spawn(move || asked.watch(&request.id(), begun, wait, alone)))
            .collect();
        watched.into_iter().filter_map(|watched| watched.join().ok()).collect()
    })
}

/// An account that was asked.
struct Asked<'a> {
    meant: &'a Meant,
    running: bool,
    /// Where the journal ended.
    from: u64,
    /// Whether the request stands there.
    written: bool,
    /// Whether there is nothing to close and nobody who could.
    never_traded: bool,
    record: Vec<Moment>,
}

impl<'a> Asked<'a> {
    fn ask(meant: &'a Meant, which: &Which, request: &Request, begun: Instant) -> Self {
        let place = &meant.place;
        let running = is_taken(&place.file(JOURNAL));
        let from = fs::metadata(place.file(JOURNAL)).map_or(0, |file| file.len());
        let mut record = Vec::new();
        let mut written = false;
        let empty = |file: &str| fs::metadata(place.file(file)).map_or(true, |file| file.len() == 0);
        let never_traded = !running && meant.account.is_ok() && [JOURNAL, MARKET, HEADS, STATUS].into_iter().all(empty);
        if never_traded {
            moment(&mut record, begun, "it has never traded: there is nothing to close".to_owned());
            return Self { meant, running, from, written, never_traded, record };
        }
        if let Err(error) = &meant.account {
            moment(&mut record, begun, error.clone());
        }
        if meant.account.is_ok() || *which == Which::All {
            match requests::ask(place, request) {
                Ok(id) => {
                    written = true;
                    moment(&mut record, begun, format!("asked for (request {id})"));
                }
                Err(error) => moment(&mut record, begun, format!("it could not be asked for: {error:#}")),
            }
        }
        Self { meant, running, from, written, never_traded, record }
    }

    fn watch(mut self, id: &str, begun: Instant, wait: Duration, alone: &Alone<'_>) -> Killed {
        let (place, account) = (&self.meant.place, self.meant.account.as_ref().ok());
        let symbols = account.map_or(&[][..], |account| &account.facts.symbols);
        let tail = Tail { from: self.from, rest: Vec::new(), obeyed: None, before: !self.running };
        let mut watch = Watching { journal: place.file(JOURNAL), tail, id, symbols, begun, record: &mut self.record };
        let flat = match account {
            _ if self.never_traded => true,
            _ if !self.written => false,
            None => self.running && watch.follow(place, wait).unwrap_or(false),
            Some(account) => loop {
                if is_taken(&watch.journal) {
                    match watch.follow(place, wait) {
                        Some(flat) => break flat,
                        None => watch.say("the program that traded it has ended".to_owned()),
                    }
                }
                if account.broker == PAPER {
                    break watch.told_by_the_next(place);
                }
                watch.say("no program trades it now: asking the broker".to_owned());
                let closed = alone(place, account, wait);
                // What could be read is told, whatever else failed.
                let _ = watch.read();
                match closed {
                    Ok(None) => {
                        watch.say(FLAT.to_owned());
                        break true;
                    }
                    Ok(Some(why)) => {
                        watch.say(format!("not flat: {why}"));
                        break false;
                    }
                    // Another one has taken it meanwhile: another kill, perhaps.
                    Err(_) if is_taken(&watch.journal) && begun.elapsed() < wait => {
                        watch.say("another program has begun to trade it".to_owned());
                    }
                    Err(error) => {
                        watch.say(format!("not flat: {error:#}"));
                        break false;
                    }
                }
            },
        };
        let (strategy, broker) =
            account.map(|account| (account.strategy.clone(), account.broker.clone())).unwrap_or_default();
        Killed { folder: place.folder().to_owned(), strategy, broker, flat, running: self.running, record: self.record }
    }
}

const FLAT: &str = "flat, and nothing works";

/// Seeing what becomes of a request.
struct Watching<'a> {
    journal: PathBuf,
    tail: Tail,
    id: &'a str,
    symbols: &'a [Symbol],
    begun: Instant,
    record: &'a mut Vec<Moment>,
}

impl Watching<'_> {
    fn say(&mut self, what: String) {
        moment(self.record, self.begun, what);
    }

    fn read(&mut self) -> Result<()> {
        self.tail.read(&self.journal, self.id, self.symbols, self.begun, self.record)
    }

    /// Follows the program that trades the account: whether it is flat in time; none if the program ends before.
    fn follow(&mut self, place: &Place, wait: Duration) -> Option<bool> {
        loop {
            if let Err(error) = self.read() {
                self.say(format!("{error:#}"));
                return Some(false);
            }
            let seen = status(place);
            let obeyed = self.tail.obeyed;
            let since = seen.as_ref().filter(|seen| obeyed.is_some_and(|step| seen.step >= step));
            if since.is_some_and(Snapshot::is_flat) {
                self.say(FLAT.to_owned());
                return Some(true);
            }
            if !is_taken(&self.journal) {
                return None;
            }
            if self.begun.elapsed() >= wait {
                let text = match (obeyed, seen) {
                    (Some(_), Some(seen)) => {
                        format!("not flat yet: {}; the program goes on closing", what_is_left(&seen))
                    }
                    (Some(_), None) => "not flat yet; the program goes on closing".to_owned(),
                    (None, Some(seen)) if seen.mode >= Mode::Cancel => {
                        let why = what_is_left(&seen);
                        format!(
                            "not flat yet: what works is cancelled, and positions wait for the broker's books: {why}"
                        )
                    }
                    (None, seen) => {
                        let trouble = seen.and_then(|seen| seen.trouble);
                        let trouble = trouble.map_or_else(String::new, |words| format!(": {words}"));
                        format!("the program has not obeyed yet{trouble}; look whether it runs")
                    }
                };
                self.say(text);
                return Some(false);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// On paper nothing happens until a program trades again. Whether everything is closed all the same.
    fn told_by_the_next(&mut self, place: &Place) -> bool {
        let seen = status(place).filter(|seen| last_step(&self.journal) == Some(seen.step));
        self.say("no program trades it now; the next one that does obeys before anything else".to_owned());
        match seen {
            Some(seen) => seen.is_flat(),
            None => {
                self.say("what it holds is not known: the last program was stopped in the middle".to_owned());
                false
            }
        }
    }
}

/// Number of a journal's last step.
fn last_step(journal: &Path) -> Option<u64> {
    let mut file = fs::File::open(journal).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 20))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    let last = end.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    serde_json::from_slice::<Value>(last).ok()?["seq"].as_u64()
}

/// What keeps an account from being flat, in words.
#[must_use]
pub fn what_is_left(seen: &Snapshot) -> String {
    if let Some(trouble) = &seen.trouble {
        return trouble.clone();
    }
    if let Some(other) = seen.others.first() {
        return format!("at the broker {other}; cancel it there");
    }
    let held = seen.positions.iter().filter(|position| !position.quantity.is_zero()).count();
    match (held, seen.orders.len()) {
        (0, 0) => "the books are still to be compared with the broker's".to_owned(),
        (held, orders) => format!("{} and {} left", many(held, "position"), many(orders, "working order")),
    }
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
    /// The step that obeyed.
    obeyed: Option<u64>,
    /// Whether what came before it is part of the record: nobody else traded the account.
    before: bool,
}

/// What a broker did, or what its books said, in words.
#[must_use]
pub fn what_came(entry: &Value, symbols: &[Symbol]) -> Option<String> {
    let event = &entry["event"];
    if let Some(fill) = event.get("filled") {
        let symbol = fill["instrument"].as_u64().and_then(|at| symbols.get(at as usize)).map_or("?", Symbol::as_str);
        let word = |name: &str| fill[name].as_str().unwrap_or("?").to_owned();
        return Some(format!("filled: {} {symbol} at {}", word("quantity"), word("price")));
    }
    let note = entry["note"].as_str().map_or_else(String::new, |note| format!(": {note}"));
    if let Some(ended) = event.get("order_ended") {
        return Some(format!("an order ended, {}{note}", ended["reason"].as_str().unwrap_or("?")));
    }
    event.get("corrected").map(|_| format!("the broker's books counted{note}"))
}

/// What the step that obeys sends away, in words.
#[must_use]
pub fn obeyed(entry: &Value) -> String {
    let count = |kind: &str| {
        let commands = entry["commands"].as_array().into_iter().flatten();
        commands.filter(|command| command.get(kind).is_some()).count()
    };
    format!("obeyed: {} orders to be cancelled, {} orders to close positions", count("cancel"), count("submit"))
}

impl Tail {
    fn read(
        &mut self,
        path: &Path,
        id: &str,
        symbols: &[Symbol],
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
            if self.obeyed.is_none() && requests::id_in(entry["note"].as_str()) == Some(id) {
                self.obeyed = entry["seq"].as_u64();
                moment(record, begun, obeyed(&entry));
            } else if let Some(text) = what_came(&entry, symbols).filter(|_| self.obeyed.is_some() || self.before) {
                moment(record, begun, text);
            }
        }
        Ok(())
    }
}
