//! The record of a run that nobody can quietly change: every event with everything that came of it.
//!
//! A journal is a text file of JSON lines. The first says what the account was ([`Header`]); each of the others holds
//! one event, the commands and the records of its step ([`entry`]), and the SHA-256 of the line before it. So a line
//! that was changed, removed, added or moved breaks the chain at the line after it, and the hash of the last line
//! ([`Digest`]) stands for the whole run. Feeding the events of a journal to a new engine gives the same bytes again.
//!
//! In reading order: [`entry`] (what a line holds), [`writer`], [`reader`], [`file`] (a journal on disk: it appears
//! whole or not at all), [`log`] (a journal that goes on and survives its writer), [`lines`] (where it lies).
//!
//! Invariant: the bytes depend on the events and nothing else.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod entry;
pub mod file;
pub mod lines;
pub mod log;
pub mod reader;
pub mod writer;

pub use entry::{Digest, Entry, Header, VERSION};
pub use file::{JournalFile, open};
pub use lines::FileLines;
pub use log::{Lines, LinesError, Log, LogError};
pub use reader::{JournalError, Reader};
pub use writer::Writer;
