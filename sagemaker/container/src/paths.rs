//! Where SageMaker puts things and looks for them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Longest reason that SageMaker shows of a job that failed.
const REASON_MAX: usize = 1_024;

/// The folder that is `/opt/ml` in the container.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn from_environment() -> Self {
        Self { root: std::env::var_os("ALGOTRADING_ML_ROOT").map_or_else(|| PathBuf::from("/opt/ml"), PathBuf::from) }
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.root.join("input/config").join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("input/data")
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    pub(crate) fn checkpoint(&self, job: &str) -> PathBuf {
        self.root.join("checkpoints").join(format!("{job}.json"))
    }

    /// Leaves the reason where SageMaker looks for it.
    pub(crate) fn fail(&self, error: &anyhow::Error) {
        let mut reason = format!("{error:#}");
        let end = (0..=REASON_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        reason.truncate(end);
        let file = self.root.join("output/failure");
        let written = fs::create_dir_all(self.root.join("output")).and_then(|()| fs::write(&file, reason));
        if let Err(error) = written {
            eprintln!("error: cannot write `{}`: {error}", file.display());
        }
    }
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().with_context(|| format!("cannot write `{}`", path.display()))
}
