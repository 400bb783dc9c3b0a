//! The emulator's Glue as the catalogue: tables and views out of it, and new ones into it as Athena writes them.

use algotrading_sql::elsewhere::{Table, View};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::statement::NewTable;
use crate::glue::parquet_storage;
use crate::upstream::{Upstream, s3_address};
use crate::wire::{Answer, Caller, Refusal, text};

/// Around what Athena keeps of a view.
const VIEW: (&str, &str) = ("/* Presto View: ", " */");

/// One database of one account.
#[derive(Clone, Copy)]
pub(super) struct Catalogue<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) caller: &'a Caller,
    pub(super) database: &'a str,
}

impl Catalogue<'_> {
    async fn call(&self, operation: &str, request: &Value) -> Answer<Value> {
        self.upstream.call(self.caller, &format!("AWSGlue.{operation}"), request).await
    }

    /// Everything in the database.
    pub(super) async fn read(&self) -> Answer<(Vec<Table>, Vec<View>)> {
        let (mut tables, mut views) = (Vec::new(), Vec::new());
        let mut next = None::<String>;
        loop {
            let mut request = json!({ "DatabaseName": self.database });
            if let Some(token) = &next {
                request["NextToken"] = token.as_str().into();
            }
            let found = self.call("GetTables", &request).await?;
            for table in found["TableList"].as_array().into_iter().flatten() {
                match text(table, "TableType") {
                    "VIRTUAL_VIEW" => views.extend(view(table)),
                    _ => tables.extend(self.table(table)?),
                }
            }
            next = found["NextToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                return Ok((tables, views));
            }
        }
    }

    /// A table whose files are Parquet; others are not read here.
    fn table(&self, table: &Value) -> Answer<Option<Table>> {
        let storage = &table["StorageDescriptor"];
        if !text(storage, "InputFormat").contains("Parquet") {
            return Ok(None);
        }
        let Some((bucket, prefix)) = s3_address(text(storage, "Location")) else { return Ok(None) };
        let store = self.upstream.bucket(self.caller, bucket);
        let store = store.map_err(|error| Refusal::internal("InternalServerException", error.to_string()))?;
        Ok(Some(Table {
            name: text(table, "Name").to_owned(),
            columns: columns(&storage["Columns"]),
            partition_keys: columns(&table["PartitionKeys"]),
            bucket: format!("s3://{bucket}"),
            prefix: prefix.trim_end_matches('/').to_owned(),
            store,
        }))
    }

    pub(super) async fn create_database(&self, name: &str, if_absent: bool) -> Answer<()> {
        let made = self.call("CreateDatabase", &json!({ "DatabaseInput": { "Name": name } })).await;
        passed(made, "AlreadyExistsException", if_absent)
    }

    pub(super) async fn create_table(&self, table: &NewTable) -> Answer<()> {
        let mut parameters = json!({ "EXTERNAL": "TRUE", "classification": "parquet" });
        for (name, value) in &table.properties {
            parameters[name] = value.as_str().into();
        }
        let input = json!({
            "Name": table.name, "TableType": "EXTERNAL_TABLE", "Parameters": parameters,
            "PartitionKeys": listed(&table.partition_keys),
            "StorageDescriptor": parquet_storage(&table.location, &listed(&table.columns)),
        });
        let made = self.call("CreateTable", &json!({ "DatabaseName": self.database, "TableInput": input })).await;
        passed(made, "AlreadyExistsException", table.if_absent)
    }

    /// Keeps a view as Athena does; `columns` have Hive's types.
    pub(super) async fn create_view(
        &self,
        name: &str,
        replace: bool,
        sql: &str,
        columns: &[(String, String)],
    ) -> Answer<()> {
        let typed = columns.iter().map(|(name, of)| json!({ "name": name, "type": trino(of) }));
        let kept = json!({
            "originalSql": sql, "catalog": "awsdatacatalog", "schema": self.database,
            "columns": typed.collect::<Vec<_>>()
        });
        let (before, after) = VIEW;
        let input = json!({
            "Name": name, "TableType": "VIRTUAL_VIEW", "Parameters": { "presto_view": "true", "comment": "Presto View" },
            "ViewOriginalText": format!("{before}{}{after}", STANDARD.encode(kept.to_string())),
            "ViewExpandedText": "/* Presto View */", "PartitionKeys": [],
            "StorageDescriptor": { "Columns": listed(columns), "Location": "", "SerdeInfo": {} },
        });
        let request = json!({ "DatabaseName": self.database, "TableInput": input });
        match self.call("CreateTable", &request).await {
            Err(refusal) if replace && refusal.code == "AlreadyExistsException" => {
                self.call("UpdateTable", &request).await.map(|_| ())
            }
            made => made.map(|_| ()),
        }
    }

    pub(super) async fn drop(&self, name: &str, if_there: bool) -> Answer<()> {
        let gone = self.call("DeleteTable", &json!({ "DatabaseName": self.database, "Name": name })).await;
        passed(gone, "EntityNotFoundException", if_there)
    }
}

fn passed(done: Answer<Value>, code: &str, allowed: bool) -> Answer<()> {
    match done {
        Err(refusal) if allowed && refusal.code == code => Ok(()),
        done => done.map(|_| ()),
    }
}

fn columns(list: &Value) -> Vec<(String, String)> {
    let list = list.as_array().into_iter().flatten();
    list.map(|one| (text(one, "Name").to_owned(), text(one, "Type").to_owned())).collect()
}

fn listed(columns: &[(String, String)]) -> Vec<Value> {
    columns.iter().map(|(name, of)| json!({ "Name": name, "Type": of })).collect()
}

/// Name and query of a view; a view of another engine is not read here.
fn view(table: &Value) -> Option<View> {
    let (before, after) = VIEW;
    let kept = text(table, "ViewOriginalText").strip_prefix(before)?.strip_suffix(after)?;
    let kept: Value = serde_json::from_slice(&STANDARD.decode(kept).ok()?).ok()?;
    Some((text(table, "Name").to_owned(), text(&kept, "originalSql").to_owned()))
}

/// Trino's name of one of Hive's types.
fn trino(hive: &str) -> String {
    match hive {
        "string" => "varchar".to_owned(),
        "int" => "integer".to_owned(),
        "float" => "real".to_owned(),
        "binary" => "varbinary".to_owned(),
        "timestamp" => "timestamp(3)".to_owned(),
        other => other.to_owned(),
    }
}
