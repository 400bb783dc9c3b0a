//! Vendors' files as batches of rows.
//!
//! A file is recognised by its header ([`header`], [`profile`]) and cut into blocks of whole rows ([`block`]). Threads
//! read the values of each row ([`extract`], [`dates`], [`symbols`]) and judge them ([`judge`]); batches come out in
//! the order of the file, however many threads there are. Every row that is not blank becomes one bar or one refusal.

mod block;
mod dates;
mod error;
mod extract;
mod header;
mod judge;
mod layout;
mod profile;
mod received;
mod scan;
#[cfg(test)]
mod speed;
mod symbols;
#[cfg(test)]
mod tests;
mod threads;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Symbol, Timestamp};

use self::block::{Block, Blocks, Parser};
pub use self::error::IntakeError;
use self::layout::Layout;
pub use self::profile::{Profile, profiles};
pub(crate) use self::received::Received;
use self::threads::Threads;
use crate::row::Batch;

/// How the work is cut up; the rows that come out do not depend on it.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Bytes in a block.
    block: usize,
    /// Threads that parse.
    threads: usize,
    /// Take no short cut.
    patient: bool,
}

impl Effort {
    fn usual() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).min(16);
        Self { block: 2 << 20, threads, patient: false }
    }
}

/// A recognised file, to be read once.
pub(crate) struct Input {
    path: PathBuf,
    layout: Arc<Layout>,
    work: Work,
    rows: u64,
    received: Option<Received>,
}

/// Where the rest of the file is.
enum Work {
    /// All of it is in memory, in one block.
    Small {
        block: Block,
        parser: Box<Parser>,
        received: Received,
    },
    /// Threads read it.
    Large(Threads),
    Done,
}

/// Recognises a file.
///
/// `profile` is a name or the path of a TOML file; `symbol` is whose rows they are where the rows do not say; rows of
/// sessions that end after `now` are refused. While the file is read, its bytes go to a new file at `keep`.
pub(crate) fn open(
    path: &Path,
    profile: Option<&str>,
    symbol: Option<&Symbol>,
    now: Timestamp,
    keep: Option<PathBuf>,
) -> Result<Input, IntakeError> {
    open_with(path, profile, symbol, now, keep, Effort::usual())
}

fn open_with(
    path: &Path,
    profile: Option<&str>,
    symbol: Option<&Symbol>,
    now: Timestamp,
    keep: Option<PathBuf>,
    effort: Effort,
) -> Result<Input, IntakeError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => IntakeError::Missing { path: path.into() },
        _ => IntakeError::Read { path: path.into(), source },
    };
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(IntakeError::Folder { path: path.into() });
    }
    let file = File::open(path).map_err(failed)?;
    let mut blocks = Blocks::new(file, effort.block);
    let mut received = Received::new(keep);
    // The header may stand behind blank lines, even behind blocks of them.
    let (first, header) = loop {
        let block = blocks.next(&mut |bytes| received.take(bytes)).map_err(failed)?;
        let Some(block) = block else { return Err(IntakeError::Empty { path: path.into() }) };
        if block.offset == 0 {
            text(path, &block.bytes)?;
        }
        if block.too_long.is_some() {
            return Err(unlike_text(path, "one endless line", "it is not a table"));
        }
        if let Some(found) = header_line(path, block)? {
            break found;
        }
    };
    let (profile, names) = header::recognise(path, &header, profile)?;
    let symbol = match (&profile.columns.symbol, symbol) {
        (Some(column), Some(symbol)) => {
            let (column, symbol) = (column.as_str().into(), symbol.as_str().into());
            return Err(IntakeError::SymbolNotWanted { path: path.into(), column, symbol });
        }
        (Some(_), None) => None,
        (None, Some(symbol)) => Some(symbol.clone()),
        (None, None) => Some(header::symbol_of(path, &profile)?),
    };
    let layout = Arc::new(Layout::new(profile, names));
    let parser = || {
        let mut parser = Parser::new(Arc::clone(&layout), symbol.clone(), now);
        parser.patient = effort.patient;
        parser
    };
    // Threads would cost more than they save on one block.
    let rest = if blocks.ended() { blocks.next(&mut |bytes| received.take(bytes)).map_err(failed)? } else { None };
    let work = if blocks.ended() && rest.is_none() {
        if first.bytes[first.start..].iter().all(|byte| byte.is_ascii_whitespace()) {
            return Err(IntakeError::NoRows { path: path.into() });
        }
        Work::Small { block: first, parser: Box::new(parser()), received }
    } else {
        let parsers = (0..effort.threads.max(1)).map(|_| parser()).collect();
        Work::Large(Threads::start(first, rest, blocks, received, parsers))
    };
    Ok(Input { path: path.into(), layout, work, rows: 0, received: None })
}

