//! Signals: the same from an endpoint as from this process, and nothing kept of a wrong answer.

use std::sync::Mutex;

use algotrading::eod::What;
use algotrading::eod::score::score;
use algotrading::serving::body::{Form, answer};
use algotrading::shelf;
use lake::Lake;
use ports::endpoint::Endpoint;
use ports::{Answer, CallError, Kind};

use crate::support::{Place, at, date, lost, root, tree};

const NOW: &str = "2013-03-02T00:00:00Z";

/// A lake with the sample and the shipped model.
fn place() -> Place {
    let place = Place::new();
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_algotrading"))
        .args(["demo", "--out", place.path("").to_str().unwrap()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    place
}

/// The served model, with a way to spoil what it says.
struct Served<'a> {
    model: Mutex<models::Model>,
    spoil: &'a (dyn Fn(String) -> Answer<String> + Sync),
}

impl Endpoint for Served<'_> {
    fn invoke(&self, content_type: &str, body: Vec<u8>) -> Answer<Vec<u8>> {
        let form = Form::of(Some(content_type), None).unwrap();
        let said = answer(&mut self.model.lock().unwrap(), form, &body).unwrap();
        (self.spoil)(said).map(String::into_bytes)
    }
}

fn served<'a>(lake: &Lake, spoil: &'a (dyn Fn(String) -> Answer<String> + Sync)) -> Served<'a> {
    Served { model: Mutex::new(shelf::model(lake, "forecast").unwrap().1), spoil }
}

#[test]
fn an_endpoint_and_this_process_give_the_same_signals_and_they_are_kept_once() {
    let (here, there) = (place(), place());
    let session = date("2013-03-01");
    let lake = Lake::open(&here.lake()).unwrap();
    let scored = score(&lake, "forecast", None, session, at(NOW)).unwrap();
    assert_eq!((scored.signals, scored.endpoint), (5, false));
    assert!(scored.model.starts_with("forecast@"));
    let far = Lake::open(&there.lake()).unwrap();
    let endpoint = served(&far, &Ok);
    assert_eq!(score(&far, "forecast", Some(&endpoint), session, at(NOW)).unwrap().signals, 5);
    let signals = |place: &Place| tree(&place.path("lake/signals"));
    assert_eq!(signals(&here), signals(&there));
    let before = signals(&here);
    assert_eq!(score(&lake, "forecast", None, session, at("2014-01-01T00:00:00Z")).unwrap().signals, 5);
    assert_eq!(signals(&here), before);
}

#[test]
fn a_wrong_answer_fails_the_step_and_leaves_nothing() {
    let place = place();
    let lake = Lake::open(&place.lake()).unwrap();
    let run = |spoil: &(dyn Fn(String) -> Answer<String> + Sync)| {
        let endpoint = served(&lake, spoil);
        let failed = score(&lake, "forecast", Some(&endpoint), date("2013-03-01"), at(NOW)).unwrap_err();
        assert!(!place.path("lake/signals").exists());
        failed
    };
    let short = run(&|said| Ok(said.lines().skip(1).map(|line| format!("{line}\n")).collect()));
    assert_eq!((short.what, short.text.ends_with("it has 4 rows for 5")), (What::ModelFailed, true), "{short}");
    let shape = run(&|_| Ok("{\"predictions\": []}".into()));
    assert_eq!(shape.what, What::ModelFailed);
    let down = run(&|_| Err(lost("InvokeEndpoint")));
    assert_eq!(down.what, What::Transient);
    let refused = run(&|_| {
        Err(CallError { kind: Kind::Invalid, message: "row 1 has 3 numbers".into(), ..lost("InvokeEndpoint") })
    });
    assert!(refused.what == What::ModelFailed && refused.text.contains("row 1 has 3 numbers"), "{refused}");
}

#[test]
fn no_model_is_no_failure_and_an_unknown_one_is() {
    let place = place();
    let lake = Lake::open(&place.lake()).unwrap();
    assert_eq!(score(&lake, "", None, date("2013-03-01"), at(NOW)).unwrap().signals, 0);
    let unknown = score(&lake, "nobody", None, date("2013-03-01"), at(NOW)).unwrap_err();
    assert!(unknown.text.contains("there is no model `nobody`"), "{unknown}");
    let early = score(&lake, "forecast", None, date("1999-03-01"), at(NOW)).unwrap_err();
    assert_eq!(early.text, "the lake has no bar of 1999-03-01");
    assert!(root().exists());
}
