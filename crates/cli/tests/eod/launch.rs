//! A strategy's task is started once for an attempt, and a failure says why.

use algotrading::eod::What;
use algotrading::eod::launch::{INGEST, RUNNER, Wanted, complain, launch};
use lake::Lake;
use ports::tasks::TaskState;

use crate::support::{Crash, Dying, Fleet, Place, at, date};

const NOW: &str = "2013-03-02T00:00:00Z";

fn stopped(code: i32) -> TaskState {
    TaskState::Stopped { exit_code: Some(code), reason: "Essential container in task exited".into() }
}

#[test]
fn a_task_is_followed_to_its_end_and_not_started_again_after_it() {
    let place = Place::new();
    let (lake, records, fleet) = (Lake::create(&place.lake()).unwrap(), place.records(), Fleet::default());
    *fleet.ends.lock().unwrap() = vec![TaskState::Running, TaskState::Running, stopped(0)];
    let call = || launch(&lake, &fleet, &records, &Wanted::Strategy("sma"), date("2013-03-01"), at(NOW)).unwrap();
    let done: Vec<bool> = (0..5).map(|_| call().done).collect();
    assert_eq!(done, [false, false, true, true, true]);
    let started = fleet.started.lock().unwrap();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].name, RUNNER);
    let environment = [("STRATEGY", "sma"), ("SESSION", "2013-03-01")];
    assert_eq!(started[0].environment, environment.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(started[0].token.len(), 64);
}

#[test]
fn a_process_that_dies_at_any_call_starts_no_second_task() {
    for crash_at in 0.. {
        let mut came = false;
        for after in [false, true] {
            let place = Place::new();
            let (lake, records, fleet) = (Lake::create(&place.lake()).unwrap(), place.records(), Fleet::default());
            let crash = Crash::at(crash_at, after);
            let (dying_fleet, dying_records) = (Dying(&crash, &fleet), Dying(&crash, &records));
            let wanted = Wanted::Strategy("sma");
            let _ = launch(&lake, &dying_fleet, &dying_records, &wanted, date("2013-03-01"), at(NOW));
            came |= crash.came();
            let done = launch(&lake, &fleet, &records, &wanted, date("2013-03-01"), at(NOW)).unwrap();
            assert!(done.done, "call {crash_at}, after: {after}");
            assert_eq!(fleet.started.lock().unwrap().len(), 1, "call {crash_at}, after: {after}");
        }
        if !came {
            break;
        }
    }
}

#[test]
fn a_task_that_fails_says_why_and_only_a_new_call_tries_again() {
    let place = Place::new();
    let (lake, records, fleet) = (Lake::create(&place.lake()).unwrap(), place.records(), Fleet::default());
    *fleet.ends.lock().unwrap() = vec![stopped(1)];
    let (session, wanted) = (date("2013-03-01"), Wanted::Strategy("sma"));
    let failed = launch(&lake, &fleet, &records, &wanted, session, at(NOW)).unwrap_err();
    assert_eq!(failed.what, What::TaskFailed);
    let text = "the task of strategy sma for 2013-03-01 ended with exit code 1: Essential container in task exited (task 0, attempt 1)";
    assert_eq!(failed.text, text);

    *fleet.ends.lock().unwrap() = vec![stopped(1)];
    complain(&records, &wanted, session, "the lake has no bars of IBM");
    let failed = launch(&lake, &fleet, &records, &wanted, session, at(NOW)).unwrap_err();
    assert!(failed.text.contains("exit code 1: the lake has no bars of IBM (task 1, attempt 2)"), "{failed}");

    assert!(launch(&lake, &fleet, &records, &wanted, session, at(NOW)).unwrap().done);
    assert_eq!(fleet.started.lock().unwrap().len(), 3);
}

#[test]
fn a_container_that_never_ran_is_told_as_such() {
    let place = Place::new();
    let (lake, records, fleet) = (Lake::create(&place.lake()).unwrap(), place.records(), Fleet::default());
    let reason = "CannotPullContainerError: no such image".to_owned();
    *fleet.ends.lock().unwrap() = vec![TaskState::Stopped { exit_code: None, reason }];
    let failed = launch(&lake, &fleet, &records, &Wanted::Strategy("sma"), date("2013-03-01"), at(NOW)).unwrap_err();
    assert!(failed.text.contains("never ran: CannotPullContainerError"), "{failed}");
}

#[test]
fn an_import_task_is_started_anew_each_time_there_is_more() {
    let place = Place::new();
    let (lake, records, fleet) = (Lake::create(&place.lake()).unwrap(), place.records(), Fleet::default());
    for attempt in 1..=2 {
        let done = launch(&lake, &fleet, &records, &Wanted::Ingest, date("2013-03-01"), at(NOW)).unwrap();
        assert_eq!((done.done, done.attempt), (true, attempt));
    }
    assert!(fleet.started.lock().unwrap().iter().all(|one| one.name == INGEST));
}
