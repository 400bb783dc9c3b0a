//! A run's folder: `run.json`, `journal.jsonl`, tables for a spreadsheet, and the tear sheet.
//!
//! It is put together beside its place and moved there whole. `run.json` and the journal are the run; the rest is
//! made from them, and `algotrading report` makes it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use domain::Strategy;
use journal::JournalFile;
use report::Rates;
use report::run::Run;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backtest::{self, Ending, Facts, Prepared, hex};
use crate::collect::{Collected, Collector};
use crate::origin;

/// The journal.
pub const JOURNAL: &str = "journal.jsonl";
/// What identifies the run.
pub const MANIFEST: &str = "run.json";
/// The tear sheet.
pub const SHEET: &str = "report.html";

/// What `run.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    #[serde(flatten)]
    facts: Facts,
    #[serde(flatten)]
    ending: Ending,
    /// Of everything above.
    sha256: String,
}

impl Manifest {
    fn new(facts: Facts, ending: Ending) -> Result<Self> {
        let sha256 = Self::digest(&facts, &ending)?;
        Ok(Self { facts, ending, sha256 })
    }

    fn digest(facts: &Facts, ending: &Ending) -> Result<String> {
        Ok(hex(&Sha256::digest(json(&(facts, ending))?)))
    }

    fn is_genuine(&self) -> bool {
        self.facts.is_genuine() && Self::digest(&self.facts, &self.ending).is_ok_and(|digest| digest == self.sha256)
    }
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// Where it lies.
    pub folder: PathBuf,
    /// What the report shows.
    pub run: Run,
    /// Its figures.
    pub metrics: report::Metrics,
}

/// Runs a strategy and leaves its folder at `out`.
///
/// # Errors
/// `out` holds something else, or cannot be written; then nothing is left there that was not there before.
pub fn backtest<S: Strategy>(prepared: &Prepared, strategy: S, out: &Path) -> Result<Finished> {
    let draft = Draft::beside(out)?;
    let mut journal = JournalFile::create(&draft.path.join(JOURNAL), &prepared.header())
        .with_context(|| cannot_write(&draft.path))?;
    let (collected, ambiguous_bars, open_trades) = prepared.run(strategy, &mut journal)?;
    let digest = journal.publish().with_context(|| cannot_write(&draft.path))?;
    let ending = Ending { journal_sha256: digest.to_string(), ambiguous_bars, open_trades };
    let (run, benchmark) = backtest::shown(&prepared.facts, &ending, collected);
    let manifest = Manifest::new(prepared.facts.clone(), ending)?;
    let metrics = describe(&draft.path, &manifest, &run, &benchmark)?;
    if let Some(run_file) = &prepared.run_file {
        origin::keep(&draft.path, run_file, &prepared.config.strategy)?;
    }
    draft.publish(out)?;
    Ok(Finished { folder: out.to_owned(), run, metrics })
}

/// Puts `run.json`, tables and a tear sheet beside a journal that is there already and may go on later.
///
/// # Errors
/// The folder cannot be written.
pub fn beside_journal(facts: &Facts, ending: Ending, collected: Collected, folder: &Path) -> Result<Finished> {
    let (run, benchmark) = backtest::shown(facts, &ending, collected);
    let manifest = Manifest::new(facts.clone(), ending)?;
    let draft = Draft::of(folder)?;
    let metrics = describe(&draft.path, &manifest, &run, &benchmark)?;
    draft.publish(folder)?;
    Ok(Finished { folder: folder.to_owned(), run, metrics })
}

