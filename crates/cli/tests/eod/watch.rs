//! Limits: broken ones are told once and tighten what a strategy may do; figures that are missing break them.

use algotrading::eod::control::{self, Entry, Mode};
use algotrading::eod::tables::{self, Cell};
use algotrading::eod::trade::trade;
use algotrading::eod::watch::{Ports, Watched, Which, watch};
use algotrading::eod::{Outcome, What};
use algotrading::live::requests::Ask;
use lake::Lake;
use ports::embedded::{KeptFigures, KeptNotices};
use ports::records::{Key, Put, Records};
use serde_json::json;

use crate::support::{Place, at, date, root};

const NOW: &str = "2013-03-02T02:00:00Z";

struct Watch {
    place: Place,
    notices: KeptNotices,
    figures: KeptFigures,
}

impl Watch {
    fn new(limits: &str) -> Self {
        let place = Place::new();
        place.write("lake/strategies/sma.toml", "");
        if !limits.is_empty() {
            place.write("lake/watch/limits.toml", limits);
        }
        Self { place, notices: KeptNotices::default(), figures: KeptFigures::default() }
    }

    fn equity(&self, return_1d: Option<f64>, drawdown: f64) {
        let money = |amount: i64| Cell::Units(amount * 1_000_000);
        let row = vec![
            Cell::Date(date("2013-03-01")),
            "sma".into(),
            money(90),
            money(10),
            money(10),
            money(100),
            return_1d.map_or(Cell::Nothing, Cell::Number),
            Cell::Number(drawdown),
            "run".into(),
        ];
        let bytes = tables::write("equity", &[row]).unwrap();
        self.place.write("lake/equity/sma/2013-03-01.parquet", bytes);
    }

    fn run(&self, which: Which, now: &str) -> Outcome<Watched> {
        let records = self.place.records();
        let ports = Ports { records: &records, figures: &self.figures, notices: &self.notices };
        watch(&Lake::create(&self.place.lake()).unwrap(), ports, which, at(now))
    }

    fn day(&self) -> Watched {
        self.run(Which::Session(date("2013-03-01")), NOW).unwrap()
    }

    fn mode(&self, session: &str) -> Mode {
        control::mode(&control::read(&self.place.records(), "sma").unwrap().entries, date(session))
    }
}

#[test]
fn within_the_limits_there_are_figures_and_no_words() {
    let watch = Watch::new("");
    watch.equity(Some(-0.01), -0.05);
    assert_eq!(watch.day().breaches, []);
    assert!(watch.notices.take().is_empty());
    let figures: Vec<_> = watch.figures.take().into_iter().map(|one| (one.name, one.value)).collect();
    assert_eq!(
        figures,
        [("Equity", 100.0), ("Drawdown", 0.05), ("DailyReturn", -0.01), ("Breach", 0.0), ("Breach", 0.0)]
    );
    assert_eq!(watch.mode("2013-03-04"), Mode::Normal);
}

#[test]
fn the_strictest_step_reached_is_taken_from_the_next_session_on_and_told_once() {
    for (loss, action, mode) in [
        (0.025, "warn", Mode::Normal),
        (0.04, "reduce_only", Mode::ReduceOnly),
        (0.06, "cancel", Mode::Cancel),
        (0.08, "flatten", Mode::Flatten),
        (0.5, "flatten", Mode::Flatten),
    ] {
        let ladder = "daily_loss = { warn = 0.02, reduce_only = 0.04, cancel = 0.06, flatten = 0.08 }";
        let watch = Watch::new(&format!("[limits]\n{ladder}\n"));
        watch.equity(Some(-loss), -0.0);
        for _ in 0..3 {
            let breaches = watch.day().breaches;
            assert_eq!(breaches.len(), 1);
            assert_eq!(breaches[0].action, action);
        }
        let told = watch.notices.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].0.contains("limit of sma broken on 2013-03-01"), "{told:?}");
        // The first of March was a Friday.
        assert_eq!((watch.mode("2013-03-01"), watch.mode("2013-03-04")), (Mode::Normal, mode));
    }
}

