//! A vendor's folder, a lake, and ports that fail when they are told to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::Timestamp;
use ports::embedded::{FolderObjects, FolderRecords};
use ports::exchange::{Exchange, JobState, Revision};
use ports::records::{Key, Put, Record, Records};
use ports::tasks::{TaskRequest, TaskState, Tasks};
use ports::{Answer, CallError, Kind};
use serde_json::Value;

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(crate) fn date(text: &str) -> domain::SessionDate {
    domain::SessionDate::parse(text).unwrap()
}

pub(crate) fn lost(call: &'static str) -> CallError {
    CallError { service: "test", call, resource: "it".into(), kind: Kind::TimedOut, message: String::new() }
}

/// A folder with a lake, records, a landing place and data products.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn lake(&self) -> String {
        self.path("lake").display().to_string()
    }

    pub(crate) fn records(&self) -> FolderRecords {
        FolderRecords(self.path("lake/records"))
    }

    pub(crate) fn landing(&self) -> FolderObjects {
        FolderObjects(self.path("landing"))
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Publishes a revision of files.
    pub(crate) fn publish(&self, revision: &str, published_at: &str, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.write(&format!("products/eod-us/{revision}/{name}"), text);
        }
        let manifest = format!("{{\"published_at\": \"{published_at}\"}}");
        self.write(&format!("products/eod-us/{revision}/revision.json"), manifest);
    }

    /// Publishes the sample up to before a session, and the session.
    pub(crate) fn publish_sample(&self, session: &str) {
        let (before, after) = ("2013-02-20T23:00:00Z", format!("{session}T23:00:00Z"));
        for symbol in ["AAPL", "FB", "GOOG", "IBM", "MSFT"] {
            let name = format!("daily_adjusted_{symbol}.csv");
            let text = fs::read_to_string(root().join("data/sample").join(&name)).unwrap();
            let (header, rows) = text.split_once('\n').unwrap();
            let keep = |wanted: &dyn Fn(&str) -> bool| {
                let rows: Vec<_> = rows.lines().filter(|row| wanted(&row[..10])).collect();
                format!("{header}\n{}\n", rows.join("\n"))
            };
            self.publish("r1", before, &[(&name, &keep(&|day| day < session))]);
            self.publish("r2", &after, &[(&name, &keep(&|day| day == session))]);
        }
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below a folder with its bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Ends a process at one of its calls: before anything happens, or after, when the answer is lost.
#[derive(Debug)]
pub(crate) struct Crash {
    calls: AtomicUsize,
    at: usize,
    after: bool,
}

impl Crash {
    pub(crate) fn at(at: usize, after: bool) -> Self {
        Self { calls: AtomicUsize::new(0), at, after }
    }

    /// Whether it has come to pass.
    pub(crate) fn came(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at
    }

    fn around<T>(&self, name: &'static str, call: impl FnOnce() -> Answer<T>) -> Answer<T> {
        let count = self.calls.fetch_add(1, Ordering::SeqCst);
        // A process that died makes no further calls.
        if count > self.at || (count == self.at && !self.after) {
            return Err(lost(name));
        }
        let answer = call();
        if count == self.at { Err(lost(name)) } else { answer }
    }
}

/// Records whose process may die.
pub(crate) struct Dying<'a, T: ?Sized>(pub(crate) &'a Crash, pub(crate) &'a T);

impl Records for Dying<'_, FolderRecords> {
    fn get(&self, key: &Key) -> Answer<Option<Record>> {
        self.0.around("get", || self.1.get(key))
    }

    fn put(&self, key: &Key, body: &Value, seen: u64) -> Answer<Put> {
        self.0.around("put", || self.1.put(key, body, seen))
    }

    fn keys(&self, partition: &str) -> Answer<Vec<Key>> {
        self.0.around("keys", || self.1.keys(partition))
    }

    fn list(&self, partition: &str) -> Answer<Vec<(Key, Record)>> {
        self.0.around("list", || self.1.list(partition))
    }
}

