//! The fake of Alpaca's market data that the feed is tested against, for Alpaca's own client to try.
//!
//! ```text
//! alpaca_prices 2024-01-02T14:30:00Z
//! ```
//!
//! Prints the port of 127.0.0.1 that it listens on, then reads a line of JSON at a time and answers each with `done`, or
//! with what went wrong. Prices are in cents. It ends with its input.
//!
//! ```text
//! {"minute": {"symbol": "AAPL", "start": "2024-01-02T14:30:00Z", "bar": [18510, 18520, 18500, 18515, 1000]}}
//! {"day": {"symbol": "AAPL", "date": "2024-01-02", "bar": [18510, 18520, 18500, 18515, 1000]}}
//! {"trade": {"symbol": "AAPL", "at": "2024-01-02T14:30:01Z", "price": 18510, "size": 100, "conditions": ["@"]}}
//! {"action": {"kind": "cash_dividends", "row": {"symbol": "AAPL", "process_date": "2024-01-02"}}}
//! {"page": 3}
//! {"now": "2024-01-02T14:31:00Z"}
//! ```

#[path = "../tests/alpaca_data/server.rs"]
mod server;

use std::error::Error;
use std::io::{BufRead, Write};

use domain::{SessionDate, Timestamp};
use serde::Deserialize;
use server::{Cents, Prices, Script};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Minute { symbol: String, start: Timestamp, bar: [i64; 5] },
    Day { symbol: String, date: SessionDate, bar: [i64; 5] },
    Trade { symbol: String, at: Timestamp, price: i64, size: i64, conditions: Vec<String> },
    Action { kind: String, row: serde_json::Value },
    Page(usize),
    Now(Timestamp),
}

fn cents([open, high, low, close, volume]: [i64; 5]) -> Cents {
    Cents { open, high, low, close, volume }
}

fn follow(prices: &Prices, text: &str) -> Result<(), Box<dyn Error>> {
    match serde_json::from_str(text)? {
        Line::Minute { symbol, start, bar } => prices.script(|script| {
            script.minutes.entry(symbol).or_default().insert(start.nanos(), cents(bar));
        }),
        Line::Day { symbol, date, bar } => prices.script(|script| {
            script.days.entry(symbol).or_default().insert(date, (cents(bar), 0));
        }),
        Line::Trade { symbol, at, price, size, conditions } => prices.script(|script| {
            script.trades.entry(symbol).or_default().push((at.nanos(), price, size, conditions));
        }),
        Line::Action { kind, row } => prices.script(|script| script.actions.push((kind, row))),
        Line::Page(rows) => prices.page(rows),
        Line::Now(now) => prices.move_to(now),
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let now = std::env::args().nth(1).ok_or("say what time it is")?;
    let prices = Prices::new(Script::default(), Timestamp::parse(&now)?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", prices.port())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        match follow(&prices, &line?) {
            Ok(()) => writeln!(out, "done")?,
            Err(error) => writeln!(out, "failed: {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}
