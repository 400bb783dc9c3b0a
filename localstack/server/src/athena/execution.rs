//! One execution: the statement against catalogue and engine, its result written where Athena writes it.

use algotrading_sql::{Options, Session, output};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use object_store::ObjectStoreExt;
use serde_json::json;

use super::catalogue::Catalogue;
use super::statement::{self, NewTable, Statement};
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
    fn catalogue(&self) -> Catalogue<'_> {
        Catalogue { upstream: &self.upstream, caller: &self.caller, database: &self.database }
    }

    async fn session(&self) -> Result<Session, Stop> {
        let (tables, views) = self.catalogue().read().await?;
        Session::over(&self.database, tables, views, Options::default()).await.map_err(told)
    }

    pub(super) async fn run(&self, sql: &str, parameters: &[String]) -> Result<Done, Stop> {
        let sql = statement::with_parameters(sql, parameters).map_err(Stop::Failed)?;
        match statement::read(&sql).map_err(Stop::Failed)? {
            Statement::Query(sql) => self.query(&sql).await,
            Statement::Execute { name, values } => {
                let asked = json!({ "StatementName": name, "WorkGroup": self.workgroup });
                let found = self.upstream.call(&self.caller, "AmazonAthena.GetPreparedStatement", &asked).await?;
                let prepared = text(&found["PreparedStatement"], "QueryStatement").to_owned();
                let sql = statement::with_parameters(&prepared, &values).map_err(Stop::Failed)?;
                self.query(&sql).await
            }
            statement => self.change(statement).await,
        }
    }

    async fn query(&self, sql: &str) -> Result<Done, Stop> {
        let session = self.session().await?;
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
        let catalogue = self.catalogue();
        let mut scanned_bytes = 0;
        match statement {
            Statement::CreateDatabase { name, if_absent } => catalogue.create_database(&name, if_absent).await?,
            Statement::CreateTable(table) => catalogue.create_table(&table).await?,
            Statement::CreateView { name, replace, sql } => {
                let columns = self.session().await?.columns(&sql).await.map_err(told)?;
                let columns: Vec<_> = columns.into_iter().map(|(name, of)| (name, hive(&of))).collect();
                catalogue.create_view(&name, replace, &sql, &columns).await?;
            }
            Statement::Drop { name, if_there } => catalogue.drop(&name, if_there).await?,
            Statement::CreateTableAs { name, location, sql } => {
                scanned_bytes = self.create_table_as(name, location, &sql).await?;
            }
            Statement::Partitions | Statement::Query(_) | Statement::Execute { .. } => {}
        }
        self.put(&format!("{}.txt", self.output), Vec::new()).await?;
        Ok(Done { scanned_bytes, ..Done::default() })
    }

    async fn create_table_as(&self, name: String, location: Option<String>, sql: &str) -> Result<u64, Stop> {
        let session = self.session().await?;
        let (columns, batches, scanned_bytes) = self.batches(&session, sql).await?;
        let location = location.unwrap_or_else(|| format!("{}/tables/", self.output));
        let location = location.trim_end_matches('/').to_owned();
        let declared = columns.iter().map(|(name, of)| (name.clone(), hive(of))).collect();
        let table = NewTable { name, columns: declared, location: format!("{location}/"), ..NewTable::default() };
        self.catalogue().create_table(&table).await?;
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

    async fn put(&self, location: &str, bytes: Vec<u8>) -> Result<(), Stop> {
        let (bucket, key) = s3_address(location).ok_or_else(|| failed(&format!("`{location}` is no place")))?;
        let store = self.upstream.bucket(&self.caller, bucket).map_err(|error| failed(&error))?;
        let key = object_store::path::Path::parse(key).map_err(|error| failed(&error))?;
        store.put(&key, bytes.into()).await.map(|_| ()).map_err(|error| failed(&error))
    }
}
