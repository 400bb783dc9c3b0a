//! A journal's disk: what is not synced when the trader dies is lost, kept, or cut in the middle of a line.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

use journal::{Lines, LinesError};

use crate::line::Line;
use crate::support::Dice;
use crate::trouble::{Full, Point, Troubles};

/// What outlives the trader.
pub type Stored = Rc<RefCell<Vec<u8>>>;

pub struct Disk {
    stored: Stored,
    read: usize,
    waiting: Vec<u8>,
    dice: Dice,
    troubles: Rc<RefCell<Troubles>>,
    line: Rc<RefCell<Line>>,
}

impl Disk {
    /// Opens what is stored; half a line at its end is cut off.
    pub fn open(stored: &Stored, seed: u64, troubles: &Rc<RefCell<Troubles>>, line: &Rc<RefCell<Line>>) -> Self {
        {
            let mut bytes = stored.borrow_mut();
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if whole < bytes.len() {
                troubles.borrow_mut().count("half a line is cut off");
            }
            bytes.truncate(whole);
        }
        line.borrow_mut().judge.reopened();
        let (stored, troubles, line) = (stored.clone(), troubles.clone(), line.clone());
        Self { stored, read: 0, waiting: Vec::new(), dice: Dice(seed), troubles, line }
    }

    /// Some of what waits comes onto the disk.
    fn write(&mut self, most: usize) {
        let bytes = self.dice.below(most as u64 + 1) as usize;
        self.stored.borrow_mut().extend(self.waiting.drain(..bytes));
        self.waiting.clear();
    }

    fn is_full(&mut self, at: Full) -> Result<(), LinesError> {
        if self.stored.borrow().is_empty() {
            self.troubles.borrow_mut().count("disk full before the first line");
        }
        self.troubles.borrow_mut().count(&format!("disk full {at:?}"));
        let source = Box::new(Error::from(ErrorKind::StorageFull));
        Err(LinesError::Failed { doing: "cannot write", place: "here".to_owned(), source })
    }
}

impl Lines for Disk {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        self.troubles.borrow_mut().pass(Point::InReplay);
        let bytes = self.stored.borrow();
        let rest = &bytes[self.read..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = rest[..end].to_vec();
        // The first line is the header.
        if self.read > 0 {
            self.line.borrow_mut().read(&line);
        }
        self.read += end + 1;
        Ok(Some(line))
    }

    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), LinesError> {
        self.troubles.borrow_mut().pass(Point::BeforeAppend);
        let full = self.troubles.borrow().full;
        if full == Some(Full::Append) {
            return self.is_full(Full::Append);
        }
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
        if seq > 0 {
            self.line.borrow_mut().written(line);
        }
        self.troubles.borrow_mut().pass(Point::AfterAppend);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        self.troubles.borrow_mut().pass(Point::BeforeSync);
        let full = self.troubles.borrow().full;
        if let Some(full) = full.filter(|full| *full != Full::Append) {
            match full {
                Full::Torn => self.write(self.waiting.len()),
                Full::Unsaid => self.stored.borrow_mut().append(&mut self.waiting),
                Full::Append | Full::Sync => self.waiting.clear(),
            }
            return self.is_full(full);
        }
        self.stored.borrow_mut().append(&mut self.waiting);
        self.line.borrow_mut().judge.synced();
        self.troubles.borrow_mut().pass(Point::AfterSync);
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // How far the system had come when the trader died.
        if !self.waiting.is_empty() && self.dice.chance(50) {
            self.troubles.borrow_mut().count("some unsynced bytes reached the disk");
            self.write(self.waiting.len());
        }
    }
}
