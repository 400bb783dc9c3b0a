//! Runs the crawler and holds the catalogue against the declared tables.

use std::process::ExitCode;

use algotrading::eod::catalogue;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    run: String,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let settings = world.catalogue()?;
        catalogue::crawl(&world.aws.catalog(), &world.records()?, &settings, &input.run, world.now())
    })
}
