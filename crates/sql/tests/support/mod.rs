//! Small lakes written with a Parquet writer, as the importer lays them out.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::fs::{File, create_dir_all};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use tempfile::TempDir;

/// One bar; `o,h,l,c` follow from the close.
#[derive(Clone)]
pub struct Bar {
    pub dt: &'static str,
    pub sym: &'static str,
    pub close: f64,
    pub vol: i64,
    pub known_at: &'static str,
    pub source: &'static str,
}

pub fn bar(dt: &'static str, sym: &'static str, close: f64, vol: i64, known_at: &'static str) -> Bar {
    Bar { dt, sym, close, vol, known_at, source: "aaaaaaaaaaaaaaaa" }
}

/// One corporate action.
#[derive(Clone)]
pub struct Action {
    pub ex_date: &'static str,
    pub sym: &'static str,
    pub kind: &'static str,
    pub value: f64,
    pub known_at: &'static str,
}

pub fn action(
    ex_date: &'static str,
    sym: &'static str,
    kind: &'static str,
    value: f64,
    known_at: &'static str,
) -> Action {
    Action { ex_date, sym, kind, value, known_at }
}

fn days(text: &str) -> i32 {
    let date: chrono::NaiveDate = text.parse().unwrap();
    i32::try_from((date - chrono::NaiveDate::default()).num_days()).unwrap()
}

fn micros(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn dates<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(Date32Array::from_iter_values(values.map(days)))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

#[allow(clippy::cast_possible_truncation)]
fn prices(values: impl Iterator<Item = f64>) -> ArrayRef {
    let scaled = values.map(|value| (value * 1e9).round() as i128);
    Arc::new(Decimal128Array::from_iter_values(scaled).with_precision_and_scale(18, 9).unwrap())
}

fn moments<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(micros)).with_timezone("UTC"))
}

pub fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub fn write_bars(lake: &Path, file: &str, bars: &[Bar]) {
    let mut years: Vec<&str> = bars.iter().map(|bar| &bar.dt[..4]).collect();
    years.sort_unstable();
    years.dedup();
    for year in years {
        let bars: Vec<&Bar> = bars.iter().filter(|bar| bar.dt.starts_with(year)).collect();
        let all = || bars.iter();
        write(
            &lake.join(format!("bars_daily/year={year}/{file}.parquet")),
            vec![
                ("dt", dates(all().map(|bar| bar.dt))),
                ("sym", texts(all().map(|bar| bar.sym))),
                ("open", prices(all().map(|bar| bar.close - 1.0))),
                ("high", prices(all().map(|bar| bar.close + 1.0))),
                ("low", prices(all().map(|bar| bar.close - 2.0))),
                ("close", prices(all().map(|bar| bar.close))),
                ("vol", Arc::new(Int64Array::from_iter_values(all().map(|bar| bar.vol)))),
                ("mic", texts(all().map(|_| "XNYS"))),
                ("currency", texts(all().map(|_| "USD"))),
                ("known_at", moments(all().map(|bar| bar.known_at))),
                ("source", texts(all().map(|bar| bar.source))),
                ("flags", texts(all().map(|_| ""))),
            ],
        );
    }
}

pub fn write_actions(lake: &Path, actions: &[Action]) {
    let all = || actions.iter();
    write(
        &lake.join("corporate_actions/actions.parquet"),
        vec![
            ("ex_date", dates(all().map(|action| action.ex_date))),
            ("sym", texts(all().map(|action| action.sym))),
            ("kind", texts(all().map(|action| action.kind))),
            ("value", prices(all().map(|action| action.value))),
            ("currency", texts(all().map(|_| "USD"))),
            ("known_at", moments(all().map(|action| action.known_at))),
            ("source", texts(all().map(|_| "bbbbbbbbbbbbbbbb"))),
        ],
    );
}

pub const EARLY: &str = "2012-01-31T00:00:00Z";
pub const LATE: &str = "2013-06-01T00:00:00Z";

/// Five AAPL bars over a year's end with a 2-for-1 split and a dividend, one corrected later, and two IBM bars.
pub fn sample() -> TempDir {
    let lake = tempfile::tempdir().unwrap();
    write_bars(
        lake.path(),
        "first",
        &[
            bar("2011-12-29", "AAPL", 400.0, 1000, EARLY),
            bar("2011-12-30", "AAPL", 410.0, 1100, EARLY),
            // The split's day.
            bar("2012-01-03", "AAPL", 210.0, 2500, EARLY),
            bar("2012-01-04", "AAPL", 200.0, 2400, EARLY),
            // The dividend's day.
            bar("2012-01-05", "AAPL", 198.0, 2300, EARLY),
            bar("2012-01-04", "IBM", 180.0, 500, EARLY),
            bar("2012-01-05", "IBM", 181.0, 600, EARLY),
        ],
    );
    write_bars(lake.path(), "correction", &[bar("2012-01-04", "AAPL", 202.0, 2450, LATE)]);
    write_actions(
        lake.path(),
        &[
            action("2012-01-03", "AAPL", "split", 2.0, EARLY),
            action("2012-01-05", "AAPL", "dividend", 1.98, EARLY),
            // Not before the data ends.
            action("2012-06-01", "AAPL", "split", 7.0, EARLY),
            // Known late: a special dividend on a day without a bar.
            action("2011-12-31", "AAPL", "dividend", 2.1, LATE),
            action("2012-01-05", "IBM", "delisting", 181.0, EARLY),
        ],
    );
    lake
}

/// What the binary answered.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(args: &[&str]) -> Answer {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_algotrading-sql")).args(args).output().unwrap();
    Answer {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// The CSV answer to a query that must succeed.
pub fn csv(lake: &Path, sql: &str) -> String {
    let answer = run(&[sql, "--lake", lake.to_str().unwrap(), "--format", "csv"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{sql}");
    answer.out
}

/// The one line of error of a query that must fail.
pub fn failure(lake: &Path, sql: &str) -> String {
    let answer = run(&[sql, "--lake", lake.to_str().unwrap(), "--format", "csv"]);
    assert_eq!(answer.code, 1, "{sql}: {}{}", answer.out, answer.err);
    assert_eq!(answer.err.trim_end().lines().count(), 1, "{sql}: {}", answer.err);
    assert!(answer.err.starts_with("error: "), "{}", answer.err);
    answer.err.trim_end().to_owned()
}
