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
use training::config::ForecastConfig;
use training::forecast::ANSWERS;
use training::{report, run};

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
    Forecast(Forecast),
}

#[derive(Debug, Args)]
struct Forecast {
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
    let Kind::Forecast(args) = Cli::parse().kind;
    let answer = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Into::into);
    match answer.and_then(|runtime: tokio::runtime::Runtime| {
        // A lake on S3 is read through an HTTP client that lives on this runtime.
        let _entered = runtime.enter();
        forecast(&args)
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

fn forecast(args: &Forecast) -> Result<String> {
    let config: ForecastConfig = layers::load(&args.file, layers::environment(), &args.set)?;
    let lake = Lake::open(&args.lake.lake)?;
    let prepared = run::prepare(config, &lake)?;
    let bar = ProgressBar::new(prepared.config.training.epochs as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}") {
        bar.set_style(style);
    }
    let mut curve = Vec::new();
    let model = prepared.train(|pass, epoch| {
        curve.push(epoch.validation);
        bar.set_position(pass as u64);
        bar.set_message(format!(
            "pass {pass}: loss {:.4}, validation {:.4} {}",
            epoch.train,
            epoch.validation,
            report::sparkline(&curve, 20)
        ));
    })?;
    bar.finish_and_clear();
    let page = report::forecast(&prepared, &model, &lake)?;
    let version = model.keep(&lake, page.into_bytes())?;
    let reference = format!("{}@{version}", model.card.name);
    let shelf = Shelf(&lake);
    if args.promote {
        Registry(&shelf).promote(&reference)?;
    }
    if args.json {
        let entry = Registry(&shelf).find(&reference)?;
        return Ok(serde_json::to_string_pretty(&entry)? + "\n");
    }
    let trained = &model.trained;
    let mut text = format!(
        "{} rows to train, {} to stop, {} to judge; pass {} of {} was best\n",
        trained.split.train.len(),
        trained.split.validation.len(),
        trained.split.test.len(),
        trained.best_epoch,
        trained.history.len()
    );
    let losses: Vec<f64> = trained.history.iter().map(|epoch| epoch.validation).collect();
    text.push_str(&format!("validation loss {}\n\n", report::sparkline(&losses, 60)));
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
    text.push_str(&report::verdict(trained));
    text.push_str(&format!(
        "\nkept as {reference}, with its report in {}\n",
        place(&args.lake.lake, &model.card.name, &version)
    ));
    if !args.promote {
        text.push_str(&format!("strategies load it after `algotrading model promote {reference}`\n"));
    }
    Ok(text)
}

fn place(lake: &str, name: &str, version: &str) -> String {
    format!("{}/models/{name}/{version}/report.html", lake.trim_end_matches('/'))
}
