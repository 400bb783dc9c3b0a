//! The end of the day: tear sheets into the lake, a summary to people, the day finished or failed.

use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{SessionDate, Timestamp};
use lake::Lake;
use ports::notices::Notices;
use ports::records::{Key, Records};
use serde::{Deserialize, Serialize};

use super::ingest::Ingested;
use super::plan::{self, DayRecord};
use super::query::{self, Answered};
use super::trade::{self, report_folder};
use super::watch::Watched;
use super::{Outcome, Trouble, What, put};
use crate::folder::{self, JOURNAL, MANIFEST, SHEET};
use crate::print::{amount, count, figure, percent};

/// What the step is given besides the session.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Input {
    /// Name of the execution.
    pub run: String,
    /// What was taken in.
    pub ingest: Option<Ingested>,
    /// What the checks found.
    pub checks: Vec<Answered>,
    /// What the watch found.
    pub watch: Option<Watched>,
    /// Why the day ended early, as the state machine says it.
    pub failure: Option<Failure>,
}

/// Why a state failed, in the state machine's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Failure {
    /// Of what kind.
    #[serde(rename = "Error", default)]
    pub error: String,
    /// The cause; of a function a JSON document with its words.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

impl Failure {
    /// In a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let inner = serde_json::from_str::<serde_json::Value>(&self.cause).ok();
        let said = inner.as_ref().and_then(|cause| cause.get("errorMessage")).and_then(|text| text.as_str());
        match (said.unwrap_or(&self.cause), self.error.as_str()) {
            ("", "") => "no cause was given".to_owned(),
            ("", error) => error.to_owned(),
            (said, "") => said.to_owned(),
            (said, error) => format!("{error}: {said}"),
        }
    }
}

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Always.
    pub done: bool,
    /// The tear sheets.
    pub reports: Vec<Report>,
}

/// A tear sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose.
    pub strategy: String,
    /// Where it lies; on AWS a page of the console that shows it to whoever may see it.
    pub url: String,
}

/// Ends a day.
///
/// # Errors
/// A run cannot be read, the lake not written, people not told.
pub fn report(
    lake: &Lake,
    location: &str,
    records: &dyn Records,
    notices: &dyn Notices,
    session: SessionDate,
    input: &Input,
    now: Timestamp,
) -> Outcome<Reported> {
    if let Some(failure) = &input.failure {
        return failed(records, notices, session, &input.run, &failure.words(), now);
    }
    let mut reports = Vec::new();
    let mut lines = Vec::new();
    for strategy in trade::strategies(lake)? {
        // Its run file came after the day had begun.
        if !trade::is_recorded(lake, &strategy, session)? {
            lines.push(format!("{strategy}: not run"));
            continue;
        }
        let made = sheet(lake, &strategy, session).with_context(|| format!("the report of {strategy}"));
        let line = made.map_err(Trouble::of(What::TaskFailed))?;
        let url = link(location, &format!("{}/{SHEET}", report_folder(&strategy, session)));
        lines.push(format!("{line}\n  {url}"));
        reports.push(Report { strategy, url });
    }
    let text = summary(session, input, &lines);
    let key = Key::new("notice", session.to_string());
    if records.get(&key)?.is_none() {
        let attention = !warnings(input).is_empty();
        let subject =
            format!("algotrading: end of day {session} {}", if attention { "needs a look" } else { "is done" });
        notices.publish(&subject, &text)?;
        // Told first and recorded then: rather twice than never.
        put(records, &key, &serde_json::json!({ "at": now }), 0)?;
    }
    let record = DayRecord { state: "finished".to_owned(), run: input.run.clone(), at: now, reason: String::new() };
    plan::mark(records, session, &record)?;
    Ok(Reported { done: true, reports })
}

fn failed(
    records: &dyn Records,
    notices: &dyn Notices,
    session: SessionDate,
    run: &str,
    reason: &str,
    now: Timestamp,
) -> Outcome<Reported> {
    let subject = format!("algotrading: end of day {session} FAILED");
    let text = format!(
        "The end of day of {session} failed.\n\n{reason}\n\nNothing that was done is lost or done twice when it is \
         started again for the same session.\nExecution: {run}\n"
    );
    notices.publish(&subject, &text)?;
    let record = DayRecord { state: "failed".to_owned(), run: run.to_owned(), at: now, reason: reason.to_owned() };
    plan::mark(records, session, &record)?;
    Ok(Reported { done: true, reports: Vec::new() })
}

