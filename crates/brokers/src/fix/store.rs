//! A session that outlasts its process: its numbers, and what became of its orders.
//!
//! One record a line behind the first digits of its SHA-256: in a folder the file `session.log`, elsewhere whatever
//! keeps [`Lines`]. Records are written and synced before what they speak of leaves or is counted, so that a restart
//! goes on where the process stopped: an order that may have left is known, and an execution that is not is sent again.
//!
//! A last line of the file without its end was being written when the machine stopped; what it speaks of had not
//! happened yet, and it is dropped. Anything else that does not fit is damage, and an error that names the line:
//! numbers and orders are not guessed.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use journal::{Lines, LinesError};
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
        "the session's store `{place}` is damaged in line {line}: {why}; find out what the broker has, then begin with an \
         empty store and the numbers reset on both sides"
    )]
    Corrupt {
        /// The file, or what else keeps its lines.
        place: String,
        /// Where.
        line: usize,
        /// How.
        why: String,
    },
    /// It belongs to another session.
    #[error("the store `{place}` holds the session of `{found}`, not of `{wanted}`")]
    OtherSession {
        /// The file, or what else keeps its lines.
        place: String,
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
    /// What keeps its lines elsewhere refused.
    #[error(transparent)]
    Lines(#[from] LinesError),
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
    /// Lines, each with its end.
    text: String,
    numbers: usize,
}

impl Batch {
    /// What a store begins with.
    fn first(names: &str) -> Self {
        let mut batch = Self::default();
        batch.push(&Line::Session { version: VERSION, names: names.to_owned() });
        batch
    }

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

/// Where a session is kept.
pub enum Keep {
    /// In a folder of its own.
    Folder(PathBuf),
    /// Elsewhere, under a name: lines that one writer at a time has. They are read from the first to the last, and none
    /// is ever taken away.
    Lines(String, Box<dyn Lines + Send>),
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => f.debug_tuple("Folder").field(folder).finish(),
            Self::Lines(name, _) => f.debug_tuple("Lines").field(name).finish_non_exhaustive(),
        }
    }
}

/// An open store, held alone.
#[derive(Debug)]
pub struct Store {
    names: String,
    kept: Kept,
}

enum Kept {
    Folder {
        folder: PathBuf,
        file: File,
        /// Lines of numbers in the file.
        numbers: usize,
        _lock: File,
    },
    Lines {
        lines: Box<dyn Lines + Send>,
        /// Number of the next line.
        next: u64,
    },
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { folder, .. } => f.debug_tuple("Folder").field(folder).finish(),
            Self::Lines { next, .. } => f.debug_tuple("Lines").field(next).finish(),
        }
    }
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
    pub fn open(keep: Keep, sender: &str, target: &str) -> Result<(Self, Held), StoreError> {
        let names = format!("{sender} -> {target}");
        match keep {
            Keep::Folder(folder) => Self::in_folder(folder, names),
            Keep::Lines(name, lines) => Self::on_lines(&name, lines, names),
        }
    }

    fn in_folder(folder: PathBuf, names: String) -> Result<(Self, Held), StoreError> {
        fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        let path = folder.join("session.lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { what: "lock", path, source }),
        }
        let held = read(&log(&folder), &names)?;
        let file = write_anew(&folder, &names, &held)?;
        Ok((Self { names, kept: Kept::Folder { folder, file, numbers: 1, _lock: lock } }, held))
    }

    fn on_lines(name: &str, mut lines: Box<dyn Lines + Send>, names: String) -> Result<(Self, Held), StoreError> {
        let mut reading = Reading::of(name.to_owned(), &names);
        while let Some(line) = lines.next_line()? {
            reading.line(&line)?;
        }
        let mut store = Self { names, kept: Kept::Lines { lines, next: reading.read as u64 } };
        if reading.read == 0 {
            store.append(&Batch::first(&store.names))?;
        }
        Ok((store, reading.held))
    }

    /// From here on, nothing can be written.
    #[cfg(test)]
    pub(super) fn fill_disk(&mut self) {
        let Kept::Folder { file, .. } = &mut self.kept else { return };
        *file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    }

    /// Makes a batch durable.
    ///
    /// # Errors
    /// [`StoreError`]; nothing that the batch speaks of may happen then.
    pub fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        match &mut self.kept {
            Kept::Folder { folder, file, numbers, .. } => {
                let path = log(folder);
                file.write_all(batch.text.as_bytes()).map_err(io_error("write", &path))?;
                file.sync_data().map_err(io_error("sync", &path))?;
                *numbers += batch.numbers;
                if *numbers > NUMBERS_MAX {
                    let held = read(&path, &self.names)?;
                    *file = write_anew(folder, &self.names, &held)?;
                    *numbers = 1;
                }
            }
            Kept::Lines { lines, next } => {
                for line in batch.text.lines() {
                    lines.append(*next, line.as_bytes())?;
                    *next += 1;
                }
                lines.sync()?;
            }
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

/// What lines hold, one after another.
struct Reading {
    place: String,
    wanted: String,
    read: usize,
    held: Held,
}

impl Reading {
    fn of(place: String, wanted: &str) -> Self {
        Self { place, wanted: wanted.to_owned(), read: 0, held: Held::default() }
    }

    /// Takes a line without its end.
    fn line(&mut self, line: &[u8]) -> Result<(), StoreError> {
        self.read += 1;
        let corrupt =
            |why: &str| StoreError::Corrupt { place: self.place.clone(), line: self.read, why: why.to_owned() };
        let line = std::str::from_utf8(line).map_err(|_| corrupt("it is no text"))?;
        let (sum, json) = line.split_once(' ').ok_or_else(|| corrupt("it has no checksum"))?;
        if sum != digest(json) {
            return Err(corrupt("its checksum does not fit"));
        }
        match serde_json::from_str(json).map_err(|error| corrupt(&error.to_string()))? {
            Line::Session { version, .. } if version != VERSION => {
                return Err(corrupt(&format!("it is of version {version}, and this program reads {VERSION}")));
            }
            Line::Session { names, .. } if self.read == 1 => {
                if names != self.wanted {
                    let (place, wanted) = (self.place.clone(), self.wanted.clone());
                    return Err(StoreError::OtherSession { place, found: names, wanted });
                }
            }
            _ if self.read == 1 => return Err(corrupt("it does not name the session")),
            Line::Session { .. } => return Err(corrupt("it names the session again")),
            Line::Numbers(numbers) => self.held.numbers = numbers,
            Line::Order(record) => self.held.orders.push(record),
        }
        Ok(())
    }
}

/// What a file holds.
fn read(path: &Path, wanted: &str) -> Result<Held, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::default()),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let mut reading = Reading::of(path.display().to_string(), wanted);
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
        reading.line(&line[..line.len() - 1])?;
    }
    Ok(reading.held)
}

