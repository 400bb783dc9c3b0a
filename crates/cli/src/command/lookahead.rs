//! `algotrading lookahead-check`

use anyhow::Result;

use crate::args::LookaheadCheck;
use crate::lookahead;
use crate::print::{Reply, count};

pub(super) fn run(args: &LookaheadCheck) -> Result<Reply> {
    let prepared = super::prepare(&args.run_file)?;
    let verdict = lookahead::check(&prepared, usize::from(args.cuts), |_| prepared.strategy())?;
    let failed = !verdict.leaks.is_empty();
    if args.json {
        return Ok(Reply { failed, ..Reply::json(&verdict)? });
    }
    let mut text = String::new();
    for leak in &verdict.leaks {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        text.push_str(&format!(
            "{}: decided {} with all data, {} when the data ends on {}\n",
            leak.session,
            or_nothing(&leak.with_all),
            or_nothing(&leak.without),
            leak.cut
        ));
    }
    let (decisions, cuts) = (count(verdict.decisions as u64), verdict.cuts.len());
    text.push_str(&if failed {
        format!("{} of {cuts} cuts changed an earlier decision: the strategy sees the future\n", verdict.leaks.len())
    } else {
        format!("{decisions} decisions, none changed by cutting the data at {cuts} dates\n")
    });
    Ok(Reply { text, failed })
}
