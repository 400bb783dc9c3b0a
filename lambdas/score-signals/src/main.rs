//! Asks the model about the session, in this process or at an endpoint.

use std::process::ExitCode;

use algotrading::eod::score;
use domain::SessionDate;
use ports::endpoint::Endpoint;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    session: SessionDate,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let (model, endpoint) = world.model();
        let endpoint = endpoint.as_ref().map(|endpoint| endpoint as &dyn Endpoint);
        score::score(&world.lake()?, &model, endpoint, input.session, world.now())
    })
}
