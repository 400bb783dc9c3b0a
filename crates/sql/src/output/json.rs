//! One JSON array of objects.

use std::io::Write;

use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{JsonArray, WriterBuilder};

use super::WriteError;
use crate::error::one_line;
use crate::{Rows, SqlError};

pub(super) async fn write(rows: &mut Rows<'_>, out: &mut impl Write) -> Result<usize, WriteError> {
    unique_names(rows)?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut *out);
    let mut count = 0;
    while let Some(batch) = rows.next().await? {
        writer.write(&batch).map_err(failed)?;
        count += batch.num_rows();
    }
    writer.finish().map_err(failed)?;
    out.write_all(b"\n")?;
    Ok(count)
}

/// A failed write stays an input/output error, so that a closed pipe is told from a bad value.
fn failed(error: ArrowError) -> WriteError {
    match error {
        ArrowError::IoError(_, source) => WriteError::Output(source),
        other => WriteError::Query(SqlError::Query(one_line(&other.to_string()))),
    }
}

/// An object has each name once.
fn unique_names(rows: &Rows<'_>) -> Result<(), SqlError> {
    let schema = rows.schema();
    let mut names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SqlError::Query(format!(
            "two columns are called `{}`: rename one with AS, as a JSON object has each name once",
            pair[0]
        ))),
        None => Ok(()),
    }
}
