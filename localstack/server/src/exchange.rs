//! Data Exchange: data sets in a folder, and export jobs that really write to the emulator's S3.
//!
//! A data set is a folder, a revision a folder within it with `revision.json` and the assets; both are read at each
//! call, so that whoever plays the provider only writes files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use object_store::ObjectStoreExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::faults::{Faults, Wrong};
use crate::router::Call;
use crate::upstream::Upstream;
use crate::wire::{Answer, Caller, Refusal, answered, input, ok, page, text};

const MANIFEST: &str = "revision.json";

/// How long a job is seen at work at least.
const JOB_MS: u64 = 30;

#[derive(Clone)]
pub(crate) struct Exchange {
    folder: PathBuf,
    upstream: Upstream,
    faults: Arc<Faults>,
    jobs: Arc<Mutex<BTreeMap<String, Job>>>,
}

/// A job and how far it is.
#[derive(Debug, Clone)]
struct Job {
    kind: String,
    state: &'static str,
    details: Value,
    copies: Vec<Copy>,
    created: Timestamp,
    updated: Timestamp,
    error: Option<String>,
}

/// An asset and where it is to be.
#[derive(Debug, Clone)]
struct Copy {
    from: PathBuf,
    bucket: String,
    key: String,
}

#[derive(Deserialize)]
struct Manifest {
    published_at: Timestamp,
    #[serde(default = "yes")]
    finalized: bool,
    #[serde(default)]
    revoked: bool,
}

fn yes() -> bool {
    true
}

fn missing(what: &str, id: &str) -> Refusal {
    Refusal::new("ResourceNotFoundException", format!("Resource not found: {what} {id}"))
        .with_status(StatusCode::NOT_FOUND)
        .with("ResourceId", id)
        .with("ResourceType", what)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationException", message)
}

