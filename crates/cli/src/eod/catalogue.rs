//! The crawl, and the catalogue held against the declared tables: a crawler that changed a type is an alert, not a
//! surprise in somebody's query.

use domain::Timestamp;
use ports::catalog::{Catalog, Table};
use ports::records::{Key, Records};
use serde::{Deserialize, Serialize};

use super::{Outcome, Trouble, What, body, put};

/// After how many seconds a crawl is given up, unless said.
pub const CRAWL_SECONDS_MAX: u64 = 1_800;

/// What the step is set up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the crawler; none where nothing crawls.
    pub crawler: Option<String>,
    /// Name of the database.
    pub database: String,
    /// After how many seconds a crawl is given up.
    pub seconds_max: u64,
}

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawled {
    /// Whether the crawl has ended and the catalogue is as declared.
    pub done: bool,
    /// The tables that were looked at.
    pub tables: Vec<String>,
}

/// The record of a crawl.
#[derive(Debug, Serialize, Deserialize)]
struct CrawlRecord {
    since: Timestamp,
    /// When the crawl before this one began, as the service says.
    before: Option<String>,
}

/// Starts the crawler once for a run, and looks at the catalogue when it has ended.
///
/// # Errors
/// The crawl failed or does not end, or a table is not as declared.
pub fn crawl(
    catalog: &dyn Catalog,
    records: &dyn Records,
    settings: &Settings,
    run: &str,
    now: Timestamp,
) -> Outcome<Crawled> {
    if let Some(crawler) = &settings.crawler
        && !ended(catalog, records, (crawler, settings.seconds_max), run, now)?
    {
        return Ok(Crawled::default());
    }
    let mut tables = Vec::new();
    let mut drift = Vec::new();
    for table in queries::tables() {
        match catalog.table(&settings.database, table)? {
            None => drift.push(format!("{table} is missing")),
            Some(found) => drift.extend(differences(table, &found)),
        }
        tables.push((*table).to_owned());
    }
    if !drift.is_empty() {
        let text = format!(
            "the catalogue {} is not as declared: {}; correct the tables, and look at what the crawler may change",
            settings.database,
            drift.join("; ")
        );
        return Err(Trouble::new(What::CatalogDrift, text));
    }
    Ok(Crawled { done: true, tables })
}

fn ended(
    catalog: &dyn Catalog,
    records: &dyn Records,
    (crawler, seconds_max): (&str, u64),
    run: &str,
    now: Timestamp,
) -> Outcome<bool> {
    let key = Key::new("crawl", run);
    let stands = catalog.crawler(crawler)?;
    let last = stands.last.as_ref().map(|(began, _)| began.clone());
    let Some(record) = records.get(&key)? else {
        // A crawl that is at work began before the new files were there, perhaps; wait for it, then start our own.
        if !stands.running && put(records, &key, &CrawlRecord { since: now, before: last }, 0)? {
            catalog.crawl(crawler)?;
        }
        return Ok(false);
    };
    let record: CrawlRecord = body(&key, &record)?;
    let began = last != record.before;
    if stands.running || !began {
        let seconds = (now.nanos() - record.since.nanos()) / 1_000_000_000;
        if seconds > seconds_max as i64 {
            let text = format!("the crawler {crawler} has not ended within {seconds_max} seconds");
            return Err(Trouble::new(What::CrawlFailed, text));
        }
        if !stands.running {
            // Whoever wrote the record may have died before the crawler was started; starting it twice does no harm.
            catalog.crawl(crawler)?;
        }
        return Ok(false);
    }
    match stands.last {
        Some((_, Some(reason))) => {
            Err(Trouble::new(What::CrawlFailed, format!("the crawler {crawler} failed: {reason}")))
        }
        _ => Ok(true),
    }
}

/// What a table has other than declared.
fn differences(table: &str, found: &Table) -> Vec<String> {
    let declared = queries::columns(table);
    let keys = queries::partition_keys(table);
    let mut found_differences = Vec::new();
    for (what, declared, found) in
        [("column", declared, &found.columns), ("partition key", keys, &found.partition_keys)]
    {
        for (name, of) in declared {
            match found.iter().find(|(other, _)| other == name) {
                None => found_differences.push(format!("{table} has no {what} {name}")),
                Some((_, other)) if other != of => {
                    found_differences.push(format!("{table}.{name} is {other} and was declared {of}"));
                }
                Some(_) => {}
            }
        }
        for (name, of) in found {
            if !declared.iter().any(|(other, _)| other == name) {
                found_differences.push(format!("{table} has the {what} {name} ({of}), which was not declared"));
            }
        }
    }
    found_differences
}
