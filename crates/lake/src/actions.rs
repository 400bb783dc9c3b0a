//! Corporate actions in the lake: versions with the time each was known, like bars.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use domain::{ActionKind, Calendar, InstrumentId, Price, Ratio, SessionDate};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::contracts::{Delivery, Step};
use crate::error::LakeError;
use crate::files::{Files, Wanted};
use crate::row::RowActionKind;
use crate::stored::{Columns, source_from_text, source_text};

/// What happens, as it is named in the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Split,
    Dividend,
    Delisting,
}

const KINDS: [(Kind, &str); 3] = [(Kind::Split, "split"), (Kind::Dividend, "dividend"), (Kind::Delisting, "delisting")];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn from_name(text: &str) -> Option<Self> {
        KINDS.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }
}

/// One version of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionVersion {
    pub(crate) ex_date: SessionDate,
    pub(crate) kind: Kind,
    /// Billionths of a share or of the currency.
    pub(crate) value: i64,
    /// In microseconds.
    pub(crate) known_at: i64,
    pub(crate) source: u64,
}

impl ActionVersion {
    /// As a run sees it; `None` when the value makes no sense.
    pub(crate) fn to_domain(self, instrument: InstrumentId) -> Option<domain::CorporateAction> {
        let kind = match self.kind {
            Kind::Split => ActionKind::Split { ratio: Ratio::from_units(self.value)? },
            Kind::Dividend => ActionKind::Dividend { amount: Price::from_units(self.value) },
            Kind::Delisting => ActionKind::Delisting { price: Price::from_units(self.value) },
        };
        Some(domain::CorporateAction { instrument, ex_date: self.ex_date, kind })
    }
}

/// Every version of every symbol that `wanted` lets through.
pub(crate) fn read(
    files: &Files,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<ActionVersion>>, LakeError> {
    let mut found: BTreeMap<String, Vec<ActionVersion>> = BTreeMap::new();
    for file in files.parquet("corporate_actions")? {
        let names = ["ex_date", "sym", "kind", "value", "known_at", "source"];
        for batch in files.open(&file, Wanted { columns: &names, symbols: None })? {
            let batch = batch.map_err(|error| LakeError::corrupt(&file, error))?;
            let columns = Columns { file: &file, batch: &batch };
            let (ex_date, sym, kind) = (columns.dates("ex_date")?, columns.text("sym")?, columns.text("kind")?);
            let (value, known_at) = (columns.decimals("value")?, columns.times("known_at")?);
            let source = columns.text("source")?;
            for at in (0..batch.num_rows()).filter(|at| wanted(sym.value(*at))) {
                let bad = |what: &str| LakeError::corrupt(&file, format!("{what} in row {}", at + 1));
                let version = ActionVersion {
                    ex_date: SessionDate::from_days(ex_date[at]),
                    kind: Kind::from_name(kind.value(at)).ok_or_else(|| bad("unknown kind"))?,
                    value: i64::try_from(value[at]).map_err(|_| bad("a value out of range"))?,
                    known_at: known_at[at],
                    source: source_from_text(source.value(at)),
                };
                match found.get_mut(sym.value(at)) {
                    Some(versions) => versions.push(version),
                    None => {
                        found.insert(sym.value(at).to_owned(), vec![version]);
                    }
                }
            }
        }
    }
    for versions in found.values_mut() {
        versions.sort_by_key(|version| (version.ex_date, version.kind, version.known_at));
    }
    Ok(found)
}

/// The version of each action that was the latest known at a time.
pub(crate) fn current(versions: &[ActionVersion], as_of: Option<i64>) -> Vec<ActionVersion> {
    versions
        .chunk_by(|a, b| (a.ex_date, a.kind) == (b.ex_date, b.kind))
        .filter_map(|same| same.iter().rfind(|version| as_of.is_none_or(|as_of| version.known_at <= as_of)))
        .copied()
        .collect()
}

/// What the actions do to prices, by ex-date.
pub(crate) fn steps(actions: &[ActionVersion]) -> BTreeMap<SessionDate, Step> {
    let mut steps = BTreeMap::new();
    for action in actions {
        let step = steps.entry(action.ex_date).or_insert(Step { split: 1.0, dividend: 0.0 });
        match action.kind {
            Kind::Split => step.split = Ratio::from_units(action.value).map_or(1.0, Ratio::to_f64),
            Kind::Dividend => step.dividend = Price::from_units(action.value).to_f64(),
            Kind::Delisting => {}
        }
    }
    steps
}

/// An action of the import.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewAction {
    pub(crate) symbol: u32,
    pub(crate) file: u16,
    pub(crate) ex_date: SessionDate,
    pub(crate) kind: Kind,
    pub(crate) value: i64,
}

impl NewAction {
    pub(crate) fn new(symbol: u32, file: u16, ex_date: SessionDate, kind: RowActionKind) -> Self {
        let (kind, value) = match kind {
            RowActionKind::Split(ratio) => (Kind::Split, units(ratio)),
            RowActionKind::Dividend(amount) => (Kind::Dividend, amount.units()),
        };
        Self { symbol, file, ex_date, kind, value }
    }
}

fn units(ratio: Ratio) -> i64 {
    let (new, old) = (i128::from(ratio.numerator()), i128::from(ratio.denominator()));
    i64::try_from((new * i128::from(Price::UNITS) + old / 2) / old).unwrap_or(i64::MAX)
}

