//! What people ask of an account that trades: lines that anybody who may write to the folder appends, and that the
//! loop obeys before anything else. A request is named by its line, so that it is obeyed once, restart or not.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, ensure};
use domain::{Strategy, Timestamp};
use engine::Mode;
use journal::Lines;
use serde::{Deserialize, Serialize};
use trading::{Broker, Trader};

use super::account::Place;

/// Where requests stand.
pub const REQUESTS: &str = "requests.jsonl";

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Say what may still be done.
    Control(Mode),
    /// Accept every correction of the books so far.
    Accept,
    /// Enable a strategy again that repeated itself too often.
    Reenable,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Appends a request; gives its number.
///
/// # Errors
/// No name, or the folder cannot be written.
pub fn ask(place: &Place, request: &Request) -> Result<u64> {
    ensure!(!request.by.trim().is_empty(), "say who asks for it: --by NAME");
    let path = place.file(REQUESTS);
    let add = || -> io::Result<u64> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        if !text.is_empty() && !text.ends_with('\n') {
            line.insert(0, '\n');
        }
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        Ok(text.lines().count() as u64 + 1)
    };
    add().with_context(|| format!("cannot write `{}`", path.display()))
}

/// The request that a note of the journal was made for.
#[must_use]
pub fn number(note: Option<&str>) -> Option<u64> {
    note?.rsplit_once("(request ")?.1.strip_suffix(')')?.parse().ok()
}

/// Reads requests as they come.
#[derive(Debug)]
pub struct Requests {
    place: Place,
    read: u64,
    number: u64,
    /// Requests up to this one have been obeyed before.
    pub obeyed: u64,
}

impl Requests {
    /// Of an account.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self { place: place.clone(), read: 0, number: 0, obeyed: 0 }
    }

    /// Requests that have come since, with their numbers. A line that says nothing is said and left.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new_ones(&mut self) -> Result<Vec<(u64, Request)>> {
        let path = self.place.file(REQUESTS);
        let mut text = Vec::new();
        let mut read = || -> io::Result<()> {
            let mut file = std::fs::File::open(&path)?;
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut text).map(drop)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            done => done.with_context(|| format!("cannot read `{}`", path.display()))?,
        }
        let mut found = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            self.read += line.len() as u64;
            self.number += 1;
            match serde_json::from_slice::<Request>(line) {
                Ok(request) if self.number > self.obeyed => found.push((self.number, request)),
                Ok(_) => {}
                Err(_) => eprintln!("line {} of `{}` is no request and is left out", self.number, path.display()),
            }
        }
        Ok(found)
    }

    /// Obeys what has come since. True when anything had.
    ///
    /// # Errors
    /// The file cannot be read, or the trader cannot go on.
    pub fn obey<S: Strategy, B: Broker, L: Lines>(&mut self, trader: &mut Trader<S, B, L>) -> Result<bool> {
        let new = self.new_ones()?;
        for (number, Request { ask, by, reason, .. }) in &new {
            let note = format!("{by}: {reason} (request {number})");
            match ask {
                Ask::Control(mode) => trader.control(*mode, &note)?,
                Ask::Accept => trader.accept(&note)?,
                Ask::Reenable => trader.reenable(&note)?,
            }
            self.obeyed = *number;
        }
        Ok(!new.is_empty())
    }
}