/// A service that exports, and counts.
#[derive(Default)]
pub(crate) struct Vendor {
    pub(crate) revisions: Vec<(&'static str, &'static str)>,
    /// Job by job: its revision, how often it was started, and how often it was asked about since.
    pub(crate) jobs: Mutex<Vec<(String, u32, u32)>>,
    /// Revisions whose next job fails, with the reason.
    pub(crate) broken: Mutex<BTreeMap<String, String>>,
    /// How often a job says that it is running.
    pub(crate) slow: u32,
    pub(crate) landing: PathBuf,
}

impl Exchange for Vendor {
    fn revisions(&self, _data_set: &str) -> Answer<Vec<Revision>> {
        let revision = |(id, at): &(&str, &str)| Revision { id: (*id).into(), published_at: (*at).into() };
        Ok(self.revisions.iter().map(revision).collect())
    }

    fn create_export(&self, data_set: &str, revision: &str) -> Answer<String> {
        let mut jobs = self.jobs.lock().unwrap();
        jobs.push((format!("{data_set}/{revision}"), 0, 0));
        Ok((jobs.len() - 1).to_string())
    }

    fn start(&self, job: &str) -> Answer<()> {
        let mut jobs = self.jobs.lock().unwrap();
        let job = &mut jobs[job.parse::<usize>().unwrap()];
        job.1 += 1;
        if job.1 > 1 {
            return Err(CallError { kind: Kind::Conflict, ..lost("start") });
        }
        let folder = self.landing.join(&job.0);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("asset.csv"), "x").unwrap();
        Ok(())
    }

    fn job(&self, job: &str) -> Answer<JobState> {
        let mut jobs = self.jobs.lock().unwrap();
        let (revision, started, asked) = &mut jobs[job.parse::<usize>().unwrap()];
        if *started == 0 {
            return Ok(JobState::Waiting);
        }
        *asked += 1;
        if *asked <= self.slow {
            return Ok(JobState::Running);
        }
        let reason = self.broken.lock().unwrap().remove(revision);
        Ok(reason.map_or(JobState::Completed, JobState::Failed))
    }
}

impl Exchange for Dying<'_, Vendor> {
    fn revisions(&self, data_set: &str) -> Answer<Vec<Revision>> {
        self.0.around("revisions", || self.1.revisions(data_set))
    }

    fn create_export(&self, data_set: &str, revision: &str) -> Answer<String> {
        self.0.around("create_export", || self.1.create_export(data_set, revision))
    }

    fn start(&self, job: &str) -> Answer<()> {
        self.0.around("start", || self.1.start(job))
    }

    fn job(&self, job: &str) -> Answer<JobState> {
        self.0.around("job", || self.1.job(job))
    }
}

/// A service that runs containers, and counts.
#[derive(Default)]
pub(crate) struct Fleet {
    /// Token and environment of each task.
    pub(crate) started: Mutex<Vec<TaskRequest>>,
    /// How the next ones end.
    pub(crate) ends: Mutex<Vec<TaskState>>,
}

impl Tasks for Fleet {
    fn start(&self, request: &TaskRequest) -> Answer<String> {
        let mut started = self.started.lock().unwrap();
        if let Some(at) = started.iter().position(|one| one.token == request.token) {
            return Ok(at.to_string());
        }
        started.push(request.clone());
        Ok((started.len() - 1).to_string())
    }

    fn state(&self, _task: &str) -> Answer<TaskState> {
        let mut ends = self.ends.lock().unwrap();
        let well = TaskState::Stopped { exit_code: Some(0), reason: String::new() };
        Ok(if ends.is_empty() { well } else { ends.remove(0) })
    }
}

impl Tasks for Dying<'_, Fleet> {
    fn start(&self, request: &TaskRequest) -> Answer<String> {
        self.0.around("start", || self.1.start(request))
    }

    fn state(&self, task: &str) -> Answer<TaskState> {
        self.0.around("state", || self.1.state(task))
    }
}
