use ports::Kind;
use ports::queries::{Queries, QueryState, Rows};
use serde_json::{Value, json as value};

use crate::common::{Said, Wire, json, refused};

#[test]
fn a_query_is_started_in_its_workgroup_and_database() {
    let wire = Wire::new(vec![json(value!({ "QueryExecutionId": "q1" })); 2]);
    let queries = wire.aws.queries("wg", "algo_data");
    assert_eq!(queries.start("SELECT ?", &["DATE '2013-03-01'".into()], "short").unwrap(), "q1");
    queries.start("SHOW TABLES", &[], &"t".repeat(40)).unwrap();
    let sent = wire.bodies(".StartQueryExecution");
    assert_eq!(sent[0]["QueryString"], "SELECT ?");
    assert_eq!(sent[0]["WorkGroup"], "wg");
    assert_eq!(sent[0]["QueryExecutionContext"], value!({ "Catalog": "AwsDataCatalog", "Database": "algo_data" }));
    assert_eq!(sent[0]["ExecutionParameters"], value!(["DATE '2013-03-01'"]));
    assert!((32..=128).contains(&sent[0]["ClientRequestToken"].as_str().unwrap().len()));
    assert_eq!(sent[1]["ClientRequestToken"], "t".repeat(40));
    assert_eq!(sent[1].get("ExecutionParameters"), None);
}

#[test]
fn a_query_tells_where_it_stands() {
    let state = |execution: Value| {
        let wire = Wire::new([json(value!({ "QueryExecution": execution }))]);
        let told = wire.aws.queries("wg", "db").state("q1").unwrap();
        assert_eq!(wire.bodies(".GetQueryExecution"), [value!({ "QueryExecutionId": "q1" })]);
        told
    };
    for at_work in ["QUEUED", "RUNNING"] {
        assert_eq!(state(value!({ "Status": { "State": at_work } })), QueryState::Running);
    }
    let statistics = value!({ "DataScannedInBytes": 12, "EngineExecutionTimeInMillis": 34 });
    assert_eq!(
        state(value!({ "Status": { "State": "SUCCEEDED" }, "Statistics": statistics })),
        QueryState::Succeeded { scanned_bytes: 12, engine_ms: 34 }
    );
    let failed =
        value!({ "Status": { "State": "FAILED", "StateChangeReason": "line 1:8: Column 'x' cannot be resolved" } });
    assert_eq!(state(failed), QueryState::Failed("line 1:8: Column 'x' cannot be resolved".into()));
    let told = value!({ "Status": { "State": "FAILED", "AthenaError": { "ErrorMessage": "scanned too much" } } });
    assert_eq!(state(told), QueryState::Failed("scanned too much".into()));
    let cancelled = value!({ "Status": { "State": "CANCELLED" } });
    assert_eq!(state(cancelled), QueryState::Failed("CANCELLED without a reason".into()));
}

fn page(next: Option<&str>, rows: &[&[Option<&str>]]) -> Said {
    let value = |text: &Option<&str>| text.map_or_else(|| value!({}), |text| value!({ "VarCharValue": text }));
    let rows: Vec<Value> =
        rows.iter().map(|row| value!({ "Data": row.iter().map(value).collect::<Vec<_>>() })).collect();
    let column = |name: &str| value!({ "Name": name, "Type": "varchar" });
    let about = value!({ "ColumnInfo": [column("symbol"), column("n")] });
    let mut body = value!({ "ResultSet": { "Rows": rows, "ResultSetMetadata": about } });
    if let Some(next) = next {
        body["NextToken"] = next.into();
    }
    json(body)
}

const HEADER: &[Option<&str>] = &[Some("symbol"), Some("n")];

fn row(symbol: &str, n: Option<&str>) -> Vec<Option<String>> {
    vec![Some(symbol.into()), n.map(Into::into)]
}

#[test]
fn rows_come_from_all_pages_without_the_header() {
    let wire = Wire::new([
        page(Some("n1"), &[HEADER, &[Some("A"), Some("1")]]),
        page(Some("n2"), &[&[Some("B"), None]]),
        page(None, &[HEADER]),
    ]);
    let told = wire.aws.queries("wg", "db").rows("q1", 10).unwrap();
    let columns = vec!["symbol".into(), "n".into()];
    // A later row that looks like the header is a row.
    let rows = vec![row("A", Some("1")), row("B", None), row("symbol", Some("n"))];
    assert_eq!(told, Rows { columns, rows, more: false });
    let sent = wire.bodies(".GetQueryResults");
    assert_eq!(sent[0], value!({ "QueryExecutionId": "q1", "MaxResults": 12 }));
    assert_eq!((&sent[1]["NextToken"], &sent[2]["NextToken"]), (&value!("n1"), &value!("n2")));
}

#[test]
fn no_more_pages_are_fetched_than_needed() {
    let wire = Wire::new([page(Some("n1"), &[HEADER, &[Some("A"), Some("1")], &[Some("B"), Some("2")]])]);
    let told = wire.aws.queries("wg", "db").rows("q1", 1).unwrap();
    assert_eq!((told.rows, told.more), (vec![row("A", Some("1"))], true));

    let wire = Wire::new([page(None, &[HEADER, &[Some("A"), Some("1")]])]);
    assert!(!wire.aws.queries("wg", "db").rows("q1", 1).unwrap().more, "exactly as many as asked for");

    let wire = Wire::new([page(None, &[HEADER])]);
    assert_eq!(wire.aws.queries("wg", "db").rows("q1", usize::MAX).unwrap().rows.len(), 0);
    assert_eq!(wire.bodies(".GetQueryResults")[0]["MaxResults"], 1000);
}

#[test]
fn rows_of_a_statement_without_a_header_are_all_rows() {
    let wire = Wire::new([page(None, &[&[Some("bars"), Some("x")]])]);
    assert_eq!(wire.aws.queries("wg", "db").rows("q1", 5).unwrap().rows, [row("bars", Some("x"))]);
    let wire = Wire::new([json(value!({ "UpdateCount": 0 }))]);
    assert_eq!(wire.aws.queries("wg", "db").rows("q1", 5).unwrap(), Rows::default());
}

#[test]
fn a_query_is_stopped_and_a_bad_one_refused() {
    let wire = Wire::new([json(value!({}))]);
    wire.aws.queries("wg", "db").stop("q1").unwrap();
    assert_eq!(wire.bodies(".StopQueryExecution"), [value!({ "QueryExecutionId": "q1" })]);

    let refuse = |words: &str| {
        let wire = Wire::new([refused(400, "InvalidRequestException", words)]);
        wire.aws.queries("wg", "db").start("x", &[], "t").unwrap_err().kind
    };
    assert_eq!(refuse("Queries of this type are not supported"), Kind::Invalid);
    assert_eq!(refuse("WorkGroup wg is not found."), Kind::NotFound);
}
