//! Imports files into a lake and prints rows, seconds, rate and the peak of memory.
//!
//! `cargo run --release -p lake --example import_rate -- LAKE FILE...`
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lake::{ImportRequest, Lake};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let location = arguments.next().ok_or("usage: import_rate LAKE FILE...")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let request = ImportRequest {
        paths: arguments.map(Into::into).collect(),
        profile: None,
        symbol: None,
        known_at: None,
        now: domain::Timestamp::from_nanos(now),
        strict: false,
        behind: false,
    };
    let start = Instant::now();
    let mut read = None;
    let summary = Lake::create(&location)?.import(&request, &mut |progress| {
        if read.is_none() && progress.what.starts_with("storing") {
            read = Some(start.elapsed());
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!(
        "{} rows, {} stored, {seconds:.2} s (reading {:.2} s), {:.2} M rows/s, {peak}",
        summary.read,
        summary.stored,
        read.unwrap_or_default().as_secs_f64(),
        summary.read as f64 / seconds / 1e6
    );
    Ok(())
}
