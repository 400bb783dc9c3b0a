//! Files in, bars and actions out.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use lake::{Adjust, Lake};

#[test]
fn the_sample_comes_in_whole() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let lake = Lake::create(&location).unwrap();
    let summary = lake.import(&request([sample()]), &mut |_| {}).unwrap();
    assert_eq!((summary.quarantined, summary.unchanged), (0, 0), "{summary:?}");
    assert_eq!(summary.read, summary.stored);
    assert_eq!(summary.read, 14_042);
    let lake = Lake::open(&location).unwrap();
    let symbols = lake.symbols().unwrap();
    assert_eq!(symbols.iter().map(|one| one.symbol.as_str()).collect::<Vec<_>>(), ["AAPL", "FB", "GOOG", "IBM", "MSFT"]);
    let bars = lake.show(&symbol("AAPL"), None, None, None, Adjust::None).unwrap();
    assert_eq!(bars.last().unwrap().close.to_string(), "430.47");
    let flagged: Vec<_> =
        bars.iter().filter(|bar| !bar.flags.is_empty()).map(|bar| (bar.dt.to_string(), bar.flags.as_str())).collect();
    assert_eq!(flagged, [("2000-09-29".into(), "jump"), ("2003-01-29".into(), "repeated_prices")]);
    let check = lake.check().unwrap();
    assert!(check.ok, "{check}");
    println!("{check}");
}
