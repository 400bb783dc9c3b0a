//! An import's rows by year and symbol, in memory that does not grow with the file.
//!
//! Rows are kept as they arrive, with a list of stretches of the same symbol and year; only the list is sorted, so a
//! file that is sorted already, in either direction, costs next to nothing. Beyond a limit the rows are written to a
//! spill file, grouped, and read back a group at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use domain::SessionDate;

use crate::error::LakeError;
use crate::packed::{PACKED, Row, WIDE};

/// Consecutive rows of one symbol and year, all packed or none.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    year: i32,
    symbol: u32,
    /// In words: first those spilled, then those in memory.
    start: u64,
    rows: u32,
    packed: bool,
}

/// What a stretch in memory takes, in words.
const STRETCH: usize = size_of::<Stretch>() / 8;

impl Stretch {
    fn words(&self) -> usize {
        self.rows as usize * if self.packed { PACKED } else { WIDE }
    }

    /// Whether rows of the same kind can be added at the end.
    fn takes(&self, other: &Self) -> bool {
        (self.year, self.symbol, self.packed) == (other.year, other.symbol, other.packed)
            && self.rows.checked_add(other.rows).is_some()
    }
}

/// Takes rows in the order of the files.
pub(crate) struct Sorter {
    folder: PathBuf,
    /// Most words in memory.
    limit: usize,
    words: Vec<u64>,
    stretches: Vec<Stretch>,
    done: Vec<Stretch>,
    spill: Option<File>,
    spilled: u64,
    /// The last row's year, its first day and that of the next.
    year: (i32, i32, i32),
}

/// First day of a year.
fn new_year(year: i32) -> i32 {
    SessionDate::from_ymd(year, 1, 1).map_or(i32::MAX, SessionDate::days)
}

impl Sorter {
    /// Keeps up to `limit` words of eight bytes in memory, and spills the rest into `folder`.
    pub(crate) fn new(folder: &Path, limit: usize) -> Self {
        Self {
            folder: folder.into(),
            limit,
            words: Vec::new(),
            stretches: Vec::new(),
            done: Vec::new(),
            spill: None,
            spilled: 0,
            year: (0, 0, 0),
        }
    }

    pub(crate) fn push(&mut self, symbol: u32, row: &Row) -> Result<(), LakeError> {
        if self.words.len() + self.stretches.len() * STRETCH + WIDE > self.limit && !self.words.is_empty() {
            self.spill()?;
        }
        let days = row.session.days();
        if days < self.year.1 || days >= self.year.2 {
            let year = row.session.year();
            self.year = (year, new_year(year), new_year(year + 1));
        }
        let start = self.words.len() as u64;
        let packed = row.packed(self.year.1);
        match &packed {
            Some(words) => self.words.extend_from_slice(words),
            None => self.words.extend_from_slice(&row.words()),
        }
        let one = Stretch { year: self.year.0, symbol, start, rows: 1, packed: packed.is_some() };
        match self.stretches.last_mut() {
            Some(last) if last.takes(&one) => last.rows += 1,
            _ => self.stretches.push(one),
        }
        Ok(())
    }

    /// Writes the rows in memory to disk, group by group.
    fn spill(&mut self) -> Result<(), LakeError> {
        let failed = |source| LakeError::write(&self.folder, source);
        let file = match &mut self.spill {
            Some(file) => file,
            // Nameless, so that nothing is left when the process dies.
            None => self.spill.insert(tempfile::tempfile_in(&self.folder).map_err(failed)?),
        };
        self.stretches.sort_by_key(|one| (one.year, one.symbol, one.packed));
        let before = self.done.len();
        let mut bytes = Vec::with_capacity(1 << 20);
        for stretch in &self.stretches {
            let from = stretch.start as usize;
            bytes.extend(self.words[from..from + stretch.words()].iter().flat_map(|word| word.to_le_bytes()));
            if bytes.len() >= 1 << 19 {
                file.write_all(&bytes).map_err(failed)?;
                bytes.clear();
            }
            match self.done[before..].last_mut() {
                Some(last) if last.takes(stretch) => last.rows += stretch.rows,
                _ => self.done.push(Stretch { start: self.spilled, ..*stretch }),
            }
            self.spilled += stretch.words() as u64;
        }
        file.write_all(&bytes).map_err(failed)?;
        self.words.clear();
        self.stretches.clear();
        Ok(())
    }

