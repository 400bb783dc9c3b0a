//! The published JSON Schema is the one the program goes by.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use algotrading::layers;
use training::config::ForecastConfig;

/// `UPDATE=1 cargo test -p training --test schema` writes it anew.
#[test]
fn the_schema_in_docs_is_the_programs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/forecast.schema.json");
    let now = serde_json::to_string_pretty(&layers::schema::<ForecastConfig>()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert!(published == now, "docs/forecast.schema.json is old; UPDATE=1 cargo test -p training --test schema");
}
