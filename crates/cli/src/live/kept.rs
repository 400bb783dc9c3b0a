//! What an account has been told and has done: `market.jsonl`, every market event in the order it came, and
//! `journal.jsonl`, every step. A restart tells the first again and expects the second.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use domain::SessionDate;
use journal::{FileLines, Lines, LinesError};
use trading::{Heard, Market};

use super::account::Place;
use crate::folder::JOURNAL;

/// The market as it was told.
pub const MARKET: &str = "market.jsonl";

/// Where market events are kept.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<FileLines>>);

impl Recorder {
    /// Opens the market of an account; gives what is there.
    ///
    /// # Errors
    /// It cannot be read, or another program has it.
    pub fn open(place: &Place) -> Result<(Self, Vec<Market>)> {
        let path = place.file(MARKET);
        let mut lines = FileLines::open(&path)?;
        let mut known = Vec::new();
        while let Some(line) = lines.next_line()? {
            known.push(event(&line, known.len() + 1, &path)?);
        }
        Ok((Self(Arc::new(Mutex::new(lines))), known))
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, FileLines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an event.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, event: &Market) -> Result<()> {
        let line = serde_json::to_vec(event).context("cannot write JSON")?;
        Ok(self.lines().append(0, &line)?)
    }
}

fn event(line: &[u8], number: usize, path: &Path) -> Result<Market> {
    let changed = || format!("line {number} of `{}` was changed; restore it", path.display());
    serde_json::from_slice(line).with_context(changed)
}

/// The market of an account as it was told, also while a program trades it.
///
/// # Errors
/// It cannot be read.
pub fn told(place: &Place) -> Result<Vec<Market>> {
    let path = place.file(MARKET);
    let text = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    whole.enumerate().map(|(at, line)| event(line, at + 1, &path)).collect()
}

/// The session that a feed is to go on after, by the market that was told.
#[must_use]
pub fn goes_on_after(known: &[Market]) -> Option<SessionDate> {
    let mut heard = Heard::default();
    known.iter().for_each(|event| heard.hear(event));
    heard.goes_on_after()
}

/// The same of a journal that is all that comes again, as a live account's is: a close that was told and led to no step
/// is told once more.
///
/// # Errors
/// It cannot be read.
pub fn journal_goes_on_after(place: &Place) -> Result<Option<SessionDate>> {
    let path = place.file(JOURNAL);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let mut heard = Heard::default();
    // Only whole lines, and most of them say nothing of a session's beginning or end.
    for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).skip(1) {
        let begins = |what: &str| String::from_utf8_lossy(&line[..line.len().min(60)]).contains(what);
        if !begins("\"session_") {
            continue;
        }
        let entry: journal::Entry =
            serde_json::from_slice(line).with_context(|| format!("`{}` was changed; restore it", path.display()))?;
        heard.saw(&entry.event);
    }
    Ok(heard.goes_on_after())
}

/// The journal, which is never ahead of the market it was made from.
#[derive(Debug)]
pub struct Journal {
    lines: FileLines,
    market: Recorder,
}

impl Journal {
    /// Opens the journal of an account.
    ///
    /// # Errors
    /// It cannot be read, or another program has it.
    pub fn open(place: &Place, market: &Recorder) -> Result<Self> {
        Ok(Self { lines: FileLines::open(&place.file(JOURNAL))?, market: market.clone() })
    }
}

impl Lines for Journal {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        self.lines.next_line()
    }

    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), LinesError> {
        self.market.lines().write()?;
        self.lines.append(seq, line)
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        self.market.lines().sync()?;
        self.lines.sync()
    }
}
