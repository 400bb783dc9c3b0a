//! Queries, checks and the catalogue.

use std::sync::Mutex;

use algotrading::eod::What;
use algotrading::eod::catalogue::{Settings, crawl};
use algotrading::eod::query::query;
use ports::Answer;
use ports::catalog::{Catalog, Crawler, Table};
use ports::queries::{Queries, QueryState, Rows};

use crate::support::{Place, at, date};

/// An engine that answers with what it was given.
#[derive(Default)]
struct Engine {
    started: Mutex<Vec<(String, Vec<String>, String)>>,
    state: Option<QueryState>,
    rows: Rows,
}

impl Queries for Engine {
    fn start(&self, sql: &str, parameters: &[String], token: &str) -> Answer<String> {
        self.started.lock().unwrap().push((sql.into(), parameters.into(), token.into()));
        Ok(token.into())
    }

    fn state(&self, _query: &str) -> Answer<QueryState> {
        Ok(self.state.clone().unwrap_or(QueryState::Succeeded { scanned_bytes: 7, engine_ms: 3 }))
    }

    fn rows(&self, _query: &str, most: usize) -> Answer<Rows> {
        assert!(most < 1_000);
        Ok(self.rows.clone())
    }

    fn stop(&self, _query: &str) -> Answer<()> {
        Ok(())
    }
}

fn findings() -> Rows {
    let row = vec![Some("IBM".to_owned()), None];
    Rows { columns: vec!["sym".into(), "dt".into()], rows: vec![row], more: false }
}

#[test]
fn a_run_asks_a_query_under_one_token_with_the_session_for_every_parameter() {
    let engine = Engine::default();
    for run in ["a", "a", "b"] {
        let answer = query(&engine, "no_bars", date("2013-03-01"), run, 100).unwrap();
        assert_eq!((answer.done, answer.scanned_bytes, answer.engine_ms), (true, 7, 3));
    }
    let started = engine.started.lock().unwrap();
    let shipped = queries::find("no_bars").unwrap();
    assert_eq!(started[0].0, shipped.text);
    assert!(shipped.parameters > 0);
    assert_eq!(started[0].1, vec!["'2013-03-01'".to_owned(); shipped.parameters]);
    assert_eq!(started[0].2, started[1].2);
    assert_ne!(started[0].2, started[2].2);
}

#[test]
fn a_query_at_work_is_not_done_and_one_that_fails_says_why() {
    let running = Engine { state: Some(QueryState::Running), ..Engine::default() };
    assert!(!query(&running, "no_bars", date("2013-03-01"), "a", 100).unwrap().done);
    let failed = Engine { state: Some(QueryState::Failed("HIVE_BAD_DATA".into())), ..Engine::default() };
    let failed = query(&failed, "no_bars", date("2013-03-01"), "a", 100).unwrap_err();
    assert_eq!((failed.what, failed.text.as_str()), (What::QueryFailed, "the query no_bars failed: HIVE_BAD_DATA"));
    let greedy = query(&Engine::default(), "no_bars", date("2013-03-01"), "a", 6).unwrap_err();
    assert!(greedy.text.contains("it read 7 bytes, and 6 are allowed"), "{greedy}");
    let unknown = query(&Engine::default(), "no_bras", date("2013-03-01"), "a", 6).unwrap_err();
    assert!(unknown.what == What::BadInput && unknown.text.contains("no_bars"), "{unknown}");
}

#[test]
fn findings_of_a_check_stop_the_day_or_warn_as_the_check_says() {
    let engine = Engine { rows: findings(), ..Engine::default() };
    let stopped = query(&engine, "no_bars", date("2013-03-01"), "a", 100).unwrap_err();
    assert_eq!(stopped.what, What::DataQuality);
    assert_eq!(stopped.text, "the check no_bars stops the day of 2013-03-01: sym IBM, dt nothing");
    let warned = query(&engine, "missing_symbols", date("2013-03-01"), "a", 100).unwrap();
    assert_eq!((warned.severity.as_str(), warned.rows.len()), ("warn", 1));
}

#[test]
fn an_answer_stays_small_enough_for_a_state_machine() {
    let long = vec![Some("ü".repeat(100_000)); 8];
    let rows = Rows { columns: vec!["c".into(); 8], rows: vec![long; 20], more: true };
    let engine = Engine { rows, ..Engine::default() };
    let answer = query(&engine, "missing_symbols", date("2013-03-01"), "a", 100).unwrap();
    let bytes = serde_json::to_vec(&answer).unwrap().len();
    // Ten checks at once.
    assert!(bytes * 10 < 256 << 10, "{bytes}");
    assert!(answer.rows[0][0].as_ref().unwrap().ends_with("ü…"));
}

