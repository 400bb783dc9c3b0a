//! `algotrading paper`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{backtest, data};
use crate::args::{Look, Paper as Args};
use crate::config::RunConfig;
use crate::layers;
use crate::live::account::{Place, name_of};
use crate::live::limits;
use crate::live::paper::{Paper, Source, usual_place};
use crate::live::watch::{self, Wanted, Watch};
use crate::origin;
use crate::print::Reply;

pub(super) fn run(args: &Args) -> Result<Reply> {
    let config = RunConfig::load(&args.run_file.run, layers::environment(), &args.run_file.set)?;
    let strategy = args.name.clone().unwrap_or_else(|| name_of(&args.run_file.run));
    let place = Place::at(args.out.clone().unwrap_or_else(|| usual_place(&strategy)));
    let house = args.limits.as_deref().map_or_else(|| Ok(limits::none()), limits::read)?;
    let location = args.run_file.lake.lake.clone();
    let inputs = super::inputs(&config, &args.run_file.run, &location)?;
    let source = match args.feed.as_deref() {
        None => Source::Lake { follow: args.follow },
        Some(_) if args.follow => bail!("--follow waits for new sessions of the lake; a --feed ends when it ends"),
        Some(path) => Source::Named(Path::new(path).to_owned()),
    };
    let pace = args.sessions_per_second.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let account = place.open("paper", &strategy, &config, &house.text)?;
    let wanted = wanted(&args.look, !matches!(source, Source::Named(_)))?;
    let traded = config.strategy.clone();
    let paper = Paper { place, account, config, inputs, location, house, source, pace, clock: now }.begin()?;
    origin::keep(paper.place().folder(), &args.run_file.run, &traded)?;
    let stop = stop_on_signals();
    let watch = Watch::open(wanted, paper.place(), paper.account(), now)?;
    let finished = paper.run(&stop, &watch);
    watch.close();
    let finished = finished?;
    backtest::reply(&finished, args.json)
}

/// Who looks.
pub(super) fn wanted(look: &Look, replayed: bool) -> Result<Wanted> {
    let page = look.page.map(watch::listen).transpose()?;
    Ok(Wanted { page, view: look.view, by: look.by.clone(), replayed })
}

/// The time by the machine's clock.
pub(super) fn now() -> domain::Timestamp {
    data::now().unwrap_or_default()
}

/// Set when the user or the system wants the program to end.
pub(super) fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    tokio::spawn(async move {
        crate::serving::told_to_stop().await;
        set.store(true, Ordering::Relaxed);
    });
    stop
}
