//! A vendor's table in Parquet, as the CSV file that the import reads.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::SessionDate;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Writes the rows of a Parquet file as CSV, under its own column names.
pub(crate) fn to_csv(path: &Path, csv_path: &Path) -> Result<()> {
    let file = || format!("the Parquet file `{}`", path.display());
    let open = || File::open(path).with_context(|| format!("cannot open `{}`", path.display()));
    let reader = SerializedFileReader::new(open()?).with_context(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    if let Some(nested) = schema.get_fields().iter().find(|field| !field.is_primitive()) {
        bail!("column `{}` of {} is nested; give one value in each cell", nested.name(), file());
    }
    let mut writer =
        csv::Writer::from_path(csv_path).with_context(|| format!("cannot write `{}`", csv_path.display()))?;
    writer.write_record(&names)?;
    for row in reader.get_row_iter(None).with_context(file)? {
        let row = row.with_context(file)?;
        let cells = row.get_column_iter().map(|(name, field)| {
            text(field).with_context(|| format!("column `{name}` of {} has a type that no price has", file()))
        });
        writer.write_record(cells.collect::<Result<Vec<_>>>()?)?;
    }
    writer.flush().with_context(|| format!("cannot write `{}`", csv_path.display()))
}

fn text(field: &Field) -> Option<String> {
    let date = |micros: i64| {
        let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
        Some(SessionDate::from_days(days).to_string())
    };
    match field {
        Field::Null => Some(String::new()),
        Field::Str(text) => Some(text.clone()),
        Field::Date(days) => Some(SessionDate::from_days(*days).to_string()),
        Field::TimestampMillis(millis) => date(millis.checked_mul(1_000)?),
        Field::TimestampMicros(micros) => date(*micros),
        Field::Double(number) => Some(number.to_string()),
        Field::Float(number) => Some(number.to_string()),
        Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Decimal(_) => Some(field.to_string()),
        _ => None,
    }
}
