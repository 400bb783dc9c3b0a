//! The trading page over a board that moves by itself, for looking at it and for its tests in a browser.
//!
//! Prints the page's address and then each thing that is asked as a line of JSON. `TRADING_PAGE_AT` and
//! `TRADING_PAGE_TOKEN` take address and token of an earlier run, so that an open page finds it again. `scene=NAME`
//! as an argument shows the board in trouble; `terminal` shows it as text instead, and with `panic` as well something
//! goes wrong after a second.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use algotrading::live::board::{Board, Shared, look};
use algotrading::live::requests::{Ask, Submit, Wish};
use algotrading::live::terminal::View;
use algotrading::live::web::{Token, serve};
use anyhow::{Context, Result};
use domain::{InstrumentId, Price, Symbol, Timestamp};
use engine::{Event, Mode, Step};
use serde_json::json;
use tokio::net::TcpListener;
use trading::Snapshot;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[tokio::main]
async fn main() -> Result<()> {
    let scene = std::env::args().find_map(|word| word.strip_prefix("scene=").map(str::to_owned)).unwrap_or_default();
    let terminal = std::env::args().any(|word| word == "terminal");
    let symbols = ["AAPL", "BRK.B", "MSFT", "SPY"].map(Symbol::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let board: Shared = Arc::new(Mutex::new(Board::new("sma-cross on paper", symbols)));
    let (wishes, asked) = channel();
    let submit: Submit = Arc::new(move |wish| wishes.send(wish).context("the made-up trading is gone"));
    let panics = std::env::args().any(|word| word == "panic");
    let printed = !terminal;
    let view = terminal.then(|| View::start(board.clone(), submit.clone(), "somebody", now));
    let moved = board.clone();
    let trading = std::thread::spawn(move || trade(&moved, &asked, &scene, printed));
    if view.is_some() {
        if panics {
            std::thread::sleep(Duration::from_secs(1));
            panic!("made up");
        }
        tokio::signal::ctrl_c().await?;
        return Ok(());
    }
    page(board, submit).await?;
    trading.join().ok().context("the made-up trading panicked")?
}

async fn page(board: Shared, submit: Submit) -> Result<()> {
    let wanted = std::env::var("TRADING_PAGE_AT").unwrap_or("127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(&wanted).await.with_context(|| format!("cannot listen on {wanted}"))?;
    let token = match std::env::var("TRADING_PAGE_TOKEN") {
        Ok(text) => Token::again(&text).context("TRADING_PAGE_TOKEN is not 64 hexadecimal digits")?,
        Err(_) => Token::random()?,
    };
    println!("{}", token.address(listener.local_addr()?));
    serve(listener, board, submit, token, now).await
}

/// An account that holds a little of everything, valued anew four times a second.
fn trade(board: &Shared, asked: &Receiver<Wish>, scene: &str, print: bool) -> Result<()> {
    let opened = now().nanos() - 4 * 3_600_000_000_000;
    let at = |nanos: i64| Timestamp::from_nanos(nanos);
    let none = Step::default();
    let mut fixed: Snapshot = serde_json::from_value(json!({
        "session": at(opened).to_string()[..10], "closed": false, "step": 1, "mode": "normal", "disputed": false,
        "throttled": false, "trouble": null, "cash": "0", "equity": "0", "deposit": "250000", "positions": [],
        "orders": [
            {"id": "paper-sma_cross-5f", "symbol": "AAPL", "quantity": "120", "remaining": "80", "at": "at 186.4 or better", "leaving": false},
            {"id": "paper-sma_cross-60", "symbol": "SPY", "quantity": "-60", "remaining": "-60", "at": "at the market once 462 is touched", "leaving": true},
        ],
    }))?;
    let instruments = [("AAPL", 187.2, 240), ("BRK.B", 412.655, -85), ("MSFT", 404.1, 0), ("SPY", 470.3, 300)];
    for day in (1..=60).rev() {
        let open = opened - day * 86_400_000_000_000;
        session(board, open, day)?;
        // Ends where the present begins.
        let cash = 256_100.0 - 5_200.0 * (day as f64 / 9.0).sin() - 100.0 * day as f64;
        let records = serde_json::from_value(
            json!([{"equity": {"session": at(open).to_string()[..10], "cash": format!("{cash:.2}"), "net": "0", "gross": "0"}}]),
        )?;
        look(board).saw(&Event::SessionClosed, None, &Step { commands: Vec::new(), records });
    }
    session(board, opened, 0)?;
    let mut quantities = instruments.map(|(_, _, quantity)| quantity);
    let (mut cash, mut last_value) = (105_000.0, 0.0);
    // Four hours that have passed, a minute each, and then the present.
    for turn in 0_i64.. {
        let past = turn < 240;
        let nanos = if past { opened + turn * 60_000_000_000 } else { now().nanos() };
        let step = turn.min(240) as f64 + (turn - 240).max(0) as f64 / 20.0;
        match asked.try_recv() {
            Ok(wish) => {
                if print {
                    println!("{}", serde_json::to_string(&wish)?);
                }
                obey(board, &mut fixed, &mut quantities, &wish);
                if quantities == [0; 4] {
                    cash += std::mem::take(&mut last_value);
                }
            }
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {}
        }
        let mut snapshot = fixed.clone();
        let mut value = 0.0;
        let mut positions = Vec::new();
        for (which, (symbol, price, _)) in instruments.iter().enumerate() {
            let drift = (step / 37.0 + which as f64).sin() * 0.006 + (step / 5.3 + 2.0 * which as f64).sin() * 0.0012;
            let price = price * (1.0 + drift);
            let silent = scene == "trouble" && *symbol == "MSFT";
            if !silent || turn == 0 {
                let price = Price::parse(format!("{price:.2}").as_bytes())?;
                look(board).saw(
                    &Event::Price { instrument: InstrumentId(which as u32), price, at: at(nanos) },
                    None,
                    &none,
                );
            }
            value += price * f64::from(quantities[which]);
            positions.push(
                json!({"symbol": symbol, "quantity": quantities[which].to_string(), "price": format!("{price:.2}"),
                "value": format!("{:.2}", price * f64::from(quantities[which])),
                "profit": format!("{:.2}", price * drift * f64::from(quantities[which])),
                "heard_at": at(if silent { opened } else { nanos - which as i64 * 1_300_000_000 }), "stale": silent}),
            );
        }
        last_value = value;
        snapshot.positions = serde_json::from_value(json!(positions))?;
        snapshot.cash = serde_json::from_value(json!(format!("{cash:.2}")))?;
        snapshot.equity = serde_json::from_value(json!(format!("{:.2}", cash + value)))?;
        snapshot.step = turn as u64;
        if scene == "trouble" && !past {
            snapshot.trouble = Some("the broker was not reached: connection timed out after 10 s".to_owned());
            (snapshot.disputed, snapshot.throttled) = (fixed.disputed, fixed.throttled);
        }
        look(board).set(snapshot, now());
        if turn == 20 {
            happened(board)?;
        }
        if turn == 100 && scene == "trouble" {
            (fixed.disputed, fixed.throttled) = (true, true);
            let corrected = serde_json::from_value(
                json!({"corrected": {"position": {"instrument": 0, "ours": "240", "theirs": "200", "price": "187.2"}}}),
            )?;
            look(board).saw(&corrected, Some("AAPL: 240 here, 200 at the broker"), &none);
            look(board).saw(&Event::Feed { instrument: InstrumentId(2), stale: true }, None, &none);
        }
        if !past {
            std::thread::sleep(Duration::from_millis(250));
        }
    }
    Ok(())
}

fn session(board: &Shared, open: i64, day: i64) -> Result<()> {
    let at = |nanos: i64| Timestamp::from_nanos(nanos).to_string();
    let event = json!({"session_opened": {"date": at(open)[..10], "open": at(open), "close": at(open + 23_400_000_000_000), "index": 60 - day}});
    look(board).saw(&serde_json::from_value(event)?, None, &Step::default());
    Ok(())
}

/// Orders, fills and refusals of a morning.
fn happened(board: &Shared) -> Result<()> {
    let order = |id: u64, instrument: u32, quantity: &str, kind: serde_json::Value| {
        json!({"id": id, "instrument": instrument, "quantity": quantity, "kind": kind, "time_in_force": "day",
               "bracket": null, "group": null, "reduce_only": false})
    };
    let limit = json!({"limit": {"limit": "186.4"}});
    let records = json!([
        {"ordered": order(95, 0, "120", limit.clone())},
        {"ordered": order(96, 3, "-60", json!({"stop": {"stop": "462"}}))},
        {"refused": {"order": order(97, 1, "-900", json!("market")), "reason": {"position_notional_too_large": {"notional": "406465.18", "max": "100000"}}}},
        {"refused": {"order": order(98, 2, "50", json!("market")), "reason": {"stale_prices": {"since": "2024-01-02T14:40:00Z"}}}},
        {"refused": {"order": order(99, 0, "5000", limit), "reason": {"quantity_too_large": {"quantity": "5000", "max": "500"}}}},
    ]);
    look(board).saw(
        &Event::Clock(Timestamp::default()),
        None,
        &Step { commands: Vec::new(), records: serde_json::from_value(records)? },
    );
    for quantity in ["25", "15"] {
        let fill = json!({"filled": {"order": 95, "instrument": 0, "session": "2024-01-02", "quantity": quantity, "price": "186.38", "fee": "0.35"}});
        look(board).saw(&serde_json::from_value(fill)?, None, &Step::default());
    }
    Ok(())
}

/// What the engine would do: everything that is asked for is so at the next turn.
fn obey(board: &Shared, fixed: &mut Snapshot, quantities: &mut [i32; 4], wish: &Wish) {
    let request = wish.clone().at(now());
    let (event, note) = (
        match &wish.ask {
            Ask::Control(mode) => {
                fixed.mode = *mode;
                if *mode >= Mode::Cancel {
                    fixed.orders.clear();
                }
                if *mode == Mode::Flatten {
                    *quantities = [0; 4];
                }
                Event::Control(*mode)
            }
            Ask::Accept => {
                fixed.disputed = false;
                Event::Accepted
            }
            Ask::Reenable => {
                fixed.throttled = false;
                Event::Reenabled
            }
        },
        format!("{}: {}", request.by, request.reason),
    );
    look(board).saw(&event, Some(&note), &Step::default());
}
