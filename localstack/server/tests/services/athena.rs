//! A query really runs, and ends as Athena says that it did.

use aws_sdk_athena::Client;
use aws_sdk_athena::types::{QueryExecution, QueryExecutionContext, QueryExecutionState};
use serde_json::json;

use crate::support::{Offline, until};

struct Athena {
    offline: Offline,
    client: Client,
}

impl Athena {
    async fn start() -> Self {
        let offline = Offline::start().await;
        let client = Client::new(&offline.config());
        Self { offline, client }
    }

    async fn run(&self, sql: &str, database: &str, parameters: &[&str], workgroup: &str) -> QueryExecution {
        let context = QueryExecutionContext::builder().database(database).build();
        let parameters = parameters.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let started = self.client.start_query_execution().query_string(sql).query_execution_context(context);
        let started = started.set_execution_parameters((!parameters.is_empty()).then_some(parameters));
        let id = started.work_group(workgroup).send().await.unwrap().query_execution_id.unwrap();
        let ask = || async {
            let found = self.client.get_query_execution().query_execution_id(&id).send().await.unwrap();
            found.query_execution.unwrap()
        };
        let state = |query: &QueryExecution| query.status().unwrap().state().unwrap().clone();
        until(ask, |query| ![QueryExecutionState::Queued, QueryExecutionState::Running].contains(&state(query))).await
    }

    /// The rows under the header, or why there are none.
    async fn ask(&self, sql: &str, database: &str, parameters: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let query = self.run(sql, database, parameters, "primary").await;
        let status = query.status().unwrap();
        if status.state() != Some(&QueryExecutionState::Succeeded) {
            return Err(status.state_change_reason().unwrap_or_default().to_owned());
        }
        let id = query.query_execution_id().unwrap();
        let results = self.client.get_query_results().query_execution_id(id).send().await.unwrap();
        let rows = results.result_set().unwrap().rows().iter();
        let cells = |row: &aws_sdk_athena::types::Row| {
            row.data().iter().map(|cell| cell.var_char_value().unwrap_or("NULL").to_owned()).collect()
        };
        Ok(rows.map(cells).skip(usize::from(sql.starts_with("SELECT") || sql.starts_with("EXECUTE"))).collect())
    }
}

/// A table `t` of the database `data` with one row.
async fn with_table() -> Athena {
    let athena = Athena::start().await;
    let sql = "CREATE TABLE t WITH (format = 'PARQUET', external_location = 's3://bucket/t/') AS \
               SELECT 1 AS x, timestamp '2013-02-27 22:30:00' AS known_at, 'a\"b' AS s";
    assert_eq!(athena.ask(sql, "data", &[]).await, Ok(vec![]));
    athena
}

fn row(cells: &[&str]) -> Result<Vec<Vec<String>>, String> {
    Ok(vec![cells.iter().map(|cell| (*cell).to_owned()).collect()])
}

#[tokio::test]
async fn a_query_is_read_from_files_and_written_where_athena_writes_it() {
    let athena = with_table().await;
    let query = athena.run("SELECT x, known_at, s, NULL AS n FROM t", "data", &[], "primary").await;
    assert!(query.statistics().unwrap().data_scanned_in_bytes().unwrap() > 100);
    let place = query.result_configuration().unwrap().output_location().unwrap();
    let text = athena.offline.emulator.object(place.strip_prefix("s3://").unwrap()).unwrap();
    assert_eq!(text, "\"x\",\"known_at\",\"s\",\"n\"\n\"1\",\"2013-02-27 22:30:00.000\",\"a\"\"b\",\n");
    let limited = athena.run("SELECT x FROM t", "data", &[], "small").await;
    assert_eq!(limited.status().unwrap().state(), Some(&QueryExecutionState::Cancelled));
    assert!(limited.status().unwrap().state_change_reason().unwrap().contains("Bytes scanned limit"));
}

