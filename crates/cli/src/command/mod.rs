//! One module for each verb: arguments in, an answer out.

pub mod backtest;
pub mod data;
pub mod demo;
pub mod eod;
pub mod features;
pub mod import_model;
pub mod journal;
pub mod kill;
pub mod live;
pub mod lookahead;
pub mod model;
pub mod paper;
pub mod paper_server;
pub mod parity;
pub mod predict;
pub mod report;
pub mod serve;

use std::path::Path;

use anyhow::{Context, Result};
use lake::Lake;
use strategies::{Inputs, StrategyConfig};

use crate::args::{Cli, Data, Journal, RunFile, Verb};
use crate::backtest::Prepared;
use crate::config::RunConfig;
use crate::live::requests::Ask;
use crate::print::Reply;
use crate::{layers, shelf, sibling, targets};

/// Does what the command line says.
///
/// # Errors
/// One sentence, with its cause behind a colon.
pub fn run(cli: Cli) -> Result<Reply> {
    match cli.verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Data(Data::Import(args)) => data::import(args),
        Verb::Data(Data::Check(args)) => data::check(&args),
        Verb::Data(Data::Show(args)) => data::show(&args),
        Verb::Sql(args) => {
            let mut arguments = vec![args.sql, "--lake".to_owned(), args.lake.lake, "--format".to_owned(), args.format];
            let more = [("--threads", args.threads.map(u32::from)), ("--memory-mib", args.memory_mib)];
            for (name, value) in more {
                arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value.to_string()]));
            }
            sibling::SQL.pass_through(&arguments)
        }
        Verb::Backtest(args) => backtest::run(&args),
        Verb::LookaheadCheck(args) => lookahead::run(&args),
        Verb::Train(args) => sibling::TRAIN.pass_through(&args.arguments),
        Verb::Model(args) => model::run(&args),
        Verb::Predict(args) => predict::run(&args),
        Verb::Features(args) => features::run(&args),
        Verb::ServeModel(args) => serve::run(&args),
        Verb::Eod(args) => eod::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Paper(args) => paper::run(&args),
        Verb::PaperServer(args) => paper_server::run(&args),
        Verb::Live(args) => live::run(&args),
        Verb::Accept(args) => live::say(&args, &Ask::Accept),
        Verb::Reenable(args) => live::say(&args, &Ask::Reenable),
        Verb::Control(args) => live::say(&args.say, &Ask::Control(args.mode.into())),
        Verb::Kill(args) => kill::run(&args),
        Verb::Aws(args) => sibling::AWS.pass_through(&args.arguments),
        Verb::Parity(args) => parity::run(&args),
        Verb::Journal(Journal::Verify(args)) => journal::verify(&args),
        Verb::Journal(Journal::Show(args)) => journal::show(&args),
        Verb::Journal(Journal::Replay(args)) => journal::replay(&args),
    }
}

/// The run file with its layers, its data and its table.
fn prepare(args: &RunFile) -> Result<Prepared> {
    let config = RunConfig::load(&args.run, layers::environment(), &args.set)?;
    load(config, &args.run, &args.lake.lake)
}

pub(crate) fn load(config: RunConfig, run_file: &Path, location: &str) -> Result<Prepared> {
    let inputs = inputs(&config, run_file, location)?;
    let prepared = crate::backtest::prepare(config, &Lake::open(location)?, inputs)?;
    Ok(Prepared { run_file: Some(run_file.to_owned()), ..prepared })
}

/// What the rule of a run file needs beside its parameters.
pub fn inputs(config: &RunConfig, run_file: &Path, location: &str) -> Result<Inputs> {
    let table = targets::read(config, run_file, location)?;
    anyhow::ensure!(
        !table.is_empty() || !matches!(config.strategy, StrategyConfig::Targets { .. }),
        "the table of targets has no rows; give at least one with dt, sym and target"
    );
    let model = match config.strategy.model() {
        Some(model) => Some(shelf::model(&Lake::open(location)?, model).context("strategy.model")?.1),
        None => None,
    };
    Ok(Inputs { table, model })
}
