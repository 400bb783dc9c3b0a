//! `algotrading-aws`, which `algotrading aws` runs: what a person does about the programs that are always on AWS.

use std::cell::Cell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use algotrading::args::ModeName;
use algotrading::live::requests::{Ask, Request, Wish};
use algotrading::print::{Reply, table};
use anyhow::{Context, Result};
use aws::Aws;
use clap::{Args, Parser, Subcommand};
use domain::SessionDate;
use kit::World;
use ports::objects::Objects;
use serde::Serialize;
use services::Here;
use services::fetch::fetch;
use services::operator::Around;
use services::operator::kill::Killed;
use services::operator::standing::{Runner, Standing};

/// The programs that are always on AWS: how they stand, what they may do, their journals.
#[derive(Debug, Parser)]
#[command(
    name = "algotrading aws",
    version,
    after_help = "\
Tables, lake and archive are outputs of the stack; account and region come from the environment, as for any client of AWS.

Examples:
  export RECORDS_TABLE=… JOURNAL_TABLE=… LAKE=s3://…/lake ARCHIVE=s3://…/journal
  algotrading aws status
  algotrading aws kill --strategy sma --by alice --reason \"wrong prices\"
  algotrading aws control normal --strategy sma --by alice --reason \"looked at\"
  algotrading aws journal sma --out sma && algotrading journal verify sma"
)]
struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    verb: Verb,
}

