//! The published JSON Schema is the one the program goes by.
#![allow(clippy::unwrap_used)]

use std::path::Path;

/// `UPDATE=1 cargo test -p algotrading --test schema` writes it anew.
#[test]
fn the_schema_in_docs_is_the_programs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/run.schema.json");
    let now = serde_json::to_string_pretty(&algotrading::config::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert!(published == now, "docs/run.schema.json is old; UPDATE=1 cargo test -p algotrading --test schema");
}
