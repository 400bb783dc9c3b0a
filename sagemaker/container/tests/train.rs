//! `train` keeps SageMaker's contract: hyperparameters and channels in, a model, metrics or a reason out, and a stop in
//! between changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use common::{Root, Server, data, signal};
use models::foreign::Nobody;
use models::{Card, Model};

const SHORT: [(&str, &str); 4] =
    [("training.epochs", "3"), ("split.folds", "0"), ("model.hidden", "[8]"), ("sagemaker_program", "train.py")];

fn metric(said: &str, name: &str) -> f64 {
    let mut found = said.lines().flat_map(|line| line.split(' ')).filter_map(|word| word.split_once('='));
    found.rfind(|(found, _)| *found == name).unwrap_or_else(|| panic!("no {name} in {said}")).1.parse().unwrap()
}

#[test]
fn a_forecast_is_trained_and_served() {
    let root = Root::with(&["IBM", "MSFT"]);
    let said = root.asks(&SHORT).trained();
    assert_eq!(metric(&said, "rows_quarantined"), 0.0);
    assert_eq!(metric(&said, "epoch"), 3.0);
    assert!(metric(&said, "validation_loss") > 0.5 && metric(&said, "test.long.model.log_loss") > 0.5, "{said}");
    let names: Vec<String> = root.model().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["model.json", "report.html", "weights.safetensors"]);
    let card = Card::read(&fs::read(root.path("model/model.json")).unwrap()).unwrap();
    assert_eq!(card.trained_on.unwrap().symbols.iter().map(|one| one.as_str()).collect::<Vec<_>>(), ["IBM", "MSFT"]);
    let server = Server::start(&mut root.command("serve"));
    assert_eq!(server.csv(&vec!["0.1"; 31].join(",")).status, 200);
}

#[test]
fn a_policy_is_trained_and_served() {
    let root = Root::with(&["IBM"]);
    let rounds = [("kind", "\"policy\""), ("training.rounds", "2"), ("training.episodes", "4"), ("model.units", "8")];
    let said = root.asks(&rounds).trained();
    assert_eq!(metric(&said, "round"), 2.0);
    assert!(metric(&said, "test.hold.gain").is_finite());
    let server = Server::start(&mut root.command("serve"));
    let row = vec![0.1; 31];
    let said = server.json(&serde_json::json!({ "instances": [[row, row], [row]] })).json();
    let sequences = said["predictions"].as_array().unwrap();
    assert_eq!(sequences.iter().map(|one| one.as_array().unwrap().len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(sequences[0][0], sequences[1][0], "each sequence starts anew");
    let csv = server.csv(&format!("{}\n", vec!["0.1"; 31].join(",")).repeat(2));
    assert_eq!(csv.body.lines().map(|line| line.split(',').count()).collect::<Vec<_>>(), [4, 4]);
    server.json(&serde_json::json!([[0.1, 0.2]])).refuses(400, &["instance 1, row 1 is a number"]);
}

fn run(root: &Root) -> Child {
    root.command("train").stdout(Stdio::piped()).spawn().unwrap()
}

fn wait_for_checkpoint(root: &Root, child: &mut Child) {
    let start = Instant::now();
    let there = || {
        fs::read_dir(root.path("checkpoints")).is_ok_and(|mut files| {
            files.any(|file| file.unwrap().path().extension().is_some_and(|extension| extension == "json"))
        })
    };
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stopped by each signal once, then left alone: the model of a job that was never stopped.
fn stopped_and_resumed(asked: &[(&str, &str)]) {
    let (whole, broken) = (Root::with(&["IBM"]), Root::with(&["IBM"]));
    whole.asks(asked).trained();
    broken.asks(asked);
    let mut child = run(&broken);
    wait_for_checkpoint(&broken, &mut child);
    signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert!(broken.model().is_empty() && !broken.path("output/failure").exists());
    let mut child = run(&broken);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said: Vec<String> = lines.by_ref().take_while(|line| !line.contains("resumed after pass")).collect();
    signal(&child, "TERM");
    said.extend(lines);
    let (said, code) = (said.join("\n"), child.wait().unwrap().code());
    assert!(code == Some(143) && said.contains("told to stop after pass"), "{said}");
    assert!(broken.trained().contains("resumed after pass"));
    assert!(broken.model() == whole.model(), "the models differ");
}

#[test]
fn a_forecast_that_was_killed_ends_with_the_same_bytes() {
    stopped_and_resumed(&[("training.epochs", "500"), ("training.patience", "500"), ("split.folds", "0")]);
}

#[test]
fn a_policy_that_was_killed_ends_with_the_same_bytes() {
    stopped_and_resumed(&[("kind", "policy"), ("training.rounds", "60")]);
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_not_believed() {
    let root = Root::with(&["IBM"]);
    root.asks(&SHORT);
    root.trained();
    let model = root.model();
    let file = fs::read_dir(root.path("checkpoints")).ok().and_then(|mut files| files.next());
    let file = file.unwrap().unwrap().path();
    fs::write(&file, &fs::read(&file).unwrap()[..100]).unwrap();
    assert!(root.trained().contains("cannot be read; starting from the beginning"));
    assert!(root.model() == model);
}

#[test]
fn with_a_strategy_the_job_is_a_backtest() {
    let root = Root::with(&["IBM"]);
    let said = root
        .asks(&[("strategy", "sma"), ("strategy.fast", "50"), ("strategy.slow", "200"), ("strategy.size", "100")])
        .trained();
    assert!(metric(&said, "sharpe_ratio").is_finite() && metric(&said, "trades") > 5.0, "{said}");
    for file in ["report.html", "run.json"] {
        assert!(root.path("model/run").join(file).is_file(), "{file}");
    }
    let reason = Root::with(&["IBM"]).asks(&[("strategy", "smaa")]).fails();
    assert!(reason.contains("did you mean `sma`"), "{reason}");
}

/// The sample's rows as a table that pandas might have written.
fn parquet(symbol: &str, path: &Path) {
    let text = fs::read_to_string(data("sample").join(format!("daily_adjusted_{symbol}.csv"))).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let floats = |at: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row[at].parse::<f64>().unwrap()).collect::<Float64Array>())
    };
    let dates: Date32Array =
        rows.iter().map(|row| domain::SessionDate::parse(row[0]).ok().map(|date| date.days())).collect();
    let volumes: Int64Array = rows.iter().map(|row| row[6].parse::<i64>().unwrap()).collect();
    let batch = RecordBatch::try_from_iter([
        ("dt", Arc::new(dates) as ArrayRef),
        ("sym", Arc::new(StringArray::from(vec![symbol; rows.len()]))),
        ("open", floats(1)),
        ("high", floats(2)),
        ("low", floats(3)),
        ("close", floats(4)),
        ("vol", Arc::new(volumes)),
    ])
    .unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_channel_may_be_parquet_or_a_lake() {
    let root = Root::new();
    parquet("IBM", &root.path("input/data/training/part-0.parquet"));
    let said = root.asks(&SHORT).trained();
    assert!(metric(&said, "rows_read") > 3_000.0 && metric(&said, "rows_quarantined") == 0.0, "{said}");
    let from_parquet = fs::read(root.path("model/weights.safetensors")).unwrap();

    // The same rows as a lake.
    let root = Root::new();
    let channel = root.path("input/data/training");
    let file = root.path("rows.csv");
    let text = fs::read_to_string(data("sample/daily_adjusted_IBM.csv")).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        format!("{},IBM,{},{},{},{},{}\n", cells[0], cells[1], cells[2], cells[3], cells[4], cells[6])
    });
    fs::write(&file, format!("dt,sym,open,high,low,close,vol\n{}", rows.collect::<String>())).unwrap();
    let lake = lake::Lake::create(channel.to_str().unwrap()).unwrap();
    let now = domain::Timestamp::parse("2026-01-02T00:00:00Z").unwrap();
    let request = lake::ImportRequest {
        paths: vec![file],
        profile: None,
        symbol: None,
        known_at: None,
        now,
        strict: true,
        behind: false,
    };
    lake.import(&request, &mut |_| {}).unwrap();
    root.asks(&SHORT).trained();
    assert!(fs::read(root.path("model/weights.safetensors")).unwrap() == from_parquet);
}

