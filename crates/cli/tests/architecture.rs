//! The direction of dependencies, compared with what cargo sees.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Who may depend on whom. A new arrow is a decision: write it down in docs/adr/ and add it here.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("lake", &["domain"]),
    ("models", &["domain"]),
    ("strategies", &["domain", "models"]),
    ("onnx", &["models"]),
    ("engine", &["domain"]),
    ("simulator", &["domain", "engine"]),
    ("journal", &["domain", "engine"]),
    ("report", &["domain"]),
    ("trading", &["domain", "engine", "journal", "simulator"]),
    ("brokers", &["domain", "engine", "journal", "trading"]),
    ("ports", &[]),
    ("queries", &[]),
    ("aws", &["ports"]),
    ("algotrading-sql", &["lake", "queries"]),
    (
        "algotrading",
        &[
            "brokers",
            "domain",
            "engine",
            "journal",
            "lake",
            "models",
            "onnx",
            "ports",
            "queries",
            "report",
            "simulator",
            "strategies",
            "trading",
        ],
    ),
    ("services", &["algotrading", "domain", "engine", "journal", "lake", "ports", "trading"]),
    ("kit", &["algotrading", "aws", "domain", "lake", "ports", "services"]),
    // What a person does about the programs that are always on; beside the main program, which knows no AWS.
    ("algotrading-aws", &["algotrading", "aws", "domain", "kit", "ports", "services"]),
    ("offline-aws", &["algotrading", "algotrading-sql", "lake", "models"]),
    // The trainer is to `algotrading train` what a subcommand is to cargo: it reads the same run files and lakes.
    ("training", &["domain", "engine", "lake", "models", "report", "simulator", "strategies", "algotrading"]),
    ("container", &["algotrading", "domain", "lake", "models", "training"]),
    ("benches", &["domain", "engine", "models", "simulator", "strategies", "training"]),
];

/// Functions and containers: a step of the day between an event and an answer, or a program that is always on.
const WIRING: &[&str] = &[
    "plan-session",
    "export-assets",
    "ingest-bars",
    "crawl-catalog",
    "run-query",
    "score-signals",
    "launch-strategy",
    "watch-pnl",
    "report-run",
    "strategy-runner",
    "ingest-task",
    "market-data-adapter",
    "broker-adapter",
    "guardian",
];
/// What those may depend on.
const WIRED: &[&str] = &["algotrading", "brokers", "domain", "kit", "ports", "services", "trading"];

/// Crates that may not know of clocks, networks or threads of a runtime.
const PURE: &[&str] =
    &["domain", "engine", "simulator", "models", "strategies", "journal", "report", "ports", "queries", "trading"];
/// What they may not name.
const IMPURE: &[&str] = &["tokio", "reqwest", "hyper", "rand", "chrono", "object_store"];

fn members() -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let done = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let metadata: Value = serde_json::from_slice(&done.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|one| one["kind"].is_null());
            let pairs = normal.map(|one| (text(&one["name"]), one["path"].as_str().map(str::to_owned)));
            (text(&package["name"]), pairs.collect())
        })
        .collect()
}

#[test]
fn every_arrow_between_crates_is_a_known_one() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (member, dependencies) in members() {
        let wiring = WIRING.contains(&member.as_str()).then_some(WIRED);
        let Some(allowed) = arrows.get(member.as_str()).copied().or(wiring) else {
            panic!("`{member}` is new: say in ARROWS and docs/architecture.md what it may depend on");
        };
        for (name, path) in dependencies {
            assert!(
                path.is_none() || allowed.contains(&name.as_str()),
                "`{member}` depends on `{name}`, which the design does not have: move what it needs to a crate both \
                 may see, or record the new arrow in docs/adr/ and ARROWS"
            );
        }
    }
}

#[test]
fn pure_crates_name_no_clock_network_or_runtime() {
    let members = members();
    for member in PURE {
        let dependencies = &members[*member];
        let wrong = dependencies.iter().find(|(name, _)| IMPURE.contains(&name.as_str()) || name.starts_with("aws-"));
        assert!(
            wrong.is_none(),
            "`{member}` names `{}`: take the value as an argument, or do the work in `lake`, `cli` or an adapter",
            wrong.unwrap().0
        );
    }
}

#[test]
fn the_main_job_does_not_pull_in_the_trainer() {
    for (member, dependencies) in members() {
        if ["algotrading", "lake", "models", "strategies", "report"].contains(&member.as_str()) {
            assert!(
                !dependencies.iter().any(|(name, _)| name == "training"),
                "`{member}` pulls in the trainer: what a model is at rest belongs to `models`"
            );
        }
    }
}

#[test]
fn the_main_job_does_not_pull_in_the_sql_engine() {
    for (member, dependencies) in members() {
        if !["algotrading-sql", "offline-aws"].contains(&member.as_str()) {
            assert!(
                !dependencies.iter().any(|(name, _)| name == "datafusion" || name == "algotrading-sql"),
                "`{member}` pulls in the SQL engine, which takes many minutes to compile: run the binary instead"
            );
        }
    }
}

#[test]
fn only_the_adapters_and_the_offline_services_name_an_aws_crate() {
    for (member, dependencies) in members() {
        let named = dependencies.iter().find(|(name, _)| name.starts_with("aws-"));
        assert!(
            ["aws", "offline-aws"].contains(&member.as_str()) || named.is_none(),
            "`{member}` names `{}`: call the port, and let `aws` adapt the service to it",
            named.unwrap().0
        );
    }
}
