//! Number and hash of the journal's last step at each close: what its end is held against, because a chain that was cut
//! off is whole.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

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
    let changed = || format!("`{}` was changed; restore it", path.display());
    let heads = heads.with_context(changed)?;
    ensure!(heads.is_sorted_by(|one, next| one.seq <= next.seq), changed());
    Ok(heads)
}

/// Refuses heads that are gone: nothing then shows whether the end of a journal with so many closed sessions is there.
///
/// # Errors
/// They are.
pub fn are_there(heads: &[Head], path: &Path, closed: u64) -> Result<()> {
    // A program may have been stopped between a first close and its head; the file is there before either.
    let lost = heads.is_empty() && closed > u64::from(path.exists());
    ensure!(
        !lost,
        "`{}` is gone or empty, and the journal beside it has {}: nothing shows whether its end is there; restore it from \
         a copy, or begin another account with --out",
        path.display(),
        if closed == 1 { "a closed session".to_owned() } else { format!("{closed} closed sessions") }
    );
    Ok(())
}

/// Holds the journal of an account against its heads, before anybody appends to it.
///
/// Gives the number of the last head's step.
///
/// # Errors
/// Steps are missing, or are others than there were; or the heads are gone.
pub fn hold(place: &Place) -> Result<u64> {
    let (last, there) = held(place)?;
    there.map(|()| last)
}

/// The same for who only closes positions, which are the broker's: that the heads are gone is said, and stops nobody.
///
/// # Errors
/// Steps are missing, or are others than there were.
pub fn hold_to_close(place: &Place) -> Result<u64> {
    let (last, there) = held(place)?;
    if let Err(gone) = there {
        eprintln!("warning: {gone:#}");
    }
    Ok(last)
}

/// Step of the last head, and whether the heads are there.
fn held(place: &Place) -> Result<(u64, Result<()>)> {
    let (journal, path) = (place.file(JOURNAL), place.file(HEADS));
    let heads = read(&path)?;
    let told = fs::metadata(place.file(MARKET)).is_ok_and(|file| file.len() > 0);
    let (mut lines, mut closed, mut next) = (0, 0, heads.iter().peekable());
    for_each_line(&journal, |line| {
        while let Some(head) = next.next_if(|head| head.seq == lines) {
            ensure!(
                hex(&Sha256::digest(line)) == head.sha256,
                "`{}` has another step {lines} than `{HEADS}` beside it says; restore the one that was changed from a copy, \
                 or begin another account with --out",
                journal.display()
            );
        }
        // What happened stands at the beginning of a line.
        closed += u64::from(line[..line.len().min(60)].windows(CLOSED.len()).any(|part| part == CLOSED));
        lines += 1;
        Ok(())
    })?;
    let restore = |what: String| {
        format!(
            "`{}` {what} (`{HEADS}` beside it); restore it from a copy, or begin another account with --out",
            journal.display()
        )
    };
    ensure!(lines > 0 || !told && heads.is_empty(), restore("has no step, and the account has traded".to_owned()));
    if let Some(head) = next.peek() {
        bail!(restore(format!("ends with step {}, and there was a step {}", lines.saturating_sub(1), head.seq)));
    }
    Ok((heads.last().map_or(0, |head| head.seq), are_there(&heads, &path, closed)))
}

/// How a session's close stands in a line.
const CLOSED: &[u8] = b"\"session_closed\"";

/// Shows the whole lines of a file; none where there is no file.
fn for_each_line(path: &Path, mut show: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let cannot_read = || format!("cannot read `{}`", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        open => open.with_context(cannot_read)?,
    };
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).with_context(cannot_read)?;
        if line.pop() != Some(b'\n') {
            return Ok(());
        }
        show(&line)?;
    }
}
