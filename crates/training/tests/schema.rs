//! The published JSON Schemas are the ones the program goes by.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use algotrading::layers;
use training::forecast::config::ForecastConfig;
use training::policy::config::PolicyConfig;

/// `UPDATE=1 cargo test -p training --test schema` writes them anew.
#[test]
fn the_schemas_in_docs_are_the_programs() {
    let schemas = [("forecast", layers::schema::<ForecastConfig>()), ("policy", layers::schema::<PolicyConfig>())];
    for (name, schema) in schemas {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/{name}.schema.json"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
        }
        // As values: in a build of the whole workspace's tests somebody has maps keep their order.
        let published: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(published == schema, "docs/{name}.schema.json is old; UPDATE=1 cargo test -p training --test schema");
    }
}
