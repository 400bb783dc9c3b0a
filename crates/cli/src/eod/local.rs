//! The day in one process, on a folder: the ports that need the lake or a program beside this one, and the same steps
//! in the same order as the state machine's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use arrow_schema::{DataType, TimeUnit};
use domain::{Calendar, SessionDate, Timestamp};
use lake::Lake;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ports::catalog::{Catalog, Crawler, Table};
use ports::embedded::{FolderExchange, FolderObjects, FolderRecords, KeptFigures, KeptNotices};
use ports::queries::{Queries, QueryState, Rows};
use ports::tasks::{TaskRequest, TaskState, Tasks};
use ports::{Answer, CallError, Kind};
use serde::Serialize;

use super::launch::{self, Wanted};
use super::plan::{self, Plan};
use super::report::{self, Failure, Reported};
use super::{Outcome, Trouble, What, catalogue, export, ingest, query, score, trade, watch};
use crate::sibling;

fn failed(call: &'static str, resource: &str, kind: Kind, message: String) -> CallError {
    CallError { service: "folder", call, resource: resource.to_owned(), kind, message }
}

/// The tables as the lake's files have them.
#[derive(Debug)]
pub struct LakeCatalog<'a>(pub &'a Lake);

impl Catalog for LakeCatalog<'_> {
    fn crawl(&self, _crawler: &str) -> Answer<()> {
        Ok(())
    }

    fn crawler(&self, _crawler: &str) -> Answer<Crawler> {
        Ok(Crawler { running: false, last: None })
    }

    /// A table without files is as declared.
    fn table(&self, _database: &str, table: &str) -> Answer<Option<Table>> {
        let broken = |error: anyhow::Error| failed("read", table, Kind::Invalid, format!("{error:#}"));
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let partition_keys = owned(queries::partition_keys(table));
        let files = self.0.list(table).map_err(|error| broken(error.into()))?;
        let last = files.iter().rfind(|file| file.ends_with(".parquet"));
        let columns = match last {
            None => owned(queries::columns(table)),
            Some(file) => columns(self.0, file).map_err(broken)?,
        };
        Ok(Some(Table { columns, partition_keys, location: table.to_owned() }))
    }
}

/// Columns of a Parquet file, with the types that Glue has for them.
fn columns(lake: &Lake, file: &str) -> Result<Vec<(String, String)>> {
    let bytes = lake.read(file)?.with_context(|| format!("`{file}` vanished"))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).with_context(|| format!("`{file}`"))?;
    let column = |field: &arrow_schema::FieldRef| {
        let of = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Float64 => "double".to_owned(),
            DataType::Int64 => "bigint".to_owned(),
            DataType::Int32 => "int".to_owned(),
            DataType::Timestamp(TimeUnit::Microsecond, _) => "timestamp".to_owned(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
            other => other.to_string(),
        };
        (field.name().clone(), of)
    };
    Ok(reader.schema().fields().iter().map(column).collect())
}

/// Rows or the reason why there are none, and milliseconds.
type Ended = (Result<Rows, String>, u64);

/// Queries by the SQL engine beside this program; a query has ended when it was started.
#[derive(Debug)]
pub struct SiblingQueries {
    location: String,
    done: Mutex<BTreeMap<String, Ended>>,
}

impl SiblingQueries {
    /// Over a lake.
    #[must_use]
    pub fn new(location: &str) -> Self {
        Self { location: location.to_owned(), done: Mutex::default() }
    }

    fn ask(&self, sql: &str) -> Result<Rows> {
        let text = sibling::SQL.output(&["--lake", &self.location, "--format", "csv", "--", sql])?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let cell = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let columns = reader.headers()?.iter().map(str::to_owned).collect();
        let rows = reader.records().map(|row| Ok(row?.iter().map(cell).collect())).collect::<Result<_>>()?;
        Ok(Rows { columns, rows, more: false })
    }

    fn of<T>(&self, query: &str, take: impl Fn(&Ended) -> T) -> Answer<T> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.get(query).map(take).ok_or_else(|| failed("query", query, Kind::NotFound, String::new()))
    }
}

impl Queries for SiblingQueries {
    fn start(&self, sql: &str, parameters: &[String], token: &str) -> Answer<String> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if !done.contains_key(token) {
            let mut text = sql.to_owned();
            for parameter in parameters {
                text = text.replacen('?', parameter, 1);
            }
            let begun = Instant::now();
            let answer = self.ask(&text).map_err(|error| format!("{error:#}"));
            done.insert(token.to_owned(), (answer, begun.elapsed().as_millis() as u64));
        }
        Ok(token.to_owned())
    }

    fn state(&self, query: &str) -> Answer<QueryState> {
        self.of(query, |(answer, engine_ms)| match answer {
            Ok(_) => QueryState::Succeeded { scanned_bytes: 0, engine_ms: *engine_ms },
            Err(reason) => QueryState::Failed(reason.clone()),
        })
    }

    fn rows(&self, query: &str, most: usize) -> Answer<Rows> {
        self.of(query, |(answer, _)| {
            let mut rows = answer.clone().unwrap_or_default();
            rows.more = rows.rows.len() > most;
            rows.rows.truncate(most);
            rows
        })
    }

    fn stop(&self, _query: &str) -> Answer<()> {
        Ok(())
    }
}

