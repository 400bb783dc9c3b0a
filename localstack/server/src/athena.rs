//! Athena: queries that are started, asked about and fetched, over the emulator's Glue and S3.
//!
//! Work groups, named queries and prepared statements are the emulator's; everything else about queries is here.

mod catalogue;
mod execution;
mod statement;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::faults::{Faults, Wrong};
use crate::router::Call;
use crate::upstream::Upstream;
use crate::wire::{Answer, Caller, Refusal, input, page, text, texts, without_nulls};
use execution::{Done, Execution};

/// Rows of a page at most, its header included.
const PAGE_ROWS_MAX: usize = 1_000;
/// Bytes of a statement at most, as Athena has it.
const QUERY_BYTES_MAX: usize = 262_144;

#[derive(Clone)]
pub(crate) struct Athena {
    upstream: Upstream,
    faults: Arc<Faults>,
    queries: Arc<Mutex<BTreeMap<String, Query>>>,
}

/// A query and how far it is.
struct Query {
    sql: String,
    parameters: Vec<String>,
    token: Option<String>,
    account: String,
    workgroup: String,
    database: String,
    output: String,
    state: &'static str,
    reason: Option<String>,
    submitted: f64,
    completed: Option<f64>,
    engine_ms: u64,
    done: Done,
    stop: watch::Sender<bool>,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidRequestException", message).with("AthenaErrorCode", "INVALID_INPUT")
}

impl Athena {
    pub(crate) fn new(upstream: Upstream, faults: Arc<Faults>) -> Self {
        Self { upstream, faults, queries: Arc::default() }
    }

    /// The answer to an operation about queries; nothing to another.
    pub(crate) async fn handle(&self, operation: &str, call: &Call) -> Option<Answer<Value>> {
        let request = match input(&call.body) {
            Ok(request) => request,
            Err(refusal) => return Some(Err(refusal)),
        };
        let id = text(&request, "QueryExecutionId").to_owned();
        Some(match operation {
            "StartQueryExecution" => self.start(&request, &call.caller).await,
            "GetQueryExecution" => self.with(&id, |query| Ok(json!({ "QueryExecution": shown(&id, query) }))),
            "BatchGetQueryExecution" => {
                let queries = self.locked();
                let (mut found, mut absent) = (Vec::new(), Vec::new());
                for id in texts(&request["QueryExecutionIds"]) {
                    match queries.get(&id) {
                        Some(query) => found.push(shown(&id, query)),
                        None => absent.push(json!({ "QueryExecutionId": id, "ErrorCode": "INVALID_INPUT" })),
                    }
                }
                Ok(json!({ "QueryExecutions": found, "UnprocessedQueryExecutionIds": absent }))
            }
            "ListQueryExecutions" => {
                let queries = self.locked();
                let workgroup = request["WorkGroup"].as_str().unwrap_or("primary");
                let ours = |query: &&Query| query.workgroup == workgroup && query.account == call.caller.account();
                let mut all: Vec<_> = queries.iter().filter(|(_, query)| ours(query)).collect();
                all.sort_by(|a, b| b.1.submitted.total_cmp(&a.1.submitted));
                let ids: Vec<String> = all.into_iter().map(|(id, _)| id.clone()).collect();
                let most = request["MaxResults"].as_u64().unwrap_or(50) as usize;
                page(ids, most, request["NextToken"].as_str(), "InvalidRequestException")
                    .map(|(ids, next)| without_nulls(json!({ "QueryExecutionIds": ids, "NextToken": next })))
            }
            "GetQueryResults" => self.results(&id, &request),
            "StopQueryExecution" => self.with(&id, |query| {
                let _ = query.stop.send(true);
                Ok(json!({}))
            }),
            _ => return None,
        })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: &str, act: impl FnOnce(&mut Query) -> Answer<T>) -> Answer<T> {
        let mut queries = self.locked();
        act(queries.get_mut(id).ok_or_else(|| invalid(format!("QueryExecution {id} was not found")))?)
    }

