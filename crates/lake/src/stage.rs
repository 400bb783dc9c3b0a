//! All or nothing: an import is prepared beside the lake and put in place by renames that a crash cannot cut short.
//!
//! Everything is written below `.staging/ID/new/` under the path it will have, and synced. Then a list of these paths
//! is put at `.staging/ID/commit`: from here on the import has happened, and whoever opens the lake next completes
//! the renames. A staging folder without that list is what a dead import left, and is removed. One import runs at a
//! time: it holds a lock on `.lock`, which the system takes back when the process ends, however it ends.
//!
//! An object store has no rename. There the files are prepared in a temporary folder and uploaded one by one, those
//! that readers look for last; a crash can leave some years updated and others not, and importing again completes it,
//! because rows that arrived are unchanged.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};

use crate::error::{LakeError, one_line};
use crate::files::Files;

pub(crate) const STAGING: &str = ".staging";
const LOCK: &str = ".lock";

/// The right to write into a lake; given back when dropped.
#[derive(Debug)]
pub(crate) enum Lock {
    /// A locked file, and the folders that had to be made for it.
    Folder { _file: File, path: PathBuf, made: Vec<PathBuf> },
    /// An object, and when it was last written.
    Store { store: Arc<dyn ObjectStore>, location: String, written: Instant },
}

/// After how long an object that locks a lake and was not written again is no obstacle any more: its owner is dead.
fn lease() -> Duration {
    let said = std::env::var("LAKE_LOCK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(said.unwrap_or(1_200))
}

impl Lock {
    /// Says that the owner is alive; to be called often, and does something only when it is due.
    pub(crate) fn keep(&mut self) -> Result<(), LakeError> {
        let Self::Store { store, location, written } = self else { return Ok(()) };
        if written.elapsed() < lease() / 4 {
            return Ok(());
        }
        if written.elapsed() >= lease() {
            let reason = "this process stood still for so long that another may have taken its place".to_owned();
            return Err(LakeError::Store { what: "keep the lock of", location: location.clone(), reason });
        }
        block_on(store.put(&ObjectPath::from(LOCK), owner().into())).map_err(|error| LakeError::Store {
            what: "write",
            location: location.clone(),
            reason: one_line(&error.to_string()),
        })?;
        *written = Instant::now();
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next import copes with what is left.
        match self {
            Self::Folder { path, made, .. } => {
                let _ = fs::remove_file(path);
                for folder in made.iter().rev() {
                    let _ = fs::remove_dir(folder);
                }
            }
            // One that lapsed may be another's by now.
            Self::Store { store, written, .. } if written.elapsed() < lease() => {
                let _ = block_on(store.delete(&ObjectPath::from(LOCK)));
            }
            Self::Store { .. } => {}
        }
    }
}

/// How long ago an object was written, by the store's clock and ours.
fn age_of(object: &object_store::ObjectMeta) -> Duration {
    let written = std::time::SystemTime::from(object.last_modified);
    std::time::SystemTime::now().duration_since(written).unwrap_or_default()
}

fn owner() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), if host.trim().is_empty() { "this host" } else { host.trim() })
}

/// Takes the lock, or says who has it; in an object store also from an owner that is dead.
pub(crate) fn lock(files: &Files) -> Result<Lock, LakeError> {
    match files {
        Files::Folder(root) => lock_folder(root),
        Files::Store(store, location) => {
            let put = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let failed = |error: &object_store::Error| LakeError::Store {
                what: "write",
                location: location.clone(),
                reason: one_line(&error.to_string()),
            };
            let path = ObjectPath::from(LOCK);
            let ours = || Lock::Store { store: Arc::clone(store), location: location.clone(), written: Instant::now() };
            match block_on(store.put_opts(&path, owner().into(), put)) {
                Ok(_) => Ok(ours()),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    let locked = |owner: Vec<u8>| LakeError::Locked {
                        location: location.clone(),
                        owner: String::from_utf8_lossy(&owner).into_owned(),
                        remedy: format!(
                            ", or delete {location}/{LOCK} if that process is dead; a lock that was not renewed for {} \
                             minutes is taken over",
                            lease().as_secs().div_ceil(60)
                        ),
                    };
                    let stands = match block_on(store.head(&path)) {
                        Ok(stands) => stands,
                        // Given back in the meantime.
                        Err(object_store::Error::NotFound { .. }) => return Err(locked(Vec::new())),
                        Err(error) => return Err(failed(&error)),
                    };
                    let age = age_of(&stands);
                    if age < lease() {
                        return Err(locked(files.read(LOCK)?.unwrap_or_default().to_vec()));
                    }
                    // Only one of those who find it dead gets it: the write holds for the object that was looked at.
                    let version = object_store::UpdateVersion { e_tag: stands.e_tag, version: stands.version };
                    let put = PutOptions { mode: PutMode::Update(version), ..PutOptions::default() };
                    match block_on(store.put_opts(&path, owner().into(), put)) {
                        Ok(_) => Ok(ours()),
                        Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                            Err(locked(Vec::new()))
                        }
                        Err(error) => Err(failed(&error)),
                    }
                }
                Err(error) => Err(failed(&error)),
            }
        }
    }
}

