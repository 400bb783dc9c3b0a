//! Revisions into the lake: in any order, with damaged files among them, once.

use algotrading::eod::export::export;
use algotrading::eod::ingest::{Ingested, Settings, ingest};
use algotrading::eod::{Outcome, What};
use lake::{Adjust, Lake};
use ports::embedded::FolderExchange;

use crate::support::{Place, at, tree};

const HEADER: &str = "dt,sym,open,high,low,close,vol\n";

fn run(place: &Place, now: &str, bytes_max: u64) -> Outcome<Ingested> {
    let exchange = FolderExchange::new(place.path("products"), place.path("landing"));
    let (landing, records) = (place.landing(), place.records());
    let data_sets = vec!["eod-us".to_owned()];
    assert!(export(&exchange, &landing, &records, &data_sets, at(now)).unwrap().done);
    let lake = Lake::create(&place.lake()).unwrap();
    ingest(&lake, &landing, &records, &Settings { data_sets, bytes_max, profile: None }, at(now))
}

fn rows(day: &str, close: u32) -> String {
    format!("{HEADER}{day},XYZ,{close},{close},{close},{close},{close}00\n")
}

fn closes(place: &Place) -> Vec<(String, String)> {
    let symbol = domain::Symbol::new("XYZ").unwrap();
    let shown = Lake::open(&place.lake()).unwrap().show(&symbol, None, None, None, Adjust::None).unwrap();
    shown.iter().map(|bar| (bar.dt.to_string(), bar.close.to_string())).collect()
}

fn bars(place: &Place) -> Vec<String> {
    let all = tree(&place.path("lake/bars_daily"));
    all.keys().cloned().collect()
}

#[test]
fn a_revision_is_taken_in_once() {
    let place = Place::new();
    place.publish("r1", "2013-02-28T23:00:00Z", &[("a.csv", &rows("2013-02-28", 10))]);
    let first = run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap();
    assert_eq!((first.done, first.revisions.len(), first.revisions[0].stored), (true, 1, 1));
    let before = tree(&place.path("lake"));
    let again = run(&place, "2013-03-01T01:00:00Z", u64::MAX).unwrap();
    assert_eq!((again.done, again.revisions.len()), (true, 0));
    assert_eq!(tree(&place.path("lake")), before);
}

#[test]
fn a_crash_between_the_import_and_its_record_costs_nothing() {
    let place = Place::new();
    place.publish("r1", "2013-02-28T23:00:00Z", &[("a.csv", &rows("2013-02-28", 10))]);
    run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap();
    let before = bars(&place);
    std::fs::remove_dir_all(place.path("lake/records/ingest%23eod-us")).unwrap();
    let again = run(&place, "2013-03-01T01:00:00Z", u64::MAX).unwrap();
    assert_eq!((again.revisions[0].stored, again.revisions[0].unchanged), (0, 1));
    assert_eq!(bars(&place), before);
}

#[test]
fn a_revision_that_turns_up_late_fills_gaps_and_supersedes_nothing() {
    let place = Place::new();
    let correction = format!("{}2013-03-01,XYZ,12,12,12,12,1200\n", rows("2013-02-28", 11));
    place.publish("r2", "2013-03-01T23:00:00Z", &[("b.csv", &correction)]);
    run(&place, "2013-03-02T00:00:00Z", u64::MAX).unwrap();
    let old = format!("{}2013-02-28,XYZ,10,10,10,10,1000\n", rows("2013-02-27", 9));
    place.publish("r1", "2013-02-28T23:00:00Z", &[("a.csv", &old)]);
    let late = run(&place, "2013-03-02T01:00:00Z", u64::MAX).unwrap();
    assert_eq!((late.revisions[0].stored, late.revisions[0].unchanged), (1, 1));
    let wanted = [("2013-02-27", "9"), ("2013-02-28", "11"), ("2013-03-01", "12")];
    assert_eq!(closes(&place), wanted.map(|(day, close)| (day.to_owned(), close.to_owned())));
}

