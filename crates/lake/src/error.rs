//! What can go wrong with a lake; each error is one sentence that says what to do.

use std::path::{Path, PathBuf};

use domain::{CalendarError, Symbol};

use crate::intake::IntakeError;
use crate::location::LocationError;

/// A lake could not be opened, read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The place of the lake is no place for one.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// A vendor's file could not be read.
    #[error(transparent)]
    Intake(Box<IntakeError>),
    /// Nothing was ever imported here.
    #[error("there is no lake at `{location}`; import some first: `algotrading data import FILE --lake {location}`")]
    NoLake {
        /// As given.
        location: String,
    },
    /// The first import died, or is not complete yet.
    #[error(
        "an import into `{location}` was cut short or is still running, and nothing is stored yet; import again, which clears away what it left"
    )]
    Unfinished {
        /// As given.
        location: String,
    },
    /// No path was given, or a folder without files.
    #[error("there is nothing to import in {what}; name the vendor's files")]
    NothingToImport {
        /// The folder, or `an empty list`.
        what: String,
    },
    /// More files than an import can tell apart.
    #[error("{files} files are too many for one import; import at most 65535 at a time")]
    TooManyFiles {
        /// How many.
        files: usize,
    },
    /// The lake's own files could not be written.
    #[error("cannot write to the lake at `{path}`: {advice}", path = path.display())]
    Write {
        /// Folder or file.
        path: PathBuf,
        /// What to do about it.
        advice: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{path}`: check that it exists and that you may read it", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the lake is damaged.
    #[error(
        "`{file}` in the lake cannot be read ({reason}); it is half-written or damaged: restore it from a copy, or \
         delete it and import again what lies under raw/"
    )]
    Corrupt {
        /// Relative to the lake.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Another import is running.
    #[error("another import into `{location}` is running ({owner}); wait until it ends{remedy}")]
    Locked {
        /// Of the lake.
        location: String,
        /// Process and host.
        owner: String,
        /// What to do when it is not running.
        remedy: String,
    },
    /// The input changed during the import.
    #[error("`{path}` changed while it was read; import it again when it is complete", path = path.display())]
    Changed {
        /// Of the vendor's file.
        path: PathBuf,
    },
    /// `--known-at` after now.
    #[error("known-at {known_at} lies in the future; give the time at which the file was received")]
    KnownInFuture {
        /// As given.
        known_at: domain::Timestamp,
    },
    /// `--strict`, and something was not perfect.
    #[error(
        "{quarantined} rows would be quarantined and {flagged} flagged, the first at {file}:{line} ({rule}: {value}); \
         correct the file, or import it without --strict"
    )]
    Strict {
        /// Refused rows.
        quarantined: u64,
        /// Flagged rows.
        flagged: u64,
        /// Of the first.
        file: String,
        /// Of the first.
        line: u64,
        /// Contract or flag of the first.
        rule: String,
        /// What broke it.
        value: String,
    },
    /// A symbol that the lake does not have.
    #[error("the lake has no symbol {symbol}{nearest}; `algotrading data import` brings in more")]
    UnknownSymbol {
        /// As asked for.
        symbol: Symbol,
        /// `; did you mean ...`, or nothing.
        nearest: String,
    },
    /// A date without session.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// An object store failed.
    #[error("cannot {what} in the lake at `{location}`: {reason}")]
    Store {
        /// read, write, list.
        what: &'static str,
        /// Of the lake.
        location: String,
        /// In one line.
        reason: String,
    },
    /// An amount does not fit.
    #[error("the adjusted prices of {symbol} are too large to represent; ask for `--adjust none`")]
    Overflow {
        /// Whose.
        symbol: Symbol,
    },
}

impl From<IntakeError> for LakeError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Keep { copy, source, .. } => Self::write(&copy, source),
            error => Self::Intake(Box::new(error)),
        }
    }
}

impl LakeError {
    /// A failure to write, with the advice that fits its cause.
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let advice = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full, make room and import again",
            ErrorKind::FileTooLarge => "a file would exceed the size that is allowed here, raise the limit",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "it is read-only, ask for write access or choose another --lake"
            }
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a file is in the way, choose another --lake",
            _ => "check the disk and import again",
        };
        Self::Write { path: path.into(), advice: advice.into(), source }
    }

    /// A damaged file of the lake.
    pub(crate) fn corrupt(file: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { file: file.into(), reason: one_line(&reason.to_string()) }
    }
}

/// The first line of a message, without trailing punctuation.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().trim_end_matches('.').to_owned()
}
