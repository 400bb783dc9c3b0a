//! Starts a strategy's container, or the import's, and looks how it ends.

use std::process::ExitCode;

use algotrading::eod::launch::{self, Wanted};
use algotrading::eod::{Trouble, What};
use domain::SessionDate;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    session: SessionDate,
    #[serde(default)]
    strategy: Option<String>,
    #[serde(default)]
    task: Option<String>,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let wanted = match (input.strategy.as_deref(), input.task.as_deref()) {
            (Some(strategy), None) => Wanted::Strategy(strategy),
            (None, Some(launch::INGEST)) => Wanted::Ingest,
            _ => {
                let text = format!("give either `strategy` or `task`: \"{}\"", launch::INGEST);
                return Err(Trouble::new(What::BadInput, text));
            }
        };
        launch::launch(&world.lake()?, &world.tasks()?, &world.records()?, &wanted, input.session, world.now())
    })
}
