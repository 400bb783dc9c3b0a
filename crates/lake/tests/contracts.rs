//! What is refused, what is flagged, and that nothing is lost.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use lake::{Adjust, Lake, LakeError};
use parquet::record::RowAccessor as _;

/// Of a refused row: file, line, rule, value, text.
type Refused = (String, i64, String, String, String);

fn quarantine(location: &str) -> Vec<Refused> {
    use parquet::file::reader::FileReader as _;
    let mut found = Vec::new();
    for path in tree(&Path::new(location).join("quarantine")).keys().filter(|path| path.is_file()) {
        let reader = parquet::file::reader::SerializedFileReader::try_from(path.as_path()).unwrap();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let text = |at| row.get_string(at).unwrap().clone();
            found.push((text(0), row.get_long(1).unwrap(), text(2), text(3), text(4)));
        }
    }
    found.sort();
    found
}

fn run(rows: &str) -> (lake::ImportSummary, Vec<Refused>) {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let summary = import(&location, &request([workshop(folder.path(), "rows.csv", rows)])).unwrap();
    (summary, quarantine(&location))
}

fn rules(summary: &lake::ImportSummary) -> Vec<(&str, u64)> {
    summary.rules.iter().map(|(rule, count)| (rule.as_str(), *count)).collect()
}

#[test]
fn a_copy_of_the_session_before_is_refused_with_its_text() {
    let (summary, refused) = run("2013-03-01,XYZ,10,11,9,10,100\n2013-03-04,XYZ,10,11,9,10,100\n");
    assert_eq!(rules(&summary), [("stale_copy", 1)]);
    let row = "2013-03-04,XYZ,10,11,9,10,100".to_owned();
    assert_eq!(refused, [("rows.csv".into(), 3, "stale_copy".into(), "the same as 2013-03-01".into(), row)]);
}

#[test]
fn a_copy_is_refused_across_the_year_and_across_imports() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let day = |date: &str| format!("{date},XYZ,10,11,9,10,100\n");
    import(&location, &request([workshop(folder.path(), "a.csv", &day("2012-12-31"))])).unwrap();
    let summary = import(&location, &request([workshop(folder.path(), "b.csv", &day("2013-01-02"))])).unwrap();
    assert_eq!(rules(&summary), [("stale_copy", 1)]);
    // Newest first, in one file.
    let rows = [day("2012-01-03"), day("2011-12-30")].concat();
    let summary = import(&location, &request([workshop(folder.path(), "c.csv", &rows)])).unwrap();
    assert_eq!(rules(&summary), [("stale_copy", 1)]);
}

#[test]
fn the_same_prices_with_another_volume_are_flagged() {
    let (summary, refused) = run("2013-03-01,XYZ,10,11,9,10,100\n2013-03-04,XYZ,10,11,9,10,101\n");
    assert_eq!((rules(&summary), summary.stored, summary.flagged), (vec![("repeated_prices", 1)], 2, 1));
    assert!(refused.is_empty());
}

