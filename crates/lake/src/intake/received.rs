//! A file's bytes as they come in: hashed, and kept if wanted.
//!
//! The copy is written while the file is read, so that its bytes are in memory once and the disk is busy early.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::IntakeError;

/// Bytes written before the disk is asked to store them, while more come in.
const SYNC_BYTES: u64 = 16 << 20;

/// What came in so far.
pub(crate) struct Received {
    sha256: Sha256,
    bytes: u64,
    keep: Option<PathBuf>,
    copy: Option<File>,
    syncing: Option<(u64, JoinHandle<io::Result<()>>)>,
    failure: Option<io::Error>,
}

impl Received {
    /// Nothing yet; the bytes are to be kept in a new file at `keep`.
    pub(super) fn new(keep: Option<PathBuf>) -> Self {
        Self { sha256: Sha256::new(), bytes: 0, keep, copy: None, syncing: None, failure: None }
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.copy(bytes).err();
            self.sha256.update(bytes);
            self.bytes += bytes.len() as u64;
        }
    }

    /// Whether the copy could not be written; [`Self::checked`] tells why.
    pub(super) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    fn copy(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(path) = &self.keep else { return Ok(()) };
        let copy = match &mut self.copy {
            Some(copy) => copy,
            None => self.copy.insert(File::create_new(path)?),
        };
        copy.write_all(bytes)?;
        let (asked, idle) = match &self.syncing {
            Some((asked, thread)) => (*asked, thread.is_finished()),
            None => (0, true),
        };
        if idle && self.bytes >= asked + SYNC_BYTES {
            let copy = copy.try_clone()?;
            let before = self.syncing.replace((self.bytes, std::thread::spawn(move || settle(&copy))));
            before.map_or(Ok(()), |(_, thread)| joined(thread))?;
        }
        Ok(())
    }

    /// An error if the copy could not be written.
    pub(super) fn checked(mut self, input: &Path) -> Result<Self, IntakeError> {
        match self.failure.take() {
            None => Ok(self),
            Some(source) => Err(IntakeError::Keep { path: input.into(), copy: self.keep.unwrap_or_default(), source }),
        }
    }

    /// SHA-256 of all bytes in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        self.sha256.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many they were.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits, on a thread of its own, until the copy is on disk.
    pub(crate) fn store(self) -> JoinHandle<io::Result<()>> {
        std::thread::spawn(move || {
            self.syncing.map_or(Ok(()), |(_, thread)| joined(thread))?;
            self.copy.map_or(Ok(()), |copy| copy.sync_all())
        })
    }
}

/// Waits for the disk, and lets the memory that held the bytes be used for those to come: nobody reads them soon.
fn settle(copy: &File) -> io::Result<()> {
    copy.sync_data()?;
    // Advice: where it is not taken, the memory is freed when it is needed.
    let _ = rustix::fs::fadvise(copy, 0, None, rustix::fs::Advice::DontNeed);
    Ok(())
}

fn joined(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("waiting for the disk stopped")))
}
