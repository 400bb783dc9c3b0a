//! What the lines of a journal hold.

use std::fmt;

use domain::{Money, Symbol};
use engine::{Command, Event, Record};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Version of the format; a reader refuses any other.
pub const VERSION: u32 = 1;

/// The first line: what must be known to read the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub journal: u32,
    /// Which run this is.
    pub run_id: String,
    /// The names behind instrument ids, in their order.
    pub instruments: Vec<Symbol>,
    /// Cash at the start.
    pub cash: Money,
}

/// A line as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    pub(crate) event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) commands: &'a [Command],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) records: &'a [Record],
    pub(crate) prev: Digest,
}

/// One event and what came of it. Commands are not read back: an order that passed the limits is never deserialised,
/// so replaying the events is the only way to have it again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entry {
    /// Number of the step, from 1.
    pub seq: u64,
    /// What happened.
    pub event: Event,
    /// Who wanted it and why, in words, where a person or another program did.
    #[serde(default)]
    pub note: Option<String>,
    /// What the engine made of it.
    #[serde(default)]
    pub records: Vec<Record>,
    /// Hash of the line before.
    pub prev: Digest,
}

/// SHA-256 of a line, its end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("expected 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
