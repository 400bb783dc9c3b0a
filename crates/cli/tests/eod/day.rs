//! The day in one process, as a user runs it.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Place, root, tree};

const RUN: &str = "\
[data]
symbols = [\"AAPL\", \"FB\", \"GOOG\", \"IBM\", \"MSFT\"]
from = 2000-03-01
[account]
cash = 1000000
[strategy]
name = \"ema\"
fast = 3
slow = 8
size = 100
";

fn place() -> Place {
    let place = Place::new();
    place.publish_sample("2013-02-21");
    place.write("lake/strategies/ema.toml", RUN);
    let forecast = RUN.split("[strategy]").next().unwrap().replace("2000-03-01", "2009-01-02");
    let forecast = format!("{forecast}[strategy]\nname = \"forecast\"\nmodel = \"forecast\"\nlong_threshold = 0.4\n");
    place.write("lake/strategies/forecast.toml", forecast);
    let model = root().join("data/models/forecast");
    let imported = run(&place, &["demo", "--out", place.path("demo").to_str().unwrap()]);
    assert!(imported.status.success());
    for (name, bytes) in tree(&place.path("demo/lake/models")) {
        place.write(&format!("lake/models/{name}"), bytes);
    }
    assert!(model.join("model.json").exists());
    place
}

fn run(place: &Place, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_algotrading")).args(arguments).current_dir(place.folder.path()).output().unwrap()
}

fn eod(place: &Place, date: &str, more: &[&str]) -> Output {
    run(place, &[&["eod", "--lake", "lake", "--date", date, "--json"], more].concat())
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the system wrote, without what says when.
fn written(place: &Place) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut all = tree(&place.path("lake"));
    all.retain(|name, _| !name.starts_with("records/") && !name.starts_with("signals/"));
    all
}

#[test]
fn a_day_leaves_signals_orders_equity_and_tear_sheets_and_the_second_time_nothing() {
    let place = place();
    let first = answer(&eod(&place, "2013-02-21", &["--exchange", "products"]));
    assert_eq!(first["state"], "finished");
    let steps: Vec<_> = first["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["plan", "export", "ingest", "crawl", "check", "score", "trade", "trade", "watch", "report"]);
    let all = tree(&place.path("lake"));
    for file in [
        "signals/forecast/2013-02-21.parquet",
        "orders/ema/2013-02-21.parquet",
        "fills/ema/2013-02-21.parquet",
        "equity/ema/2013-02-21.parquet",
        "runs/ema/2013-02-21.parquet",
        "runs/forecast/2013-02-21.parquet",
        "reports/ema/2013-02-21/report.html",
        "reports/ema/2013-02-21/journal.jsonl",
        "reports/forecast/2013-02-21/metrics.json",
    ] {
        assert!(all.contains_key(file), "{file} is missing");
    }

    let notice = &first["notices"][0];
    assert_eq!(notice[0], "algotrading: end of day 2013-02-21 is done");
    let text = notice[1].as_str().unwrap();
    assert!(
        text.contains("revision r2 of eod-us: 5 rows read, 5 stored") && text.contains("ema (EMA crossover 3/8"),
        "{text}"
    );

    // A run file that comes after the day is for the next one.
    assert_eq!(first["reports"].as_array().unwrap().len(), 2);
    let before = written(&place);
    let second = answer(&eod(&place, "2013-02-21", &["--exchange", "products"]));
    assert_eq!((second["state"].as_str(), second["notices"].as_array().unwrap().len()), (Some("finished"), 0));
    assert_eq!(written(&place), before);
}

#[test]
fn two_machines_write_the_same_bytes() {
    let (here, there) = (place(), place());
    for place in [&here, &there] {
        answer(&eod(place, "2013-02-21", &["--exchange", "products"]));
    }
    let (here, there) = (written(&here), written(&there));
    assert_eq!(here.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
    for (name, bytes) in here {
        assert!(bytes == there[&name], "{name} differs");
    }
}

#[test]
fn a_holiday_ends_early_and_says_so() {
    let place = Place::new();
    for (date, reason) in [("2013-03-29", "2013-03-29, a Friday"), ("2013-03-02", "2013-03-02, a Saturday")] {
        let closed = answer(&eod(&place, date, &[]));
        assert_eq!((closed["state"].as_str(), closed["steps"].as_array().unwrap().len()), (Some("closed"), 1));
        assert!(closed["steps"][0]["said"].as_str().unwrap().ends_with(reason), "{closed}");
    }
}

#[test]
fn a_day_that_fails_says_why_and_can_be_run_again_when_it_is_mended() {
    let place = place();
    std::fs::rename(place.path("products/eod-us/r2"), place.path("r2")).unwrap();
    let failed = eod(&place, "2013-02-21", &["--exchange", "products"]);
    assert_eq!(failed.status.code(), Some(1));
    let timeline: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(timeline["state"], "failed");
    assert_eq!(timeline["notices"][0][0], "algotrading: end of day 2013-02-21 FAILED");
    let plain = run(&place, &["eod", "--lake", "lake", "--date", "2013-02-21"]);
    let said = String::from_utf8(plain.stderr).unwrap();
    assert!(
        said.starts_with("error: the end of day of 2013-02-21 failed after the step") && said.lines().count() == 1,
        "{said}"
    );
    std::fs::rename(place.path("r2"), place.path("products/eod-us/r2")).unwrap();
    let mended = answer(&eod(&place, "2013-02-21", &["--exchange", "products"]));
    assert_eq!(mended["state"], "finished");
}

#[test]
fn what_cannot_be_is_one_sentence() {
    let place = Place::new();
    let said = |date: &str, lake: &str| {
        let output = run(&place, &["eod", "--lake", lake, "--date", date]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("2029-03-01", "lake").contains("run its end of day after that"));
    assert!(said("1970-01-01", "lake").contains("1990-01-01"));
    assert!(said("2013-02-21", "lake").contains("there is no lake at `lake`"));
    assert!(said("2013-02-21", "s3://bucket/lake").contains("deploy the stack for a lake on S3"));
    assert!(!place.path("lake").exists());
}
