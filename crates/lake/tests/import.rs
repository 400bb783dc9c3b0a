//! Files in, bars and actions out.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

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
    assert_eq!(summary.read, 12_154);
    let lake = Lake::open(&location).unwrap();
    let symbols = lake.symbols().unwrap();
    let facebook = &symbols[1];
    assert_eq!((facebook.first, facebook.last, facebook.bars), (date("2012-05-18"), date("2013-03-01"), 196));
    assert_eq!(
        symbols.iter().map(|one| one.symbol.as_str()).collect::<Vec<_>>(),
        ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    );
    let bars = lake.show(&symbol("AAPL"), None, None, None, Adjust::None).unwrap();
    assert_eq!(bars.last().unwrap().close.to_string(), "430.47");
    let flagged: Vec<_> =
        bars.iter().filter(|bar| !bar.flags.is_empty()).map(|bar| (bar.dt.to_string(), bar.flags.as_str())).collect();
    assert_eq!(flagged, [("2000-09-29".into(), "jump"), ("2003-01-29".into(), "repeated_prices")]);
    let check = lake.check().unwrap();
    assert!(check.ok, "{check}");
    println!("{check}");
}

#[test]
fn importing_the_same_file_twice_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    // A refused row too: it must not be quarantined twice.
    let bad = workshop(
        folder.path(),
        "bad.csv",
        "2013-03-01,XYZ,10,11,9,10,100\n2013-03-02,XYZ,10,11,9,10,100\n2013-03-04,XYZ,10,11,9,10,100\n\
         2013-03-05,XYZ,10,9,11,10,100\n2013-03-06,XYZ,10,11,9,10,7\n",
    );
    let mut request = request([sample(), bad]);
    let first = import(&location, &request).unwrap();
    let before = tree(Path::new(&location));
    request.now = time("2026-02-01T00:00:00Z");
    let second = import(&location, &request).unwrap();
    assert_eq!(tree(Path::new(&location)), before);
    assert_eq!((second.stored, second.flagged), (0, 0));
    assert_eq!(second.quarantined, first.quarantined);
    assert_eq!(second.unchanged, first.stored);
}

#[test]
fn bytes_are_kept_as_received_with_their_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    import(&location, &request([sample().join("daily_adjusted_IBM.csv")])).unwrap();
    let raw = tree(&Path::new(&location).join("raw"));
    let (_, bytes) = raw.iter().find(|(path, _)| path.ends_with("daily_adjusted_IBM.csv")).unwrap();
    assert_eq!(*bytes, std::fs::read(sample().join("daily_adjusted_IBM.csv")).unwrap());
    let (path, manifest) = raw.iter().find(|(path, _)| path.ends_with("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let sha256 = manifest["sha256"].as_str().unwrap();
    assert_eq!(path.parent().unwrap().file_name().unwrap().to_str().unwrap(), &sha256[..16]);
    assert_eq!(manifest["bytes"], bytes.len());
    assert_eq!(manifest["profile"], "alpha_vantage_daily_adjusted");
    assert_eq!(manifest["summary"]["stored"], bytes.iter().filter(|byte| **byte == b'\n').count() - 1);
}

#[test]
fn a_pipe_is_read_once_and_kept_whole() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    // More than the importer reads at a time, with rows refused for what they are and for what came before them.
    let mut text = String::from("dt,sym,open,high,low,close,vol\n");
    for symbol in 0..25_000 {
        for row in ["2013-03-01,S{},10,11,9,10,100", "2013-03-02,S{},10,11,9,10,100", "2013-03-04,S{},10,11,9,10,100"] {
            text.push_str(&row.replace("{}", &symbol.to_string()));
            text.push('\n');
        }
    }
    let pipe = folder.path().join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (into, bytes) = (pipe.clone(), text.clone());
    let writer = std::thread::spawn(move || std::fs::write(into, bytes).unwrap());
    let summary = import(&location, &request([pipe])).unwrap();
    writer.join().unwrap();
    assert_eq!((summary.stored, summary.quarantined), (25_000, 50_000));
    let raw = tree(&Path::new(&location).join("raw"));
    let (_, kept) = raw.iter().find(|(path, _)| path.ends_with("pipe.csv")).unwrap();
    assert!(*kept == text.as_bytes(), "{} bytes of {}", kept.len(), text.len());
}

