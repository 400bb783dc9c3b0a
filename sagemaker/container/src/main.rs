//! The container that SageMaker runs as `train` or as `serve`.

mod channels;
mod hyperparameters;
mod parquet;
mod paths;
mod serve;
mod train;

use std::process::ExitCode;

use paths::Paths;

const USAGE: &str = "\
usage: algotrading-container train | serve

train  learns from /opt/ml/input as SageMaker lays it out, leaves /opt/ml/model
serve  answers for the model in /opt/ml/model on port 8080

ALGOTRADING_ML_ROOT stands for /opt/ml, ALGOTRADING_BIND for 0.0.0.0:8080.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let paths = Paths::from_environment();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["train"] => runtime().and_then(|runtime| {
            let _entered = runtime.enter();
            train::run(&paths).inspect_err(|error| paths.fail(error))
        }),
        ["serve"] => runtime().and_then(|runtime| runtime.block_on(serve::run(&paths)).map(|()| ExitCode::SUCCESS)),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