#[test]
fn an_unexplained_jump_is_flagged_and_an_explained_one_is_not() {
    let (summary, _) = run("2013-03-01,XYZ,10,11,9,10,100\n2013-03-04,XYZ,20,21,19,20,100\n");
    assert_eq!((rules(&summary), summary.stored, summary.flagged), (vec![("jump", 1)], 2, 1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daily_adjusted_XYZ.csv");
    std::fs::write(
        &path,
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n\
         2013-03-05,3,3,3,3,3,100,2.1,1.0\n2013-03-04,5,6,4,5,5,100,0.0,2.0\n2013-03-01,10,11,9,10,5,100,0.0,1.0\n",
    )
    .unwrap();
    let summary = import(&place(&folder), &request([path])).unwrap();
    assert_eq!((summary.stored, summary.flagged), (3, 0), "{summary:?}");
}

#[test]
fn of_duplicates_the_first_is_kept() {
    let (summary, refused) = run("2013-03-01,XYZ,10,11,9,10,100\n2013-03-01,XYZ,10,11,9,10,100\n\
                                  2013-03-01,XYZ,10,11,9,10.5,100\n");
    assert_eq!((rules(&summary), summary.stored), (vec![("duplicate", 2)], 1));
    assert_eq!(refused[0].3, "the same as line 2");
    assert_eq!(refused[1].3, "other values than line 2, which is kept");
}

#[test]
fn a_second_truth_for_the_same_time_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let with = |name: &str, close: &str| {
        let mut request = request([workshop(folder.path(), name, &format!("2013-03-01,XYZ,10,11,9,{close},100\n"))]);
        request.known_at = Some(time("2013-03-02T00:00:00Z"));
        import(&location, &request).unwrap()
    };
    assert_eq!(with("a.csv", "10").stored, 1);
    assert_eq!(with("b.csv", "10").unchanged, 1);
    assert_eq!(rules(&with("c.csv", "10.5")), [("conflicting_version", 1)]);
}

#[test]
fn weekends_filled_forward_are_refused() {
    let (summary, refused) = run("2013-03-01,XYZ,10,11,9,10,100\n2013-03-02,XYZ,10,11,9,10,100\n\
                                  2013-03-03,XYZ,10,11,9,10,100\n2013-03-04,XYZ,10,12,9,11,100\n");
    assert_eq!((summary.stored, summary.quarantined), (2, 2));
    assert_eq!(refused.iter().map(|row| row.1).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn strict_names_the_first_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let good = workshop(folder.path(), "good.csv", "2013-02-28,XYZ,10,11,9,10,100\n");
    import(&location, &request([good])).unwrap();
    let before = tree(Path::new(&location));
    let rows = "2013-03-01,XYZ,20,21,19,20,100\n2013-03-04,XYZ,20,19,21,20,100\n";
    let mut strict = request([workshop(folder.path(), "rows.csv", rows)]);
    strict.strict = true;
    let error = import(&location, &strict).unwrap_err();
    assert!(matches!(error, LakeError::Strict { quarantined: 1, flagged: 1, line: 2, .. }), "{error}");
    assert!(error.to_string().contains("rows.csv:2 (jump: 20)"), "{error}");
    assert_eq!(tree(Path::new(&location)), before);
    // A perfect file passes.
    strict.paths = vec![workshop(folder.path(), "perfect.csv", "2013-03-01,XYZ,11,12,10,11,100\n")];
    assert_eq!(import(&location, &strict).unwrap().stored, 1);
}

#[test]
fn check_finds_what_somebody_broke() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let rows = "2013-03-01,XYZ,10,11,9,10,100\n2013-03-05,XYZ,10,12,9,11,100\n";
    import(&location, &request([workshop(folder.path(), "rows.csv", rows)])).unwrap();
    let lake = Lake::open(&location).unwrap();
    let report = lake.check().unwrap();
    assert!(report.ok);
    assert_eq!(report.findings.iter().map(|one| (one.rule, one.count)).collect::<Vec<_>>(), [("missing_sessions", 1)]);
    let year = Path::new(&location).join("bars_daily/year=2013");
    let file = std::fs::read_dir(&year).unwrap().next().unwrap().unwrap().path();
    // The same versions twice, and half a file.
    std::fs::copy(&file, year.join("again.parquet")).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(year.join("half.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    let report = lake.check().unwrap();
    assert!(!report.ok);
    let errors: BTreeMap<_, _> = report.findings.iter().filter(|one| one.error).map(|one| (one.rule, one)).collect();
    assert_eq!(errors["duplicate"].count, 2);
    assert!(errors["unreadable"].examples[0].starts_with("bars_daily/year=2013/half.parquet"), "{report}");
    // Readers name the file as well.
    let error = lake.show(&symbol("XYZ"), None, None, None, Adjust::None).unwrap_err();
    assert!(matches!(&error, LakeError::Corrupt { file, .. } if file.ends_with("half.parquet")), "{error}");
    assert!(error.to_string().contains("delete it"), "{error}");
}

#[test]
fn an_unknown_symbol_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    import(&location, &request([sample()])).unwrap();
    let error = Lake::open(&location).unwrap().market(&[symbol("APPL")], None, None).unwrap_err().to_string();
    assert!(error.contains("did you mean AAPL?") && error.contains("data import"), "{error}");
}

#[test]
fn a_file_behind_the_lake_fills_gaps_and_supersedes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let location = place(&folder);
    let newer = "2013-03-01,XYZ,10,11,9,10,100\n2013-03-05,XYZ,12,13,11,12,300\n";
    import(&location, &request([workshop(folder.path(), "newer.csv", newer)])).unwrap();
    let older = "2013-03-01,XYZ,20,21,19,20,900\n2013-03-04,XYZ,11,12,10,11,200\n";
    let mut behind = request([workshop(folder.path(), "older.csv", older)]);
    behind.behind = true;
    let summary = import(&location, &behind).unwrap();
    assert_eq!((summary.read, summary.stored, summary.unchanged), (2, 1, 1));
    assert_eq!(rules(&summary), [("superseded", 1)]);
    let symbol = domain::Symbol::new("XYZ").unwrap();
    let shown = Lake::open(&location).unwrap().show(&symbol, None, None, None, Adjust::None).unwrap();
    assert_eq!(shown.iter().map(|bar| bar.vol).collect::<Vec<_>>(), [100, 200, 300]);
}
