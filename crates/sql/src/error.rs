//! What can go wrong, each as one sentence an analyst can act on.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// A refused or failed query, or a lake that cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SqlError {
    /// The location is no lake.
    #[error(transparent)]
    Location(#[from] lake::location::LocationError),
    /// Nothing was imported yet.
    #[error(
        "the lake `{location}` holds no data yet: import some first with `algotrading data import FILE... --lake {location}`"
    )]
    Empty {
        /// The lake.
        location: String,
    },
    /// Listing the lake failed.
    #[error("cannot read the lake `{location}`: {reason}")]
    Unreadable {
        /// The lake.
        location: String,
        /// What the store answered.
        reason: String,
    },
    /// A file of the lake is not a whole Parquet file.
    #[error("`{file}` is not a readable Parquet file ({reason}): remove it and import its data again")]
    CorruptFile {
        /// The file, with the lake's location in front.
        file: String,
        /// What the reader said.
        reason: String,
    },
    /// A statement that would change something.
    #[error(
        "`{statement}` is refused: the lake is read-only here, so only SELECT, WITH, VALUES, EXPLAIN, SHOW and DESCRIBE run"
    )]
    ReadOnly {
        /// The statement's first word or words.
        statement: String,
    },
    /// No query, or more than one.
    #[error("give exactly one SQL statement, found {found}")]
    StatementCount {
        /// How many there were.
        found: usize,
    },
    /// The query is longer than any a person writes.
    #[error("the query has {bytes} bytes, more than the {limit} that are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A table that does not exist.
    #[error("no table `{name}`{nearest}; known tables: {known}")]
    UnknownTable {
        /// The name as written.
        name: String,
        /// `, did you mean ...?` or nothing.
        nearest: String,
        /// All names.
        known: String,
    },
    /// A column that does not exist.
    #[error("no column `{name}`{nearest}; known columns: {known}")]
    UnknownColumn {
        /// The name as written.
        name: String,
        /// `, did you mean ...?` or nothing.
        nearest: String,
        /// All names in scope.
        known: String,
    },
    /// A function that does not exist.
    #[error("no function `{name}`{nearest}; docs/sql.md lists what is supported")]
    UnknownFunction {
        /// The name as written.
        name: String,
        /// `, did you mean ...?` or nothing.
        nearest: String,
    },
    /// A column name that several tables of the query have.
    #[error("column `{name}` is in more than one table of the query: write table.{name}")]
    AmbiguousColumn {
        /// The name as written.
        name: String,
    },
    /// The query holds more at a time than it may.
    #[error(
        "the query needs more memory than it may use: raise --memory-mib, or read fewer columns, symbols or days at a time"
    )]
    Memory,
    /// Any other complaint of the SQL engine, on one line.
    #[error("{0}")]
    Query(String),
}

impl SqlError {
    /// The engine's error as one sentence.
    pub fn from_engine(error: &DataFusionError) -> Self {
        for cause in error.iter().flat_map(chain) {
            if let DataFusionError::ResourcesExhausted(_) = cause {
                return Self::Memory;
            }
            if let DataFusionError::SchemaError(schema, _) = cause {
                match schema.as_ref() {
                    SchemaError::FieldNotFound { field, valid_fields } => {
                        let mut known: Vec<&str> = valid_fields.iter().map(|column| column.name()).collect();
                        known.sort_unstable();
                        known.dedup();
                        return Self::UnknownColumn {
                            name: field.flat_name(),
                            nearest: did_you_mean(field.name(), known.iter().copied()),
                            known: known.join(", "),
                        };
                    }
                    SchemaError::AmbiguousReference { field } => {
                        return Self::AmbiguousColumn { name: field.name().to_owned() };
                    }
                    _ => {}
                }
            }
        }
        Self::Query(one_line(&error.strip_backtrace()))
    }
}

