//! `algotrading kill`

use std::time::Duration;

use anyhow::Result;
use engine::Mode;

use super::{data, live};
use crate::args::Kill;
use crate::live::kill::{self, Killed};
use crate::live::requests::{Ask, Wish};
use crate::print::Reply;

pub(super) fn run(args: &Kill) -> Result<Reply> {
    let which = args.which.which();
    let meant = kill::accounts(&args.root, &which)?;
    let (by, reason) = (args.by.clone(), args.reason.clone());
    let request = Wish { ask: Ask::Control(Mode::Flatten), by, reason }.checked()?.at(data::now()?);
    let wait = Duration::from_secs(u64::from(args.wait));
    let runtime = tokio::runtime::Handle::current();
    let killed = kill::kill(&meant, &which, &request, wait, &|place, account, wait| {
        // A lake on S3 is read by this runtime, from whatever thread.
        let _entered = runtime.enter();
        live::obey_alone(place, account, &args.lake.lake, wait)
    });
    let mut reply = if args.json { Reply::json(&killed)? } else { Reply::ok(text(&killed)) };
    reply.failed = killed.iter().any(|one| !one.flat);
    Ok(reply)
}

fn text(killed: &[Killed]) -> String {
    let mut text = String::new();
    for one in killed {
        let name = if one.strategy.is_empty() { "?".to_owned() } else { format!("{} on {}", one.strategy, one.broker) };
        text.push_str(&format!("{name} ({})\n", one.folder.display()));
        for moment in &one.record {
            text.push_str(&format!("  {:9.3} s  {}\n", moment.seconds, moment.what));
        }
    }
    text
}
