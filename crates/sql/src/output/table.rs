//! Aligned columns, numbers to the right.

use std::io::{self, Write};

use super::{WriteError, cell, formatters, is_null, options};
use crate::{Rows, SqlError};

/// Rows looked at for the widths of the columns.
const ROWS_MEASURED: usize = 10_000;

pub(super) async fn write(rows: &mut Rows<'_>, out: &mut impl Write) -> Result<usize, WriteError> {
    let schema = rows.schema();
    let header: Vec<String> = schema.fields().iter().map(|field| visible(field.name())).collect();
    let right: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();

    if header == ["plan_type", "plan"] {
        return plans(rows, out).await;
    }

    let mut measured: Vec<Vec<String>> = Vec::new();
    while measured.len() < ROWS_MEASURED {
        match next_lines(rows).await? {
            Some(lines) => measured.extend(lines),
            None => break,
        }
    }
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for line in &measured {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }

    put(&header, &widths, &right, out)?;
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    put(&rule, &widths, &right, out)?;
    let mut count = measured.len();
    for line in measured {
        put(&line, &widths, &right, out)?;
    }
    while let Some(lines) = next_lines(rows).await? {
        count += lines.len();
        for line in lines {
            put(&line, &widths, &right, out)?;
        }
    }
    let noun = if count == 1 { "row" } else { "rows" };
    writeln!(out, "({count} {noun})")?;
    Ok(count)
}

/// The plans of EXPLAIN have many lines each.
async fn plans(rows: &mut Rows<'_>, out: &mut impl Write) -> Result<usize, WriteError> {
    let mut count = 0;
    while let Some(batch) = rows.next().await? {
        let options = options();
        let formatters = formatters(&batch, &options)?;
        for row in 0..batch.num_rows() {
            for formatter in &formatters {
                writeln!(out, "{}", cell(formatter, row)?.trim_end())?;
            }
        }
        count += batch.num_rows();
    }
    Ok(count)
}

async fn next_lines(rows: &mut Rows<'_>) -> Result<Option<Vec<Vec<String>>>, SqlError> {
    let Some(batch) = rows.next().await? else {
        return Ok(None);
    };
    let options = options();
    let formatters = formatters(&batch, &options)?;
    let mut lines = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut line = Vec::with_capacity(formatters.len());
        for (column, formatter) in batch.columns().iter().zip(&formatters) {
            line.push(match is_null(column, row) {
                true => "NULL".to_owned(),
                false => visible(&cell(formatter, row)?),
            });
        }
        lines.push(line);
    }
    Ok(Some(lines))
}

/// One line per row, whatever a text holds, and nothing that moves a terminal's cursor.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '\n' => vec!['\\', 'n'],
            '\t' => vec!['\\', 't'],
            '\r' => vec!['\\', 'r'],
            c if c.is_control() => vec!['\u{fffd}'],
            c => vec![c],
        })
        .collect()
}

fn put(line: &[String], widths: &[usize], right: &[bool], out: &mut impl Write) -> io::Result<()> {
    let last = line.len().saturating_sub(1);
    for (at, ((cell, width), right)) in line.iter().zip(widths).zip(right).enumerate() {
        if at > 0 {
            out.write_all(b"  ")?;
        }
        match (right, at == last) {
            (true, _) => write!(out, "{cell:>width$}")?,
            // No blanks at the end of a line.
            (false, true) => write!(out, "{cell}")?,
            (false, false) => write!(out, "{cell:<width$}")?,
        }
    }
    out.write_all(b"\n")
}
