//! A file of lines that was cut anywhere, as a crash or a full disk leaves it.
#![allow(clippy::unwrap_used)]

use std::fs;

use journal::{FileLines, Lines, LinesError};

fn read(lines: &mut FileLines) -> Vec<String> {
    std::iter::from_fn(|| lines.next_line().unwrap()).map(|line| String::from_utf8(line).unwrap()).collect()
}

#[test]
fn what_was_being_written_is_dropped_and_what_follows_stands_on_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    // The last line is longer than what is read at once when its beginning is looked for.
    for last in ["third".to_owned(), "x".repeat(4_095), "y".repeat(9_000)] {
        let whole = format!("first\n\nsecond\n{last}\n");
        let begins = whole.len() - last.len() - 1;
        for cut in (0..=whole.len()).filter(|cut| *cut < begins + 8 || cut % 977 == 0 || whole.len() - cut < 4) {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut lines = FileLines::open(&path).unwrap();
            let kept: Vec<String> = whole[..cut]
                .rsplit_once('\n')
                .map_or(vec![], |(kept, _)| kept.split('\n').map(str::to_owned).collect());
            assert_eq!(read(&mut lines), kept, "cut at {cut}");
            lines.append(0, b"next").unwrap();
            lines.sync().unwrap();
            drop(lines);
            let mut again = FileLines::open(&path).unwrap();
            assert_eq!(read(&mut again), [&kept[..], &["next".to_owned()]].concat(), "cut at {cut}");
        }
    }
}

#[test]
fn a_file_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let first = FileLines::open(&path).unwrap();
    assert!(matches!(FileLines::open(&path), Err(LinesError::Taken(_))));
    assert!(journal::lines::is_taken(&path));
    drop(first);
    assert!(!journal::lines::is_taken(&path));
    FileLines::open(&path).unwrap();
}
