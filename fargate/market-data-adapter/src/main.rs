//! Puts market events of a feed onto the market stream, each under a number.

use std::process::ExitCode;

use brokers::alpaca::data;
use kit::World;
use services::keys::Keys;
use services::market::{self, Source};

fn main() -> ExitCode {
    kit::program("market-data-adapter", |world, here| {
        let alpaca = |source| {
            let keys = Keys::read(&world.aws.secrets(), &world.given("BROKER_SECRET")?)?;
            Ok(Source::alpaca(keys.alpaca_prices(source)?, World::clock))
        };
        let source = match world.given("FEED")?.as_str() {
            "alpaca" => alpaca(data::Source::Iex),
            "alpaca:sip" => alpaca(data::Source::Sip),
            other => {
                let (speed, after) = (world.perhaps("SPEED"), world.perhaps("REPLAY_AFTER"));
                Source::parse(other, speed.as_deref(), after.as_deref(), World::clock)
            }
        }?;
        market::run(here, &world.stream()?, source)
    })
}