    async fn start(&self, request: &Value, caller: &Caller) -> Answer<Value> {
        let sql = text(request, "QueryString").to_owned();
        if sql.trim().is_empty() || sql.len() > QUERY_BYTES_MAX {
            return Err(invalid("QueryString must have between 1 and 262144 bytes"));
        }
        let workgroup = request["WorkGroup"].as_str().unwrap_or("primary").to_owned();
        let parameters = texts(&request["ExecutionParameters"]);
        let token = request["ClientRequestToken"].as_str().map(str::to_owned);
        if token.as_ref().is_some_and(|token| !(32..=128).contains(&token.len())) {
            return Err(invalid("ClientRequestToken must have between 32 and 128 characters"));
        }
        let account = caller.account().to_owned();
        let again = |queries: &BTreeMap<String, Query>| {
            let same = |query: &&Query| token.is_some() && query.token == token && query.account == account;
            let (id, query) = queries.iter().find(|(_, query)| same(query))?;
            Some(if query.sql == sql && query.parameters == parameters && query.workgroup == workgroup {
                Ok(json!({ "QueryExecutionId": id }))
            } else {
                Err(invalid("Idempotent parameters do not match"))
            })
        };
        if let Some(known) = again(&self.locked()) {
            return known;
        }
        let asked = json!({ "WorkGroup": workgroup });
        let group = self.upstream.call(caller, "AmazonAthena.GetWorkGroup", &asked).await?;
        let settings = &group["WorkGroup"]["Configuration"];
        let of_group = settings["ResultConfiguration"]["OutputLocation"].as_str();
        let own = request["ResultConfiguration"]["OutputLocation"].as_str();
        let enforced = settings["EnforceWorkGroupConfiguration"].as_bool().unwrap_or(false);
        let output = if enforced { of_group.or(own) } else { own.or(of_group) };
        let Some(output) = output.filter(|output| output.starts_with("s3://")) else {
            return Err(invalid(
                "No output location provided. An output location is required either through the Workgroup result \
                 configuration setting or as an API input.",
            ));
        };
        let database = request["QueryExecutionContext"]["Database"].as_str().unwrap_or("default").to_owned();
        let id = uuid::Uuid::new_v4().to_string();
        let (stop, stopped) = watch::channel(false);
        let output = format!("{}/{id}", output.trim_end_matches('/'));
        let query = Query {
            sql: sql.clone(),
            parameters: parameters.clone(),
            token: token.clone(),
            account: account.clone(),
            workgroup: workgroup.clone(),
            database: database.clone(),
            output: output.clone(),
            state: "QUEUED",
            reason: None,
            submitted: clock::epoch(),
            completed: None,
            engine_ms: 0,
            done: Done::default(),
            stop,
        };
        {
            let mut queries = self.locked();
            if let Some(known) = again(&queries) {
                return known;
            }
            queries.insert(id.clone(), query);
        }
        let wrong = self.faults.within("athena", "StartQueryExecution");
        let scan_max = settings["BytesScannedCutoffPerQuery"].as_u64();
        let execution = Execution {
            upstream: self.upstream.clone(),
            caller: caller.clone(),
            database,
            workgroup,
            output,
            scan_max,
        };
        let (own, started) = (self.clone(), id.clone());
        tokio::spawn(async move { own.work(started, execution, sql, parameters, wrong, stopped).await });
        Ok(json!({ "QueryExecutionId": id }))
    }

    async fn work(
        &self,
        id: String,
        execution: Execution,
        sql: String,
        parameters: Vec<String>,
        wrong: Option<Wrong>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let _ = self.with(&id, |query| {
            query.state = "RUNNING";
            Ok(())
        });
        let begun = Instant::now();
        let run = async move {
            match wrong {
                Some(Wrong::FailQuery { message }) => Err(execution::Stop::Failed(message)),
                _ => execution.run(&sql, &parameters).await,
            }
        };
        // A task of its own: should the engine panic, the query has failed, and does not run for ever.
        let mut run = tokio::spawn(run);
        let done = tokio::select! {
            done = &mut run => done.unwrap_or_else(|_| {
                Err(execution::Stop::Failed("GENERIC_INTERNAL_ERROR: the engine stopped unexpectedly".to_owned()))
            }),
            _ = stopped.wait_for(|stop| *stop) => {
                run.abort();
                Err(execution::Stop::Cancelled("Query was cancelled".to_owned()))
            }
        };
        let _ = self.with(&id, |query| {
            query.completed = Some(clock::epoch());
            query.engine_ms = begun.elapsed().as_millis() as u64;
            match done {
                Ok(done) => (query.state, query.done) = ("SUCCEEDED", done),
                Err(execution::Stop::Failed(reason)) => (query.state, query.reason) = ("FAILED", Some(reason)),
                Err(execution::Stop::Cancelled(reason)) => (query.state, query.reason) = ("CANCELLED", Some(reason)),
            }
            Ok(())
        });
    }

