//! Writing a journal, line after line.

use std::io::{self, Write};

use engine::{Event, Step};
use serde::Serialize;

use crate::entry::{Digest, Header, Line};

/// Appends steps to a stream and keeps the hash of the last line.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    line: Vec<u8>,
    last: Digest,
    seq: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a journal with its header.
    ///
    /// # Errors
    /// What the stream says.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut this = Self { out, line: Vec::new(), last: Digest::of(b""), seq: 0 };
        this.put(header)?;
        Ok(this)
    }

    /// Appends one step.
    ///
    /// # Errors
    /// What the stream says.
    pub fn step(&mut self, event: &Event, step: &Step) -> io::Result<()> {
        self.seq += 1;
        let (seq, prev) = (self.seq, self.last);
        let line = Line { seq, event, note: None, commands: &step.commands, records: &step.records, prev };
        self.put(&line)
    }

    /// Hash of the last line, which stands for all of them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.last
    }

    /// Ends the journal.
    ///
    /// # Errors
    /// What the stream says.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.out.flush()?;
        Ok((self.out, self.last))
    }

    fn put(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.last = Digest::of(&self.line);
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}
