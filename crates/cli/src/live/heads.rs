//! Number and hash of the journal's last step at each close: what its end is held against, because a chain that was cut
//! off is whole.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use journal::{Lines, Log};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::account::Place;
use super::kept::MARKET;
use crate::backtest::hex;
use crate::folder::JOURNAL;

/// Where heads stand.
pub const HEADS: &str = "heads.jsonl";

/// A step, and the hash of its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the step.
    pub seq: u64,
    /// Hash of its line, which stands for all before it.
    pub sha256: String,
}

impl Head {
    /// Of a journal that is being written.
    #[must_use]
    pub fn of<L: Lines>(log: &Log<L>) -> Self {
        Self { seq: log.seq(), sha256: log.digest().to_string() }
    }
}

/// Heads in a file, its torn end left out; none where there is no file.
///
/// # Errors
/// It cannot be read, or was changed.
pub fn read(path: &Path) -> Result<Vec<Head>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let heads = whole.map(serde_json::from_slice).collect::<Result<Vec<Head>, _>>();
    heads.with_context(|| format!("`{}` was changed; restore it", path.display()))
}

/// Holds the journal of an account against its last head, before anybody appends to it.
///
/// Gives the number of the head's step.
///
/// # Errors
/// Steps are missing, or are others than there were.
pub fn hold(place: &Place) -> Result<u64> {
    let journal = place.file(JOURNAL);
    let last = read(&place.file(HEADS))?.pop();
    let told = fs::metadata(place.file(MARKET)).is_ok_and(|file| file.len() > 0);
    let (lines, line) = lines_up_to(&journal, last.as_ref().map_or(u64::MAX, |head| head.seq))?;
    let restore = |what: String| restore(&journal, &what);
    ensure!(lines > 0 || !told && last.is_none(), restore("has no step, and the account has traded".to_owned()));
    let Some(head) = last else { return Ok(0) };
    let Some(line) = line else {
        bail!(restore(format!("ends with step {}, and there was a step {}", lines.saturating_sub(1), head.seq)))
    };
    ensure!(
        hex(&Sha256::digest(&line)) == head.sha256,
        restore(format!("has another step {} than there was", head.seq))
    );
    Ok(head.seq)
}

fn restore(journal: &Path, what: &str) -> String {
    format!(
        "`{}` {what} (`{HEADS}` beside it); restore it from a copy, or begin another account with --out",
        journal.display()
    )
}

/// Whole lines of a file up to number `wanted`, from 0, and that one.
fn lines_up_to(path: &PathBuf, wanted: u64) -> Result<(u64, Option<Vec<u8>>)> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, None)),
        open => open.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut count, mut line) = (0, Vec::new());
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).with_context(|| format!("cannot read `{}`", path.display()))?;
        if line.pop() != Some(b'\n') {
            return Ok((count, None));
        }
        if count == wanted {
            return Ok((count + 1, Some(line)));
        }
        count += 1;
    }
}