    fn results(&self, id: &str, request: &Value) -> Answer<Value> {
        let most = request["MaxResults"].as_u64().unwrap_or(PAGE_ROWS_MAX as u64) as usize;
        if !(1..=PAGE_ROWS_MAX).contains(&most) {
            return Err(invalid("MaxResults must be between 1 and 1000"));
        }
        self.with(id, |query| {
            if query.state != "SUCCEEDED" {
                let message = match query.state {
                    "FAILED" | "CANCELLED" => {
                        format!("Query did not finish successfully. Final query state: {}", query.state)
                    }
                    state => format!("Query has not yet finished. Current state: {state}"),
                };
                return Err(invalid(message));
            }
            let done = &query.done;
            let header = done.is_select.then(|| done.columns.iter().map(|(name, _)| Some(name.clone())).collect());
            let rows: Vec<&Vec<Option<String>>> = header.iter().chain(&done.rows).collect();
            let (rows, next) = page(rows, most, request["NextToken"].as_str(), "InvalidRequestException")?;
            let cell = |cell: &Option<String>| cell.as_ref().map_or(json!({}), |text| json!({ "VarCharValue": text }));
            let row = |row: &&Vec<Option<String>>| json!({ "Data": row.iter().map(cell).collect::<Vec<_>>() });
            let column = |(name, of): &(String, String)| {
                let (precision, scale) = precision(of);
                let plain = plain(of);
                json!({ "CatalogName": "hive", "SchemaName": "", "TableName": "", "Name": name, "Label": name,
                        "Type": plain, "Precision": precision, "Scale": scale, "Nullable": "UNKNOWN",
                        "CaseSensitive": plain == "varchar" })
            };
            let body = json!({
                "UpdateCount": 0, "NextToken": next,
                "ResultSet": {
                    "Rows": rows.iter().map(row).collect::<Vec<_>>(),
                    "ResultSetMetadata": { "ColumnInfo": done.columns.iter().map(column).collect::<Vec<_>>() }
                }
            });
            Ok(without_nulls(body))
        })
    }
}

/// A type without what stands in brackets: `timestamp(3) with time zone` is `timestamp with time zone`.
fn plain(of: &str) -> String {
    match (of.find('('), of.rfind(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &of[..open], &of[close + 1..]),
        _ => of.to_owned(),
    }
}

/// Precision and scale as Athena tells them.
fn precision(of: &str) -> (u64, u64) {
    let inside = of.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    if let (true, Some(inside)) = (of.starts_with("decimal"), inside) {
        let mut parts = inside.split(',').filter_map(|part| part.trim().parse().ok());
        return (parts.next().unwrap_or(38), parts.next().unwrap_or(0));
    }
    match &*plain(of) {
        "varchar" => (2_147_483_647, 0),
        "bigint" => (19, 0),
        "integer" => (10, 0),
        "double" => (17, 0),
        "timestamp" | "timestamp with time zone" => (3, 0),
        _ => (0, 0),
    }
}

fn shown(id: &str, query: &Query) -> Value {
    let status = without_nulls(json!({
        "State": query.state, "StateChangeReason": query.reason, "SubmissionDateTime": query.submitted,
        "CompletionDateTime": query.completed
    }));
    let parameters = (!query.parameters.is_empty()).then_some(&query.parameters);
    let extension = if query.done.is_select || query.done.columns.is_empty() { "csv" } else { "txt" };
    without_nulls(json!({
        "QueryExecutionId": id, "Query": query.sql, "StatementType": statement::kind(&query.sql),
        "ExecutionParameters": parameters, "WorkGroup": query.workgroup, "Status": status,
        "QueryExecutionContext": { "Database": query.database, "Catalog": "awsdatacatalog" },
        "ResultConfiguration": { "OutputLocation": format!("{}.{extension}", query.output) },
        "Statistics": {
            "DataScannedInBytes": query.done.scanned_bytes, "EngineExecutionTimeInMillis": query.engine_ms,
            "TotalExecutionTimeInMillis": query.engine_ms, "QueryQueueTimeInMillis": 0,
            "ServiceProcessingTimeInMillis": 0
        },
        "EngineVersion": { "SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3" }
    }))
}
