//! A journal that goes on: opened again after a crash it first expects what it already holds, line for line, and
//! appends only after the last of it.
//!
//! So a restart is a replay: whoever writes feeds the same events to a new engine, and a step that comes out otherwise
//! than it is written is found ([`LogError::Diverged`]) before anything leaves. Where lines lie is the business of
//! [`Lines`]: a file here, a table in the cloud.

use engine::{Event, Step};

use crate::entry::{Digest, Entry, Header, Line, VERSION};

/// Where the lines of one journal lie. Only one writer at a time may have them.
pub trait Lines {
    /// The next stored line without its end; none after the last.
    ///
    /// # Errors
    /// [`LinesError`].
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError>;

    /// Adds a line after the last, number `seq` from 0; it may wait for [`Lines::sync`].
    ///
    /// # Errors
    /// [`LinesError`].
    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), LinesError>;

    /// Returns once every line added is safe from a crash.
    ///
    /// # Errors
    /// [`LinesError`].
    fn sync(&mut self) -> Result<(), LinesError>;
}

impl<L: Lines + ?Sized> Lines for Box<L> {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        (**self).next_line()
    }

    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), LinesError> {
        (**self).append(seq, line)
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        (**self).sync()
    }
}

/// Lines cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// Another writer has the journal.
    #[error("another program writes the journal {0}; stop it first")]
    Taken(String),
    /// It failed.
    #[error("{doing} the journal {place}")]
    Failed {
        /// `cannot read`, …
        doing: &'static str,
        /// Which.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A journal cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its lines cannot be read or kept.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// It belongs to another run.
    #[error(
        "the journal is of run {there}, and this is run {here}; choose another folder, or the run file it began with"
    )]
    OtherRun {
        /// In the journal.
        there: String,
        /// What is to go on.
        here: String,
    },
    /// A format this program does not know.
    #[error("the journal has format {0}, and this program writes {VERSION}; use the version that wrote it")]
    Version(u32),
    /// A line is not what it should be.
    #[error("line {0} of the journal is not a record that follows the one before; it was changed")]
    Changed(u64),
    /// Replaying came to something else than what is written.
    #[error("step {seq} came out otherwise than the journal has it; data, program or configuration have changed since")]
    Diverged {
        /// Which step.
        seq: u64,
    },
}

/// A journal that goes on.
#[derive(Debug)]
pub struct Log<L> {
    lines: L,
    last: Digest,
    seq: u64,
    /// The next stored step, until all of them have come again.
    expected: Option<(Entry, Vec<u8>)>,
    line: Vec<u8>,
    dirty: bool,
}

impl<L: Lines> Log<L> {
    /// Opens a journal, or begins it.
    ///
    /// # Errors
    /// [`LogError`]: another run's, damaged, or not to be had.
    pub fn open(mut lines: L, header: &Header) -> Result<Self, LogError> {
        #[derive(serde::Deserialize)]
        struct Version {
            journal: u32,
        }
        let mut wanted = Vec::new();
        serde_json::to_writer(&mut wanted, header).map_err(|source| failed("cannot write", source))?;
        let last = Digest::of(&wanted);
        let this = |lines| Self { lines, last, seq: 0, expected: None, line: Vec::new(), dirty: false };
        match lines.next_line()? {
            None => {
                lines.append(0, &wanted)?;
                lines.sync()?;
                return Ok(this(lines));
            }
            Some(stored) => {
                let version = serde_json::from_slice::<Version>(&stored).map_err(|_| LogError::Changed(1))?;
                if version.journal != VERSION {
                    return Err(LogError::Version(version.journal));
                }
                let there: Header = serde_json::from_slice(&stored).map_err(|_| LogError::Changed(1))?;
                if there.run_id != header.run_id {
                    return Err(LogError::OtherRun { there: there.run_id, here: header.run_id.clone() });
                }
                if stored != wanted {
                    return Err(LogError::Changed(1));
                }
            }
        }
        let mut this = this(lines);
        this.look()?;
        Ok(this)
    }

    /// Reads the next stored step.
    fn look(&mut self) -> Result<(), LogError> {
        let Some(text) = self.lines.next_line()? else { return Ok(()) };
        let line = self.seq + 2;
        let entry: Entry = serde_json::from_slice(&text).map_err(|_| LogError::Changed(line))?;
        if entry.prev != self.last || entry.seq != self.seq + 1 {
            return Err(LogError::Changed(line));
        }
        self.expected = Some((entry, text));
        Ok(())
    }

    /// The next step that is written already; none once all of them have come again.
    #[must_use]
    pub fn expected(&self) -> Option<&Entry> {
        self.expected.as_ref().map(|(entry, _)| entry)
    }

    /// Hash of the last line, which stands for all of them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.last
    }

    /// Number of the last step.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Takes a step: compares it with what is written, or adds it. True when it was added.
    ///
    /// # Errors
    /// [`LogError`]; then nothing of this step may leave.
    pub fn put(&mut self, event: &Event, note: Option<&str>, step: &Step) -> Result<bool, LogError> {
        let seq = self.seq + 1;
        let line = Line { seq, event, note, commands: &step.commands, records: &step.records, prev: self.last };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line).map_err(|source| failed("cannot write", source))?;
        let added = match self.expected.take() {
            Some((_, text)) if text != self.line => return Err(LogError::Diverged { seq }),
            Some(_) => false,
            None => {
                self.lines.append(seq, &self.line)?;
                self.dirty = true;
                true
            }
        };
        self.last = Digest::of(&self.line);
        self.seq = seq;
        if !added {
            self.look()?;
        }
        Ok(added)
    }

    /// Returns once every step taken is safe from a crash.
    ///
    /// # Errors
    /// [`LogError`]; then nothing may leave.
    pub fn sync(&mut self) -> Result<(), LogError> {
        if self.dirty {
            self.lines.sync()?;
            self.dirty = false;
        }
        Ok(())
    }
}

fn failed(doing: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> LinesError {
    LinesError::Failed { doing, place: "in memory".to_owned(), source: Box::new(source) }
}
