//! The crawls of Glue: a crawler is the emulator's, its runs are ours. A crawl really reads the files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::clock;
use crate::faults::{Faults, Wrong};
use crate::router::Call;
use crate::upstream::{Upstream, s3_address};
use crate::wire::{Answer, Caller, Refusal, input, text, texts};

/// How long a crawl is seen at work at least.
const CRAWL: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Glue {
    upstream: Upstream,
    faults: Arc<Faults>,
    /// By account and name.
    crawls: Arc<Mutex<BTreeMap<String, Crawl>>>,
}

#[derive(Debug, Clone, Default)]
struct Crawl {
    /// Of the crawl that runs.
    stop: Option<Arc<Notify>>,
    last: Option<Value>,
}

impl Glue {
    pub(crate) fn new(upstream: Upstream, faults: Arc<Faults>) -> Self {
        Self { upstream, faults, crawls: Arc::default() }
    }

    /// The answer to an operation about crawls; nothing to another.
    pub(crate) async fn handle(&self, operation: &str, call: &Call) -> Option<Answer<Value>> {
        let act = async {
            let request = input(&call.body)?;
            let (caller, asked) = (&call.caller, format!("AWSGlue.{operation}"));
            if operation == "GetCrawlers" {
                let mut crawlers = self.upstream.call(caller, &asked, &request).await?;
                for crawler in crawlers["Crawlers"].as_array_mut().into_iter().flatten() {
                    self.show(&key(caller, text(crawler, "Name")), crawler);
                }
                return Ok(crawlers);
            }
            let mut crawler =
                self.upstream.call(caller, "AWSGlue.GetCrawler", &json!({ "Name": request["Name"] })).await?;
            let key = key(caller, text(&request, "Name"));
            match operation {
                "StartCrawler" => self.start(key, crawler["Crawler"].clone(), caller),
                "StopCrawler" => self.stop(&key),
                _ => {
                    self.show(&key, &mut crawler["Crawler"]);
                    Ok(crawler)
                }
            }
        };
        match operation {
            "StartCrawler" | "StopCrawler" | "GetCrawler" | "GetCrawlers" => Some(act.await),
            _ => None,
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Crawl>> {
        self.crawls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is known of its runs into what the emulator says of a crawler.
    fn show(&self, key: &str, crawler: &mut Value) {
        let crawl = self.locked().get(key).cloned().unwrap_or_default();
        crawler["State"] = if crawl.stop.is_some() { "RUNNING" } else { "READY" }.into();
        if let Some(members) = crawler.as_object_mut() {
            members.remove("LastCrawl");
            members.extend(crawl.last.map(|last| ("LastCrawl".to_owned(), last)));
        }
    }

    fn stop(&self, key: &str) -> Answer<Value> {
        match self.locked().get(key).and_then(|crawl| crawl.stop.clone()) {
            Some(stop) => {
                stop.notify_one();
                Ok(json!({}))
            }
            None => Err(Refusal::new("CrawlerNotRunningException", "The crawler is not running")),
        }
    }

    fn start(&self, key: String, crawler: Value, caller: &Caller) -> Answer<Value> {
        let stop = Arc::new(Notify::new());
        {
            let mut crawls = self.locked();
            let crawl = crawls.entry(key.clone()).or_default();
            if crawl.stop.is_some() {
                let message = format!("Crawler with name {} has already started", text(&crawler, "Name"));
                return Err(Refusal::new("CrawlerRunningException", message));
            }
            crawl.stop = Some(Arc::clone(&stop));
        }
        let wrong = self.faults.within("glue", "StartCrawler");
        let (own, caller) = (self.clone(), caller.clone());
        let cleared = self.faults.until_cleared();
        tokio::spawn(async move {
            let began = clock::epoch();
            let work = async {
                match wrong {
                    Some(Wrong::HangCrawler) => {
                        cleared.await;
                        Err("the crawl was let go".to_owned())
                    }
                    Some(Wrong::FailCrawl { message }) => Err(message),
                    _ => {
                        tokio::time::sleep(CRAWL).await;
                        own.crawl(&crawler, &caller).await.map_err(|refusal| refusal.message)
                    }
                }
            };
            let done = tokio::select! {
                done = work => Some(done),
                () = stop.notified() => None,
            };
            let mut last = json!({ "Status": "SUCCEEDED", "StartTime": began, "LogGroup": "/aws-glue/crawlers" });
            match done {
                Some(Ok(())) => {}
                Some(Err(reason)) => {
                    last["Status"] = "FAILED".into();
                    last["ErrorMessage"] = reason.into();
                }
                None => last["Status"] = "CANCELLED".into(),
            }
            own.locked().insert(key, Crawl { stop: None, last: Some(last) });
        });
        Ok(json!({}))
    }

    /// Reads the newest file of each folder below the targets, and makes the catalogue say what it has.
    async fn crawl(&self, crawler: &Value, caller: &Caller) -> Answer<()> {
        let database = text(crawler, "DatabaseName");
        // Without a policy a crawler changes the tables.
        let changes = text(&crawler["SchemaChangePolicy"], "UpdateBehavior") != "LOG";
        let known = self.upstream.call(caller, "AWSGlue.GetTables", &json!({ "DatabaseName": database })).await?;
        let known = known["TableList"].as_array().cloned().unwrap_or_default();
        for target in crawler["Targets"]["S3Targets"].as_array().into_iter().flatten() {
            let path = text(target, "Path").trim_end_matches('/');
            let Some((bucket, prefix)) = s3_address(path) else { continue };
            for (folder, newest) in self.newest(caller, bucket, prefix).await? {
                let location = if folder.is_empty() { path.to_owned() } else { format!("{path}/{folder}") };
                let at =
                    |table: &&Value| text(&table["StorageDescriptor"], "Location").trim_end_matches('/') == location;
                let Some(columns) = self.columns(caller, bucket, &newest).await? else { continue };
                match known.iter().find(at) {
                    Some(table) if changes => self.change(caller, database, table, &columns).await?,
                    Some(_) => {}
                    None => {
                        let last = path.rsplit('/').next().unwrap_or(bucket);
                        let name = if folder.is_empty() { last } else { &folder };
                        let name = format!("{}{name}", text(crawler, "TablePrefix")).to_ascii_lowercase();
                        let keys = partition_keys(&newest.location);
                        self.make(caller, database, &name, &location, (&columns, &keys)).await?;
                    }
                }
            }
        }
        // Tables that the catalogue has are crawled where they are, and none is made.
        let targets = crawler["Targets"]["CatalogTargets"].as_array().into_iter().flatten();
        for name in targets.flat_map(|target| texts(&target["Tables"])) {
            let missing = || Refusal::new("EntityNotFoundException", format!("Table {name} not found."));
            let table = known.iter().find(|table| text(table, "Name") == name).ok_or_else(missing)?;
            let Some((bucket, prefix)) = s3_address(text(&table["StorageDescriptor"], "Location")) else { continue };
            let files = self.newest(caller, bucket, prefix.trim_end_matches('/')).await?;
            let Some(newest) = files.into_values().max_by_key(|file| file.last_modified) else { continue };
            let Some(columns) = self.columns(caller, bucket, &newest).await? else { continue };
            if changes {
                self.change(caller, database, table, &columns).await?;
            }
        }
        Ok(())
    }

    /// The newest Parquet file of each folder that stands for a table.
    async fn newest(&self, caller: &Caller, bucket: &str, prefix: &str) -> Answer<BTreeMap<String, ObjectMeta>> {
        let failed = |error: &dyn std::fmt::Display| Refusal::internal("InternalServiceException", error.to_string());
        let store = self.upstream.bucket(caller, bucket).map_err(|error| failed(&error))?;
        let root = object_store::path::Path::parse(prefix).map_err(|error| failed(&error))?;
        let files: Vec<ObjectMeta> = store.list(Some(&root)).try_collect().await.map_err(|error| failed(&error))?;
        let mut found: BTreeMap<String, ObjectMeta> = BTreeMap::new();
        for file in files.into_iter().filter(|file| file.location.as_ref().ends_with(".parquet")) {
            let below = file.location.as_ref().strip_prefix(prefix).unwrap_or_default().trim_start_matches('/');
            // A table is a folder of its own below the target, or the target itself.
            let folder = below.split_once('/').map_or("", |(folder, _)| folder);
            let folder = if folder.contains('=') { "" } else { folder }.to_owned();
            match found.get(&folder) {
                Some(known) if known.last_modified >= file.last_modified => {}
                _ => drop(found.insert(folder, file)),
            }
        }
        Ok(found)
    }

    async fn columns(&self, caller: &Caller, bucket: &str, file: &ObjectMeta) -> Answer<Option<Vec<Value>>> {
        let failed = |error: &dyn std::fmt::Display| Refusal::internal("InternalServiceException", error.to_string());
        let store = self.upstream.bucket(caller, bucket).map_err(|error| failed(&error))?;
        let got = store.get(&file.location).await.map_err(|error| failed(&error))?;
        let bytes = got.bytes().await.map_err(|error| failed(&error))?;
        // What is no Parquet file is passed over, as a crawler does.
        let Ok(reader) = ParquetRecordBatchReaderBuilder::try_new(bytes) else { return Ok(None) };
        let column = |field: &Arc<datafusion::arrow::datatypes::Field>| json!({ "Name": field.name().to_ascii_lowercase(), "Type": hive(field.data_type()) });
        Ok(Some(reader.schema().fields().iter().map(column).collect()))
    }

    async fn change(&self, caller: &Caller, database: &str, table: &Value, columns: &[Value]) -> Answer<()> {
        // What is declared stays, its comment included, where the file has the same type.
        let known = table["StorageDescriptor"]["Columns"].as_array().cloned().unwrap_or_default();
        let same = |one: &Value, other: &Value| one["Name"] == other["Name"] && one["Type"] == other["Type"];
        let declared = |column: &Value| known.iter().find(|one| same(one, column)).unwrap_or(column).clone();
        let columns: Vec<Value> = columns.iter().map(declared).collect();
        if known == columns {
            return Ok(());
        }
        let kept = ["Name", "Description", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters"];
        let mut changed: Map<String, Value> =
            kept.iter().filter_map(|name| Some(((*name).to_owned(), table.get(*name)?.clone()))).collect();
        if let Some(storage) = changed.get_mut("StorageDescriptor") {
            storage["Columns"] = columns.into();
        }
        let request = json!({ "DatabaseName": database, "TableInput": changed });
        self.upstream.call(caller, "AWSGlue.UpdateTable", &request).await.map(|_| ())
    }

    async fn make(
        &self,
        caller: &Caller,
        database: &str,
        name: &str,
        location: &str,
        (columns, keys): (&[Value], &[Value]),
    ) -> Answer<()> {
        let request = json!({ "DatabaseName": database, "TableInput": {
            "Name": name, "TableType": "EXTERNAL_TABLE", "PartitionKeys": keys,
            "Parameters": { "classification": "parquet", "EXTERNAL": "TRUE" },
            "StorageDescriptor": parquet_storage(location, columns),
        } });
        self.upstream.call(caller, "AWSGlue.CreateTable", &request).await.map(|_| ())
    }
}

fn key(caller: &Caller, name: &str) -> String {
    format!("{}/{name}", caller.access_key)
}

/// The keys of `name=value` in a path, which a crawler takes as text. Folders without a name are no keys here.
fn partition_keys(path: &object_store::path::Path) -> Vec<Value> {
    let parts = path.parts().map(|part| part.as_ref().to_owned()).collect::<Vec<_>>();
    let names = parts.iter().filter_map(|part| part.split_once('='));
    names.map(|(name, _)| json!({ "Name": name.to_ascii_lowercase(), "Type": "string" })).collect()
}

/// How Glue describes Parquet files at a place.
pub(crate) fn parquet_storage(location: &str, columns: &[Value]) -> Value {
    json!({
        "Columns": columns, "Location": format!("{}/", location.trim_end_matches('/')),
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerdeInfo": { "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe" }
    })
}

/// A type as Hive writes it.
pub(crate) fn hive(of: &DataType) -> String {
    match of {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "int".to_owned(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(
            TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
            _,
        ) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Binary | DataType::LargeBinary => "binary".to_owned(),
        _ => "string".to_owned(),
    }
}
