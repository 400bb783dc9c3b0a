//! The broker adapter: takes orders from a queue, judges them again, has a broker carry them out, and says what became of
//! them.

use std::time::Duration;

use algotrading::live::account::begin;
use algotrading::live::paper::gate;
use anyhow::{Context, Result, ensure};
use engine::Limits;
use ports::queue::Queue;
use ports::stream::Stream;
use serde_json::json;
use trading::remote::{Adapter, Rules};
use trading::{Broker, Owner};

use crate::Here;
use crate::post::Post;
use crate::table::{Keeper, Table};
use crate::wire::Wire;

/// What the broker's account is, in the records.
pub const ACCOUNT: &str = "account";
/// How often that is written.
const SHOW_MS: i64 = 1_000;

/// What it works with.
pub struct Ports<'a> {
    /// Requests come from here.
    pub orders: &'a dyn Queue,
    /// Answers go there.
    pub executions: &'a dyn Queue,
    /// Prices.
    pub stream: &'a dyn Stream,
    /// What it has done.
    pub table: Table,
    /// A name that no other process has.
    pub owner: String,
    /// A lease that is kept beside the adapter's own: on what the broker itself writes down there.
    pub beside: Option<Keeper>,
}

impl std::fmt::Debug for Ports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Whose the orders of a strategy at a broker are.
///
/// # Errors
/// A name that brokers do not take.
pub fn owner(broker: &str, strategy: &str) -> Result<Owner> {
    Owner::new(broker, strategy)
        .with_context(|| format!("`{broker}` and `{strategy}` are no names for orders: 30 letters, digits and `_`"))
}

/// Where an adapter writes down what it was asked.
fn journal_of(strategy: &str) -> String {
    format!("broker#{strategy}")
}

/// A journal of the broker's own beside the adapter's, such as what was sent over FIX: its name, and the lease on it.
///
/// # Errors
/// It is gone, or another adapter is at work.
pub fn beside(here: &Here<'_>, table: &Table, what: &str, owner: &str) -> Result<(String, Keeper)> {
    let journal = format!("{what}#{}", here.strategy);
    let keeper = Keeper::wait(here, table, &journal, owner)?;
    let known = |journal: &str| table.read(journal, 0).map(|lines| !lines.is_empty());
    // What is not there passes for never sent, and would be sent again.
    ensure!(
        known(&journal)? || !known(&journal_of(&here.strategy))?,
        "`{journal}` is gone from the journal's table, which says what was sent, and the strategy has traded; restore the \
         table, or close everything at the broker and give the strategy another name"
    );
    Ok((journal, keeper))
}

/// Trades until it is told to stop.
///
/// # Errors
/// Another adapter is at work, what it does cannot be written down, or the market stream breaks off.
pub fn run<B: Broker>(here: &Here<'_>, ports: &Ports<'_>, name: &str, own_market: bool, broker: B) -> Result<()> {
    let (config, house) = (here.config()?, here.house()?);
    // How often a strategy repeated itself is the runner's to count: its journal hears when a person enables it again.
    let limits = Limits { repeated_executions_max: None, ..config.risk.and(&house.limits) };
    let account = begin(name, &here.short_name(), &config, &house.text)?;
    let journal = journal_of(&here.strategy);
    let keeper = Keeper::wait(here, &ports.table, &journal, &ports.owner)?;
    let symbols = account.facts.symbols.clone();
    let rules = Rules {
        account: name.to_owned(),
        owner: owner(name, &account.strategy)?,
        closer: owner(&format!("{name}_x"), &account.strategy)?,
        symbols: symbols.clone(),
        gate: gate(&account, &limits),
        own_market,
        start: keeper.epoch(),
    };
    let post = Post::new(ports.executions, ports.orders, &here.strategy);
    let mut adapter = Adapter::open(broker, post, keeper.lines(crate::table::now_ms), rules)?;
    let known = adapter.position();
    here.info("takes orders", json!({ "broker": name, "position": known }));
    let mut wire = Wire::new(ports.stream, &symbols, known);
    let mut source = || wire.next(Duration::from_millis(200));
    let mut shown = (0, String::new());
    while !here.stopped() {
        here.beat();
        for lease in [Some(&keeper), ports.beside.as_ref()].into_iter().flatten() {
            lease.renew(here.now_ms())?;
        }
        adapter.turn(1_000, &mut source)?;
        if here.now_ms() - shown.0 >= SHOW_MS {
            shown.0 = here.now_ms();
            match adapter.status() {
                Ok(status) => {
                    let text = serde_json::to_string(&status)?;
                    if text != shown.1 {
                        here.show(ACCOUNT, &json!({ "at": (here.now)(), "flat": status.is_flat(), "status": status }))?;
                        shown.1 = text;
                    }
                }
                Err(failure) => here.warn(failure),
            }
        }
    }
    drop(adapter);
    for lease in [Some(&keeper), ports.beside.as_ref()].into_iter().flatten() {
        lease.release(here.now_ms());
    }
    Ok(())
}