#[test]
fn a_figure_that_is_missing_or_damaged_breaks_the_limit() {
    let watch = Watch::new("");
    // A strategy that has never run holds nothing.
    let breaches = watch.day().breaches;
    assert!(breaches[0].what.starts_with("there is no equity of 2013-03-01"), "{breaches:?}");
    assert_eq!((breaches[0].action.as_str(), watch.mode("2013-03-04")), ("warn", Mode::Normal));
    watch.place.write("lake/equity/sma/2013-02-28.parquet", "of the day before");
    assert_eq!(watch.day().breaches[0].action, "reduce_only");
    assert_eq!(watch.mode("2013-03-04"), Mode::ReduceOnly);
    watch.place.write("lake/equity/sma/2013-03-01.parquet", "not Parquet");
    assert_eq!(watch.day().breaches.len(), 1);
    let breaches = watch.figures.take().into_iter().filter(|one| one.name == "Breach" && one.value == 1.0);
    assert_eq!(
        breaches.map(|one| one.dimensions.len()).collect::<Vec<_>>(),
        [1, 0, 1, 0, 1, 0],
        "of the strategy, and of all"
    );
}

#[test]
fn only_a_person_lifts_what_is_in_force() {
    let watch = Watch::new("");
    let records = watch.place.records();
    let entry = |mode| Entry { from: date("2013-03-04"), mode, reason: "x".into(), by: "Ada".into(), at: at(NOW) };
    assert!(control::add(&records, "sma", &entry(Mode::Cancel), false).unwrap());
    assert!(!control::add(&records, "sma", &entry(Mode::ReduceOnly), false).unwrap());
    assert_eq!(watch.mode("2013-03-05"), Mode::Cancel);
    assert!(control::add(&records, "sma", &entry(Mode::Normal), true).unwrap());
    assert_eq!(watch.mode("2013-03-05"), Mode::Normal);
}

