//! From the sample to a model that trades: trained by the command, kept, promoted, loaded, and never believed blindly.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use algotrading::backtest::{self, Prepared};
use algotrading::config::RunConfig;
use algotrading::{lookahead, shelf};
use common::{Place, data};
use domain::{Bar, Decisions, InstrumentId, Price, Ratio, SessionDate, Strategy, View};
use lake::Lake;
use serde_json::Value;
use strategies::Inputs;

/// A run file that trades the forecast from a date on.
fn run_file(place: &Place, from: &str) -> String {
    place.write(
        "run.toml",
        &format!(
            "data = {{ symbols = [\"AAPL\", \"IBM\"], from = \"{from}\" }}\n[strategy]\nname = \"forecast\"\n\
             model = \"forecast\"\nlong_threshold = 0.3\nshort_threshold = 0.3\n"
        ),
    )
}

/// `UPDATE=1 cargo test -p training --test command` writes the model anew.
#[test]
fn the_demos_model_is_what_its_command_makes() {
    let place = Place::new();
    place.trained(&["forecast", data("models/forecast.toml").to_str().unwrap(), "--promote"]);
    let entry = place.json(&["model", "show", "forecast"]);
    let folder = format!("{}/models/forecast/{}", place.lake(), entry["version"].as_str().unwrap());
    for file in ["model.json", "weights.safetensors"] {
        let made = fs::read(format!("{folder}/{file}")).unwrap();
        let shipped = data("models/forecast").join(file);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&shipped, &made).unwrap();
        }
        assert!(fs::read(&shipped).unwrap() == made, "{file} is old; UPDATE=1 cargo test -p training --test command");
    }
}

