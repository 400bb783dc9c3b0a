//! Exports: every published revision lands once.
//!
//! Each revision has a record that only one can write at a time. Its states follow the job's: `claimed` (somebody is
//! creating a job), `created` (there is one; it may have been started), `exported`, `failed`. A job is started only
//! after its id is recorded, so whoever comes after a crash follows that job; one that was created and never
//! recorded waits for ever and exports nothing.

use domain::Timestamp;
use ports::Kind;
use ports::exchange::{Exchange, JobState, Revision};
use ports::objects::Objects;
use ports::records::{Key, Record, Records};
use serde::{Deserialize, Serialize};

use super::{Outcome, Trouble, What, body, put};

/// After how many seconds without a job a claim is void: its owner died.
const CLAIM_SECONDS_MAX: i64 = 60;
/// After how many seconds a job is given up.
const JOB_SECONDS_MAX: i64 = 3_600;

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Whether every revision has landed.
    pub done: bool,
    /// Those that this call found landed.
    pub exported: Vec<Name>,
    /// Those whose job is at work.
    pub running: Vec<Name>,
    /// How many had landed before.
    pub already: usize,
}

/// Which revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Of the data set.
    pub data_set: String,
    /// Its id.
    pub revision: String,
}

/// How far the export of a revision is; the record of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRecord {
    /// `claimed`, `created`, `exported` or `failed`.
    pub state: String,
    /// Of the revision.
    pub revision: String,
    /// When the provider published it.
    pub published_at: Timestamp,
    /// When this state began.
    pub since: Timestamp,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Jobs there were.
    pub attempts: u32,
}

/// Where the records of a data set's exports stand.
#[must_use]
pub fn partition(data_set: &str) -> String {
    format!("export#{data_set}")
}

/// Brings every export of some data sets one step on.
///
/// # Errors
/// The service cannot be asked, or a job failed; the others have gone on all the same.
pub fn export(
    exchange: &dyn Exchange,
    landing: &dyn Objects,
    records: &dyn Records,
    data_sets: &[String],
    now: Timestamp,
) -> Outcome<Exported> {
    let mut answer = Exported::default();
    let mut failures = Vec::new();
    for data_set in data_sets {
        let known = records.list(&partition(data_set))?;
        for revision in exchange.revisions(data_set)? {
            let one = One { exchange, landing, records, data_set, revision: &revision, now };
            let known = known.iter().find(|(key, _)| *key == one.key()).map(|(_, record)| record.clone());
            let name = Name { data_set: data_set.clone(), revision: revision.id.clone() };
            match one.advance(known) {
                Ok(Stands::Before) => answer.already += 1,
                Ok(Stands::Now) => answer.exported.push(name),
                Ok(Stands::Running) => answer.running.push(name),
                Err(trouble) if trouble.what == What::ExportFailed => failures.push(trouble.text),
                Err(trouble) => return Err(trouble),
            }
        }
    }
    if !failures.is_empty() {
        return Err(Trouble::new(What::ExportFailed, failures.join("; ")));
    }
    answer.done = answer.running.is_empty();
    Ok(answer)
}

enum Stands {
    /// Landed before this call.
    Before,
    /// Landed, and this call recorded it.
    Now,
    /// On its way.
    Running,
}

struct One<'a> {
    exchange: &'a dyn Exchange,
    landing: &'a dyn Objects,
    records: &'a dyn Records,
    data_set: &'a str,
    revision: &'a Revision,
    now: Timestamp,
}

impl One<'_> {
    fn key(&self) -> Key {
        // The first published stands first.
        Key::new(partition(self.data_set), format!("{}#{}", self.revision.published_at, self.revision.id))
    }

    fn failed(&self, reason: &str) -> Trouble {
        let text =
            format!("the export of revision {} of data set {} failed: {reason}", self.revision.id, self.data_set);
        Trouble::new(What::ExportFailed, text)
    }

    fn advance(&self, known: Option<Record>) -> Outcome<Stands> {
        let Some(known) = known else { return self.claim(0, 0) };
        let record: ExportRecord = body(&self.key(), &known)?;
        let seconds = (self.now.nanos() - record.since.nanos()) / 1_000_000_000;
        match (record.state.as_str(), record.job.clone()) {
            ("exported", _) => Ok(Stands::Before),
            ("failed", _) => self.claim(known.version, record.attempts),
            ("claimed", _) if seconds > CLAIM_SECONDS_MAX => self.claim(known.version, record.attempts),
            ("claimed", _) => Ok(Stands::Running),
            (_, Some(job)) => self.follow(known.version, record, &job, seconds),
            (state, None) => {
                Err(Trouble::new(What::BadRecord, format!("the record {} is `{state}` without a job", self.key())))
            }
        }
    }

    fn record(&self, state: &str, attempts: u32) -> Outcome<ExportRecord> {
        let published_at = Timestamp::parse(&self.revision.published_at).map_err(|error| {
            self.failed(&format!("its time of publication, {}, is {error}", self.revision.published_at))
        })?;
        let revision = self.revision.id.clone();
        Ok(ExportRecord {
            state: state.to_owned(),
            revision,
            published_at,
            since: self.now,
            job: None,
            reason: None,
            attempts,
        })
    }

    fn claim(&self, seen: u64, attempts: u32) -> Outcome<Stands> {
        let claimed = self.record("claimed", attempts + 1)?;
        if !put(self.records, &self.key(), &claimed, seen)? {
            return Ok(Stands::Running);
        }
        let job = match self.exchange.create_export(self.data_set, &self.revision.id) {
            Err(error) if !error.kind.passes() => {
                let reason = error.to_string();
                let failed = ExportRecord { state: "failed".to_owned(), reason: Some(reason.clone()), ..claimed };
                put(self.records, &self.key(), &failed, seen + 1)?;
                return Err(self.failed(&reason));
            }
            job => job?,
        };
        let created = ExportRecord { state: "created".to_owned(), job: Some(job.clone()), ..claimed };
        if !put(self.records, &self.key(), &created, seen + 1)? {
            // Somebody took the claim over and has a job of its own; this one was never started.
            return Ok(Stands::Running);
        }
        self.follow(seen + 2, created, &job, 0)
    }

    fn follow(&self, seen: u64, record: ExportRecord, job: &str, seconds: i64) -> Outcome<Stands> {
        let mut state = self.exchange.job(job)?;
        if state == JobState::Waiting {
            match self.exchange.start(job) {
                // Another call has started it.
                Err(error) if error.kind == Kind::Conflict => {}
                started => started?,
            }
            state = self.exchange.job(job)?;
        }
        let reason = match state {
            JobState::Waiting | JobState::Running if seconds > JOB_SECONDS_MAX => {
                format!("its job {job} has been at work for more than {} minutes", JOB_SECONDS_MAX / 60)
            }
            JobState::Waiting | JobState::Running => return Ok(Stands::Running),
            JobState::Completed if self.landed()? => {
                let exported = ExportRecord { state: "exported".to_owned(), since: self.now, ..record };
                return Ok(if put(self.records, &self.key(), &exported, seen)? { Stands::Now } else { Stands::Before });
            }
            JobState::Completed => format!("its job {job} says it is complete, and nothing has landed"),
            JobState::Failed(reason) => reason,
        };
        let failed =
            ExportRecord { state: "failed".to_owned(), since: self.now, reason: Some(reason.clone()), ..record };
        put(self.records, &self.key(), &failed, seen)?;
        Err(self.failed(&reason))
    }

    fn landed(&self) -> Outcome<bool> {
        Ok(!self.landing.list(&format!("{}/{}", self.data_set, self.revision.id))?.is_empty())
    }
}