/// Writes a file without what is past, and takes the old one's place in one step.
fn write_anew(folder: &Path, names: &str, held: &Held) -> Result<File, StoreError> {
    let (path, new) = (log(folder), folder.join("session.log.tmp"));
    let mut batch = Batch::first(names);
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
        Store::open(Keep::Folder(folder.to_owned()), "US", "THEM")
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
        let other = Store::open(Keep::Folder(folder.path().to_owned()), "US", "OTHERS").unwrap_err();
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

    /// Lines that outlive who writes them.
    #[derive(Clone, Default)]
    struct Kept(std::sync::Arc<std::sync::Mutex<Vec<Vec<u8>>>>, usize);

    impl Lines for Kept {
        fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
            self.1 += 1;
            Ok(self.0.lock().unwrap().get(self.1 - 1).cloned())
        }

        fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), LinesError> {
            let mut lines = self.0.lock().unwrap();
            assert_eq!(seq, lines.len() as u64);
            lines.push(line.to_vec());
            Ok(())
        }

        fn sync(&mut self) -> Result<(), LinesError> {
            Ok(())
        }
    }

    #[test]
    fn a_session_may_be_kept_elsewhere() {
        let lines = Kept::default();
        let open = |target: &str| Store::open(Keep::Lines("fix#s".into(), Box::new(lines.clone())), "US", target);
        let (mut store, held) = open("THEM").unwrap();
        assert_eq!(held, Held::default());
        let numbers = Numbers { out: 3, inward: 7 };
        store.append(&batch("a-b-1", Numbers { out: 2, inward: 7 })).unwrap();
        store.append(&batch("a-b-2", numbers)).unwrap();
        for _ in 0..2 {
            let (_, held) = open("THEM").unwrap();
            assert_eq!(held, Held { numbers, orders: vec![record("a-b-1"), record("a-b-2")] });
        }
        assert_eq!(lines.0.lock().unwrap().len(), 5);
        let other = open("OTHERS").unwrap_err().to_string();
        assert!(other.contains("`fix#s` holds the session of `US -> THEM`"), "{other}");
        lines.0.lock().unwrap()[2][20] ^= 4;
        assert!(open("THEM").unwrap_err().to_string().contains("`fix#s` is damaged in line 3"));
    }
}
