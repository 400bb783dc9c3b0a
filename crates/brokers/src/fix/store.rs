//! A session on disk: its numbers, and what became of its orders.
//!
//! One file, `session.log`, one record a line behind the first digits of its SHA-256. Records are written and synced
//! before what they speak of leaves or is counted, so that a restart goes on where the process stopped: an order that
//! may have left is known, and an execution that is not is sent again.
//!
//! A last line without its end was being written when the machine stopped; what it speaks of had not happened yet, and
//! it is dropped. Anything else that does not fit is damage, and an error that names the line: numbers and orders are
//! not guessed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::orders::Record;
use super::session::Numbers;

const VERSION: u32 = 1;
/// Numbers are written with every message; so many of them, and the file is written anew.
const NUMBERS_MAX: usize = 20_000;
const DIGITS: usize = 16;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {what} the session's store `{path}`", path = path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It is damaged.
    #[error(
        "the session's store `{path}` is damaged in line {line}: {why}; find out what the broker has, then begin with an \
         empty folder and the numbers reset on both sides",
        path = path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// How.
        why: String,
    },
    /// It belongs to another session.
    #[error("the store `{path}` holds the session of `{found}`, not of `{wanted}`", path = path.display())]
    OtherSession {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// Another process holds the session.
    #[error("another process uses the store `{path}`: a session can only be held once", path = path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Session { version: u32, names: String },
    Numbers(Numbers),
    Order(Record),
}

/// What is to be made durable.
#[derive(Debug, Default)]
pub struct Batch {
    text: String,
    numbers: usize,
}

impl Batch {
    /// Adds the numbers of the next messages.
    pub fn numbers(&mut self, numbers: Numbers) {
        self.numbers += 1;
        self.push(&Line::Numbers(numbers));
    }

    /// Adds what became of an order.
    pub fn order(&mut self, record: &Record) {
        self.push(&Line::Order(record.clone()));
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn push(&mut self, line: &Line) {
        // Strings and numbers only: this does not fail.
        if let Ok(json) = serde_json::to_string(line) {
            self.text.push_str(&digest(&json));
            self.text.push(' ');
            self.text.push_str(&json);
            self.text.push('\n');
        }
    }
}

fn digest(json: &str) -> String {
    Sha256::digest(json.as_bytes())[..DIGITS / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An open store, held alone.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    names: String,
    file: File,
    /// Lines of numbers in the file.
    lines: usize,
    _lock: File,
}

/// What a store held.
#[derive(Debug, Default, PartialEq)]
pub struct Held {
    /// The numbers of the next messages.
    pub numbers: Numbers,
    /// What became of orders.
    pub orders: Vec<Record>,
}

impl Store {
    /// Opens the store of a session, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path, sender: &str, target: &str) -> Result<(Self, Held), StoreError> {
        let names = format!("{sender} -> {target}");
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
        let path = folder.join("session.lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { what: "lock", path, source }),
        }
        let held = read(&log(folder), &names)?;
        let file = write_anew(folder, &names, &held)?;
        Ok((Self { folder: folder.to_owned(), names, file, lines: 1, _lock: lock }, held))
    }

    /// From here on, nothing can be written.
    #[cfg(test)]
    pub(super) fn fill_disk(&mut self) {
        self.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    }

    /// Makes a batch durable.
    ///
    /// # Errors
    /// [`StoreError`]; nothing that the batch speaks of may happen then.
    pub fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let path = log(&self.folder);
        self.file.write_all(batch.text.as_bytes()).map_err(io_error("write", &path))?;
        self.file.sync_data().map_err(io_error("sync", &path))?;
        self.lines += batch.numbers;
        if self.lines > NUMBERS_MAX {
            let held = read(&path, &self.names)?;
            self.file = write_anew(&self.folder, &self.names, &held)?;
            self.lines = 1;
        }
        Ok(())
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("session.log")
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { what, path, source }
}

/// What a file holds.
fn read(path: &Path, wanted: &str) -> Result<Held, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::default()),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let mut held = Held::default();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for (at, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let corrupt = |why: &str| StoreError::Corrupt { path: path.to_owned(), line: at + 1, why: why.to_owned() };
        let line = std::str::from_utf8(&line[..line.len() - 1]).map_err(|_| corrupt("it is no text"))?;
        let (sum, json) = line.split_once(' ').ok_or_else(|| corrupt("it has no checksum"))?;
        if sum != digest(json) {
            return Err(corrupt("its checksum does not fit"));
        }
        match serde_json::from_str(json).map_err(|error| corrupt(&error.to_string()))? {
            Line::Session { version, .. } if version != VERSION => {
                return Err(corrupt(&format!("it is of version {version}, and this program reads {VERSION}")));
            }
            Line::Session { names, .. } if at == 0 => {
                if names != wanted {
                    let (path, wanted) = (path.to_owned(), wanted.to_owned());
                    return Err(StoreError::OtherSession { path, found: names, wanted });
                }
            }
            _ if at == 0 => return Err(corrupt("it does not name the session")),
            Line::Session { .. } => return Err(corrupt("it names the session again")),
            Line::Numbers(numbers) => held.numbers = numbers,
            Line::Order(record) => held.orders.push(record),
        }
    }
    Ok(held)
}

