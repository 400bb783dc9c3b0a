//! The lake's folders as tables: what columns each has, and how it is registered.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::error::SqlError;

/// The store's address inside a session; plans and messages show it instead of the lake's place.
pub(crate) const LAKE_URL: &str = "lake://lake/";

/// Tables that exist even when their folder does not yet, because the views read them.
pub(crate) const CORE: [&str; 3] = ["bars_daily", "corporate_actions", "quarantine"];

/// What the system writes beside them.
pub(crate) const RECORDS: [&str; 5] = ["signals", "orders", "fills", "equity", "runs"];

/// The columns of a declared table, as they are written; nothing for another.
fn schema(table: &str) -> Option<SchemaRef> {
    let declared = queries::columns(table);
    let field = |(name, of): &(&str, &str)| {
        let data_type = match *of {
            "date" => DataType::Date32,
            "bigint" => DataType::Int64,
            "double" => DataType::Float64,
            "decimal(18,9)" => DataType::Decimal128(18, 9),
            "decimal(18,6)" => DataType::Decimal128(18, 6),
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            _ => DataType::Utf8,
        };
        Field::new(*name, data_type, true)
    };
    (!declared.is_empty()).then(|| Arc::new(Schema::new(declared.iter().map(field).collect::<Vec<_>>())))
}

/// The Parquet files of a table.
pub(crate) async fn files(store: &dyn ObjectStore, location: &str, table: &str) -> Result<Vec<ObjectMeta>, SqlError> {
    let prefix = Path::from(table);
    let mut files: Vec<ObjectMeta> = store
        .list(Some(&prefix))
        .try_filter(|object| {
            let parquet = object.location.as_ref().ends_with(".parquet");
            std::future::ready(parquet)
        })
        .try_collect()
        .await
        .map_err(|error| unreadable(location, &error))?;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// What was found in a lake.
pub(crate) struct Tables {
    /// Whether there was any file at all.
    pub(crate) any: bool,
    /// Record tables that cannot be read, and why.
    pub(crate) broken: Vec<(&'static str, SqlError)>,
}

/// Registers every table of the lake.
///
/// The views stand on the core tables, so one that cannot be read is an error at once; a broken
/// record table concerns only who asks for it.
pub(crate) async fn register(
    context: &SessionContext,
    store: &dyn ObjectStore,
    location: &str,
) -> Result<Tables, SqlError> {
    let mut found = Tables { any: false, broken: vec![] };
    for table in CORE {
        let files = files(store, location, table).await?;
        found.any |= !files.is_empty();
        add(context, store, location, table, &files).await?;
    }
    for table in RECORDS {
        let files = files(store, location, table).await?;
        found.any |= !files.is_empty();
        if let Err(error) = add(context, store, location, table, &files).await {
            found.broken.push((table, error));
        }
    }
    Ok(found)
}

async fn add(
    context: &SessionContext,
    store: &dyn ObjectStore,
    location: &str,
    table: &'static str,
    files: &[ObjectMeta],
) -> Result<(), SqlError> {
    // The engine passes over empty files; for us they are data that went missing.
    if let Some(file) = files.iter().find(|file| file.size < 12) {
        return Err(SqlError::CorruptFile {
            file: format!("{}/{}", location.trim_end_matches('/'), file.location),
            reason: format!("it has only {} bytes", file.size),
        });
    }
    let provider = match (schema(table), files.is_empty()) {
        (Some(schema), true) => empty(table, &schema)?,
        // What the system has written may be of an earlier version, with other columns.
        (schema, false) => match listing(context, table, schema.filter(|_| CORE.contains(&table))).await {
            Ok(provider) => provider,
            Err(error) => return Err(explain(store, location, &error).await),
        },
        (None, true) => return Ok(()),
    };
    context.register_table(table, provider).map(|_| ()).map_err(|error| SqlError::from_engine(&error))
}

fn empty(table: &str, schema: &SchemaRef) -> Result<Arc<dyn TableProvider>, SqlError> {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    if table == "bars_daily" {
        fields.push(Arc::new(Field::new("year", DataType::Int32, true)));
    }
    let provider = MemTable::try_new(Arc::new(Schema::new(fields)), vec![vec![]])
        .map_err(|error| SqlError::from_engine(&error))?;
    Ok(Arc::new(provider))
}

async fn listing(
    context: &SessionContext,
    table: &str,
    schema: Option<SchemaRef>,
) -> datafusion::error::Result<Arc<dyn TableProvider>> {
    let partitions = match table {
        "bars_daily" => vec![("year".to_owned(), DataType::Int32)],
        _ => vec![],
    };
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(partitions);
    let url = ListingTableUrl::parse(format!("{LAKE_URL}{table}/"))?;
    let schema = match schema {
        Some(schema) => schema,
        None => options.infer_schema(&context.state(), &url).await?,
    };
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

fn unreadable(location: &str, error: &object_store::Error) -> SqlError {
    SqlError::Unreadable { location: location.to_owned(), reason: crate::error::one_line(&error.to_string()) }
}

/// Finds the file behind an engine's error about unreadable data, by reading the lake's files.
///
/// Only a failed query comes here, so the price of a second read is paid when it helps.
pub(crate) async fn explain(
    store: &dyn ObjectStore,
    location: &str,
    error: &datafusion::error::DataFusionError,
) -> SqlError {
    let text = error.to_string();
    let about_files =
        ["arquet", "bject store", "bject Store", "IO error", "Arrow: ", "ipc"].iter().any(|word| text.contains(word));
    if about_files {
        for table in CORE.into_iter().chain(RECORDS) {
            let Ok(files) = files(store, location, table).await else {
                continue;
            };
            for file in files {
                if let Err(reason) = read_whole(store, &file.location).await {
                    return SqlError::CorruptFile {
                        file: format!("{}/{}", location.trim_end_matches('/'), file.location),
                        reason,
                    };
                }
            }
        }
    }
    SqlError::from_engine(error)
}

async fn read_whole(store: &dyn ObjectStore, path: &Path) -> Result<(), String> {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let line = |error: &dyn std::fmt::Display| crate::error::one_line(&error.to_string());
    let bytes = async { store.get(path).await?.bytes().await }.await.map_err(|error| line(&error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.build())
        .map_err(|error| line(&error))?;
    for batch in reader {
        batch.map_err(|error| line(&error))?;
    }
    Ok(())
}
