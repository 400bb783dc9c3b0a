//! `algotrading lookahead-check`

use anyhow::{Context, Result};
use domain::{SessionDate, Strategy};
use lake::Lake;
use strategies::{Inputs, StrategyConfig};

use super::data;
use crate::args::LookaheadCheck;
use crate::backtest::Prepared;
use crate::print::{Reply, count};
use crate::{cut, lookahead, targets};

/// A fresh strategy that knows data up to a date: a query is asked again over a lake that ends there.
fn strategy(prepared: &Prepared, args: &LookaheadCheck, cut: Option<SessionDate>) -> Result<Box<dyn Strategy + Send>> {
    let (StrategyConfig::Targets { sql: Some(_), .. }, Some(cut)) = (&prepared.config.strategy, cut) else {
        return prepared.strategy();
    };
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    cut::cut(&Lake::open(&args.run_file.lake.lake)?, cut, folder.path(), data::now()?)?;
    let location = folder.path().join("lake").display().to_string();
    let table = targets::read(&prepared.config, &args.run_file.run, &location)?;
    let inputs = Inputs { table, ..prepared.inputs.clone() };
    Ok(prepared.config.strategy.build(prepared.config.data.symbols.len(), inputs)?)
}

pub(super) fn run(args: &LookaheadCheck) -> Result<Reply> {
    let prepared = super::prepare(&args.run_file)?;
    let verdict = lookahead::check(&prepared, usize::from(args.cuts), |cut| strategy(&prepared, args, cut))?;
    let failed = !verdict.leaks.is_empty();
    if args.json {
        return Ok(Reply { failed, ..Reply::json(&verdict)? });
    }
    let mut text = String::new();
    for leak in &verdict.leaks {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        text.push_str(&format!(
            "{}: decided {} with all data, {} when the data ends on {}\n",
            leak.session,
            or_nothing(&leak.with_all),
            or_nothing(&leak.without),
            leak.cut
        ));
    }
    if matches!(prepared.config.strategy, StrategyConfig::Targets { file: Some(_), .. }) {
        text.push_str(
            "strategy.file is taken as it is: whether its rows knew the future cannot be told from the file\n",
        );
    }
    let (decisions, cuts) = (count(verdict.decisions as u64), verdict.cuts.len());
    text.push_str(&if failed {
        format!("{} of {cuts} cuts changed an earlier decision: the strategy sees the future\n", verdict.leaks.len())
    } else {
        format!("{decisions} decisions, none changed by cutting the data at {cuts} dates\n")
    });
    Ok(Reply { failed, ..Reply::ok(text) })
}