/// Writes a file without what is past, and takes the old one's place in one step.
fn write_anew(folder: &Path, names: &str, held: &Held) -> Result<File, StoreError> {
    let (path, new) = (log(folder), folder.join("session.log.tmp"));
    let mut batch = Batch::default();
    batch.push(&Line::Session { version: VERSION, names: names.to_owned() });
    for record in &held.orders {
        batch.order(record);
    }
    batch.numbers(held.numbers);
    let mut file = File::create(&new).map_err(io_error("make", &new))?;
    file.write_all(batch.text.as_bytes()).map_err(io_error("write", &new))?;
    file.sync_all().map_err(io_error("sync", &new))?;
    fs::rename(&new, &path).map_err(io_error("replace", &path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync", folder))?;
    OpenOptions::new().append(true).open(&path).map_err(io_error("open", &path))
}

#[cfg(test)]
mod tests {
    use domain::{Quantity, Symbol};
    use trading::ClientOrderId;

    use super::*;

    fn record(id: &str) -> Record {
        Record::Sent {
            id: ClientOrderId::told(id),
            symbol: Symbol::new("IBM").unwrap(),
            quantity: Quantity::whole(-5).unwrap(),
            short: true,
            day: false,
            group: None,
            replaces: None,
        }
    }

    fn batch(id: &str, numbers: Numbers) -> Batch {
        let mut batch = Batch::default();
        batch.order(&record(id));
        batch.numbers(numbers);
        batch
    }

    fn open(folder: &Path) -> Result<(Store, Held), StoreError> {
        Store::open(folder, "US", "THEM")
    }

    #[test]
    fn a_restart_finds_what_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, held) = open(folder.path()).unwrap();
        assert_eq!(held, Held::default());
        let numbers = Numbers { out: 3, inward: 7 };
        store.append(&batch("a-b-1", Numbers { out: 2, inward: 7 })).unwrap();
        store.append(&batch("a-b-2", numbers)).unwrap();
        drop(store);
        for _ in 0..2 {
            let (_, held) = open(folder.path()).unwrap();
            assert_eq!(held, Held { numbers, orders: vec![record("a-b-1"), record("a-b-2")] });
        }
    }

    #[test]
    fn a_line_that_was_being_written_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path()).unwrap();
        store.append(&batch("a-b-1", Numbers { out: 2, inward: 2 })).unwrap();
        drop(store);
        let path = log(folder.path());
        let whole = fs::read(&path).unwrap();
        let mut batch = Batch::default();
        batch.order(&record("a-b-2"));
        for cut in 0..batch.text.len() {
            let mut torn = whole.clone();
            torn.extend_from_slice(&batch.text.as_bytes()[..cut]);
            fs::write(&path, torn).unwrap();
            let (_, held) = open(folder.path()).unwrap();
            assert_eq!(held, Held { numbers: Numbers { out: 2, inward: 2 }, orders: vec![record("a-b-1")] });
        }
    }

    #[test]
    fn damage_is_one_error_that_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path()).unwrap();
        store.append(&batch("a-b-1", Numbers { out: 2, inward: 2 })).unwrap();
        drop(store);
        let path = log(folder.path());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&path, damaged).unwrap();
            let error = open(folder.path()).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}: {error}");
        }
        fs::write(&path, &whole[60..]).unwrap();
        assert!(open(folder.path()).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_store_is_held_by_one_session_and_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let held = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::InUse { .. })));
        drop(held);
        let other = Store::open(folder.path(), "US", "OTHERS").unwrap_err();
        assert!(other.to_string().contains("`US -> THEM`, not of `US -> OTHERS`"), "{other}");
    }

    #[test]
    fn numbers_of_the_past_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path()).unwrap();
        let mut batch = batch("a-b-1", Numbers::default());
        for out in 1..=NUMBERS_MAX as u64 + 1 {
            batch.numbers(Numbers { out, inward: 1 });
        }
        store.append(&batch).unwrap();
        assert!(fs::metadata(log(folder.path())).unwrap().len() < 1_000);
        store.append(&self::batch("a-b-2", Numbers { out: 9, inward: 9 })).unwrap();
        drop(store);
        let (_, held) = open(folder.path()).unwrap();
        assert_eq!(held.numbers, Numbers { out: 9, inward: 9 });
        assert_eq!(held.orders.len(), 2);
    }
}
