//! One execution: the statement against catalogue and engine, its result written where Athena writes it.

use algotrading_sql::{Options, Session, output};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use super::catalogue::Catalogue;
use super::statement::{self, Name, NewTable, Statement};
use crate::glue::hive;
use crate::upstream::{Upstream, s3_address};
use crate::wire::{Caller, Refusal, text};

/// What an execution needs.
pub(super) struct Execution {
    pub(super) upstream: Upstream,
    pub(super) caller: Caller,
    pub(super) database: String,
    pub(super) workgroup: String,
    /// Where the result goes, without its ending.
    pub(super) output: String,
    /// Most bytes that it may read.
    pub(super) scan_max: Option<u64>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Done {
    /// Whether the rows are a query's, with a header above them.
    pub(super) is_select: bool,
    /// Names and Trino's types.
    pub(super) columns: Vec<(String, String)>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) scanned_bytes: u64,
}

/// Why there is nothing.
pub(super) enum Stop {
    Failed(String),
    Cancelled(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(format!("{}: {}", refusal.code, refusal.message))
    }
}

fn failed(error: &dyn std::fmt::Display) -> Stop {
    Stop::Failed(error.to_string())
}

/// As Athena begins its sentences.
fn told(error: algotrading_sql::SqlError) -> Stop {
    use algotrading_sql::SqlError as Sql;
    let kind = match &error {
        Sql::UnknownTable { .. } => "TABLE_NOT_FOUND",
        Sql::UnknownFunction { .. } => "FUNCTION_NOT_FOUND",
        Sql::CorruptFile { .. } | Sql::Unreadable { .. } => "HIVE_BAD_DATA",
        _ => "SYNTAX_ERROR",
    };
    Stop::Failed(format!("{kind}: {error}"))
}

impl Execution {
    /// The catalogue as the database has it that a name names, or else the query's own.
    fn catalogue<'a>(&'a self, name: Option<&'a Name>) -> Catalogue<'a> {
        let database = name.and_then(|name| name.database.as_deref()).unwrap_or(&self.database);
        Catalogue { upstream: &self.upstream, caller: &self.caller, database }
    }

    async fn session(&self, sql: &str) -> Result<Session, Stop> {
        let databases = self.catalogue(None).read(sql).await?;
        Session::over(&self.database, databases, Options::default()).await.map_err(told)
    }

    async fn prepared(&self, operation: &str, request: &serde_json::Value) -> Result<serde_json::Value, Stop> {
        Ok(self.upstream.call(&self.caller, &format!("AmazonAthena.{operation}"), request).await?)
    }

    pub(super) async fn run(&self, sql: &str, parameters: &[String]) -> Result<Done, Stop> {
        // What is prepared keeps its marks, and the marks of what is executed are in the prepared text.
        let read = statement::read(sql).map_err(Stop::Failed)?;
        if let Statement::Prepare { .. } | Statement::Execute { .. } = read {
            return self.of_prepared(read, parameters).await;
        }
        let sql = statement::with_parameters(sql, parameters).map_err(Stop::Failed)?;
        match statement::read(&sql).map_err(Stop::Failed)? {
            Statement::Query(sql) => self.query(&sql).await,
            statement => self.change(statement).await,
        }
    }

    async fn of_prepared(&self, statement: Statement, parameters: &[String]) -> Result<Done, Stop> {
        let named = |name: &str| json!({ "StatementName": name, "WorkGroup": self.workgroup });
        match statement {
            Statement::Execute { name, values } => {
                let found = self.prepared("GetPreparedStatement", &named(&name)).await?;
                let text = text(&found["PreparedStatement"], "QueryStatement");
                let values = if values.is_empty() { parameters } else { &values };
                let sql = statement::with_parameters(text, values).map_err(Stop::Failed)?;
                match statement::read(&sql).map_err(Stop::Failed)? {
                    Statement::Query(sql) => self.query(&sql).await,
                    statement => self.change(statement).await,
                }
            }
            Statement::Prepare { name, sql } => {
                let mut request = named(&name);
                request["QueryStatement"] = sql.into();
                self.prepared("CreatePreparedStatement", &request).await?;
                self.no_rows(0).await
            }
            other => self.change(other).await,
        }
    }

