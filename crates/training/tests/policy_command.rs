//! From the sample to a policy that trades: learnt by the command, judged, kept, promoted, loaded.
#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use serde_json::Value;

const FILE: &str = "data.symbols = \"AAPL, FB, IBM\"\nmodel.units = 8\nsplit.test_from = 2010-01-04\n\
                    training = { rounds = 4, episodes = 8, steps = 32 }\ncosts.commission_bps = 5\n";

fn run_file(place: &Place, from: &str, model: &str, strategy: &str) -> String {
    place.write(
        "run.toml",
        &format!(
            "data = {{ symbols = [\"AAPL\", \"IBM\"], from = \"{from}\" }}\n\
             strategy = {{ name = \"{strategy}\", model = \"{model}\" }}\n"
        ),
    )
}

#[test]
fn a_policy_is_trained_promoted_and_traded() {
    let place = Place::new();
    let file = place.write("train.toml", FILE);
    let said = place.trained(&["policy", &file]);
    for words in ["32 episodes of 32 decisions in 4 rounds", "buy and hold", "random", "on the test sessions it"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // The same seed and data: the same version.
    let again = place.trained(&["policy", &file, "--promote"]);
    assert_eq!(said.split("kept as ").nth(1).unwrap()[..23], again.split("kept as ").nth(1).unwrap()[..23]);
    let models = place.json(&["model", "list"]);
    let card = &models[0]["card"];
    assert_eq!(models.as_array().unwrap().len(), 1);
    assert_eq!(card["architecture"]["kind"], "lstm");
    assert_eq!(card["trained_on"]["to"], "2009-12-31", "nothing of what judges it");
    let metrics = &card["metrics"];
    let sum: f64 = ["short", "flat", "long"].iter().map(|side| metrics[format!("test.{side}")].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9 && metrics["test.hold.gain"].as_f64().unwrap() > 0.0, "{metrics}");
    assert!(place.algotrading(&["model", "list"]).unwrap().contains("buy and hold"));

    let out = place.path("out");
    let run = run_file(&place, "2005-01-03", "policy", "policy");
    assert!(place.json(&["backtest", &run, "--out", &out])["notes"].to_string().contains("are in sample"));
    let run = run_file(&place, "2010-01-04", "policy", "policy");
    let traded = place.json(&["backtest", &run, "--out", &out]);
    assert!(!traded["notes"].to_string().contains("in sample"), "{}", traded["notes"]);
    assert_eq!(place.json(&["lookahead-check", &run])["leaks"], Value::Array(vec![]));
    let wishes = place.json(&["predict", "policy", "IBM", "--from", "2013-02-25"]);
    assert_eq!(wishes.as_array().unwrap().len(), 5);
    for wish in wishes.as_array().unwrap() {
        let of = |side: &str| wish[side].as_f64().unwrap();
        let largest = of("short").max(of("flat")).max(of("long"));
        assert!((of("short") + of("flat") + of("long") - 1.0).abs() < 1e-5);
        let side = ["short", "flat", "long"][(wish["side"].as_i64().unwrap() + 1) as usize];
        assert_eq!(of(side), largest);
    }
}

#[test]
fn the_training_sees_nothing_of_the_later_sessions() {
    let place = Place::new();
    let file = place.write("train.toml", FILE);
    let card = |to: &str| {
        let set = format!("data.to={to}");
        let said = place.trained(&["policy", &file, "--set", &set, "--set", "data.symbols=AAPL, IBM", "--json"]);
        serde_json::from_str::<Value>(&said).unwrap()["card"].clone()
    };
    let (short, long) = (card("2010-06-30"), card("2012-06-29"));
    assert_eq!(short["weights"], long["weights"]);
    assert_eq!(short["scaler"], long["scaler"]);
    assert_eq!(short["metrics"]["training.policy.gain"], long["metrics"]["training.policy.gain"]);
    assert_ne!(short["metrics"]["test.hold.gain"], long["metrics"]["test.hold.gain"]);
}

#[test]
fn a_model_of_the_other_kind_is_refused() {
    let place = Place::new();
    place.trained(&["policy", &place.write("train.toml", FILE), "--promote", "--set", "training.rounds=1"]);
    let run = run_file(&place, "2010-01-04", "policy", "forecast");
    let said = place.algotrading(&["backtest", &run]).unwrap_err();
    assert!(said.contains("strategy.model") && said.contains("is a policy, and a forecast is wanted"), "{said}");
}

#[test]
fn a_training_file_that_makes_no_sense_is_one_sentence() {
    let place = Place::new();
    let file = place.write("train.toml", FILE);
    let set = |setting: &str, words: &[&str]| place.refuses(&["policy", &file, "--set", setting], words);
    set("training.round=3", &["training.round", "did you mean `rounds`"]);
    set("training.rounds=0", &["training.rounds is 0; it must be from 1 to 10000"]);
    set("training.steps=1", &["training.steps is 1"]);
    set("training.clip=0", &["training.clip is 0; it must be more than 0"]);
    set("training.discount=1.5", &["training.discount is 1.5; it must be from 0 to 1"]);
    set("model.units=0", &["model.units is 0"]);
    set("model.name=a b", &["model.name", "no name for a model"]);
    set("trading.size=0", &["trading.size"]);
    set("data.symbols=IBN", &["IBN", "IBM"]);
    set("split.test_from=2013-02-20", &["sessions are left to judge by", "set split.test_from earlier"]);
    set("split.test_from=2000-01-20", &["no symbol has the 49 bars before 2000-01-20", "split.test_from later"]);
    set("training.steps=9000", &["no symbol has the 9017 bars", "training.steps smaller"]);
    place.refuses(&["policy", "none.toml"], &["there is no run file `none.toml`", "algotrading train policy --help"]);
}
