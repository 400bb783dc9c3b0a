//! The emulator's Glue as the catalogue: tables and views out of it, and new ones into it as Athena writes them.

use std::collections::BTreeSet;

use algotrading_sql::elsewhere::{Database, Table, View};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::statement::NewTable;
use crate::glue::parquet_storage;
use crate::upstream::{Upstream, s3_address};
use crate::wire::{Answer, Caller, Refusal, text};

/// Around what Athena keeps of a view.
const VIEW: (&str, &str) = ("/* Presto View: ", " */");

/// The catalogue of one account, from one database's point of view.
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

    /// All items of a list that comes in pages.
    async fn all(&self, operation: &str, request: Value, list: &str) -> Answer<Vec<Value>> {
        let (mut request, mut items) = (request, Vec::new());
        loop {
            let found = self.call(operation, &request).await?;
            items.extend(found[list].as_array().into_iter().flatten().cloned());
            match found["NextToken"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => request["NextToken"] = token.into(),
                None => return Ok(items),
            }
        }
    }

    /// The own database and those that a query or one of the views names.
    pub(super) async fn read(&self, sql: &str) -> Answer<Vec<Database>> {
        let known = self.all("GetDatabases", json!({}), "DatabaseList").await?;
        let known: Vec<String> = known.iter().map(|one| text(one, "Name").to_owned()).collect();
        let (mut wanted, mut read) = (vec![self.database.to_owned()], Vec::new());
        let name = |sql: &str, wanted: &mut Vec<String>| {
            let words = words(sql);
            let more = known.iter().filter(|one| words.contains(*one) && !wanted.contains(one));
            let more: Vec<String> = more.cloned().collect();
            wanted.extend(more);
        };
        name(sql, &mut wanted);
        while let Some(database) = wanted.get(read.len()).cloned() {
            let database = self.database(database).await?;
            for (_, sql) in &database.views {
                name(sql, &mut wanted);
            }
            read.push(database);
        }
        Ok(read)
    }

    async fn database(&self, name: String) -> Answer<Database> {
        let mut database = Database { name, ..Database::default() };
        let request = json!({ "DatabaseName": database.name });
        for table in self.all("GetTables", request, "TableList").await? {
            match text(&table, "TableType") {
                "VIRTUAL_VIEW" => database.views.extend(view(&table)),
                _ => database.tables.extend(self.table(&table)?),
            }
        }
        Ok(database)
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
            "Name": table.name.name, "TableType": "EXTERNAL_TABLE", "Parameters": parameters,
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

    /// Drops a table or a view, not the one as the other.
    pub(super) async fn drop(&self, name: &str, if_there: bool, view: bool) -> Answer<()> {
        let found = match self.get(name).await {
            Err(refusal) if if_there && refusal.code == "EntityNotFoundException" => return Ok(()),
            found => found?,
        };
        if (text(&found, "TableType") == "VIRTUAL_VIEW") != view {
            let (is, wanted) = if view { ("table", "DROP TABLE") } else { ("view", "DROP VIEW") };
            return Err(Refusal::new("NOT_SUPPORTED", format!("{name} is a {is}; use {wanted}")));
        }
        self.call("DeleteTable", &json!({ "DatabaseName": self.database, "Name": name })).await.map(|_| ())
    }

    /// What the catalogue has of a table or view.
    pub(super) async fn get(&self, name: &str) -> Answer<Value> {
        let found = self.call("GetTable", &json!({ "DatabaseName": self.database, "Name": name })).await?;
        Ok(found["Table"].clone())
    }
}

/// Whatever may be a name in a statement, in small letters.
fn words(sql: &str) -> BTreeSet<String> {
    let words = sql.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
    words.map(str::to_ascii_lowercase).collect()
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
