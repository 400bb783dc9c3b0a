//! A crawl is seen to run, reads the files, and changes what its policy lets it.

use std::sync::Arc;

use aws_sdk_glue::Client;
use aws_sdk_glue::error::ProvideErrorMetadata;
use aws_sdk_glue::types::{Crawler, CrawlerState, LastCrawlStatus};
use datafusion::arrow::array::{Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::support::{Offline, until};

fn parquet() -> Vec<u8> {
    let fields = [("sym", DataType::Utf8), ("close", DataType::Float64), ("volume", DataType::Int32)];
    let schema = Schema::new(fields.map(|(name, of)| Field::new(name, of, false)).to_vec());
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(vec!["FB"])),
            Arc::new(Float64Array::from(vec![27.5])),
            Arc::new(Int32Array::from(vec![10])),
        ],
    );
    let batch = batch.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A crawler over a known table whose `close` is text, and a folder that no table stands for.
async fn started(policy: &str) -> (Offline, Client) {
    let offline = Offline::start().await;
    for folder in ["known", "found"] {
        let part = if folder == "found" { "year=2013/" } else { "" };
        let key = format!("bucket/lake/{folder}/{part}a.parquet");
        offline.emulator.objects.lock().unwrap().insert(key, parquet().into());
    }
    let columns = json!([{ "Name": "sym", "Type": "string", "Comment": "ticker" }, { "Name": "close", "Type": "string" }, { "Name": "volume", "Type": "int" }]);
    offline.emulator.tables.lock().unwrap().push(json!({
        "Name": "known", "DatabaseName": "data", "CreateTime": 1.0,
        "StorageDescriptor": { "Location": "s3://bucket/lake/known/", "Columns": columns },
    }));
    let crawler = json!({
        "Name": "crawler", "DatabaseName": "data", "State": "READY", "Description": "the emulator's",
        "Targets": { "S3Targets": [{ "Path": "s3://bucket/lake/" }] },
        "SchemaChangePolicy": { "UpdateBehavior": policy, "DeleteBehavior": "LOG" },
    });
    offline.emulator.crawlers.lock().unwrap().insert("crawler".to_owned(), crawler);
    let client = Client::new(&offline.config());
    (offline, client)
}

async fn shown(client: &Client) -> Crawler {
    client.get_crawler().name("crawler").send().await.unwrap().crawler.unwrap()
}

async fn ended(client: &Client) -> Crawler {
    until(|| shown(client), |crawler| crawler.state() == Some(&CrawlerState::Ready)).await
}