/// Names of the entries of a folder that fit, sorted; an id is never a path.
fn entries(folder: &Path, fits: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .filter(|entry| fits(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

impl Exchange {
    pub(crate) fn new(folder: PathBuf, upstream: Upstream, faults: Arc<Faults>) -> Self {
        Self { folder, upstream, faults, jobs: Arc::default() }
    }

    /// The operation that a path stands for; none of this service otherwise.
    pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static str> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        Some(match (method, &parts[..]) {
            (&Method::GET, ["v1", "data-sets"]) => "ListDataSets",
            (&Method::GET, ["v1", "data-sets", _]) => "GetDataSet",
            (&Method::GET, ["v1", "data-sets", _, "revisions"]) => "ListDataSetRevisions",
            (&Method::GET, ["v1", "data-sets", _, "revisions", _]) => "GetRevision",
            (&Method::GET, ["v1", "data-sets", _, "revisions", _, "assets"]) => "ListRevisionAssets",
            (&Method::POST, ["v1", "jobs"]) => "CreateJob",
            (&Method::GET, ["v1", "jobs"]) => "ListJobs",
            (&Method::GET, ["v1", "jobs", _]) => "GetJob",
            (&Method::PATCH, ["v1", "jobs", _]) => "StartJob",
            (&Method::DELETE, ["v1", "jobs", _]) => "CancelJob",
            _ => return None,
        })
    }

    pub(crate) async fn handle(&self, operation: &str, call: &Call) -> Answer<Response> {
        let parts: Vec<String> = call.uri.path().trim_matches('/').split('/').map(decoded).collect();
        let part = |at: usize| parts.get(at).map_or("", String::as_str);
        let query: BTreeMap<String, String> = call
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        match operation {
            "ListDataSets" => paged(self.data_sets(), "DataSets", &query),
            "GetDataSet" => Ok(ok(&self.data_set(part(2))?)),
            "ListDataSetRevisions" => paged(self.revisions(part(2))?, "Revisions", &query),
            "GetRevision" => Ok(ok(&self.revision(part(2), part(4))?)),
            "ListRevisionAssets" => paged(self.assets(part(2), part(4))?, "Assets", &query),
            "CreateJob" => self.create(&input(&call.body)?),
            "ListJobs" => {
                let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
                paged(jobs.iter().map(|(id, job)| shown(id, job)).collect(), "Jobs", &query)
            }
            "GetJob" => self.with_job(part(2), |id, job| Ok(ok(&shown(id, job)))),
            "StartJob" => self.start(part(2), &call.caller),
            _ => self.with_job(part(2), |id, job| match job.state {
                "WAITING" | "IN_PROGRESS" => {
                    job.state = "CANCELLED";
                    Ok(answered(StatusCode::NO_CONTENT, &Value::Null))
                }
                _ => Err(conflict(id)),
            }),
        }
    }

    fn data_sets(&self) -> Vec<Value> {
        entries(&self.folder, Path::is_dir).iter().filter_map(|id| self.data_set(id).ok()).collect()
    }

    fn data_set(&self, id: &str) -> Answer<Value> {
        if !entries(&self.folder, Path::is_dir).iter().any(|known| known == id) {
            return Err(missing("DATA_SET", id));
        }
        let time = "2020-01-01T00:00:00.000Z";
        Ok(json!({
            "Id": id, "Arn": format!("arn:aws:dataexchange:us-east-1::data-sets/{id}"), "AssetType": "S3_SNAPSHOT",
            "Name": id, "Description": id, "Origin": "ENTITLED", "CreatedAt": time, "UpdatedAt": time
        }))
    }

    fn revision_folder(&self, data_set: &str, id: &str) -> Answer<PathBuf> {
        self.data_set(data_set)?;
        let folder = self.folder.join(data_set);
        let known = entries(&folder, |path| path.join(MANIFEST).is_file());
        if known.iter().any(|known| known == id) { Ok(folder.join(id)) } else { Err(missing("REVISION", id)) }
    }

    fn revision(&self, data_set: &str, id: &str) -> Answer<Value> {
        let folder = self.revision_folder(data_set, id)?;
        let broken = |error: &dyn std::fmt::Display| {
            Refusal::internal("InternalServerException", format!("{}: {error}", folder.join(MANIFEST).display()))
        };
        let manifest = std::fs::read(folder.join(MANIFEST)).map_err(|error| broken(&error))?;
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| broken(&error))?;
        let time = clock::iso(manifest.published_at);
        Ok(json!({
            "Id": id, "Arn": format!("arn:aws:dataexchange:us-east-1::data-sets/{data_set}/revisions/{id}"),
            "DataSetId": data_set, "Comment": "", "CreatedAt": time, "UpdatedAt": time,
            "Finalized": manifest.finalized, "Revoked": manifest.revoked
        }))
    }

    fn revisions(&self, data_set: &str) -> Answer<Vec<Value>> {
        self.data_set(data_set)?;
        let known = entries(&self.folder.join(data_set), |path| path.join(MANIFEST).is_file());
        let mut all = known.iter().map(|id| self.revision(data_set, id)).collect::<Answer<Vec<_>>>()?;
        // The service lists the last one first.
        all.sort_by(|a, b| text(b, "CreatedAt").cmp(text(a, "CreatedAt")));
        Ok(all)
    }

    fn assets(&self, data_set: &str, revision: &str) -> Answer<Vec<Value>> {
        let folder = self.revision_folder(data_set, revision)?;
        let names = entries(&folder, |path| path.is_file() && path.file_name().is_some_and(|name| name != MANIFEST));
        let asset = |name: &String| {
            let bytes = std::fs::metadata(folder.join(name)).map_or(0, |data| data.len());
            let time = "2020-01-01T00:00:00.000Z";
            json!({
                "Id": name, "Arn": format!("arn:aws:dataexchange:us-east-1::data-sets/{data_set}/assets/{name}"),
                "AssetType": "S3_SNAPSHOT", "DataSetId": data_set, "RevisionId": revision, "Name": name,
                "AssetDetails": { "S3SnapshotAsset": { "Size": bytes as f64 } }, "CreatedAt": time, "UpdatedAt": time
            })
        };
        Ok(names.iter().map(asset).collect())
    }

    fn create(&self, request: &Value) -> Answer<Response> {
        let mut copies = Vec::new();
        let kind = text(request, "Type");
        let details = &request["Details"];
        match kind {
            "EXPORT_REVISIONS_TO_S3" => {
                let wanted = &details["ExportRevisionsToS3"];
                let data_set = text(wanted, "DataSetId");
                for one in list(wanted, "RevisionDestinations")? {
                    let (revision, bucket) = (text(one, "RevisionId"), text(one, "Bucket"));
                    let folder = self.revision_folder(data_set, revision)?;
                    let pattern = one["KeyPattern"].as_str().unwrap_or("${Revision.CreatedAt}/${Asset.Name}");
                    let created = self.revision(data_set, revision)?;
                    for asset in self.assets(data_set, revision)? {
                        let created = text(&created, "CreatedAt");
                        let day = |from, to| created.get(from..to).unwrap_or_default();
                        let key = pattern
                            .replace("${DataSet.Id}", data_set)
                            .replace("${DataSet.Name}", data_set)
                            .replace("${Revision.Id}", revision)
                            .replace("${Revision.CreatedAt}", created)
                            .replace("${Revision.CreatedAt.Year}", day(0, 4))
                            .replace("${Revision.CreatedAt.Month}", day(5, 7))
                            .replace("${Revision.CreatedAt.Day}", day(8, 10))
                            .replace("${Asset.Name}", text(&asset, "Name"))
                            .replace("${Asset.Id}", text(&asset, "Id"));
                        if key.contains("${") {
                            return Err(invalid(format!("Invalid KeyPattern: {pattern}")));
                        }
                        copies.push(Copy { from: folder.join(text(&asset, "Name")), bucket: bucket.to_owned(), key });
                    }
                }
            }
            "EXPORT_ASSETS_TO_S3" => {
                let wanted = &details["ExportAssetsToS3"];
                let (data_set, revision) = (text(wanted, "DataSetId"), text(wanted, "RevisionId"));
                let folder = self.revision_folder(data_set, revision)?;
                let assets = self.assets(data_set, revision)?;
                for one in list(wanted, "AssetDestinations")? {
                    let id = text(one, "AssetId");
                    if !assets.iter().any(|asset| text(asset, "Id") == id) {
                        return Err(missing("ASSET", id));
                    }
                    let key = one["Key"].as_str().unwrap_or(id).to_owned();
                    copies.push(Copy { from: folder.join(id), bucket: text(one, "Bucket").to_owned(), key });
                }
            }
            other => {
                return Err(invalid(format!(
                    "Type {other} is not spoken here: EXPORT_REVISIONS_TO_S3 and EXPORT_ASSETS_TO_S3 are"
                )));
            }
        }
        if copies.iter().any(|copy| copy.bucket.is_empty()) {
            return Err(invalid("Bucket must not be empty"));
        }
        let now = Timestamp::now();
        let job = Job {
            kind: kind.to_owned(),
            state: "WAITING",
            details: details.clone(),
            copies,
            created: now,
            updated: now,
            error: None,
        };
        let id = uuid::Uuid::new_v4().simple().to_string();
        let response = answered(StatusCode::CREATED, &shown(&id, &job));
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id, job);
        Ok(response)
    }

    fn with_job<T>(&self, id: &str, act: impl FnOnce(&str, &mut Job) -> Answer<T>) -> Answer<T> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        act(id, jobs.get_mut(id).ok_or_else(|| missing("JOB", id))?)
    }

    fn start(&self, id: &str, caller: &Caller) -> Answer<Response> {
        let copies = self.with_job(id, |id, job| {
            if job.state != "WAITING" {
                return Err(conflict(id));
            }
            (job.state, job.updated) = ("IN_PROGRESS", Timestamp::now());
            Ok(job.copies.clone())
        })?;
        let wrong = self.faults.within("dataexchange", "StartJob");
        let (own, id, caller) = (self.clone(), id.to_owned(), caller.clone());
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(JOB_MS)).await;
            let done = match wrong {
                Some(Wrong::FailJob { message }) => Err(message),
                _ => own.copy(&copies, &caller).await,
            };
            let _ = own.with_job(&id, |_, job| {
                if job.state == "IN_PROGRESS" {
                    job.updated = Timestamp::now();
                    (job.state, job.error) = match done {
                        Ok(()) => ("COMPLETED", None),
                        Err(reason) => ("ERROR", Some(reason)),
                    };
                }
                Ok(())
            });
        });
        Ok(answered(StatusCode::ACCEPTED, &json!({})))
    }

    async fn copy(&self, copies: &[Copy], caller: &Caller) -> Result<(), String> {
        for copy in copies {
            let bytes = tokio::fs::read(&copy.from).await.map_err(|error| error.to_string())?;
            let store = self.upstream.bucket(caller, &copy.bucket).map_err(|error| error.to_string())?;
            let key = object_store::path::Path::parse(&copy.key).map_err(|error| error.to_string())?;
            store.put(&key, bytes.into()).await.map_err(|error| format!("cannot write to {}: {error}", copy.bucket))?;
        }
        Ok(())
    }
}

