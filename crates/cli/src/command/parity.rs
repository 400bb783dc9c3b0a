//! `algotrading parity`

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use domain::{Bar, Calendar, CorporateAction, InstrumentId, Money, SessionDate, Strategy, Symbol};
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
use crate::live::heads::HEADS;
use crate::live::kept::{MARKET, told};
use crate::live::paper::history_kept;
use crate::live::{feeds, limits};
use crate::origin;
use crate::print::{Reply, table};

#[derive(Debug, Serialize)]
struct Answer {
    account: Money,
    simulated: Money,
    difference: Money,
    /// The session that is still open, and left out.
    open: Option<SessionDate>,
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
    let path = place.file(JOURNAL);
    let proof = super::journal::prove(&path, &place.file(HEADS))?;
    let Some(closed) = proof.closed else {
        bail!("the account has closed no session yet: there is nothing to compare")
    };
    let cannot_use = || format!("cannot use the journal `{}`", path.display());
    let mut live = Tally::new(account.facts.cash);
    let (mut last, mut open, mut seen) = (None, None, Seen::default());
    for entry in journal::open(&path).with_context(cannot_use)? {
        let entry = entry.with_context(cannot_use)?;
        let opened = if let Event::SessionOpened(session) = entry.event { Some(session.date) } else { None };
        if entry.seq > closed {
            open = opened.or(open);
            continue;
        }
        last = opened.or(last);
        seen.saw(&entry.event);
        live.observe(&entry.event, &entry.records)?;
    }
    let Some(last) = last else { bail!("the account has closed no session yet: there is nothing to compare") };
    let told = seen.told(&place, &account.facts.symbols, last)?;
    let first = told.bars().first().map(|bar| bar.session).context("the account has seen no session whole yet")?;
    let market = from_lake(&account, &args.lake.lake, first, last)?;
    let simulated = simulate(&place, &account, &args.lake.lake, &told)?;
    let now = simulate(&place, &account, &args.lake.lake, &market)?;
    // What the simulator makes of other prices is a difference of data, whatever it traded.
    let mut items = compare(&live, &simulated)?;
    items.extend(compare(&simulated, &now)?.into_iter().map(|item| match item.cause {
        Cause::Rounding | Cause::Unexplained => item,
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
        open,
        by_cause,
        items: named.collect(),
    };
    let mut reply = if args.json { Reply::json(&answer)? } else { Reply::ok(text(&answer)) };
    if let Some(amount) = answer.by_cause.get(&Cause::Unexplained.to_string()) {
        reply.failed = true;
        reply.said = format!("error: nothing that the account and the simulator tell makes a difference of {amount}\n");
    }
    Ok(reply)
}

fn text(answer: &Answer) -> String {
    let Answer { account, simulated, difference, .. } = answer;
    let mut text = format!("equity {account}, in the simulator {simulated}: a difference of {difference}\n");
    if let Some(open) = answer.open {
        text.push_str(&format!("the session {open} is still open, and left out\n"));
    }
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

/// What of the market the journal has.
#[derive(Default)]
struct Seen {
    bars: BTreeMap<(SessionDate, InstrumentId), Bar>,
    actions: Vec<CorporateAction>,
}

impl Seen {
    fn saw(&mut self, event: &Event) {
        match event {
            Event::Bar(bar) => drop(self.bars.insert((bar.session, bar.instrument), *bar)),
            Event::Action(action) => self.actions.push(*action),
            _ => {}
        }
    }

    /// The same as it was told, as a market; what is told twice counts once.
    fn told(&self, place: &Place, symbols: &[Symbol], last: SessionDate) -> Result<Recorded> {
        let (mut bars, mut actions, mut restated) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut strange = None;
        for event in told(place)? {
            match event {
                Market::Bar { bar, traded } if bar.session <= last => {
                    let key = (bar.session, bar.instrument);
                    if self.bars.get(&key) != Some(&bar) {
                        strange.get_or_insert(key);
                    } else if bars.insert(key, bar).is_none() && traded != bar {
                        restated.push(traded);
                    }
                }
                Market::Action(action) if action.ex_date <= last && !actions.contains(&action) => actions.push(action),
                _ => {}
            }
        }
        let lacks = self.bars.keys().find(|key| !bars.contains_key(key)).copied();
        let extra = strange.filter(|key| !bars.contains_key(key));
        let action = self.actions.iter().find(|action| !actions.contains(action));
        let action = action.or_else(|| actions.iter().find(|action| !self.actions.contains(action)));
        let action = action.map(|action| (action.ex_date, action.instrument));
        for (what, found) in [("bar", lacks.or(extra)), ("corporate action", action)] {
            if let Some((session, instrument)) = found {
                let symbol = symbols.get(instrument.index()).map_or("?", Symbol::as_str);
                bail!(
                    "`{}` does not fit the journal beside it: the {what} of {symbol} on {session} is another, or stands in \
                     one of them alone; restore it from a copy",
                    place.file(MARKET).display()
                );
            }
        }
        Ok(Recorded::new(Calendar::nyse(), bars.into_values().collect(), actions, restated)?)
    }
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
    let inputs = super::inputs(&config, &origin::of(place.folder())?, location)?;
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
