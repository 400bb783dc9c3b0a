//! The public views over a small lake, number by number.

#![allow(clippy::unwrap_used)]

mod support;

use support::{EARLY, LATE, action, bar, csv, sample, write_actions, write_bars};

/// Column `column` of AAPL by date.
fn aapl(lake: &std::path::Path, view: &str, column: &str) -> Vec<f64> {
    let sql = format!("SELECT {column} FROM {view} WHERE sym = 'AAPL' ORDER BY dt");
    csv(lake, &sql).lines().skip(1).map(|line| line.parse().unwrap()).collect()
}

fn close_to(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{found:?} {wanted:?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found / wanted - 1.0).abs() < 1e-10, "{found:?} {wanted:?}");
    }
}

#[test]
fn the_query_of_the_reference_architecture_runs_verbatim() {
    let lake = sample();
    let sql = "SELECT cast(date_parse(dt,'%Y-%m-%d') as date) as day, sym, open, close, high, low, vol FROM algo_data.hist_data_daily limit 1000";
    let answer = csv(lake.path(), sql);
    let mut lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.remove(0), "day,sym,open,close,high,low,vol");
    lines.sort_unstable();
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[0], "2011-12-29,AAPL,399.0,400.0,401.0,398.0,1000");
}

#[test]
fn the_latest_known_version_of_a_bar_is_shown() {
    let lake = sample();
    assert_eq!(
        csv(lake.path(), "SELECT * FROM hist_data_daily WHERE dt = '2012-01-04' ORDER BY sym"),
        "dt,sym,open,high,low,close,vol\n\
         2012-01-04,AAPL,201.0,203.0,200.0,202.0,2450\n\
         2012-01-04,IBM,179.0,181.0,178.0,180.0,500\n"
    );
    assert_eq!(csv(lake.path(), "SELECT count(*) AS n FROM bars_daily"), "n\n8\n");
}

#[test]
fn an_as_of_read_sees_what_was_known_then() {
    let lake = sample();
    let sql = |moment: &str| {
        format!(
            "SELECT close FROM algo_data.hist_data_daily_as_of('{moment}') WHERE sym = 'AAPL' AND dt = '2012-01-04'"
        )
    };
    assert_eq!(csv(lake.path(), &sql("2013-05-31T23:59:59Z")), "close\n200.0\n");
    assert_eq!(csv(lake.path(), &sql(LATE)), "close\n202.0\n");
    assert_eq!(csv(lake.path(), &sql("2013-06-01T01:00:00+02:00")), "close\n200.0\n");
    assert_eq!(csv(lake.path(), &sql("2012-01-30")), "close\n");
    for moment in ["TIMESTAMP '2012-12-31 00:00:00'", "DATE '2012-12-31'", "'2012-12-31 00:00:00'"] {
        let sql = format!("SELECT count(*) AS n FROM hist_data_daily_as_of({moment}) AS h");
        assert_eq!(csv(lake.path(), &sql), "n\n7\n");
    }
}

#[test]
fn split_adjustment_divides_earlier_prices_and_multiplies_earlier_volume() {
    let lake = sample();
    let view = "hist_data_daily_split_adjusted";
    close_to(&aapl(lake.path(), view, "close"), &[200.0, 205.0, 210.0, 202.0, 198.0]);
    close_to(&aapl(lake.path(), view, "open"), &[199.5, 204.5, 209.0, 201.0, 197.0]);
    close_to(&aapl(lake.path(), view, "vol"), &[2000.0, 2200.0, 2500.0, 2450.0, 2300.0]);
}

#[test]
fn total_return_adjustment_takes_split_times_one_plus_dividend_over_close() {
    let lake = sample();
    // 2012-01-05: 1.98 of 198. The dividend of 2011-12-31, no session, is that of the next bar: 2.1 of 210.
    let (dividend, special) = (1.0 + 1.98 / 198.0, 1.0 + 2.1 / 210.0);
    close_to(
        &aapl(lake.path(), "hist_data_daily_adjusted", "close"),
        &[
            400.0 / (2.0 * special * dividend),
            410.0 / (2.0 * special * dividend),
            210.0 / dividend,
            202.0 / dividend,
            198.0,
        ],
    );
    close_to(&aapl(lake.path(), "hist_data_daily_adjusted", "vol"), &[2000.0, 2200.0, 2500.0, 2450.0, 2300.0]);
}

#[test]
fn an_adjusted_as_of_read_uses_only_the_actions_known_then() {
    let lake = sample();
    let dividend = 1.0 + 1.98 / 198.0;
    close_to(
        &aapl(lake.path(), "hist_data_daily_adjusted_as_of('2012-12-31T00:00:00Z')", "close"),
        &[400.0 / (2.0 * dividend), 410.0 / (2.0 * dividend), 210.0 / dividend, 200.0 / dividend, 198.0],
    );
    close_to(
        &aapl(lake.path(), "hist_data_daily_split_adjusted_as_of('2012-12-31T00:00:00Z')", "close"),
        &[200.0, 205.0, 210.0, 200.0, 198.0],
    );
}

