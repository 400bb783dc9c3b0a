//! A FIX session worked by hand or by a script: `fix_session CONFIG.json`.
//!
//! Commands are JSON lines on stdin, answered in their order; events are printed as they come:
//!
//! ```text
//! {"do":"submit","orders":[{"number":1,"symbol":"IBM","quantity":"100","kind":{"limit":{"limit":"99.5"}}}]}
//! {"do":"cancel","number":1}
//! {"do":"replace","number":1,"with":{"number":2,"symbol":"IBM","quantity":"50","kind":"market"}}
//! {"do":"find","number":1}
//! {"do":"working"}   {"do":"account"}   {"do":"wait","seconds":5}
//! ```
//!
//! It ends, logged out, when stdin does. The tests in `tests/brokers/fix` drive it.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context as _;
use brokers::fix::{Authorities, Config, Endpoint, FixBroker, Keep, Secret, Style, Tls};
use domain::{
    Bar, InstrumentId, Money, Order, OrderId, OrderKind, Price, Quantity, Session, SessionDate, Symbol, TimeInForce,
    Timestamp,
};
use engine::engine::Idle;
use engine::{Engine, Event, Limits};
use serde::Deserialize;
use serde_json::{Value, json};
use trading::broker::Owner;
use trading::{Broker, BrokerEvent, Failure, Ticket};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sender: String,
    target: String,
    host: String,
    port: u16,
    store: PathBuf,
    #[serde(default)]
    tls: Option<TlsFile>,
    /// The password is in the variable FIX_PASSWORD.
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    reset_on_logon: bool,
    #[serde(default)]
    trailing_stops: bool,
    #[serde(default)]
    emulate_alternatives: bool,
    #[serde(default)]
    messages_per_second_max: Option<u32>,
    #[serde(default)]
    position_type: Option<String>,
    heartbeat_seconds: u64,
    answer_within_ms: u64,
    reconnect_min_ms: u64,
    reconnect_max_ms: u64,
    logons_max: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    roots: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Submit { orders: Vec<Wish> },
    Cancel { number: u64 },
    Replace { number: u64, with: Wish },
    Find { number: u64 },
    Working,
    Account,
    Wait { seconds: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    number: u64,
    symbol: Symbol,
    quantity: Quantity,
    kind: OrderKind,
    #[serde(default)]
    time_in_force: TimeInForce,
    #[serde(default)]
    short: bool,
    #[serde(default)]
    group: Option<u64>,
}

/// Only the engine approves orders; this one has much cash, no limits and one price.
fn approver() -> anyhow::Result<Engine<Idle>> {
    let date = SessionDate::parse("2024-01-31")?;
    let (open, close) = (Timestamp::parse("2024-01-31T14:30:00Z")?, Timestamp::parse("2024-01-31T21:00:00Z")?);
    let (instrument, price) = (InstrumentId(0), Price::parse("100")?);
    let mut engine = Engine::new(Idle, Money::parse("1000000000")?, 1, Limits::default());
    engine.step(&Event::SessionOpened(Session { date, open, close, index: 0 }))?;
    let (open, high, low, close) = (price, price, price, price);
    engine.step(&Event::Bar(Bar { instrument, session: date, open, high, low, close, volume: 1 }))?;
    Ok(engine)
}

fn ticket(engine: &mut Engine<Idle>, owner: &Owner, wish: Wish) -> Result<Ticket, Failure> {
    let id = OrderId(wish.number);
    let order = Order {
        id,
        instrument: InstrumentId(0),
        quantity: wish.quantity,
        kind: wish.kind,
        time_in_force: wish.time_in_force,
        bracket: None,
        group: wish.group.map(OrderId),
        reduce_only: false,
    };
    let approved = engine.admit(order).map_err(|refused| Failure::Refused(refused.reason.to_string()))?;
    Ok(Ticket { id: owner.order(id), symbol: wish.symbol, approved, short: wish.short })
}

fn obey(command: Command, broker: &mut FixBroker, engine: &mut Engine<Idle>, owner: &Owner) -> Result<Value, Failure> {
    let name = |number| owner.order(OrderId(number));
    Ok(match command {
        Command::Submit { orders } => {
            let tickets: Result<Vec<_>, _> = orders.into_iter().map(|wish| ticket(engine, owner, wish)).collect();
            json!(broker.submit(&tickets?)?)
        }
        Command::Cancel { number } => json!(broker.cancel(&name(number))?),
        Command::Replace { number, with } => {
            let with = ticket(engine, owner, with)?;
            json!(broker.replace(&name(number), &with)?)
        }
        Command::Find { number } => json!(broker.find(&name(number))?),
        Command::Working => json!(broker.working()?),
        Command::Account => json!(broker.account()?),
        Command::Wait { seconds } => json!(broker.wait(Duration::from_secs(seconds))?),
    })
}

fn shown(event: &BrokerEvent) -> Value {
    match event {
        BrokerEvent::Accepted(id) => json!({"event": "accepted", "order": id}),
        BrokerEvent::Executed(execution) => json!({"event": "executed", "execution": execution}),
        BrokerEvent::Ended { id, reason, text } => {
            json!({"event": "ended", "order": id, "reason": reason, "text": text})
        }
        BrokerEvent::Borrowed { symbol, amount } => json!({"event": "borrowed", "symbol": symbol, "amount": amount}),
        BrokerEvent::Disconnected(reason) => json!({"event": "disconnected", "reason": reason}),
        BrokerEvent::Connected => json!({"event": "connected"}),
    }
}

fn print(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("fix_session CONFIG.json")?;
    let file: File = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let tls = file.tls.map(|tls| Tls { name: tls.name, roots: tls.roots.map(Authorities::File) });
    let endpoint = Endpoint { host: file.host, port: file.port, tls };
    let config = Config {
        username: file.username.map(Secret::new),
        password: std::env::var("FIX_PASSWORD").ok().map(Secret::new),
        heartbeat: Duration::from_secs(file.heartbeat_seconds),
        reset_on_logon: file.reset_on_logon,
        style: Style { account: file.account, trailing_stops: file.trailing_stops, ..Style::default() },
        emulate_alternatives: file.emulate_alternatives,
        messages_per_second_max: file.messages_per_second_max,
        position_type: file.position_type,
        answer_within: Duration::from_millis(file.answer_within_ms),
        reconnect_min: Duration::from_millis(file.reconnect_min_ms),
        reconnect_max: Duration::from_millis(file.reconnect_max_ms),
        logons_max: file.logons_max,
        ..Config::new(&file.sender, &file.target, endpoint)
    };
    let mut broker = FixBroker::start(config, Keep::Folder(file.store))?;
    let mut engine = approver()?;
    let owner = Owner::new("desk", "test").context("no owner")?;

    let (lines, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    loop {
        for event in broker.events() {
            print(&shown(&event))?;
        }
        match commands.recv_timeout(Duration::from_millis(10)) {
            Ok(line) => {
                let answer = obey(serde_json::from_str(&line)?, &mut broker, &mut engine, &owner);
                // What happened before the answer is printed before it.
                for event in broker.events() {
                    print(&shown(&event))?;
                }
                print(&match answer {
                    Ok(value) => json!({"answer": value}),
                    Err(Failure::Refused(text)) => json!({"refused": text}),
                    Err(Failure::NotSent(text)) => json!({"not_sent": text}),
                    Err(Failure::Unclear(text)) => json!({"unclear": text}),
                })?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
