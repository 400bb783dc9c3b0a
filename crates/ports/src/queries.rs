//! SQL queries that are started, asked about and fetched. On AWS: Athena, in one workgroup.

use crate::Answer;

/// Where a query stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryState {
    /// Queued or at work.
    Running,
    /// Done.
    Succeeded {
        /// Bytes read.
        scanned_bytes: u64,
        /// Milliseconds the engine took.
        engine_ms: u64,
    },
    /// Failed or cancelled, with the reason.
    Failed(String),
}

/// An answer: all values are text, null is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, at most as many as were asked for.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there are more.
    pub more: bool,
}

/// Queries.
pub trait Queries {
    /// Starts a statement with a value (an SQL literal) for each `?`; the same token gives the same query.
    ///
    /// # Errors
    /// It is not accepted.
    fn start(&self, sql: &str, parameters: &[String], token: &str) -> Answer<String>;

    /// Where a query stands.
    ///
    /// # Errors
    /// It cannot be asked about.
    fn state(&self, query: &str) -> Answer<QueryState>;

    /// The first rows of a query that succeeded.
    ///
    /// # Errors
    /// They cannot be fetched.
    fn rows(&self, query: &str, most: usize) -> Answer<Rows>;

    /// Stops a query.
    ///
    /// # Errors
    /// It cannot be stopped.
    fn stop(&self, query: &str) -> Answer<()>;
}