#[test]
fn a_symbol_without_actions_is_not_adjusted_and_a_lake_without_them_neither() {
    let lake = sample();
    let sql = |view: &str| format!("SELECT dt, close, vol FROM {view} WHERE sym = 'IBM' ORDER BY dt");
    let raw = csv(lake.path(), &sql("hist_data_daily"));
    assert_eq!(raw, "dt,close,vol\n2012-01-04,180.0,500\n2012-01-05,181.0,600\n");
    assert_eq!(csv(lake.path(), &sql("hist_data_daily_adjusted")), raw);

    let bare = tempfile::tempdir().unwrap();
    write_bars(bare.path(), "only", &[bar("2012-01-04", "IBM", 180.0, 500, EARLY)]);
    let adjusted = csv(bare.path(), "SELECT dt, sym, close FROM hist_data_daily_adjusted");
    assert_eq!(adjusted, "dt,sym,close\n2012-01-04,IBM,180.0\n");
    assert_eq!(csv(bare.path(), "SELECT count(*) AS n FROM quarantine"), "n\n0\n");
}

#[test]
fn a_corrected_action_replaces_the_earlier_one_and_two_of_a_day_add_up() {
    let lake = tempfile::tempdir().unwrap();
    write_bars(
        lake.path(),
        "bars",
        &[bar("2012-01-04", "IBM", 100.0, 10, EARLY), bar("2012-01-05", "IBM", 50.0, 20, EARLY)],
    );
    write_actions(
        lake.path(),
        &[
            action("2012-01-05", "IBM", "split", 3.0, EARLY),
            action("2012-01-05", "IBM", "split", 2.0, LATE),
            action("2012-01-05", "IBM", "dividend", 1.0, EARLY),
            action("2012-01-05", "IBM", "dividend", 0.25, EARLY),
        ],
    );
    let close = |view: &str| {
        let sql = format!("SELECT close FROM {view} ORDER BY dt LIMIT 1");
        csv(lake.path(), &sql).lines().nth(1).unwrap().parse::<f64>().unwrap()
    };
    close_to(&[close("hist_data_daily_split_adjusted")], &[50.0]);
    close_to(&[close("hist_data_daily_adjusted")], &[100.0 / (2.0 * (1.0 + 1.25 / 50.0))]);
    close_to(&[close("hist_data_daily_split_adjusted_as_of('2012-12-31T00:00:00Z')")], &[100.0 / 3.0]);
}

#[test]
fn catalogue_schema_and_bare_names_mean_the_same_table() {
    let lake = sample();
    for name in [
        "hist_data_daily",
        "algo_data.hist_data_daily",
        "awsdatacatalog.algo_data.hist_data_daily",
        "\"algo_data\".\"hist_data_daily\"",
    ] {
        assert_eq!(csv(lake.path(), &format!("SELECT count(*) AS n FROM {name}")), "n\n7\n");
    }
}

#[test]
fn base_tables_have_exact_decimals_and_the_year() {
    let lake = sample();
    assert_eq!(
        csv(lake.path(), "SELECT dt, close, year, known_at FROM bars_daily WHERE year = 2011 ORDER BY dt LIMIT 1"),
        "dt,close,year,known_at\n2011-12-29,400.000000000,2011,2012-01-31T00:00:00Z\n"
    );
}

#[test]
fn analysts_everyday_queries_run() {
    let lake = sample();
    assert_eq!(
        csv(
            lake.path(),
            "WITH r AS (SELECT sym, dt, close / lag(close) OVER (PARTITION BY sym ORDER BY dt) - 1 AS ret FROM algo_data.hist_data_daily_split_adjusted)
             SELECT sym, date_trunc('month', cast(dt AS date)) AS month, count_if(ret > 0) AS up, max_by(dt, ret) AS best
             FROM r WHERE ret IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        "sym,month,up,best\nAAPL,2011-12-01,1,2011-12-30\nAAPL,2012-01-01,1,2012-01-03\nIBM,2012-01-01,1,2012-01-05\n"
    );
    assert_eq!(
        csv(
            lake.path(),
            "SELECT h.sym, q.n FROM (SELECT DISTINCT sym FROM hist_data_daily) h LEFT JOIN (SELECT sym, count(*) AS n FROM corporate_actions GROUP BY sym) q ON h.sym = q.sym WHERE NOT EXISTS (SELECT 1 FROM quarantine z WHERE z.value = h.sym) ORDER BY 1"
        ),
        "sym,n\nAAPL,4\nIBM,1\n"
    );
}
