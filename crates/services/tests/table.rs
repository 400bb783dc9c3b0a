//! A lease that two threads use: one writes lines, another keeps it and ends the program when they cannot be written.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use domain::Timestamp;
use journal::Lines as _;
use ports::embedded::{FolderRecords, KeptFigures, KeptLines};
use ports::lines::{Held, Lease, Line, Lines};
use ports::{Answer, CallError, Kind};
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
    let folder = tempfile::tempdir().unwrap();
    let here = Here {
        program: "test",
        strategy: "x".to_owned(),
        location: String::new(),
        records: &FolderRecords(folder.path().to_owned()),
        figures: &KeptFigures::default(),
        stop: &AtomicBool::new(false),
        now,
        log: &|_| {},
        lease_ms: 6,
        beaten: Cell::new(0),
    };
    let table: Table = Arc::clone(table) as _;
    Keeper::wait(&here, &table, "x", "test 1").unwrap()
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
