//! `algotrading live`, and what people say to an account that trades.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;
use domain::Money;

use super::{backtest, data, paper};
use crate::args::{BrokerName, Live, Say};
use crate::config::RunConfig;
use crate::layers;
use crate::live::account::{Account, Place, name_of};
use crate::live::brokers::{connect, takes};
use crate::live::feeds;
use crate::live::kept::journal_goes_on_after;
use crate::live::kill;
use crate::live::limits;
use crate::live::real::{Real, usual_place};
use crate::live::requests::{self, Ask, Wish};
use crate::live::watch::Watch;
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
    let after = journal_goes_on_after(&place)?;
    let feed = feeds::named(&args.feed, &config.data.symbols, after, paper::now)?;
    account.owner()?;
    let broker = connect(args.broker, &place)?;
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
    let watch = Watch::open(&paper::wanted(&args.look, false), &real.place, &real.account, paper::now)?;
    let finished = real.run(&stop, &watch);
    watch.close();
    let finished = finished?;
    backtest::reply(&finished, args.json)
}

/// Does what was asked of an account that no program trades.
pub(super) fn obey_alone(place: &Place, account: &Account, location: &str, wait: Duration) -> Result<Option<String>> {
    let table = toml::from_str(&account.facts.config).context("the account's run file")?;
    let config = RunConfig::layered(table, [], &[])?;
    let inputs = super::inputs(&config, Path::new("run.toml"), location)?;
    let name = BrokerName::from_str(&account.broker, false).map_err(anyhow::Error::msg)?;
    let real = Real {
        place: place.clone(),
        account: account.clone(),
        config,
        inputs,
        location: location.to_owned(),
        house: limits::text(&account.limits)?,
        broker: connect(name, place)?,
        feed: None,
        tolerance: Money::ZERO,
        silence_s: u32::MAX,
        clock: paper::now,
    };
    real.obey(wait)
}

/// Appends what a person says to the accounts that are meant; to all that take it, before it tells of one that does not.
pub(super) fn say(args: &Say, ask: &Ask) -> Result<Reply> {
    let (mut text, mut failed) = (String::new(), false);
    let (by, reason) = (args.by.clone(), args.reason.clone());
    let request = Wish { ask: ask.clone(), by, reason }.checked()?.at(data::now()?);
    for meant in kill::accounts(&args.root, &args.which.which())? {
        let said = meant.account.map_err(anyhow::Error::msg).and_then(|account| {
            let id = requests::ask(&meant.place, &request)?;
            Ok(format!("{} on {}: request {id} is written", account.strategy, account.broker))
        });
        let said = said.unwrap_or_else(|error| {
            failed = true;
            format!("{}: {error:#}", meant.place.folder().display())
        });
        text.push_str(&format!("{said}\n"));
    }
    Ok(Reply { text, failed })
}
