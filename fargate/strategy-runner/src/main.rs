//! Runs one strategy up to one session and writes down what it did.

use std::process::ExitCode;

use algotrading::eod::trade;

fn main() -> ExitCode {
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
