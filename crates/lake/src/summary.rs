//! What an import is asked to do, how far it is, and what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::{Symbol, Timestamp};
use serde::Serialize;

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// Files, and folders that stand for the files in them.
    pub paths: Vec<PathBuf>,
    /// Name of a vendor's layout, or a TOML file that describes one; recognised by the header when absent.
    pub profile: Option<String>,
    /// Whose rows they are, where neither rows nor file names say so.
    pub symbol: Option<Symbol>,
    /// When the rows were known; by default a new bar at the close of its session and a changed one `now`.
    pub known_at: Option<Timestamp>,
    /// The time of the import.
    pub now: Timestamp,
    /// Whether a quarantined or flagged row makes the import fail.
    pub strict: bool,
    /// Whether the files are older than what the lake has: only what it lacks is taken, nothing is superseded by it.
    pub behind: bool,
}

/// How far an import is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Bytes of work done.
    pub bytes_done: u64,
    /// Bytes of work in all.
    pub bytes_total: u64,
    /// What is being done, in a few words.
    pub what: String,
}

/// What an import did; `read` is always the sum of `stored`, `unchanged` and `quarantined`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportSummary {
    /// Rows of the files.
    pub read: u64,
    /// New bars and new versions of bars.
    pub stored: u64,
    /// Rows that the lake already had.
    pub unchanged: u64,
    /// Rows that broke a contract.
    pub quarantined: u64,
    /// Stored rows with a flag.
    pub flagged: u64,
    /// How often each contract was broken and each flag set, and unchanged rows that a later version superseded.
    pub rules: BTreeMap<String, u64>,
}

impl ImportSummary {
    pub(crate) fn count(&mut self, rule: &str) {
        match self.rules.get_mut(rule) {
            Some(count) => *count += 1,
            None => {
                self.rules.insert(rule.to_owned(), 1);
            }
        }
    }
}
