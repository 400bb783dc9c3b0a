//! What people ask of an account that trades: lines that anybody who may write to the folder appends, and that the
//! loop obeys before anything else. A request is named by what it says, so that it is obeyed once, restart or not, and
//! whatever becomes of the lines before it.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};
use domain::Timestamp;
use engine::Mode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::account::Place;
use super::board::plain;
use crate::backtest::hex;

/// Where requests stand.
pub const REQUESTS: &str = "requests.jsonl";

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Say what may still be done.
    Control(Mode),
    /// Accept every correction of the books so far.
    Accept,
    /// Enable a strategy again that repeated itself too often.
    Reenable,
}

/// What a person asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What.
    pub ask: Ask,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Where a view brings what a person wishes. It is written down when this returns without an error.
pub type Submit = Arc<dyn Fn(Wish) -> Result<()> + Send + Sync>;

/// What a person asked for lacks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nobody asks.
    #[error("a name is needed: the journal says who asked")]
    Nobody,
    /// What loosens must be explained.
    #[error("a reason is needed: the journal says why trading may go on")]
    NoReason,
    /// Too long for the journal.
    #[error("at most 60 letters for the name and 200 for the reason")]
    TooLong,
}

impl Wish {
    /// The same, fit for the journal: trimmed and without what a terminal would obey.
    ///
    /// Stopping needs a name; going on needs a reason as well.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn checked(self) -> std::result::Result<Self, Unfit> {
        let loosens = !matches!(self.ask, Ask::Control(mode) if mode != Mode::Normal);
        let (by, reason) = (plain(self.by.trim()), plain(self.reason.trim()));
        match () {
            () if by.is_empty() => Err(Unfit::Nobody),
            () if loosens && reason.is_empty() => Err(Unfit::NoReason),
            () if by.chars().count() > 60 || reason.chars().count() > 200 => Err(Unfit::TooLong),
            () => Ok(Self { ask: self.ask, by, reason }),
        }
    }

    /// Asked at a time.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Request {
        let reason = if self.reason.is_empty() { "no reason given".to_owned() } else { self.reason };
        Request { ask: self.ask, by: self.by, reason, at }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Request {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))[..12].to_owned()
    }

    /// What the journal notes when it is obeyed.
    #[must_use]
    pub fn note(&self) -> String {
        format!("{}: {} (request {})", self.by, self.reason, self.id())
    }
}

/// The request that a note of the journal was made for.
#[must_use]
pub fn id_in(note: Option<&str>) -> Option<&str> {
    note?.rsplit_once("(request ")?.1.strip_suffix(')')
}

