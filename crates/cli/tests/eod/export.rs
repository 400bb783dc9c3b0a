//! Each revision is exported once, whatever happens in between.

use algotrading::eod::What;
use algotrading::eod::export::{Exported, export};
use domain::Timestamp;

use crate::support::{Crash, Dying, Place, Vendor, at};

const NOW: &str = "2013-03-02T00:00:00Z";

fn vendor(place: &Place) -> Vendor {
    let revisions = vec![("r1", "2013-02-28T23:00:00Z"), ("r2", "2013-03-01T23:00:00Z")];
    Vendor { revisions, landing: place.path("landing"), ..Vendor::default() }
}

fn sets() -> Vec<String> {
    vec!["eod-us".to_owned()]
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(at(NOW).nanos() + seconds * 1_000_000_000)
}

/// How often jobs of a revision were started.
fn started(vendor: &Vendor, revision: &str) -> u32 {
    let jobs = vendor.jobs.lock().unwrap();
    jobs.iter().filter(|job| job.0 == format!("eod-us/{revision}")).map(|job| job.1).sum()
}

#[test]
fn a_job_that_is_at_work_is_followed_and_not_started_again() {
    let place = Place::new();
    let vendor = Vendor { slow: 2, ..vendor(&place) };
    let call = |seconds| export(&vendor, &place.landing(), &place.records(), &sets(), later(seconds)).unwrap();
    let answers: Vec<Exported> = (0..4).map(call).collect();
    assert_eq!(answers.iter().map(|one| one.done).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(answers[0].running.len(), 2);
    assert_eq!((answers[2].exported.len(), answers[2].already), (2, 0));
    assert_eq!((answers[3].exported.len(), answers[3].already), (0, 2));
    assert_eq!([started(&vendor, "r1"), started(&vendor, "r2")], [1, 1]);
}

#[test]
fn a_process_that_dies_at_any_call_costs_no_revision_and_exports_none_twice() {
    let mut crashes = 0;
    for crash_at in 0.. {
        let mut came = false;
        for after in [false, true] {
            let place = Place::new();
            let (vendor, records) = (vendor(&place), place.records());
            let crash = Crash::at(crash_at, after);
            let first = export(&Dying(&crash, &vendor), &place.landing(), &Dying(&crash, &records), &sets(), at(NOW));
            came |= crash.came();
            crashes += u32::from(first.is_err());
            // Whoever comes next waits until the claim of the dead is void.
            let mut seconds = 61;
            let done = loop {
                let answer = export(&vendor, &place.landing(), &records, &sets(), later(seconds)).unwrap();
                if answer.done {
                    break answer;
                }
                seconds += 61;
                assert!(seconds < 1_000, "call {crash_at}, after: {after}");
            };
            assert_eq!(done.exported.len() + done.already, 2);
            assert_eq!([started(&vendor, "r1"), started(&vendor, "r2")], [1, 1], "call {crash_at}, after: {after}");
        }
        if !came {
            break;
        }
    }
    assert!(crashes > 20, "only {crashes} crashes were tried");
}

#[test]
fn many_at_once_export_a_revision_once() {
    for _ in 0..20 {
        let place = Place::new();
        let (vendor, records, landing) = (vendor(&place), place.records(), place.landing());
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| export(&vendor, &landing, &records, &sets(), at(NOW)).unwrap());
            }
        });
        assert!(export(&vendor, &landing, &records, &sets(), at(NOW)).unwrap().done);
        // Two may see it waiting and start it, of which the service refuses one; a second job is what must not be.
        let jobs = vendor.jobs.lock().unwrap();
        let begun = |revision| jobs.iter().filter(|job| job.0 == revision && job.1 > 0).count();
        assert_eq!([begun("eod-us/r1"), begun("eod-us/r2")], [1, 1]);
    }
}

#[test]
fn a_job_that_fails_is_told_with_the_services_reason_and_holds_up_no_other() {
    let place = Place::new();
    let vendor = vendor(&place);
    vendor.broken.lock().unwrap().insert("eod-us/r1".into(), "the bucket's policy denies it".into());
    let (landing, records) = (place.landing(), place.records());
    let failed = export(&vendor, &landing, &records, &sets(), at(NOW)).unwrap_err();
    assert_eq!(failed.what, What::ExportFailed);
    assert_eq!(failed.text, "the export of revision r1 of data set eod-us failed: the bucket's policy denies it");
    assert_eq!(started(&vendor, "r2"), 1);
    // Once somebody has mended it, the day is started again.
    let mended = export(&vendor, &landing, &records, &sets(), later(5)).unwrap();
    assert_eq!((mended.done, mended.exported.len(), mended.already), (true, 1, 1));
    assert_eq!([started(&vendor, "r1"), started(&vendor, "r2")], [2, 1]);
}

#[test]
fn a_job_that_never_ends_is_given_up_and_one_that_lands_nothing_has_failed() {
    let place = Place::new();
    let endless = Vendor { slow: u32::MAX, ..vendor(&place) };
    let (landing, records) = (place.landing(), place.records());
    assert!(!export(&endless, &landing, &records, &sets(), at(NOW)).unwrap().done);
    let failed = export(&endless, &landing, &records, &sets(), later(3_700)).unwrap_err();
    assert!(failed.text.contains("has been at work for more than 60 minutes"), "{failed}");

    let place = Place::new();
    let elsewhere = Vendor { landing: place.path("elsewhere"), ..vendor(&place) };
    let failed = export(&elsewhere, &place.landing(), &place.records(), &sets(), at(NOW)).unwrap_err();
    assert!(failed.text.contains("says it is complete, and nothing has landed"), "{failed}");
}
