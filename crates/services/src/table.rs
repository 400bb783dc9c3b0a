//! A journal in a table, under a lease: [`journal::Lines`] of who holds it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use journal::{Lines, LinesError};
use ports::CallError;
use ports::lines::{self, Held, Lease, Line};

use crate::{Here, guardian};

/// Journals that several threads may use.
pub type Table = Arc<dyn lines::Lines + Send + Sync>;

/// Milliseconds since 1970, by the machine's clock.
#[must_use]
pub fn now_ms() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn failed(doing: &'static str, journal: &str, source: CallError) -> LinesError {
    LinesError::Failed { doing, place: journal.to_owned(), source: Box::new(source) }
}

/// Somebody else has the lease. A guardian is not to be stopped because of that.
fn taken(doing: &'static str, journal: &str, lease: &Lease) -> LinesError {
    if !guardian::is_owner(&lease.owner) {
        return LinesError::Taken(format!("of {journal}: it is {}", lease.owner));
    }
    let source = format!(
        "the guardian has taken over from the runner, which was silent or did not obey (it is {}): look at the record \
         control/{journal} and at the guardian's log, lift the order when that is right, and let a runner start; the \
         guardian's lease ends by itself, {} s after it was taken",
        lease.owner,
        guardian::HOLD_MS / 1_000
    );
    LinesError::Failed { doing, place: journal.to_owned(), source: source.into() }
}

/// Keeps a lease while nothing is written.
#[derive(Clone)]
pub struct Keeper {
    table: Table,
    journal: String,
    lease: Arc<Mutex<Lease>>,
    lease_ms: i64,
    /// Why lines could not be written: whoever writes them may be another thread than the one that could end the program.
    broken: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("journal", &self.journal).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Waits for the lease of a journal, and says so once. One that its holder no longer renews is waited for; one that
    /// is renewed is somebody else's.
    ///
    /// # Errors
    /// The sentence names who has it.
    pub fn wait(here: &Here<'_>, table: &Table, journal: &str, owner: &str) -> Result<Self, LinesError> {
        let mut first: Option<Lease> = None;
        let (begun, mut said) = (here.now_ms(), false);
        loop {
            let now = here.now_ms();
            let claimed = table.claim(journal, owner, now, now + here.lease_ms);
            match claimed.map_err(|error| failed("cannot open", journal, error))? {
                Held::Yes(lease) => {
                    here.info("holds the lease", serde_json::json!({ "journal": journal, "epoch": lease.epoch }));
                    return Ok(Self {
                        table: Arc::clone(table),
                        journal: journal.to_owned(),
                        lease: Arc::new(Mutex::new(lease)),
                        lease_ms: here.lease_ms,
                        broken: Arc::default(),
                    });
                }
                Held::No(lease) => {
                    let renewed = first.as_ref().is_some_and(|first| first.seen_ms != lease.seen_ms);
                    if renewed || here.stopped() {
                        return Err(taken("cannot open", journal, &lease));
                    }
                    // Another program that lives would have renewed it by then; a guardian does not.
                    let guards = guardian::is_owner(&lease.owner);
                    if !said && (guards || now - begun >= here.lease_ms / 2) {
                        let whose = if guards { " of the guardian, which has taken over from the runner" } else { "" };
                        let ends_in_s = (lease.until_ms - now) / 1_000;
                        let fields =
                            serde_json::json!({ "journal": journal, "owner": lease.owner, "ends_in_s": ends_in_s });
                        here.info(format_args!("waits for the lease{whose}"), fields);
                        said = true;
                    }
                    first.get_or_insert(lease);
                }
            }
            here.beat();
            here.rest(500);
        }
    }

    /// Number of the lease.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.held().epoch
    }

    fn held(&self) -> Lease {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds lines and renews the lease. One after another: two transactions on one lease would stand in each other's way.
    fn append(&self, lines: &[Line], now_ms: i64, until_ms: i64) -> Result<(), LinesError> {
        let mut held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = Lease { seen_ms: now_ms, until_ms, ..held.clone() };
        let added = self.table.append(&self.journal, lines, &lease);
        match added.map_err(|error| failed("cannot write", &self.journal, error))? {
            Held::Yes(lease) => {
                *held = lease;
                Ok(())
            }
            Held::No(lease) => Err(taken("cannot write", &self.journal, &lease)),
        }
    }

    /// Renews the lease when that is due.
    ///
    /// # Errors
    /// It is somebody else's, whom the sentence names, and whatever kept a line from being written.
    pub fn renew(&self, now_ms: i64) -> Result<(), LinesError> {
        if let Some(source) = self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            let place = self.journal.clone();
            return Err(LinesError::Failed { doing: "cannot write", place, source: source.into() });
        }
        // Several times before it ends.
        let due = now_ms - self.held().seen_ms >= self.lease_ms / 6;
        if due { self.append(&[], now_ms, now_ms + self.lease_ms) } else { Ok(()) }
    }

    /// Lets go, so that another need not wait.
    pub fn release(&self, now_ms: i64) {
        let _ = self.append(&[], now_ms, now_ms - 1);
    }

    /// The journal's lines, from the first on.
    #[must_use]
    pub fn lines(&self, now_ms: fn() -> i64) -> TableLines {
        TableLines { keeper: self.clone(), now_ms, page: VecDeque::new(), next: 0, over: false, waiting: Vec::new() }
    }
}

/// Lines in a table.
#[derive(Debug)]
pub struct TableLines {
    keeper: Keeper,
    now_ms: fn() -> i64,
    page: VecDeque<Line>,
    next: u64,
    over: bool,
    waiting: Vec<Line>,
}

/// Bytes that wait at most.
const WAITING_MAX: usize = 1 << 18;

impl Lines for TableLines {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        if self.page.is_empty() && !self.over {
            let journal = &self.keeper.journal;
            let page = self.keeper.table.read(journal, self.next);
            self.page = page.map_err(|error| failed("cannot read", journal, error))?.into();
            self.over = self.page.is_empty();
            let _ = self.keeper.renew((self.now_ms)());
        }
        let Some(line) = self.page.pop_front() else { return Ok(None) };
        if line.seq != self.next {
            let source = format!("line {} is missing", self.next).into();
            return Err(LinesError::Failed { doing: "cannot read", place: self.keeper.journal.clone(), source });
        }
        self.next += 1;
        Ok(Some(line.text.into_bytes()))
    }

    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), LinesError> {
        let text = String::from_utf8_lossy(line).into_owned();
        self.waiting.push(Line { seq, text });
        let bytes: usize = self.waiting.iter().map(|line| line.text.len()).sum();
        if bytes > WAITING_MAX { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        let now = (self.now_ms)();
        for some in self.waiting.chunks(lines::AT_ONCE) {
            let added = self.keeper.append(some, now, now + self.keeper.lease_ms);
            if let Err(error) = &added {
                let source = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
                *self.keeper.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
            }
            added?;
        }
        self.waiting.clear();
        Ok(())
    }
}

impl Drop for TableLines {
    fn drop(&mut self) {
        // What was never promised may still be of use.
        let _ = self.sync();
    }
}
