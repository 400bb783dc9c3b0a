//! The SQL that is shipped: tables, views, their as-of forms, checks of a session's data, and queries for analysts.
//!
//! The files lie in `sql/`, in what Athena's Trino and the embedded engine have in common, and are compiled in: the
//! functions ask them by name, the embedded engine plans its views from them, a deployment makes tables and views of
//! them. A file begins with a comment that says what it is. `{lake}` in a table stands for the lake's address; every `?`
//! of a check or analyst's query is the same session as text, every `?` of an as-of form the same moment.
//!
//! Invariant: what a table is declared as is said once, in its `CREATE EXTERNAL TABLE`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::sync::LazyLock;

/// What findings of a check do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The day ends: nobody trades on such data.
    Stop,
    /// People are told.
    Warn,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `CREATE EXTERNAL TABLE`.
    Table,
    /// The query of a view.
    View,
    /// A view as it was at a moment; a prepared statement.
    AsOf,
    /// A query whose rows are findings about a session.
    Check(Severity),
    /// A query for people.
    Analyst,
}

/// A shipped text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its name, that of the file.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The file.
    pub text: &'static str,
    /// How many `?` it has.
    pub parameters: usize,
}

impl Query {
    const fn new(name: &'static str, kind: Kind, text: &'static str) -> Self {
        let (bytes, mut at, mut parameters) = (text.as_bytes(), 0, 0);
        while at < bytes.len() {
            if bytes[at] == b'?' {
                parameters += 1;
            }
            at += 1;
        }
        Self { name, kind, text, parameters }
    }

    /// The first line of its comment.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        let line = self.text.lines().next().unwrap_or_default().trim_start_matches("-- ");
        line.strip_prefix(self.name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(line)
    }

    /// The text for a lake at an address without slash at its end.
    #[must_use]
    pub fn at(&self, lake: &str) -> String {
        self.text.replace("{lake}", lake)
    }
}

macro_rules! shipped {
    ($kind:expr, $folder:literal: $($name:literal)*) => {
        [$(Query::new($name, $kind, include_str!(concat!("../sql/", $folder, "/", $name, ".sql")))),*]
    };
}

/// The tables.
pub const TABLES: [Query; 8] = shipped!(Kind::Table, "tables":
    "bars_daily" "corporate_actions" "quarantine" "signals" "orders" "fills" "equity" "runs");

/// The views.
pub const VIEWS: [Query; 3] = shipped!(Kind::View, "views":
    "hist_data_daily" "hist_data_daily_split_adjusted" "hist_data_daily_adjusted");

/// Their as-of forms, in the same order.
pub const AS_OF: [Query; 3] = shipped!(Kind::AsOf, "as_of":
    "hist_data_daily_as_of" "hist_data_daily_split_adjusted_as_of" "hist_data_daily_adjusted_as_of");

const STOP: [Query; 3] = shipped!(Kind::Check(Severity::Stop), "checks":
    "no_bars" "duplicate_bars" "impossible_prices");

const WARN: [Query; 7] = shipped!(Kind::Check(Severity::Warn), "checks":
    "missing_symbols" "unexplained_jumps" "repeated_bars" "zero_volume" "late_bars" "corrected_bars" "quarantined_rows");

const ANALYST: [Query; 11] = shipped!(Kind::Analyst, "analyst":
    "reference_history" "reference_preview" "latest_bars" "monthly_returns" "volatility_20d" "moving_averages"
    "signals_and_returns" "equity_curves" "fills_of_session" "run_history" "quarantine_by_rule");

static ALL: LazyLock<Vec<Query>> = LazyLock::new(|| [&TABLES[..], &VIEWS, &AS_OF, &STOP, &WARN, &ANALYST].concat());

/// Everything that is shipped.
#[must_use]
pub fn all() -> &'static [Query] {
    &ALL
}

/// The text of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Query> {
    ALL.iter().find(|query| query.name == name)
}

/// Columns and partition keys of a table, name and type as Glue writes them.
struct Declared {
    table: &'static str,
    columns: Vec<(&'static str, &'static str)>,
    partition_keys: Vec<(&'static str, &'static str)>,
}

