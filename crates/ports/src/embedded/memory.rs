//! Notices, figures, streams, queues, journals and an archive in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::Answer;
use crate::archive::Archive;
use crate::error::{CallError, Kind};
use crate::figures::{Figure, Figures};
use crate::lines::{Held, Lease, Line, Lines};
use crate::notices::Notices;
use crate::queue::{Message, Queue};
use crate::stream::{Entry, Stream};

/// Notices, kept.
#[derive(Debug, Default)]
pub struct KeptNotices(Mutex<Vec<(String, String)>>);

impl KeptNotices {
    /// Subject and text of each notice, taken out.
    #[must_use]
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notices for KeptNotices {
    fn publish(&self, subject: &str, text: &str) -> Answer<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((subject.to_owned(), text.to_owned()));
        Ok(())
    }
}

/// Figures, kept.
#[derive(Debug, Default)]
pub struct KeptFigures(Mutex<Vec<Figure>>);

impl KeptFigures {
    /// All figures, taken out.
    #[must_use]
    pub fn take(&self) -> Vec<Figure> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Figures for KeptFigures {
    fn put(&self, figures: &[Figure]) -> Answer<()> {
        if let Some(bad) = figures.iter().find(|figure| !figure.value.is_finite()) {
            return Err(CallError {
                service: "figures",
                call: "put",
                resource: bad.name.to_owned(),
                kind: Kind::Invalid,
                message: format!("{} is no figure", bad.value),
            });
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(figures);
        Ok(())
    }
}

/// A stream in memory.
#[derive(Debug, Default)]
pub struct KeptStream(Mutex<Vec<String>>);

/// The most messages of one read, so that who reads has to come again.
const PAGE: usize = 100;

impl Stream for KeptStream {
    fn put(&self, texts: &[String]) -> Answer<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(texts);
        Ok(())
    }

    fn read(&self, after: Option<&str>) -> Answer<Vec<Entry>> {
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match after.map(str::parse::<usize>) {
            None => 0,
            Some(Ok(position)) => position + 1,
            Some(Err(_)) => return Err(no_position(after.unwrap_or_default())),
        };
        let entries = texts.iter().enumerate().skip(first).take(PAGE);
        Ok(entries.map(|(at, text)| Entry { position: at.to_string(), text: text.clone() }).collect())
    }
}

fn no_position(position: &str) -> CallError {
    CallError {
        service: "stream",
        call: "read",
        resource: format!("`{position}`"),
        kind: Kind::Invalid,
        message: "that is no position".to_owned(),
    }
}

/// A queue in memory. A message that was received comes again until it is deleted: at once, because nothing here knows
/// what time it is.
#[derive(Debug, Default)]
pub struct KeptQueue(Mutex<Queued>);

#[derive(Debug, Default)]
struct Queued {
    ids: BTreeSet<String>,
    /// Group, number and text.
    messages: Vec<(String, u64, String)>,
    sent: u64,
}

impl Queue for KeptQueue {
    fn send(&self, group: &str, id: &str, text: &str) -> Answer<()> {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queued.ids.insert(id.to_owned()) {
            queued.sent += 1;
            let number = queued.sent;
            queued.messages.push((group.to_owned(), number, text.to_owned()));
        }
        Ok(())
    }

    fn receive(&self, _wait_s: u32) -> Answer<Vec<Message>> {
        let queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = queued.messages.iter().take(10);
        Ok(first.map(|(_, number, text)| Message { text: text.clone(), receipt: number.to_string() }).collect())
    }

    fn delete(&self, receipt: &str) -> Answer<()> {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queued.messages.retain(|(_, number, _)| number.to_string() != receipt);
        Ok(())
    }
}

/// Journals in memory.
#[derive(Debug, Default)]
pub struct KeptLines(Mutex<BTreeMap<String, Journal>>);

#[derive(Debug, Default)]
struct Journal {
    lease: Option<Lease>,
    lines: BTreeMap<u64, String>,
}

impl KeptLines {
    fn with<T>(&self, journal: &str, what: impl FnOnce(&mut Journal) -> T) -> T {
        what(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(journal.to_owned()).or_default())
    }
}

impl Lines for KeptLines {
    fn claim(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Held> {
        Ok(self.with(journal, |journal| {
            let epoch = match &journal.lease {
                None => 1,
                Some(lease) if lease.owner == owner => lease.epoch,
                Some(lease) if lease.until_ms < now_ms => lease.epoch + 1,
                Some(lease) => return Held::No(lease.clone()),
            };
            let lease = Lease { owner: owner.to_owned(), epoch, seen_ms: now_ms, until_ms };
            journal.lease = Some(lease.clone());
            Held::Yes(lease)
        }))
    }

    fn revoke(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Lease> {
        Ok(self.with(journal, |journal| {
            let epoch = journal.lease.as_ref().map_or(0, |lease| lease.epoch) + 1;
            let lease = Lease { owner: owner.to_owned(), epoch, seen_ms: now_ms, until_ms };
            journal.lease = Some(lease.clone());
            lease
        }))
    }

    fn lease(&self, journal: &str) -> Answer<Option<Lease>> {
        Ok(self.with(journal, |journal| journal.lease.clone()))
    }

    fn read(&self, journal: &str, from: u64) -> Answer<Vec<Line>> {
        Ok(self.with(journal, |journal| {
            let lines = journal.lines.range(from..).take(PAGE);
            lines.map(|(seq, text)| Line { seq: *seq, text: text.clone() }).collect()
        }))
    }

    fn append(&self, journal: &str, lines: &[Line], lease: &Lease) -> Answer<Held> {
        Ok(self.with(journal, |journal| {
            let taken = lines.iter().any(|line| journal.lines.contains_key(&line.seq));
            match &journal.lease {
                Some(held) if !taken && held.owner == lease.owner && held.epoch == lease.epoch => {}
                held => return Held::No(held.clone().unwrap_or_else(|| lease.clone())),
            }
            journal.lines.extend(lines.iter().map(|line| (line.seq, line.text.clone())));
            journal.lease = Some(lease.clone());
            Held::Yes(lease.clone())
        }))
    }
}

/// Files in memory.
#[derive(Debug, Default)]
pub struct KeptArchive(Mutex<BTreeMap<String, Vec<u8>>>);

impl KeptArchive {
    /// All files by their paths.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Archive for KeptArchive {
    fn keep(&self, path: &str, bytes: Vec<u8>) -> Answer<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_owned()).or_insert(bytes);
        Ok(())
    }
}
