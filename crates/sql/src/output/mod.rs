//! Rows as text, written while they arrive.
//!
//! CSV and JSON hold one batch at a time. A table needs the widths of its columns: it keeps the first
//! rows for that and streams the rest with the widths found.
//!
//! - `csv` RFC 4180, with a header; null is nothing, an empty text is `""`
//! - `json` one array of objects with numbers as numbers and null as null
//! - `table` for people

mod csv;
mod json;
mod table;

use std::io::{self, Write};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::{Rows, SqlError, error::one_line};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// RFC 4180 with a header.
    Csv,
    /// One array of objects.
    Json,
}

/// A query that failed on the way, or an output that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The query.
    #[error(transparent)]
    Query(#[from] SqlError),
    /// The output.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// Writes all rows and returns how many there were.
pub async fn write(rows: &mut Rows<'_>, format: Format, out: &mut impl Write) -> Result<usize, WriteError> {
    let count = match format {
        Format::Csv => csv::write(rows, out).await?,
        Format::Json => json::write(rows, out).await?,
        Format::Table => table::write(rows, out).await?,
    };
    out.flush()?;
    Ok(count)
}

/// The values of a batch as text, row by row, times as Athena writes them; null is none.
///
/// # Errors
/// A value that cannot be written as text.
pub fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, SqlError> {
    let options = options()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.3f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.3f UTC"));
    let formatters = formatters(batch, &options)?;
    let value = |row: usize, at: usize| match is_null(batch.column(at), row) {
        true => Ok(None),
        false => cell(&formatters[at], row).map(Some),
    };
    (0..batch.num_rows()).map(|row| (0..formatters.len()).map(|at| value(row, at)).collect()).collect()
}

fn options() -> FormatOptions<'static> {
    FormatOptions::new().with_null("")
}

fn formatters<'a>(batch: &'a RecordBatch, options: &'a FormatOptions<'a>) -> Result<Vec<ArrayFormatter<'a>>, SqlError> {
    batch
        .columns()
        .iter()
        .map(|column| {
            ArrayFormatter::try_new(column.as_ref(), options)
                .map_err(|error| SqlError::Query(one_line(&error.to_string())))
        })
        .collect()
}

/// Whether a value is null; a column of the null type has no mask that says so.
fn is_null(column: &ArrayRef, row: usize) -> bool {
    column.is_null(row) || *column.data_type() == DataType::Null
}

/// The text of one value.
fn cell(formatter: &ArrayFormatter<'_>, row: usize) -> Result<String, SqlError> {
    formatter.value(row).try_to_string().map_err(|error| SqlError::Query(one_line(&error.to_string())))
}