    /// No more rows come; `rank` is each symbol's place in alphabetical order.
    pub(crate) fn finish(mut self, rank: &[u32]) -> Sorted {
        let spilled = self.spilled;
        let mut all = self.done;
        all.extend(self.stretches.drain(..).map(|one| Stretch { start: one.start + spilled, ..one }));
        all.sort_by_key(|stretch| (stretch.year, rank[stretch.symbol as usize]));
        let mut years: BTreeMap<i32, Vec<Group>> = BTreeMap::new();
        let mut from = 0;
        for same in all.chunk_by(|a, b| (a.year, a.symbol) == (b.year, b.symbol)) {
            let group = Group { symbol: same[0].symbol, stretches: from..from + same.len() };
            from += same.len();
            years.entry(same[0].year).or_default().push(group);
        }
        Sorted { years, stretches: all, words: self.words, spill: self.spill, spilled }
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
    words: Vec<u64>,
    spill: Option<File>,
    spilled: u64,
}

impl Sorted {
    /// Puts a group's rows into `into`, by session and then in the order of the files.
    pub(crate) fn read(&self, group: &Group, into: &mut Vec<Row>) -> Result<(), std::io::Error> {
        into.clear();
        let (mut bytes, mut read) = (Vec::new(), Vec::new());
        for stretch in &self.stretches[group.stretches.clone()] {
            let words = match (stretch.start.checked_sub(self.spilled), &self.spill) {
                (Some(start), _) => &self.words[start as usize..start as usize + stretch.words()],
                (None, Some(file)) => {
                    bytes.resize(stretch.words() * 8, 0);
                    file.read_exact_at(&mut bytes, stretch.start * 8)?;
                    read.clear();
                    read.extend(bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)));
                    &read
                }
                (None, None) => return Err(std::io::Error::other("rows were spilled, but there is no spill file")),
            };
            if stretch.packed {
                let new_year = new_year(stretch.year);
                into.extend(words.as_chunks().0.iter().map(|words| Row::from_packed(words, new_year)));
            } else {
                into.extend(words.as_chunks().0.iter().map(Row::from_words));
            }
        }
        if into.is_sorted_by(|a, b| a.session > b.session) {
            into.reverse();
        } else if !into.is_sorted_by_key(Row::key) {
            into.sort_unstable_by_key(Row::key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::Price;

    use super::*;
    use crate::row::{Flags, Place, RowBar};

    fn row(day: i32, line: u64) -> Row {
        // Every seventh is too fine to be packed.
        let price = Price::from_units(line as i64 * 10_000_000 + i64::from(line.is_multiple_of(7)));
        let place = Place { line, offset: line * 40, length: 39 };
        let session = SessionDate::from_days(day);
        let bar = RowBar {
            symbol: 0,
            session,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 1,
            flags: Flags::FRACTIONAL_VOLUME,
            place,
        };
        Row::new(3, &bar)
    }

    #[test]
    fn groups_are_the_same_however_little_memory_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let read = |limit: usize| {
            let mut sorter = Sorter::new(folder.path(), limit);
            for line in 0..1_000_u64 {
                // Both directions, two years, duplicates.
                let day = if line % 2 == 0 { 15_000 + (line / 3) as i32 } else { 15_400 - (line / 5) as i32 };
                sorter.push((line % 3) as u32, &row(day, line)).unwrap();
            }
            let sorted = sorter.finish(&[2, 0, 1]);
            let mut rows = Vec::new();
            let mut all = Vec::new();
            for (year, groups) in &sorted.years {
                for group in groups {
                    sorted.read(group, &mut rows).unwrap();
                    assert!(rows.iter().all(|row| row.session.year() == *year));
                    all.extend(rows.iter().map(|row| (*year, group.symbol, row.session, *row)));
                }
            }
            all
        };
        let all = read(usize::MAX);
        assert_eq!(all.len(), 1_000);
        let rank = [2, 0, 1];
        let place = |row: &Row| row.place().line;
        assert!(all.is_sorted_by_key(|(year, symbol, session, row)| {
            (*year, rank[*symbol as usize], *session, place(row))
        }));
        assert!(all.iter().all(|(_, symbol, session, found)| {
            let line = place(found);
            *found == row(session.days(), line) && u64::from(*symbol) == line % 3
        }));
        assert_eq!(all, read(1));
        assert_eq!(all, read(64 * WIDE));
    }

    #[test]
    fn stretches_stay_few_where_packed_rows_and_others_alternate() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path(), 10_000);
        for line in 0..20_000_u64 {
            // One day after the other, fifty symbols each.
            sorter.push((line % 50) as u32, &row(15_000 + (line / 50 % 300) as i32, line)).unwrap();
        }
        let spills = 20_000 * (PACKED + STRETCH) / 10_000 + 10;
        assert!(sorter.done.len() <= spills * 50 * 2 * 2, "{} stretches", sorter.done.len());
    }
}
