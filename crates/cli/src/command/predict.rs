//! `algotrading predict`

use anyhow::{Result, bail};
use domain::{SessionDate, Symbol};
use lake::{Lake, MarketData};
use models::policy::{SIDES, likeliest};
use models::{FeatureSet, Forecast, Model, Policy};
use serde::Serialize;

use crate::args::Predict;
use crate::print::{Reply, table};
use crate::{rows, shelf};

/// What a forecast says at the close of a session.
#[derive(Debug, Serialize)]
struct Chances<'a> {
    dt: SessionDate,
    sym: &'a Symbol,
    long: f32,
    short: f32,
}

/// What a policy says at the close of a session, when it has followed itself so far.
#[derive(Debug, Serialize)]
struct Wish<'a> {
    dt: SessionDate,
    sym: &'a Symbol,
    short: f32,
    flat: f32,
    long: f32,
    side: i8,
}

pub(super) fn run(args: &Predict) -> Result<Reply> {
    let lake = Lake::open(&args.lake.lake)?;
    let (_, model) = shelf::model(&lake, &args.model)?;
    let data = lake.market(&args.symbols, None, args.to)?;
    match model {
        Model::Forecast(model) => forecast(args, model, &data),
        Model::Policy(model) => policy(args, model, &data),
    }
}

fn forecast(args: &Predict, mut model: Forecast, data: &MarketData) -> Result<Reply> {
    let features = model.card().features;
    let mut found = Vec::new();
    for (at, sym) in args.symbols.iter().enumerate() {
        for (dt, row) in rows::features(&rows::printed(&data.bars, &data.actions, at), features) {
            if args.from.is_none_or(|from| dt >= from) {
                let [long, short] = model.probabilities(&row)?;
                found.push(Chances { dt, sym, long, short });
            }
        }
    }
    print(args, features, &found, &["dt", "sym", "long", "short"], |one| {
        vec![one.dt.to_string(), one.sym.to_string(), format!("{:.4}", one.long), format!("{:.4}", one.short)]
    })
}

fn policy(args: &Predict, mut model: Policy, data: &MarketData) -> Result<Reply> {
    let features = model.card().features;
    let mut found = Vec::new();
    for (at, sym) in args.symbols.iter().enumerate() {
        let (mut memory, mut held) = (model.memory(), SIDES[1]);
        for (dt, row) in rows::features(&rows::printed(&data.bars, &data.actions, at), features) {
            let probabilities = model.probabilities(&row, held, &mut memory);
            held = likeliest(probabilities);
            if args.from.is_none_or(|from| dt >= from) {
                let [short, flat, long] = probabilities;
                found.push(Wish { dt, sym, short, flat, long, side: held.sign() });
            }
        }
    }
    print(args, features, &found, &["dt", "sym", "short", "flat", "long", "side"], |one| {
        let probabilities = [one.short, one.flat, one.long].map(|probability| format!("{probability:.4}"));
        let mut cells = vec![one.dt.to_string(), one.sym.to_string()];
        cells.extend(probabilities);
        cells.push(one.side.to_string());
        cells
    })
}

fn print<T: Serialize>(
    args: &Predict,
    features: FeatureSet,
    found: &[T],
    titles: &[&str],
    cells: impl Fn(&T) -> Vec<String>,
) -> Result<Reply> {
    if found.is_empty() {
        let needed = features.closes_needed();
        bail!("there is nothing to predict between these dates: a row of features needs {needed} bars up to it");
    }
    if args.json {
        return Reply::json(&found);
    }
    if args.csv {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for one in found {
            writer.serialize(one)?;
        }
        return Ok(Reply::ok(String::from_utf8(writer.into_inner()?)?));
    }
    Ok(Reply::ok(table(titles, &found.iter().map(cells).collect::<Vec<_>>(), 2)))
}
