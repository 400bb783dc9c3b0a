//! `algotrading eod`

use anyhow::Result;

use super::data;
use crate::args::Eod;
use crate::eod::local::{self, Request, Timeline};
use crate::print::{Reply, table};

pub(super) fn run(args: &Eod) -> Result<Reply> {
    let request = Request {
        lake: &args.lake.lake,
        session: args.date,
        exchange: args.exchange.as_deref(),
        model: args.model.as_deref(),
        now: data::now()?,
    };
    let timeline = local::day(&request)?;
    let mut reply = if args.json { Reply::json(&timeline)? } else { Reply::ok(text(&timeline)) };
    reply.failed = timeline.state == "failed";
    if let (Some(failure), true) = (&timeline.failure, args.json || reply.failed) {
        anyhow::ensure!(args.json, "{}{failure}", steps_so_far(&timeline));
    }
    Ok(reply)
}

/// What was done before the failure; a person reads it above the sentence.
fn steps_so_far(timeline: &Timeline) -> String {
    match timeline.steps.last() {
        Some(last) => format!("the end of day of {} failed after the step `{}`: ", timeline.session, last.step),
        None => String::new(),
    }
}

fn text(timeline: &Timeline) -> String {
    let rows: Vec<Vec<String>> = timeline
        .steps
        .iter()
        .map(|one| vec![one.step.to_owned(), format!("{:.3} s", one.seconds), one.said.clone()])
        .collect();
    let mut text = table(&["step", "took", "came to"], &rows, 1);
    for (subject, said) in &timeline.notices {
        text.push_str(&format!("\n{subject}\n\n{said}"));
    }
    for report in &timeline.reports {
        text.push_str(&format!("{}\n", report.url));
    }
    text
}
