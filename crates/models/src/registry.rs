//! Where models lie: `models/<name>/<version>/` of a lake, the version a hash of what the model is, and
//! `models/<name>/promoted` with the version that strategies load.

use serde::{Deserialize, Serialize};

use crate::card::{Beside, Card, Files, ModelError, sha256};

/// The folder of all models.
pub const FOLDER: &str = "models";
const CARD: &str = "model.json";
const PROMOTED: &str = "promoted";

/// A place that keeps files: a lake, or a folder.
pub trait Store {
    /// What can go wrong with it.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Paths below a folder, sorted.
    ///
    /// # Errors
    /// The place cannot be read.
    fn list(&self, folder: &str) -> Result<Vec<String>, Self::Error>;

    /// All bytes of a file; nothing when there is none.
    ///
    /// # Errors
    /// The place cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Writes files, all or none.
    ///
    /// # Errors
    /// The place cannot be written.
    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), Self::Error>;
}

/// A model cannot be found, read or kept.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError<E: std::error::Error + 'static> {
    /// The place fails.
    #[error(transparent)]
    Store(#[from] E),
    /// The model cannot be used.
    #[error("model {reference}")]
    Model {
        /// Which.
        reference: String,
        /// Why.
        source: ModelError,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(ModelError),
    /// Nothing of that name.
    #[error("there is no model `{name}`{known}; train one with `algotrading train`")]
    Unknown {
        /// Which.
        name: String,
        /// Those there are, in words.
        known: String,
    },
    /// Nothing of that version.
    #[error("model `{name}` has no version {version}; it has {known}")]
    Version {
        /// Which.
        name: String,
        /// Of it.
        version: String,
        /// Those there are.
        known: String,
    },
    /// None of its versions was promoted.
    #[error(
        "no version of the model `{name}` is promoted; choose one with `algotrading model promote {name}@VERSION` \
         (it has {known})"
    )]
    NotPromoted {
        /// Which.
        name: String,
        /// Its versions.
        known: String,
    },
}

/// A stored version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Whether strategies load it.
    pub promoted: bool,
    /// Everything about it.
    pub card: Card,
}

#[derive(Serialize, Deserialize)]
struct Promoted {
    version: String,
}

/// The models of a place.
#[derive(Debug)]
pub struct Registry<'a, S>(pub &'a S);

type Answer<T, S> = Result<T, RegistryError<<S as Store>::Error>>;