#[tokio::test]
async fn a_name_may_say_its_database() {
    let athena = with_table().await;
    for sql in ["SELECT x FROM data.t", "SELECT x FROM \"data\".\"t\"", "SELECT x FROM awsdatacatalog.data.t"] {
        assert_eq!(athena.ask(sql, "other", &[]).await, row(&["1"]), "{sql}");
    }
    let ddl = "CREATE EXTERNAL TABLE data.u (`x` int) STORED AS PARQUET LOCATION 's3://bucket/t/'";
    athena.ask(ddl, "other", &[]).await.unwrap();
    athena.ask("CREATE VIEW other.v AS SELECT x FROM data.u", "data", &[]).await.unwrap();
    assert_eq!(athena.ask("SELECT x FROM u", "data", &[]).await, row(&["1"]));
    assert_eq!(athena.ask("SELECT x FROM other.v", "data", &[]).await, row(&["1"]));
    assert_eq!(athena.ask("SELECT x FROM v", "other", &[]).await, row(&["1"]));
    let shown = athena.ask("SHOW TABLES IN data", "other", &[]).await;
    assert_eq!(shown, Ok(vec![vec!["t".to_owned()], vec!["u".to_owned()]]));
}

#[tokio::test]
async fn a_view_is_not_dropped_as_a_table_nor_a_table_as_a_view() {
    let athena = with_table().await;
    athena.ask("CREATE VIEW v AS SELECT x FROM t", "data", &[]).await.unwrap();
    for (sql, is) in [("DROP VIEW t", "t is a table"), ("DROP TABLE v", "v is a view")] {
        assert!(athena.ask(sql, "data", &[]).await.unwrap_err().contains(is), "{sql}");
    }
    assert_eq!(athena.ask("SELECT x FROM v", "data", &[]).await, row(&["1"]));
    assert_eq!(athena.ask("DROP VIEW IF EXISTS v", "data", &[]).await, Ok(vec![]));
    assert_eq!(athena.ask("DROP VIEW IF EXISTS v", "data", &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn values_of_a_prepared_statement_come_with_using_or_as_parameters() {
    let athena = with_table().await;
    athena.ask("PREPARE p FROM SELECT x FROM t WHERE x = ?", "data", &[]).await.unwrap();
    assert_eq!(athena.ask("EXECUTE p USING 1", "data", &[]).await, row(&["1"]));
    assert_eq!(athena.ask("EXECUTE p", "data", &["1"]).await, row(&["1"]));
    assert!(athena.ask("EXECUTE p", "data", &[]).await.unwrap_err().contains("expected 1 but found 0"));
    assert!(athena.ask("EXECUTE nobody", "data", &[]).await.unwrap_err().starts_with("ResourceNotFoundException"));
}

#[tokio::test]
async fn a_table_that_cannot_be_read_fails_only_its_own_queries() {
    let athena = with_table().await;
    athena.offline.emulator.tables.lock().unwrap().push(json!({
        "Name": "lost", "DatabaseName": "data", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": {
            "Location": format!("s3://{}/t/", crate::emulator::NO_BUCKET), "InputFormat": "Parquet",
            "Columns": [{ "Name": "x", "Type": "int" }],
        },
    }));
    assert_eq!(athena.ask("SELECT x FROM t", "data", &[]).await, row(&["1"]));
    assert!(athena.ask("SELECT x FROM lost", "data", &[]).await.unwrap_err().starts_with("HIVE_BAD_DATA"));
    assert!(athena.ask("MSCK REPAIR TABLE nobody", "data", &[]).await.is_err());
    let again = "CREATE TABLE again WITH (external_location = 's3://bucket/t/') AS SELECT 1 AS x";
    assert!(athena.ask(again, "data", &[]).await.unwrap_err().starts_with("HIVE_PATH_ALREADY_EXISTS"));
}

#[tokio::test]
async fn a_deep_query_does_not_end_the_server() {
    let athena = Athena::start().await;
    let deep = (0..1_500).map(|n| format!("{n} < {}", n + 1)).collect::<Vec<_>>().join(" AND ");
    assert_eq!(athena.ask(&format!("SELECT 1 AS x WHERE {deep}"), "data", &[]).await, row(&["1"]));
}

#[tokio::test]
async fn a_query_fails_as_told() {
    let athena = Athena::start().await;
    let fault = json!({ "service": "athena", "do": "fail_query", "message": "HIVE_CURSOR_ERROR: gone" });
    athena.offline.fault(fault).await;
    assert_eq!(athena.ask("SELECT 1 AS x", "data", &[]).await, Err("HIVE_CURSOR_ERROR: gone".to_owned()));
    assert_eq!(athena.ask("SELECT 1 AS x", "data", &[]).await, row(&["1"]));
}
