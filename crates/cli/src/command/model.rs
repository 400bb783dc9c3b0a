//! `algotrading model`

use std::collections::BTreeSet;

use anyhow::Result;
use lake::Lake;
use models::registry::{Entry, Registry};

use crate::args::{Model, ModelCompare, ModelShow};
use crate::print::{Reply, table};
use crate::shelf::Shelf;

pub(super) fn run(args: &Model) -> Result<Reply> {
    match args {
        Model::List(args) => {
            let entries = Registry(&Shelf(&Lake::open(&args.lake.lake)?)).list()?;
            if args.json { Reply::json(&entries) } else { Ok(Reply::ok(list(&entries))) }
        }
        Model::Show(args) => {
            let entry = find(args)?;
            if args.json { Reply::json(&entry) } else { Ok(Reply::ok(show(&entry))) }
        }
        Model::Promote(args) => {
            let entry = Registry(&Shelf(&Lake::open(&args.lake.lake)?)).promote(&args.model)?;
            if args.json {
                return Reply::json(&entry);
            }
            Ok(Reply::ok(format!("strategies with model = \"{}\" now load {}\n", entry.name, reference(&entry))))
        }
        Model::Compare(args) => compare(args),
        Model::Import(args) => super::import_model::run(args),
    }
}

fn find(args: &ModelShow) -> Result<Entry> {
    Ok(Registry(&Shelf(&Lake::open(&args.lake.lake)?)).find(&args.model)?)
}

fn reference(entry: &Entry) -> String {
    format!("{}@{}", entry.name, entry.version)
}

fn list(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no models; train one with `algotrading train forecast TRAIN.toml`\n".to_owned();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            vec![
                reference(entry),
                if entry.promoted { "promoted" } else { "" }.to_owned(),
                entry.card.architecture.name().to_owned(),
                entry.card.span(),
                judged(entry),
            ]
        })
        .collect();
    table(&["model", "", "kind", "trained on", "on sessions it had not seen"], &rows, 5)
}

/// How a model did, in a few words.
fn judged(entry: &Entry) -> String {
    let metric = |name: &str| entry.card.metrics.get(name).copied();
    let loss = |answer: &str| {
        let of = |who: &str| metric(&format!("test.{answer}.{who}.log_loss"));
        Some(format!("log loss {answer} {:.4} (base rate {:.4})", of("model")?, of("base_rate")?))
    };
    let gains = || {
        let of = |who: &str| metric(&format!("test.{who}.gain")).map(|gain| gain * 100.0);
        let (policy, hold, random) = (of("policy")?, of("hold")?, of("random")?);
        Some(format!("gain {policy:+.2} % (buy and hold {hold:+.2} %, random {random:+.2} %)"))
    };
    let said: Vec<String> = [loss("long"), loss("short"), gains()].into_iter().flatten().collect();
    said.join(", ")
}

fn show(entry: &Entry) -> String {
    let card = &entry.card;
    let symbols = card.trained_on.iter().flat_map(|seen| &seen.symbols).map(domain::Symbol::as_str);
    let symbols: Vec<&str> = symbols.collect();
    let mut text = format!(
        "{}{}\n{}; features {}; seed {}\ntrained on {}: {}\nweights {} ({})\n\n",
        reference(entry),
        if entry.promoted { ", promoted" } else { "" },
        card.architecture.name(),
        &card.features_fingerprint[..16],
        card.seed,
        if symbols.is_empty() { "data of somebody else".to_owned() } else { symbols.join(", ") },
        card.span(),
        card.weights.file,
        &card.weights.sha256[..16],
    );
    let rows: Vec<Vec<String>> =
        card.metrics.iter().map(|(name, value)| vec![name.clone(), format!("{value:.6}")]).collect();
    text.push_str(&table(&["figure", "value"], &rows, 1));
    text
}

fn compare(args: &ModelCompare) -> Result<Reply> {
    let lake = Lake::open(&args.lake.lake)?;
    let shelf = Shelf(&lake);
    let registry = Registry(&shelf);
    let (one, other) = (registry.find(&args.one)?, registry.find(&args.other)?);
    if args.json {
        return Reply::json(&[&one, &other]);
    }
    let names: BTreeSet<&String> = one.card.metrics.keys().chain(other.card.metrics.keys()).collect();
    let rows: Vec<Vec<String>> = names
        .into_iter()
        .map(|name| {
            let of = |entry: &Entry| entry.card.metrics.get(name).copied();
            let cell = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.6}"));
            let difference = of(&other).zip(of(&one)).map(|(other, one)| other - one);
            let signed = difference.map_or("–".to_owned(), |value| format!("{value:+.6}"));
            vec![name.clone(), cell(of(&one)), cell(of(&other)), signed]
        })
        .collect();
    let mut text = table(&["figure", &reference(&one), &reference(&other), "difference"], &rows, 1);
    let data = |entry: &Entry| entry.card.trained_on.as_ref().map(|seen| seen.sha256.clone());
    if data(&one) != data(&other) || one.card.metrics.get("test.rows") != other.card.metrics.get("test.rows") {
        text.push_str("they were trained or judged on other rows: their figures cannot be held against each other\n");
    }
    Ok(Reply::ok(text))
}