impl<S: Store> Registry<'_, S> {
    /// Keeps a model with the files beside its card; its version is the hash of the card, which has the hash of the
    /// weights in it. The same model twice is kept once.
    ///
    /// # Errors
    /// A name that is none, or a place that cannot be written.
    pub fn keep(&self, card: &Card, beside: Vec<(String, Vec<u8>)>) -> Answer<String, S> {
        let name = checked(&card.name)?;
        let bytes = card.write().map_err(|source| RegistryError::Model { reference: name.to_owned(), source })?;
        let version = sha256(&bytes)[..16].to_owned();
        let folder = format!("{FOLDER}/{name}/{version}");
        let mut files: Vec<_> = beside.into_iter().map(|(file, bytes)| (format!("{folder}/{file}"), bytes)).collect();
        files.push((format!("{folder}/{CARD}"), bytes));
        self.0.write(&files)?;
        Ok(version)
    }

    /// Every version of every model, by name and then version.
    ///
    /// # Errors
    /// A place that cannot be read, or a card that is none.
    pub fn list(&self) -> Answer<Vec<Entry>, S> {
        let mut found = Vec::new();
        for (name, version) in self.versions()? {
            found.push(self.entry(&name, &version)?);
        }
        Ok(found)
    }

    fn versions(&self) -> Answer<Vec<(String, String)>, S> {
        let paths = self.0.list(FOLDER)?;
        let of = |path: &String| {
            let parts: Vec<&str> = path.split('/').collect();
            match parts.as_slice() {
                [_, name, version, CARD] => Some(((*name).to_owned(), (*version).to_owned())),
                _ => None,
            }
        };
        Ok(paths.iter().filter_map(of).collect())
    }

    fn promoted(&self, name: &str) -> Answer<Option<String>, S> {
        let bytes = self.0.read(&format!("{FOLDER}/{name}/{PROMOTED}"))?;
        let found = bytes.and_then(|bytes| serde_json::from_slice::<Promoted>(&bytes).ok());
        Ok(found.map(|promoted| promoted.version))
    }

    fn entry(&self, name: &str, version: &str) -> Answer<Entry, S> {
        let bytes = self.0.read(&format!("{FOLDER}/{name}/{version}/{CARD}"))?.unwrap_or_default();
        let reference = || format!("{name}@{version}");
        if sha256(&bytes)[..16] != *version {
            let source = ModelError::Changed { file: CARD.to_owned() };
            return Err(RegistryError::Model { reference: reference(), source });
        }
        let card = Card::read(&bytes).map_err(|source| RegistryError::Model { reference: reference(), source })?;
        let promoted = self.promoted(name)?.as_deref() == Some(version);
        Ok(Entry { name: name.to_owned(), version: version.to_owned(), promoted, card })
    }

    /// What `name` (its promoted version) or `name@version` means; a version may be cut short.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, reference: &str) -> Answer<Entry, S> {
        let (name, version) = match reference.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (reference, None),
        };
        let name = checked(name)?;
        let all = self.versions()?;
        let versions: Vec<&str> =
            all.iter().filter(|(one, _)| one == name).map(|(_, version)| version.as_str()).collect();
        if versions.is_empty() {
            let mut names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            names.dedup();
            let known = if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) };
            return Err(RegistryError::Unknown { name: name.to_owned(), known });
        }
        let known = versions.join(", ");
        let Some(version) = version else {
            return match self.promoted(name)? {
                Some(version) if versions.contains(&version.as_str()) => self.entry(name, &version),
                _ => Err(RegistryError::NotPromoted { name: name.to_owned(), known }),
            };
        };
        let mut matching = versions.iter().filter(|one| !version.is_empty() && one.starts_with(version));
        match (matching.next(), matching.next()) {
            (Some(version), None) => self.entry(name, version),
            _ => Err(RegistryError::Version { name: name.to_owned(), version: version.to_owned(), known }),
        }
    }

    /// The files beside the card that make it a model.
    ///
    /// # Errors
    /// One is not there, or not the one the card was written for.
    pub fn files(&self, entry: &Entry) -> Answer<Files, S> {
        let mut files = Files::new();
        for Beside { file, sha256: wanted } in entry.card.files() {
            let bytes = self.0.read(&format!("{FOLDER}/{}/{}/{file}", entry.name, entry.version))?;
            let Some(bytes) = bytes.filter(|bytes| sha256(bytes) == *wanted) else {
                let reference = format!("{}@{}", entry.name, entry.version);
                return Err(RegistryError::Model { reference, source: ModelError::Changed { file: file.clone() } });
            };
            files.insert(file.clone(), bytes);
        }
        Ok(files)
    }

    /// Makes a version the one that strategies load.
    ///
    /// # Errors
    /// There is none, it is damaged, or the place cannot be written.
    pub fn promote(&self, reference: &str) -> Answer<Entry, S> {
        let entry = self.find(reference)?;
        self.files(&entry)?;
        let text = format!("{{\"version\":\"{}\"}}\n", entry.version);
        self.0.write(&[(format!("{FOLDER}/{}/{PROMOTED}", entry.name), text.into_bytes())])?;
        Ok(Entry { promoted: true, ..entry })
    }
}

/// Whether a model may be called so.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), ModelError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
        return Err(ModelError::Name { name: name.to_owned() });
    }
    Ok(())
}

fn checked<E: std::error::Error>(name: &str) -> Result<&str, RegistryError<E>> {
    check_name(name).map_err(RegistryError::Name)?;
    Ok(name)
}
