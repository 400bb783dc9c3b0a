//! A bar of an import: 64 bytes, or 32 where its numbers are small, as nearly all are.
//!
//! What is sorted on disk is copied there and back, so half of the bytes is half of that time.

use domain::{Price, SessionDate};

use crate::row::{Flags, Place, RowBar};

/// A bar of the import.
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

/// Words of a row, and of a packed one.
pub(crate) const WIDE: usize = 8;
pub(crate) const PACKED: usize = 4;
/// Packed prices are multiples of a hundredth of a cent.
const STEP: i64 = 100_000;
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

    /// Sorts by session, then in the order of the files.
    pub(crate) fn key(&self) -> (SessionDate, u64) {
        (self.session, self.file_offset)
    }

    /// The row in eight words.
    pub(crate) fn words(&self) -> [u64; WIDE] {
        [
            self.open as u64,
            self.high as u64,
            self.low as u64,
            self.close as u64,
            self.volume as u64,
            u64::from(self.session.days() as u32) << 32 | u64::from(self.length),
            self.file_offset,
            self.flags_line,
        ]
    }

    /// The row that [`Self::words`] gave.
    pub(crate) fn from_words(words: &[u64; WIDE]) -> Self {
        Self {
            open: words[0] as i64,
            high: words[1] as i64,
            low: words[2] as i64,
            close: words[3] as i64,
            volume: words[4] as i64,
            session: SessionDate::from_days((words[5] >> 32) as i32),
            length: words[5] as u32,
            file_offset: words[6],
            flags_line: words[7],
        }
    }

    /// The row in four words; `None` where something does not fit. `year` begins at `new_year`.
    #[inline]
    pub(crate) fn packed(&self, new_year: i32) -> Option<[u64; PACKED]> {
        let price = |units: i64| {
            let steps = units / STEP;
            u32::try_from(steps).ok().filter(|_| steps * STEP == units).map(u64::from)
        };
        let place = self.place();
        let fits = |number: u64, bits: u32| (number < 1 << bits).then_some(number);
        let tail = [
            (fits(place.line, 26)?, 26),
            (fits(self.session.days().checked_sub(new_year)?.try_into().ok()?, 9)?, 9),
            (fits(u64::from(place.length), 8)?, 8),
            (fits(u64::from(self.flags().0), 4)?, 4),
            (u64::from(self.file()), 16),
        ];
        Some([
            price(self.open)? | price(self.high)? << 32,
            price(self.low)? | price(self.close)? << 32,
            u64::from(u32::try_from(self.volume).ok()?) | fits(place.offset, 32)? << 32,
            tail.iter().rev().fold(0, |word, (number, bits)| word << bits | number),
        ])
    }

    /// The row that [`Self::packed`] gave.
    #[inline]
    pub(crate) fn from_packed(words: &[u64; PACKED], new_year: i32) -> Self {
        let price = |word: u64| i64::from(word as u32) * STEP;
        let mut tail = words[3];
        let mut take = |bits: u32| {
            let number = tail & ((1 << bits) - 1);
            tail >>= bits;
            number
        };
        let (line, day, length, flags, file) = (take(26), take(9), take(8), take(4), take(16));
        Self {
            open: price(words[0]),
            high: price(words[0] >> 32),
            low: price(words[1]),
            close: price(words[1] >> 32),
            volume: i64::from(words[2] as u32),
            session: SessionDate::from_days(new_year + day as i32),
            length: length as u32,
            file_offset: file << OFFSET_BITS | words[2] >> 32,
            flags_line: flags << LINE_BITS | line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_year() -> i32 {
        SessionDate::from_ymd(2012, 1, 1).unwrap().days()
    }

    fn bar() -> RowBar {
        RowBar {
            symbol: 0,
            session: SessionDate::from_ymd(2012, 12, 31).unwrap(),
            open: Price::from_units(429_496_729_500_000),
            high: Price::from_units(i64::from(u32::MAX) * STEP),
            low: Price::from_units(STEP),
            close: Price::from_units(123_456_700_000),
            volume: i64::from(u32::MAX),
            flags: Flags::FRACTIONAL_VOLUME.with(Flags::VENDOR_ADJUSTED),
            place: Place { line: (1 << 26) - 1, offset: u64::from(u32::MAX), length: 255 },
        }
    }

    #[test]
    fn both_forms_give_the_row_back() {
        let row = Row::new(u16::MAX, &bar());
        assert_eq!(Row::from_words(&row.words()), row);
        assert_eq!(Row::from_packed(&row.packed(new_year()).unwrap(), new_year()), row);
        assert_eq!(row.place(), bar().place);
        assert_eq!((row.file(), row.flags()), (u16::MAX, bar().flags));
        let zero = RowBar {
            session: SessionDate::from_days(new_year()),
            volume: 0,
            place: Place { line: 0, offset: 0, length: 0 },
            ..bar()
        };
        let row = Row::new(0, &zero);
        assert_eq!(Row::from_packed(&row.packed(new_year()).unwrap(), new_year()), row);
    }

    #[test]
    fn what_does_not_fit_is_not_packed() {
        let price = |units: i64| Price::from_units(units);
        let place = bar().place;
        let too_much = [
            RowBar { open: price(STEP + 1), ..bar() },
            RowBar { high: price((i64::from(u32::MAX) + 1) * STEP), ..bar() },
            RowBar { low: price(-STEP), ..bar() },
            RowBar { close: price(i64::MAX), ..bar() },
            RowBar { volume: -1, ..bar() },
            RowBar { volume: 1 << 32, ..bar() },
            RowBar { session: SessionDate::from_days(new_year() - 1), ..bar() },
            RowBar { session: SessionDate::from_days(new_year() + 512), ..bar() },
            RowBar { flags: Flags(16), ..bar() },
            RowBar { place: Place { line: 1 << 26, ..place }, ..bar() },
            RowBar { place: Place { offset: 1 << 32, ..place }, ..bar() },
            RowBar { place: Place { length: 256, ..place }, ..bar() },
        ];
        for bar in too_much {
            let row = Row::new(7, &bar);
            assert_eq!(row.packed(new_year()), None, "{bar:?}");
            assert_eq!(Row::from_words(&row.words()), row);
        }
    }
}
