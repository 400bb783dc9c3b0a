//! An import from files to commit: read and sort, judge against the lake, write what is new.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use domain::{Symbol, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::actions::{self, NewAction};
use crate::contracts::{Delivery, FLAGS, Previous, SUPERSEDED, Verdict, flags_text, judge};
use crate::encode::{BarColumns, Encoder, GROUP_ROWS};
use crate::error::LakeError;
use crate::files::Files;
use crate::intake::{self, Received};
use crate::packed::Row;
use crate::quarantine::{self, Asset, Refusals, Refused};
use crate::row::{Batch, Flags};
use crate::sort::{Sorted, Sorter};
use crate::stage::{self, Lock, Staging};
use crate::stored::{StoredYear, source_from_text, source_text};
use crate::summary::{ImportRequest, ImportSummary, Progress};

/// Words of eight bytes kept in memory before they are spilled; a row takes four or eight.
const WORDS_IN_MEMORY: usize = 16 << 20;

/// Imports files; all of them or, after an error, nothing.
pub(crate) fn import(
    files: &Files,
    request: &ImportRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImportSummary, LakeError> {
    import_with(files, request, progress, WORDS_IN_MEMORY)
}

fn import_with(
    files: &Files,
    request: &ImportRequest,
    progress: &mut dyn FnMut(Progress),
    words_in_memory: usize,
) -> Result<ImportSummary, LakeError> {
    if let Some(known_at) = request.known_at
        && known_at > request.now
    {
        return Err(LakeError::KnownInFuture { known_at });
    }
    let paths = expand(&request.paths)?;
    let mut lock = stage::lock(files)?;
    if let Files::Folder(root) = files {
        stage::recover_locked(root)?;
    }
    let staging = Staging::create(files)?;
    let mut import = Import {
        files,
        request,
        delivery: Delivery { now: request.now, known_at: request.known_at, behind: request.behind },
        sorter: Sorter::new(staging.scratch(), words_in_memory),
        refusals: Refusals::new(staging.scratch()),
        staging: &staging,
        lock: &mut lock,
        progress,
        bytes: (0, paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|data| data.len()).sum()),
        symbols: Vec::new(),
        ids: HashMap::new(),
        new_actions: Vec::new(),
        assets: Vec::new(),
        copies: Vec::new(),
        summaries: Vec::new(),
        worst: None,
    };
    for path in &paths {
        import.read(path)?;
    }
    let summary = import.store()?;
    staging.commit(files, &mut lock)?;
    Ok(summary)
}

/// Files in place of folders, each file once.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LakeError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let failed = |source| LakeError::Read { path: path.clone(), source };
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !hidden && entry.path().is_file() {
                inside.push(entry.path());
            }
        }
        if inside.is_empty() {
            return Err(LakeError::NothingToImport { what: format!("`{}`", path.display()) });
        }
        inside.sort();
        found.append(&mut inside);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    match found.len() {
        0 => Err(LakeError::NothingToImport { what: "an empty list".to_owned() }),
        many if many > usize::from(u16::MAX) => Err(LakeError::TooManyFiles { files: many }),
        _ => Ok(found),
    }
}

/// The first thing that `strict` does not let pass.
struct Worst {
    file: u16,
    line: u64,
    rule: String,
    value: String,
}

struct Copying {
    file: u16,
    profile: String,
    folder: String,
    bytes: u64,
    sha256: String,
    thread: JoinHandle<std::io::Result<()>>,
    into: PathBuf,
}

struct Import<'a> {
    files: &'a Files,
    request: &'a ImportRequest,
    delivery: Delivery,
    staging: &'a Staging,
    lock: &'a mut Lock,
    progress: &'a mut dyn FnMut(Progress),
    /// Done and in all.
    bytes: (u64, u64),
    sorter: Sorter,
    refusals: Refusals,
    symbols: Vec<Symbol>,
    ids: HashMap<Symbol, u32>,
    new_actions: Vec<NewAction>,
    assets: Vec<Asset>,
    copies: Vec<Copying>,
    summaries: Vec<ImportSummary>,
    worst: Option<Worst>,
}

