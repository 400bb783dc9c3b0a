//! What is said of a file that cannot be read at all.

use super::*;

const ROW: &str = "2013-03-01,1,2,1,1,5\n";

/// The error of a file, its path shown as `FILE`.
fn refused(name: &str, bytes: impl AsRef<[u8]>, profile: Option<&str>, symbol: Option<&str>) -> String {
    let (_folder, path) = file(name, bytes);
    let symbol = symbol.map(|symbol| Symbol::new(symbol).unwrap());
    let error = open(&path, profile, symbol.as_ref(), now()).err().expect("an error").to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    error.replace(path.to_str().unwrap(), "FILE")
}

#[test]
fn what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| open(path, None, None, now()).err().unwrap().to_string();
    assert!(error(folder.path()).ends_with("is a folder: name the files in it"));
    let missing = error(&folder.path().join("nothing.csv"));
    assert!(missing.starts_with("there is no file `") && missing.contains("nothing.csv"), "{missing}");
}

#[test]
fn what_has_nothing_in_it() {
    assert_eq!(refused("A.csv", "", None, None), "`FILE` is empty: fetch it again");
    assert_eq!(refused("A.csv", "\u{feff}\n \r\n", None, None), "`FILE` is empty: fetch it again");
    let header = "timestamp,open,high,low,close,volume";
    for text in [header.to_string(), format!("{header}\r\n\n  \n")] {
        assert_eq!(refused("A.csv", text, None, None), "`FILE` has a header but no rows: fetch it again");
    }
}

#[test]
fn a_header_without_rows_is_found_out_in_any_block() {
    let (_folder, path) = file("A.csv", format!("timestamp,open,high,low,close,volume\n{}", "\n".repeat(1_000)));
    for block in [1, 10, 100] {
        let outcome = open_with(&path, None, None, now(), Effort { block, threads: 2, patient: false })
            .and_then(|mut input| input.next_batch());
        assert!(matches!(outcome, Err(IntakeError::NoRows { .. })), "blocks of {block}");
    }
}

#[test]
fn what_is_not_text() {
    for (bytes, kind) in [
        (&b"\x1f\x8b\x08\x00rest"[..], "gzip: decompress it first"),
        (b"PK\x03\x04rest", "a zip archive or a spreadsheet: decompress it or save it as CSV first"),
        (b"PAR1rest", "Parquet: export it as CSV first"),
        (b"\xff\xfed\0t\0", "UTF-16: save it as UTF-8 first"),
        (b"abc\0def\n", "binary: decompress it or export it as CSV first"),
    ] {
        assert_eq!(refused("A.csv", bytes, None, None), format!("`FILE` is not text but {kind}"));
    }
    assert_eq!(
        refused("A.csv", b"d\xe9but,fin\n1,2\n", None, None),
        "`FILE` is not UTF-8 text: save it as UTF-8 first"
    );
    let endless = vec![b'x'; 6 << 20];
    assert_eq!(refused("A.csv", endless, None, None), "`FILE` is not text but one endless line: it is not a table");
}

#[test]
fn another_delimiter() {
    for (delimiter, name) in [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")] {
        let text = format!("timestamp,open,high,low,close,volume\n{ROW}").replace(',', delimiter);
        for profile in [None, Some("alpha_vantage_daily")] {
            let error = refused("A.csv", &text, profile, None);
            assert!(
                error.starts_with(&format!(
                    "`FILE` separates its columns with {name}, but profile `alpha_vantage_daily` expects commas: "
                )),
                "{error}"
            );
        }
    }
}

#[test]
fn an_unknown_header_names_the_nearest_profile_and_the_difference() {
    let error = refused("A.csv", format!("timestamp,open,high,low,close,vol,extra\n{ROW}"), None, None);
    assert!(error.contains("`timestamp,open,high,low,close,vol,extra`"), "{error}");
    assert!(
        error.contains("nearest is profile `alpha_vantage_daily` (missing `volume`; unknown `vol`, `extra`)"),
        "{error}"
    );
    assert!(error.contains("known: workshop, alpha_vantage_daily_adjusted,"), "{error}");
    let error = refused("A.csv", format!("timestamp,high,open,low,close,volume\n{ROW}"), None, None);
    assert!(error.contains("the same columns in another order"), "{error}");
    let error = refused("A.csv", "when,what\n1,2\n", None, None);
    assert!(
        error.starts_with("the header of `FILE`, `when,what`, is unknown: correct it or pass `--profile`"),
        "{error}"
    );
}

