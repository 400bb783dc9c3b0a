//! The paper venue over Alpaca's API, with a market that is told on standard input: for clients that test against it.
//!
//! ```text
//! APCA_API_KEY_ID=key APCA_API_SECRET_KEY=secret PAPER_LIMITS='{"order_notional_max":"50000"}' \
//!     alpaca_paper AAPL MSFT
//! ```
//!
//! Prints the port of 127.0.0.1 that it listens on, then reads a line of JSON at a time and answers each with `done`, or
//! with what went wrong. It ends with its input.
//!
//! ```text
//! {"opened": "2024-01-02"}
//! {"price": {"symbol": "AAPL", "price": "185.10", "volume": 1000}}
//! {"closed": {}}
//! ```

use std::error::Error;
use std::io::{BufRead, Write};
use std::net::TcpListener;

use brokers::alpaca::Credentials;
use brokers::alpaca::server::{Floor, Handle, serve};
use domain::{Bar, Calendar, InstrumentId, Money, Price, Session, SessionDate, Symbol, Timestamp};
use engine::Limits;
use serde::Deserialize;
use simulator::Costs;
use trading::market::Market;
use trading::paper::PaperBroker;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Opened(SessionDate),
    Price { symbol: Symbol, price: Price, volume: u64 },
    Closed {},
}

/// The session so far.
struct Day {
    symbols: Vec<Symbol>,
    session: Option<Session>,
    bars: Vec<Option<Bar>>,
    prices: i64,
}

impl Day {
    fn events(&mut self, line: Line) -> Result<Vec<Market>, Box<dyn Error>> {
        match line {
            Line::Opened(date) => {
                let session = *Calendar::nyse().session(date)?;
                (self.session, self.prices) = (Some(session), 0);
                self.bars = vec![None; self.symbols.len()];
                Ok(vec![Market::Opened(session)])
            }
            Line::Price { symbol, price, volume } => {
                let session = self.session.as_ref().ok_or("no session is open")?;
                let at = self.symbols.iter().position(|one| *one == symbol).ok_or("nobody trades that here")?;
                let instrument = InstrumentId(u32::try_from(at)?);
                self.prices += 1;
                let time = Timestamp::from_nanos(session.open.nanos() + self.prices * 1_000_000_000);
                let new = Bar {
                    instrument,
                    session: session.date,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    volume,
                };
                let bar = self.bars[at].get_or_insert(new);
                (bar.high, bar.low, bar.close) = (bar.high.max(price), bar.low.min(price), price);
                Ok(vec![Market::Price { instrument, price, volume, at: time }])
            }
            Line::Closed {} => {
                self.session = None;
                let bars = self.bars.iter().flatten().map(|bar| Market::Bar { bar: *bar, traded: *bar });
                Ok(bars.chain([Market::Closed]).collect())
            }
        }
    }

    fn follow(&mut self, text: &str, server: &Handle<PaperBroker>) -> Result<(), Box<dyn Error>> {
        for event in self.events(serde_json::from_str(text)?)? {
            server.market(&event)?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let symbols: Vec<Symbol> = std::env::args().skip(1).map(|name| Symbol::new(&name)).collect::<Result<_, _>>()?;
    let keys = Credentials::new(std::env::var("APCA_API_KEY_ID")?, std::env::var("APCA_API_SECRET_KEY")?)?;
    let limits: Limits = match std::env::var("PAPER_LIMITS") {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => Limits::default(),
    };
    let cash = Money::parse("100000")?;
    let costs = Costs { volume_share_max: Some(1.0), ..Costs::default() };
    let floor = Floor::new(PaperBroker::new(costs, &symbols, cash), &symbols, cash, limits);
    let server = serve(TcpListener::bind("127.0.0.1:0")?, floor, keys)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", server.address().port())?;
    out.flush()?;
    let mut day = Day { bars: vec![None; symbols.len()], symbols, session: None, prices: 0 };
    for line in std::io::stdin().lock().lines() {
        match day.follow(&line?, &server) {
            Ok(()) => writeln!(out, "done")?,
            Err(error) => writeln!(out, "failed: {error}")?,
        }
        out.flush()?;
    }
    server.stop()?;
    Ok(())
}
