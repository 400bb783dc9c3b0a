//! Refused rows: collected while files are read and judged, then stored with their text, each once.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, TimeUnit};
use domain::Timestamp;

use crate::actions::Table;
use crate::error::LakeError;
use crate::files::{Files, Wanted};
use crate::row::Place;
use crate::stored::{Columns, source_text};

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) file: u16,
    pub(crate) place: Place,
    pub(crate) rule: String,
    pub(crate) value: String,
}

/// Refused rows kept here before they go to disk.
const IN_MEMORY: usize = 1 << 16;

/// Refused rows, on disk when they are many.
pub(crate) struct Refusals {
    folder: PathBuf,
    rows: Vec<Refused>,
    spill: Option<BufWriter<File>>,
}

impl Refusals {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), rows: Vec::new(), spill: None }
    }

    pub(crate) fn push(&mut self, refused: Refused) -> Result<(), LakeError> {
        self.rows.push(refused);
        if self.rows.len() >= IN_MEMORY { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), LakeError> {
        let failed = |source| LakeError::write(&self.folder, source);
        let mut out = match self.spill.take() {
            Some(out) => out,
            None => BufWriter::new(tempfile::tempfile_in(&self.folder).map_err(failed)?),
        };
        for refused in self.rows.drain(..) {
            let Refused { file, place, rule, value } = refused;
            let numbers = [u64::from(file), place.line, place.offset, u64::from(place.length)];
            for number in numbers.into_iter().chain([rule.len() as u64, value.len() as u64]) {
                out.write_all(&number.to_le_bytes()).map_err(failed)?;
            }
            out.write_all(rule.as_bytes()).and_then(|()| out.write_all(value.as_bytes())).map_err(failed)?;
        }
        self.spill = Some(out);
        Ok(())
    }

    /// Every row, in the order of arrival.
    pub(crate) fn each(mut self, mut each: impl FnMut(Refused) -> Result<(), LakeError>) -> Result<(), LakeError> {
        if let Some(out) = self.spill.take() {
            let failed = |source| LakeError::Read { path: self.folder.clone(), source };
            let mut file = out.into_inner().map_err(|error| LakeError::write(&self.folder, error.into_error()))?;
            let end = file.stream_position().map_err(failed)?;
            file.rewind().map_err(failed)?;
            let mut input = BufReader::with_capacity(1 << 16, file);
            while input.stream_position().map_err(failed)? < end {
                let mut numbers = [0_u64; 6];
                for number in &mut numbers {
                    let mut bytes = [0; 8];
                    input.read_exact(&mut bytes).map_err(failed)?;
                    *number = u64::from_le_bytes(bytes);
                }
                let [file, line, offset, length, rule, value] = numbers;
                let mut text = |bytes: u64| {
                    let mut text = vec![0; bytes as usize];
                    input.read_exact(&mut text).map_err(failed)?;
                    Ok::<_, LakeError>(String::from_utf8_lossy(&text).into_owned())
                };
                let (rule, value) = (text(rule)?, text(value)?);
                each(Refused { file: file as u16, place: Place { line, offset, length: length as u32 }, rule, value })?;
            }
        }
        for refused in self.rows.drain(..) {
            each(refused)?;
        }
        Ok(())
    }
}

/// A file of the import.
pub(crate) struct Asset {
    /// As given, to name it.
    pub(crate) path: PathBuf,
    /// Its bytes as they were read, to read rows again.
    pub(crate) copy: PathBuf,
    pub(crate) name: String,
    pub(crate) source: u64,
}

/// What says that a refused row is in the lake: its revision, its line and the contract.
type Key = (u64, u64, String);

fn known(files: &Files, assets: &[Asset]) -> Result<HashSet<Key>, LakeError> {
    let sources: Vec<String> = assets.iter().map(|asset| source_text(asset.source)).collect();
    let mut found = HashSet::new();
    for file in files.parquet("quarantine")? {
        for batch in files.open(&file, Wanted { columns: &["line", "rule", "source"], symbols: None })? {
            let batch = batch.map_err(|error| LakeError::corrupt(&file, error))?;
            let columns = Columns { file: &file, batch: &batch };
            let (line, rule, source) = (columns.integers("line")?, columns.text("rule")?, columns.text("source")?);
            for (at, line) in line.iter().enumerate() {
                if let Some(asset) = sources.iter().position(|known| known == source.value(at)) {
                    found.insert((assets[asset].source, *line as u64, rule.value(at).to_owned()));
                }
            }
        }
    }
    Ok(found)
}

/// Writes the refused rows that the lake does not have yet to the file `path` gives; none, no file.
pub(crate) fn write(
    files: &Files,
    refusals: Refusals,
    assets: &[Asset],
    now: Timestamp,
    path: impl FnOnce() -> Result<PathBuf, LakeError>,
) -> Result<(), LakeError> {
    if refusals.rows.is_empty() && refusals.spill.is_none() {
        return Ok(());
    }
    let known = known(files, assets)?;
    let mut path = Some(path);
    let mut table = None;
    let mut waiting = Waiting::default();
    let mut open: Option<(u16, File)> = None;
    refusals.each(|refused| {
        let asset = &assets[usize::from(refused.file)];
        if known.contains(&(asset.source, refused.place.line, refused.rule.clone())) {
            return Ok(());
        }
        let failed = |source| LakeError::Read { path: asset.copy.clone(), source };
        let file = match &mut open {
            Some((at, file)) if *at == refused.file => file,
            open => &mut open.insert((refused.file, File::open(&asset.copy).map_err(failed)?)).1,
        };
        let mut text = vec![0; refused.place.length as usize];
        file.read_exact_at(&mut text, refused.place.offset).map_err(failed)?;
        waiting.push(asset, refused, &text);
        if table.is_none()
            && let Some(path) = path.take()
        {
            table = Some(Table::create(&path()?, columns())?);
        }
        if waiting.line.len() >= 1 << 13
            && let Some(table) = &mut table
        {
            std::mem::take(&mut waiting).write(table, now)?;
        }
        Ok(())
    })?;
    match table {
        Some(mut table) => {
            waiting.write(&mut table, now)?;
            table.close()
        }
        None => Ok(()),
    }
}

fn columns() -> [(&'static str, DataType); 7] {
    [
        ("file", DataType::Utf8),
        ("line", DataType::Int64),
        ("rule", DataType::Utf8),
        ("value", DataType::Utf8),
        ("row", DataType::Utf8),
        ("source", DataType::Utf8),
        ("known_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ]
}

#[derive(Default)]
struct Waiting {
    file: Vec<String>,
    line: Vec<i64>,
    rule: Vec<String>,
    value: Vec<String>,
    row: Vec<String>,
    source: Vec<String>,
}

impl Waiting {
    fn push(&mut self, asset: &Asset, refused: Refused, text: &[u8]) {
        self.file.push(asset.name.clone());
        self.line.push(refused.place.line as i64);
        self.rule.push(refused.rule);
        self.value.push(refused.value);
        self.row.push(String::from_utf8_lossy(text).into_owned());
        self.source.push(source_text(asset.source));
    }

    fn write(self, table: &mut Table, now: Timestamp) -> Result<(), LakeError> {
        let text = |column: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(column)) };
        let times = TimestampMicrosecondArray::from(vec![now.micros(); self.line.len()]).with_timezone("UTC");
        table.write(vec![
            text(self.file),
            Arc::new(Int64Array::from(self.line)),
            text(self.rule),
            text(self.value),
            text(self.row),
            text(self.source),
            Arc::new(times),
        ])
    }
}
