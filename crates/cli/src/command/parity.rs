//! `algotrading parity`

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use domain::{Calendar, Money, SessionDate, Strategy};
use engine::{Cancels, Engine, Event};
use serde::Serialize;
use simulator::{Market as Recorded, Venue};
use trading::Market;
use trading::feed::warm_up;
use trading::parity::{Cause, Item, Tally, compare};

use crate::args::Parity as Args;
use crate::config::{Data, RunConfig};
use crate::folder::JOURNAL;
use crate::live::account::{Account, Place};
use crate::live::kept::told;
use crate::live::paper::history_kept;
use crate::live::{feeds, limits};
use crate::print::{Reply, table};

#[derive(Debug, Serialize)]
struct Answer {
    account: Money,
    simulated: Money,
    difference: Money,
    by_cause: BTreeMap<String, Money>,
    items: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Named {
    session: Option<SessionDate>,
    sym: Option<String>,
    cause: Cause,
    amount: Money,
    what: String,
}

pub(super) fn run(args: &Args) -> Result<Reply> {
    let place = Place::at(&args.folder);
    let Some(account) = place.account()? else {
        bail!("`{}` is no account; give the folder that `algotrading paper` or `live` wrote", args.folder.display());
    };
    let mut live = Tally::new(account.facts.cash);
    let path = place.file(JOURNAL);
    let cannot_use = || format!("cannot use the journal `{}`", path.display());
    let mut last = None;
    for entry in journal::open(&path).with_context(cannot_use)? {
        let entry = entry.with_context(cannot_use)?;
        if let Event::SessionOpened(session) = entry.event {
            last = Some(session.date);
        }
        live.observe(&entry.event, &entry.records)?;
    }
    let told = told(&place)?;
    let Some(last) = last else { bail!("the account has not traded yet") };
    let told = recorded(&told, last)?;
    let first = told.bars().first().map(|bar| bar.session).context("the account has seen no session whole yet")?;
    let market = from_lake(&account, &args.lake.lake, first, last)?;
    let simulated = simulate(&place, &account, &args.lake.lake, &told)?;
    let now = simulate(&place, &account, &args.lake.lake, &market)?;
    // What the simulator makes of other prices is a difference of data, whatever it traded.
    let mut items = compare(&live, &simulated)?;
    items.extend(compare(&simulated, &now)?.into_iter().map(|item| match item.cause {
        Cause::Rounding => item,
        cause => Item {
            cause: Cause::Data,
            what: format!("prices as the lake has them now: {cause}, {}", item.what),
            ..item
        },
    }));
    let (account_equity, simulated_equity) = (live.equity(), now.equity());
    let mut by_cause = BTreeMap::new();
    for item in &items {
        let sum: &mut Money = by_cause.entry(item.cause.to_string()).or_default();
        *sum = sum.add(item.amount)?;
    }
    let symbols = &account.facts.symbols;
    let named = items.into_iter().map(|item| Named {
        session: item.session,
        sym: item.instrument.and_then(|id| symbols.get(id as usize)).map(ToString::to_string),
        cause: item.cause,
        amount: item.amount,
        what: item.what,
    });
    let answer = Answer {
        account: account_equity,
        simulated: simulated_equity,
        difference: account_equity.sub(simulated_equity)?,
        by_cause,
        items: named.collect(),
    };
    if args.json { Reply::json(&answer) } else { Ok(Reply::ok(text(&answer))) }
}

fn text(answer: &Answer) -> String {
    let Answer { account, simulated, difference, .. } = answer;
    let mut text = format!("equity {account}, in the simulator {simulated}: a difference of {difference}\n");
    if answer.items.is_empty() {
        return text;
    }
    let rows: Vec<Vec<String>> = answer
        .items
        .iter()
        .map(|item| {
            let session = item.session.map_or_else(String::new, |session| session.to_string());
            let (sym, cause) = (item.sym.clone().unwrap_or_default(), item.cause.to_string());
            vec![session, sym, cause, item.what.clone(), item.amount.to_string()]
        })
        .collect();
    text.push_str(&table(&["session", "sym", "cause", "what", "amount"], &rows, 4));
    for (cause, amount) in &answer.by_cause {
        text.push_str(&format!("{cause}: {amount}\n"));
    }
    text
}

/// The sessions that were told whole, as a market.
fn recorded(events: &[Market], last: SessionDate) -> Result<Recorded> {
    let (mut bars, mut actions, mut restated) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        match event {
            Market::Bar { bar, traded } if bar.session <= last && !bars.contains(bar) => {
                bars.push(*bar);
                if traded != bar {
                    restated.push(*traded);
                }
            }
            Market::Action(action) if action.ex_date <= last && !actions.contains(action) => actions.push(*action),
            _ => {}
        }
    }
    Ok(Recorded::new(Calendar::nyse(), bars, actions, restated)?)
}

fn from_lake(account: &Account, location: &str, first: SessionDate, last: SessionDate) -> Result<Recorded> {
    let symbols = account.facts.symbols.clone();
    feeds::history(location, &Data { symbols, from: Some(first), to: Some(last) }, None)
}

fn config(account: &Account) -> Result<RunConfig> {
    RunConfig::layered(toml::from_str(&account.facts.config).context("the account's run file")?, [], &[])
}

/// What the simulator makes of a market with the account's strategy, limits and costs.
fn simulate(place: &Place, account: &Account, location: &str, market: &Recorded) -> Result<Tally> {
    let config = config(account)?;
    let instruments = account.facts.symbols.len();
    let inputs = super::inputs(&config, Path::new("run.toml"), location)?;
    let mut strategy: Box<dyn Strategy + Send> = config.strategy.build(instruments, inputs)?;
    if let Some(history) = history_kept(place)? {
        warm_up(&mut strategy, instruments, Calendar::nyse(), &history);
    }
    let limits = config.risk.and(&limits::text(&account.limits)?.limits);
    let engine = Engine::new(strategy, account.facts.cash, instruments, limits);
    let mut engine = engine.at_venue(&account.facts.symbols, Cancels::AtOnce);
    let mut venue = Venue::new(config.costs, instruments);
    let (mut tally, mut failed) = (Tally::new(account.facts.cash), None);
    let mut observe = |event: &Event, step: &engine::Step| {
        if failed.is_none() {
            failed = tally.observe(event, &step.records).err();
        }
    };
    simulator::run(Calendar::nyse(), market, &mut engine, &mut venue, &mut observe)?;
    match failed {
        Some(overflow) => Err(overflow.into()),
        None => Ok(tally),
    }
}
