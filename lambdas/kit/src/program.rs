//! A program that is always on: it runs until the platform tells it to stop, or it cannot go on.

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use algotrading::serving::told_to_stop;
use anyhow::Result;
use aws::Aws;
use serde_json::Value;
use services::Here;

use crate::World;
use crate::log::Line;

/// Runs a program; what it says goes to standard output, a line of JSON each.
pub fn program(name: &'static str, run: impl FnOnce(&World, &Here<'_>) -> Result<()> + Send + 'static) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            Line::new("ERROR", "cannot start").with("error", error.to_string()).write();
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&stop);
        tokio::spawn(async move {
            told_to_stop().await;
            set.store(true, Ordering::Relaxed);
        });
        let world = World { aws: Aws::load().await };
        tokio::task::spawn_blocking(move || within(name, &world, &stop, run)).await
    });
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            Line::new("ERROR", &format!("{error:#}")).with("program", name).write();
            ExitCode::FAILURE
        }
        Err(_) => {
            let words = "the program stopped in the middle: this is a defect, please report it";
            Line::new("ERROR", words).with("program", name).write();
            ExitCode::FAILURE
        }
    }
}

fn within(
    name: &'static str,
    world: &World,
    stop: &AtomicBool,
    run: impl FnOnce(&World, &Here<'_>) -> Result<()>,
) -> Result<()> {
    let (records, figures) = (world.records()?, world.figures());
    let here = Here {
        program: name,
        strategy: world.given("STRATEGY")?,
        location: world.location()?,
        records: &records,
        figures: &figures,
        stop,
        now: World::clock,
        log: &|line: Value| println!("{line}"),
        lease_ms: i64::try_from(world.number("LEASE_SECONDS", 30)? * 1_000)?,
        beaten: Cell::new(0),
    };
    run(world, &here)
}