/// Makes the tear sheet and the tables of a strategy's run, and says in a line what it came to.
fn sheet(lake: &Lake, strategy: &str, session: SessionDate) -> Result<String> {
    let place = report_folder(strategy, session);
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let run = scratch.path().join("run");
    std::fs::create_dir(&run).context("cannot make a temporary folder")?;
    for name in [MANIFEST, JOURNAL] {
        let Some(bytes) = lake.read(&format!("{place}/{name}"))? else {
            bail!("the lake has no `{place}/{name}`; was the strategy run?")
        };
        std::fs::write(run.join(name), &bytes).context("cannot write a temporary file")?;
    }
    let finished = folder::again(&run)?;
    let there = lake.list(&place)?;
    let mut files = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir(&run)?.collect::<Result<_, _>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let path = format!("{place}/{}", entry.file_name().to_string_lossy());
        if !there.contains(&path) {
            files.push((path, std::fs::read(entry.path())?));
        }
    }
    if !files.is_empty() {
        lake.write(&files)?;
    }
    let metric = |name| finished.metrics.number(name);
    let equity = finished.run.equity.last().map_or(0.0, |point| point.equity);
    Ok(format!(
        "{strategy} ({}): equity {}, Sharpe {}, max drawdown {}",
        finished.run.manifest.name,
        amount(equity),
        figure(metric("sharpe_ratio")),
        percent(metric("max_drawdown"))
    ))
}

fn warnings(input: &Input) -> Vec<String> {
    let mut all = Vec::new();
    for revision in input.ingest.iter().flat_map(|ingest| &ingest.revisions) {
        for refused in &revision.refused_assets {
            all.push(format!(
                "{} of revision {} was not taken in: {}",
                refused.asset, revision.revision, refused.reason
            ));
        }
        if revision.quarantined > 0 {
            all.push(format!("{} rows of revision {} are in quarantine", revision.quarantined, revision.revision));
        }
    }
    for check in input.checks.iter().filter(|check| !check.rows.is_empty()) {
        all.push(format!("check {}: {}", check.query, query::findings(check, 3)));
    }
    for breach in input.watch.iter().flat_map(|watch| &watch.breaches) {
        all.push(format!("{}: {} ({})", breach.strategy, breach.what, breach.action.replace('_', " ")));
    }
    all
}

fn summary(session: SessionDate, input: &Input, strategies: &[String]) -> String {
    let mut text = format!("End of day {session}\n\n");
    for revision in input.ingest.iter().flat_map(|ingest| &ingest.revisions) {
        text.push_str(&format!(
            "Data: revision {} of {}: {} rows read, {} stored, {} unchanged, {} in quarantine\n",
            revision.revision,
            revision.data_set,
            revision.read,
            revision.stored,
            revision.unchanged,
            revision.quarantined
        ));
    }
    let scanned: u64 = input.checks.iter().map(|check| check.scanned_bytes).sum();
    let scanned = if scanned > 0 { format!(", {} bytes scanned", count(scanned)) } else { String::new() };
    text.push_str(&format!("Checks: {} made{scanned}\n", input.checks.len()));
    for line in strategies {
        text.push_str(&format!("{line}\n"));
    }
    let warnings = warnings(input);
    if !warnings.is_empty() {
        text.push_str("\nNeeds a look:\n");
        for warning in warnings {
            text.push_str(&format!("- {warning}\n"));
        }
    }
    text
}

/// Where a person finds a file of the lake.
fn link(location: &str, path: &str) -> String {
    match lake::location::parse(location) {
        Ok(lake::location::Address::S3 { bucket, prefix }) => {
            let key = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
            format!("https://console.aws.amazon.com/s3/object/{bucket}?prefix={key}")
        }
        _ => Path::new(location).join(path).display().to_string(),
    }
}
