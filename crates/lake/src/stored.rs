//! The lake's Parquet files as rows.

use std::collections::VecDeque;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch, StringArray};
use domain::SessionDate;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::contracts::{Version, flags_from_text};
use crate::error::LakeError;
use crate::files::{Files, Wanted};

/// Columns that make a [`Version`].
const BARS: [&str; 10] = ["dt", "sym", "open", "high", "low", "close", "vol", "known_at", "source", "flags"];

/// The Parquet files of one year.
pub(crate) fn year_files(files: &Files, year: i32) -> Result<Vec<String>, LakeError> {
    files.parquet(&format!("bars_daily/year={year:04}"))
}

/// Columns of a batch, by name and type.
pub(crate) struct Columns<'a> {
    pub(crate) file: &'a str,
    pub(crate) batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn column(&self, name: &str) -> Result<&'a dyn Array, LakeError> {
        let column = self.batch.column_by_name(name).ok_or_else(|| self.wrong(name))?;
        if column.null_count() > 0 {
            return Err(LakeError::corrupt(self.file, format!("column `{name}` has gaps")));
        }
        Ok(column.as_ref())
    }

    fn wrong(&self, name: &str) -> LakeError {
        LakeError::corrupt(self.file, format!("column `{name}` is missing or has another type"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a StringArray, LakeError> {
        self.column(name)?.as_string_opt::<i32>().ok_or_else(|| self.wrong(name))
    }

    pub(crate) fn dates(&self, name: &str) -> Result<&'a [i32], LakeError> {
        let column = self.column(name)?.as_primitive_opt::<Date32Type>().ok_or_else(|| self.wrong(name))?;
        Ok(column.values())
    }

    pub(crate) fn times(&self, name: &str) -> Result<&'a [i64], LakeError> {
        let column = self.column(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        Ok(column.ok_or_else(|| self.wrong(name))?.values())
    }

    pub(crate) fn integers(&self, name: &str) -> Result<&'a [i64], LakeError> {
        let column = self.column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| self.wrong(name))?;
        Ok(column.values())
    }

    /// In billionths.
    pub(crate) fn decimals(&self, name: &str) -> Result<&'a [i128], LakeError> {
        let column = self.column(name)?.as_primitive_opt::<Decimal128Type>().ok_or_else(|| self.wrong(name))?;
        if column.scale() != 9 {
            return Err(self.wrong(name));
        }
        Ok(column.values())
    }
}

/// A revision's 16 hexadecimal digits as a number.
pub(crate) fn source_from_text(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or_default()
}

/// And back.
pub(crate) fn source_text(source: u64) -> String {
    format!("{source:016x}")
}

fn versions(file: &str, batch: &RecordBatch, each: &mut impl FnMut(&str, Version)) -> Result<(), LakeError> {
    let columns = Columns { file, batch };
    let (dt, sym) = (columns.dates("dt")?, columns.text("sym")?);
    let prices =
        [columns.decimals("open")?, columns.decimals("high")?, columns.decimals("low")?, columns.decimals("close")?];
    let (vol, known_at) = (columns.integers("vol")?, columns.times("known_at")?);
    let (source, flags) = (columns.text("source")?, columns.text("flags")?);
    // Both columns are stretches of equal texts.
    let (mut last_source, mut last_flags) = (("", 0), ("", flags_from_text("")));
    for at in 0..batch.num_rows() {
        if last_source.0 != source.value(at) {
            last_source = (source.value(at), source_from_text(source.value(at)));
        }
        if last_flags.0 != flags.value(at) {
            last_flags = (flags.value(at), flags_from_text(flags.value(at)));
        }
        let mut values = [0, 0, 0, 0, vol[at]];
        for (value, prices) in values.iter_mut().zip(&prices) {
            *value = i64::try_from(prices[at]).map_err(|_| LakeError::corrupt(file, "a price is out of range"))?;
        }
        let version = Version {
            session: SessionDate::from_days(dt[at]),
            values,
            known_at: known_at[at],
            source: last_source.1,
            flags: last_flags.1,
        };
        each(sym.value(at), version);
    }
    Ok(())
}

/// Every row of a file whose symbol may lie between two, in the order of the file.
pub(crate) fn each_version(
    files: &Files,
    file: &str,
    symbols: Option<(&str, &str)>,
    each: &mut impl FnMut(&str, Version),
) -> Result<(), LakeError> {
    for batch in files.open(file, Wanted { columns: &BARS, symbols })? {
        versions(file, &batch.map_err(|error| LakeError::corrupt(file, error))?, each)?;
    }
    Ok(())
}

/// A file's rows, symbol by symbol in alphabetical order.
struct Cursor {
    file: String,
    reader: ParquetRecordBatchReader,
    ahead: VecDeque<(String, Vec<Version>)>,
    last: String,
}

impl Cursor {
    /// Reads until a whole symbol is ahead; `false` at the end.
    fn fill(&mut self) -> Result<bool, LakeError> {
        while self.ahead.len() < 2 {
            let Some(batch) = self.reader.next() else { break };
            let batch = batch.map_err(|error| LakeError::corrupt(&self.file, error))?;
            let (ahead, last) = (&mut self.ahead, &mut self.last);
            let mut sorted = true;
            versions(&self.file, &batch, &mut |symbol, version| {
                if ahead.back().is_none_or(|(known, _)| known != symbol) {
                    sorted &= last.as_str() < symbol;
                    *last = symbol.to_owned();
                    ahead.push_back((symbol.to_owned(), Vec::new()));
                }
                if let Some((_, rows)) = ahead.back_mut() {
                    rows.push(version);
                }
            })?;
            if !sorted {
                return Err(LakeError::corrupt(&self.file, "its rows are not sorted by symbol"));
            }
        }
        Ok(!self.ahead.is_empty())
    }

    /// Adds the rows of a symbol; symbols must be asked for in alphabetical order.
    fn take(&mut self, symbol: &str, into: &mut Vec<Version>) -> Result<(), LakeError> {
        while self.fill()? {
            match self.ahead.front().map(|(front, _)| front.as_str().cmp(symbol)) {
                Some(std::cmp::Ordering::Less) => {
                    self.ahead.pop_front();
                }
                Some(std::cmp::Ordering::Equal) => {
                    into.extend(self.ahead.pop_front().into_iter().flat_map(|(_, rows)| rows));
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

/// What the lake has of one year, symbol by symbol in alphabetical order.
pub(crate) struct StoredYear {
    cursors: Vec<Cursor>,
}

impl StoredYear {
    /// Opens the year's files for symbols between two.
    pub(crate) fn open(files: &Files, year: i32, symbols: (&str, &str)) -> Result<Self, LakeError> {
        let mut cursors = Vec::new();
        for file in year_files(files, year)? {
            let reader = files.open(&file, Wanted { columns: &BARS, symbols: Some(symbols) })?;
            cursors.push(Cursor { file, reader, ahead: VecDeque::new(), last: String::new() });
        }
        Ok(Self { cursors })
    }

    /// All versions of a symbol by session and `known_at`; symbols must be asked for in alphabetical order.
    pub(crate) fn take(&mut self, symbol: &str, into: &mut Vec<Version>) -> Result<(), LakeError> {
        into.clear();
        for cursor in &mut self.cursors {
            cursor.take(symbol, into)?;
        }
        if self.cursors.len() > 1 {
            into.sort_by_key(|version| (version.session, version.known_at));
        }
        Ok(())
    }
}
