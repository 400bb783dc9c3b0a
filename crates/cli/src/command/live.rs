//! `algotrading live`, and what people say to an account that trades.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;
use domain::Money;

use super::{backtest, data, paper};
use crate::args::{BrokerName, Live, Say};
use crate::config::RunConfig;
use crate::layers;
use crate::live::account::{Account, Place, name_of};
use crate::live::brokers::{Ready, takes};
use crate::live::feeds;
use crate::live::kept::journal_goes_on_after;
use crate::live::kill;
use crate::live::limits;
use crate::live::paper::has_history;
use crate::live::real::{Real, usual_place};
use crate::live::requests::{self, Ask, Wish};
use crate::live::watch::{Left, Watch};
use crate::origin;
use crate::print::Reply;

pub(super) fn run(args: &Live) -> Result<Reply> {
    if !args.trade_real_money {
        bail!(
            "this sends orders to a broker; say --trade-real-money if that is what you want, or use `algotrading paper`"
        );
    }
    let config = RunConfig::load(&args.run_file.run, layers::environment(), &args.run_file.set)?;
    takes(args.broker, &config.strategy)?;
    let house = limits::read(&args.limits)?;
    let strategy = args.name.clone().unwrap_or_else(|| name_of(&args.run_file.run));
    let broker_name = args.broker.name();
    let place = Place::at(args.out.clone().unwrap_or_else(|| usual_place(broker_name, &strategy)));
    let location = args.run_file.lake.lake.clone();
    let inputs = super::inputs(&config, &args.run_file.run, &location)?;
    let account = place.open(broker_name, &strategy, &config, &house.text)?;
    config.strategy.build(config.data.symbols.len(), inputs.clone())?;
    let broker = Ready::of(args.broker, &place)?;
    broker.admitted()?;
    has_history(&place, &location)?;
    let after = journal_goes_on_after(&place)?;
    let feed = feeds::named(&args.feed, &config.data.symbols, after, paper::now)?;
    let wanted = paper::wanted(&args.look, false)?;
    place.keep(&account)?;
    origin::keep(place.folder(), &args.run_file.run, &config.strategy)?;
    let broker = broker.begin()?;
    let (tolerance, silence_s) = (args.cash_tolerance, args.silence);
    let real = Real {
        place,
        account,
        config,
        inputs,
        location,
        house,
        broker,
        feed: Some(feed),
        tolerance,
        silence_s,
        clock: paper::now,
    };
    let stop = paper::stop_on_signals();
    let watch = Watch::open(wanted, &real.place, &real.account, paper::now)?;
    let finished = real.run(&stop, &watch);
    let left = watch.close();
    match finished.and_then(|finished| backtest::reply(&finished, args.json)) {
        Ok(reply) => Ok(Reply { said: said(&left, &strategy), failed: !left.compared, ..reply }),
        Err(error) => {
            eprint!("{}", working(&left, &strategy));
            Err(error)
        }
    }
}

/// What a person must know of an account that nobody trades any more.
fn said(left: &Left, strategy: &str) -> String {
    let mut said = working(left, strategy);
    if !left.compared {
        let trouble = left.seen.as_ref().and_then(|seen| seen.trouble.as_deref());
        said.push_str(&format!(
            "error: the books were never compared with the broker's since the program started ({}): what it says of the \
             account is by its own books alone\n",
            trouble.unwrap_or("it ended before that")
        ));
    }
    said
}

/// Orders that work at the broker, by the account's own books.
fn working(left: &Left, strategy: &str) -> String {
    let orders = left.seen.as_ref().map_or(&[][..], |seen| &seen.orders);
    if orders.is_empty() {
        return String::new();
    }
    let mut lines = String::new();
    for order in orders {
        let side = if order.quantity.signum() < 0 { "sell" } else { "buy" };
        lines.push_str(&format!("  {side} {} {} {} ({})\n", order.remaining.abs(), order.symbol, order.at, order.id));
    }
    let (count, verb) =
        if orders.len() == 1 { ("1 order".to_owned(), "works") } else { (format!("{} orders", orders.len()), "work") };
    format!(
        "warning: {count} still {verb} at the broker, and nobody watches what becomes of them: start this command again, or \
         close everything with `algotrading kill --strategy {strategy} --by NAME`\n{lines}"
    )
}

/// Does what was asked of an account that no program trades.
pub(super) fn obey_alone(place: &Place, account: &Account, location: &str, wait: Duration) -> Result<Option<String>> {
    let table = toml::from_str(&account.facts.config).context("the account's run file")?;
    let config = RunConfig::layered(table, [], &[])?;
    let inputs = super::inputs(&config, &origin::of(place.folder())?, location)?;
    let name = BrokerName::from_str(&account.broker, false).map_err(anyhow::Error::msg)?;
    let real = Real {
        place: place.clone(),
        account: account.clone(),
        config,
        inputs,
        location: location.to_owned(),
        house: limits::text(&account.limits)?,
        broker: Ready::of(name, place)?.begin()?,
        feed: None,
        tolerance: Money::ZERO,
        silence_s: u32::MAX,
        clock: paper::now,
    };
    real.obey(wait)
}

/// Appends what a person says to the accounts that are meant; to all that take it, before it tells of one that does not.
pub(super) fn say(args: &Say, ask: &Ask) -> Result<Reply> {
    let mut reply = Reply::default();
    let (by, reason) = (args.by.clone(), args.reason.clone());
    let request = Wish { ask: ask.clone(), by, reason }.checked()?.at(data::now()?);
    for meant in kill::accounts(&args.root, &args.which.which())? {
        let said = meant.account.map_err(anyhow::Error::msg).and_then(|account| {
            let id = requests::ask(&meant.place, &request)?;
            Ok(format!("{} on {}: request {id} is written", account.strategy, account.broker))
        });
        match said {
            Ok(line) => reply.text.push_str(&format!("{line}\n")),
            Err(error) => {
                reply.failed = true;
                reply.said.push_str(&format!("error: {}: {error:#}\n", meant.place.folder().display()));
            }
        }
    }
    Ok(reply)
}
