//! A task in a container, once for each strategy and session.
//!
//! The record says which attempt it is before the task is started, and the attempt makes the token: whoever comes after
//! a crash starts the same task, not a second one. A task that failed is started again only by a new call.

use domain::{SessionDate, Timestamp};
use lake::Lake;
use ports::Kind;
use ports::records::{Key, Records};
use ports::tasks::{TaskRequest, TaskState, Tasks};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Outcome, Trouble, What, body, put, trade};
use crate::backtest::hex;

/// Name of the container that runs a strategy.
pub const RUNNER: &str = "strategy-runner";
/// Name of the container that takes in what is too large for a function.
pub const INGEST: &str = "ingest-task";

/// What is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A strategy up to the session.
    Strategy(&'a str),
    /// The import of exported revisions.
    Ingest,
}

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// Whether the task has ended well.
    pub done: bool,
    /// Name of the strategy; empty for another task.
    pub strategy: String,
    /// Id of the task.
    pub task: String,
    /// Which attempt it was.
    pub attempt: u32,
}

/// How far a task is; the record of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TaskRecord {
    /// `starting`, `running`, `succeeded` or `failed`.
    state: String,
    attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    since: Timestamp,
}

/// What a task says of its own failure before it ends, because an exit code is no reason.
#[derive(Debug, Serialize, Deserialize)]
struct Complaint {
    reason: String,
}

fn partition(wanted: &Wanted<'_>) -> String {
    match wanted {
        Wanted::Strategy(name) => format!("task#{name}"),
        Wanted::Ingest => format!("task#{INGEST}"),
    }
}

fn complaint_key(wanted: &Wanted<'_>, session: SessionDate) -> Key {
    Key::new(format!("complaint#{}", partition(wanted)), session.to_string())
}

/// Leaves the reason why a task fails where its launcher looks for it; a failure to do so is no further failure.
pub fn complain(records: &dyn Records, wanted: &Wanted<'_>, session: SessionDate, reason: &str) {
    let key = complaint_key(wanted, session);
    if let Ok(seen) = records.get(&key) {
        let _ = put(records, &key, &Complaint { reason: reason.to_owned() }, seen.map_or(0, |seen| seen.version));
    }
}

/// Starts a task, or looks where it stands.
///
/// # Errors
/// It cannot be started, or ended without success.
pub fn launch(
    lake: &Lake,
    tasks: &dyn Tasks,
    records: &dyn Records,
    wanted: &Wanted<'_>,
    session: SessionDate,
    now: Timestamp,
) -> Outcome<Launched> {
    let key = Key::new(partition(wanted), session.to_string());
    let seen = records.get(&key)?;
    let version = seen.as_ref().map_or(0, |record| record.version);
    let known = seen.as_ref().map(|record| body::<TaskRecord>(&key, record)).transpose()?;
    let launcher = Launcher { lake, tasks, records, wanted, session, now, key };
    match known {
        None => launcher.start(version, 1),
        Some(TaskRecord { state, task: Some(task), attempt, .. }) if state == "running" => {
            launcher.follow(version, attempt, &task)
        }
        Some(TaskRecord { state, attempt, .. }) if state == "starting" => launcher.started(version, attempt),
        // An import has new work to do each time it is asked for.
        Some(TaskRecord { state, task, attempt, .. }) if state == "succeeded" && *wanted != Wanted::Ingest => {
            Ok(launcher.answer(true, task.unwrap_or_default(), attempt))
        }
        Some(TaskRecord { attempt, .. }) => launcher.start(version, attempt + 1),
    }
}

struct Launcher<'a> {
    lake: &'a Lake,
    tasks: &'a dyn Tasks,
    records: &'a dyn Records,
    wanted: &'a Wanted<'a>,
    session: SessionDate,
    now: Timestamp,
    key: Key,
}

impl Launcher<'_> {
    fn answer(&self, done: bool, task: String, attempt: u32) -> Launched {
        let strategy = match self.wanted {
            Wanted::Strategy(name) => (*name).to_owned(),
            Wanted::Ingest => String::new(),
        };
        Launched { done, strategy, task, attempt }
    }

    fn record(&self, state: &str, attempt: u32, task: Option<&str>) -> TaskRecord {
        TaskRecord { state: state.to_owned(), attempt, task: task.map(str::to_owned), since: self.now }
    }

    fn start(&self, version: u64, attempt: u32) -> Outcome<Launched> {
        if !put(self.records, &self.key, &self.record("starting", attempt, None), version)? {
            // Somebody else is at it.
            return Ok(self.answer(false, String::new(), attempt));
        }
        self.started(version + 1, attempt)
    }

    fn started(&self, version: u64, attempt: u32) -> Outcome<Launched> {
        let session = ("SESSION".to_owned(), self.session.to_string());
        let (name, environment) = match self.wanted {
            Wanted::Strategy(name) => (RUNNER, vec![("STRATEGY".to_owned(), (*name).to_owned()), session]),
            Wanted::Ingest => (INGEST, vec![session]),
        };
        let token = hex(&Sha256::digest(format!("{}\n{attempt}", self.key)));
        let request = TaskRequest { name: name.to_owned(), environment, token: token[..64].to_owned() };
        let task = self.tasks.start(&request)?;
        if put(self.records, &self.key, &self.record("running", attempt, Some(&task)), version)? {
            return self.follow(version + 1, attempt, &task);
        }
        Ok(self.answer(false, task, attempt))
    }

    fn follow(&self, version: u64, attempt: u32, task: &str) -> Outcome<Launched> {
        let failure = match self.tasks.state(task) {
            Ok(TaskState::Running) => return Ok(self.answer(false, task.to_owned(), attempt)),
            Ok(TaskState::Stopped { exit_code: Some(0), .. }) => None,
            Ok(TaskState::Stopped { exit_code, reason }) => Some((exit_code, reason)),
            // The service forgets tasks after an hour; what was written down tells.
            Err(error) if error.kind == Kind::NotFound => match self.wanted {
                Wanted::Strategy(name) if trade::is_recorded(self.lake, name, self.session)? => None,
                _ => Some((None, "the service has forgotten it".to_owned())),
            },
            Err(error) => return Err(error.into()),
        };
        let state = if failure.is_none() { "succeeded" } else { "failed" };
        put(self.records, &self.key, &self.record(state, attempt, Some(task)), version)?;
        let Some((exit_code, reason)) = failure else { return Ok(self.answer(true, task.to_owned(), attempt)) };
        let what = match self.wanted {
            Wanted::Strategy(name) => format!("the task of strategy {name} for {}", self.session),
            Wanted::Ingest => format!("the import task for {}", self.session),
        };
        let ended = exit_code.map_or_else(|| "never ran".to_owned(), |code| format!("ended with exit code {code}"));
        let mut text = format!("{what} {ended}");
        let key = complaint_key(self.wanted, self.session);
        let complaint = self.records.get(&key)?.and_then(|record| body::<Complaint>(&key, &record).ok());
        for reason in [complaint.map(|complaint| complaint.reason), Some(reason)].into_iter().flatten() {
            if !reason.is_empty() {
                text.push_str(&format!(": {reason}"));
                break;
            }
        }
        Err(Trouble::new(What::TaskFailed, format!("{text} (task {task}, attempt {attempt})")))
    }
}
