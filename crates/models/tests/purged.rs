//! What may train is what purgedcv leaves (`tests/oracles/make_purged.py`).
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use domain::SessionDate;
use models::split::{Span, purged};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    days: Vec<i32>,
    horizon: i32,
    embargo: usize,
    judged: Vec<usize>,
    train: Vec<usize>,
}

#[test]
fn purging_and_embargo_are_those_of_purgedcv() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/golden/models/purged.json");
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(cases.len() >= 5);
    // Every day is a session here, so that days and sessions count the same.
    let sessions: Vec<SessionDate> = (0..200).map(SessionDate::from_days).collect();
    for (at, case) in cases.iter().enumerate() {
        let span =
            |day: &i32| Span { from: SessionDate::from_days(*day), to: SessionDate::from_days(day + case.horizon) };
        let rows: Vec<Span> = case.days.iter().map(span).collect();
        assert!(!case.train.is_empty() && case.train.len() + case.judged.len() < rows.len(), "case {at} purges");
        assert_eq!(purged(&rows, &case.judged, &sessions, case.embargo), case.train, "case {at}");
    }
}
