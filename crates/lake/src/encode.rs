//! Bars as Parquet: one row group at a time, encoded on two threads, prices on the first and the rest on the second.
//!
//! Dates, times and volumes go through the typed column writers. Texts come in stretches and prices repeat, so their
//! chunks are laid down directly as a dictionary and numbers into it ([`crate::dictionary`]).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{SchemaDescriptor, TypePtr};

use crate::contracts::flags_text;
use crate::dictionary::{Numbers, text_chunk};
use crate::error::LakeError;
use crate::packed::Row;
use crate::row::Flags;

/// Rows in a row group.
pub(crate) const GROUP_ROWS: usize = 1 << 17;

const BARS: &str = "message bars_daily {
    required int32 dt (DATE);
    required binary sym (STRING);
    required int64 open (DECIMAL(18,9));
    required int64 high (DECIMAL(18,9));
    required int64 low (DECIMAL(18,9));
    required int64 close (DECIMAL(18,9));
    required int64 vol;
    required binary mic (STRING);
    required binary currency (STRING);
    required int64 known_at (TIMESTAMP(MICROS,true));
    required binary source (STRING);
    required binary flags (STRING);
}";

/// A text column as stretches of equal values.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) dictionary: Vec<String>,
    /// Which value, and how many rows.
    pub(crate) runs: Vec<(u32, u32)>,
}

impl Text {
    /// `count` more rows of `value`.
    pub(crate) fn push(&mut self, value: &str, count: u32) {
        if let Some((code, rows)) = self.runs.last_mut()
            && self.dictionary[*code as usize] == value
        {
            *rows += count;
            return;
        }
        // Values that come back are few. Symbols never do, and there may be thousands.
        let recent = self.dictionary.len().saturating_sub(64);
        let code = match self.dictionary[recent..].iter().rposition(|known| known == value) {
            Some(at) => recent + at,
            None => {
                self.dictionary.push(value.to_owned());
                self.dictionary.len() - 1
            }
        };
        self.runs.push((code as u32, count));
    }

    pub(crate) fn rows(&self) -> u32 {
        self.runs.iter().map(|(_, rows)| rows).sum()
    }
}

/// The columns of one row group of bars.
#[derive(Debug, Default)]
pub(crate) struct BarColumns {
    pub(crate) dt: Vec<i32>,
    pub(crate) sym: Text,
    pub(crate) open: Vec<i64>,
    pub(crate) high: Vec<i64>,
    pub(crate) low: Vec<i64>,
    pub(crate) close: Vec<i64>,
    pub(crate) vol: Vec<i64>,
    pub(crate) mic: Text,
    pub(crate) currency: Text,
    pub(crate) known_at: Vec<i64>,
    pub(crate) source: Text,
    pub(crate) flags: Text,
}

impl BarColumns {
    /// The columns from open to volume.
    fn numbers(&self) -> [&[i64]; 5] {
        [&self.open, &self.high, &self.low, &self.close, &self.vol]
    }

    pub(crate) fn len(&self) -> usize {
        self.dt.len()
    }

    /// Adds what the last `count` rows have in common.
    pub(crate) fn push_texts(&mut self, source: &str, flags: Flags, count: u32) {
        if count > 0 {
            self.source.push(source, count);
            self.flags.push(&flags_text(flags), count);
        }
    }

    /// Adds the numbers of a bar; its texts are added in stretches.
    #[inline]
    pub(crate) fn push(&mut self, row: &Row, known_at: i64) {
        self.dt.push(row.session.days());
        self.open.push(row.open);
        self.high.push(row.high);
        self.low.push(row.low);
        self.close.push(row.close);
        self.vol.push(row.volume);
        self.known_at.push(known_at);
    }
}

fn properties() -> WriterPropertiesPtr {
    Arc::new(
        WriterProperties::builder()
            .set_compression(ZstdLevel::try_new(1).map_or(Compression::UNCOMPRESSED, Compression::ZSTD))
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_data_page_row_count_limit(usize::MAX)
            .set_offset_index_disabled(true)
            .set_created_by("algotrading".to_owned())
            .build(),
    )
}

/// The Parquet schema of bars.
pub(crate) fn schema() -> Result<TypePtr, ParquetError> {
    parse_message_type(BARS).map(Arc::new)
}

struct Writer {
    path: PathBuf,
    file: SerializedFileWriter<File>,
}

impl Writer {
    fn create(path: &Path) -> Result<Self, LakeError> {
        let failed = |source| LakeError::write(path, source);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::create_new(path).map_err(failed)?;
        let file = schema()
            .and_then(|schema| SerializedFileWriter::new(file, schema, properties()))
            .map_err(|error| parquet_failed(path, error))?;
        Ok(Self { path: path.into(), file })
    }

