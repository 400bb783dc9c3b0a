//! The catalogue of tables, and the crawler that fills it. On AWS: Glue.

use crate::Answer;

/// Where a crawler stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crawler {
    /// At work, its stopping included.
    pub running: bool,
    /// How its last crawl ended: started at (UTC, RFC 3339), and the reason if it failed or was cancelled.
    pub last: Option<(String, Option<String>)>,
}

/// A table of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names and types of the columns, in their order, as Glue writes them.
    pub columns: Vec<(String, String)>,
    /// Those of the partition keys.
    pub partition_keys: Vec<(String, String)>,
    /// Where its files lie; empty for a view.
    pub location: String,
}

/// The catalogue.
pub trait Catalog {
    /// Starts the crawler; nothing happens when it is at work.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be started.
    fn crawl(&self, crawler: &str) -> Answer<()>;

    /// Where the crawler stands.
    ///
    /// # Errors
    /// There is none of that name.
    fn crawler(&self, crawler: &str) -> Answer<Crawler>;

    /// A table; nothing when there is none.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    fn table(&self, database: &str, table: &str) -> Answer<Option<Table>>;
}
