//! Runs one strategy: up to one session, whose results it writes down, or live (`MODE=live`), until it is stopped.

use std::process::ExitCode;
use std::time::Duration;

use algotrading::eod::trade;
use domain::Money;
use services::runner::{self, Ports};

fn main() -> ExitCode {
    match std::env::var("MODE").as_deref() {
        Ok("live") => live(),
        _ => session(),
    }
}

fn live() -> ExitCode {
    kit::program("strategy-runner", |world, here| {
        let archive = world.archive()?;
        let ports = Ports {
            orders: &world.orders()?,
            executions: &world.executions()?,
            stream: &world.stream()?,
            table: world.journals()?,
            archive: archive.as_ref().map(|archive| archive as _),
            owner: world.owner(here.program),
            tolerance: Money::ZERO,
            silence: Duration::from_secs(world.number("SILENCE_SECONDS", 120)?),
        };
        runner::run(here, &ports)
    })
}

fn session() -> ExitCode {
    kit::contain(
        |world| world.given("STRATEGY").map(Some),
        |world, strategy, session| {
            let done = trade::trade(&world.location()?, &world.records()?, strategy.unwrap_or_default(), session)?;
            Ok(format!(
                "strategy {} up to {session}: {} orders, {} refused, {} fills, equity {} (run {}{})",
                done.strategy,
                done.orders,
                done.refused,
                done.fills,
                done.equity,
                done.run_id,
                if done.before { ", written down before" } else { "" }
            ))
        },
    )
}
