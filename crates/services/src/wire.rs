//! The market stream, read in order.

use std::thread;
use std::time::{Duration, Instant};

use domain::Symbol;
use ports::stream::Stream;
use trading::Market;
use trading::tape::{self, Numbered, Tape, TapeError};

/// How often a stream that has nothing new is looked into: a shard answers five times a second, all readers together.
const LOOK: Duration = Duration::from_millis(450);
/// How long an event may be missing while later ones are there.
const MISSING: Duration = Duration::from_secs(60);

/// A reader.
pub struct Wire<'a> {
    stream: &'a dyn Stream,
    symbols: Vec<Symbol>,
    after: Option<String>,
    tape: Tape,
    idle: Option<Instant>,
    broken: Option<Instant>,
    opened: bool,
}

impl std::fmt::Debug for Wire<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("tape", &self.tape).finish_non_exhaustive()
    }
}

impl<'a> Wire<'a> {
    /// From the oldest event on; those up to a number are known already. A stream may begin inside a session: what comes
    /// before the first opening is no event.
    #[must_use]
    pub fn new(stream: &'a dyn Stream, symbols: &[Symbol], known: u64) -> Self {
        let tape = if known == 0 { Tape::new() } else { Tape::after(known) };
        Self { stream, symbols: symbols.to_vec(), after: None, tape, idle: None, broken: None, opened: known > 0 }
    }

    /// Events that have come; waits at most so long.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn next(&mut self, wait: Duration) -> Result<Vec<Numbered>, TapeError> {
        if let Some(left) = self.idle.and_then(|idle| LOOK.checked_sub(idle.elapsed())) {
            thread::sleep(left.min(wait));
            if left > wait {
                return Ok(Vec::new());
            }
        }
        let entries = match self.stream.read(self.after.as_deref()) {
            Ok(entries) => entries,
            Err(error) if error.kind.passes() => Vec::new(),
            Err(error) => return Err(TapeError::Nonsense(error.to_string())),
        };
        self.idle = entries.is_empty().then(Instant::now);
        let mut events = Vec::new();
        for entry in entries {
            events.extend(self.tape.take(tape::read(&entry.text, &self.symbols)?)?);
            self.after = Some(entry.position);
        }
        match self.tape.complete() {
            Ok(()) => self.broken = None,
            Err(gap) => {
                if self.broken.get_or_insert_with(Instant::now).elapsed() > MISSING {
                    return Err(gap);
                }
            }
        }
        for told in &mut events {
            self.opened |= matches!(told.event, Some(Market::Opened(_)));
            if !self.opened {
                told.event = None;
            }
        }
        Ok(events)
    }
}
