//! Carries out the orders of a queue at a broker, and says what became of them.

use std::process::ExitCode;

use algotrading::live::keys::Keys;
use anyhow::{Context, bail};
use brokers::alpaca::AlpacaBroker;
use services::broker::{self, Ports};
use trading::PaperBroker;

fn main() -> ExitCode {
    kit::program("broker-adapter", |world, here| {
        let ports = Ports {
            orders: &world.orders()?,
            executions: &world.executions()?,
            stream: &world.stream()?,
            table: world.journals()?,
            owner: world.owner(here.program),
        };
        match world.given("BROKER")?.as_str() {
            "paper" => {
                let config = here.config()?;
                let broker = PaperBroker::new(config.costs, &config.data.symbols, config.account.cash);
                broker::run(here, &ports, "paper", true, broker)
            }
            "alpaca" => {
                let keys = Keys::read(&world.aws.secrets(), &world.given("BROKER_SECRET")?)?;
                let broker = AlpacaBroker::connect(keys.alpaca()?).context("cannot begin with Alpaca")?;
                broker::run(here, &ports, "alpaca", false, broker)
            }
            "fix" => {
                bail!("the broker `fix` is not built in yet: its session needs a store that outlives the container")
            }
            other => bail!("BROKER is `{other}`; it must be paper or alpaca"),
        }
    })
}