/// Appends a request; gives its name.
///
/// # Errors
/// The folder cannot be written.
pub fn ask(place: &Place, request: &Request) -> Result<String> {
    let path = place.file(REQUESTS);
    let add = || -> io::Result<()> {
        let is_new = !path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        if is_new {
            as_its_folder(&path, place.folder())?;
        }
        file.lock()?;
        let mut before = Vec::new();
        file.read_to_end(&mut before)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        if before.last().is_some_and(|last| *last != b'\n') {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_all()
    };
    add().with_context(|| {
        format!("cannot write `{}`; make room, or as who may write there ask again", path.display())
    })?;
    Ok(request.id())
}

/// Makes a file belong to whoever the folder belongs to, and be read and written by whoever may read and write there:
/// the program that trades must read what another user asks.
#[cfg(unix)]
fn as_its_folder(file: &Path, folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (has, wants) = (fs::metadata(file)?, fs::metadata(folder)?);
    if (has.uid(), has.gid()) != (wants.uid(), wants.gid()) {
        // Only root can. For others the rights must do.
        let _ = std::os::unix::fs::chown(file, Some(wants.uid()), Some(wants.gid()));
    }
    fs::set_permissions(file, fs::Permissions::from_mode(wants.mode() & 0o666))
}

#[cfg(not(unix))]
fn as_its_folder(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Names of the requests that the journal shows obeyed.
#[derive(Debug, Clone, Default)]
pub struct Obeyed(Arc<Mutex<BTreeSet<String>>>);

impl Obeyed {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request was.
    #[must_use]
    pub fn has(&self, request: &Request) -> bool {
        self.names().contains(&request.id())
    }

    /// Learns from a note of the journal.
    pub fn saw(&self, note: Option<&str>) {
        if let Some(id) = id_in(note) {
            self.names().insert(id.to_owned());
        }
    }
}

/// Reads requests as they come.
#[derive(Debug)]
pub struct Requests {
    place: Place,
    obeyed: Obeyed,
    /// Length of the file and time of its last change when it was read.
    seen: Option<(u64, Option<SystemTime>)>,
    known: Vec<Request>,
    /// Lines that say nothing, so that each is told of once.
    senseless: BTreeSet<Vec<u8>>,
}

impl Requests {
    /// Of an account.
    #[must_use]
    pub fn of(place: &Place, obeyed: &Obeyed) -> Self {
        let (place, obeyed) = (place.clone(), obeyed.clone());
        Self { place, obeyed, seen: None, known: Vec::new(), senseless: BTreeSet::new() }
    }

    /// Requests that have not been obeyed, in the order in which they stand there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn waiting(&mut self) -> Result<Vec<Request>> {
        let path = self.place.file(REQUESTS);
        let cannot_read = || format!("cannot read `{}`", path.display());
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (self.seen, self.known) = (None, Vec::new());
            }
            Err(error) => return Err(error).with_context(cannot_read),
            Ok(file) => {
                let now = Some((file.len(), file.modified().ok()));
                if self.seen != now {
                    let text = fs::read(&path).with_context(cannot_read)?;
                    self.learn(&text);
                    self.seen = now;
                }
            }
        }
        Ok(self.known.iter().filter(|request| !self.obeyed.has(request)).cloned().collect())
    }

    fn learn(&mut self, text: &[u8]) {
        self.known.clear();
        // The last line may still be being written.
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            match serde_json::from_slice::<Request>(line) {
                Ok(request) => self.known.push(request),
                Err(_) if line.trim_ascii().is_empty() || !self.senseless.insert(line.to_vec()) => {}
                Err(_) => {
                    let path = self.place.file(REQUESTS);
                    eprintln!(
                        "warning: `{}` has a line that is no request and is left out: {}",
                        path.display(),
                        plain(&String::from_utf8_lossy(line))
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_needs_a_reason_and_everything_a_name() {
        let wish = |ask, by: &str, reason: &str| Wish { ask, by: by.to_owned(), reason: reason.to_owned() }.checked();
        let control = Ask::Control;
        assert_eq!(wish(control(Mode::Flatten), " \t", "x"), Err(Unfit::Nobody));
        assert_eq!(wish(control(Mode::Normal), "Ann", " "), Err(Unfit::NoReason));
        assert_eq!(wish(Ask::Accept, "Ann", ""), Err(Unfit::NoReason));
        assert_eq!(wish(control(Mode::Flatten), &"x".repeat(61), ""), Err(Unfit::TooLong));
        let stops = wish(control(Mode::Flatten), " Ann\n\x1b[2J ", "").unwrap();
        assert_eq!((stops.by.as_str(), stops.reason.as_str()), ("Ann\u{fffd}\u{fffd}[2J", ""));
        assert_eq!(stops.at(Timestamp::default()).reason, "no reason given");
    }

    #[test]
    fn a_request_is_named_by_what_it_says() {
        let wish = |by: &str| Wish { ask: Ask::Accept, by: by.to_owned(), reason: "x".to_owned() };
        let at = Timestamp::from_nanos;
        let request = wish("Ann").at(at(3));
        assert_eq!(request.id(), wish("Ann").at(at(3)).id());
        assert!(request.id() != wish("Bob").at(at(3)).id() && request.id() != wish("Ann").at(at(4)).id());
        assert_eq!(id_in(Some(&request.note())), Some(request.id().as_str()));
        let control =
            |mode| serde_json::from_str::<Wish>(&format!(r#"{{"ask":{{"control":"{mode}"}},"by":"Ann","reason":""}}"#));
        assert!(control("stop").is_err());
        assert_eq!(control("halt").unwrap().ask, Ask::Control(Mode::Cancel));
    }
}
