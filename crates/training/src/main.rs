//! `algotrading-train`, which `algotrading train` runs.

use std::path::PathBuf;
use std::process::ExitCode;

use algotrading::args::InLake;
use algotrading::layers;
use algotrading::print::{figure, table};
use algotrading::shelf::Shelf;
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use lake::Lake;
use models::registry::Registry;
use training::curve::sparkline;
use training::forecast::config::ForecastConfig;
use training::forecast::{ANSWERS, report as forecast_report, run as forecast_run};
use training::policy::config::PolicyConfig;
use training::policy::report::{CONTENDERS, standings};
use training::policy::{report as policy_report, run as policy_run};

/// Train a model on a lake and keep it there, with its report.
#[derive(Debug, Parser)]
#[command(name = "algotrading train", version)]
struct Cli {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// A forecast: the chance that a long and a short entry reach their target before their stop.
    #[command(after_help = "\
A training file:
  [data]
  symbols = [\"AAPL\", \"IBM\", \"MSFT\"]
  [model]
  name = \"forecast\"
  [labels]
  horizon = 5
  target = 0.02
  stop = 0.015
  [split]
  validation_from = 2008-01-02
  test_from = 2010-01-04
  [training]
  seed = 1

Later layers win: the file, then variables such as ALGOTRADING_TRAINING__SEED=2, then --set.
docs/forecast.schema.json lists every key.

Examples:
  algotrading train forecast train.toml --lake lake
  algotrading train forecast train.toml --set training.seed=2 --promote")]
    Forecast(Train),
    /// A policy: whether to be short, flat or long, learnt from trading in the engine, after costs.
    #[command(after_help = "\
A training file:
  [data]
  symbols = [\"AAPL\", \"IBM\", \"MSFT\"]
  [model]
  name = \"policy\"
  [split]
  test_from = 2010-01-04
  [training]
  rounds = 100
  seed = 1
  [costs]
  commission_bps = 5

Later layers win: the file, then variables such as ALGOTRADING_TRAINING__SEED=2, then --set.
docs/policy.schema.json lists every key.

Examples:
  algotrading train policy train.toml --lake lake
  algotrading train policy train.toml --set training.drawdown_penalty=0.5 --promote")]
    Policy(Train),
}

#[derive(Debug, Args)]
struct Train {
    /// The training file.
    #[arg(value_name = "TRAIN.toml")]
    file: PathBuf,
    #[command(flatten)]
    lake: InLake,
    /// Override one key of the training file; may be given more than once.
    #[arg(long, value_name = "section.key=value")]
    set: Vec<String>,
    /// Make it the version that strategies load.
    #[arg(long)]
    promote: bool,
    /// Print the model's card as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let kind = Cli::parse().kind;
    let answer = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Into::into);
    match answer.and_then(|runtime: tokio::runtime::Runtime| {
        // A lake on S3 is read through an HTTP client that lives on this runtime.
        let _entered = runtime.enter();
        match kind {
            Kind::Forecast(args) => forecast(&args),
            Kind::Policy(args) => policy(&args),
        }
    }) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

fn forecast(args: &Train) -> Result<String> {
    let config: ForecastConfig = layers::load(&args.file, layers::environment(), &args.set)?;
    let lake = Lake::open(&args.lake.lake)?;
    let prepared = forecast_run::prepare(config, &lake)?;
    let bar = progress(prepared.config.training.epochs);
    let mut curve = Vec::new();
    let model = prepared.train(|pass, epoch| {
        curve.push(epoch.validation);
        bar.set_position(pass as u64);
        bar.set_message(format!(
            "pass {pass}: loss {:.4}, validation {:.4} {}",
            epoch.train,
            epoch.validation,
            sparkline(&curve, 20)
        ));
    })?;
    bar.finish_and_clear();
    let page = forecast_report::forecast(&prepared, &model, &lake)?;
    let version = model.keep(&lake, page.into_bytes())?;
    let trained = &model.trained;
    let mut text = format!(
        "{} rows to train, {} to stop, {} to judge; pass {} of {} was best\n",
        trained.split.train.len(),
        trained.split.validation.len(),
        trained.split.test.len(),
        trained.best_epoch,
        trained.history.len()
    );
    text.push_str(&format!("validation loss {}\n\n", sparkline(&curve, 60)));
    let mut rows = Vec::new();
    for comparison in &trained.comparisons {
        for (name, contest) in ANSWERS.iter().zip(&comparison.answers) {
            rows.push(vec![
                comparison.part.to_owned(),
                (*name).to_owned(),
                format!("{:.1} %", contest.model.base_rate * 100.0),
                format!("{:.4}", contest.model.log_loss),
                format!("{:.4}", contest.logistic.log_loss),
                format!("{:.4}", contest.base_rate.log_loss),
                figure(contest.model.auc),
                figure(contest.logistic.auc),
            ]);
        }
    }
    let titles = ["rows", "answer", "successes", "log loss", "logistic", "base rate", "AUC", "logistic"];
    text.push_str(&table(&titles, &rows, 2));
    text.push_str(&forecast_report::verdict(trained));
    kept(args, &lake, &model.card.name, &version, text)
}

fn policy(args: &Train) -> Result<String> {
    let config: PolicyConfig = layers::load(&args.file, layers::environment(), &args.set)?;
    let lake = Lake::open(&args.lake.lake)?;
    let prepared = policy_run::prepare(config, &lake)?;
    let bar = progress(prepared.config.training.rounds);
    let mut curve = Vec::new();
    let model = prepared.train(&lake, |number, round| {
        curve.push(round.reward);
        bar.set_position(number as u64);
        bar.set_message(format!(
            "round {number}: reward {:+.4} %, entropy {:.3}, turns {:.1} % {}",
            round.reward,
            round.entropy,
            round.turns * 100.0,
            sparkline(&curve, 20)
        ));
    })?;
    bar.finish_and_clear();
    let page = policy_report::page(&prepared, &model, &lake)?;
    let version = model.keep(&lake, page.into_bytes())?;
    let training = &prepared.config.training;
    let mut text = format!(
        "{} episodes of {} decisions in {} rounds, out of {} different ones\n",
        training.rounds * training.episodes,
        training.steps,
        training.rounds,
        prepared.environment.episodes()
    );
    text.push_str(&format!("reward {}\n\n", sparkline(&curve, 60)));
    let mut rows = Vec::new();
    for judgement in &model.judgements {
        for (name, standing) in CONTENDERS.iter().zip(standings(judgement)) {
            rows.push(vec![
                judgement.part.to_owned(),
                (*name).to_owned(),
                format!("{:+.2} %", standing.gain * 100.0),
                figure(standing.sharpe),
                format!("{:.2} %", standing.drawdown * 100.0),
            ]);
        }
    }
    text.push_str(&table(&["sessions", "who", "gain", "Sharpe", "max drawdown"], &rows, 2));
    text.push_str(&policy_report::verdict(&model.judgements));
    kept(args, &lake, &model.card.name, &version, text)
}

/// Where the model lies now, after what was said of it; or its card.
fn kept(args: &Train, lake: &Lake, name: &str, version: &str, mut text: String) -> Result<String> {
    let reference = format!("{name}@{version}");
    let shelf = Shelf(lake);
    if args.promote {
        Registry(&shelf).promote(&reference)?;
    }
    if args.json {
        let entry = Registry(&shelf).find(&reference)?;
        return Ok(serde_json::to_string_pretty(&entry)? + "\n");
    }
    let place = args.lake.lake.trim_end_matches('/');
    text.push_str(&format!("\nkept as {reference}, with its report in {place}/models/{name}/{version}/report.html\n"));
    if !args.promote {
        text.push_str(&format!("strategies load it after `algotrading model promote {reference}`\n"));
    }
    Ok(text)
}
