//! Why a file as a whole cannot be read; each sentence says what to do.

use std::path::PathBuf;

/// A file could not be opened, recognised or read.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Nothing lies at the path.
    #[error("there is no file `{path}`: check the path", path = path.display())]
    Missing {
        /// As given.
        path: PathBuf,
    },
    /// The path is a folder.
    #[error("`{path}` is a folder: name the files in it", path = path.display())]
    Folder {
        /// As given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read `{path}`", path = path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The copy that the lake keeps could not be written.
    #[error("cannot copy `{path}` to `{copy}`", path = path.display(), copy = copy.display())]
    Keep {
        /// As given.
        path: PathBuf,
        /// Where the copy was to lie.
        copy: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No bytes, or only blank lines.
    #[error("`{path}` is empty: fetch it again", path = path.display())]
    Empty {
        /// As given.
        path: PathBuf,
    },
    /// A header and nothing below.
    #[error("`{path}` has a header but no rows: fetch it again", path = path.display())]
    NoRows {
        /// As given.
        path: PathBuf,
    },
    /// Compressed or another binary format.
    #[error("`{path}` is not text but {kind}: {remedy}", path = path.display())]
    Binary {
        /// As given.
        path: PathBuf,
        /// What it looks like.
        kind: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The header is no UTF-8.
    #[error("`{path}` is not UTF-8 text: save it as UTF-8 first", path = path.display())]
    NotUtf8 {
        /// As given.
        path: PathBuf,
    },
    /// The header would be known with another delimiter.
    #[error(
        "`{path}` separates its columns with {found}, but profile `{profile}` expects {expected}: convert the file, \
         or pass a copy of that profile with another `delimiter` as `--profile FILE.toml`",
        path = path.display()
    )]
    Delimiter {
        /// As given.
        path: PathBuf,
        /// In words.
        found: &'static str,
        /// In words.
        expected: Box<str>,
        /// Whose header it would be.
        profile: Box<str>,
    },
    /// No profile has this header.
    #[error(
        "the header of `{path}`, `{header}`, is unknown{nearest}: correct it or pass `--profile` with a file.toml of your \
         own (known: {known})",
        path = path.display()
    )]
    UnknownHeader {
        /// As given.
        path: PathBuf,
        /// The first line, shortened.
        header: Box<str>,
        /// The profile with the most columns in common and the difference from it, or nothing.
        nearest: Box<str>,
        /// All names.
        known: Box<str>,
    },
    /// The header is not the one of the profile asked for.
    #[error("the header of `{path}`, `{header}`, is not that of profile `{profile}` ({difference}): {remedy}",
        path = path.display())]
    OtherHeader {
        /// As given.
        path: PathBuf,
        /// The first line, shortened.
        header: Box<str>,
        /// Asked for.
        profile: Box<str>,
        /// Missing and unknown columns.
        difference: Box<str>,
        /// Which profile has it.
        remedy: Box<str>,
    },
    /// Several profiles have this header.
    #[error(
        "the header of `{path}`, `{header}`, belongs to several profiles that mean different things: pass `--profile` \
         with one of {candidates}",
        path = path.display()
    )]
    Ambiguous {
        /// As given.
        path: PathBuf,
        /// The first line, shortened.
        header: Box<str>,
        /// Their names.
        candidates: Box<str>,
    },
    /// There is no profile of that name.
    #[error("there is no profile `{name}`; {advice}")]
    UnknownProfile {
        /// As given.
        name: Box<str>,
        /// `did you mean ...?`, or all names.
        advice: Box<str>,
    },
    /// A profile given as a file cannot be used.
    #[error("profile `{path}` cannot be used: {problem}", path = path.display())]
    Profile {
        /// Of the TOML file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<str>,
    },
    /// Neither the rows nor the name of the file tell the symbol.
    #[error("the symbol of `{path}` cannot be told from its name (profile `{profile}` reads {patterns}): pass `--symbol`",
        path = path.display())]
    NoSymbol {
        /// As given.
        path: PathBuf,
        /// Recognised.
        profile: Box<str>,
        /// What names it understands.
        patterns: Box<str>,
    },
    /// The name of the file has a symbol's place, but no symbol there.
    #[error("the name of `{path}` gives no usable symbol: pass `--symbol`", path = path.display())]
    BadSymbol {
        /// As given.
        path: PathBuf,
        /// Why not.
        source: domain::SymbolError,
    },
    /// `--symbol` with a file of many symbols.
    #[error(
        "`{path}` names the symbol of each row in its column `{column}`: leave `--symbol {symbol}` out",
        path = path.display()
    )]
    SymbolNotWanted {
        /// As given.
        path: PathBuf,
        /// Of the file.
        column: Box<str>,
        /// As given.
        symbol: Box<str>,
    },
    /// A thread ended before its work was done.
    #[error("reading `{path}` stopped unexpectedly: this is a defect, please report it", path = path.display())]
    Stopped {
        /// As given.
        path: PathBuf,
    },
}

impl IntakeError {
    /// The vendor's file that is at fault; none when the request itself is.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Missing { path }
            | Self::Folder { path }
            | Self::Read { path, .. }
            | Self::Empty { path }
            | Self::NoRows { path }
            | Self::Binary { path, .. }
            | Self::NotUtf8 { path, .. }
            | Self::Delimiter { path, .. }
            | Self::UnknownHeader { path, .. }
            | Self::OtherHeader { path, .. }
            | Self::Ambiguous { path, .. }
            | Self::NoSymbol { path, .. }
            | Self::BadSymbol { path, .. }
            | Self::SymbolNotWanted { path, .. } => Some(path),
            Self::Keep { .. } | Self::UnknownProfile { .. } | Self::Profile { .. } | Self::Stopped { .. } => None,
        }
    }
}
