//! Asks a query of the shipped catalogue.

use std::process::ExitCode;

use algotrading::eod::query;
use domain::SessionDate;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    query: String,
    session: SessionDate,
    run: String,
}

fn main() -> ExitCode {
    kit::serve(|world, input: Input| {
        let (engine, scan_bytes_max) = world.queries()?;
        query::query(&engine, &input.query, input.session, &input.run, scan_bytes_max)
    })
}