/// What the import adds: of each action the first the files give, unless the lake has it.
pub(crate) fn additions(
    new: &mut Vec<NewAction>,
    stored: &BTreeMap<String, Vec<ActionVersion>>,
    symbols: &[domain::Symbol],
    sources: &[u64],
    delivery: Delivery,
) -> Vec<(u32, ActionVersion)> {
    // Stable: the first stays the first.
    new.sort_by_key(|action| (action.symbol, action.ex_date, action.kind));
    new.dedup_by_key(|action| (action.symbol, action.ex_date, action.kind));
    let mut added = Vec::new();
    for action in new.iter() {
        let all = stored.get(symbols[action.symbol as usize].as_str()).map_or(&[][..], Vec::as_slice);
        let from = all.partition_point(|one| (one.ex_date, one.kind) < (action.ex_date, action.kind));
        let to = all.partition_point(|one| (one.ex_date, one.kind) <= (action.ex_date, action.kind));
        let versions = &all[from..to];
        let source = sources.get(usize::from(action.file)).copied().unwrap_or_default();
        let same = |version: &ActionVersion| version.value == action.value;
        if versions.last().is_some_and(same) || versions.iter().any(|one| same(one) && one.source == source) {
            continue;
        }
        if delivery.behind && !versions.is_empty() {
            continue;
        }
        let mut known_at = match delivery.known_at {
            Some(known_at) => known_at,
            None if versions.is_empty() => {
                Calendar::nyse().session(action.ex_date).map_or(delivery.now, |session| session.open)
            }
            None => delivery.now,
        }
        .micros();
        // Two versions never share a time: the one that arrives later is the later one.
        while versions.iter().any(|version| version.known_at == known_at) {
            known_at += 1;
        }
        let NewAction { symbol, ex_date, kind, value, .. } = *action;
        added.push((symbol, ActionVersion { ex_date, kind, value, known_at, source }));
    }
    added
}

/// The steps of each symbol once the import is in.
pub(crate) fn steps_by_symbol(
    stored: &BTreeMap<String, Vec<ActionVersion>>,
    added: &[(u32, ActionVersion)],
    symbols: &[domain::Symbol],
) -> Vec<BTreeMap<SessionDate, Step>> {
    let mut new: HashMap<u32, Vec<ActionVersion>> = HashMap::new();
    for (symbol, version) in added {
        new.entry(*symbol).or_default().push(*version);
    }
    let of = |(at, symbol): (usize, &domain::Symbol)| {
        let mut all = stored.get(symbol.as_str()).cloned().unwrap_or_default();
        all.extend(new.remove(&(at as u32)).into_iter().flatten());
        all.sort_by_key(|version| (version.ex_date, version.kind, version.known_at));
        steps(&current(&all, None))
    };
    symbols.iter().enumerate().map(of).collect()
}

/// Writes a file of actions, sorted by symbol and date.
pub(crate) fn write(
    path: &Path,
    added: &mut [(u32, ActionVersion)],
    symbols: &[domain::Symbol],
) -> Result<(), LakeError> {
    added.sort_by_key(|(symbol, one)| (&symbols[*symbol as usize], one.ex_date, one.kind, one.known_at));
    let text = |of: &dyn Fn(&(u32, ActionVersion)) -> String| -> ArrayRef {
        Arc::new(added.iter().map(|one| Some(of(one))).collect::<StringArray>())
    };
    let columns: Vec<(&str, DataType, ArrayRef)> = vec![
        ("ex_date", DataType::Date32, {
            Arc::new(added.iter().map(|(_, one)| Some(one.ex_date.days())).collect::<Date32Array>())
        }),
        ("sym", DataType::Utf8, text(&|(symbol, _)| symbols[*symbol as usize].to_string())),
        ("kind", DataType::Utf8, text(&|(_, one)| one.kind.name().to_owned())),
        ("value", DataType::Decimal128(18, 9), {
            let values = added.iter().map(|(_, one)| i128::from(one.value)).collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(18, 9).map_err(|error| failed(path, error.into()))?)
        }),
        ("currency", DataType::Utf8, text(&|_| "USD".to_owned())),
        ("known_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), {
            let times = added.iter().map(|(_, one)| Some(one.known_at)).collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone("UTC"))
        }),
        ("source", DataType::Utf8, text(&|(_, one)| source_text(one.source))),
    ];
    let mut table = Table::create(path, columns.iter().map(|(name, kind, _)| (*name, kind.clone())))?;
    table.write(columns.into_iter().map(|(_, _, column)| column).collect())?;
    table.close()
}

/// A Parquet file of a small table.
pub(crate) struct Table {
    path: std::path::PathBuf,
    schema: Arc<Schema>,
    writer: ArrowWriter<File>,
}

impl Table {
    pub(crate) fn create<'a>(
        path: &Path,
        columns: impl IntoIterator<Item = (&'a str, DataType)>,
    ) -> Result<Self, LakeError> {
        let fields: Vec<_> = columns.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect();
        let schema = Arc::new(Schema::new(fields));
        let file = File::create_new(path).map_err(|source| LakeError::write(path, source))?;
        let properties = WriterProperties::builder()
            .set_compression(ZstdLevel::try_new(1).map_or(Compression::UNCOMPRESSED, Compression::ZSTD))
            .set_created_by("algotrading".to_owned())
            .build();
        let writer =
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(|error| failed(path, error))?;
        Ok(Self { path: path.into(), schema, writer })
    }

    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), LakeError> {
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(ParquetError::from)
            .and_then(|batch| self.writer.write(&batch))
            .map_err(|error| failed(&self.path, error))
    }

    pub(crate) fn close(self) -> Result<(), LakeError> {
        let file = self.writer.into_inner().map_err(|error| failed(&self.path, error))?;
        file.sync_all().map_err(|source| LakeError::write(&self.path, source))
    }
}

fn failed(path: &Path, error: ParquetError) -> LakeError {
    crate::encode::parquet_failed(path, error)
}
