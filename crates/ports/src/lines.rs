//! Numbered lines that are added to by one writer at a time and never changed. On AWS: a DynamoDB table.
//!
//! Whoever writes holds a lease. Each holder has a higher number than the one before ([`Lease::epoch`]), and every write
//! says whose it is: a writer that was frozen while another took over can add nothing any more.

use crate::Answer;

/// Who may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is: a name that no other process has.
    pub owner: String,
    /// Grows with each owner.
    pub epoch: u64,
    /// When the owner last showed that it lives: milliseconds since 1970.
    pub seen_ms: i64,
    /// Until when it is the owner's, unless renewed.
    pub until_ms: i64,
}

/// What became of something that only the holder of the lease may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It is done, and the lease is as said.
    Yes(Lease),
    /// The lease is somebody else's; nothing was done.
    No(Lease),
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 0.
    pub seq: u64,
    /// Its text, without an end.
    pub text: String,
}

/// Lines of several journals.
pub trait Lines {
    /// Takes the lease for `owner` from `now_ms` until `until_ms`, unless somebody else holds it; renews one's own.
    ///
    /// # Errors
    /// The table cannot be written.
    fn claim(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Held>;

    /// Takes the lease away from whoever holds it.
    ///
    /// # Errors
    /// The table cannot be written.
    fn revoke(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Lease>;

    /// The lease; none before the first claim.
    ///
    /// # Errors
    /// The table cannot be read.
    fn lease(&self, journal: &str) -> Answer<Option<Lease>>;

    /// The first lines from a number on, in order; none behind the last.
    ///
    /// # Errors
    /// The table cannot be read.
    fn read(&self, journal: &str, from: u64) -> Answer<Vec<Line>>;

    /// Adds lines, all or none, and renews the lease, if it still is as told and none of the numbers is taken.
    ///
    /// # Errors
    /// The table cannot be written, or a line is too long for it.
    fn append(&self, journal: &str, lines: &[Line], lease: &Lease) -> Answer<Held>;
}

/// The most lines that are added at once.
pub const AT_ONCE: usize = 99;