#[test]
fn what_is_wrong_with_a_job_is_left_in_the_failure_file() {
    let root = Root::with(&["IBM"]);
    let fails = |asked: &[(&str, &str)], words: &str| {
        let reason = root.asks(asked).fails();
        assert!(reason.contains(words), "`{words}` is not in `{reason}`");
    };
    fails(&[("training.epoch", "3")], "did you mean `epochs`");
    fails(&[("epochs", "3")], "the hyperparameter `epochs` is not known");
    fails(&[("kind", "tree")], "must be forecast or policy");
    fails(&[("data.symbols", "MSFT")], "MSFT");
    fails(&[("data.from", "2013-02-01")], "leave it out or change the dates");
    fs::write(root.path("input/config/hyperparameters.json"), "{\"training.epochs\": 3}").unwrap();
    assert!(root.fails().contains("whose values are all text"));
    root.asks(&[]);
    fs::write(root.path("input/config/resourceconfig.json"), r#"{"hosts": ["algo-1", "algo-2"]}"#).unwrap();
    assert!(root.fails().contains("set InstanceCount to 1"));
    root.asks(&[]);
    let channel = root.path("input/data/training");
    fs::remove_file(channel.join("daily_adjusted_IBM.csv")).unwrap();
    assert!(root.fails().contains("training"), "an empty channel");
    fs::write(channel.join("a.parquet"), b"PAR1nonsense").unwrap();
    assert!(root.fails().contains("a.parquet"));
    fs::remove_file(channel.join("a.parquet")).unwrap();
    fs::write(channel.join("IBM.csv"), "who,knows\n1,2\n").unwrap();
    assert!(root.fails().contains("IBM.csv"));
    fs::remove_dir_all(root.path("input/data")).unwrap();
    assert!(root.fails().contains("no channel"));
    fs::remove_file(root.path("input/config/hyperparameters.json")).unwrap();
    assert!(root.fails().contains("cannot read"));
}

#[test]
fn a_model_that_was_left_is_one() {
    let root = Root::with(&["IBM"]);
    root.asks(&SHORT).trained();
    let card = Card::read(&fs::read(root.path("model/model.json")).unwrap()).unwrap();
    let weights = fs::read(root.path("model").join(&card.weights.file)).unwrap();
    let files = [(card.weights.file.clone(), weights)].into();
    assert!(matches!(Model::new(card, &files, &Nobody).unwrap(), Model::Forecast(_)));
    let done = root.command("dance").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().starts_with("usage: algotrading-container train | serve"));
}
