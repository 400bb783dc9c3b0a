//! `algotrading kill`

use std::time::Duration;

use anyhow::Result;

use super::{data, live};
use crate::args::Kill;
use crate::live::kill::{self, Killed};
use crate::print::Reply;

pub(super) fn run(args: &Kill) -> Result<Reply> {
    let accounts = kill::accounts(&args.root, &args.which.which())?;
    let wait = Duration::from_secs(u64::from(args.wait));
    let killed = kill::kill(&accounts, &args.by, &args.reason, data::now()?, wait, &|place, account, wait| {
        live::obey_alone(place, account, &args.lake.lake, wait)
    })?;
    let mut reply = if args.json { Reply::json(&killed)? } else { Reply::ok(text(&killed)) };
    reply.failed = killed.iter().any(|one| !one.flat);
    Ok(reply)
}

fn text(killed: &[Killed]) -> String {
    let mut text = String::new();
    for one in killed {
        text.push_str(&format!("{} on {} ({})\n", one.strategy, one.broker, one.folder.display()));
        for moment in &one.record {
            text.push_str(&format!("  {:9.3} s  {}\n", moment.seconds, moment.what));
        }
    }
    text
}
