//! Comma-separated values after RFC 4180.

use std::io::{self, Write};

use super::{WriteError, cell, formatters, is_null, options};
use crate::Rows;

pub(super) async fn write(rows: &mut Rows<'_>, out: &mut impl Write) -> Result<usize, WriteError> {
    let schema = rows.schema();
    for (at, field) in schema.fields().iter().enumerate() {
        separate(at, out)?;
        value(field.name(), out)?;
    }
    out.write_all(b"\n")?;
    let options = options();
    let mut count = 0;
    while let Some(batch) = rows.next().await? {
        let formatters = formatters(&batch, &options)?;
        for row in 0..batch.num_rows() {
            for (at, formatter) in formatters.iter().enumerate() {
                separate(at, out)?;
                if !is_null(batch.column(at), row) {
                    value(&cell(formatter, row)?, out)?;
                }
            }
            out.write_all(b"\n")?;
        }
        count += batch.num_rows();
    }
    Ok(count)
}

fn separate(at: usize, out: &mut impl Write) -> io::Result<()> {
    if at > 0 { out.write_all(b",") } else { Ok(()) }
}

/// An empty text is quoted, so that it differs from null.
fn value(text: &str, out: &mut impl Write) -> io::Result<()> {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        out.write_all(text.as_bytes())
    }
}
