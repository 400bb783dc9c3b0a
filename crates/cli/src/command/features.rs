//! `algotrading features`

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use lake::Lake;
use models::samples::samples;
use models::{FeatureSet, LabelRule};
use serde_json::{Value, json};

use crate::args::Features;
use crate::print::{Reply, table};
use crate::rows;

pub(super) fn run(args: &Features) -> Result<Reply> {
    if args.symbols.is_empty() { definitions(args) } else { exported(args) }
}

fn definitions(args: &Features) -> Result<Reply> {
    let set = FeatureSet::default();
    let features = set.features();
    if args.json {
        return Reply::json(&json!({ "fingerprint": set.fingerprint(), "features": features }));
    }
    let rows: Vec<Vec<String>> = features
        .iter()
        .map(|feature| vec![feature.name.clone(), feature.version.to_string(), feature.definition.clone()])
        .collect();
    Ok(Reply::ok(table(&["feature", "version", "is"], &rows, 3) + &format!("fingerprint {}\n", set.fingerprint())))
}

fn exported(args: &Features) -> Result<Reply> {
    let (set, rule) = (FeatureSet::default(), LabelRule::default());
    let lake = Lake::open(&args.lake.lake)?;
    // Later bars say how a row came out; whether they are shown is another question.
    let data = lake.market(&args.symbols, None, None)?;
    let names: Vec<String> = set.features().into_iter().map(|feature| feature.name).collect();
    let titles = ["dt", "sym"].into_iter().chain(names.iter().map(String::as_str)).chain(["long", "short"]);
    let titles: Vec<&str> = titles.collect();
    let mut found = Vec::new();
    for (at, symbol) in args.symbols.iter().enumerate() {
        let bars = rows::printed(&data.bars, &data.actions, at);
        let labels: BTreeMap<_, _> =
            samples(at, &bars, set, &rule).into_iter().map(|sample| (sample.session, sample.label)).collect();
        for (session, row) in rows::features(&bars, set) {
            if args.from.is_some_and(|from| session < from) || args.to.is_some_and(|to| session > to) {
                continue;
            }
            let label = labels.get(&session);
            found.push((session, symbol, row, label.copied()));
        }
    }
    if found.is_empty() {
        bail!("there are no rows between these dates: a row of features needs {} bars up to it", set.closes_needed());
    }
    if args.json {
        let one = |(session, symbol, row, label): &(_, _, [f32; models::features::WIDTH], Option<[bool; 2]>)| {
            let mut fields =
                serde_json::Map::from_iter([("dt".to_owned(), json!(session)), ("sym".to_owned(), json!(symbol))]);
            fields.extend(names.iter().cloned().zip(row.iter().map(|value| json!(value))));
            let outcome = |at: usize| label.map_or(Value::Null, |label| json!(u8::from(label[at])));
            fields.extend([("long".to_owned(), outcome(0)), ("short".to_owned(), outcome(1))]);
            Value::Object(fields)
        };
        return Reply::json(&found.iter().map(one).collect::<Vec<_>>());
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&titles)?;
    for (session, symbol, row, label) in &found {
        let outcome = |at: usize| label.map_or(String::new(), |label| u8::from(label[at]).to_string());
        let cells = [session.to_string(), symbol.to_string()].into_iter().chain(row.iter().map(f32::to_string));
        writer.write_record(cells.chain([outcome(0), outcome(1)]))?;
    }
    Ok(Reply::ok(String::from_utf8(writer.into_inner()?)?))
}
