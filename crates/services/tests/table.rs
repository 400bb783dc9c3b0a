//! A lease that two threads use: one writes lines, another keeps it and ends the program when they cannot be written.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use domain::Timestamp;
use journal::{Lines as _, LinesError};
use ports::embedded::{FolderRecords, KeptFigures, KeptLines};
use ports::lines::{Held, Lease, Line, Lines};
use ports::{Answer, CallError, Kind};
use serde_json::Value;
use services::Here;
use services::table::{Keeper, Table, now_ms};

/// A table that refuses two transactions at once, as DynamoDB does, and fails when told to.
#[derive(Default)]
struct Touchy {
    lines: KeptLines,
    busy: AtomicBool,
    gone: AtomicBool,
}

fn failure(message: &str) -> CallError {
    let (service, call, resource) = ("DynamoDB", "TransactWriteItems", "journal x".to_owned());
    CallError { service, call, resource, kind: Kind::Service, message: message.to_owned() }
}

impl Lines for Touchy {
    fn claim(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Held> {
        self.lines.claim(journal, owner, now_ms, until_ms)
    }

    fn revoke(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Lease> {
        self.lines.revoke(journal, owner, now_ms, until_ms)
    }

    fn lease(&self, journal: &str) -> Answer<Option<Lease>> {
        self.lines.lease(journal)
    }

    fn read(&self, journal: &str, from: u64) -> Answer<Vec<Line>> {
        self.lines.read(journal, from)
    }

    fn append(&self, journal: &str, lines: &[Line], lease: &Lease) -> Answer<Held> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(failure("not reachable"));
        }
        if self.busy.swap(true, Ordering::SeqCst) {
            return Err(failure("TransactionConflict"));
        }
        thread::sleep(Duration::from_millis(2));
        let answer = self.lines.append(journal, lines, lease);
        self.busy.store(false, Ordering::SeqCst);
        answer
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(now_ms() * 1_000_000)
}

fn keeper(table: &Arc<Touchy>) -> Keeper {
    wait(table, 6, &|_| {}).unwrap()
}

fn wait(table: &Arc<Touchy>, lease_ms: i64, log: &dyn Fn(Value)) -> Result<Keeper, LinesError> {
    let folder = tempfile::tempdir().unwrap();
    let here = Here {
        program: "test",
        strategy: "x".to_owned(),
        location: String::new(),
        records: &FolderRecords(folder.path().to_owned()),
        figures: &KeptFigures::default(),
        stop: &AtomicBool::new(false),
        now,
        log,
        lease_ms,
        beaten: Cell::new(0),
    };
    let table: Table = Arc::clone(table) as _;
    Keeper::wait(&here, &table, "x", "test 1")
}

#[test]
fn lines_and_renewals_never_stand_in_each_others_way() {
    let table = Arc::new(Touchy::default());
    let keeper = keeper(&table);
    let mut lines = keeper.lines(now_ms);
    assert_eq!(lines.next_line().unwrap(), None);
    let writer = thread::spawn(move || {
        for seq in 0..100 {
            lines.append(seq, b"{}").unwrap();
            lines.sync().unwrap();
        }
    });
    let mut renewed = 0;
    while !writer.is_finished() {
        // It is due each millisecond.
        keeper.renew(now_ms()).unwrap();
        renewed += 1;
    }
    writer.join().unwrap();
    assert!(renewed > 10);
    assert_eq!(table.read("x", 0).unwrap().len(), 100);
}

#[test]
fn what_could_not_be_written_by_one_thread_ends_the_other() {
    let table = Arc::new(Touchy::default());
    let keeper = keeper(&table);
    let mut lines = keeper.lines(now_ms);
    lines.append(0, b"{}").unwrap();
    table.gone.store(true, Ordering::SeqCst);
    lines.sync().unwrap_err();
    table.gone.store(false, Ordering::SeqCst);
    // Though the table answers again: what is held in memory is no longer what is written down.
    let error = keeper.renew(now_ms()).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the journal x");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("not reachable"));
}

#[test]
fn who_waits_for_the_lease_of_a_guardian_says_so_once_and_is_not_told_to_stop_it() {
    let table = Arc::new(Touchy::default());
    table.revoke("x", "guardian 7", now_ms(), now_ms() + 1_500).unwrap();
    let log = Mutex::new(Vec::new());
    let keeper = wait(&table, 60_000, &|line| log.lock().unwrap().push(line)).unwrap();
    let said = log.into_inner().unwrap();
    let words: Vec<&str> = said.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(words, ["waits for the lease of the guardian, which has taken over from the runner", "holds the lease"]);
    assert_eq!((&said[0]["owner"], &said[0]["ends_in_s"]), (&Value::from("guardian 7"), &Value::from(1)));
    // One that writes when it is taken over from.
    table.revoke("x", "guardian 8", now_ms(), now_ms() + 60_000).unwrap();
    let mut lines = keeper.lines(now_ms);
    lines.append(0, b"{}").unwrap();
    let error = lines.sync().unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.starts_with("the guardian has taken over from the runner") && why.contains("guardian 8"), "{why}");
    assert!(why.contains("control/x") && why.contains("60 s") && !why.contains("stop it first"), "{why}");
}

#[test]
fn who_waits_for_another_program_names_it_before_long() {
    let table = Arc::new(Touchy::default());
    table.claim("x", "strategy-runner 3", now_ms(), now_ms() + 1_200).unwrap();
    let log = Mutex::new(Vec::new());
    wait(&table, 1_000, &|line| log.lock().unwrap().push(line)).unwrap();
    let said = log.into_inner().unwrap();
    assert_eq!((&said[0]["message"], &said[0]["owner"]), (&"waits for the lease".into(), &"strategy-runner 3".into()));
    assert_eq!(said.len(), 2);
}
