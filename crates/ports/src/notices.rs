//! Words to people. On AWS: an SNS topic.

use crate::Answer;

/// Words to people.
pub trait Notices {
    /// Sends a message under a subject of at most 100 characters, in one line of ASCII; what does not fit is cut.
    ///
    /// # Errors
    /// It cannot be sent.
    fn publish(&self, subject: &str, text: &str) -> Answer<()>;
}