#[test]
fn a_model_is_trained_promoted_and_traded() {
    let place = Place::new();
    let file = place.write(
        "train.toml",
        "data.symbols = \"AAPL, IBM\"\nmodel.hidden = [8]\ntraining = { epochs = 3 }\nsplit = { folds = 2 }\n",
    );
    let run = run_file(&place, "2000-03-01");
    let refused = place.algotrading(&["backtest", &run]).unwrap_err();
    assert!(refused.contains("there is no model `forecast`; train one"), "{refused}");
    let said = place.trained(&["forecast", &file]);
    for words in ["rows to train", "cross-validated", "logistic", "AUC", "algotrading model promote forecast@"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let refused = place.algotrading(&["backtest", &run]).unwrap_err();
    assert!(refused.contains("algotrading model promote forecast@"), "{refused}");
    place.trained(&["forecast", &file, "--set", "training.seed=2", "--promote"]);
    let models = place.json(&["model", "list"]);
    let models = models.as_array().unwrap();
    assert_eq!(models.len(), 2);
    let promoted: Vec<&Value> = models.iter().filter(|model| model["promoted"] == true).collect();
    assert!(promoted.len() == 1 && promoted[0]["card"]["seed"] == 2);
    let versions: Vec<String> =
        models.iter().map(|model| format!("forecast@{}", model["version"].as_str().unwrap())).collect();
    assert!(place.algotrading(&["model", "compare", &versions[0], &versions[1]]).unwrap().contains("test.long.model"));

    let out = place.path("out");
    let in_sample = place.json(&["backtest", &run, "--out", &out]);
    assert!(in_sample["notes"].to_string().contains("are in sample"), "{}", in_sample["notes"]);
    assert!(in_sample["trades"]["closed"].as_u64().unwrap() > 20, "{}", in_sample["trades"]);
    // The run's id stands for the model that was loaded, not for its name.
    place.algotrading(&["model", "promote", &versions[0]]).unwrap();
    place.algotrading(&["model", "promote", &versions[1]]).unwrap();
    let other = place.path("other");
    let first = place.json(&["backtest", &run, "--out", &other])["run_id"].clone();
    place.algotrading(&["model", "promote", &versions[0]]).unwrap();
    assert_ne!(place.json(&["backtest", &run, "--out", &other])["run_id"], first);

    let run = run_file(&place, "2011-01-03");
    let out_of_sample = place.json(&["backtest", &run, "--out", &other]);
    assert!(!out_of_sample["notes"].to_string().contains("in sample"), "{}", out_of_sample["notes"]);
    assert_eq!(place.json(&["lookahead-check", &run])["leaks"], Value::Array(vec![]));
    let said = place.json(&["predict", "forecast", "IBM", "--from", "2013-02-25"]);
    assert_eq!(said.as_array().unwrap().len(), 5, "{said}");
    assert!(said[0]["long"].as_f64().unwrap() > 0.0 && said[0]["dt"] == "2013-02-25");
}

#[test]
fn a_model_that_was_changed_does_not_trade() {
    let place = Place::new();
    let file = place.write("train.toml", "data.symbols = \"IBM\"\ntraining = { epochs = 1 }\nsplit = { folds = 0 }\n");
    place.trained(&["forecast", &file, "--promote"]);
    let run = run_file(&place, "2011-01-03");
    let entry = place.json(&["model", "show", "forecast"]);
    let weights =
        format!("{}/models/forecast/{}/weights.safetensors", place.lake(), entry["version"].as_str().unwrap());
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let said = place.algotrading(&["backtest", &run]).unwrap_err();
    assert!(said.contains("strategy.model") && said.contains("SHA-256 differs"), "{said}");
}

#[test]
fn a_training_file_that_makes_no_sense_is_one_sentence() {
    let place = Place::new();
    let file = place.write("train.toml", "data.symbols = \"IBM\"\n");
    let set = |setting: &str, words: &[&str]| place.refuses(&["forecast", &file, "--set", setting], words);
    set("training.epoch=3", &["training.epoch", "did you mean `epochs`"]);
    set("training.epochs=-1", &["training.epochs is -1; it must be a whole number"]);
    set("training.epochs=0", &["training.epochs is 0"]);
    set("training.dropout=1", &["training.dropout is 1"]);
    set("labels.stop=0", &["labels.stop is 0"]);
    set("labels.prices=low", &["labels.prices", "high_low"]);
    set("data.symbols=IBN", &["IBN", "IBM"]);
    set("data.from=2013-02-01", &["IBM has", "leave it out or change the dates"]);
    set("split.validation_from=2012-12-03", &["split"]);
    set("split.test_from=2013-02-20", &["test rows, and at least 50"]);
    set("split.folds=1", &["at least 2"]);
    set("model.name=../up", &["model.name"]);
    set("model.hidden=[0]", &["model.hidden is [0]"]);
    place.refuses(
        &["forecast", "none.toml"],
        &["there is no run file `none.toml`", "algotrading train forecast --help"],
    );
}

/// A rule that computes what it knows from the whole market it was given, a session ahead of what it is shown.
struct Peeking {
    closes: BTreeMap<(InstrumentId, SessionDate), Price>,
    inner: Box<dyn Strategy + Send>,
}

impl Strategy for Peeking {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let later = self.closes.range((bar.instrument, bar.session)..).nth(1);
        let close = later.filter(|((of, _), _)| *of == bar.instrument).map_or(bar.close, |(_, close)| *close);
        self.inner.on_bar(&Bar { close, ..*bar }, view, decisions);
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        self.inner.on_split(instrument, ratio);
    }
}

#[test]
fn features_that_peek_are_found_out() {
    let place = Place::new();
    place.trained(&[
        "forecast",
        data("models/forecast.toml").to_str().unwrap(),
        "--promote",
        "--set",
        "training.epochs=2",
    ]);
    let lake = Lake::open(&place.lake()).unwrap();
    let config = RunConfig::load(Path::new(&run_file(&place, "2010-01-04")), [], &[]).unwrap();
    let model = shelf::model(&lake, "forecast").unwrap().1;
    let prepared: Prepared =
        backtest::prepare(config, &lake, Inputs { model: Some(model), ..Inputs::default() }).unwrap();
    let honest = lookahead::check(&prepared, 6, |_| prepared.strategy()).unwrap();
    assert!(honest.leaks.is_empty() && honest.decisions > 100);
    let peeking = lookahead::check(&prepared, 6, |cut| {
        let market = cut.map_or_else(|| prepared.market.clone(), |cut| prepared.market.cut(cut));
        let closes = market.bars().iter().map(|bar| ((bar.instrument, bar.session), bar.close)).collect();
        Ok(Peeking { closes, inner: prepared.strategy()? })
    })
    .unwrap();
    assert_eq!(peeking.leaks.len(), peeking.cuts.len(), "{:?}", peeking.leaks);
}
