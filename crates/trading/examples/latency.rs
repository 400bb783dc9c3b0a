//! How long the live loop takes, as `benches/run --only live` shows it: one line of JSON for each figure.
//!
//! `latency DIR` writes its journals below DIR, so that the disk counts.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use domain::{
    Bar, Calendar, Decisions, InstrumentId, Money, Price, Quantity, Ratio, Session, Strategy, Symbol, Timestamp, View,
};
use engine::{Cancels, Engine, Idle, Limits, Margin, Mode};
use journal::{FileLines, Header, Lines, LinesError, Log};
use serde_json::json;
use simulator::Costs;
use trading::{
    Account, Broker, BrokerEvent, ClientOrderId, Desk, Failure, Market, OrderStatus, Owner, PaperBroker, Ticket, Trader,
};

/// Wants the other side at each bar.
struct Flip(i64);

impl Strategy for Flip {
    fn on_bar(&mut self, bar: &Bar, _view: &View<'_>, decisions: &mut Decisions) {
        self.0 = -self.0;
        decisions.target(bar.instrument, Quantity::whole(self.0).unwrap());
    }

    fn on_split(&mut self, _instrument: InstrumentId, _ratio: Ratio) {}
}

/// A paper broker that notes when an order reaches it.
struct Noted {
    broker: PaperBroker,
    at: Rc<RefCell<Vec<Instant>>>,
}

impl Broker for Noted {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        self.at.borrow_mut().push(Instant::now());
        self.broker.submit(tickets)
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        self.broker.cancel(id)
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        self.broker.replace(id, with)
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        self.broker.find(id)
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        self.broker.working()
    }

    fn account(&mut self) -> Result<Account, Failure> {
        self.broker.account()
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        self.broker.events()
    }

    fn market(&mut self, event: &Market) -> Result<(), Failure> {
        self.broker.market(event)
    }

    fn advance(&mut self) -> Result<bool, Failure> {
        self.broker.advance()
    }
}

/// A journal that nobody keeps.
#[derive(Debug)]
struct Nowhere;

impl Lines for Nowhere {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        Ok(None)
    }

    fn append(&mut self, _seq: u64, _line: &[u8]) -> Result<(), LinesError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        Ok(())
    }
}

fn header(instruments: usize) -> Header {
    let symbols = (0..instruments).map(|n| Symbol::new(&format!("S{n}")).unwrap());
    let cash = Money::from_units(100_000_000 * Money::UNITS);
    Header { journal: journal::VERSION, run_id: "bench".to_owned(), instruments: symbols.collect(), cash }
}

type Running<L> = (Trader<Flip, Noted, L>, Rc<RefCell<Vec<Instant>>>);

fn trader<L: Lines>(instruments: usize, lines: L) -> Running<L> {
    let header = header(instruments);
    let symbols = &header.instruments;
    let limits = Limits {
        position_notional_max: Some(Money::from_units(1_000_000 * Money::UNITS)),
        daily_loss_max: Some(Money::from_units(50_000_000 * Money::UNITS)),
        ..Limits::default()
    };
    let free = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    let gate = Engine::new(Idle, header.cash, instruments, Limits { margin: free, ..limits.clone() });
    let at = Rc::<RefCell<Vec<Instant>>>::default();
    let broker = Noted { broker: PaperBroker::new(Costs::default(), symbols, header.cash), at: at.clone() };
    let desk = Desk::new(broker, Owner::new("bench", "bench").unwrap(), symbols, Cancels::AtOnce, gate);
    let engine = Engine::new(Flip(100), header.cash, instruments, limits).at_venue(symbols, Cancels::AtOnce);
    (Trader::new(engine, desk, Log::open(lines, &header).unwrap(), instruments), at)
}

fn price(cents: i64) -> Price {
    Price::from_units(cents * 10_000_000)
}

fn bar(instrument: u32, session: &Session) -> Market {
    let at = price(5_000);
    let (instrument, session) = (InstrumentId(instrument), session.date);
    let bar = Bar { instrument, session, open: at, high: at, low: at, close: at, volume: 1_000_000 };
    Market::Bar { bar, traded: bar }
}

fn sessions() -> &'static [Session] {
    Calendar::nyse().sessions()
}

/// From the close that lets a strategy decide to the order at the broker.
fn event_to_order(what: &str, lines: impl Lines, count: usize) {
    let (mut trader, at) = trader(1, lines);
    let mut took = Vec::new();
    for session in &sessions()[..count] {
        trader.market(&Market::Opened(*session)).unwrap();
        trader.market(&bar(0, session)).unwrap();
        let before = at.borrow().len();
        let begun = Instant::now();
        trader.market(&Market::Closed).unwrap();
        let sent = at.borrow()[before];
        took.push(sent.duration_since(begun).as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    let share = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let (p50, p99, p999) = (share(0.5), share(0.99), share(0.999));
    println!("{}", json!({ "figure": what, "orders": took.len(), "p50_us": p50, "p99_us": p99, "p999_us": p999 }));
}

fn prices(count: usize, instruments: u32, session: &Session) -> impl Iterator<Item = Market> {
    let (open, step) = (session.open.nanos(), (session.close.nanos() - session.open.nanos()) / (count as i64 + 1));
    (0..count).map(move |n| Market::Price {
        instrument: InstrumentId(n as u32 % instruments),
        price: price(5_000 + (n as i64 * 7) % 11),
        volume: 100_000,
        at: Timestamp::from_nanos(open + step * n as i64),
    })
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let path = Path::new(&folder).join("latency.jsonl");
    let fresh = || {
        let _ = std::fs::remove_file(&path);
        FileLines::open(&path).unwrap()
    };
    event_to_order("event to order, journal on disk and synced", fresh(), 5_000);
    event_to_order("event to order, without the disk", Nowhere, 10_000);

    let session = sessions()[0];
    let count = 1_000_000;
    let (mut told, _) = trader(10, fresh());
    told.market(&Market::Opened(session)).unwrap();
    let begun = Instant::now();
    prices(count, 10, &session).for_each(|event| told.market(&event).unwrap());
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    drop(told);
    println!("{}", json!({ "figure": "prices, journalled", "events": count, "per_second": per_second }));

    let (mut again, _) = trader(10, FileLines::open(&path).unwrap());
    let begun = Instant::now();
    let steps = again.recover(session.open).unwrap();
    println!("{}", json!({ "figure": "recovery", "records": steps, "seconds": begun.elapsed().as_secs_f64() }));
    drop(again);

    // A hundred positions, closed on the next price of each.
    let (mut killed, _) = trader(100, fresh());
    killed.market(&Market::Opened(session)).unwrap();
    (0..100).for_each(|at| killed.market(&bar(at, &session)).unwrap());
    killed.market(&Market::Closed).unwrap();
    let next = sessions()[1];
    killed.market(&Market::Opened(next)).unwrap();
    let both: Vec<Market> = prices(200, 100, &next).collect();
    both[..100].iter().for_each(|event| killed.market(event).unwrap());
    assert!(killed.engine().book().positions().iter().all(|position| !position.is_zero()));
    let begun = Instant::now();
    killed.control(Mode::Flatten, "bench: kill").unwrap();
    let sent = begun.elapsed().as_secs_f64();
    both[100..].iter().for_each(|event| killed.market(event).unwrap());
    assert!(killed.engine().book().positions().iter().all(|position| position.is_zero()));
    let flat = begun.elapsed().as_secs_f64();
    println!("{}", json!({ "figure": "kill", "positions": 100, "orders_out_ms": sent * 1e3, "flat_ms": flat * 1e3 }));
    let _ = std::fs::remove_file(&path);
}
