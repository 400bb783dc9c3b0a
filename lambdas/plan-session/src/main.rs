//! Finds the session a schedule fired for, and what is to be done in it.

use std::process::ExitCode;

use algotrading::eod::plan;

fn main() -> ExitCode {
    kit::serve(|world, input: plan::Input| plan::plan(&world.lake()?, &world.records()?, &input, world.now()))
}
