//! Holds equity against limits, as a step of the day or by a schedule of its own.

use std::process::ExitCode;

use algotrading::eod::watch::{self, Ports, Which};
use domain::SessionDate;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Input {
    /// As a step of its day; by a schedule the last session whose day should have finished.
    #[serde(default)]
    session: Option<SessionDate>,
    /// What an alarm of CloudWatch says when it calls.
    #[serde(default, rename = "alarmArn")]
    alarm: Option<IgnoredAny>,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let (records, notices, figures) = (world.records()?, world.notices()?, world.figures());
        let ports = Ports { records: &records, figures: &figures, notices: &notices };
        let which = match (input.session, input.alarm) {
            (Some(session), _) => Which::Session(session),
            (None, Some(_)) => Which::LastOver,
            (None, None) => Which::LastDue,
        };
        watch::watch(&world.lake()?, ports, which, world.now())
    })
}
