//! A tiny emulator: an S3 that remembers, and what the server asks of ECS, Glue and Athena.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A bucket that is not there.
pub(crate) const NO_BUCKET: &str = "nobodys";

/// What it has and was asked, shared with its test.
#[derive(Clone, Default)]
pub(crate) struct Emulator {
    /// By `bucket/key`.
    pub(crate) objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// Containers of a task definition, by its name.
    pub(crate) definitions: Arc<Mutex<BTreeMap<String, Value>>>,
    pub(crate) crawlers: Arc<Mutex<BTreeMap<String, Value>>>,
    pub(crate) tables: Arc<Mutex<Vec<Value>>>,
    /// Prepared statements, by name.
    prepared: Arc<Mutex<BTreeMap<String, Value>>>,
    /// The operations of JSON services, with what they were given.
    pub(crate) calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Emulator {
    /// Listens on a free port; ends with its runtime.
    pub(crate) async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }

    pub(crate) fn object(&self, key: &str) -> Option<String> {
        let objects = self.objects.lock().unwrap();
        objects.get(key).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The operations that were asked for, by name.
    pub(crate) fn asked(&self, target: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(one, _)| one.ends_with(target)).map(|(_, given)| given.clone()).collect()
    }

    fn s3(&self, method: &Method, path: &str, query: &str, range: Option<(usize, usize)>, body: Bytes) -> Response {
        let path = &path.replace("%3D", "=");
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket == NO_BUCKET {
            let text = "<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>";
            return (StatusCode::NOT_FOUND, text).into_response();
        }
        let mut objects = self.objects.lock().unwrap();
        let dated = [("etag", "\"1\""), ("last-modified", "Wed, 27 Feb 2013 22:30:00 GMT")];
        if *method == Method::PUT {
            objects.insert(path.to_owned(), body);
            return (dated, "").into_response();
        }
        if query.contains("list-type=2") {
            let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
            let prefix = prefix.replace("%2F", "/");
            let entry = |(path, bytes): (&String, &Bytes)| {
                let key = path.strip_prefix(&format!("{bucket}/"))?;
                let size = bytes.len();
                key.starts_with(&prefix).then(|| {
                    format!(
                        "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>\"1\"</ETag>\
                         <LastModified>2013-02-27T22:30:00.000Z</LastModified></Contents>"
                    )
                })
            };
            let found: String = objects.iter().filter_map(entry).collect();
            return format!("<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>")
                .into_response();
        }
        match objects.get(path) {
            Some(bytes) if !key.is_empty() => match range {
                Some((from, to)) => {
                    let told = [("content-range", format!("bytes {from}-{to}/{}", bytes.len()))];
                    (StatusCode::PARTIAL_CONTENT, dated, told, bytes.slice(from..=to)).into_response()
                }
                None => (dated, bytes.clone()).into_response(),
            },
            _ => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        }
    }

    fn json(&self, target: &str, given: Value) -> Response {
        self.calls.lock().unwrap().push((target.to_owned(), given.clone()));
        let name = |member: &str| given[member].as_str().unwrap_or_default().to_owned();
        let refused = |code: &str| {
            (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "as asked" }).to_string()).into_response()
        };
        let answer = match target.rsplit_once('.').map(|(_, operation)| operation).unwrap_or_default() {
            "DescribeClusters" => {
                let wanted = given["clusters"][0].as_str().unwrap_or_default();
                let found = (wanted == "cluster").then(|| json!({ "clusterName": wanted, "status": "ACTIVE" }));
                json!({ "clusters": found.into_iter().collect::<Vec<_>>() })
            }
            "DescribeTaskDefinition" => {
                let definitions = self.definitions.lock().unwrap();
                let Some(containers) = definitions.get(&name("taskDefinition")) else {
                    return refused("ClientException");
                };
                let arn = format!("arn:aws:ecs:us-east-1:000000000000:task-definition/{}:1", name("taskDefinition"));
                json!({ "taskDefinition": { "taskDefinitionArn": arn, "containerDefinitions": containers } })
            }
            "GetCrawler" => match self.crawlers.lock().unwrap().get(&name("Name")) {
                Some(crawler) => json!({ "Crawler": crawler }),
                None => return refused("EntityNotFoundException"),
            },
            "GetCrawlers" => json!({ "Crawlers": self.crawlers.lock().unwrap().values().collect::<Vec<_>>() }),
            "GetDatabases" => json!({ "DatabaseList": [{ "Name": "data" }, { "Name": "other" }] }),
            "GetTables" => {
                let tables = self.tables.lock().unwrap();
                let here = |table: &&Value| table["DatabaseName"] == given["DatabaseName"];
                json!({ "TableList": tables.iter().filter(here).collect::<Vec<_>>() })
            }
            "GetTable" | "DeleteTable" | "CreateTable" => {
                let mut tables = self.tables.lock().unwrap();
                let wanted = if given["Name"].is_null() { &given["TableInput"]["Name"] } else { &given["Name"] };
                let named = |table: &Value| table["DatabaseName"] == given["DatabaseName"] && table["Name"] == *wanted;
                match (tables.iter().position(named), target.ends_with("CreateTable")) {
                    (None, false) => return refused("EntityNotFoundException"),
                    (Some(_), true) => return refused("AlreadyExistsException"),
                    (Some(at), _) if target.ends_with("DeleteTable") => drop(tables.remove(at)),
                    (Some(at), _) => return json!({ "Table": tables[at] }).to_string().into_response(),
                    (None, true) => {
                        let mut table = given["TableInput"].clone();
                        table["DatabaseName"] = given["DatabaseName"].clone();
                        tables.push(table);
                    }
                }
                json!({})
            }
            "GetWorkGroup" => {
                let small = if given["WorkGroup"] == "small" { json!(10) } else { Value::Null };
                json!({ "WorkGroup": { "Configuration": {
                    "ResultConfiguration": { "OutputLocation": "s3://bucket/results/" }, "BytesScannedCutoffPerQuery": small,
                } } })
            }
            "CreatePreparedStatement" => {
                self.prepared.lock().unwrap().insert(name("StatementName"), given["QueryStatement"].clone());
                json!({})
            }
            "GetPreparedStatement" => match self.prepared.lock().unwrap().get(&name("StatementName")) {
                Some(sql) => json!({ "PreparedStatement": { "QueryStatement": sql } }),
                None => return refused("ResourceNotFoundException"),
            },
            "ListClusters" => json!({ "clusterArns": ["the emulator's"] }),
            _ => json!({}),
        };
        answer.to_string().into_response()
    }
}

async fn take(State(emulator): State<Emulator>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    match head.headers.get("x-amz-target") {
        Some(target) => emulator.json(target.to_str().unwrap(), serde_json::from_slice(&body).unwrap()),
        None => {
            let path = head.uri.path().trim_start_matches('/').trim_end_matches('/');
            let range = head.headers.get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
            let range = range.and_then(|range| range.split_once('-'));
            let range = range.map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
            emulator.s3(&head.method, path, head.uri.query().unwrap_or_default(), range, body)
        }
    }
}