    async fn query(&self, sql: &str) -> Result<Done, Stop> {
        let session = self.session(sql).await?;
        let (columns, batches, scanned_bytes) = self.batches(&session, sql).await?;
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(output::texts(batch).map_err(told)?);
        }
        let is_select = statement::kind(sql) == "DML";
        let named: Vec<(String, String)> =
            columns.iter().map(|(name, of)| (name.clone(), algotrading_sql::functions::trino_type(of))).collect();
        if is_select {
            let header: Vec<Option<String>> = named.iter().map(|(name, _)| Some(name.clone())).collect();
            let quoted = |cell: &Option<String>| {
                cell.as_ref().map_or_else(String::new, |text| format!("\"{}\"", text.replace('"', "\"\"")))
            };
            let line = |row: &Vec<Option<String>>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
            let text: String = [&header].into_iter().chain(&rows).map(line).collect();
            self.put(&format!("{}.csv", self.output), text.into_bytes()).await?;
        } else {
            let line = |row: &Vec<Option<String>>| {
                row.iter().map(|cell| cell.clone().unwrap_or_default()).collect::<Vec<_>>().join("\t") + "\n"
            };
            self.put(&format!("{}.txt", self.output), rows.iter().map(line).collect::<String>().into_bytes()).await?;
        }
        Ok(Done { is_select, columns: named, rows, scanned_bytes })
    }

    async fn batches(
        &self,
        session: &Session,
        sql: &str,
    ) -> Result<(Vec<(String, datafusion::arrow::datatypes::DataType)>, Vec<RecordBatch>, u64), Stop> {
        let mut rows = session.query(sql).await.map_err(told)?;
        let scanned_bytes = rows.scanned_bytes();
        if self.scan_max.is_some_and(|most| scanned_bytes > most) {
            return Err(Stop::Cancelled("Query cancelled! : Bytes scanned limit was exceeded".to_owned()));
        }
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await.map_err(told)? {
            batches.push(batch);
        }
        Ok((columns, batches, scanned_bytes))
    }

    async fn change(&self, statement: Statement) -> Result<Done, Stop> {
        let mut scanned_bytes = 0;
        match statement {
            Statement::CreateDatabase { name, if_absent } => {
                self.catalogue(None).create_database(&name, if_absent).await?;
            }
            Statement::CreateTable(table) => self.catalogue(Some(&table.name)).create_table(&table).await?,
            Statement::CreateView { name, replace, sql } => {
                let columns = self.session(&sql).await?.columns(&sql).await.map_err(told)?;
                let columns: Vec<_> = columns.into_iter().map(|(name, of)| (name, hive(&of))).collect();
                self.catalogue(Some(&name)).create_view(&name.name, replace, &sql, &columns).await?;
            }
            Statement::Drop { name, if_there, view } => {
                self.catalogue(Some(&name)).drop(&name.name, if_there, view).await?;
            }
            Statement::CreateTableAs { name, location, sql } => {
                scanned_bytes = self.create_table_as(name, location, &sql).await?;
            }
            // What lies where a partition is to be is found there; but there must be a table.
            Statement::Partitions { name } => drop(self.catalogue(Some(&name)).get(&name.name).await?),
            Statement::Forget { name } => {
                let request = json!({ "StatementName": name, "WorkGroup": self.workgroup });
                self.prepared("DeletePreparedStatement", &request).await?;
            }
            // Whoever comes here has sent these elsewhere.
            Statement::Query(_) | Statement::Execute { .. } | Statement::Prepare { .. } => {}
        }
        self.no_rows(scanned_bytes).await
    }

    async fn no_rows(&self, scanned_bytes: u64) -> Result<Done, Stop> {
        self.put(&format!("{}.txt", self.output), Vec::new()).await?;
        Ok(Done { scanned_bytes, ..Done::default() })
    }

    async fn create_table_as(&self, name: Name, location: Option<String>, sql: &str) -> Result<u64, Stop> {
        let session = self.session(sql).await?;
        let (columns, batches, scanned_bytes) = self.batches(&session, sql).await?;
        let location = location.unwrap_or_else(|| format!("{}/tables/", self.output));
        let location = location.trim_end_matches('/').to_owned();
        if self.holds_files(&location).await? {
            let reason = format!("HIVE_PATH_ALREADY_EXISTS: the target of the table already exists: {location}");
            return Err(Stop::Failed(reason));
        }
        let declared = columns.iter().map(|(name, of)| (name.clone(), hive(of))).collect();
        let table = NewTable { name, columns: declared, location: format!("{location}/"), ..NewTable::default() };
        self.catalogue(Some(&table.name)).create_table(&table).await?;
        if let Some(first) = batches.first() {
            let mut bytes = Vec::new();
            let mut writer = ArrowWriter::try_new(&mut bytes, first.schema(), None).map_err(|error| failed(&error))?;
            for batch in &batches {
                writer.write(batch).map_err(|error| failed(&error))?;
            }
            writer.close().map_err(|error| failed(&error))?;
            self.put(&format!("{location}/{}.parquet", uuid::Uuid::new_v4().simple()), bytes).await?;
        }
        Ok(scanned_bytes)
    }

    async fn holds_files(&self, location: &str) -> Result<bool, Stop> {
        let (bucket, key) = s3_address(location).ok_or_else(|| failed(&format!("`{location}` is no place")))?;
        let store = self.upstream.bucket(&self.caller, bucket).map_err(|error| failed(&error))?;
        let prefix = object_store::path::Path::parse(key).map_err(|error| failed(&error))?;
        Ok(store.list(Some(&prefix)).try_next().await.map_err(|error| failed(&error))?.is_some())
    }

    async fn put(&self, location: &str, bytes: Vec<u8>) -> Result<(), Stop> {
        let (bucket, key) = s3_address(location).ok_or_else(|| failed(&format!("`{location}` is no place")))?;
        let store = self.upstream.bucket(&self.caller, bucket).map_err(|error| failed(&error))?;
        let key = object_store::path::Path::parse(key).map_err(|error| failed(&error))?;
        store.put(&key, bytes.into()).await.map(|_| ()).map_err(|error| failed(&error))
    }
}
