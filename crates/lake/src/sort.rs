//! An import's rows by year and symbol, in memory that does not grow with the file.
//!
//! Rows are kept as they arrive, with a list of stretches of the same symbol and year; only the list is sorted, so a
//! file that is sorted already, in either direction, costs next to nothing. Beyond a limit the rows are written to a
//! spill file, grouped, and read back a group at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use domain::{Price, SessionDate};

use crate::error::LakeError;
use crate::row::{Flags, Place, RowBar};

/// A bar of the import in 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: i64,
    pub(crate) session: SessionDate,
    length: u32,
    /// File in the upper 16 bits, offset below.
    file_offset: u64,
    /// Flags in the upper 8 bits, line below.
    flags_line: u64,
}

const BYTES: usize = 64;
const OFFSET_BITS: u32 = 48;
const LINE_BITS: u32 = 56;

impl Row {
    pub(crate) fn new(file: u16, bar: &RowBar) -> Self {
        Self {
            open: bar.open.units(),
            high: bar.high.units(),
            low: bar.low.units(),
            close: bar.close.units(),
            volume: bar.volume,
            session: bar.session,
            length: bar.place.length,
            file_offset: u64::from(file) << OFFSET_BITS | bar.place.offset,
            flags_line: u64::from(bar.flags.0) << LINE_BITS | bar.place.line,
        }
    }

    pub(crate) fn file(&self) -> u16 {
        (self.file_offset >> OFFSET_BITS) as u16
    }

    pub(crate) fn flags(&self) -> Flags {
        Flags((self.flags_line >> LINE_BITS) as u8)
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            line: self.flags_line & ((1 << LINE_BITS) - 1),
            offset: self.file_offset & ((1 << OFFSET_BITS) - 1),
            length: self.length,
        }
    }

    pub(crate) fn values(&self) -> [i64; 5] {
        [self.open, self.high, self.low, self.close, self.volume]
    }

    pub(crate) fn close(&self) -> Price {
        Price::from_units(self.close)
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let days_length = u64::from(self.session.days() as u32) << 32 | u64::from(self.length);
        let words = [
            self.open as u64,
            self.high as u64,
            self.low as u64,
            self.close as u64,
            self.volume as u64,
            days_length,
            self.file_offset,
            self.flags_line,
        ];
        let mut bytes = [0; BYTES];
        for (into, word) in bytes.chunks_exact_mut(8).zip(words) {
            into.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            open: word(0) as i64,
            high: word(1) as i64,
            low: word(2) as i64,
            close: word(3) as i64,
            volume: word(4) as i64,
            session: SessionDate::from_days((word(5) >> 32) as i32),
            length: word(5) as u32,
            file_offset: word(6),
            flags_line: word(7),
        }
    }
}

/// Consecutive rows of one symbol and year; `start` counts the spilled rows, then those in memory.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    year: i32,
    symbol: u32,
    start: u64,
    len: u32,
}

/// Takes rows in the order of the files.
pub(crate) struct Sorter {
    folder: PathBuf,
    limit: usize,
    rows: Vec<Row>,
    stretches: Vec<Stretch>,
    done: Vec<Stretch>,
    spill: Option<File>,
    spilled: u64,
    /// First day of the last row's year and of the next.
    year: (i32, i32, i32),
}

impl Sorter {
    /// Keeps up to `limit` rows in memory, and spills the rest into `folder`.
    pub(crate) fn new(folder: &Path, limit: usize) -> Self {
        Self {
            folder: folder.into(),
            limit: limit.max(1),
            rows: Vec::new(),
            stretches: Vec::new(),
            done: Vec::new(),
            spill: None,
            spilled: 0,
            year: (0, 0, 0),
        }
    }

    pub(crate) fn push(&mut self, symbol: u32, row: Row) -> Result<(), LakeError> {
        if self.rows.len() >= self.limit {
            self.spill()?;
        }
        let days = row.session.days();
        if days < self.year.1 || days >= self.year.2 {
            let year = row.session.year();
            let first = |year| SessionDate::from_ymd(year, 1, 1).map_or(i32::MAX, SessionDate::days);
            self.year = (year, first(year), first(year + 1));
        }
        let year = self.year.0;
        match self.stretches.last_mut() {
            Some(last) if last.symbol == symbol && last.year == year && last.len < u32::MAX => last.len += 1,
            _ => self.stretches.push(Stretch { year, symbol, start: self.rows.len() as u64, len: 1 }),
        }
        self.rows.push(row);
        Ok(())
    }

    /// Writes the rows in memory to disk, group by group.
    fn spill(&mut self) -> Result<(), LakeError> {
        let failed = |source| LakeError::write(&self.folder, source);
        let mut file = match self.spill.take() {
            Some(file) => file,
            // Nameless, so that nothing is left when the process dies.
            None => tempfile::tempfile_in(&self.folder).map_err(failed)?,
        };
        self.stretches.sort_by_key(|stretch| (stretch.year, stretch.symbol));
        let mut out = BufWriter::with_capacity(1 << 20, &mut file);
        let mut start = self.spilled;
        for stretch in &self.stretches {
            let from = stretch.start as usize;
            for row in &self.rows[from..from + stretch.len as usize] {
                out.write_all(&row.to_bytes()).map_err(failed)?;
            }
            match self.done.last_mut() {
                Some(last)
                    if last.start >= self.spilled
                        && (last.year, last.symbol) == (stretch.year, stretch.symbol)
                        && u64::from(last.len) + u64::from(stretch.len) < u64::from(u32::MAX) =>
                {
                    last.len += stretch.len;
                }
                _ => self.done.push(Stretch { start, ..*stretch }),
            }
            start += u64::from(stretch.len);
        }
        out.flush().map_err(failed)?;
        drop(out);
        self.spill = Some(file);
        self.spilled = start;
        self.rows.clear();
        self.stretches.clear();
        Ok(())
    }

