//! The command as a user meets it: what it prints, what it leaves, and what it says when something is wrong.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};

const RUN: &str = "\
[data]
symbols = [\"IBM\"]
[strategy]
name = \"sma\"
fast = 50
slow = 200
size = 100
[costs]
commission_per_share = 0.005
";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With IBM of the sample imported and a run file.
    fn ready() -> Self {
        let place = Self::new();
        let done = place.run(&["data", "import", sample("IBM").to_str().unwrap()]);
        assert!(done.status.success(), "{}", stderr(&done));
        place.write("run.toml", RUN);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).unwrap();
        name.to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_algotrading"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars() {
            if name.starts_with("ALGOTRADING_") || name.starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["--json"]].concat());
        assert!(done.status.success(), "{arguments:?}: {}", stderr(&done));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// It fails with one line that contains every one of `words`, prints nothing, and leaves the lake as it was.
    fn fails(&self, arguments: &[&str], words: &[&str]) {
        let before = tree(&self.path("lake"));
        let done = self.run(arguments);
        let said = stderr(&done);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
        assert!(done.stdout.is_empty(), "{arguments:?} printed {}", String::from_utf8_lossy(&done.stdout));
        for word in words {
            assert!(said.contains(word), "{arguments:?} should say `{word}`: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(tree(&self.path("lake")), before, "{arguments:?} changed the lake");
    }
}

fn sample(symbol: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../data/sample/daily_adjusted_{symbol}.csv"))
}

fn stderr(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Every file below a folder with the hash of its bytes.
fn tree(folder: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(PathBuf, String)> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return tree(&path);
            }
            let hash = format!("{:x?}", Sha256::digest(fs::read(&path).unwrap()).as_slice());
            vec![(path, hash)]
        })
        .collect();
    found.sort();
    found
}

fn first_parquet(folder: &Path) -> PathBuf {
    tree(folder)
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| path.extension().is_some_and(|ext| ext == "parquet"))
        .unwrap()
}

