//! Where the run file of a folder lay: a relative path in it is taken from there, wherever the program that reads the
//! folder later is started.
//!
//! It stands beside what identifies a run and not in it, because the same run has the same id on every machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use strategies::StrategyConfig;

/// What the file is called; it is there where the strategy reads a file beside its run file.
pub const RUN_FILE: &str = "run-file.json";

#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    run_file: PathBuf,
}

/// Keeps in a folder where the run file lies.
///
/// # Errors
/// The folder cannot be written.
pub fn keep(folder: &Path, run_file: &Path, strategy: &StrategyConfig) -> Result<()> {
    let StrategyConfig::Targets { file: Some(file), .. } = strategy else { return Ok(()) };
    if Path::new(file).is_absolute() {
        return Ok(());
    }
    let path = folder.join(RUN_FILE);
    let cannot_write = || format!("cannot write `{}`", path.display());
    let run_file = std::path::absolute(run_file).with_context(cannot_write)?;
    let text = serde_json::to_vec(&Origin { run_file }).with_context(cannot_write)?;
    let draft = folder.join(".run-file.draft");
    fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).with_context(cannot_write)
}

/// The run file of a folder; where nothing was kept, one in the working directory.
///
/// # Errors
/// What was kept cannot be read.
pub fn of(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(RUN_FILE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PathBuf::from("run.toml")),
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let origin: Origin =
        serde_json::from_slice(&bytes).with_context(|| format!("`{}` was changed; restore it", path.display()))?;
    Ok(origin.run_file)
}
