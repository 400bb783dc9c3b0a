//! Files that nobody can change or remove. On AWS: a bucket with Object Lock.

use crate::Answer;

/// Files that stay.
pub trait Archive {
    /// Keeps a file. One that is there already stays as it is.
    ///
    /// # Errors
    /// It cannot be kept.
    fn keep(&self, path: &str, bytes: Vec<u8>) -> Answer<()>;
}
