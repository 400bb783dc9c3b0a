//! Exchange, landing place and records in folders.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Answer;
use crate::error::{CallError, Kind};
use crate::exchange::{Exchange, JobState, Revision};
use crate::objects::{Object, Objects};
use crate::records::{Key, Put, Record, Records};

fn failed(call: &'static str, path: &Path, error: &io::Error) -> CallError {
    let kind = match error.kind() {
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::PermissionDenied => Kind::Denied,
        _ => Kind::Service,
    };
    CallError { service: "folder", call, resource: format!("`{}`", path.display()), kind, message: error.to_string() }
}

/// The files below a folder, relative to it, sorted.
fn walk(root: &Path, below: &str, call: &'static str) -> Answer<Vec<Object>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(below)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| failed(call, &folder, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(call, &folder, &error))?;
            let (path, data) = (entry.path(), entry.metadata().map_err(|error| failed(call, &folder, &error))?);
            if data.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(root) {
                let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                found.push(Object { path: parts.join("/"), bytes: data.len() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Data products in a folder: `<data set>/<revision>/` with `revision.json` (`{"published_at": "…"}`) and the assets.
/// An export copies the assets into the landing place; it is done when it was started.
#[derive(Debug)]
pub struct FolderExchange {
    products: PathBuf,
    landing: PathBuf,
}

const MANIFEST: &str = "revision.json";

#[derive(Deserialize)]
struct Manifest {
    published_at: String,
    #[serde(default = "yes")]
    finalized: bool,
}

fn yes() -> bool {
    true
}

impl FolderExchange {
    /// Of products in one folder, exported into another.
    #[must_use]
    pub fn new(products: PathBuf, landing: PathBuf) -> Self {
        Self { products, landing }
    }

    /// The data sets there are, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn data_sets(&self) -> Answer<Vec<String>> {
        let entries = fs::read_dir(&self.products).map_err(|error| failed("list", &self.products, &error))?;
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }
}

impl Exchange for FolderExchange {
    fn revisions(&self, data_set: &str) -> Answer<Vec<Revision>> {
        let folder = self.products.join(data_set);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| failed("list", &folder, &error))? {
            let entry = entry.map_err(|error| failed("list", &folder, &error))?;
            let path = entry.path().join(MANIFEST);
            // A revision without its manifest is not published yet.
            let text = match fs::read(&path) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                text => text.map_err(|error| failed("read", &path, &error))?,
            };
            let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| CallError {
                service: "folder",
                call: "read",
                resource: format!("`{}`", path.display()),
                kind: Kind::Invalid,
                message: error.to_string(),
            })?;
            if manifest.finalized {
                let id = entry.file_name().to_string_lossy().into_owned();
                found.push(Revision { id, published_at: manifest.published_at });
            }
        }
        found.sort_by(|a, b| (&a.published_at, &a.id).cmp(&(&b.published_at, &b.id)));
        Ok(found)
    }

    fn create_export(&self, data_set: &str, revision: &str) -> Answer<String> {
        let folder = self.products.join(data_set).join(revision);
        fs::metadata(&folder).map_err(|error| failed("export", &folder, &error))?;
        Ok(format!("{data_set}/{revision}"))
    }

    fn start(&self, job: &str) -> Answer<()> {
        let (from, to) = (self.products.join(job), self.landing.join(job));
        for asset in walk(&from, "", "export")?.iter().filter(|asset| asset.path != MANIFEST) {
            let (source, place) = (from.join(&asset.path), to.join(&asset.path));
            let copied = place.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
                let part = place.with_extension("part");
                fs::copy(&source, &part)?;
                fs::rename(&part, &place)
            });
            copied.map_err(|error| failed("export", &place, &error))?;
        }
        Ok(())
    }

    fn job(&self, job: &str) -> Answer<JobState> {
        let assets = walk(&self.products.join(job), "", "export")?;
        let landed = walk(&self.landing.join(job), "", "export")?;
        let whole = assets.iter().filter(|asset| asset.path != MANIFEST).all(|asset| landed.contains(asset));
        Ok(if whole { JobState::Completed } else { JobState::Waiting })
    }
}

