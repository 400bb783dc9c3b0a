//! Carries out the orders of a queue at a broker, and says what became of them.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use brokers::alpaca::{AlpacaBroker, Base, Credentials, Settings};
use kit::World;
use ports::secrets::Secrets;
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
            "alpaca" => broker::run(here, &ports, "alpaca", false, alpaca(world)?),
            "fix" => {
                bail!("the broker `fix` is not built in yet: its session needs a store that outlives the container")
            }
            other => bail!("BROKER is `{other}`; it must be paper or alpaca"),
        }
    })
}

/// Alpaca, with the keys of a secret: `{"key_id": …, "secret_key": …, "base_url": …}`, the last one only for another
/// place than their paper account.
fn alpaca(world: &World) -> Result<AlpacaBroker> {
    let name = world.given("BROKER_SECRET")?;
    let fields = world.aws.secrets().secret(&name)?.fields();
    let fields = fields.with_context(|| format!("the secret `{name}` is no JSON object of texts"))?;
    let field = |field: &str| fields.get(field).with_context(|| format!("the secret `{name}` has no `{field}`"));
    let credentials = Credentials::new(field("key_id")?.expose(), field("secret_key")?.expose())?;
    let base = fields.get("base_url").map_or("https://paper-api.alpaca.markets", |base| base.expose());
    AlpacaBroker::connect(Settings::new(Base::parse(base)?, credentials)).context("cannot begin with Alpaca")
}
