//! Files in the landing place, where exports arrive. On AWS: a prefix of a bucket.

use std::path::Path;

use crate::Answer;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its path below the landing place.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// Files.
pub trait Objects {
    /// The files below a folder, sorted by path; empty ones that stand for folders are left out.
    ///
    /// # Errors
    /// The place cannot be read.
    fn list(&self, folder: &str) -> Answer<Vec<Object>>;

    /// Copies a file to the disk, piece by piece; a copy cut short is removed.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], or the place cannot be read or the disk not written.
    fn download(&self, path: &str, to: &Path) -> Answer<()>;
}
