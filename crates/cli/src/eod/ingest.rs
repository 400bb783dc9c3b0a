//! Exported revisions into the lake, the first published first.
//!
//! A row is known from the time its revision was published. A revision that turns up after a later one was taken in is
//! *behind*: it fills gaps and supersedes nothing, and what it adds counts as known with the latest one. So the lake
//! is a function of what was published, and not of when anybody looked.

use std::path::PathBuf;

use anyhow::Context;
use domain::Timestamp;
use lake::{ImportRequest, ImportSummary, Lake, LakeError};
use ports::objects::{Object, Objects};
use ports::records::{Key, Records};
use serde::{Deserialize, Serialize};

use super::export::{self, ExportRecord};
use super::{Outcome, Trouble, What, body, put};

/// What the step is set up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Ids of the data sets.
    pub data_sets: Vec<String>,
    /// Largest revision that is taken in here; what is larger is for a machine with more room.
    pub bytes_max: u64,
    /// Name of the vendor's layout, where the header does not tell.
    pub profile: Option<String>,
}

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ingested {
    /// Whether every exported revision is in the lake.
    pub done: bool,
    /// Whether the next one is too large for here.
    pub oversized: bool,
    /// Rows of the files that this call took in.
    #[serde(default)]
    pub read: u64,
    /// Rows of them that broke a contract.
    #[serde(default)]
    pub quarantined: u64,
    /// What became of each that this call took in.
    pub revisions: Vec<RevisionSummary>,
}

/// What became of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionSummary {
    /// Of the data set.
    pub data_set: String,
    /// Its id.
    pub revision: String,
    /// Rows of its files.
    pub read: u64,
    /// New bars and new versions of bars.
    pub stored: u64,
    /// Rows that the lake had.
    pub unchanged: u64,
    /// Rows that broke a contract.
    pub quarantined: u64,
    /// Files that could not be read at all; they stay where they landed.
    pub refused_assets: Vec<RefusedAsset>,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAsset {
    /// Its name.
    pub asset: String,
    /// Why not.
    pub reason: String,
}

/// The record of a revision that is in the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IngestRecord {
    published_at: Timestamp,
    summary: RevisionSummary,
}

fn partition(data_set: &str) -> String {
    format!("ingest#{data_set}")
}

/// Takes in every exported revision that is not in the lake yet.
///
/// # Errors
/// Nothing of a revision can be read, the lake cannot be written, or a record cannot.
pub fn ingest(
    lake: &Lake,
    landing: &dyn Objects,
    records: &dyn Records,
    settings: &Settings,
    now: Timestamp,
) -> Outcome<Ingested> {
    let mut answer = Ingested::default();
    for data_set in &settings.data_sets {
        let done = records.list(&partition(data_set))?;
        let mut newest: Option<Timestamp> = None;
        for (key, record) in &done {
            newest = newest.max(Some(body::<IngestRecord>(key, record)?.published_at));
        }
        for (key, record) in records.list(&export::partition(data_set))? {
            let exported: ExportRecord = body(&key, &record)?;
            let own = Key::new(partition(data_set), key.sort.clone());
            if exported.state != "exported" || done.iter().any(|(done, _)| *done == own) {
                continue;
            }
            let revision = exported.revision;
            let assets = landing.list(&format!("{data_set}/{revision}"))?;
            if assets.iter().map(|asset| asset.bytes).sum::<u64>() > settings.bytes_max {
                answer.oversized = true;
                return Ok(answer);
            }
            let behind = newest.is_some_and(|newest| newest > exported.published_at);
            let known_at = newest.map_or(exported.published_at, |newest| newest.max(exported.published_at));
            if known_at > now {
                let text = format!(
                    "revision {revision} of data set {data_set} says it was published at {known_at}, and it is {now} \
                     here; look at both clocks"
                );
                return Err(Trouble::new(What::IngestFailed, text));
            }
            let one = One { lake, landing, data_set, revision: &revision, profile: settings.profile.as_deref() };
            // Somebody is writing, or has died doing so: then its lock lapses, and the call after that gets it.
            let Some(summary) = one.import(&assets, known_at, behind)? else { return Ok(answer) };
            let record = IngestRecord { published_at: exported.published_at, summary: summary.clone() };
            put(records, &own, &record, 0)?;
            newest = Some(known_at);
            answer.read += summary.read;
            answer.quarantined += summary.quarantined;
            answer.revisions.push(summary);
        }
    }
    answer.done = true;
    Ok(answer)
}

