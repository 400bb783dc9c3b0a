//! No row is lost and nothing is stored twice, whatever the rows and however they are cut into imports.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::*;
use lake::{Adjust, Lake};
use proptest::prelude::*;

/// A row of the workshop's layout, good or bad.
fn row() -> impl Strategy<Value = String> {
    let date = prop_oneof![
        // Two turns of a year with their holidays and weekends.
        (20_u32..=31).prop_map(|day| format!("2012-12-{day}")),
        (1_u32..=12).prop_map(|day| format!("2013-01-{day:02}")),
        Just("2012-13-01".to_owned()),
        Just("1950-01-03".to_owned()),
    ];
    let symbol = prop_oneof![Just("AAA"), Just("B"), Just("ccc"), Just("")];
    // Few values, so that copies and repeated prices are common.
    let price = prop_oneof![Just("10"), Just("11"), Just("20"), Just("-1"), Just("x")];
    let rest = (price.clone(), price, 0_u32..3);
    let good = (date.clone(), symbol.clone(), rest.clone())
        .prop_map(|(date, symbol, (open, close, volume))| format!("{date},{symbol},{open},21,9,{close},{volume}"));
    prop_oneof![20 => good, 1 => Just("garbage".to_owned()), 1 => Just("1,2,3,4,5,6,7,8,9".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_accounted_for_and_a_second_time_stores_nothing(
        rows in prop::collection::vec(row(), 1..60),
        cuts in prop::collection::vec(0_usize..60, 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let location = place(&folder);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut files = Vec::new();
        for (at, cut) in cuts.windows(2).filter(|cut| cut[0] < cut[1]).enumerate() {
            let text = rows[cut[0]..cut[1]].join("\n") + "\n";
            files.push((workshop(folder.path(), &format!("{at}.csv"), &text), cut[1] - cut[0]));
        }
        let mut stored = 0;
        let mut hours = 0;
        let mut again = |file: &Path, count: usize| {
            let mut request = request([file.to_path_buf()]);
            hours += 1;
            request.now = time(&format!("2026-{:02}-{:02}T{:02}:00:00Z", 2 + hours / 672, 1 + hours / 24 % 28, hours % 24));
            // `import` itself holds the sum against the rows read.
            let summary = import(&location, &request).unwrap();
            assert_eq!(summary.read, count as u64);
            summary.stored
        };
        for (file, count) in &files {
            stored += again(file, *count);
            prop_assert_eq!(again(file, *count), 0);
        }
        // A row that was refused as a copy of the session before it is none once a later file fills the gap between
        // them; its file, imported once more, brings it in. That comes to an end, and then nothing changes any more.
        loop {
            let more: u64 = files.iter().map(|(file, count)| again(file, *count)).sum();
            stored += more;
            if more == 0 {
                break;
            }
        }
        let before = tree(Path::new(&location));
        for (file, count) in &files {
            prop_assert_eq!(again(file, *count), 0);
        }
        prop_assert_eq!(tree(Path::new(&location)), before);
        if stored > 0 {
            let lake = Lake::open(&location).unwrap();
            let check = lake.check().unwrap();
            prop_assert!(check.ok, "{}", check);
            prop_assert_eq!(check.rows, stored);
            for info in lake.symbols().unwrap() {
                let bars = lake.show(&info.symbol, None, None, None, Adjust::None).unwrap();
                prop_assert_eq!(bars.len() as u64, info.bars);
                prop_assert!(bars.is_sorted_by(|a, b| a.dt < b.dt));
            }
        }
    }
}