#[test]
fn a_lake_depends_on_what_was_published_and_not_on_when_somebody_looked() {
    let bytes = |nows: [&str; 2]| {
        let place = Place::new();
        for (revision, published, now) in
            [("r1", "2013-02-28T23:00:00Z", nows[0]), ("r2", "2013-03-01T23:00:00Z", nows[1])]
        {
            let day = &published[..10];
            place.publish(revision, published, &[("a.csv", &rows(day, 10 + u32::from(revision == "r2")))]);
            run(&place, now, u64::MAX).unwrap();
        }
        let mut all = tree(&place.path("lake"));
        all.retain(|name, _| !name.starts_with("records/"));
        all
    };
    assert_eq!(
        bytes(["2013-03-01T00:00:00Z", "2013-03-02T00:00:00Z"]),
        bytes(["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"])
    );
}

#[test]
fn one_damaged_file_of_several_is_refused_by_name_and_the_others_go_in() {
    let place = Place::new();
    let files = [("a.csv", rows("2013-02-28", 10)), ("b.csv", "\u{1}not a table".to_owned()), ("c.csv", String::new())];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    place.publish("r1", "2013-02-28T23:00:00Z", &files);
    let done = run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap();
    let summary = &done.revisions[0];
    assert_eq!((done.read, done.quarantined), (summary.read, summary.quarantined));
    assert_eq!((done.done, summary.stored), (true, 1));
    let refused: Vec<_> = summary.refused_assets.iter().map(|one| one.asset.as_str()).collect();
    assert_eq!(refused, ["b.csv", "c.csv"]);
    for one in &summary.refused_assets {
        assert!(one.reason.contains(&one.asset) && !one.reason.contains("/tmp"), "{}", one.reason);
    }
}

#[test]
fn a_revision_without_a_readable_file_fails_and_the_next_is_not_taken_before_it() {
    let place = Place::new();
    place.publish("r1", "2013-02-28T23:00:00Z", &[("a.csv", "nothing")]);
    place.publish("r2", "2013-03-01T23:00:00Z", &[("a.csv", &rows("2013-03-01", 10))]);
    let failed = run(&place, "2013-03-02T00:00:00Z", u64::MAX).unwrap_err();
    assert_eq!(failed.what, What::IngestFailed);
    assert!(
        failed.text.starts_with("revision r1 of data set eod-us is not in the lake: none of its 1 files"),
        "{failed}"
    );
    assert!(!place.path("lake/bars_daily").exists());
}

#[test]
fn what_is_too_large_for_here_is_handed_over() {
    let place = Place::new();
    place.publish("r1", "2013-02-28T23:00:00Z", &[("a.csv", &rows("2013-02-28", 10))]);
    let answer = run(&place, "2013-03-01T00:00:00Z", 10).unwrap();
    assert_eq!((answer.done, answer.oversized, answer.revisions.len()), (false, true, 0));
    assert!(run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap().done);
}

#[test]
fn a_revision_from_the_future_is_refused_with_both_times() {
    let place = Place::new();
    place.publish("r1", "2033-02-28T23:00:00Z", &[("a.csv", &rows("2013-02-28", 10))]);
    let failed = run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap_err();
    assert!(failed.text.contains("2033-02-28T23:00:00Z") && failed.text.contains("2013-03-01T00:00:00Z"), "{failed}");
}

#[test]
fn another_import_is_waited_for() {
    let place = Place::new();
    place.publish("r1", "2013-02-28T23:00:00Z", &[("a.csv", &rows("2013-02-28", 10))]);
    place.write("lake/.lock", "process 1 on elsewhere");
    let lock = std::fs::OpenOptions::new().write(true).open(place.path("lake/.lock")).unwrap();
    lock.lock().unwrap();
    let waiting = run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap();
    assert_eq!((waiting.done, waiting.oversized, waiting.revisions.len()), (false, false, 0));
    drop(lock);
    assert!(run(&place, "2013-03-01T00:00:00Z", u64::MAX).unwrap().done);
}
