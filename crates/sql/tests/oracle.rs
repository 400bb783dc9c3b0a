//! The adjusted view against the vendor's own adjusted prices, on the real sample in `data/`.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use support::{Action, Bar, EARLY, action, bar, csv, write_actions, write_bars};

/// Keeps a text for the whole test process, as the builders take literals.
fn kept(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[test]
fn total_return_prices_equal_the_vendors_on_the_real_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
    let (mut bars, mut actions): (Vec<Bar>, Vec<Action>) = (vec![], vec![]);
    let mut vendor: BTreeMap<(String, String), f64> = BTreeMap::new();
    for sym in ["AAPL", "FB", "GOOG", "IBM", "MSFT"] {
        let text = fs::read_to_string(folder.join(format!("daily_adjusted_{sym}.csv"))).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |at: usize| fields[at].parse::<f64>().unwrap();
            let (dt, sym) = (kept(fields[0]), kept(sym));
            bars.push(bar(dt, sym, number(4), number(6) as i64, EARLY));
            if number(7) > 0.0 {
                actions.push(action(dt, sym, "dividend", number(7), EARLY));
            }
            if number(8) != 1.0 {
                actions.push(action(dt, sym, "split", number(8), EARLY));
            }
            vendor.insert((sym.to_owned(), dt.to_owned()), number(5));
        }
    }
    assert!(actions.iter().any(|action| action.kind == "split") && actions.len() > 50, "{}", actions.len());
    let lake = tempfile::tempdir().unwrap();
    write_bars(lake.path(), "sample", &bars);
    write_actions(lake.path(), &actions);

    // The vendor adjusts to a later day than the sample's last, so prices are compared to the last one.
    let answer = csv(
        lake.path(),
        "SELECT sym, dt, close / last_value(close) OVER (PARTITION BY sym ORDER BY dt ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS share
         FROM hist_data_daily_adjusted",
    );
    let mut last: BTreeMap<&str, f64> = BTreeMap::new();
    for ((sym, _), price) in &vendor {
        last.insert(sym, *price);
    }
    let mut compared = 0;
    for line in answer.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let share: f64 = fields[2].parse().unwrap();
        let price = vendor[&(fields[0].to_owned(), fields[1].to_owned())];
        let last = last[fields[0]];
        let wanted = price / last;
        // The vendor prints six decimals.
        let tolerance = wanted * (1e-6 / price + 1e-6 / last);
        assert!((share - wanted).abs() <= tolerance, "{line}: vendor {wanted}");
        compared += 1;
    }
    assert_eq!(compared, vendor.len());
    assert!(compared > 10_000, "{compared}");
}
