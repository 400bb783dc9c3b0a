//! What the tests of the lake share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::{SessionDate, Symbol, Timestamp};
use lake::{ImportRequest, ImportSummary, Lake, LakeError};

pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample")
}

pub fn place(folder: &tempfile::TempDir) -> String {
    folder.path().join("lake").display().to_string()
}

pub fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

pub fn date(text: &str) -> SessionDate {
    SessionDate::parse(text).unwrap()
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub const NOW: &str = "2026-01-05T12:00:00Z";

pub fn request(paths: impl IntoIterator<Item = PathBuf>) -> ImportRequest {
    ImportRequest {
        paths: paths.into_iter().collect(),
        profile: None,
        symbol: None,
        known_at: None,
        now: time(NOW),
        strict: false,
        behind: false,
    }
}

/// Writes rows in the workshop's layout.
pub fn workshop(folder: &Path, name: &str, rows: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("dt,sym,open,high,low,close,vol\n{rows}")).unwrap();
    path
}

pub fn import(location: &str, request: &ImportRequest) -> Result<ImportSummary, LakeError> {
    let summary = Lake::create(location)?.import(request, &mut |_| {})?;
    assert_eq!(summary.read, summary.stored + summary.unchanged + summary.quarantined, "a row was lost: {summary:?}");
    Ok(summary)
}

/// Every file of a folder with its bytes.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    if let Ok(entries) = std::fs::read_dir(folder) {
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.insert(path.clone(), Vec::new());
                found.extend(tree(&path));
            } else {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