/// As [`lock`], but waits its turn: what is to be kept may have taken hours to make.
fn wait_for_lock(files: &Files) -> Result<Lock, LakeError> {
    let patience = Instant::now() + Duration::from_secs(300);
    loop {
        match lock(files) {
            Err(LakeError::Locked { .. }) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(50));
            }
            answer => return answer,
        }
    }
}

fn lock_folder(root: &Path) -> Result<Lock, LakeError> {
    let made = make_folders(root)?;
    let path = root.join(LOCK);
    let undo = |error| {
        for folder in made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        error
    };
    loop {
        let failed = |source| undo(LakeError::write(root, source));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = if owner.is_empty() { "its owner is not known yet".to_owned() } else { owner };
                return Err(LakeError::Locked { location: root.display().to_string(), owner, remedy: String::new() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The file may have been removed by its last owner between our opening and our locking it.
        if !same_file(&file, &path) {
            continue;
        }
        let written = file.set_len(0).and_then(|()| file.write_all(owner().as_bytes()));
        if let Err(source) = written {
            let _ = fs::remove_file(&path);
            return Err(failed(source));
        }
        return Ok(Lock::Folder { _file: file, path, made });
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => id(ours) == id(theirs),
        _ => false,
    }
}

/// Makes a folder and says which ones were not there.
fn make_folders(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let mut made: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
    made.reverse();
    fs::create_dir_all(folder).map_err(|source| LakeError::write(folder, source))?;
    Ok(made)
}

/// Files being prepared; removed when dropped before the commit.
#[derive(Debug)]
pub(crate) struct Staging {
    root: PathBuf,
    folder: PathBuf,
    /// Of an object store's staging.
    _temporary: Option<tempfile::TempDir>,
}

impl Staging {
    /// Starts an empty one; the lock must be held.
    pub(crate) fn create(files: &Files) -> Result<Self, LakeError> {
        match files {
            Files::Folder(root) => {
                let id = format!("{}-{}", std::process::id(), unique());
                // Made before its folders are, so that half of them are removed again.
                let staging = Self { root: root.clone(), folder: root.join(STAGING).join(id), _temporary: None };
                fs::create_dir_all(staging.folder.join("new")).map_err(|source| LakeError::write(root, source))?;
                Ok(staging)
            }
            Files::Store(..) => {
                let temporary = std::env::temp_dir();
                let failed = |source| LakeError::write(&temporary, source);
                let folder = tempfile::Builder::new().prefix("algotrading-import-").tempdir().map_err(failed)?;
                fs::create_dir_all(folder.path().join("new")).map_err(failed)?;
                Ok(Self { root: folder.path().into(), folder: folder.path().into(), _temporary: Some(folder) })
            }
        }
    }

    /// Where scratch files may lie.
    pub(crate) fn scratch(&self) -> &Path {
        &self.folder
    }

    /// Where a file of the lake is to be prepared; its folder exists.
    pub(crate) fn path(&self, in_lake: &str) -> Result<PathBuf, LakeError> {
        let path = self.folder.join("new").join(in_lake);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| LakeError::write(parent, source))?;
        }
        Ok(path)
    }

    /// Puts everything in place.
    pub(crate) fn commit(self, files: &Files, lock: &mut Lock) -> Result<(), LakeError> {
        let staged = Files::Folder(self.folder.join("new")).list("")?;
        if staged.is_empty() {
            return Ok(());
        }
        match files {
            Files::Folder(root) => {
                let failed = |source| LakeError::write(root, source);
                for path in &staged {
                    sync_folders_of(&self.folder.join("new"), path).map_err(failed)?;
                }
                let draft = self.folder.join("draft");
                let mut list = File::create_new(&draft).map_err(failed)?;
                for path in &staged {
                    list.write_all(format!("{path}\n").as_bytes()).map_err(failed)?;
                }
                list.sync_all().map_err(failed)?;
                fs::rename(&draft, self.folder.join("commit")).map_err(failed)?;
                sync_folder(&self.folder).map_err(failed)?;
                roll_forward(root, &self.folder)
            }
            Files::Store(store, location) => {
                // What readers look for comes after what it refers to.
                let order = |path: &String| {
                    ["raw/", "quarantine/", "corporate_actions/", "bars_daily/"]
                        .iter()
                        .position(|prefix| path.starts_with(prefix))
                };
                let mut staged = staged;
                staged.sort_by_key(order);
                for path in &staged {
                    lock.keep()?;
                    upload(store, &self.folder.join("new").join(path), path).map_err(|reason| LakeError::Store {
                        what: "write",
                        location: location.clone(),
                        reason,
                    })?;
                }
                Ok(())
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After the commit list is written, the folder belongs to the lake until every file is in place.
        if self._temporary.is_none() && !self.folder.join("commit").exists() {
            let _ = fs::remove_dir_all(&self.folder);
            let _ = fs::remove_dir(self.root.join(STAGING));
        }
    }
}

/// Puts files in place that come from elsewhere than an import.
pub(crate) fn write(files: &Files, all: &[(String, Vec<u8>)]) -> Result<(), LakeError> {
    let mut lock = wait_for_lock(files)?;
    match files {
        Files::Folder(root) => {
            recover_locked(root)?;
            let staging = Staging::create(files)?;
            for (path, bytes) in all {
                let place = staging.path(path)?;
                let failed = |source| LakeError::write(&place, source);
                let mut file = File::create_new(&place).map_err(failed)?;
                file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
            }
            staging.commit(files, &mut lock)
        }
        Files::Store(store, location) => {
            for (path, bytes) in all {
                let to = ObjectPath::from(path.as_str());
                block_on(store.put(&to, bytes.clone().into())).map_err(|error| LakeError::Store {
                    what: "write",
                    location: location.clone(),
                    reason: one_line(&error.to_string()),
                })?;
            }
            Ok(())
        }
    }
}

fn upload(store: &Arc<dyn ObjectStore>, from: &Path, to: &str) -> Result<(), String> {
    const PART: usize = 8 << 20;
    let to = ObjectPath::from(to);
    let describe = |error: &dyn std::fmt::Display| one_line(&error.to_string());
    let mut file = File::open(from).map_err(|error| describe(&error))?;
    let size = file.metadata().map_err(|error| describe(&error))?.len();
    if size <= PART as u64 {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| describe(&error))?;
        return block_on(store.put(&to, bytes.into())).map(|_| ()).map_err(|error| describe(&error));
    }
    block_on(async {
        let upload = store.put_multipart(&to).await.map_err(|error| describe(&error))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut part = vec![0; PART];
        loop {
            writer.wait_for_capacity(4).await.map_err(|error| describe(&error))?;
            match file.read(&mut part).map_err(|error| describe(&error))? {
                0 => break,
                got => writer.write(&part[..got]),
            }
        }
        writer.finish().await.map(|_| ()).map_err(|error| describe(&error))
    })
}

/// A name that no other import of this machine has had.
fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", now.as_nanos())
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_folders_of(root: &Path, path: &str) -> std::io::Result<()> {
    for folder in Path::new(path).ancestors().skip(1) {
        sync_folder(&root.join(folder))?;
    }
    Ok(())
}

/// Completes a commit: renames what is not in place yet.
fn roll_forward(root: &Path, staging: &Path) -> Result<(), LakeError> {
    let failed = |source| LakeError::write(root, source);
    let list = staging.join("commit");
    let text = fs::read_to_string(&list).map_err(|source| LakeError::Read { path: list.clone(), source })?;
    for path in text.lines() {
        let (from, to) = (staging.join("new").join(path), root.join(path));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        match fs::rename(&from, &to) {
            Ok(()) => {}
            // An earlier attempt got this far.
            Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => {}
            Err(source) => return Err(failed(source)),
        }
    }
    for path in text.lines() {
        sync_folders_of(root, path).map_err(failed)?;
    }
    fs::remove_dir_all(staging).map_err(failed)?;
    let _ = fs::remove_dir(root.join(STAGING));
    Ok(())
}

/// Completes or removes what a dead import left behind; the lock must be held.
pub(crate) fn recover_locked(root: &Path) -> Result<(), LakeError> {
    let staging = root.join(STAGING);
    let entries = match fs::read_dir(&staging) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(LakeError::Read { path: staging, source }),
    };
    for entry in entries {
        let path = entry.map_err(|source| LakeError::Read { path: staging.clone(), source })?.path();
        if path.join("commit").exists() {
            roll_forward(root, &path)?;
        } else {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|source| LakeError::write(&path, source))?;
        }
    }
    let _ = fs::remove_dir(&staging);
    Ok(())
}

/// Makes a folder fit for reading: completes an interrupted commit, waits for one that is under way.
pub(crate) fn recover_for_reading(root: &Path) -> Result<(), LakeError> {
    let patience = Instant::now() + Duration::from_secs(10);
    while committed(root) {
        match lock_folder(root) {
            Ok(_lock) => return recover_locked(root),
            Err(LakeError::Locked { .. }) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether some staging folder has its commit list.
fn committed(root: &Path) -> bool {
    fs::read_dir(root.join(STAGING))
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.path().join("commit").exists())))
}
