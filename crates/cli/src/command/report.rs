//! `algotrading report`

use anyhow::Result;

use crate::args::Report;
use crate::folder;
use crate::print::Reply;

pub(super) fn run(args: &Report) -> Result<Reply> {
    super::backtest::reply(&folder::again(&args.folder)?, args.json)
}
