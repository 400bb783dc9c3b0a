//! The data of a job as a lake.
//!
//! A channel is a lake itself (a folder with `bars_daily/` in it, as `s3://bucket/lake` is), or vendors' files, CSV or
//! Parquet, which are imported into a lake of the job's own with every contract.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use domain::Timestamp;
use lake::{ImportRequest, Lake};
use tempfile::TempDir;

use crate::parquet;

/// A lake, and its folder where that goes away afterwards.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) lake: Lake,
    pub(crate) location: String,
    _folder: Option<TempDir>,
}

pub(crate) fn read(folder: &Path) -> Result<Data> {
    let mut channels = children(folder).unwrap_or_default();
    channels.retain(|path| path.is_dir());
    if channels.is_empty() {
        bail!("there is no channel in `{}`; give the job at least one", folder.display());
    }
    let (lakes, files): (Vec<_>, Vec<_>) = channels.into_iter().partition(|path| path.join("bars_daily").is_dir());
    match (lakes.as_slice(), files.is_empty()) {
        ([lake], true) => {
            let location = text(lake)?;
            Ok(Data { lake: Lake::open(&location)?, location, _folder: None })
        }
        ([], _) => import(files),
        _ => bail!("a channel that is a lake must be the only one; leave the others out"),
    }
}

fn import(channels: Vec<PathBuf>) -> Result<Data> {
    let folder = tempfile::tempdir().context("cannot make a folder for the job's lake")?;
    let location = text(&folder.path().join("lake"))?;
    let lake = Lake::create(&location)?;
    let mut paths = Vec::new();
    for channel in &channels {
        let parquet: Vec<PathBuf> = below(channel)?.into_iter().filter(|path| is_parquet(path)).collect();
        if parquet.is_empty() {
            paths.push(channel.clone());
            continue;
        }
        // A folder of both is taken file by file.
        paths.extend(below(channel)?.into_iter().filter(|path| !is_parquet(path)));
        for (at, path) in parquet.iter().enumerate() {
            let csv = folder.path().join(format!("{}-{at}.csv", paths.len()));
            parquet::to_csv(path, &csv)?;
            paths.push(csv);
        }
    }
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    let now = Timestamp::from_nanos(i64::try_from(elapsed.as_nanos()).context("the clock is past 2262")?);
    let request =
        ImportRequest { paths, profile: None, symbol: None, known_at: None, now, strict: false, behind: false };
    let summary = lake.import(&request, &mut |_| {}).context("the channels")?;
    println!("rows_read={} rows_stored={} rows_quarantined={}", summary.read, summary.stored, summary.quarantined);
    for (rule, rows) in &summary.rules {
        println!("quarantined rule={rule} rows={rows}");
    }
    Ok(Data { lake, location, _folder: Some(folder) })
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Every file below a folder, sorted.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in children(folder)? {
        if path.is_dir() { files.extend(below(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String> {
    let path = path.to_str().with_context(|| format!("the path `{}` is not text", path.display()))?;
    Ok(path.to_owned())
}
