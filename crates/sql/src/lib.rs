//! SQL over the lake, as Athena would answer it.
//!
//! [`Session::open`] takes a folder or `s3://bucket/prefix`, registers the lake's Parquet folders as
//! tables of `awsdatacatalog.algo_data` on an embedded DataFusion, plans the views that `queries` ships
//! over them (the same text is shipped to Athena) and adds the functions of Trino that analysts use.
//! [`Session::query`] reads one statement, refuses whatever could change something, and returns
//! [`Rows`]: a stream of record batches that [`output`] writes as a table, CSV or JSON while it
//! arrives.
//!
//! - `tables` the folders as tables; which file is broken
//! - `views` the public views and their as-of forms
//! - `statement` one read-only statement, with Trino's special forms rewritten
//! - [`elsewhere`] tables and views that a catalogue names, wherever their files lie
//! - `catalog` what SHOW and DESCRIBE answer
//! - [`functions`] Trino's functions, each with an example that is a test
//! - [`output`] table, CSV, JSON
//! - [`error`] the sentences a user reads
//!
//! Invariants: nothing here writes to a lake, and with one thread (the default) the same query over
//! the same files gives the same bytes.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod catalog;
pub mod elsewhere;
pub mod error;
pub mod functions;
pub mod output;
mod statement;
mod tables;
mod views;

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::ObjectStore;

pub use error::SqlError;

/// Athena's name for the Glue catalogue.
pub const CATALOG: &str = "awsdatacatalog";
/// The schema that holds the lake's tables and views.
pub const SCHEMA: &str = "algo_data";

/// How a session runs its queries.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads of one query. With more than one, rows without ORDER BY may come in any order and
    /// sums of floating-point numbers may differ in their last digit.
    pub threads: usize,
    /// Memory of one query in MiB. Sorts beyond it go to temporary files; what cannot is an error.
    pub memory_mib: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, memory_mib: 4096 }
    }
}

/// An open lake, ready for queries.
pub struct Session {
    /// The lake and its place, where it is one.
    source: Option<(String, Arc<dyn ObjectStore>)>,
    context: SessionContext,
    /// Tables and views that cannot be read; an error only for the queries that name them.
    broken: Vec<(String, SqlError)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("location", &self.source.as_ref().map(|one| &one.0)).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a lake: a folder or `s3://bucket/prefix`.
    pub async fn open(location: &str, options: Options) -> Result<Self, SqlError> {
        let store = lake::location::store(location)?;
        let context = context(options, SCHEMA)?;
        let url = object_store_url()?;
        context.runtime_env().register_object_store(url.as_ref(), Arc::clone(&store));
        let tables = tables::register(&context, store.as_ref(), location).await?;
        if !tables.any {
            return Err(SqlError::Empty { location: location.to_owned() });
        }
        views::register(&context).await.map_err(|error| SqlError::from_engine(&error))?;
        let broken = tables.broken.into_iter().map(|(table, error)| (table.to_owned(), error)).collect();
        Ok(Self { source: Some((location.to_owned(), store)), context, broken })
    }

    /// Plans and starts one read-only statement.
    pub async fn query(&self, sql: &str) -> Result<Rows<'_>, SqlError> {
        let statement = statement::parse(&self.context, sql).await.map_err(|error| self.broken_table(error))?;
        let plan = match self.context.state().statement_to_plan(statement).await {
            Ok(plan) => plan,
            Err(error) => return Err(self.explain(&error).await),
        };
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        if options.verify_plan(&plan).is_err() {
            return Err(SqlError::ReadOnly {
                statement: sql.split_whitespace().next().unwrap_or_default().to_uppercase(),
            });
        }
        let started = async {
            let frame = self.context.execute_logical_plan(plan).await?;
            let plan = frame.create_physical_plan().await?;
            let scanned_bytes = scanned_bytes(plan.as_ref());
            Ok((execute_stream(plan, self.context.task_ctx())?, scanned_bytes))
        };
        match started.await {
            Ok((stream, scanned_bytes)) => Ok(Rows { session: self, stream, scanned_bytes }),
            Err(error) => Err(self.explain(&error).await),
        }
    }

    /// Turns the engine's error into a sentence, looking for the broken file when data was unreadable.
    async fn explain(&self, error: &datafusion::error::DataFusionError) -> SqlError {
        let explained = match &self.source {
            Some((location, store)) => tables::explain(store.as_ref(), location, error).await,
            None => SqlError::from_engine(error),
        };
        match explained {
            SqlError::Query(text) => {
                match text.strip_prefix("Invalid function '").and_then(|rest| rest.split_once('\'')) {
                    Some((name, _)) => self.unknown_function(name),
                    None => SqlError::Query(text),
                }
            }
            other => other,
        }
    }

    /// A table that is absent because it cannot be read is not unknown.
    fn broken_table(&self, error: SqlError) -> SqlError {
        let SqlError::UnknownTable { name, .. } = &error else {
            return error;
        };
        let table = name.rsplit('.').next().unwrap_or_default();
        self.broken.iter().find(|(broken, _)| broken == table).map_or(error, |(_, reason)| reason.clone())
    }

    /// The engine proposes one of its own names, by chance among equals; this is the same each time.
    fn unknown_function(&self, name: &str) -> SqlError {
        let state = self.context.state();
        let mut known: Vec<&String> = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .collect();
        known.sort_unstable();
        SqlError::UnknownFunction {
            name: name.to_owned(),
            nearest: error::did_you_mean(name, known.into_iter().map(String::as_str)),
        }
    }
}

/// The answer to a query, batch by batch.
pub struct Rows<'a> {
    session: &'a Session,
    stream: SendableRecordBatchStream,
    scanned_bytes: u64,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("schema", &self.stream.schema()).finish_non_exhaustive()
    }
}

impl Rows<'_> {
    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// Size of the files that are read; fewer bytes of them may be.
    pub fn scanned_bytes(&self) -> u64 {
        self.scanned_bytes
    }

    /// The next batch, or nothing at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(self.session.explain(&error).await),
        }
    }
}

fn scanned_bytes(plan: &dyn ExecutionPlan) -> u64 {
    let source = plan.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
    let config = source.and_then(|source| source.downcast_ref::<FileScanConfig>());
    let files = config.into_iter().flat_map(|config| &config.file_groups).flat_map(|group| group.files());
    let own: u64 = files.map(|file| file.object_meta.size).sum();
    own + plan.children().iter().map(|child| scanned_bytes(child.as_ref())).sum::<u64>()
}

fn context(options: Options, schema: &str) -> Result<SessionContext, SqlError> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, schema)
        .with_information_schema(true)
        .with_target_partitions(options.threads.max(1));
    // Runs may keep their records in folders of their own.
    config.options_mut().execution.listing_table_ignore_subdirectory = false;
    // One text type everywhere: Trino has only `varchar`.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(options.memory_mib.max(1) << 20, 1.0)
        .build_arc()
        .map_err(|error| SqlError::from_engine(&error))?;
    let state =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
    let context = SessionContext::new_with_state(state);
    functions::register(&context);
    Ok(context)
}

fn object_store_url() -> Result<datafusion::execution::object_store::ObjectStoreUrl, SqlError> {
    datafusion::execution::object_store::ObjectStoreUrl::parse(tables::LAKE_URL)
        .map_err(|error| SqlError::from_engine(&error))
}
