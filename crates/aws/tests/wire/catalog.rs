use ports::Kind;
use ports::catalog::{Catalog, Crawler, Table};
use serde_json::{Value, json as value};

use crate::common::{Wire, json, refused};

#[test]
fn a_crawler_at_work_need_not_be_started() {
    let wire = Wire::new([json(value!({})), refused(400, "CrawlerRunningException", "already running")]);
    let catalog = wire.aws.catalog();
    catalog.crawl("bars").unwrap();
    catalog.crawl("bars").unwrap();
    assert_eq!(wire.bodies(".StartCrawler"), [value!({ "Name": "bars" }), value!({ "Name": "bars" })]);
}

#[test]
fn a_crawler_tells_how_its_last_crawl_ended() {
    let told =
        |crawler: Value| Wire::new([json(value!({ "Crawler": crawler }))]).aws.catalog().crawler("bars").unwrap();
    assert_eq!(told(value!({ "Name": "bars", "State": "READY" })), Crawler { running: false, last: None });
    let started = 1_362_180_600.25;
    let at = "2013-03-01T23:30:00.25Z".to_owned();
    assert_eq!(
        told(value!({ "State": "RUNNING", "LastCrawl": { "Status": "SUCCEEDED", "StartTime": started } })),
        Crawler { running: true, last: Some((at.clone(), None)) }
    );
    assert_eq!(
        told(
            value!({ "State": "STOPPING", "LastCrawl": { "Status": "FAILED", "ErrorMessage": "no role", "StartTime": started } })
        ),
        Crawler { running: true, last: Some((at.clone(), Some("no role".into()))) }
    );
    let cancelled = told(value!({ "State": "READY", "LastCrawl": { "Status": "CANCELLED", "StartTime": started } }));
    assert!(cancelled.last.unwrap().1.unwrap().contains("CANCELLED"));
}

#[test]
fn a_missing_crawler_is_not_found() {
    let wire = Wire::new(vec![refused(400, "EntityNotFoundException", "Crawler not found"); 2]);
    assert_eq!(wire.aws.catalog().crawl("bars").unwrap_err().kind, Kind::NotFound);
    assert_eq!(wire.aws.catalog().crawler("bars").unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_table_has_columns_keys_and_a_place() {
    let bars = value!({
        "Name": "bars", "PartitionKeys": [{ "Name": "year", "Type": "int" }],
        "StorageDescriptor": {
            "Columns": [{ "Name": "symbol", "Type": "string" }, { "Name": "close", "Type": "double" }],
            "Location": "s3://lake/bars/",
        },
    });
    let view = value!({
        "Name": "v", "TableType": "VIRTUAL_VIEW",
        "StorageDescriptor": { "Columns": [{ "Name": "n", "Type": "bigint" }] },
    });
    let wire = Wire::new([
        json(value!({ "Table": bars })),
        json(value!({ "Table": view })),
        refused(400, "EntityNotFoundException", "Table none not found."),
    ]);
    let catalog = wire.aws.catalog();
    let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let table = Table {
        columns: vec![pair("symbol", "string"), pair("close", "double")],
        partition_keys: vec![pair("year", "int")],
        location: "s3://lake/bars/".into(),
    };
    assert_eq!(catalog.table("db", "bars").unwrap(), Some(table));
    let view = Table { columns: vec![pair("n", "bigint")], partition_keys: vec![], location: String::new() };
    assert_eq!(catalog.table("db", "v").unwrap(), Some(view));
    assert_eq!(catalog.table("db", "none").unwrap(), None);
    assert_eq!(wire.bodies(".GetTable")[0], value!({ "DatabaseName": "db", "Name": "bars" }));
}