#[test]
fn adjusted_prices_equal_the_vendors() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    import(&location, &request([sample()])).unwrap();
    let lake = Lake::open(&location).unwrap();
    for name in ["AAPL", "FB", "GOOG", "IBM", "MSFT"] {
        let bars = lake.show(&symbol(name), None, None, None, Adjust::Total).unwrap();
        let text = std::fs::read_to_string(sample().join(format!("daily_adjusted_{name}.csv"))).unwrap();
        let theirs: BTreeMap<&str, f64> = text
            .lines()
            .skip(1)
            .map(|line| {
                let fields: Vec<_> = line.split(',').collect();
                (fields[0], fields[5].parse().unwrap())
            })
            .collect();
        // The vendor went on adjusting for what came after the sample: compare in terms of the last bar.
        let last = bars.last().unwrap();
        let scale = theirs[last.dt.to_string().as_str()] / last.close.to_f64();
        for bar in &bars {
            let (ours, theirs) = (bar.close.to_f64() * scale, theirs[bar.dt.to_string().as_str()]);
            // The vendor prints six decimals.
            let tolerance = 1e-6 * theirs + 1e-6;
            assert!((ours - theirs).abs() <= tolerance, "{name} {}: {ours} {theirs}", bar.dt);
        }
    }
}

#[test]
fn split_adjustment_keeps_the_value_of_a_days_trading() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    import(&location, &request([sample()])).unwrap();
    let lake = Lake::open(&location).unwrap();
    let raw = lake.show(&symbol("AAPL"), None, None, None, Adjust::None).unwrap();
    let split = lake.show(&symbol("AAPL"), None, None, None, Adjust::Split).unwrap();
    // Two for one on 2000-06-21 and on 2005-02-28.
    for (day, factor) in [("2000-03-01", 4), ("2000-06-21", 2), ("2005-02-25", 2), ("2005-02-28", 1)] {
        let at = raw.iter().position(|bar| bar.dt == date(day)).unwrap();
        assert_eq!(raw[at].close.units(), split[at].close.units() * factor, "{day}");
        assert_eq!(raw[at].vol * factor as u64, split[at].vol, "{day}");
    }
    // Before the split was known, nothing was adjusted for it.
    let then = lake.show(&symbol("AAPL"), None, None, Some(time("2000-06-20T23:00:00Z")), Adjust::Split).unwrap();
    assert_eq!(then.last().unwrap().dt, date("2000-06-20"));
    assert_eq!(then[0].close, raw[0].close);
}

#[test]
fn a_correction_appends_and_the_past_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let rows = "2013-03-01,XYZ,10,11,9,10,100\n2013-03-04,XYZ,10,12,9,11,100\n";
    let first = workshop(folder.path(), "first.csv", rows);
    let second = workshop(folder.path(), "second.csv", &rows.replace("12,9,11", "12,9,11.5"));
    import(&location, &request([first.clone()])).unwrap();
    let before = tree(Path::new(&location));
    let mut correct = request([second]);
    correct.now = time("2026-02-01T00:00:00Z");
    let summary = import(&location, &correct).unwrap();
    assert_eq!((summary.stored, summary.unchanged), (1, 1));
    let after = tree(Path::new(&location));
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "a stored file was rewritten");
    let lake = Lake::open(&location).unwrap();
    let close = |as_of: Option<&str>| {
        let bars = lake.show(&symbol("XYZ"), None, None, as_of.map(time), Adjust::None).unwrap();
        bars.iter().map(|bar| bar.close.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(close(None), ["10", "11.5"]);
    assert_eq!(close(Some("2026-01-31T23:59:59Z")), ["10", "11"]);
    assert_eq!(close(Some("2013-03-04T20:59:59Z")), ["10"], "a bar is known when its session has closed");
    assert_eq!(close(Some("2013-03-04T21:00:00Z")), ["10", "11"]);
    // The old file brings nothing new, and does not undo the correction.
    correct.paths = vec![first];
    correct.now = time("2026-03-01T00:00:00Z");
    let again = import(&location, &correct).unwrap();
    assert_eq!((again.unchanged, again.rules.get("superseded")), (2, Some(&1)), "{again:?}");
    assert_eq!(close(None), ["10", "11.5"]);
}

#[test]
fn decisions_see_only_what_was_known_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let at = |known_at: &str, rows: &str| {
        let file = workshop(folder.path(), &format!("{}.csv", known_at.replace(':', "")), rows);
        let mut request = request([file]);
        request.known_at = Some(time(known_at));
        import(&location, &request).unwrap();
    };
    // History delivered long after; then day by day; a correction in time, one too late, and a bar too late.
    at("2013-03-02T00:00:00Z", "2013-02-25,XYZ,9,11,8,9,100\n2013-03-01,XYZ,10,11,9,10,100\n");
    at("2013-03-04T22:00:00Z", "2013-03-04,XYZ,10,12,9,11,100\n");
    at("2013-03-05T05:00:00Z", "2013-03-04,XYZ,10,12,9,11.25,100\n");
    at("2013-03-08T00:00:00Z", "2013-03-04,XYZ,10,12,9,11.5,100\n2013-03-05,XYZ,10,13,9,12,100\n");
    let data = Lake::open(&location).unwrap().market(&[symbol("XYZ")], None, None).unwrap();
    let seen =
        |bars: &[domain::Bar]| bars.iter().map(|bar| format!("{} {}", bar.session, bar.close)).collect::<Vec<_>>();
    assert_eq!(seen(&data.bars), ["2013-02-25 9", "2013-03-01 10", "2013-03-04 11.25"]);
    assert_eq!(seen(&data.restated), ["2013-03-04 11.5"]);
    assert_eq!((data.backfilled, data.late), (1, 1));
    assert_eq!(data.revisions.len(), 3, "{:?}", data.revisions);
}

