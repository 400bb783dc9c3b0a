//! Messages for one reader, in order within a group, told at least once. On AWS: an SQS FIFO queue.

use crate::Answer;

/// A message that was received and not deleted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub text: String,
    /// What it is deleted by.
    pub receipt: String,
}

/// Messages for one reader.
pub trait Queue {
    /// Adds a message behind those of its group; one that was added with the same id minutes ago is not added again.
    ///
    /// # Errors
    /// It may have been added, unless the kind says that nobody was reached or it was refused.
    fn send(&self, group: &str, id: &str, text: &str) -> Answer<()>;

    /// The next messages; waits for one at most so many seconds. What is not deleted comes again.
    ///
    /// # Errors
    /// The queue cannot be read.
    fn receive(&self, wait_s: u32) -> Answer<Vec<Message>>;

    /// Takes a message off the queue.
    ///
    /// # Errors
    /// It could not be, and may come again.
    fn delete(&self, receipt: &str) -> Answer<()>;
}
