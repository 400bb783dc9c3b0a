//! Takes exported revisions into the lake.

use std::process::ExitCode;

use algotrading::eod::ingest;
use serde::de::IgnoredAny;

fn main() -> ExitCode {
    kit::serve(|world, _: IgnoredAny| {
        ingest::ingest(&world.lake()?, &world.landing()?, &world.records()?, &world.ingest(false)?, world.now())
    })
}
