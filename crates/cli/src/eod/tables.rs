//! What the system decided and did, as Parquet with the declared columns.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::{ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_array::{TimestampMicrosecondArray, cast::AsArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use domain::{SessionDate, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// No value.
    Nothing,
    /// A date.
    Date(SessionDate),
    /// A double.
    Number(f64),
    /// A whole number.
    Count(u64),
    /// A fixed-point amount, in units of its scale.
    Units(i64),
    /// An instant.
    Time(Timestamp),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The type that a declared type has in Parquet.
fn data_type(declared: &str) -> Result<DataType> {
    Ok(match declared {
        "string" => DataType::Utf8,
        "date" => DataType::Date32,
        "double" => DataType::Float64,
        "bigint" => DataType::Int64,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "decimal(18,9)" => DataType::Decimal128(18, 9),
        "decimal(18,6)" => DataType::Decimal128(18, 6),
        other => anyhow::bail!("a column is declared {other}, which is not written here"),
    })
}

/// A declared table with these rows, as the bytes of a Parquet file; the same rows give the same bytes.
///
/// # Errors
/// A row that does not fit the declared columns.
pub fn write(table: &str, rows: &[Vec<Cell>]) -> Result<Vec<u8>> {
    let declared = queries::columns(table);
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (at, (name, of)) in declared.iter().enumerate() {
        let data_type = data_type(of)?;
        let cells: Vec<&Cell> = rows
            .iter()
            .map(|row| row.get(at).with_context(|| format!("a row of {table} has no {name}")))
            .collect::<Result<_>>()?;
        columns.push(column(&data_type, &cells).with_context(|| format!("{table}.{name}, a {of}"))?);
        fields.push(Field::new(*name, data_type, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}

fn column(data_type: &DataType, cells: &[&Cell]) -> Result<ArrayRef> {
    fn each<T>(cells: &[&Cell], of: impl Fn(&Cell) -> Option<T>) -> Result<Vec<Option<T>>> {
        let one = |cell: &&Cell| match cell {
            Cell::Nothing => Ok(None),
            cell => of(cell).map(Some).with_context(|| format!("{cell:?} is of another type")),
        };
        cells.iter().map(one).collect()
    }
    Ok(match data_type {
        DataType::Utf8 => Arc::new(StringArray::from(each(cells, |cell| match cell {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        })?)),
        DataType::Date32 => Arc::new(Date32Array::from(each(cells, |cell| match cell {
            Cell::Date(date) => Some(date.days()),
            _ => None,
        })?)),
        DataType::Float64 => Arc::new(Float64Array::from(each(cells, |cell| match cell {
            Cell::Number(number) => Some(*number),
            _ => None,
        })?)),
        DataType::Int64 => Arc::new(Int64Array::from(each(cells, |cell| match cell {
            Cell::Count(count) => i64::try_from(*count).ok(),
            _ => None,
        })?)),
        DataType::Timestamp(..) => {
            let array = TimestampMicrosecondArray::from(each(cells, |cell| match cell {
                Cell::Time(at) => Some(at.micros()),
                _ => None,
            })?);
            Arc::new(array.with_timezone("UTC"))
        }
        DataType::Decimal128(precision, scale) => {
            let array = Decimal128Array::from(each(cells, |cell| match cell {
                Cell::Units(units) => Some(i128::from(*units)),
                _ => None,
            })?);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        other => anyhow::bail!("{other} is not written here"),
    })
}

/// One column of doubles of a file, with one of texts beside it: what the readers of these tables need.
///
/// # Errors
/// No such Parquet file.
pub fn doubles(bytes: Vec<u8>, text: &str, number: &str) -> Result<Vec<(String, f64)>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))?.build()?;
    let mut found = Vec::new();
    for batch in reader {
        let batch = batch?;
        let texts = batch.column_by_name(text).and_then(|one| one.as_string_opt::<i32>());
        let numbers =
            batch.column_by_name(number).and_then(|one| one.as_primitive_opt::<arrow_array::types::Float64Type>());
        let (texts, numbers) = texts.zip(numbers).with_context(|| format!("it has no {text} and {number}"))?;
        found.extend(texts.iter().zip(numbers).filter_map(|(text, number)| Some((text?.to_owned(), number?))));
    }
    Ok(found)
}

/// Some columns of a file's one row, as doubles.
///
/// # Errors
/// No such Parquet file, or not one row.
pub fn row(bytes: Vec<u8>, columns: &[&str]) -> Result<Vec<Option<f64>>> {
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))?.build()?;
    let batch = reader.next().transpose()?.filter(|batch| batch.num_rows() == 1).context("it has not one row")?;
    let value = |name: &&str| {
        let column = batch.column_by_name(name).with_context(|| format!("it has no {name}"))?;
        if column.is_null(0) {
            return Ok(None);
        }
        if let Some(units) = column.as_primitive_opt::<arrow_array::types::Decimal128Type>() {
            let scale = 10f64.powi(i32::from(units.scale()));
            return Ok(Some(units.value(0) as f64 / scale));
        }
        let numbers = column.as_primitive_opt::<arrow_array::types::Float64Type>();
        Ok(Some(numbers.with_context(|| format!("{name} is no number"))?.value(0)))
    };
    columns.iter().map(value).collect()
}