fn types(table: &Value) -> Vec<&str> {
    let columns = table["TableInput"]["StorageDescriptor"]["Columns"].as_array().unwrap();
    columns.iter().map(|column| column["Type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_crawl_runs_once_at_a_time_and_ends() {
    let (_offline, client) = started("LOG").await;
    let before = shown(&client).await;
    assert_eq!((before.state(), before.last_crawl()), (Some(&CrawlerState::Ready), None));
    assert_eq!(before.description(), Some("the emulator's"));
    client.start_crawler().name("crawler").send().await.unwrap();
    assert_eq!(shown(&client).await.state(), Some(&CrawlerState::Running));
    let again = client.start_crawler().name("crawler").send().await.unwrap_err();
    assert!(again.as_service_error().unwrap().is_crawler_running_exception(), "{again:?}");
    let crawler = ended(&client).await;
    let last = crawler.last_crawl().unwrap();
    assert_eq!((last.status(), last.error_message()), (Some(&LastCrawlStatus::Succeeded), None));
    assert!(last.start_time().unwrap().secs() > 1_600_000_000);
    let nobody = client.start_crawler().name("nobody").send().await.unwrap_err();
    assert_eq!(nobody.code(), Some("EntityNotFoundException"));
}

#[tokio::test]
async fn an_update_in_the_database_gives_a_known_table_the_types_of_its_file() {
    let (offline, client) = started("UPDATE_IN_DATABASE").await;
    client.start_crawler().name("crawler").send().await.unwrap();
    ended(&client).await;
    let changed = offline.emulator.asked("UpdateTable");
    let [changed] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(
        (changed["TableInput"]["Name"].as_str(), types(changed)),
        (Some("known"), vec!["string", "double", "int"])
    );
    // What only an answer has is no part of a request.
    assert!(changed["TableInput"].get("CreateTime").is_none());
    assert_eq!(changed["TableInput"]["StorageDescriptor"]["Columns"][0]["Comment"], "ticker");
    let made = offline.emulator.asked("CreateTable");
    let [made] = &made[..] else { panic!("{made:?}") };
    assert_eq!((made["TableInput"]["Name"].as_str(), types(made)), (Some("found"), vec!["string", "double", "int"]));
    assert_eq!(made["TableInput"]["PartitionKeys"], json!([{ "Name": "year", "Type": "string" }]));
}

#[tokio::test]
async fn without_a_policy_a_crawl_changes_tables_and_a_prefix_goes_before_new_names() {
    let (offline, client) = started("").await;
    {
        let mut crawlers = offline.emulator.crawlers.lock().unwrap();
        let crawler = crawlers.get_mut("crawler").unwrap();
        crawler["SchemaChangePolicy"] = json!({});
        crawler["TablePrefix"] = "raw_".into();
    }
    client.start_crawler().name("crawler").send().await.unwrap();
    ended(&client).await;
    assert_eq!(offline.emulator.asked("UpdateTable").len(), 1);
    assert_eq!(offline.emulator.asked("CreateTable")[0]["TableInput"]["Name"], "raw_found");
}

#[tokio::test]
async fn tables_of_the_catalogue_are_crawled_where_they_are() {
    let (offline, client) = started("UPDATE_IN_DATABASE").await;
    let targets = |tables: &[&str]| json!({ "CatalogTargets": [{ "DatabaseName": "data", "Tables": tables }] });
    let set = |tables: &[&str]| {
        offline.emulator.crawlers.lock().unwrap().get_mut("crawler").unwrap()["Targets"] = targets(tables);
    };
    set(&["known"]);
    client.start_crawler().name("crawler").send().await.unwrap();
    assert_eq!(ended(&client).await.last_crawl().unwrap().status(), Some(&LastCrawlStatus::Succeeded));
    let changed = offline.emulator.asked("UpdateTable");
    assert_eq!(changed[0]["TableInput"]["Name"], "known");
    assert_eq!(types(&changed[0]), ["string", "double", "int"]);
    assert!(offline.emulator.asked("CreateTable").is_empty());
    set(&["known", "gone"]);
    client.start_crawler().name("crawler").send().await.unwrap();
    let crawler = ended(&client).await;
    assert_eq!(crawler.last_crawl().unwrap().error_message(), Some("Table gone not found."));
}

#[tokio::test]
async fn a_crawl_is_stopped() {
    let (offline, client) = started("LOG").await;
    let idle = client.stop_crawler().name("crawler").send().await.unwrap_err();
    assert!(idle.as_service_error().unwrap().is_crawler_not_running_exception(), "{idle:?}");
    offline.fault(json!({ "service": "glue", "do": "hang_crawler" })).await;
    client.start_crawler().name("crawler").send().await.unwrap();
    let all = client.get_crawlers().send().await.unwrap();
    assert_eq!(all.crawlers()[0].state(), Some(&CrawlerState::Running));
    client.stop_crawler().name("crawler").send().await.unwrap();
    assert_eq!(ended(&client).await.last_crawl().unwrap().status(), Some(&LastCrawlStatus::Cancelled));
}

#[tokio::test]
async fn a_policy_of_logging_leaves_a_known_table_as_it_is() {
    let (offline, client) = started("LOG").await;
    client.start_crawler().name("crawler").send().await.unwrap();
    assert_eq!(ended(&client).await.last_crawl().unwrap().status(), Some(&LastCrawlStatus::Succeeded));
    assert!(offline.emulator.asked("UpdateTable").is_empty());
}

#[tokio::test]
async fn a_crawl_hangs_and_fails_as_told() {
    let (offline, client) = started("LOG").await;
    offline.fault(json!({ "service": "glue", "do": "fail_crawl", "message": "access denied" })).await;
    client.start_crawler().name("crawler").send().await.unwrap();
    let crawler = ended(&client).await;
    let last = crawler.last_crawl().unwrap();
    assert_eq!((last.status(), last.error_message()), (Some(&LastCrawlStatus::Failed), Some("access denied")));
    offline.fault(json!({ "service": "glue", "do": "hang_crawler" })).await;
    client.start_crawler().name("crawler").send().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(shown(&client).await.state(), Some(&CrawlerState::Running));
    offline.no_faults().await;
    ended(&client).await;
}
