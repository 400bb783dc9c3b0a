//! The broker adapter: takes orders from a queue, judges them again, has a broker carry them out, and says what became of
//! them.

use std::time::Duration;

use algotrading::live::account::begin;
use algotrading::live::paper::gate;
use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use engine::Limits;
use journal::Lines;
use ports::queue::Queue;
use ports::stream::Stream;
use serde_json::{Value, json};
use trading::remote::{Adapter, Channel, Rules};
use trading::{Broker, Owner};

use crate::Here;
use crate::post::Post;
use crate::table::{Keeper, Table};
use crate::wire::Wire;

/// What the broker's account is, in the records.
pub const ACCOUNT: &str = "account";
/// How often that is looked at while something happens.
const SHOW_MS: i64 = 1_000;
/// How long something happens, as far as that goes.
const LIVELY_MS: i64 = 5_000;
/// How often a broker elsewhere is asked while nothing does: it counts what it is asked.
const QUIET_MS: i64 = 60_000;
/// How often it is written down though nothing changed, so that it is seen to be of now.
const SAID_MS: i64 = 15_000;
/// How old it may be to be believed.
const FRESH_MS: i64 = QUIET_MS + 30_000;
/// How late it may be said of an adapter that lives.
const LATE_MS: i64 = 15_000;

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
        "the journal's table has nothing of `{journal}`, which says what was sent, though the strategy has traded: restore \
         the table; a strategy that traded at another broker before wants another name"
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
    let mut shown = Account::default();
    let mut stopped = false;
    while !here.stopped() {
        match adapter.broker().stopped() {
            // It is alive and of no use: no beat, so that the alarm for its silence calls a person.
            Some(reason) if !stopped => {
                here.say("ERROR", &reason, json!({ "broker": name }));
                stopped = true;
            }
            Some(_) => {}
            None => here.beat(),
        }
        for lease in [Some(&keeper), ports.beside.as_ref()].into_iter().flatten() {
            lease.renew(here.now_ms())?;
        }
        adapter.turn(1_000, &mut source)?;
        shown.show(here, &mut adapter, own_market)?;
    }
    drop(adapter);
    for lease in [Some(&keeper), ports.beside.as_ref()].into_iter().flatten() {
        lease.release(here.now_ms());
    }
    Ok(())
}

/// The account at the broker, as it was shown last.
#[derive(Default)]
struct Account {
    looked: i64,
    happened: u64,
    lively_until: i64,
    flattening: bool,
    said: i64,
    shown: String,
    /// Why it could not be looked at, said once.
    failed: String,
}

/// Whether the broker adapter says that nothing is held and nothing works, and can know it now.
#[must_use]
pub fn is_flat(account: &Value, now_ms: i64) -> bool {
    account["flat"] == true && said_ms(account).is_some_and(|said| now_ms - said <= FRESH_MS)
}

/// Whether the broker adapter says what the account is as often as it should.
#[must_use]
pub fn is_heard(account: &Value, now_ms: i64) -> bool {
    let every = account["every_ms"].as_i64().unwrap_or(QUIET_MS);
    said_ms(account).is_some_and(|said| now_ms - said <= every + LATE_MS)
}

/// When the broker adapter looked at the account.
#[must_use]
pub fn said_ms(account: &Value) -> Option<i64> {
    Some(Timestamp::parse(account["at"].as_str()?).ok()?.nanos() / 1_000_000)
}

impl Account {
    fn show<B: Broker, C: Channel, L: Lines>(
        &mut self,
        here: &Here<'_>,
        adapter: &mut Adapter<B, C, L>,
        own_market: bool,
    ) -> Result<()> {
        let now = here.now_ms();
        if adapter.happened() != self.happened {
            (self.happened, self.lively_until) = (adapter.happened(), now + LIVELY_MS);
        }
        let lively = own_market || self.flattening || now < self.lively_until;
        if now - self.looked < if lively { SHOW_MS } else { QUIET_MS } {
            return Ok(());
        }
        self.looked = now;
        let (text, body) = match adapter.status() {
            Ok(status) => {
                (self.flattening, self.failed) = (status.flattening, String::new());
                (serde_json::to_string(&status)?, json!({ "flat": status.is_flat(), "status": status }))
            }
            Err(failure) => {
                // Nobody may take what was said before for what is.
                let (text, flattening) = (failure.to_string(), self.flattening);
                if text != self.failed {
                    here.warn(&text);
                    self.failed.clone_from(&text);
                }
                let status = json!({ "flattening": flattening, "holdings": [] });
                (text.clone(), json!({ "flat": false, "failed": text, "status": status }))
            }
        };
        if text != self.shown || now - self.said >= SAID_MS {
            let mut body = body;
            body["at"] = json!((here.now)());
            body["every_ms"] = json!(if own_market { SAID_MS } else { QUIET_MS });
            here.show(ACCOUNT, &body)?;
            (self.shown, self.said) = (text, now);
        }
        Ok(())
    }
}
