//! A journal on disk.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use engine::{Event, Step};

use crate::entry::{Digest, Header};
use crate::reader::{JournalError, Reader};
use crate::writer::Writer;

/// A journal that is being written: it lies beside its place until [`JournalFile::publish`] puts it there whole.
#[derive(Debug)]
pub struct JournalFile {
    writer: Option<Writer<BufWriter<File>>>,
    place: PathBuf,
    draft: PathBuf,
}

impl JournalFile {
    /// Starts a journal that will lie at `place`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(place: &Path, header: &Header) -> io::Result<Self> {
        let mut draft = place.as_os_str().to_owned();
        draft.push(".draft");
        let draft = PathBuf::from(draft);
        let writer = Writer::new(BufWriter::with_capacity(1 << 18, File::create(&draft)?), header)?;
        Ok(Self { writer: Some(writer), place: place.to_owned(), draft })
    }

    /// Appends one step.
    ///
    /// # Errors
    /// What the file system says.
    pub fn step(&mut self, event: &Event, step: &Step) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.step(event, step))
    }

    /// Brings the journal to disk and puts it in its place.
    ///
    /// # Errors
    /// What the file system says; then nothing lies at the place that was not there before.
    pub fn publish(mut self) -> io::Result<Digest> {
        let writer = self.writer.take().ok_or_else(|| io::Error::other("the journal is already published"))?;
        let (out, digest) = writer.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&self.draft, &self.place)?;
        Ok(digest)
    }
}

impl Drop for JournalFile {
    fn drop(&mut self) {
        // Published, the draft is gone already; otherwise it is of no use to anyone.
        let _ = fs::remove_file(&self.draft);
    }
}

/// Opens a journal for reading.
///
/// # Errors
/// It cannot be read, or has no header of a known version.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, JournalError> {
    Reader::new(BufReader::with_capacity(1 << 18, File::open(path)?))
}
