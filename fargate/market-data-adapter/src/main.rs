//! Puts market events of a feed onto the market stream, each under a number.

use std::process::ExitCode;

use algotrading::live::keys::Keys;
use anyhow::{Context, Result};
use brokers::alpaca::data::{self, AlpacaFeed};
use kit::World;
use services::market::{self, Open, Source};

fn main() -> ExitCode {
    kit::program("market-data-adapter", |world, here| {
        let source = match world.given("FEED")?.as_str() {
            "alpaca" => alpaca(world, data::Source::Iex),
            "alpaca:sip" => alpaca(world, data::Source::Sip),
            other => {
                let (speed, after) = (world.perhaps("SPEED"), world.perhaps("REPLAY_AFTER"));
                Source::parse(other, speed.as_deref(), after.as_deref(), World::clock)
            }
        }?;
        market::run(here, &world.stream()?, source)
    })
}

fn alpaca(world: &World, source: data::Source) -> Result<Source> {
    let settings = Keys::read(&world.aws.secrets(), &world.given("BROKER_SECRET")?)?.alpaca_prices(source)?;
    Ok(Source::Live(Box::new(move |symbols, after| {
        let feed = AlpacaFeed::connect(settings, symbols, after, World::clock);
        let feed = feed.context("cannot begin with Alpaca's prices")?;
        let said = feed.said();
        Ok(Open { feed: Box::new(feed), said: Box::new(move || said.take()) })
    })))
}
