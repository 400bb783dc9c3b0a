//! Lines in a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::log::{Lines, LinesError};

/// A file of lines that one program at a time has. A last line without its end is what a crash left of one that was
/// never promised to anybody: it is cut off.
#[derive(Debug)]
pub struct FileLines {
    path: PathBuf,
    file: File,
    reader: Option<BufReader<File>>,
    waiting: Vec<u8>,
    /// Bytes that are whole lines.
    length: u64,
}

/// Whether a program has the file now. Looks, and changes nothing.
#[must_use]
pub fn is_taken(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Lines that wait to be written, at most.
const WAITING_MAX: usize = 1 << 18;

impl FileLines {
    /// Opens a file of lines, or makes it.
    ///
    /// # Errors
    /// Another program has it, or the file system says no.
    pub fn open(path: &Path) -> Result<Self, LinesError> {
        let failed = |doing| move |source| failure(doing, path, source);
        let new = !path.exists();
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed("cannot open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LinesError::Taken(path.display().to_string())),
            Err(TryLockError::Error(source)) => return Err(failure("cannot lock", path, source)),
        }
        let length = whole_lines(&mut file).map_err(failed("cannot read"))?;
        file.set_len(length).map_err(failed("cannot mend"))?;
        if new {
            // The file's name must outlive a crash as well.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("cannot open"))?;
        }
        let reader = File::open(path).map_err(failed("cannot read"))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            reader: Some(BufReader::with_capacity(1 << 18, reader)),
            waiting: Vec::new(),
            length,
        })
    }

    /// Hands what waits to the operating system: it survives this program, not yet the machine.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self) -> Result<(), LinesError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.file.write_all(&self.waiting) {
            // Half a line must not stand in the way of the next one.
            let _ = self.file.set_len(self.length);
            return Err(failure("cannot write", &self.path, source));
        }
        self.length += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

impl Drop for FileLines {
    fn drop(&mut self) {
        // What was never promised may still be of use.
        let _ = self.write();
    }
}

fn failure(doing: &'static str, path: &Path, source: io::Error) -> LinesError {
    LinesError::Failed { doing, place: path.display().to_string(), source: Box::new(source) }
}

/// Length of the file up to the end of its last whole line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = [0_u8; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

impl Lines for FileLines {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line).map_err(|source| failure("cannot read", &self.path, source))?;
        if read == 0 {
            self.reader = None;
            return Ok(None);
        }
        line.pop();
        Ok(Some(line))
    }

    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), LinesError> {
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
        if self.waiting.len() > WAITING_MAX { self.write() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        self.write()?;
        self.file.sync_data().map_err(|source| failure("cannot write", &self.path, source))
    }
}
