//! Exports every revision of the data sets that was never exported.
//!
//! Called by the state machine, or by Data Exchange when a revision is published: the event is only an occasion to
//! look, so that one that is lost, repeated or late does no harm.

use std::process::ExitCode;

use algotrading::eod::export;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    /// Data sets that an event is about; all of them otherwise.
    #[serde(default)]
    resources: Vec<String>,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let mut data_sets = world.data_sets();
        if !input.resources.is_empty() {
            // A data set that is not ours stays out, whoever says that it has a revision.
            data_sets.retain(|ours| input.resources.iter().any(|one| one.rsplit(['/', ':']).next() == Some(ours)));
        }
        export::export(&world.exchange()?, &world.landing()?, &world.records()?, &data_sets, world.now())
    })
}
