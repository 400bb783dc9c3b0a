//! Where market events come from.

use crate::market::Market;

/// What a feed has next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something happened.
    Event(Market),
    /// Nothing yet.
    Nothing,
    /// Nothing will happen any more.
    End,
}

/// A feed failed for good; one that reconnects by itself says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FeedError(pub String);

/// A source of market events in order. It may tell something twice, after it was interrupted; it leaves nothing out.
pub trait Feed {
    /// The next event; waits for it at most so many milliseconds.
    ///
    /// # Errors
    /// [`FeedError`].
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError>;
}

impl<F: Feed + ?Sized> Feed for Box<F> {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        (**self).next(wait_ms)
    }
}
