//! Literal samples through the whole intake.

use super::*;
use crate::row::RowActionKind;

pub(super) fn now() -> Timestamp {
    Timestamp::parse("2024-06-01T00:00:00Z").unwrap()
}

/// A file to be read as it usually is, without keeping a copy.
pub(super) fn open(
    path: &Path,
    profile: Option<&str>,
    symbol: Option<&Symbol>,
    now: Timestamp,
) -> Result<Input, IntakeError> {
    open_with(path, profile, symbol, now, Effort::usual())
}

/// A file to be read with the work cut up as asked.
pub(super) fn open_with(
    path: &Path,
    profile: Option<&str>,
    symbol: Option<&Symbol>,
    now: Timestamp,
    effort: Effort,
) -> Result<Input, IntakeError> {
    super::open_with(path, profile, symbol, now, None, effort)
}

/// A file of the given name and bytes, and the folder that keeps it alive.
pub(super) fn file(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// All rows as one text line each, in the order of the file.
pub(super) fn rows(input: &mut Input) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(batch) = input.next_batch().unwrap() {
        assert_eq!(batch.rows, (batch.bars.len() + batch.refused.len()) as u64);
        let mut found: Vec<(u64, u8, String)> = Vec::new();
        for bar in &batch.bars {
            let (o, h, l, c) = (bar.open, bar.high, bar.low, bar.close);
            let symbol = &batch.symbols[bar.symbol as usize];
            let mut text = format!("{symbol} {} {o} {h} {l} {c} {}", bar.session, bar.volume);
            if bar.flags != crate::row::Flags::default() {
                text.push_str(&format!(" flags {}", bar.flags.0));
            }
            found.push((bar.place.offset, 0, text));
        }
        for action in &batch.actions {
            let symbol = &batch.symbols[action.symbol as usize];
            let text = match action.kind {
                RowActionKind::Split(ratio) => format!("split {}:{}", ratio.numerator(), ratio.denominator()),
                RowActionKind::Dividend(cash) => format!("dividend {cash}"),
            };
            found.push((action.place.offset, 1, format!("{symbol} {} {text}", action.ex_date)));
        }
        for refused in &batch.refused {
            found.push((
                refused.place.offset,
                0,
                format!("line {} {}: {}", refused.place.line, refused.rule, refused.value),
            ));
        }
        found.sort();
        lines.extend(found.into_iter().map(|(_, _, text)| text));
    }
    lines
}

/// What a file of this name and text gives.
pub(super) fn read(name: &str, text: impl AsRef<[u8]>) -> Vec<String> {
    let (_folder, path) = file(name, text);
    rows(&mut open(&path, None, None, now()).unwrap())
}

#[test]
fn alpha_vantage_rows_become_bars_and_actions() {
    let text = "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n\
                2013-03-01,27.05,28.1164,26.81,27.78,27.78,54064800,0.0,1.0\n\
                2013-02-28,26.84,27.3,26.34,27.25,27.25,83027800,0.25,2.0\n";
    assert_eq!(
        read("daily_adjusted_FB.csv", text),
        [
            "FB 2013-03-01 27.05 28.1164 26.81 27.78 54064800",
            "FB 2013-02-28 26.84 27.3 26.34 27.25 83027800",
            "FB 2013-02-28 dividend 0.25",
            "FB 2013-02-28 split 2:1",
        ]
    );
}

#[test]
fn the_workshop_layout_names_a_symbol_in_each_row() {
    let text = "dt,sym,open,high,low,close,vol\r\n2013-03-01,aapl,1,2,0.5,1.5,7\r\n2013-03-02,aapl,1,2,0.5,1.5,7";
    assert_eq!(read("x.csv", text), ["AAPL 2013-03-01 1 2 0.5 1.5 7", "line 3 off_session: 2013-03-02"]);
}

#[test]
fn the_committed_sample_reads_whole() {
    let mut total = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample")).unwrap() {
        let path = entry.unwrap().path();
        let mut input = open(&path, None, None, now()).unwrap();
        while let Some(batch) = input.next_batch().unwrap() {
            assert_eq!(batch.refused, [], "{}", path.display());
            total += batch.bars.len();
        }
        assert_eq!(input.received().unwrap().sha256().len(), 64);
    }
    assert_eq!(total, 12_154);
}

mod errors;
mod fuzz;
mod profiles;
mod rules;
