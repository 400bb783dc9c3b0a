//! Ends a day: tear sheets, a summary to people; or says why it failed.

use std::process::ExitCode;

use algotrading::eod::report;
use domain::SessionDate;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    session: SessionDate,
    #[serde(flatten)]
    rest: report::Input,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let (lake, location) = (world.lake()?, world.location()?);
        let (records, notices) = (world.records()?, world.notices()?);
        report::report(&lake, &location, &records, &notices, input.session, &input.rest, world.now())
    })
}