    /// No more rows come; `rank` is each symbol's place in alphabetical order.
    pub(crate) fn finish(mut self, rank: &[u32]) -> Sorted {
        let spilled = self.spilled;
        let mut all = self.done;
        all.extend(self.stretches.drain(..).map(|one| Stretch { start: one.start + spilled, ..one }));
        // Stable: the stretches of a group stay in the order of the files.
        all.sort_by_key(|stretch| (stretch.year, rank[stretch.symbol as usize]));
        let mut years: BTreeMap<i32, Vec<Group>> = BTreeMap::new();
        let mut from = 0;
        for same in all.chunk_by(|a, b| (a.year, a.symbol) == (b.year, b.symbol)) {
            let group = Group { symbol: same[0].symbol, stretches: from..from + same.len() };
            from += same.len();
            years.entry(same[0].year).or_default().push(group);
        }
        Sorted { years, stretches: all, rows: self.rows, spill: self.spill, spilled }
    }
}

/// The rows of one symbol in one year.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) symbol: u32,
    stretches: std::ops::Range<usize>,
}

/// All rows, to be read by group.
pub(crate) struct Sorted {
    /// Groups in the alphabetical order of their symbols.
    pub(crate) years: BTreeMap<i32, Vec<Group>>,
    stretches: Vec<Stretch>,
    rows: Vec<Row>,
    spill: Option<File>,
    spilled: u64,
}

impl Sorted {
    /// Puts a group's rows into `into`, by session and then in the order of the files.
    pub(crate) fn read(&self, group: &Group, into: &mut Vec<Row>) -> Result<(), std::io::Error> {
        into.clear();
        let mut bytes = Vec::new();
        for stretch in &self.stretches[group.stretches.clone()] {
            let len = stretch.len as usize;
            match (stretch.start.checked_sub(self.spilled), &self.spill) {
                (Some(start), _) => into.extend_from_slice(&self.rows[start as usize..start as usize + len]),
                (None, Some(file)) => {
                    bytes.resize(len * BYTES, 0);
                    file.read_exact_at(&mut bytes, stretch.start * BYTES as u64)?;
                    into.extend(bytes.chunks_exact(BYTES).map(Row::from_bytes));
                }
                (None, None) => return Err(std::io::Error::other("rows were spilled, but there is no spill file")),
            }
        }
        if into.is_sorted_by(|a, b| a.session > b.session) {
            into.reverse();
        } else if !into.is_sorted_by(|a, b| a.session <= b.session) {
            into.sort_by_key(|row| row.session);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: i32, line: u64) -> Row {
        let price = Price::from_units(line as i64);
        let place = Place { line, offset: line * 40, length: 39 };
        let session = SessionDate::from_days(day);
        let flags = Flags::FRACTIONAL_VOLUME;
        Row::new(
            3,
            &RowBar {
                symbol: 0,
                session,
                open: price,
                high: price,
                low: price,
                close: price,
                volume: -1,
                flags,
                place,
            },
        )
    }

    #[test]
    fn a_row_survives_the_spill_file() {
        let row = row(-12_000, 77);
        assert_eq!(Row::from_bytes(&row.to_bytes()), row);
        assert_eq!((row.file(), row.flags(), row.place().line), (3, Flags::FRACTIONAL_VOLUME, 77));
    }

    #[test]
    fn groups_are_the_same_however_little_memory_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let read = |limit: usize| {
            let mut sorter = Sorter::new(folder.path(), limit);
            for line in 0..1_000_u64 {
                // Both directions, two years, duplicates.
                let day = if line % 2 == 0 { 15_000 + (line / 3) as i32 } else { 15_400 - (line / 5) as i32 };
                sorter.push((line % 3) as u32, row(day, line)).unwrap();
            }
            let sorted = sorter.finish(&[2, 0, 1]);
            let mut rows = Vec::new();
            let mut all = Vec::new();
            for (year, groups) in &sorted.years {
                for group in groups {
                    sorted.read(group, &mut rows).unwrap();
                    assert!(rows.iter().all(|row| row.session.year() == *year));
                    all.extend(rows.iter().map(|row| (*year, group.symbol, row.session, row.place().line)));
                }
            }
            all
        };
        let all = read(usize::MAX);
        assert_eq!(all.len(), 1_000);
        let rank = [2, 0, 1];
        assert!(all.is_sorted_by_key(|(year, symbol, session, line)| (*year, rank[*symbol as usize], *session, *line)));
        assert_eq!(all, read(1));
        assert_eq!(all, read(64));
    }
}