/// Files below a folder.
#[derive(Debug)]
pub struct FolderObjects(pub PathBuf);

impl Objects for FolderObjects {
    fn list(&self, folder: &str) -> Answer<Vec<Object>> {
        walk(&self.0, folder, "list")
    }

    fn download(&self, path: &str, to: &Path) -> Answer<()> {
        let from = self.0.join(path);
        fs::copy(&from, to).map(|_| ()).map_err(|error| {
            let _ = fs::remove_file(to);
            failed("read", &from, &error)
        })
    }
}

/// Records in a folder: `<partition>/<sort>/<version>.json`. A version is a file that only one writer can make, so
/// two that write at once cannot both succeed; earlier versions stay.
#[derive(Debug)]
pub struct FolderRecords(pub PathBuf);

/// What a file holds; it names its key for people, because the folder's name is a form of it that any file system takes.
#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    body: Value,
}

impl FolderRecords {
    fn folder(&self, key: &Key) -> PathBuf {
        self.0.join(plain(&key.partition)).join(plain(&key.sort))
    }

    fn latest(folder: &Path) -> Answer<Option<(u64, PathBuf)>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(|error| failed("read", folder, &error))?,
        };
        let versions = entries.filter_map(Result::ok).filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_suffix(".json")?.parse().ok()?;
            Some((version, entry.path()))
        });
        Ok(versions.max_by_key(|(version, _): &(u64, _)| *version))
    }

    fn read(path: &Path) -> Answer<Stored> {
        let text = fs::read(path).map_err(|error| failed("read", path, &error))?;
        serde_json::from_slice(&text).map_err(|error| CallError {
            service: "folder",
            call: "read",
            resource: format!("`{}`", path.display()),
            kind: Kind::Damaged,
            message: error.to_string(),
        })
    }
}

/// Letters, digits, `-`, `_` and `.` as they are, everything else as `%` and two digits.
fn plain(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !name.is_empty()) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

/// What [`plain`] made a name of.
fn text_of(name: &str) -> String {
    let mut parts = name.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend(rest.bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Records for FolderRecords {
    fn get(&self, key: &Key) -> Answer<Option<Record>> {
        let Some((version, path)) = Self::latest(&self.folder(key))? else { return Ok(None) };
        Ok(Some(Record { version, body: Self::read(&path)?.body }))
    }

    fn put(&self, key: &Key, body: &Value, seen: u64) -> Answer<Put> {
        let folder = self.folder(key);
        let stands = Self::latest(&folder)?.map_or(0, |(version, _)| version);
        if stands != seen {
            return Ok(Put::Conflict);
        }
        let place = folder.join(format!("{:020}.json", seen + 1));
        let draft = folder.join(format!(".draft-{}-{:?}", std::process::id(), std::thread::current().id()));
        let stored = Stored { key: key.to_string(), body: body.clone() };
        let written = fs::create_dir_all(&folder).and_then(|()| {
            let mut file = File::create(&draft)?;
            file.write_all(&serde_json::to_vec(&stored)?)?;
            file.sync_all()?;
            // Unlike a rename, a link does not replace what somebody else has put there in the meantime.
            let linked = fs::hard_link(&draft, &place);
            fs::remove_file(&draft)?;
            linked
        });
        match written {
            Ok(()) => Ok(Put::Stored),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Conflict),
            Err(error) => Err(failed("write", &place, &error)),
        }
    }

    fn keys(&self, partition: &str) -> Answer<Vec<Key>> {
        let folder = self.0.join(plain(partition));
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("list", &folder, &error))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", &folder, &error))?;
            if Self::latest(&entry.path())?.is_some() {
                found.push(Key::new(partition, text_of(&entry.file_name().to_string_lossy())));
            }
        }
        found.sort();
        Ok(found)
    }

    fn list(&self, partition: &str) -> Answer<Vec<(Key, Record)>> {
        let mut found = Vec::new();
        for key in self.keys(partition)? {
            found.extend(self.get(&key)?.map(|record| (key, record)));
        }
        Ok(found)
    }
}