/// A catalogue as declared, with one table changed.
struct Declared {
    changed: Option<(&'static str, Option<Table>)>,
    crawler: Mutex<Crawler>,
    crawls: Mutex<u32>,
}

fn declared(table: &str) -> Table {
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Table {
        columns: owned(queries::columns(table)),
        partition_keys: owned(queries::partition_keys(table)),
        location: String::new(),
    }
}

impl Catalog for Declared {
    fn crawl(&self, _crawler: &str) -> Answer<()> {
        *self.crawls.lock().unwrap() += 1;
        Ok(())
    }

    fn crawler(&self, _crawler: &str) -> Answer<Crawler> {
        Ok(self.crawler.lock().unwrap().clone())
    }

    fn table(&self, _database: &str, table: &str) -> Answer<Option<Table>> {
        match &self.changed {
            Some((name, changed)) if *name == table => Ok(changed.clone()),
            _ => Ok(Some(declared(table))),
        }
    }
}

fn catalogue(changed: Option<(&'static str, Option<Table>)>) -> Declared {
    Declared { changed, crawler: Mutex::new(Crawler { running: false, last: None }), crawls: Mutex::new(0) }
}

fn settings(crawler: Option<&str>) -> Settings {
    Settings { crawler: crawler.map(str::to_owned), database: "algo_data".into(), seconds_max: 1_800 }
}

#[test]
fn a_table_that_is_not_as_declared_is_told_column_by_column() {
    let place = Place::new();
    let drift = |table: Option<Table>| {
        let catalogue = catalogue(Some(("equity", table)));
        crawl(&catalogue, &place.records(), &settings(None), "a", at("2013-03-02T00:00:00Z")).unwrap_err()
    };
    let missing = drift(None);
    assert_eq!(missing.what, What::CatalogDrift);
    assert!(missing.text.contains("equity is missing"), "{missing}");
    let mut other = declared("equity");
    other.columns[2].1 = "string".into();
    let lost = other.columns.pop().unwrap().0;
    other.columns.push(("new".into(), "int".into()));
    let changed = drift(Some(other)).text;
    for part in
        ["equity.cash is string and was declared", &format!("equity has no column {lost}"), "the column new (int)"]
    {
        assert!(changed.contains(part), "{changed}");
    }
}

#[test]
fn a_crawl_is_started_once_for_a_run_and_waited_for() {
    let place = Place::new();
    let catalogue = catalogue(None);
    let state = |running, last: Option<(&str, Option<&str>)>| {
        let last = last.map(|(began, reason)| (began.to_owned(), reason.map(str::to_owned)));
        *catalogue.crawler.lock().unwrap() = Crawler { running, last };
    };
    let step = |now: &str, run: &str| crawl(&catalogue, &place.records(), &settings(Some("c")), run, at(now));
    // Somebody else's crawl is waited for first.
    state(true, Some(("09:00", None)));
    assert!(!step("2013-03-02T00:00:00Z", "a").unwrap().done);
    assert_eq!(*catalogue.crawls.lock().unwrap(), 0);
    state(false, Some(("09:00", None)));
    assert!(!step("2013-03-02T00:00:01Z", "a").unwrap().done);
    assert_eq!(*catalogue.crawls.lock().unwrap(), 1);
    state(true, Some(("09:00", None)));
    assert!(!step("2013-03-02T00:00:02Z", "a").unwrap().done);
    state(false, Some(("10:00", None)));
    let done = step("2013-03-02T00:00:03Z", "a").unwrap();
    assert!(done.done && done.tables.contains(&"bars_daily".to_owned()));
    assert_eq!(*catalogue.crawls.lock().unwrap(), 1);

    assert!(!step("2013-03-02T00:00:04Z", "b").unwrap().done);
    state(false, Some(("11:00", Some("access denied to the bucket"))));
    let failed = step("2013-03-02T00:00:05Z", "b").unwrap_err();
    assert_eq!(
        (failed.what, failed.text.as_str()),
        (What::CrawlFailed, "the crawler c failed: access denied to the bucket")
    );

    assert!(!step("2013-03-02T00:00:06Z", "c").unwrap().done);
    state(true, Some(("11:00", None)));
    let failed = step("2013-03-02T00:40:00Z", "c").unwrap_err();
    assert_eq!(failed.text, "the crawler c has not ended within 1800 seconds");
}
