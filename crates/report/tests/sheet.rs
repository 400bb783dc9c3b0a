//! The tear sheet as text. What it looks like and does is tested in a browser (`tests/browser`).
#![allow(clippy::unwrap_used)]

mod common;

use common::{day, fill, run, trade};
use report::run::{Input, Instrument, PriceBar, Refused, Run};
use report::{IndexRow, Rates, index_page, metrics, tear_sheet};

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'&<!--";

fn hostile() -> Run {
    let mut run = run(&[100.0, 101.0, 99.0]);
    let text = || HOSTILE.to_owned();
    run.manifest.name = text();
    run.manifest.run_id = text();
    run.manifest.version = text();
    run.manifest.config = text();
    run.manifest.input_sha256 = text();
    run.manifest.started = Some(text());
    run.manifest.inputs = vec![Input { name: text(), revision: text() }];
    let bar = PriceBar { date: day(0), open: 1.0, high: 1.0, low: 1.0, close: 1.0, volume: 1.0 };
    run.instruments = vec![Instrument { symbol: text(), bars: vec![bar] }];
    run.trades = vec![trade(1.0, true)];
    run.trades[0].symbol = text();
    run.fills = vec![fill(1.0, 1.0, 0.0)];
    run.fills[0].symbol = text();
    run.refused = vec![Refused { name: text(), count: 1, first: text() }];
    run.notes = vec![text()];
    run
}

fn sheet(run: &Run) -> String {
    tear_sheet(run, &metrics(run, None, Rates::default()))
}

#[test]
fn text_of_a_run_never_becomes_markup() {
    let sheet = sheet(&hostile());
    assert!(!sheet.contains("<img"), "an element came from the text of a run");
    assert!(!sheet.contains("<!--"), "a comment came from the text of a run");
    // Data, plotly.js and our own: nothing opened or closed another.
    assert_eq!(sheet.matches("</script>").count(), 3);
    assert!(sheet.matches("&lt;/script&gt;").count() >= 9);
    let data = sheet.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["instruments"][0]["symbol"], HOSTILE);
    assert_eq!(data["instruments"][0]["bought"]["date"][0], "1999-12-29");
    let row = IndexRow {
        name: HOSTILE.to_owned(),
        href: HOSTILE.to_owned(),
        trades: 1,
        final_equity: 1.0,
        cagr: None,
        sharpe: None,
        max_drawdown: None,
        run_id: HOSTILE.to_owned(),
    };
    let page = index_page(HOSTILE, &[row]);
    assert!(!page.contains("<img") && !page.contains("</script>"));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(sheet(&hostile()), sheet(&hostile()));
}

#[test]
fn it_carries_plotly_once_and_no_mathjax() {
    let sheet = sheet(&hostile());
    assert_eq!(sheet.matches("* plotly.js v").count(), 1);
    assert!(sheet.len() < 5_200_000, "{} bytes", sheet.len());
    assert!(!sheet.contains("<script src") && !sheet.contains("<link"));
}

#[test]
fn a_run_without_sessions_or_trades_still_has_a_sheet() {
    let sheet = sheet(&run(&[]));
    assert!(sheet.contains("no sessions") && sheet.contains("No trades."));
    assert!(sheet.contains("No order was refused."));
    let ruined = run(&[100.0, -5.0, f64::NAN]);
    let ruined = tear_sheet(&ruined, &metrics(&ruined, None, Rates::default()));
    let shown = ruined.split("id=\"data\">").next().unwrap();
    assert!(!shown.contains("NaN") && !shown.contains("inf%"));
}

#[test]
fn every_trade_and_remark_is_listed() {
    let mut run = run(&[100.0, 101.0]);
    run.trades = (0..700).map(|at| trade(f64::from(at), at < 699)).collect();
    run.refused = vec![Refused {
        name: "order_notional".to_owned(),
        count: 1_200,
        first: "2001-02-03 in IBM: its value is 5, and at most 4 is allowed".to_owned(),
    }];
    run.ambiguous_bars = 7;
    run.notes = vec!["A note.".to_owned()];
    run.manifest.synthetic = true;
    let sheet = sheet(&run);
    assert_eq!(sheet.matches("<tr><td>ABC</td>").count(), 700);
    assert_eq!(sheet.matches("<td>open</td>").count(), 1);
    assert!(sheet.contains("1,200 orders refused: order notional; the first on 2001-02-03 in IBM: its value is 5"));
    assert!(sheet.contains("assumed: 7<") && sheet.contains("<li>A note.</li>") && sheet.contains("Synthetic prices"));
}

#[test]
fn the_index_links_each_run() {
    let row = IndexRow {
        name: "SMA".to_owned(),
        href: "runs/sma/report.html".to_owned(),
        trades: 1_234,
        final_equity: 123_456.7,
        cagr: Some(0.0123),
        sharpe: Some(0.5),
        max_drawdown: Some(-0.25),
        run_id: "abc".to_owned(),
    };
    let page = index_page("Runs", &[row.clone(), IndexRow { sharpe: None, ..row }]);
    for part in ["href=\"runs/sma/report.html\">SMA", "1,234", "123,456.70", "1.23%", "0.500", "−25.00%", ">–<"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn the_shade_runs_from_the_peak_to_the_recovery_or_to_the_end() {
    let worst = |equity: &[f64]| {
        let sheet = sheet(&run(equity));
        let data = sheet.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        serde_json::from_str::<serde_json::Value>(data).unwrap()["equity"]["worst"].clone()
    };
    assert_eq!(worst(&[100.0, 101.0, 90.0, 95.0, 101.0, 100.0]), serde_json::json!(["1999-12-30", "2000-01-02"]));
    assert_eq!(worst(&[100.0, 90.0, 95.0]), serde_json::json!(["1999-12-29", "1999-12-31"]));
    assert_eq!(worst(&[100.0, 101.0]), serde_json::Value::Null);
    assert_eq!(worst(&[]), serde_json::Value::Null);
    assert!(sheet(&run(&[100.0, 90.0])).contains(">Shaded: ") && !sheet(&run(&[100.0, 101.0])).contains("Shaded: "));
}