#[test]
fn an_ambiguous_header_lists_the_candidates() {
    let error = refused("A.csv", format!("Date,Open,High,Low,Close,Volume\n{ROW}"), None, None);
    assert!(
        error.ends_with(
            "pass `--profile` with one of `stooq`, `ohlcv_raw`, `ohlcv_split_adjusted`, `ohlcv_total_adjusted`"
        ),
        "{error}"
    );
}

#[test]
fn a_profile_that_does_not_fit_or_exist() {
    let text = format!("timestamp,open,high,low,close,volume\n{ROW}");
    let error = refused("A.csv", &text, Some("yahoo"), None);
    assert!(
        error.contains("is not that of profile `yahoo` (missing `date`, `adj close`; unknown `timestamp`)"),
        "{error}"
    );
    assert!(error.ends_with("try `--profile alpha_vantage_daily`"), "{error}");
    let error = refused("A.csv", &text, Some("alpha_vantage_dayly"), None);
    assert_eq!(error, "there is no profile `alpha_vantage_dayly`; did you mean `alpha_vantage_daily`?");
    let error = refused("A.csv", &text, Some("nope"), None);
    assert!(error.starts_with("there is no profile `nope`; choose one of workshop, "), "{error}");
    assert!(refused("A.csv", &text, Some("./none.toml"), None).starts_with("there is no file `./none.toml`"));
}

#[test]
fn a_profile_file_that_cannot_be_used() {
    let (folder, path) = file("A.csv", format!("timestamp,open,high,low,close,volume\n{ROW}"));
    let good =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/profiles/workshop.toml")).unwrap();
    for (text, wanted) in [
        (good.replace("provider =", "vendor ="), "unknown field `vendor`"),
        (good.replace("high = \"high\"", "high = \"hi\""), "no column `hi` in its header"),
        (good.replace("high = \"high\"", "high = \"low\""), "`columns` names a column twice"),
        (good.replace("provider = \"workshop\"", "provider = \"../x\""), "`provider` must be lower-case letters"),
        (format!("delimiter = \"5\"\n{good}"), "`delimiter` cannot be '5'"),
        (format!("file_names = [\"x.csv\"]\n{good}"), "`file_names` needs `{symbol}` once"),
    ] {
        let own = folder.path().join("own.toml");
        std::fs::write(&own, text).unwrap();
        let error = open(&path, own.to_str(), None, now()).err().unwrap().to_string();
        assert!(error.starts_with("profile `") && error.contains(wanted) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_symbol_that_is_missing_bad_or_unwanted() {
    let text = format!("timestamp,open,high,low,close,volume\n{ROW}");
    for name in ["prices.csv", "alpha vantage export 2013.csv", "fb_2013.csv"] {
        assert_eq!(
            refused(name, &text, None, None),
            "the symbol of `FILE` cannot be told from its name (profile `alpha_vantage_daily` reads `daily_SYM.csv` or \
             `SYM.csv`): pass `--symbol`"
        );
    }
    assert_eq!(refused("F B.csv", &text, None, None), "the name of `FILE` gives no usable symbol: pass `--symbol`");
    let workshop = "dt,sym,open,high,low,close,vol\n2013-03-01,A,1,2,1,1,5\n";
    assert_eq!(
        refused("A.csv", workshop, None, Some("FB")),
        "`FILE` names the symbol of each row in its column `sym`: leave `--symbol FB` out"
    );
    let (_folder, path) = file("prices.csv", text);
    let symbol = Symbol::new("fb").unwrap();
    assert_eq!(rows(&mut open(&path, None, Some(&symbol), now()).unwrap()), ["FB 2013-03-01 1 2 1 1 5"]);
}