#[test]
fn equal_content_has_an_equal_digest_however_it_arrived() {
    let rows = ["2013-03-01,XYZ,10,11,9,10,100\n", "2013-03-04,XYZ,10,12,9,11,100\n"];
    let digest = |parts: &[String]| {
        let folder = tempfile::tempdir().unwrap();
        let location = place(&folder);
        for (at, part) in parts.iter().enumerate() {
            import(&location, &request([workshop(folder.path(), &format!("{at}.csv"), part)])).unwrap();
        }
        Lake::open(&location).unwrap().market(&[symbol("XYZ")], None, None).unwrap().sha256
    };
    let whole = digest(&[rows.concat()]);
    assert_eq!(whole, digest(&[rows[1].to_owned(), rows[0].to_owned()]));
    assert_ne!(whole, digest(&[rows[0].to_owned()]));
}

#[test]
fn a_changed_dividend_appends() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let header = "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n";
    let write = |name: &str, dividend: &str| {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        let path = folder.path().join(name).join("daily_adjusted_XYZ.csv");
        let rows = format!("2013-03-04,10,12,9,11,11,100,{dividend},1.0\n2013-03-01,10,11,9,10,10,100,0.0,1.0\n");
        std::fs::write(&path, format!("{header}{rows}")).unwrap();
        path
    };
    import(&location, &request([write("a", "0.5")])).unwrap();
    let summary = import(&location, &request([write("b", "0.6")])).unwrap();
    assert_eq!(summary.unchanged, 2, "the bars are the same");
    let lake = Lake::open(&location).unwrap();
    let values = |as_of: Option<&str>| {
        let actions = lake.actions(&symbol("XYZ"), as_of.map(time)).unwrap();
        actions.iter().map(|one| format!("{} {} {}", one.ex_date, one.kind, one.value)).collect::<Vec<_>>()
    };
    assert_eq!(values(None), ["2013-03-04 dividend 0.6"]);
    assert_eq!(values(Some("2026-01-01T00:00:00Z")), ["2013-03-04 dividend 0.5"]);
    assert_eq!(values(Some("2013-03-04T14:30:00Z")), ["2013-03-04 dividend 0.5"], "known when the session opens");
    assert!(values(Some("2013-03-04T14:29:59Z")).is_empty());
}

#[test]
fn a_file_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let names = ["manifest.json", "two\nlines.csv", "blank name.csv", "caf\u{e9}.csv"];
    for (at, name) in names.into_iter().enumerate() {
        let file = workshop(folder.path(), name, &format!("2013-03-0{},XYZ,10,11,9,10,{at}\n", [1, 4, 5, 6][at]));
        assert_eq!(import(&location, &request([file])).unwrap().stored, 1, "{name}");
    }
    let lake = Lake::open(&location).unwrap();
    assert_eq!(lake.show(&symbol("XYZ"), None, None, None, Adjust::None).unwrap().len(), 4);
    assert!(lake.check().unwrap().ok);
    assert!(!Path::new(&location).join(".staging").exists());
}