#[test]
fn what_people_accept_stands_beside_what_stops_a_strategy_and_never_in_its_way() {
    let watch = Watch::new("");
    let records = watch.place.records();
    let request = |ask: &str, reason: &str| json!({"ask": ask, "by": "Ada", "reason": reason, "at": NOW});
    let key = Key::new("control", "sma");
    let requests = json!([
        request("accept", "a late dividend"), {"ask": {"control": "normal"}, "by": "Ada", "reason": "x", "at": NOW},
        request("reenable", ""), "nonsense", request("reenable", "the splits of today"),
    ]);
    let body = json!({ "entries": [], "requests": requests });
    assert_eq!(records.put(&key, &body, 0).unwrap(), Put::Stored);
    let entry =
        Entry { from: date("2013-03-04"), mode: Mode::Flatten, reason: "x".into(), by: "Ada".into(), at: at(NOW) };
    assert!(control::add(&records, "sma", &entry, false).unwrap());
    assert_eq!(watch.mode("2013-03-05"), Mode::Flatten);
    assert_eq!(records.get(&key).unwrap().unwrap().body["requests"], requests, "an entry leaves them as they are");
    let told: Vec<_> = control::read(&records, "sma").unwrap().requests().collect();
    let obeyed: Vec<_> = told.iter().flatten().map(|request| request.ask.clone()).collect();
    assert_eq!(obeyed, [Ask::Accept, Ask::Reenable]);
    let refused: Vec<_> = told.iter().filter_map(|request| request.as_ref().err()).collect();
    for (refused, words) in refused.iter().zip(["a mode belongs among the entries", "a reason is needed", "nonsense"]) {
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(refused.len(), 3);
}

#[test]
fn a_day_that_never_ran_is_an_alarm_once_it_is_due() {
    let watch = Watch::new("");
    watch.equity(Some(0.0), 0.0);
    // Four hours after the close of Friday, and on the Sunday after it.
    for now in ["2013-03-02T01:00:01Z", "2013-03-03T12:00:00Z"] {
        let breaches = watch.run(Which::LastDue, now).unwrap().breaches;
        assert_eq!(breaches[0].what, "the end of day of 2013-03-01 has not finished: it was never started");
    }
    assert_eq!(watch.notices.take().len(), 1);
    assert!(watch.figures.take().iter().any(|one| one.name == "MissingRun" && one.value == 1.0));
}

#[test]
fn an_alarm_has_the_session_looked_at_that_has_just_closed() {
    let watch = Watch::new("");
    watch.equity(Some(-0.06), -0.06);
    // The day of Friday runs until one o'clock at night, and is not due before.
    let breaches = watch.run(Which::LastOver, "2013-03-01T23:40:00Z").unwrap().breaches;
    assert!(breaches.iter().any(|one| one.action == "reduce_only"), "{breaches:?}");
    assert_eq!(watch.mode("2013-03-04"), Mode::ReduceOnly);
    assert!(!watch.figures.take().iter().any(|one| one.name == "MissingRun"));
}

#[test]
fn limits_that_make_no_sense_are_told_with_their_key() {
    for (limits, said) in [
        ("[limits.daily_loss]\nwarn = 3\n", "limits.daily_loss.warn is 3; it must be a fraction"),
        ("[limits.drawdown]\nwarn = 0.2\nflatten = 0.1\n", "limits.drawdown.flatten is 0.1, less than a milder step"),
        ("[limit]\n", "unknown field `limit`"),
        ("[strategies.sma]\nmissing = \"sell\"\n", "unknown variant `sell`"),
        ("[[", "line"),
    ] {
        let watch = Watch::new(limits);
        let failed = watch.run(Which::Session(date("2013-03-01")), NOW).unwrap_err();
        assert!(failed.what == What::BadInput && failed.text.contains(said), "{failed}");
        assert!(failed.text.contains("watch/limits.toml"), "{failed}");
    }
}

/// Position of each session by the recorded fills.
fn held(place: &Place, session: &str) -> f64 {
    let journal = place.path(&format!("lake/reports/ema/{session}/journal.jsonl"));
    let mut reader = journal::open(&journal).unwrap();
    let mut held = 0.0;
    for entry in reader.by_ref() {
        if let engine::Event::Filled(fill) = entry.unwrap().event {
            held += fill.quantity.to_f64();
        }
    }
    held
}

#[test]
fn a_strategy_obeys_from_the_session_on_that_it_was_told() {
    let place = Place::new();
    let sample = root().join("data/sample/daily_adjusted_IBM.csv");
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_algotrading"))
        .args(["data", "import", sample.to_str().unwrap(), "--lake", &place.lake()])
        .output()
        .unwrap();
    assert!(done.status.success());
    let run = "data.symbols = [\"IBM\"]\ndata.from = 2012-01-03\n[strategy]\nname = \"ema\"\nfast = 2\nslow = 5\nsize = 100\n";
    place.write("lake/strategies/ema.toml", run);
    let records = place.records();
    let day = |session: &str| trade(&place.lake(), &records, "ema", date(session)).unwrap();
    let free = day("2012-06-01");
    assert_ne!(held(&place, "2012-06-01"), 0.0);
    let entry = Entry {
        from: date("2012-06-04"),
        mode: Mode::Flatten,
        reason: "drawdown".into(),
        by: "watch-pnl".into(),
        at: at(NOW),
    };
    control::add(&records, "ema", &entry, false).unwrap();
    let closing = day("2012-06-04");
    assert_eq!((closing.orders, closing.fills), (1, 0));
    assert_ne!(closing.run_id, free.run_id);
    // The order meets the next session, and nothing is opened any more.
    assert_eq!(day("2012-06-05").fills, 1);
    assert_eq!(held(&place, "2012-06-05"), 0.0);
    let quiet = day("2012-06-29");
    assert_eq!((quiet.orders, held(&place, "2012-06-29")), (0, 0.0));
}
