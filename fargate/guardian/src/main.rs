//! Watches a strategy's runner from outside, and stops it when a limit is broken or nothing is heard of it.

use std::process::ExitCode;

use services::guardian::{self, Patience, Ports};

fn main() -> ExitCode {
    kit::program("guardian", |world, here| {
        let ports = Ports {
            orders: &world.orders()?,
            table: world.journals()?,
            notices: &world.notices()?,
            owner: world.owner(here.program),
        };
        let ms = |name, otherwise| world.number(name, otherwise).map(|seconds| seconds as i64 * 1_000);
        let patience = Patience { stale_ms: ms("STALE_SECONDS", 120)?, grace_ms: ms("GRACE_SECONDS", 60)? };
        guardian::run(here, &ports, patience)
    })
}
