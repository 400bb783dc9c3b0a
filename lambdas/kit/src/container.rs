//! A task: it runs once and exits.

use std::process::ExitCode;

use algotrading::eod::{Outcome, Trouble, What, launch};
use aws::Aws;
use domain::SessionDate;

use crate::World;

/// Runs a task for the session it was started for; a failure is said on standard error and left where the launcher
/// looks for it.
pub fn contain(
    wanted: impl FnOnce(&World) -> Outcome<Option<String>> + Send + 'static,
    task: impl FnOnce(&World, Option<&str>, SessionDate) -> Outcome<String> + Send + 'static,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        let world = World { aws: Aws::load().await };
        tokio::task::spawn_blocking(move || run(&world, wanted, task)).await
    });
    match done {
        Ok(Ok(said)) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Ok(Err(trouble)) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("error: the task stopped in the middle: this is a defect, please report it");
            ExitCode::FAILURE
        }
    }
}

fn run(
    world: &World,
    wanted: impl FnOnce(&World) -> Outcome<Option<String>>,
    task: impl FnOnce(&World, Option<&str>, SessionDate) -> Outcome<String>,
) -> Outcome<String> {
    let strategy = wanted(world)?;
    let session = world.given("SESSION")?;
    let session = SessionDate::parse(&session)
        .map_err(|error| Trouble::new(What::BadInput, format!("SESSION is `{session}`, {error}")))?;
    let wanted = strategy.as_deref().map_or(launch::Wanted::Ingest, launch::Wanted::Strategy);
    task(world, strategy.as_deref(), session).inspect_err(|trouble| {
        if let Ok(records) = world.records() {
            launch::complain(&records, &wanted, session, &trouble.text);
        }
    })
}