impl Import<'_> {
    fn tell(&mut self, done: u64, what: &str) -> Result<(), LakeError> {
        self.lock.keep()?;
        (self.progress)(Progress { bytes_done: done, bytes_total: self.bytes.1, what: what.to_owned() });
        Ok(())
    }

    /// Reads one file.
    fn read(&mut self, path: &Path) -> Result<(), LakeError> {
        let file = self.assets.len() as u16;
        let request = self.request;
        // A pipe has no length.
        let state =
            || fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|data| (data.len(), data.modified().ok()));
        let before = state();
        let copy = self.staging.scratch().join(format!("received-{file}"));
        let (profile, symbol) = (request.profile.as_deref(), request.symbol.as_ref());
        let mut input = intake::open(path, profile, symbol, request.now, Some(copy.clone()))?;
        let name = asset_name(path);
        self.assets.push(Asset { path: path.into(), copy, name: name.clone(), source: 0 });
        self.summaries.push(ImportSummary::default());
        let what = format!("reading {name}");
        while let Some(batch) = input.next_batch()? {
            let last = batch.bars.last().map(|bar| bar.place.offset);
            self.take(file, batch)?;
            self.tell(self.bytes.0 + last.unwrap_or_default(), &what)?;
        }
        let whole =
            |received: &Received| before == state() && before.is_none_or(|(bytes, _)| bytes == received.bytes());
        let Some(received) = input.received().filter(whole) else {
            return Err(LakeError::Changed { path: path.into() });
        };
        self.bytes.0 += received.bytes();
        self.assets[usize::from(file)].source = source_from_text(&received.sha256()[..16]);
        self.keep(file, &input, received)
    }

    fn take(&mut self, file: u16, batch: Batch) -> Result<(), LakeError> {
        let Batch { rows, symbols, bars, actions, refused } = batch;
        let ids: Vec<u32> = symbols.into_iter().map(|symbol| self.id(symbol)).collect();
        self.summaries[usize::from(file)].read += rows;
        for bar in &bars {
            self.sorter.push(ids[bar.symbol as usize], &Row::new(file, bar))?;
        }
        self.new_actions
            .extend(actions.iter().map(|one| NewAction::new(ids[one.symbol as usize], file, one.ex_date, one.kind)));
        for one in refused {
            self.refuse(Refused { file, place: one.place, rule: one.rule.to_owned(), value: one.value })?;
        }
        Ok(())
    }

    fn id(&mut self, symbol: Symbol) -> u32 {
        if let Some(id) = self.ids.get(&symbol) {
            return *id;
        }
        let id = self.symbols.len() as u32;
        self.symbols.push(symbol.clone());
        self.ids.insert(symbol, id);
        id
    }

    fn refuse(&mut self, refused: Refused) -> Result<(), LakeError> {
        let summary = &mut self.summaries[usize::from(refused.file)];
        summary.quarantined += 1;
        summary.count(&refused.rule);
        note(&mut self.worst, refused.file, refused.place.line, &refused.rule, || refused.value.clone());
        self.refusals.push(refused)
    }

    /// Puts the copy of a file into `raw/`, unless the lake has it.
    fn keep(&mut self, file: u16, input: &intake::Input, received: Received) -> Result<(), LakeError> {
        let asset = &mut self.assets[usize::from(file)];
        let folder = format!("raw/{}/{}/{}", input.provider(), input.data_set(), source_text(asset.source));
        if self.copies.iter().any(|copy| copy.folder == folder)
            || self.files.exists(&format!("{folder}/manifest.json"))?
        {
            return Ok(());
        }
        let into = self.staging.path(&format!("{folder}/{}", asset.name))?;
        fs::rename(&asset.copy, &into).map_err(|source| LakeError::write(&into, source))?;
        asset.copy.clone_from(&into);
        let (bytes, sha256, profile) = (received.bytes(), received.sha256(), input.profile().to_owned());
        self.copies.push(Copying { file, profile, folder, bytes, sha256, thread: received.store(), into });
        Ok(())
    }

    /// Judges and writes what was read.
    fn store(mut self) -> Result<ImportSummary, LakeError> {
        let sources: Vec<u64> = self.assets.iter().map(|asset| asset.source).collect();
        let name = format!("{}.parquet", self.name());
        let wanted: std::collections::HashSet<&str> = self.symbols.iter().map(Symbol::as_str).collect();
        let stored = actions::read(self.files, |symbol| wanted.contains(symbol))?;
        let mut added = actions::additions(&mut self.new_actions, &stored, &self.symbols, &sources, self.delivery);
        let steps = actions::steps_by_symbol(&stored, &added, &self.symbols);

        let mut order: Vec<u32> = (0..self.symbols.len() as u32).collect();
        order.sort_by_key(|id| &self.symbols[*id as usize]);
        let mut rank = vec![0; order.len()];
        for (at, id) in order.iter().enumerate() {
            rank[*id as usize] = at as u32;
        }
        let empty = Sorter::new(self.staging.scratch(), 1);
        let sorted = std::mem::replace(&mut self.sorter, empty).finish(&rank);
        self.bars(&sorted, &steps, &sources, &name)?;

        let mut total = ImportSummary::default();
        for summary in &self.summaries {
            total.read += summary.read;
            total.stored += summary.stored;
            total.unchanged += summary.unchanged;
            total.quarantined += summary.quarantined;
            total.flagged += summary.flagged;
            for (rule, count) in &summary.rules {
                *total.rules.entry(rule.clone()).or_default() += count;
            }
        }
        if let (true, Some(worst)) = (self.request.strict, self.worst.take()) {
            // The copies go with the staging folder, once nobody writes into it.
            self.copies.drain(..).for_each(|copy| drop(copy.thread.join()));
            return Err(LakeError::Strict {
                quarantined: total.quarantined,
                flagged: total.flagged,
                file: self.assets[usize::from(worst.file)].path.display().to_string(),
                line: worst.line,
                rule: worst.rule,
                value: worst.value,
            });
        }
        if !added.is_empty() {
            let path = self.staging.path(&self.vacant("corporate_actions", &name)?)?;
            actions::write(&path, &mut added, &self.symbols)?;
        }
        let vacant = self.vacant("quarantine", &name)?;
        let empty = Refusals::new(self.staging.scratch());
        let refusals = std::mem::replace(&mut self.refusals, empty);
        quarantine::write(self.files, refusals, &self.assets, self.request.now, || self.staging.path(&vacant))?;
        for copy in std::mem::take(&mut self.copies) {
            self.manifest(copy)?;
        }
        self.tell(self.bytes.1, "done")?;
        Ok(total)
    }

    /// Judges the bars and writes the new ones, year by year.
    fn bars(
        &mut self,
        sorted: &Sorted,
        steps: &[BTreeMap<domain::SessionDate, crate::contracts::Step>],
        sources: &[u64],
        name: &str,
    ) -> Result<(), LakeError> {
        let mut previous: Vec<Option<Previous>> = vec![None; self.symbols.len()];
        let mut encoder = Encoder::start();
        let (mut rows, mut versions) = (Vec::new(), Vec::new());
        let source_texts: Vec<String> = sources.iter().map(|source| source_text(*source)).collect();
        for (year, groups) in &sorted.years {
            self.tell(self.bytes.1, &format!("storing {year}"))?;
            let (Some(first), Some(last)) = (groups.first(), groups.last()) else { continue };
            let range =
                (self.symbols[first.symbol as usize].to_string(), self.symbols[last.symbol as usize].to_string());
            let range = (range.0.as_str(), range.1.as_str());
            let mut stored = StoredYear::open(self.files, *year, range)?;
            // A bar near the turn of the year is compared with one of the year before.
            let mut before = StoredYear::open(self.files, *year - 1, range)?;
            let path = self.staging.path(&self.vacant(&format!("bars_daily/year={year:04}"), name)?)?;
            let mut columns = BarColumns::default();
            for group in groups {
                let symbol = self.symbols[group.symbol as usize].to_string();
                sorted
                    .read(group, &mut rows)
                    .map_err(|source| LakeError::Read { path: self.staging.scratch().into(), source })?;
                let previous = &mut previous[group.symbol as usize];
                if previous.is_none_or(|previous| previous.session.year() < *year - 1) {
                    before.take(&symbol, &mut versions)?;
                    let last = versions.chunk_by(|a, b| a.session == b.session).next_back();
                    *previous = last.and_then(crate::contracts::current).or(*previous);
                }
                stored.take(&symbol, &mut versions)?;
                let (summaries, refusals, worst) = (&mut self.summaries, &mut self.refusals, &mut self.worst);
                let mut result = Ok(());
                let before = columns.len();
                // Source and flags of the last rows, and how many there were.
                let mut texts: (u16, Flags, u32) = (0, Flags::default(), 0);
                judge(
                    &versions,
                    &rows,
                    &steps[group.symbol as usize],
                    sources,
                    self.delivery,
                    previous,
                    |row, verdict| {
                        let summary = &mut summaries[usize::from(row.file())];
                        match verdict {
                            Verdict::Unchanged => summary.unchanged += 1,
                            Verdict::Superseded => {
                                summary.unchanged += 1;
                                summary.count(SUPERSEDED);
                            }
                            Verdict::Store(known_at, flags) => {
                                summary.stored += 1;
                                if flags.0 != 0 {
                                    summary.flagged += 1;
                                    for (_, name) in FLAGS.iter().filter(|(flag, _)| flags.0 & flag.0 != 0) {
                                        summary.count(name);
                                    }
                                    let line = row.place().line;
                                    note(worst, row.file(), line, &flags_text(flags), || row.close().to_string());
                                }
                                if (row.file(), flags) != (texts.0, texts.1) {
                                    columns.push_texts(&source_texts[usize::from(texts.0)], texts.1, texts.2);
                                    texts = (row.file(), flags, 0);
                                }
                                texts.2 += 1;
                                columns.push(row, known_at);
                            }
                            Verdict::Refuse(rule, value) => {
                                summary.quarantined += 1;
                                summary.count(rule);
                                let (file, place) = (row.file(), row.place());
                                note(worst, file, place.line, rule, || value.clone());
                                let refused = Refused { file, place, rule: rule.to_owned(), value };
                                if result.is_ok() {
                                    result = refusals.push(refused);
                                }
                            }
                        }
                    },
                );
                result?;
                columns.push_texts(&source_texts[usize::from(texts.0)], texts.1, texts.2);
                let new = (columns.len() - before) as u32;
                if new > 0 {
                    columns.sym.push(&symbol, new);
                    columns.mic.push("XNYS", new);
                    columns.currency.push("USD", new);
                }
                if columns.len() >= GROUP_ROWS {
                    encoder.write(&path, std::mem::take(&mut columns))?;
                }
            }
            if columns.len() > 0 {
                encoder.write(&path, columns)?;
            }
        }
        encoder.finish()
    }

    /// Name of the import's files: the same for the same import.
    fn name(&self) -> String {
        let mut sha256 = Sha256::new();
        let known_at = self.request.known_at.map_or(i64::MIN, Timestamp::nanos);
        for number in [self.request.now.nanos(), known_at] {
            sha256.update(number.to_le_bytes());
        }
        for asset in &self.assets {
            sha256.update(asset.source.to_le_bytes());
        }
        for symbol in &self.symbols {
            sha256.update(symbol.as_str());
        }
        sha256.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A path in the lake at which there is nothing yet.
    fn vacant(&self, folder: &str, name: &str) -> Result<String, LakeError> {
        let mut path = format!("{folder}/{name}");
        let mut count = 1;
        while self.files.exists(&path)? {
            count += 1;
            path = format!("{folder}/{count}-{name}");
        }
        Ok(path)
    }

    fn manifest(&self, copy: Copying) -> Result<(), LakeError> {
        let failed = |source| LakeError::write(&copy.into, source);
        let asset = &self.assets[usize::from(copy.file)];
        copy.thread.join().unwrap_or_else(|_| Err(std::io::Error::other("copying stopped"))).map_err(failed)?;
        let manifest = Manifest {
            asset: &asset.name,
            sha256: &copy.sha256,
            bytes: copy.bytes,
            profile: &copy.profile,
            imported_at: self.request.now.to_string(),
            summary: &self.summaries[usize::from(copy.file)],
        };
        let path = self.staging.path(&format!("{}/manifest.json", copy.folder))?;
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.into()))?;
        let failed = |source| LakeError::write(&path, source);
        let mut file = fs::File::create_new(&path).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(failed)
    }
}

/// What the file is called in the lake: its name, unless that could be taken for something else.
fn asset_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().map(|one| if one.is_control() || one == '/' { '_' } else { one }).collect();
    if name == "manifest.json" || name.ends_with(".parquet") { format!("{name}.received") } else { name }
}

/// Beside the bytes of a revision.
#[derive(Serialize)]
struct Manifest<'a> {
    asset: &'a str,
    sha256: &'a str,
    bytes: u64,
    profile: &'a str,
    imported_at: String,
    summary: &'a ImportSummary,
}

fn note(worst: &mut Option<Worst>, file: u16, line: u64, rule: &str, value: impl FnOnce() -> String) {
    if worst.as_ref().is_none_or(|worst| (file, line) < (worst.file, worst.line)) {
        *worst = Some(Worst { file, line, rule: rule.to_owned(), value: value() });
    }
}
