//! `algotrading serve-model`

use anyhow::Result;
use lake::Lake;

use crate::args::ServeModel;
use crate::print::Reply;
use crate::serving::{self, Limits};
use crate::shelf;

pub(super) fn run(args: &ServeModel) -> Result<Reply> {
    let lake = Lake::open(&args.lake.lake)?;
    let (entry, model) = shelf::model(&lake, &args.model)?;
    let version = format!("{}@{}", entry.name, entry.version);
    let limits = Limits { body_bytes_max: usize::from(args.body_mib) << 20, ..Limits::default() };
    let ready = |address| eprintln!("{version} listens on http://{address}; Ctrl-C stops it");
    let served = serving::serve(model, version.clone(), limits, args.bind, serving::told_to_stop(), ready);
    tokio::runtime::Handle::current().block_on(served)?;
    Ok(Reply::default())
}
