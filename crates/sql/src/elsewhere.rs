//! A session over tables and views that a catalogue names, wherever their files lie.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::datasource::ViewTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::{CATALOG, Options, Session, SqlError, context, statement};

/// Parquet files below a prefix of a bucket.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Columns with their types as Hive writes them; of any file that has them otherwise the file's type is taken.
    pub columns: Vec<(String, String)>,
    /// Partition keys, found in paths as `name=value`.
    pub partition_keys: Vec<(String, String)>,
    /// `s3://bucket`.
    pub bucket: String,
    /// Within it, without slash at its end.
    pub prefix: String,
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
}

/// A view: its name and its query.
pub type View = (String, String);

/// What a database of the catalogue holds.
#[derive(Debug, Clone, Default)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its tables.
    pub tables: Vec<Table>,
    /// Its views; a name in them without a database is one of this database.
    pub views: Vec<View>,
}

/// A Hive type; what is not known here is text.
#[must_use]
pub fn data_type(hive: &str) -> DataType {
    let hive = hive.trim().to_ascii_lowercase();
    if let Some(inside) = hive.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
        let mut parts = inside.split(',').map(|part| part.trim().parse::<i16>().ok());
        let (precision, scale) = (parts.next().flatten().unwrap_or(10), parts.next().flatten().unwrap_or(0));
        return DataType::Decimal128(precision as u8, scale as i8);
    }
    match hive.as_str() {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "binary" => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn schema(columns: &[(String, String)]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|(name, of)| Field::new(name, data_type(of), true)).collect();
    Arc::new(Schema::new(fields))
}

impl Session {
    /// Opens a session over databases; names without one mean those of `default`. A table that cannot be read and a view
    /// that cannot be planned are errors only for the queries that name them.
    ///
    /// # Errors
    /// The engine cannot be set up.
    pub async fn over(default: &str, databases: Vec<Database>, options: Options) -> Result<Self, SqlError> {
        let context = context(options, default)?;
        let mut session = Self { source: None, context, broken: Vec::new() };
        let mut views = Vec::new();
        for database in databases {
            session.add_schema(&database.name)?;
            for table in &database.tables {
                if let Err(error) = add(&session.context, &database.name, table).await {
                    session.broken.push((table.name.clone(), error));
                }
            }
            views.extend(database.views.into_iter().map(|view| (database.name.clone(), view)));
        }
        session.add_views(views).await;
        Ok(session)
    }

    fn add_schema(&self, name: &str) -> Result<(), SqlError> {
        let Some(catalog) = self.context.catalog(CATALOG).filter(|catalog| catalog.schema(name).is_none()) else {
            return Ok(());
        };
        let made = catalog.register_schema(name, Arc::new(MemorySchemaProvider::new()));
        made.map(|_| ()).map_err(|error| SqlError::from_engine(&error))
    }

    /// Views may stand on views: those that can be planned are, until no further one can.
    async fn add_views(&mut self, mut views: Vec<(String, View)>) {
        loop {
            let mut left = Vec::new();
            let before = views.len();
            for (database, (name, sql)) in views {
                match self.plan_view(&database, &sql).await {
                    Ok(view) => {
                        let place = TableReference::partial(database.as_str(), name.as_str());
                        let _ = self.context.register_table(place, Arc::new(view));
                    }
                    Err(error) => left.push((database, (name, sql), error)),
                }
            }
            if left.is_empty() || left.len() == before {
                self.broken.extend(left.into_iter().map(|(_, (name, _), error)| (name, error)));
                return;
            }
            views = left.into_iter().map(|(database, view, _)| (database, view)).collect();
        }
    }

    async fn plan_view(&self, database: &str, sql: &str) -> Result<ViewTable, SqlError> {
        // The same catalogue, seen from the view's own database.
        let mut state = self.context.state();
        state.config_mut().options_mut().catalog.default_schema = database.to_owned();
        let context = SessionContext::new_with_state(state);
        let parsed = match statement::parse(&context, sql).await {
            Ok(parsed) => parsed,
            Err(error) => return Err(self.broken_table(error)),
        };
        let plan = context.state().statement_to_plan(parsed).await;
        Ok(ViewTable::new(plan.map_err(|error| SqlError::from_engine(&error))?, Some(sql.to_owned())))
    }

    /// Names and types of the columns that a query gives.
    ///
    /// # Errors
    /// It cannot be planned.
    pub async fn columns(&self, sql: &str) -> Result<Vec<(String, DataType)>, SqlError> {
        let parsed = statement::parse(&self.context, sql).await.map_err(|error| self.broken_table(error))?;
        let plan = self.context.state().statement_to_plan(parsed).await;
        let plan = plan.map_err(|error| SqlError::from_engine(&error))?;
        Ok(plan.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect())
    }
}

async fn add(context: &SessionContext, database: &str, table: &Table) -> Result<(), SqlError> {
    let url = ObjectStoreUrl::parse(&table.bucket).map_err(|error| SqlError::from_engine(&error))?;
    context.runtime_env().register_object_store(url.as_ref(), Arc::clone(&table.store));
    let place = TableReference::partial(database, table.name.as_str());
    let engine = |error: datafusion::error::DataFusionError| SqlError::from_engine(&error);
    let unreadable = |error: &dyn std::fmt::Display| SqlError::Unreadable {
        location: format!("{}/{}", table.bucket, table.prefix),
        reason: crate::error::one_line(&error.to_string()),
    };
    let prefix = Path::parse(&table.prefix).map_err(|error| unreadable(&error))?;
    let files: Vec<ObjectMeta> =
        table.store.list(Some(&prefix)).try_collect().await.map_err(|error| unreadable(&error))?;
    let declared = schema(&table.columns);
    if files.iter().all(|file| file.size == 0) {
        let all = [&table.columns[..], &table.partition_keys[..]].concat();
        let empty = MemTable::try_new(schema(&all), vec![vec![]]).map_err(engine)?;
        return context.register_table(place, Arc::new(empty)).map(|_| ()).map_err(engine);
    }
    let keys = table.partition_keys.iter().map(|(name, of)| (name.clone(), data_type(of))).collect();
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("").with_table_partition_cols(keys);
    let url = ListingTableUrl::parse(format!("{}/{}/", table.bucket, table.prefix)).map_err(engine)?;
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(declared);
    let listing = ListingTable::try_new(config).map_err(engine)?;
    context.register_table(place, Arc::new(listing)).map(|_| ()).map_err(engine)
}