/// Strategies in this process; a task has ended when it was started.
struct InProcess<'a> {
    location: &'a str,
    records: &'a FolderRecords,
    ended: Mutex<BTreeMap<String, i32>>,
}

impl Tasks for InProcess<'_> {
    fn start(&self, request: &TaskRequest) -> Answer<String> {
        let value = |name: &str| {
            request.environment.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
        };
        let strategy = value("STRATEGY");
        let session = SessionDate::parse(value("SESSION"))
            .map_err(|error| failed("start", &request.name, Kind::Invalid, error.to_string()))?;
        let code = match trade::trade(self.location, self.records, strategy, session) {
            Ok(_) => 0,
            Err(trouble) => {
                launch::complain(self.records, &Wanted::Strategy(strategy), session, &trouble.text);
                1
            }
        };
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(request.token.clone(), code);
        Ok(request.token.clone())
    }

    fn state(&self, task: &str) -> Answer<TaskState> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let code = ended.get(task).copied();
        let code = code.ok_or_else(|| failed("state", task, Kind::NotFound, String::new()))?;
        Ok(TaskState::Stopped { exit_code: Some(code), reason: String::new() })
    }
}

/// What the day in one process is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Folder of the lake.
    pub lake: &'a str,
    /// The session.
    pub session: SessionDate,
    /// Folder of data products, if there are new ones.
    pub exchange: Option<&'a Path>,
    /// Model that scores; by default the promoted `forecast`, if the lake has one.
    pub model: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// A step of the day, and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// As the state machine calls it.
    pub step: &'static str,
    /// In words.
    pub said: String,
    /// How long.
    pub seconds: f64,
}

/// The day as it went.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// The session.
    pub session: SessionDate,
    /// `finished`, `closed` (the exchange was) or `failed`.
    pub state: &'static str,
    /// Step by step.
    pub steps: Vec<Step>,
    /// The tear sheets.
    pub reports: Vec<report::Report>,
    /// What people were told: subjects and texts.
    pub notices: Vec<(String, String)>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

struct Clockwork {
    steps: Vec<Step>,
    begun: Instant,
}

impl Clockwork {
    fn note(&mut self, step: &'static str, said: String) {
        self.steps.push(Step { step, said, seconds: self.begun.elapsed().as_secs_f64() });
        self.begun = Instant::now();
    }
}

/// Runs the day.
///
/// # Errors
/// There is no such session, or not even the failure can be recorded; a step that fails is in the timeline.
pub fn day(request: &Request<'_>) -> Result<Timeline> {
    let root = match lake::location::parse(request.lake)? {
        lake::location::Address::Folder(path) => path.to_owned(),
        lake::location::Address::S3 { .. } => anyhow::bail!(
            "the end of day in one process keeps its records in the lake's folder, and `{}` is none; give a folder, or \
             deploy the stack for a lake on S3",
            request.lake
        ),
    };
    // Without new data there must be some already; nothing is written into a folder that is no lake.
    let due = Calendar::nyse().session(request.session).is_ok_and(|session| session.close <= request.now);
    let lake = if due && request.exchange.is_none() { Lake::open(request.lake)? } else { Lake::create(request.lake)? };
    let records = FolderRecords(root.join("records"));
    let (notices, figures) = (KeptNotices::default(), KeptFigures::default());
    let mut clock = Clockwork { steps: Vec::new(), begun: Instant::now() };
    let input = plan::Input { time: None, session: Some(request.session), run: format!("local-{}", request.now) };
    let plan = plan::plan(&lake, &records, &input, request.now)?;
    let mut timeline = Timeline {
        session: plan.session,
        state: "closed",
        steps: Vec::new(),
        reports: Vec::new(),
        notices: Vec::new(),
        failure: None,
    };
    if !plan.trading {
        clock.note("plan", plan.reason.clone());
        timeline.steps = clock.steps;
        return Ok(timeline);
    }
    clock.note("plan", format!("{} checks, {} strategies", plan.checks.len(), plan.strategies.len()));
    let world = World { request, lake: &lake, root: &root, records: &records, notices: &notices, figures: &figures };
    match world.steps(&plan, &mut clock) {
        Ok(reported) => (timeline.state, timeline.reports) = ("finished", reported.reports),
        Err(trouble) => {
            let failure = Failure { error: trouble.what.name().to_owned(), cause: trouble.text.clone() };
            let input = report::Input { run: plan.run.clone(), failure: Some(failure), ..report::Input::default() };
            report::report(&lake, request.lake, &records, &notices, plan.session, &input, request.now)?;
            (timeline.state, timeline.failure) = ("failed", Some(trouble.text));
        }
    }
    timeline.steps = clock.steps;
    timeline.notices = notices.take();
    Ok(timeline)
}

