//! Records of what was done, each written only by who has seen its last version. On AWS: one DynamoDB table.

use serde_json::Value;

use crate::Answer;

/// Which record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What is listed together.
    pub partition: String,
    /// Its order within.
    pub sort: String,
}

impl Key {
    /// Of two parts.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Grows by one with each write, from 1 on.
    pub version: u64,
    /// What it says.
    pub body: Value,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It stands.
    Stored,
    /// Somebody else wrote first; nothing changed.
    Conflict,
}

/// Records.
pub trait Records {
    /// The record of a key, as the last write left it.
    ///
    /// # Errors
    /// The table cannot be read.
    fn get(&self, key: &Key) -> Answer<Option<Record>>;

    /// Writes a record if it is still at version `seen`; 0 stands for "not there".
    ///
    /// # Errors
    /// The table cannot be written.
    fn put(&self, key: &Key, body: &Value, seen: u64) -> Answer<Put>;

    /// The keys of a partition, in order, whatever is written under them.
    ///
    /// # Errors
    /// The table cannot be read.
    fn keys(&self, partition: &str) -> Answer<Vec<Key>>;

    /// All records of a partition in the order of their sort keys; no record is passed over.
    ///
    /// # Errors
    /// The table cannot be read.
    fn list(&self, partition: &str) -> Answer<Vec<(Key, Record)>>;
}