fn conflict(id: &str) -> Refusal {
    Refusal::new("ConflictException", format!("Job {id} is not in a state that allows this"))
        .with_status(StatusCode::CONFLICT)
        .with("ResourceId", id)
        .with("ResourceType", "JOB")
}

fn list<'a>(value: &'a Value, name: &str) -> Answer<&'a Vec<Value>> {
    value[name].as_array().filter(|list| !list.is_empty()).ok_or_else(|| invalid(format!("{name} must not be empty")))
}

fn shown(id: &str, job: &Job) -> Value {
    let mut value = json!({
        "Id": id, "Arn": format!("arn:aws:dataexchange:us-east-1:000000000000:jobs/{id}"), "Type": job.kind,
        "State": job.state, "Details": job.details,
        "CreatedAt": clock::iso(job.created), "UpdatedAt": clock::iso(job.updated)
    });
    if let Some(reason) = &job.error {
        value["Errors"] = json!([{ "Code": "INTERNAL_SERVER_EXCEPTION", "Message": reason }]);
    }
    value
}

fn paged(items: Vec<Value>, name: &str, query: &BTreeMap<String, String>) -> Answer<Response> {
    let most = match query.get("maxResults") {
        None => 200,
        Some(text) => text
            .parse()
            .ok()
            .filter(|most| (1..=200).contains(most))
            .ok_or_else(|| invalid("maxResults must be between 1 and 200"))?,
    };
    let token = query.get("nextToken").map(String::as_str);
    let (items, next) = page(items, most, token, "ValidationException")?;
    let mut body = json!({ name: items });
    if let Some(next) = next {
        body["NextToken"] = next.into();
    }
    Ok(ok(&body))
}

/// A part of a path or query with its `%` pairs as what they stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
