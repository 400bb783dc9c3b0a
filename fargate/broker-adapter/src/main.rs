//! Carries out the orders of a queue at a broker, and says what became of them.

use std::process::ExitCode;

use anyhow::bail;
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
            other @ ("alpaca" | "fix") => bail!("the broker `{other}` is not built in yet; BROKER may be paper"),
            other => bail!("BROKER is `{other}`; it must be paper"),
        }
    })
}