impl Input {
    /// Name of the file's profile.
    pub(crate) fn profile(&self) -> &str {
        self.layout.profile.name()
    }

    /// Who published it.
    pub(crate) fn provider(&self) -> &str {
        self.layout.profile.provider()
    }

    /// Which of the provider's products it is.
    pub(crate) fn data_set(&self) -> &str {
        self.layout.profile.data_set()
    }

    /// The next rows, in the order of the file; `None` at its end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>, IntakeError> {
        loop {
            let batch = match std::mem::replace(&mut self.work, Work::Done) {
                Work::Done => return Ok(None),
                Work::Small { block, mut parser, received } => {
                    self.received = Some(received.checked(&self.path)?);
                    Some(parser.parse(&block))
                }
                Work::Large(mut threads) => match threads.next() {
                    Some(Ok(batch)) => {
                        self.work = Work::Large(threads);
                        Some(batch)
                    }
                    Some(Err(source)) => return Err(IntakeError::Read { path: self.path.clone(), source }),
                    None => {
                        let stopped = || IntakeError::Stopped { path: self.path.clone() };
                        self.received = Some(threads.finish().ok_or_else(stopped)?.checked(&self.path)?);
                        None
                    }
                },
            };
            match batch {
                Some(batch) if batch.rows > 0 => {
                    self.rows += batch.rows;
                    return Ok(Some(batch));
                }
                Some(_) => {}
                None if self.rows == 0 => return Err(IntakeError::NoRows { path: self.path.clone() }),
                None => return Ok(None),
            }
            if self.rows == 0 && matches!(self.work, Work::Done) {
                return Err(IntakeError::NoRows { path: self.path.clone() });
            }
        }
    }

    /// The bytes of the whole file, once its last batch was taken.
    pub(crate) fn received(&mut self) -> Option<Received> {
        self.received.take()
    }
}

/// The first line that is not blank, and the block without what stands up to its end.
fn header_line(path: &Path, mut block: Block) -> Result<Option<(Block, String)>, IntakeError> {
    if block.offset == 0 && block.bytes.starts_with(b"\xef\xbb\xbf") {
        block.start = 3;
    }
    while block.start < block.bytes.len() {
        let rest = &block.bytes[block.start..];
        let (line, used) = match memchr::memchr(b'\n', rest) {
            Some(at) => (&rest[..at], at + 1),
            None => (rest, rest.len()),
        };
        let header = (!block::blank(line)).then(|| std::str::from_utf8(line).map(String::from));
        block.start += used;
        block.line += 1;
        match header {
            None => {}
            Some(Ok(header)) => return Ok(Some((block, header))),
            Some(Err(_)) => return Err(IntakeError::NotUtf8 { path: path.into() }),
        }
    }
    Ok(None)
}

fn unlike_text(path: &Path, kind: &'static str, remedy: &'static str) -> IntakeError {
    IntakeError::Binary { path: path.into(), kind, remedy }
}

/// An error if the beginning of a file is not that of a text.
fn text(path: &Path, bytes: &[u8]) -> Result<(), IntakeError> {
    const KINDS: [(&[u8], &str, &str); 9] = [
        (b"\x1f\x8b", "gzip", "decompress it first"),
        (b"PK\x03\x04", "a zip archive or a spreadsheet", "decompress it or save it as CSV first"),
        (b"\x28\xb5\x2f\xfd", "zstd", "decompress it first"),
        (b"BZh", "bzip2", "decompress it first"),
        (b"\xfd7zXZ", "xz", "decompress it first"),
        (b"PAR1", "Parquet", "export it as CSV first"),
        (b"%PDF", "PDF", "fetch it as CSV"),
        (b"\xff\xfe", "UTF-16", "save it as UTF-8 first"),
        (b"\xfe\xff", "UTF-16", "save it as UTF-8 first"),
    ];
    if let Some((_, kind, remedy)) = KINDS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(unlike_text(path, kind, remedy));
    }
    if memchr::memchr(0, &bytes[..bytes.len().min(8 << 10)]).is_some() {
        return Err(unlike_text(path, "binary", "decompress it or export it as CSV first"));
    }
    Ok(())
}
