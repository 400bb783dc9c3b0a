//! The command as a user meets it: formats, exit codes, one-line errors, nothing written.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};
use support::{EARLY, bar, csv, failure, run, sample, write, write_bars};

fn json(lake: &Path, sql: &str) -> serde_json::Value {
    let answer = run(&[sql, "--lake", lake.to_str().unwrap(), "--format", "json"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{sql}");
    serde_json::from_str(&answer.out).unwrap()
}

#[test]
fn a_table_is_aligned_and_counts_its_rows() {
    let lake = sample();
    let answer = run(&[
        "SELECT sym, dt, vol, NULL AS nothing FROM hist_data_daily WHERE dt >= '2012-01-05' ORDER BY sym",
        "--lake",
        lake.path().to_str().unwrap(),
    ]);
    assert_eq!(
        answer.out,
        "sym   dt           vol  nothing\n\
         ----  ----------  ----  -------\n\
         AAPL  2012-01-05  2300  NULL\n\
         IBM   2012-01-05   600  NULL\n\
         (2 rows)\n"
    );
    assert_eq!(answer.code, 0);
}

#[test]
fn json_is_one_array_with_numbers_and_nulls() {
    let lake = sample();
    let found = json(
        lake.path(),
        "SELECT dt, close, vol, NULL AS nothing, true AS flag, ARRAY[1, 2] AS list, nan() AS undefined, 'a\"b' AS quoted, cast(1.5 AS decimal(9,2)) AS exact
         FROM hist_data_daily WHERE dt = '2011-12-29'",
    );
    let wanted = serde_json::json!([{
        "dt": "2011-12-29", "close": 400.0, "vol": 1000, "nothing": null, "flag": true,
        "list": [1, 2], "undefined": null, "quoted": "a\"b", "exact": 1.5
    }]);
    assert_eq!(found, wanted);
    assert_eq!(json(lake.path(), "SELECT 1 AS a WHERE 1 = 2"), serde_json::json!([]));
}

#[test]
fn json_refuses_two_columns_of_one_name() {
    let lake = sample();
    let sql = "SELECT a.sym, b.sym FROM hist_data_daily a JOIN hist_data_daily b ON a.dt = b.dt";
    let answer = run(&[sql, "--lake", lake.path().to_str().unwrap(), "--format", "json"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("two columns are called `sym`"), "{}", answer.err);
}

#[test]
fn csv_quotes_what_needs_it_and_tells_null_from_empty() {
    let lake = sample();
    assert_eq!(
        csv(
            lake.path(),
            "SELECT 'a,b' AS \"x,y\", 'say \"hi\"' AS q, 'two\nlines' AS l, '' AS e, NULL AS n, 1.5e0 AS f"
        ),
        "\"x,y\",q,l,e,n,f\n\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"\",,1.5\n"
    );
    assert_eq!(csv(lake.path(), "SELECT 1 AS a WHERE 1 = 2"), "a\n");
}

#[test]
fn the_query_may_come_from_standard_input() {
    let lake = sample();
    let mut child = Command::new(env!("CARGO_BIN_EXE_algotrading-sql"))
        .args(["-", "--format", "csv", "--lake"])
        .arg(lake.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 1 AS a;\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"a\n1\n");
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    for args in [
        &[][..],
        &["SELECT 1"],
        &["SELECT 1", "--lake"],
        &["SELECT 1", "--lake", "x", "--format", "xml"],
        &["SELECT 1", "--lake", "x", "--threads", "0"],
    ] {
        assert_eq!(run(args).code, 2, "{args:?}");
    }
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Examples:"), "{}", help.out);
    assert!(help.out.contains("hist_data_daily"), "{}", help.out);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let lake = sample();
    let table = failure(lake.path(), "SELECT * FROM hist_data_dayly");
    assert!(table.contains("no table `hist_data_dayly`, did you mean `hist_data_daily`?"), "{table}");
    assert!(table.contains("known tables: bars_daily, corporate_actions"), "{table}");
    let column = failure(lake.path(), "SELECT clsoe FROM hist_data_daily");
    assert!(column.contains("no column `clsoe`, did you mean `close`?"), "{column}");
    assert!(column.contains("close, dt, high, low, open, sym, vol"), "{column}");
    let function = failure(lake.path(), "SELECT date_pars(dt, '%Y') FROM hist_data_daily");
    assert!(function.contains("no function `date_pars`, did you mean `date_parse`?"), "{function}");
    let schema = failure(lake.path(), "SELECT * FROM other.hist_data_daily");
    assert!(schema.contains("awsdatacatalog.algo_data"), "{schema}");
    let bare = failure(lake.path(), "SELECT * FROM hist_data_daily_as_of");
    assert!(bare.contains("hist_data_daily_as_of('2012-01-01T00:00:00Z')"), "{bare}");
    let made = failure(lake.path(), "SELECT * FROM read_csv('/etc/passwd')");
    assert!(made.contains("no table `read_csv`"), "{made}");
    let both = failure(lake.path(), "SELECT sym FROM hist_data_daily a JOIN bars_daily b ON a.sym = b.sym");
    assert!(both.contains("more than one table"), "{both}");
}

#[test]
fn an_sql_mistake_is_one_line() {
    let lake = sample();
    for (sql, words) in [
        ("SELEC 1", "SELEC"),
        ("SELECT 1 FROM", "SQL syntax"),
        ("SELECT 1 +", "SQL syntax"),
        ("SELECT 'open", "SQL syntax"),
        ("", "exactly one SQL statement"),
        ("SELECT 1; SELECT 2", "exactly one SQL statement"),
        ("SELECT sym, count(*) FROM hist_data_daily", "sym"),
        ("SELECT dt + 1 FROM hist_data_daily", "varchar + bigint"),
        ("SELECT * FROM hist_data_daily_as_of('yesterday')", "`yesterday` is no moment"),
        ("SELECT * FROM hist_data_daily_as_of(5)", "write the moment as text"),
        ("SELECT * FROM hist_data_daily_as_of()", "write the moment as text"),
        ("SELECT date_parse(sym, '%Y-%m-%d') FROM hist_data_daily", "does not fit the pattern"),
        ("SELECT cast(sym AS bigint) FROM hist_data_daily", "AAPL"),
        ("SHOW CREATE TABLE nothing", "nothing"),
    ] {
        let error = failure(lake.path(), sql);
        assert!(error.contains(words), "{sql}: {error}");
        for debug in ["ParserError", "DataFusionError", "Plan(", "Utf8", "backtrace", "panicked"] {
            assert!(!error.contains(debug), "{sql}: {error}");
        }
    }
}

#[test]
fn deep_and_long_queries_are_answered_or_refused_but_never_crash() {
    let lake = sample();
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    failure(lake.path(), &deep);
    let sum = format!("SELECT {} AS n", vec!["1"; 400].join(" + "));
    assert_eq!(csv(lake.path(), &sum), "n\n400\n");
    let long = format!("SELECT '{}'", "x".repeat(120_000));
    assert!(csv(lake.path(), &long).len() > 120_000);
}

#[test]
fn whatever_would_write_is_refused_and_the_lake_stays_as_it_is() {
    let lake = sample();
    let before = listing(lake.path());
    for sql in [
        "DROP TABLE bars_daily",
        "DELETE FROM bars_daily",
        "INSERT INTO bars_daily SELECT * FROM bars_daily",
        "CREATE TABLE copy AS SELECT * FROM bars_daily",
        "CREATE VIEW v AS SELECT 1",
        "COPY (SELECT 1) TO 'x.parquet'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.catalog.information_schema = false",
        "EXPLAIN ANALYZE DELETE FROM bars_daily",
    ] {
        let error = failure(lake.path(), sql);
        assert!(error.contains("read-only"), "{sql}: {error}");
    }
    // Nor is any other file of the machine a table.
    failure(lake.path(), "SELECT * FROM '/etc/passwd'");
    failure(lake.path(), "SELECT * FROM \"/etc/passwd\"");
    assert_eq!(listing(lake.path()), before);
}

fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        } else {
            found.push((entry.path().display().to_string(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

#[test]
fn show_and_describe_answer() {
    let lake = sample();
    assert_eq!(
        csv(lake.path(), "SHOW TABLES"),
        "table_name\nbars_daily\ncorporate_actions\nequity\nfills\nhist_data_daily\nhist_data_daily_adjusted\n\
         hist_data_daily_split_adjusted\norders\nquarantine\nruns\nsignals\n"
    );
    assert!(csv(lake.path(), "SHOW SCHEMAS").contains("algo_data"));
    assert_eq!(csv(lake.path(), "SHOW TABLES LIKE 'hist%adjusted'").lines().count(), 3);
    assert_eq!(
        csv(lake.path(), "DESCRIBE algo_data.hist_data_daily"),
        "column_name,data_type\ndt,varchar\nsym,varchar\nopen,double\nhigh,double\nlow,double\nclose,double\nvol,bigint\n"
    );
    let columns = csv(lake.path(), "SHOW COLUMNS FROM bars_daily");
    assert!(columns.contains("close,\"decimal(18,9)\"\n") && columns.ends_with("year,integer\n"), "{columns}");
    let plan = run(&["EXPLAIN SELECT 1 AS a", "--lake", lake.path().to_str().unwrap()]).out;
    assert!(plan.starts_with("logical_plan\nProjection") && plan.lines().count() > 4, "{plan}");
    assert!(csv(lake.path(), "EXPLAIN SELECT 1").contains("plan"));
}

#[test]
fn a_lake_without_data_says_to_import_first() {
    let empty = tempfile::tempdir().unwrap();
    fs::create_dir_all(empty.path().join("bars_daily/year=2012")).unwrap();
    for lake in [empty.path().to_str().unwrap(), "/no/such/folder"] {
        let answer = run(&["SELECT 1", "--lake", lake]);
        assert_eq!(answer.code, 1);
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
        assert!(answer.err.contains("algotrading data import"), "{}", answer.err);
        assert!(answer.err.contains(lake), "{}", answer.err);
    }
    let file = empty.path().join("file");
    fs::write(&file, "x").unwrap();
    let answer = run(&["SELECT 1", "--lake", file.to_str().unwrap()]);
    assert!(answer.code == 1 && answer.err.contains("it is a file"), "{}", answer.err);
    let answer = run(&["SELECT 1", "--lake", "gs://bucket"]);
    assert!(answer.code == 1 && answer.err.contains("not supported"), "{}", answer.err);
}

#[test]
fn a_broken_parquet_file_is_named() {
    for damage in ["cut", "empty", "text", "middle", "foreign"] {
        let lake = sample();
        let victim = lake.path().join("bars_daily/year=2012/first.parquet");
        let mut bytes = fs::read(&victim).unwrap();
        match damage {
            "cut" => bytes.truncate(bytes.len() / 2),
            "empty" => bytes.clear(),
            "text" => bytes = b"this is no Parquet file at all".to_vec(),
            "middle" => bytes[40..400].fill(0xAA),
            _ => {
                let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
                write(&victim, vec![("dt", Arc::clone(&column)), ("sym", column)]);
                bytes = fs::read(&victim).unwrap();
            }
        }
        fs::write(&victim, bytes).unwrap();
        let error = failure(lake.path(), "SELECT * FROM hist_data_daily");
        if damage == "foreign" {
            // A whole file whose column has another type: the value is named.
            assert!(error.contains('x'), "{damage}: {error}");
        } else {
            assert!(error.contains("bars_daily/year=2012/first.parquet"), "{damage}: {error}");
            assert!(error.contains("import its data again"), "{damage}: {error}");
        }
    }
}

#[test]
fn what_the_system_wrote_beside_the_bars_is_a_table_too() {
    let lake = sample();
    write(
        &lake.path().join("signals/run-1/part.parquet"),
        vec![
            ("sym", Arc::new(StringArray::from(vec!["IBM"])) as ArrayRef),
            ("score", Arc::new(Float64Array::from(vec![0.25]))),
        ],
    );
    assert_eq!(
        csv(
            lake.path(),
            "SELECT s.sym, s.score, h.close FROM signals s JOIN hist_data_daily h ON h.sym = s.sym ORDER BY h.dt LIMIT 1"
        ),
        "sym,score,close\nIBM,0.25,180.0\n"
    );
    // Nothing was written there yet, and an analyst's query runs all the same.
    assert_eq!(csv(lake.path(), "SELECT count(*) AS n, max(sym) AS sym FROM orders"), "n,sym\n0,\n");
}

#[test]
fn a_broken_record_table_concerns_only_who_asks_for_it() {
    let lake = sample();
    fs::create_dir_all(lake.path().join("signals")).unwrap();
    for bytes in [&b""[..], b"half a file that is long enough"] {
        fs::write(lake.path().join("signals/run.parquet"), bytes).unwrap();
        assert_eq!(csv(lake.path(), "SELECT count(*) AS n FROM hist_data_daily"), "n\n7\n");
        let error = failure(lake.path(), "SELECT * FROM algo_data.signals");
        assert!(error.contains("signals/run.parquet` is not a readable Parquet file"), "{error}");
    }
}

#[test]
fn a_query_beyond_its_memory_spills_or_says_so() {
    let lake = sample();
    let lake = lake.path().to_str().unwrap();
    let limited = |sql: &str| run(&[sql, "--lake", lake, "--format", "csv", "--memory-mib", "16"]);
    let series = "(SELECT value AS i, lpad(cast(value AS varchar), 40, 'x') AS t FROM generate_series(1, 400000))";
    let sorted = limited(&format!("SELECT i, t FROM {series} ORDER BY t DESC"));
    assert_eq!((sorted.code, sorted.err.as_str()), (0, ""));
    assert_eq!(sorted.out.lines().count(), 400_001);
    let grouped = limited(&format!("SELECT array_agg(t) FROM {series}"));
    assert_eq!(grouped.code, 1);
    assert!(grouped.err.contains("raise --memory-mib") && grouped.err.lines().count() == 1, "{}", grouped.err);
}

#[test]
fn a_folder_with_odd_characters_is_a_lake_too() {
    let parent = tempfile::tempdir().unwrap();
    let lake = parent.path().join("a b*[c]%20é#?");
    write_bars(&lake, "x", &[bar("2012-01-04", "IBM", 180.0, 500, EARLY)]);
    assert_eq!(csv(&lake, "SELECT sym FROM hist_data_daily"), "sym\nIBM\n");
}

#[test]
fn an_expression_without_a_name_is_numbered_as_in_athena() {
    let lake = sample();
    assert_eq!(
        csv(
            lake.path(),
            "SELECT sym, count(*), max(vol) AS top, min(dt) FROM hist_data_daily GROUP BY sym ORDER BY count(*) LIMIT 1"
        ),
        "sym,_col1,top,_col3\nIBM,2,600,2012-01-04\n"
    );
    assert_eq!(csv(lake.path(), "SELECT 1 + 1 UNION ALL SELECT 3 ORDER BY 1"), "_col0\n2\n3\n");
}

#[test]
fn the_same_query_gives_the_same_bytes() {
    let lake = sample();
    let sql = "SELECT sym, avg(close), stddev(close), sum(vol) FROM hist_data_daily_adjusted GROUP BY sym";
    let first = csv(lake.path(), sql);
    for _ in 0..3 {
        assert_eq!(csv(lake.path(), sql), first);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let lake = sample();
    let mut child = Command::new(env!("CARGO_BIN_EXE_algotrading-sql"))
        .args([
            "SELECT a.i, b.i FROM UNNEST(sequence(1, 3000)) AS a(i), UNNEST(sequence(1, 1000)) AS b(i)",
            "--format",
            "csv",
            "--lake",
        ])
        .arg(lake.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