struct World<'a> {
    request: &'a Request<'a>,
    lake: &'a Lake,
    root: &'a Path,
    records: &'a FolderRecords,
    notices: &'a KeptNotices,
    figures: &'a KeptFigures,
}

impl World<'_> {
    fn steps(&self, plan: &Plan, clock: &mut Clockwork) -> Outcome<Reported> {
        let Self { request, lake, records, .. } = self;
        let (session, now) = (plan.session, request.now);
        let landing = self.root.join("exports");
        let mut input = report::Input { run: plan.run.clone(), ..report::Input::default() };
        if let Some(folder) = request.exchange {
            let exchange = FolderExchange::new(folder.to_owned(), landing.clone());
            let data_sets = exchange.data_sets()?;
            let landing = FolderObjects(landing);
            let exported = export::export(&exchange, &landing, *records, &data_sets, now)?;
            clock.note("export", format!("{} revisions, {} before", exported.exported.len(), exported.already));
            let settings = ingest::Settings { data_sets, bytes_max: u64::MAX, profile: None };
            let ingested = ingest::ingest(lake, &landing, *records, &settings, now)?;
            let (read, stored, quarantined) = ingested
                .revisions
                .iter()
                .fold((0, 0, 0), |sum, one| (sum.0 + one.read, sum.1 + one.stored, sum.2 + one.quarantined));
            clock.note("ingest", format!("{read} rows read, {stored} stored, {quarantined} in quarantine"));
            input.ingest = Some(ingested);
        }
        let settings = catalogue::Settings {
            crawler: None,
            database: "algo_data".to_owned(),
            seconds_max: catalogue::CRAWL_SECONDS_MAX,
        };
        let crawled = catalogue::crawl(&LakeCatalog(lake), *records, &settings, &plan.run, now)?;
        clock.note("crawl", format!("{} tables are as declared", crawled.tables.len()));
        match sibling::SQL.is_built() {
            false => clock.note("check", "NOT DONE: the SQL engine is not built".to_owned()),
            true => {
                let engine = SiblingQueries::new(request.lake);
                for check in &plan.checks {
                    input.checks.push(query::query(&engine, check, session, &plan.run, u64::MAX)?);
                }
                let findings = input.checks.iter().filter(|check| !check.rows.is_empty()).count();
                clock.note("check", format!("{} checks, {findings} with findings", plan.checks.len()));
            }
        }
        let scored = score::score(lake, &self.model()?, None, session, now)?;
        let said = if scored.model.is_empty() {
            "no model".to_owned()
        } else {
            format!("{} signals of {}", scored.signals, scored.model)
        };
        clock.note("score", said);
        let tasks = InProcess { location: request.lake, records, ended: Mutex::default() };
        for strategy in &plan.strategies {
            let wanted = Wanted::Strategy(strategy);
            // A task of an earlier process is not ours to follow: it is found again by what it wrote down.
            let launched = launch::launch(lake, &tasks, *records, &wanted, session, now)?;
            if !launched.done {
                let text =
                    format!("strategy {strategy} is being run by another process; start again when it has ended");
                return Err(Trouble::new(What::TaskFailed, text));
            }
            clock.note("trade", format!("{strategy}: attempt {}", launched.attempt));
        }
        let ports = watch::Ports { records: *records, figures: self.figures, notices: self.notices };
        let watched = watch::watch(lake, ports, watch::Which::Session(session), now)?;
        clock.note("watch", format!("{} breaches", watched.breaches.len()));
        input.watch = Some(watched);
        let reported = report::report(lake, request.lake, *records, self.notices, session, &input, now)?;
        clock.note("report", format!("{} tear sheets", reported.reports.len()));
        Ok(reported)
    }

    fn model(&self) -> Outcome<String> {
        if let Some(name) = self.request.model {
            return Ok(name.to_owned());
        }
        let promoted = self.lake.read("models/forecast/promoted").context("the models");
        let promoted = promoted.map_err(Trouble::of(What::ModelFailed))?;
        Ok(promoted.map_or_else(String::new, |_| "forecast".to_owned()))
    }
}
