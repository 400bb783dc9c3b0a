//! The crawls of Glue: a crawler is the emulator's, its runs are ours. A crawl really reads the files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::faults::{Faults, Wrong};
use crate::router::Call;
use crate::upstream::{Upstream, s3_address};
use crate::wire::{Answer, Caller, Refusal, input, text};

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
    running: bool,
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
            let crawler =
                self.upstream.call(&call.caller, "AWSGlue.GetCrawler", &json!({ "Name": request["Name"] })).await?;
            let key = format!("{}/{}", call.caller.access_key, text(&request, "Name"));
            match operation {
                "StartCrawler" => self.start(key, crawler["Crawler"].clone(), &call.caller),
                _ => Ok(self.shown(&key, crawler)),
            }
        };
        match operation {
            "StartCrawler" | "GetCrawler" => Some(act.await),
            _ => None,
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Crawl>> {
        self.crawls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, key: &str, mut crawler: Value) -> Value {
        let crawl = self.locked().get(key).cloned().unwrap_or_default();
        crawler["Crawler"]["State"] = if crawl.running { "RUNNING" } else { "READY" }.into();
        if let Some(members) = crawler["Crawler"].as_object_mut() {
            members.remove("LastCrawl");
            members.extend(crawl.last.map(|last| ("LastCrawl".to_owned(), last)));
        }
        crawler
    }

    fn start(&self, key: String, crawler: Value, caller: &Caller) -> Answer<Value> {
        {
            let mut crawls = self.locked();
            let crawl = crawls.entry(key.clone()).or_default();
            if crawl.running {
                let message = format!("Crawler with name {} has already started", text(&crawler, "Name"));
                return Err(Refusal::new("CrawlerRunningException", message));
            }
            crawl.running = true;
        }
        let wrong = self.faults.within("glue", "StartCrawler");
        let (own, caller) = (self.clone(), caller.clone());
        let cleared = self.faults.until_cleared();
        tokio::spawn(async move {
            let began = clock::epoch();
            let done = match wrong {
                Some(Wrong::HangCrawler) => {
                    cleared.await;
                    Err("the crawl was let go".to_owned())
                }
                Some(Wrong::FailCrawl { message }) => Err(message),
                _ => {
                    tokio::time::sleep(CRAWL).await;
                    own.crawl(&crawler, &caller).await.map_err(|refusal| refusal.message)
                }
            };
            let mut last = json!({ "Status": "SUCCEEDED", "StartTime": began, "LogGroup": "/aws-glue/crawlers" });
            if let Err(reason) = done {
                last["Status"] = "FAILED".into();
                last["ErrorMessage"] = reason.into();
            }
            own.locked().insert(key, Crawl { running: false, last: Some(last) });
        });
        Ok(json!({}))
    }

    /// Reads the newest file of each folder below the targets, and makes the catalogue say what it has.
    async fn crawl(&self, crawler: &Value, caller: &Caller) -> Answer<()> {
        let database = text(crawler, "DatabaseName");
        let changes = text(&crawler["SchemaChangePolicy"], "UpdateBehavior") == "UPDATE_IN_DATABASE";
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
                        let name = folder.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(bucket);
                        self.make(caller, database, name, &location, &columns).await?;
                    }
                }
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
        let column = |field: &Arc<datafusion::arrow::datatypes::Field>| json!({ "Name": field.name(), "Type": hive(field.data_type()) });
        Ok(Some(reader.schema().fields().iter().map(column).collect()))
    }

    async fn change(&self, caller: &Caller, database: &str, table: &Value, columns: &[Value]) -> Answer<()> {
        if table["StorageDescriptor"]["Columns"].as_array().is_some_and(|known| known == columns) {
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

    async fn make(&self, caller: &Caller, database: &str, name: &str, location: &str, columns: &[Value]) -> Answer<()> {
        let request = json!({ "DatabaseName": database, "TableInput": {
            "Name": name.to_ascii_lowercase(), "TableType": "EXTERNAL_TABLE",
            "Parameters": { "classification": "parquet", "EXTERNAL": "TRUE" },
            "StorageDescriptor": parquet_storage(location, columns),
        } });
        self.upstream.call(caller, "AWSGlue.CreateTable", &request).await.map(|_| ())
    }
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
