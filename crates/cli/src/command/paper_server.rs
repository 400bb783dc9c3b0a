//! `algotrading paper-server`

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::alpaca::Credentials;
use brokers::alpaca::server::{Floor, serve};
use engine::{Limits, Margin};
use trading::{Feed, Market, Next, PaperBroker};

use super::paper::{now, stop_on_signals};
use crate::args::PaperServer;
use crate::config::Data;
use crate::live::feeds::{FromLake, named};
use crate::live::real::given;
use crate::print::Reply;

pub(super) fn run(args: &PaperServer) -> Result<Reply> {
    ensure!(
        args.bind.ip().is_loopback(),
        "{} is not of this machine; nothing is encrypted, so bind to 127.0.0.1",
        args.bind
    );
    let key = given("APCA_API_KEY_ID", "the key that clients must show")?;
    let secret = given("APCA_API_SECRET_KEY", "the secret of that key")?;
    let symbols = args.symbols.clone();
    let data = Data { symbols: symbols.clone(), from: args.from, to: args.to };
    data.check()?;
    let mut feed: Box<dyn Feed> = match &args.feed {
        Some(name) => named(name, &symbols, None, now)?,
        None => {
            let feed = FromLake::after(&args.lake.lake, &data, None, false)?;
            ensure!(!feed.is_empty(), "the lake has no sessions of these symbols between the dates");
            Box::new(feed)
        }
    };
    let cash = args.cash;
    let broker = PaperBroker::new(simulator::Costs::default(), &symbols, cash);
    let margin = Margin { initial_long: 0.5, initial_short: 0.5, maintenance: 0.25 };
    let floor = Floor::new(broker, &symbols, cash, Limits { margin, ..Limits::default() });
    let listener = TcpListener::bind(args.bind).with_context(|| format!("cannot listen on {}", args.bind))?;
    let handle = serve(listener, floor, Credentials::new(key, secret)?).context("cannot serve")?;
    println!("Alpaca's API on http://{}", handle.address());
    let stop = stop_on_signals();
    let pace = Duration::from_secs_f64(1.0 / args.sessions_per_second);
    let mut next = Instant::now() + pace;
    let mut over = false;
    while !stop.load(Ordering::Relaxed) {
        if over {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        match feed.next(50)? {
            Next::Event(event) => {
                handle.market(&event)?;
                // Between an opening and its close clients have their turn.
                if matches!(event, Market::Closed) && args.feed.is_none() {
                    while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(5));
                    }
                    next = Instant::now() + pace;
                }
            }
            Next::Nothing => {}
            Next::End => {
                eprintln!("there are no more prices; the account is still served");
                over = true;
            }
        }
    }
    let book = handle.look(|floor| (floor.book().cash(), floor.book().equity()));
    handle.stop().context("the server had failed")?;
    Ok(Reply::ok(format!("cash {}, equity {}\n", book.0, book.1?)))
}
