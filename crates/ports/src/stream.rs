//! Messages in one order that several read, each at its own pace. On AWS: a Kinesis stream with one shard.

use crate::Answer;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies, in the stream's own words.
    pub position: String,
    /// What it says.
    pub text: String,
}

/// Messages in one order.
///
/// What could not be put at once is put again, from the first on that failed, so that a reader may see a message twice
/// and a later one before an earlier one; whoever needs one order numbers the messages.
pub trait Stream {
    /// Adds messages at the end.
    ///
    /// # Errors
    /// Some may not be there.
    fn put(&self, texts: &[String]) -> Answer<()>;

    /// Some messages behind a position, or from the oldest that is still there; none when there are no more yet. Does
    /// not wait.
    ///
    /// # Errors
    /// The stream cannot be read, or has forgotten the position.
    fn read(&self, after: Option<&str>) -> Answer<Vec<Entry>>;
}
