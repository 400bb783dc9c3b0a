//! The published JSON Schema is the one the program goes by.
#![allow(clippy::unwrap_used)]

use std::path::Path;

/// `UPDATE=1 cargo test -p algotrading --test schema` writes it anew.
#[test]
fn the_schema_in_docs_is_the_programs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/run.schema.json");
    let now = algotrading::config::schema();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    // As values: in a build of the whole workspace's tests somebody has maps keep their order.
    let published: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(published == now, "docs/run.schema.json is old; UPDATE=1 cargo test -p algotrading --test schema");
}