/// Names and types between the first `(` after a mark and the `)` that closes it; the names stand in backticks.
fn pairs(text: &'static str, after: &str) -> Vec<(&'static str, &'static str)> {
    let Some((_, rest)) = text.split_once(after) else { return Vec::new() };
    let mut found = Vec::new();
    for part in rest.split('`').collect::<Vec<_>>()[1..].chunks(2) {
        let [name, of] = *part else { break };
        let end = of.find([',', '\n']).map_or(of.len(), |end| match of.find('(') {
            // The comma of decimal(18,9).
            Some(open) if open < end => of.find(')').map_or(end, |close| close + 1),
            _ => end,
        });
        let of_type = of[..end].trim();
        let closes = of_type.matches(')').count() > of_type.matches('(').count();
        found.push((name, of_type.trim_end_matches(|c| closes && c == ')')));
        if closes || of[end..].trim_start().starts_with(')') {
            break;
        }
    }
    found
}

static DECLARED: LazyLock<Vec<Declared>> = LazyLock::new(|| {
    let declared = |query: &Query| Declared {
        table: query.name,
        columns: pairs(query.text, "algo_data."),
        partition_keys: pairs(query.text, "PARTITIONED BY"),
    };
    TABLES.iter().map(declared).collect()
});

static TABLE_NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| TABLES.iter().map(|query| query.name).collect());

/// Names of the declared tables.
#[must_use]
pub fn tables() -> &'static [&'static str] {
    &TABLE_NAMES
}

/// Columns of a declared table without its partition keys, name and type as Glue writes them; none of another.
#[must_use]
pub fn columns(table: &str) -> &'static [(&'static str, &'static str)] {
    DECLARED.iter().find(|one| one.table == table).map_or(&[], |one| &one.columns)
}

/// Partition keys of a declared table, name and type as Glue writes them.
#[must_use]
pub fn partition_keys(table: &str) -> &'static [(&'static str, &'static str)] {
    DECLARED.iter().find(|one| one.table == table).map_or(&[], |one| &one.partition_keys)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_in_the_catalogue_once_and_begins_with_what_it_is() {
        let mut files = BTreeSet::new();
        for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")).unwrap() {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                files.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
        let names: Vec<_> = all().iter().map(|query| query.name.to_owned()).collect();
        assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), files);
        assert_eq!(names.len(), files.len());
        for query in all() {
            assert!(query.text.starts_with("-- ") && !query.summary().is_empty(), "{}", query.name);
            let mut code = query.text.lines().filter(|line| !line.starts_with("--"));
            assert!(!code.any(|line| line.contains(';')), "{}: one statement, without semicolon", query.name);
            let comments = query.text.lines().filter(|line| line.starts_with("--"));
            assert!(!comments.into_iter().any(|line| line.contains('?')), "{}: a `?` that is no parameter", query.name);
        }
    }

    #[test]
    fn columns_are_read_from_the_declaration() {
        let bars = columns("bars_daily");
        assert_eq!((bars.len(), bars[0], bars[2]), (12, ("dt", "date"), ("open", "decimal(18,9)")));
        assert_eq!(bars[11], ("flags", "string"));
        assert_eq!(partition_keys("bars_daily"), [("year", "int")]);
        assert_eq!(columns("signals")[3], ("long", "double"));
        assert_eq!(columns("equity").last(), Some(&("run_id", "string")));
        for table in tables() {
            let text = find(table).unwrap().text;
            let lines = text.lines().filter(|line| line.starts_with("  `")).count();
            assert_eq!(columns(table).len(), lines, "{table}");
            assert!(columns(table).iter().all(|(_, of)| !of.is_empty() && !of.contains(['`', '\n'])), "{table}");
        }
        assert!(columns("nothing").is_empty());
    }

    #[test]
    fn the_lakes_address_takes_its_place_and_athenas_own_placeholder_stays() {
        let text = find("bars_daily").unwrap().at("s3://bucket/lake");
        assert!(text.contains("LOCATION 's3://bucket/lake/bars_daily/'") && text.contains("year=${year}/"));
        assert!(!text.contains("{lake}"));
    }
}