/// An error with its wrapped causes, outermost first.
fn chain(error: &DataFusionError) -> Vec<&DataFusionError> {
    let mut causes = vec![error];
    let mut next = error;
    while let DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) = next {
        causes.push(inner);
        next = inner;
    }
    causes.push(error.find_root());
    causes
}

/// `, did you mean `x`?` for the nearest of some names, or nothing when none is near.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let wanted = name.to_lowercase();
    known
        .map(|candidate| (strsim::jaro_winkler(&wanted, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.75)
        .map(|(_, candidate)| format!(", did you mean `{candidate}`?"))
        .unwrap_or_default()
}

/// Folds a message of the engine to one line and drops its layers' prefixes and advice about itself.
pub(crate) fn one_line(message: &str) -> String {
    const PREFIXES: [&str; 13] = [
        "Internal error: ",
        "Error during planning: ",
        "Execution error: ",
        "External error: ",
        "Arrow error: ",
        "Optimizer rule '",
        "type_coercion",
        "caused by",
        "Schema error: ",
        "Parser error: ",
        "Cast error: ",
        "Compute error: ",
        "Invalid argument error: ",
    ];
    let mut text = message
        .split("\n\nbacktrace:")
        .next()
        .unwrap_or_default()
        .split("This issue was likely caused by a bug in DataFusion's code")
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    loop {
        let before = text.len();
        for prefix in PREFIXES {
            if let Some(rest) = text.strip_prefix(prefix) {
                text = rest.trim_start().to_owned();
            }
        }
        if text.len() == before {
            break;
        }
    }
    text = text.replace("Error during planning: ", "");
    // `SQL error: ParserError("…")` is Rust's Debug text; the sentence is inside the quotes.
    if let Some(rest) = text.strip_prefix("SQL error: ") {
        let inner = rest
            .find("(\"")
            .and_then(|start| rest.rfind("\")").map(|end| (start + 2, end)))
            .filter(|(start, end)| start <= end)
            .map_or(rest, |(start, end)| &rest[start..end]);
        text = format!("SQL syntax: {}", inner.replace("\\\"", "\"").replace("\\'", "'"));
    }
    trino_names(&text)
}

/// The engine's type names as an analyst of Trino knows them.
fn trino_names(text: &str) -> String {
    const NAMES: [(&str, &str); 10] = [
        ("Utf8View", "varchar"),
        ("LargeUtf8", "varchar"),
        ("Utf8", "varchar"),
        ("Int64", "bigint"),
        ("Int32", "integer"),
        ("Float64", "double"),
        ("Float32", "real"),
        ("Decimal128", "decimal"),
        ("Boolean", "boolean"),
        ("Date32", "date"),
    ];
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        match NAMES.iter().find(|(arrow, _)| *arrow == word) {
            Some((arrow, trino)) => {
                out.push_str(trino);
                out.push_str(&piece[arrow.len()..]);
            }
            None => out.push_str(piece),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_folded_to_one_line_without_the_engines_layers() {
        assert_eq!(
            one_line("Error during planning: Invalid function 'foo'.\nDid you mean 'floor'?"),
            "Invalid function 'foo'. Did you mean 'floor'?"
        );
        assert_eq!(
            one_line("SQL error: ParserError(\"Expected: an expression, found: \\\"x\\\" at Line: 1\")"),
            "SQL syntax: Expected: an expression, found: \"x\" at Line: 1"
        );
    }

    #[test]
    fn types_have_the_names_an_analyst_knows() {
        assert_eq!(
            one_line("Cannot coerce Utf8 + Int64, MyUtf8 é(Float64)"),
            "Cannot coerce varchar + bigint, MyUtf8 é(double)"
        );
    }

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_is_not() {
        let known = ["close", "open", "sym"];
        assert_eq!(did_you_mean("clsoe", known.into_iter()), ", did you mean `close`?");
        assert_eq!(did_you_mean("zzzz", known.into_iter()), "");
    }
}