#[test]
fn demo_goes_from_the_vendors_files_to_tear_sheets() {
    let place = Place::new();
    let done = place.run(&["demo"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let text = String::from_utf8(done.stdout).unwrap();
    for word in [
        "SMA crossover 50/200",
        "EMA crossover 8/21",
        "Breakout of 50",
        "Forecast by model forecast",
        "CAGR",
        "Sharpe",
        "demo/index.html",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for name in ["sma", "ema", "breakout", "forecast"] {
        let sheet = fs::read_to_string(place.path(&format!("demo/runs/{name}/report.html"))).unwrap();
        assert!(sheet.contains("</html>") && !sheet.contains("<script src"), "{name}");
        assert!(place.path(&format!("demo/runs/{name}/journal.jsonl")).exists());
    }
    // Again over the same folder: the same runs.
    let first = fs::read(place.path("demo/runs/sma/report.html")).unwrap();
    assert!(place.run(&["demo"]).status.success());
    assert!(fs::read(place.path("demo/runs/sma/report.html")).unwrap() == first, "the second demo differs");
    let mine = fs::read_to_string(place.path("demo/sma.toml")).unwrap().replace("50", "51");
    place.write("demo/sma.toml", &mine);
    place.fails(&["demo"], &["`demo/sma.toml`", "would be lost"]);
    assert_eq!(fs::read_to_string(place.path("demo/sma.toml")).unwrap(), mine);
}

#[test]
fn the_same_run_has_the_same_id_and_bytes_wherever_it_runs() {
    let (one, other) = (Place::ready(), Place::ready());
    let a = one.json(&["backtest", "run.toml", "--out", "a"]);
    let b = other.json(&["backtest", "run.toml", "--out", "b"]);
    assert_eq!(a["run_id"], b["run_id"]);
    for file in ["journal.jsonl", "run.json", "fills.csv", "trades.csv", "equity.csv", "metrics.json", "report.html"] {
        let read = |place: &Place, out: &str| fs::read(place.path(out).join(file)).unwrap();
        assert!(read(&one, "a") == read(&other, "b"), "{file} differs");
    }
    let changed = one.json(&["backtest", "run.toml", "--set", "strategy.fast=40"]);
    assert_ne!(a["run_id"], changed["run_id"]);
    assert!(one.path("runs").join(changed["run_id"].as_str().unwrap()).join("report.html").exists());
}

#[test]
fn backtest_json_holds_fills_trades_and_defined_metrics() {
    let place = Place::ready();
    let answer = place.json(&["backtest", "run.toml"]);
    let fills = answer["fills"].as_array().unwrap();
    assert!(!fills.is_empty());
    for fill in fills {
        assert_eq!(fill["sym"], "IBM");
        assert!(fill["dt"].as_str().unwrap().len() == 10 && fill["quantity"].is_number() && fill["price"].is_number());
        assert_eq!(fill["fee"].as_f64().unwrap(), fill["quantity"].as_f64().unwrap().abs() * 0.005);
    }
    let trades = &answer["trades"];
    assert_eq!(trades["closed"].as_u64().unwrap(), trades["won"].as_u64().unwrap() + trades["lost"].as_u64().unwrap());
    for (name, metric) in answer["metrics"].as_object().unwrap() {
        assert!(metric.get("value").is_some(), "{name}");
        assert!(metric["definition"].as_str().unwrap().len() > 10, "{name} has no definition");
    }
}

#[test]
fn a_report_is_made_again_from_the_journal_and_refuses_a_changed_one() {
    let place = Place::ready();
    place.json(&["backtest", "run.toml", "--out", "run"]);
    let before = fs::read(place.path("run/report.html")).unwrap();
    fs::remove_file(place.path("run/report.html")).unwrap();
    fs::remove_file(place.path("run/metrics.json")).unwrap();
    assert!(place.run(&["report", "run"]).status.success());
    assert!(fs::read(place.path("run/report.html")).unwrap() == before, "the report made again differs");

    let journal = place.path("run/journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let changed = text.replacen("\"quantity\":\"100\"", "\"quantity\":\"900\"", 1);
    assert_ne!(text, changed);
    fs::write(&journal, changed).unwrap();
    place.fails(&["report", "run"], &["journal", "changed"]);
    fs::write(&journal, &text[..text.len() / 2]).unwrap();
    place.fails(&["report", "run"], &["cut off"]);
    fs::write(&journal, text.replacen("{\"seq", "[\"seq", 3)).unwrap();
    let done = place.run(&["report", "run"]);
    let said = "line 2 of the journal is not a record; the file was changed\n";
    assert!(stderr(&done).ends_with(said), "{}", stderr(&done));
    place.fails(&["report", "nowhere"], &["nowhere", "no run's folder (it has no run.json); give the folder"]);
    fs::write(&journal, &text).unwrap();
    let manifest = place.path("run/run.json");
    let genuine = fs::read_to_string(&manifest).unwrap();
    for (from, to) in [
        ("fast = 50", "fast = 5"),
        ("SMA crossover", "Fabulous"),
        ("\"cash\": \"100000\"", "\"cash\": \"200000\""),
        ("\"notes\": []", "\"notes\": [\"Audited.\"]"),
        ("\"ambiguous_bars\": 0", "\"ambiguous_bars\": 1"),
        ("\"open_trades\": [", "\"open_trades\": 5, \"not\": ["),
    ] {
        let changed = genuine.replacen(from, to, 1);
        assert_ne!(genuine, changed, "{from}");
        fs::write(&manifest, changed).unwrap();
        place.fails(&["report", "run"], &["run.json", "was changed"]);
    }
}

#[test]
fn tables_of_a_run_without_trades_have_their_columns() {
    let place = Place::ready();
    let answer = place.json(&["backtest", "run.toml", "--set", "strategy.slow=100000", "--out", "quiet"]);
    assert!(answer["fills"].as_array().unwrap().is_empty());
    for (file, column) in [("fills.csv", "quantity"), ("trades.csv", "profit")] {
        let text = fs::read_to_string(place.path("quiet").join(file)).unwrap();
        assert!(text.lines().count() == 1 && text.contains(column), "{file}: {text}");
    }
}

#[test]
fn layers_go_file_then_environment_then_set() {
    let place = Place::ready();
    let fast = |command: &mut Command| {
        let done = command.arg("--json").output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
        let folder = place.path(answer["folder"].as_str().unwrap());
        let run: Value = serde_json::from_slice(&fs::read(folder.join("run.json")).unwrap()).unwrap();
        run["name"].as_str().unwrap().to_owned()
    };
    let variable = ("ALGOTRADING_STRATEGY__FAST", "30");
    assert!(fast(&mut place.command(&["backtest", "run.toml"])).contains("50/200"));
    assert!(fast(place.command(&["backtest", "run.toml"]).env(variable.0, variable.1)).contains("30/200"));
    let mut set = place.command(&["backtest", "run.toml", "--set", "strategy.fast=20"]);
    assert!(fast(set.env(variable.0, variable.1)).contains("20/200"));
}

#[test]
fn built_in_strategies_do_not_see_the_future() {
    let place = Place::ready();
    for strategy in ["sma", "ema"] {
        let name = format!("strategy.name={strategy}");
        let verdict = place.json(&["lookahead-check", "run.toml", "--set", &name, "--cuts", "5"]);
        assert!(verdict["decisions"].as_u64().unwrap() > 10);
        assert_eq!(verdict["leaks"], Value::Array(vec![]));
        assert_eq!(verdict["cuts"].as_array().unwrap().len(), 5);
    }
}

/// Runs where the SQL engine is built; `./test` builds it and says so, except with `--fast`.
#[test]
fn a_query_that_looks_ahead_is_found_out() {
    let engine = Path::new(env!("CARGO_BIN_EXE_algotrading")).with_file_name("algotrading-sql");
    if !engine.exists() {
        assert!(std::env::var_os("ALGOTRADING_TEST_SQL").is_none(), "{} is not built", engine.display());
        eprintln!("skipped: {} is not built", engine.display());
        return;
    }
    let place = Place::ready();
    let run = |close: &str| {
        let sql = format!(
            "SELECT dt, sym, CASE WHEN {close} > close THEN 100 ELSE -100 END AS target FROM \
             (SELECT dt, sym, close, lead(close) OVER (PARTITION BY sym ORDER BY dt) AS next, \
             lag(close) OVER (PARTITION BY sym ORDER BY dt) AS last FROM hist_data_daily_split_adjusted) AS bars \
             WHERE dt >= '2012-11-01'"
        );
        place.write("sql.toml", format!("data.symbols = [\"IBM\"]\n[strategy]\nname = \"targets\"\nsql = \"{sql}\"\n"));
        place.run(&["lookahead-check", "sql.toml", "--cuts", "1"])
    };
    let honest = run("last");
    assert!(honest.status.success(), "{}", stderr(&honest));
    let cheat = run("next");
    assert_eq!(cheat.status.code(), Some(1), "{}", stderr(&cheat));
    let said = String::from_utf8_lossy(&cheat.stdout);
    assert!(said.contains("sees the future"), "{said}");
    assert!(said.contains("decided a target of ") && said.contains(" with all data, "), "{said}");
}

#[test]
fn targets_from_a_file_are_a_strategy() {
    let place = Place::ready();
    place.write("wanted.csv", "dt,sym,target\n2005-03-01,IBM,100\n2005-06-01,IBM,-50\n2005-09-01,IBM,0\n");
    place.write("targets.toml", "data.symbols = [\"IBM\"]\nstrategy = { name = \"targets\", file = \"wanted.csv\" }\n");
    let answer = place.json(&["backtest", "targets.toml"]);
    let fills: Vec<(&str, f64)> = answer["fills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fill| (fill["dt"].as_str().unwrap(), fill["quantity"].as_f64().unwrap()))
        .collect();
    assert_eq!(fills, [("2005-03-02", 100.0), ("2005-06-02", -150.0), ("2005-09-02", 50.0)]);
    assert!(answer["notes"].as_array().unwrap().is_empty(), "{answer}");
    place.write("wanted.csv", "dt,sym,target\nsoon,IBM,100\n");
    place.fails(&["backtest", "targets.toml"], &["wanted.csv", "line 2", "`soon` is not a date"]);
    place.fails(&["backtest", "targets.toml", "--set", "strategy.file=none.csv"], &["none.csv"]);
    place.write("wanted.csv", "dt,sym,target\n");
    place.fails(&["backtest", "targets.toml"], &["no rows"]);
}

#[test]
fn targets_outside_the_bars_are_said_and_old_ones_are_restated() {
    let place = Place::new();
    place.write(
        "daily_adjusted_AAA.csv",
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n\
         2004-01-05,20,20,20,20,10,100,0,1\n2004-01-06,10,10,10,10,10,100,0,2\n2004-01-07,11,11,10,10,10,100,0,1\n\
         2004-01-08,10,12,10,10,10,100,0,1\n",
    );
    place.run(&["data", "import", "daily_adjusted_AAA.csv"]);
    place.write("wanted.csv", "dt,sym,target\n2004-01-02,AAA,3\n2004-01-05,AAA,7\n2004-01-08,AAA,0\n");
    place.write("run.toml", "data.symbols = \"AAA\"\nstrategy = { name = \"targets\", file = \"wanted.csv\" }\n");
    let bought = |from: &str| {
        let answer = place.json(&["backtest", "run.toml", "--set", &format!("data.from={from}")]);
        let said = |words: &str| answer["notes"].as_array().unwrap().iter().any(|note| note == words);
        assert!(said("Targets without a later bar of their symbol (they change nothing): 1."), "{answer}");
        let early = if from == "2004-01-05" { 1 } else { 2 };
        let words = "Targets dated before the first bar of their symbol (the last counts from it)";
        assert!(said(&format!("{words}: {early}.")), "{answer}");
        answer["fills"].as_array().unwrap().iter().map(|fill| fill["quantity"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    // Seven shares of the 5th are 14 from the 6th on, whether the run saw the split or not.
    assert_eq!(bought("2004-01-05"), [14.0]);
    assert_eq!(bought("2004-01-06"), [14.0]);
    assert_eq!(bought("2004-01-07"), [14.0]);
}

#[test]
fn a_rule_that_never_decides_is_said() {
    let place = Place::ready();
    let answer = place.json(&["backtest", "run.toml", "--set", "strategy.slow=90000"]);
    let notes = answer["notes"].to_string();
    assert!(notes.contains("decides from its bar 90000 on, and IBM has only 3270"), "{notes}");
}

#[test]
fn a_bad_file_is_one_sentence_and_leaves_the_lake_alone() {
    let place = Place::ready();
    let import = |name: &str, words: &[&str]| place.fails(&["data", "import", name], words);
    import("missing.csv", &["missing.csv"]);
    import(&place.write("empty.csv", ""), &["empty.csv", "empty"]);
    import(&place.write("binary.csv", [0_u8, 159, 146, 150, 0, 1, 2, 3]), &["binary.csv", "not text"]);
    import(
        &place.write("semicolons.csv", "dt;sym;open;high;low;close;vol\n2004-01-05;IBM;1;1;1;1;1\n"),
        &["semicolons.csv", "semicolons"],
    );
    import(&place.write("unknown.csv", "a,b,c\n1,2,3\n"), &["unknown.csv", "--profile"]);
    import(
        &place.write("ambiguous.csv", "Date,Open,High,Low,Close,Volume\n2004-01-05,1,1,1,1,1\n"),
        &["ambiguous.csv", "--profile", "stooq"],
    );
    import(&place.write("header.csv", "dt,sym,open,high,low,close,vol\n"), &["header.csv", "no rows"]);
}

#[test]
fn rows_outside_the_calendar_are_refused_and_counted() {
    let place = Place::ready();
    place.write(
        "rows.csv",
        "dt,sym,open,high,low,close,vol\n\
         2004-01-05,AAA,1,2,1,2,100\n2004-01-10,AAA,1,2,1,2,100\n1890-01-06,AAA,1,2,1,2,100\n2004-01-06,AAA,3,2,1,2,100\n",
    );
    let counts = place.json(&["data", "import", "rows.csv"]);
    assert_eq!(
        (counts["read"].as_u64(), counts["stored"].as_u64(), counts["quarantined"].as_u64()),
        (Some(4), Some(1), Some(3))
    );
    for rule in ["off_session", "outside_calendar", "high_low"] {
        assert_eq!(counts["rules"][rule], 1, "{rule}: {counts}");
    }
    let before = tree(&place.path("lake"));
    let again = place.json(&["data", "import", "rows.csv"]);
    assert_eq!(
        (again["stored"].as_u64(), again["unchanged"].as_u64(), again["quarantined"].as_u64()),
        (Some(0), Some(1), Some(3))
    );
    assert_eq!(tree(&place.path("lake")), before);
    place.write("strict.csv", "dt,sym,open,high,low,close,vol\n2004-01-07,AAA,1,3,1,2,7\n2004-01-11,AAA,1,2,1,2,100\n");
    place.fails(&["data", "import", "strict.csv", "--strict"], &["off_session"]);
}

#[test]
fn an_unknown_symbol_names_the_nearest() {
    let place = Place::ready();
    place.fails(&["backtest", "run.toml", "--set", "data.symbols=IBN"], &["IBN", "IBM"]);
    place.fails(&["data", "show", "IBN"], &["IBN", "IBM"]);
    let stored = "the lake has 2000-03-01 to 2013-03-01";
    place.fails(&["data", "show", "IBM", "--from", "2020-01-02"], &["IBM has no bars between these dates;", stored]);
    place.fails(&["data", "show", "IBM", "--as-of", "1999-01-01"], &["known at 1999-01-01T00:00:00Z;", stored]);
    place.fails(&["data", "show", "IBM", "--from", "2010-01-05", "--to", "2010-01-04"], &["is after --to"]);
    place.fails(&["backtest", "run.toml", "--set", "data.from=2020-01-02"], &["IBM", "2020-01-02"]);
    place.fails(&["backtest", "run.toml", "--lake", "elsewhere"], &["elsewhere", "import"]);
}

#[test]
fn a_bad_run_file_is_one_sentence() {
    let place = Place::ready();
    let run = |name: &str, words: &[&str]| place.fails(&["backtest", name], words);
    run("missing.toml", &["there is no run file `missing.toml`"]);
    run("lake", &["`lake` is a folder"]);
    run(&place.write("empty.toml", ""), &["empty.toml", "the section `data` is missing"]);
    run(&place.write("broken.toml", "[data\nsymbols = 1\n"), &["broken.toml", "line 1"]);
    run(&place.write("typo.toml", RUN.replace("slow", "slwo")), &["typo.toml", "strategy.slwo", "did you mean `slow`"]);
    run(
        &place.write("value.toml", RUN.replace("200", "\"many\"")),
        &["value.toml", "strategy.slow is \"many\"; it must be a whole number"],
    );
    run(&place.write("no-strategy.toml", "data.symbols = [\"IBM\"]\n"), &["no-strategy.toml", "strategy"]);
    run(&place.write("bytes.toml", [0xff, 0xfe, 0x00]), &["bytes.toml", "not text"]);
}

#[test]
fn a_half_written_parquet_file_is_named() {
    let place = Place::ready();
    let file = first_parquet(&place.path("lake/bars_daily"));
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    place.fails(&["backtest", "run.toml"], &[name]);
    place.fails(&["data", "show", "IBM"], &[name]);
    let check = place.run(&["data", "check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains(name) || stderr(&check).contains(name));
    // An import must not build on it either.
    let corrected = fs::read_to_string(sample("IBM")).unwrap().replacen(",1.0\n", ",1.00\n", 1);
    place.write("daily_adjusted_IBM.csv", corrected);
    place.fails(&["data", "import", "daily_adjusted_IBM.csv"], &[name]);
}

#[test]
fn an_out_folder_with_something_else_in_it_is_left_alone() {
    let place = Place::ready();
    fs::create_dir(place.path("photos")).unwrap();
    fs::write(place.path("photos/cat.jpg"), b"cat").unwrap();
    place.fails(&["backtest", "run.toml", "--out", "photos"], &["photos", "--out"]);
    assert_eq!(tree(&place.path("photos")).len(), 1);
    place.fails(&["backtest", "run.toml", "--out", "run.toml"], &["is a file"]);
    assert_eq!(fs::read_to_string(place.path("run.toml")).unwrap(), RUN);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let place = Place::new();
    for arguments in [&["backtest"][..], &["data", "show", "IBM", "--from", "soon"], &["fly"], &["data", "import"]] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(place.run(&["--help"]).status.code(), Some(0));
}

#[test]
fn every_verb_explains_itself_with_examples() {
    let place = Place::new();
    for verb in [
        &["demo"][..],
        &["data", "import"],
        &["data", "check"],
        &["data", "show"],
        &["sql"],
        &["backtest"],
        &["lookahead-check"],
        &["report"],
    ] {
        let done = place.run(&[verb, &["--help"]].concat());
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(
            text.contains("Example") && text.contains(&format!("algotrading {}", verb.join(" "))),
            "{verb:?}: {text}"
        );
    }
}

#[test]
fn sql_says_how_to_build_its_program_when_it_is_absent() {
    let place = Place::ready();
    // A copy has nothing beside it.
    let copy = place.path("algotrading");
    fs::copy(env!("CARGO_BIN_EXE_algotrading"), &copy).unwrap();
    let done = Command::new(&copy).args(["sql", "SELECT 1"]).current_dir(place.folder.path()).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("cargo build") && stderr(&done).contains("-p algotrading-sql"), "{}", stderr(&done));
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let place = Place::ready();
    let mut child = place.command(&["data", "show", "IBM"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
