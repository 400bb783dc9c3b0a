//! Two queues as a channel between a trader and a broker adapter.

use std::time::Instant;

use ports::Kind;
use ports::queue::Queue;
use trading::remote::{Channel, Letter, Received, SendError};

/// One queue to the other side, one from it.
pub struct Post<'a> {
    to: &'a dyn Queue,
    from: Option<&'a dyn Queue>,
    group: String,
    looked: Option<Instant>,
}

impl std::fmt::Debug for Post<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("group", &self.group).finish_non_exhaustive()
    }
}

/// How often a queue is looked into that nobody waits for.
const LOOK_MS: u128 = 200;

impl<'a> Post<'a> {
    /// For the orders of a strategy, which have one order.
    #[must_use]
    pub fn new(to: &'a dyn Queue, from: &'a dyn Queue, strategy: &str) -> Self {
        Self { to, from: Some(from), group: strategy.to_owned(), looked: None }
    }

    /// Of somebody who only sends.
    #[must_use]
    pub fn one_way(to: &'a dyn Queue, strategy: &str) -> Self {
        Self { to, from: None, group: strategy.to_owned(), looked: None }
    }
}

impl Channel for Post<'_> {
    fn send(&mut self, id: &str, text: &str) -> Result<(), SendError> {
        // Strategies share a queue; an id counts for all of it.
        let sent = self.to.send(&self.group, &format!("{}-{id}", self.group), text);
        sent.map_err(|error| match error.kind {
            Kind::TimedOut | Kind::Service | Kind::Conflict => SendError::Unclear(error.to_string()),
            Kind::Unreachable | Kind::Throttled | Kind::Denied | Kind::NotFound | Kind::Invalid | Kind::Damaged => {
                SendError::NotSent(error.to_string())
            }
        })
    }

    fn receive(&mut self, wait_ms: u64) -> Result<Received, String> {
        let Some(from) = self.from else { return Ok(Received::default()) };
        let begun = Instant::now();
        if wait_ms == 0 && self.looked.is_some_and(|looked| looked.elapsed().as_millis() < LOOK_MS) {
            return Ok(Received::default());
        }
        let seconds = u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
        let messages = from.receive(seconds).map_err(|error| error.to_string())?;
        self.looked = Some(Instant::now());
        let letters = messages.into_iter().map(|message| Letter { text: message.text, receipt: message.receipt });
        Ok(Received { letters: letters.collect(), waited_ms: begun.elapsed().as_millis() as u64 })
    }

    fn done(&mut self, letter: &Letter) {
        // What cannot be deleted comes again, and is known.
        if let Some(from) = self.from {
            let _ = from.delete(&letter.receipt);
        }
    }
}