struct One<'a> {
    lake: &'a Lake,
    landing: &'a dyn Objects,
    data_set: &'a str,
    revision: &'a str,
    profile: Option<&'a str>,
}

impl One<'_> {
    /// Nothing when another import is running.
    fn import(&self, assets: &[Object], known_at: Timestamp, behind: bool) -> Outcome<Option<RevisionSummary>> {
        let failed = |text: String| {
            let text = format!("revision {} of data set {} is not in the lake: {text}", self.revision, self.data_set);
            Trouble::new(What::IngestFailed, text)
        };
        let folder = tempfile::tempdir()
            .context("cannot make a temporary folder")
            .map_err(|error| failed(format!("{error:#}")))?;
        let mut paths = Vec::new();
        for (at, asset) in assets.iter().enumerate() {
            // A folder each: two assets may have the same name.
            let place = folder.path().join(at.to_string());
            std::fs::create_dir(&place)
                .map_err(|error| failed(format!("cannot write `{}`: {error}", place.display())))?;
            let name = asset.path.rsplit('/').next().unwrap_or_default();
            let place = place.join(name);
            self.landing.download(&asset.path, &place)?;
            paths.push(place);
        }
        let mut refused_assets: Vec<RefusedAsset> = Vec::new();
        let summary = loop {
            if paths.is_empty() {
                let reasons: Vec<_> = refused_assets.iter().map(|one| one.reason.as_str()).collect();
                return Err(failed(format!("none of its {} files can be read: {}", assets.len(), reasons.join("; "))));
            }
            match self.try_import(&paths, known_at, behind) {
                Ok(summary) => break summary,
                Err(LakeError::Locked { .. }) => return Ok(None),
                Err(error) => match at_fault(&error) {
                    Some(path) if paths.contains(&path) => {
                        paths.retain(|one| *one != path);
                        let asset = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        // The folder is ours and says nothing to anybody.
                        let reason = error.to_string().replace(&path.display().to_string(), &asset);
                        refused_assets.push(RefusedAsset { asset, reason });
                    }
                    _ => {
                        let what = match &error {
                            LakeError::Store { .. } => What::Transient,
                            _ => What::IngestFailed,
                        };
                        return Err(Trouble { what, ..failed(format!("{:#}", anyhow::Error::new(error))) });
                    }
                },
            }
        };
        let ImportSummary { read, stored, unchanged, quarantined, .. } = summary;
        Ok(Some(RevisionSummary {
            data_set: self.data_set.to_owned(),
            revision: self.revision.to_owned(),
            read,
            stored,
            unchanged,
            quarantined,
            refused_assets,
        }))
    }

    fn try_import(&self, paths: &[PathBuf], known_at: Timestamp, behind: bool) -> Result<ImportSummary, LakeError> {
        let request = ImportRequest {
            paths: paths.to_vec(),
            profile: self.profile.map(str::to_owned),
            symbol: None,
            known_at: Some(known_at),
            // So that the same revisions make the same lake, whenever they are taken in.
            now: known_at,
            strict: false,
            behind,
        };
        self.lake.import(&request, &mut |_| {})
    }
}

/// The one file that makes an import fail.
fn at_fault(error: &LakeError) -> Option<PathBuf> {
    match error {
        LakeError::Intake(error) => error.file().map(PathBuf::from),
        _ => None,
    }
}