/// Makes the tables and the tear sheet of a run again, from `run.json` and the journal.
///
/// # Errors
/// Not a run's folder, or a journal that was changed.
pub fn again(folder: &Path) -> Result<Finished> {
    let manifest = manifest(folder)?;
    let place = folder.join(JOURNAL);
    let cannot_read = || format!("cannot use the journal `{}`", place.display());
    let mut reader = journal::open(&place).with_context(cannot_read)?;
    let mut collector = Collector::new(&reader.header().instruments);
    for entry in reader.by_ref() {
        let entry = entry.with_context(cannot_read)?;
        collector.observe(&entry.event, &entry.records);
    }
    if reader.digest().to_string() != manifest.ending.journal_sha256 || reader.header().run_id != manifest.facts.run_id
    {
        bail!("the journal `{}` is not the one {MANIFEST} was written for; run the backtest again", place.display());
    }
    let collected = collector.finish(&manifest.ending.open_trades);
    let (run, benchmark) = backtest::shown(&manifest.facts, &manifest.ending, collected);
    let draft = Draft::beside(folder)?;
    let metrics = describe(&draft.path, &manifest, &run, &benchmark)?;
    draft.publish(folder)?;
    Ok(Finished { folder: folder.to_owned(), run, metrics })
}

fn manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("`{}` is no run's folder (it has no {MANIFEST}); give the folder a backtest wrote", folder.display())
        }
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let damaged = || format!("`{}` was changed; run the backtest again", path.display());
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { bail!(damaged()) };
    if !manifest.is_genuine() {
        bail!(damaged());
    }
    Ok(manifest)
}

/// What identifies the run of a folder.
///
/// # Errors
/// Not a run's folder.
pub fn facts(folder: &Path) -> Result<Facts> {
    Ok(manifest(folder)?.facts)
}

/// Writes everything but the journal.
fn describe(folder: &Path, manifest: &Manifest, run: &Run, benchmark: &[f64]) -> Result<report::Metrics> {
    let rates = Rates { risk_free_per_period: manifest.facts.risk_free_per_session, periods_per_year: 252.0 };
    let metrics = report::metrics(run, Some(benchmark), rates);
    let write = |name: &str, bytes: Vec<u8>| {
        fs::write(folder.join(name), bytes).with_context(|| cannot_write(&folder.join(name)))
    };
    write("fills.csv", csv(&run.fills, &["date", "symbol", "quantity", "price", "chart_price", "fee"])?)?;
    write(
        "trades.csv",
        csv(&run.trades, &["symbol", "opened", "closed", "quantity", "entry", "exit", "profit", "fees", "bars"])?,
    )?;
    write("equity.csv", csv(&run.equity, &["date", "equity", "cash", "net", "gross"])?)?;
    write("metrics.json", json(&metrics)?)?;
    write(SHEET, report::tear_sheet(run, &metrics).into_bytes())?;
    write(MANIFEST, json(manifest)?)?;
    Ok(metrics)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).context("cannot write JSON")?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Rows under the names of their columns, which stand there without rows too.
fn csv<T: Serialize>(rows: &[T], columns: &[&str]) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns).context("cannot write CSV")?;
    for row in rows {
        writer.serialize(row).context("cannot write CSV")?;
    }
    writer.into_inner().context("cannot write CSV")
}

pub(crate) fn cannot_write(path: &Path) -> String {
    format!("cannot write `{}`; choose another --out or make room", path.display())
}

/// A folder beside its place; gone again unless published.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn beside(out: &Path) -> Result<Self> {
        if out.is_file() {
            bail!("`{}` is a file; choose another --out", out.display());
        }
        let taken = out.is_dir() && !out.join(MANIFEST).exists() && !is_empty(out);
        if taken {
            bail!("`{}` holds something that is not a run; choose another --out", out.display());
        }
        Self::of(out)
    }

    fn of(out: &Path) -> Result<Self> {
        let name = out.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned());
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let path = parent.join(format!(".{name}.draft-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| cannot_write(out))?;
        Ok(Self { path })
    }

    fn publish(self, out: &Path) -> Result<()> {
        let moved = || -> std::io::Result<()> {
            if !out.exists() {
                return fs::rename(&self.path, out);
            }
            let mut names: Vec<_> = fs::read_dir(&self.path)?.collect::<Result<_, _>>()?;
            // The manifest last: it vouches for the others.
            names.sort_by_key(|entry| (entry.file_name() == MANIFEST, entry.file_name()));
            for entry in names {
                fs::rename(entry.path(), out.join(entry.file_name()))?;
            }
            Ok(())
        };
        moved().with_context(|| cannot_write(out))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Published, there is nothing left of it but perhaps an empty folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
