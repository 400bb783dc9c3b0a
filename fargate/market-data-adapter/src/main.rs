//! Puts market events of a feed onto the market stream, each under a number.

use std::process::ExitCode;

use services::market::{self, Source};

fn main() -> ExitCode {
    kit::program("market-data-adapter", |world, here| {
        let (speed, after) = (world.perhaps("SPEED"), world.perhaps("REPLAY_AFTER"));
        let source = Source::parse(&world.given("FEED")?, speed.as_deref(), after.as_deref())?;
        market::run(here, &world.stream()?, &source)
    })
}