/// Where things lie.
#[derive(Debug, Args)]
struct Places {
    /// Table of the records; RECORDS_TABLE unless said.
    #[arg(long, global = true, value_name = "TABLE")]
    records: Option<String>,
    /// Table of the journals; JOURNAL_TABLE unless said.
    #[arg(long, global = true, value_name = "TABLE")]
    journals: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How strategies stand: mode, positions, orders, who writes the journal.
    Status {
        /// This one; all of them unless said.
        #[arg(long, value_name = "NAME")]
        strategy: Option<String>,
    },
    /// Cancel everything and close everything, now; prints a timed record, and fails until it is flat.
    Kill {
        #[command(flatten)]
        which: Which,
        /// Who asks for it.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why.
        #[arg(long, default_value = "kill switch", value_name = "TEXT")]
        reason: String,
        /// Seconds to watch.
        #[arg(long, default_value_t = 120)]
        wait: u16,
    },
    /// Say what a strategy may still do.
    Control {
        /// What may still be done.
        #[arg(value_enum)]
        mode: ModeName,
        #[command(flatten)]
        say: Say,
        /// The first session at whose close it is obeyed; the one that is traded now unless said. For a strategy of the
        /// scheduled day it must be said: one that was not run yet.
        #[arg(long, value_name = "DATE", value_parser = date)]
        from: Option<SessionDate>,
    },
    /// Accept the broker's books after they differed.
    Accept(Say),
    /// Enable a strategy again that repeated itself too often.
    Reenable(Say),
    /// Put the journal of a strategy into a folder, for `algotrading journal verify|show|replay`.
    ///
    /// Reads the run file in LAKE, and the heads in ARCHIVE where that is set: nobody can change those, so that `verify`
    /// finds a table that was written anew.
    Journal {
        /// Whose.
        strategy: String,
        /// Folder to make.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Which strategies.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// This one.
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// Every one that is traded all day.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct Say {
    #[command(flatten)]
    which: Which,
    /// Who says it.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

fn date(text: &str) -> Result<SessionDate, String> {
    SessionDate::parse(text).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")
        .and_then(|runtime| {
            runtime.block_on(async {
                let world = World { aws: Aws::load().await };
                tokio::task::spawn_blocking(move || run(&world, cli)).await.context("it stopped in the middle")?
            })
        });
    match done {
        Ok(reply) => {
            // The reader may have seen enough (`| head`).
            let _ = std::io::stdout().lock().write_all(reply.text.as_bytes());
            ExitCode::from(u8::from(reply.failed))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(world: &World, cli: Cli) -> Result<Reply> {
    let place = |said: Option<String>, option: &str, variable: &str| {
        said.or_else(|| world.perhaps(variable))
            .with_context(|| format!("say --{option}, or set {variable}: an output of the stack"))
    };
    let name = place(cli.places.records, "records", "RECORDS_TABLE")?;
    let records = world.aws.records(&name);
    let journals = world.aws.lines(&place(cli.places.journals, "journals", "JOURNAL_TABLE")?);
    let (table, lake) = (Arc::new(journals), world.perhaps("LAKE"));
    let around = Around { records: &records, place: name, table, lake, now: World::clock };
    let json = cli.places.json;
    match cli.verb {
        Verb::Status { strategy } => {
            let all = around.strategies(strategy.as_deref())?;
            status(&all.into_iter().map(|one| (around.standing(&one), one)).collect::<Vec<_>>(), json)
        }
        Verb::Kill { which, by, reason, wait } => {
            let request = wish(Ask::Control(ModeName::Flatten.into()), by, reason)?;
            let all = around.strategies(which.strategy.as_deref())?;
            let killed = around.kill(&all, &request, Duration::from_secs(u64::from(wait)));
            let mut reply = if json { Reply::json(&killed)? } else { Reply::ok(timed(&killed)) };
            reply.failed = killed.iter().any(|one| !one.flat);
            Ok(reply)
        }
        Verb::Control { mode, say, from } => said(&around, say, Ask::Control(mode.into()), from),
        Verb::Accept(say) => said(&around, say, Ask::Accept, None),
        Verb::Reenable(say) => said(&around, say, Ask::Reenable, None),
        Verb::Journal { strategy, out } => {
            let figures = world.figures();
            let here = Here {
                program: "algotrading aws journal",
                strategy,
                location: world.perhaps("LAKE").context("set LAKE: an output of the stack")?,
                records: &records,
                figures: &figures,
                stop: &AtomicBool::new(false),
                now: World::clock,
                log: &|_| {},
                lease_ms: 0,
                beaten: Cell::new(0),
            };
            if world.perhaps("ARCHIVE").is_none() {
                eprintln!("warning: ARCHIVE is not set: nothing outside the table is held against the journal");
            }
            let archive = world.perhaps("ARCHIVE").map(|place| world.aws.objects(&place)).transpose()?;
            let archive = archive.as_ref().map(|archive| archive as &dyn Objects);
            let fetched = fetch(&here, &around.table, archive, &out)?;
            if json {
                return Reply::json(&fetched);
            }
            Ok(Reply::ok(format!(
                "{}: run {} on {}, {} steps, {} heads of the archive\nnow: algotrading journal verify {0}\n",
                out.display(),
                fetched.run_id,
                fetched.broker,
                fetched.steps,
                fetched.heads
            )))
        }
    }
}

fn wish(ask: Ask, by: String, reason: String) -> Result<Request> {
    Ok(Wish { ask, by, reason }.checked()?.at(World::clock()))
}

/// Asks every strategy that is meant, before it fails because of one that cannot be.
fn said(around: &Around<'_>, say: Say, ask: Ask, from: Option<SessionDate>) -> Result<Reply> {
    let request = wish(ask, say.by, say.reason)?;
    let mut reply = Reply::default();
    for strategy in around.strategies(say.which.strategy.as_deref())? {
        match around.say(&strategy, &request, from) {
            Ok(()) => reply.text.push_str(&format!("{strategy}: written down\n")),
            Err(error) => {
                reply.failed = true;
                eprintln!("error: {strategy}: {error:#}");
            }
        }
    }
    Ok(reply)
}

/// A strategy of the answer to `status --json`.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Stands(&'a Standing),
    Failed { strategy: &'a str, failed: String },
}

/// Tells of every strategy that can be told of, before it fails because of one that cannot.
fn status(all: &[(Result<Standing>, String)], json: bool) -> Result<Reply> {
    let standing: Vec<&Standing> = all.iter().filter_map(|(standing, _)| standing.as_ref().ok()).collect();
    let failed = all.iter().filter_map(|(standing, strategy)| Some((strategy, standing.as_ref().err()?)));
    for (strategy, error) in failed {
        eprintln!("error: {strategy}: {error:#}");
    }
    let mut reply = if json {
        let shown = all.iter().map(|(standing, strategy)| match standing {
            Ok(standing) => Shown::Stands(standing),
            Err(error) => Shown::Failed { strategy, failed: format!("{error:#}") },
        });
        Reply::json(&shown.collect::<Vec<_>>())?
    } else if standing.is_empty() {
        Reply::default()
    } else {
        Reply::ok(stands(&standing))
    };
    reply.failed = standing.len() < all.len() || standing.iter().any(|one| one.control_failed.is_some());
    Ok(reply)
}

fn stands(all: &[&Standing]) -> String {
    let titles = ["strategy", "session", "runner", "mode", "equity", "held", "orders", "at the broker", "in the way"];
    let row = |one: &&Standing| {
        let snapshot = &one.snapshot;
        let held = snapshot.positions.iter().filter(|position| !position.quantity.is_zero());
        let held: Vec<String> = held.map(|position| format!("{} {}", position.quantity, position.symbol)).collect();
        let session = snapshot.session.map_or_else(|| "none".to_owned(), |session| session.to_string());
        let mode = match &one.ordered {
            _ if one.runner == Runner::TakenOver && one.broker_closes => "flatten, by the guardian".to_owned(),
            Some(entry) if !one.obeyed => format!("{}, not {} as ordered", snapshot.mode, entry.mode),
            _ => snapshot.mode.to_string(),
        };
        let flat = one.broker_flat.map_or("not known", |flat| if flat { "flat" } else { "not flat" });
        vec![
            one.strategy.clone(),
            format!("{session}{}", if snapshot.closed { ", closed" } else { "" }),
            match one.runner {
                Runner::Trading => format!("trading, {} s ago", one.silent_s),
                Runner::Stopped => format!("stopped, {} s ago", one.silent_s),
                Runner::Silent => format!("silent for {} s", one.silent_s),
                Runner::TakenOver => "the guardian took over".to_owned(),
            },
            mode,
            snapshot.equity.to_string(),
            if held.is_empty() { "nothing".to_owned() } else { held.join(", ") },
            snapshot.orders.len().to_string(),
            one.broker_silent_s.map_or_else(|| flat.to_owned(), |ago| format!("{flat}, {ago} s ago")),
            if one.in_the_way.is_empty() { "nothing".to_owned() } else { one.in_the_way.join("; ") },
        ]
    };
    table(&titles, &all.iter().map(row).collect::<Vec<_>>(), 9)
}

fn timed(killed: &[Killed]) -> String {
    let mut text = String::new();
    for one in killed {
        text.push_str(&format!("{}\n", one.strategy));
        for moment in &one.record {
            text.push_str(&format!("  {:9.3} s  {}\n", moment.seconds, moment.what));
        }
    }
    text
}
