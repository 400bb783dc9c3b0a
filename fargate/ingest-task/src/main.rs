//! Takes exported revisions into the lake, whatever their size: what `ingest-bars` does, with more room.

use std::process::ExitCode;

use algotrading::eod::ingest;

fn main() -> ExitCode {
    kit::contain(
        |_| Ok(None),
        |world, _, _| {
            let settings = world.ingest(true)?;
            let done = ingest::ingest(&world.lake()?, &world.landing()?, &world.records()?, &settings, world.now())?;
            // As a function's log line, so that one filter counts both.
            Ok(format!(
                r#"{{"message":"{} revisions are in the lake","read":{},"quarantined":{}}}"#,
                done.revisions.len(),
                done.read,
                done.quarantined
            ))
        },
    )
}
