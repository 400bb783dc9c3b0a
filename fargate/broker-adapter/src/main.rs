//! Carries out the orders of a queue at a broker, and says what became of them.

use std::process::ExitCode;

use algotrading::live::fix::takes;
use algotrading::live::keys::Keys;
use anyhow::{Context, bail};
use brokers::alpaca::AlpacaBroker;
use brokers::fix::{FixBroker, Keep};
use services::broker::{self, Ports};
use services::table::now_ms;
use trading::PaperBroker;

fn main() -> ExitCode {
    kit::program("broker-adapter", |world, here| {
        let mut ports = Ports {
            orders: &world.orders()?,
            executions: &world.executions()?,
            stream: &world.stream()?,
            table: world.journals()?,
            owner: world.owner(here.program),
            beside: None,
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
                let secret = world.given("BROKER_SECRET")?;
                let config = Keys::read(&world.aws.secrets(), &secret)?.fix()?;
                takes(&config, &secret, &here.config()?.strategy)?;
                let (journal, lease) = broker::beside(here, &ports.table, "fix", &ports.owner)?;
                let keep = Keep::Lines(journal, Box::new(lease.lines(now_ms)));
                ports.beside = Some(lease);
                let broker = FixBroker::start(config, keep).context("cannot begin with the FIX session")?;
                broker::run(here, &ports, "fix", false, broker)
            }
            other => bail!("BROKER is `{other}`; it must be paper, alpaca or fix"),
        }
    })
}