    fn write(&mut self, columns: &BarColumns, mut prices: Prices) -> Result<(), ParquetError> {
        let descriptors = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group()?;
        let numbers = columns.numbers();
        for (at, descriptor) in descriptors.into_iter().enumerate() {
            let text = match at {
                1 => Some(&columns.sym),
                7 => Some(&columns.mic),
                8 => Some(&columns.currency),
                10 => Some(&columns.source),
                11 => Some(&columns.flags),
                _ => None,
            };
            if let Some(text) = text {
                let (bytes, close) = text_chunk(descriptor, text)?;
                group.append_column(&bytes, close)?;
                continue;
            }
            if let Some((bytes, close)) = (2..=5).contains(&at).then(|| prices[at - 2].take()).flatten() {
                group.append_column(&bytes, close)?;
                continue;
            }
            let Some(mut column) = group.next_column()? else {
                return Err(ParquetError::General("the schema has fewer columns".to_owned()));
            };
            match at {
                0 => column.typed::<Int32Type>().write_batch(&columns.dt, None, None)?,
                9 => column.typed::<Int64Type>().write_batch(&columns.known_at, None, None)?,
                _ => column.typed::<Int64Type>().write_batch(numbers[at - 2], None, None)?,
            };
            column.close()?;
        }
        group.close().map(|_| ())
    }

    /// Writes the footer, and waits for the disk on a thread of its own.
    fn close(self) -> Result<Syncing, LakeError> {
        let file = self.file.into_inner().map_err(|error| parquet_failed(&self.path, error))?;
        let path = self.path;
        Ok(std::thread::spawn(move || file.sync_all().map_err(|source| LakeError::write(&path, source))))
    }
}

pub(crate) fn parquet_failed(path: &Path, error: ParquetError) -> LakeError {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(source) => *source,
            Err(other) => std::io::Error::other(other),
        },
        other => std::io::Error::other(other),
    };
    LakeError::write(path, source)
}

/// A file on its way to the disk.
type Syncing = JoinHandle<Result<(), LakeError>>;

/// A row group and the file it belongs to.
type Job = (PathBuf, BarColumns);

/// Chunks of open, high, low and close; `None` where a dictionary does not pay.
type Prices = [Option<(Bytes, ColumnCloseResult)>; 4];

/// Writes files of bars on threads of its own; a file is finished when rows for another come.
pub(crate) struct Encoder {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<Result<(), LakeError>>>,
}

impl Encoder {
    pub(crate) fn start() -> Self {
        let (jobs, queue) = sync_channel(1);
        let (priced, with_prices) = sync_channel(1);
        std::thread::spawn(move || number_prices(&queue, &priced));
        Self { jobs: Some(jobs), thread: Some(std::thread::spawn(move || run(&with_prices))) }
    }

    /// Adds a row group to the file, which is new or was the last one written to.
    pub(crate) fn write(&mut self, path: &Path, columns: BarColumns) -> Result<(), LakeError> {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send((path.into(), columns)).is_ok());
        if sent { Ok(()) } else { self.join() }
    }

    /// Waits until everything is on disk.
    pub(crate) fn finish(mut self) -> Result<(), LakeError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), LakeError> {
        drop(self.jobs.take());
        let stopped = || LakeError::write(Path::new("bars_daily"), std::io::Error::other("the encoder stopped"));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(stopped()),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // Nobody may write into the staging folder when it is removed.
        let _ = self.join();
    }
}

/// Prices of a group are a few thousand different cents. Volumes, the other numbers, hardly ever repeat.
fn number_prices(queue: &Receiver<Job>, into: &SyncSender<(Job, Result<Prices, ParquetError>)>) {
    let mut numbers = Numbers::new();
    while let Ok(job) = queue.recv() {
        let mut prices = || {
            let schema = SchemaDescriptor::new(schema()?);
            let mut chunks = Prices::default();
            for (at, (column, chunk)) in job.1.numbers().iter().zip(&mut chunks).enumerate() {
                *chunk = numbers.chunk(&schema.column(at + 2), column)?;
            }
            Ok(chunks)
        };
        let prices = prices();
        // Nobody receives any more once something could not be written.
        if into.send((job, prices)).is_err() {
            return;
        }
    }
}

fn run(queue: &Receiver<(Job, Result<Prices, ParquetError>)>) -> Result<(), LakeError> {
    let mut open: Option<Writer> = None;
    let mut syncing = Vec::new();
    while let Ok(((path, columns), prices)) = queue.recv() {
        if let Some(done) = open.take_if(|writer| writer.path != path) {
            syncing.push(done.close()?);
        }
        let writer = match &mut open {
            Some(writer) => writer,
            None => open.insert(Writer::create(&path)?),
        };
        prices.and_then(|prices| writer.write(&columns, prices)).map_err(|error| parquet_failed(&path, error))?;
    }
    if let Some(done) = open {
        syncing.push(done.close()?);
    }
    let stopped = || LakeError::write(Path::new("bars_daily"), std::io::Error::other("waiting for the disk stopped"));
    syncing.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err(stopped())))
}
