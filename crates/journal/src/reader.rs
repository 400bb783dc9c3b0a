//! Reading a journal and proving that nobody touched it.

use std::io::{self, BufRead};

use crate::entry::{Digest, Entry, Header, VERSION};

/// A journal cannot be believed, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The stream failed.
    #[error("cannot read the journal")]
    Read(#[from] io::Error),
    /// There is no first line.
    #[error("the journal is empty; restore it, or run again what wrote it")]
    Empty,
    /// A version this program does not know.
    #[error("the journal has format {0}, and this program reads {VERSION}; use the version that wrote it")]
    Version(u32),
    /// A line is not what it should be.
    #[error("line {line} of the journal is not a record; the file was changed")]
    Malformed {
        /// Which.
        line: u64,
    },
    /// A line does not follow the one before it.
    #[error("line {line} of the journal does not follow line {}; the file was changed", line - 1)]
    Broken {
        /// Which.
        line: u64,
    },
    /// The last line has no end.
    #[error(
        "line {line} of the journal is cut off: the program that wrote it was stopped; an account mends it when it is started again"
    )]
    Torn {
        /// Which.
        line: u64,
    },
}

/// Reads entries in order, checking each against the line before.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    last: Digest,
    line: u64,
    text: Vec<u8>,
    failed: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// No header of a known version.
    pub fn new(mut input: R) -> Result<Self, JournalError> {
        let mut text = Vec::new();
        if !next_line(&mut input, &mut text, 1)? {
            return Err(JournalError::Empty);
        }
        #[derive(serde::Deserialize)]
        struct Version {
            journal: u32,
        }
        let malformed = |_| JournalError::Malformed { line: 1 };
        let version = serde_json::from_slice::<Version>(&text).map_err(malformed)?.journal;
        if version != VERSION {
            return Err(JournalError::Version(version));
        }
        let header = serde_json::from_slice(&text).map_err(malformed)?;
        Ok(Self { input, header, last: Digest::of(&text), line: 1, text, failed: false })
    }

    /// What the account was.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Hash of the last line read.
    pub fn digest(&self) -> Digest {
        self.last
    }

    fn read(&mut self) -> Result<Option<Entry>, JournalError> {
        let line = self.line + 1;
        if !next_line(&mut self.input, &mut self.text, line)? {
            return Ok(None);
        }
        let entry: Entry = serde_json::from_slice(&self.text).map_err(|_| JournalError::Malformed { line })?;
        if entry.prev != self.last || entry.seq != self.line {
            return Err(JournalError::Broken { line });
        }
        self.last = Digest::of(&self.text);
        self.line = line;
        Ok(Some(entry))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.read().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}

/// Reads a line without its end; false at the end of the stream.
fn next_line(input: &mut impl BufRead, text: &mut Vec<u8>, line: u64) -> Result<bool, JournalError> {
    text.clear();
    if input.read_until(b'\n', text)? == 0 {
        return Ok(false);
    }
    if text.pop() != Some(b'\n') {
        return Err(JournalError::Torn { line });
    }
    Ok(true)
}
