//! `algotrading predict`

use anyhow::{Result, bail};
use domain::{ActionKind, SessionDate, Symbol};
use lake::Lake;
use models::Window;
use serde::Serialize;

use crate::args::Predict;
use crate::print::{Reply, table};
use crate::shelf;

/// What a model says at the close of a session.
#[derive(Debug, Serialize)]
struct Prediction<'a> {
    dt: SessionDate,
    sym: &'a Symbol,
    long: f32,
    short: f32,
}

pub(super) fn run(args: &Predict) -> Result<Reply> {
    let lake = Lake::open(&args.lake.lake)?;
    let (_, mut model) = shelf::forecast(&lake, &args.model)?;
    let data = lake.market(&args.symbols, None, args.to)?;
    let mut found = Vec::new();
    for (at, sym) in args.symbols.iter().enumerate() {
        let mut window = Window::new(model.card().features);
        let mut actions = data.actions.iter().filter(|one| one.instrument.index() == at).peekable();
        for bar in data.bars.iter().filter(|bar| bar.instrument.index() == at) {
            while let Some(action) = actions.next_if(|action| action.ex_date <= bar.session) {
                if let ActionKind::Split { ratio } = action.kind {
                    window.split(ratio);
                }
            }
            window.push(bar.close.to_f64());
            if args.from.is_some_and(|from| bar.session < from) {
                continue;
            }
            if let Some(row) = window.row() {
                let [long, short] = model.probabilities(&row);
                found.push(Prediction { dt: bar.session, sym, long, short });
            }
        }
    }
    if found.is_empty() {
        let needed = model.card().features.closes_needed();
        bail!("there is nothing to predict between these dates: a row of features needs {needed} bars up to it");
    }
    if args.json {
        return Reply::json(&found);
    }
    if args.csv {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for one in &found {
            writer.serialize(one)?;
        }
        return Ok(Reply::ok(String::from_utf8(writer.into_inner()?)?));
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            vec![one.dt.to_string(), one.sym.to_string(), format!("{:.4}", one.long), format!("{:.4}", one.short)]
        })
        .collect();
    Ok(Reply::ok(table(&["dt", "sym", "long", "short"], &rows, 2)))
}
