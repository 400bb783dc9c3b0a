//! A whole trader at our server, over a line that breaks and through restarts: it trades what it trades on paper.
#![allow(clippy::unwrap_used)]

#[path = "alpaca/common.rs"]
mod common;
#[path = "alpaca/proxy.rs"]
mod proxy;
#[path = "../../trading/tests/support/mod.rs"]
mod support;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brokers::alpaca::server::{Floor, Handle, serve};
use brokers::alpaca::{AlpacaBroker, Credentials};
use common::{KEY, SECRET, settings};
use domain::{
    Bar, Bracket, Calendar, Decisions, InstrumentId, Money, OrderKind, OrderRequest, Price, Quantity, Ratio, Session,
    StopLoss, Strategy, TimeInForce, Timestamp, View,
};
use engine::{Cancels, Engine, Event, Limits};
use journal::{Header, Log};
use proxy::{Fault, Proxy};
use simulator::Costs;
use support::{Memory, MemoryLines};
use trading::{Books, Desk, Market, Owner, PaperBroker, Trader};

const ID: InstrumentId = InstrumentId(0);

/// When flat and nothing works: in, long and short in turns, with exits on both sides. It also leaves limits lying
/// about that only some days reach, and withdraws them.
#[derive(Debug, Clone, Default)]
struct Busy {
    bars: u64,
}

impl Strategy for Busy {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        self.bars += 1;
        let off = |cents: i64| Price::from_units(bar.close.units() + cents * Price::UNITS / 100);
        if view.position(ID).is_zero() {
            decisions.cancel_all(ID);
            let up = if self.bars.is_multiple_of(2) { 1 } else { -1 };
            let kind = match self.bars % 3 {
                0 => OrderKind::Market,
                1 => OrderKind::MarketOnOpen,
                _ => OrderKind::Limit { limit: off(-20 * up) },
            };
            let bracket = Bracket { take_profit: Some(off(150 * up)), stop_loss: Some(StopLoss::At(off(-120 * up))) };
            decisions.bracket(ID, Quantity::whole(100 * up).unwrap(), kind, bracket);
        } else if self.bars.is_multiple_of(5) {
            let more = OrderKind::Limit { limit: off(-view.position(ID).signum() * 90) };
            let quantity = Quantity::whole(10 * view.position(ID).signum()).unwrap();
            let request = OrderRequest { time_in_force: TimeInForce::Day, ..OrderRequest::new(ID, quantity, more) };
            decisions.orders.push(request);
        }
    }

    fn on_split(&mut self, _instrument: InstrumentId, _ratio: Ratio) {}
}

/// A market of prices: each session opens, ticks eight times and closes.
fn days(count: usize) -> Vec<Vec<Market>> {
    let (mut state, mut last) = (7_u64, 10_000_i64);
    let mut roll = |sides: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % sides as u64) as i64
    };
    let first = Calendar::nyse().sessions().iter().position(|session| session.date.year() == 2024).unwrap();
    let sessions = &Calendar::nyse().sessions()[first..first + count];
    let day = |session: &Session| {
        let mut events = vec![Market::Opened(*session)];
        let mut bar: Option<Bar> = None;
        for tick in 0..8 {
            last += roll(161) - 80;
            let price = Price::from_units(last * Price::UNITS / 100);
            let at = Timestamp::from_nanos(session.open.nanos() + (tick + 1) * 60_000_000_000);
            events.push(Market::Price { instrument: ID, price, volume: 1_000, at });
            let new = Bar {
                instrument: ID,
                session: session.date,
                open: price,
                high: price,
                low: price,
                close: price,
                volume: 8_000,
            };
            let bar = bar.get_or_insert(new);
            (bar.high, bar.low, bar.close) = (bar.high.max(price), bar.low.min(price), price);
        }
        let bar = bar.unwrap();
        events.extend([Market::Bar { bar, traded: bar }, Market::Closed]);
        events
    };
    sessions.iter().map(day).collect()
}

fn costs() -> Costs {
    Costs { slippage_bps: 2.0, volume_share_max: Some(0.07), ..Costs::default() }
}

type Fills = Arc<Mutex<Vec<String>>>;

fn noting(fills: &Fills) -> trading::trader::Observer {
    let fills = fills.clone();
    Box::new(move |event, _, _| {
        if let Event::Filled(fill) = event {
            fills.lock().unwrap().push(format!("{} {} at {}", fill.session, fill.quantity, fill.price));
        }
    })
}

fn on_paper(header: &Header, days: &[Vec<Market>]) -> (Vec<String>, Money) {
    let (fills, memory) = (Fills::default(), Memory::default());
    let trader = support::paper(Busy::default(), costs(), Limits::default(), header, &memory);
    let mut trader = trader.observed(noting(&fills));
    for day in days {
        support::tell(&mut trader, day).unwrap();
    }
    let fills = fills.lock().unwrap().clone();
    (fills, trader.engine().book().cash())
}

struct AtAlpaca {
    trader: Trader<Busy, AlpacaBroker, MemoryLines>,
    now: Timestamp,
}

impl AtAlpaca {
    fn start(address: &str, header: &Header, memory: &Memory, now: Timestamp, fills: &Fills) -> Self {
        let mut settings = settings(address);
        settings.requests_per_minute = 1_000_000;
        let broker = AlpacaBroker::connect(settings).unwrap();
        let symbols = &header.instruments;
        let owner = Owner::new("paper", "test").unwrap();
        let gate = support::gate(&Limits::default(), header);
        let desk = Desk::new(broker, owner, symbols, Cancels::WhenConfirmed, gate);
        let engine = Engine::new(Busy::default(), header.cash, 1, Limits::default());
        let engine = engine.at_venue(symbols, Cancels::WhenConfirmed);
        let mut trader = Trader::new(engine, desk, Log::open(memory.lines(), header).unwrap(), 1);
        trader.recover(now).unwrap();
        Self { trader: trader.observed(noting(fills)), now }
    }

    /// Goes on until broker and engine agree.
    fn settle(&mut self, server: &Handle<PaperBroker>) {
        let start = Instant::now();
        loop {
            self.now = Timestamp::from_nanos(self.now.nanos() + 1_000_000_000);
            self.trader.turn(self.now).unwrap();
            let theirs =
                server.look(|floor| (floor.book().cash(), floor.book().position(ID), floor.open_orders().len()));
            let engine = self.trader.engine();
            let ours = (engine.book().cash(), engine.book().position(ID), engine.open_orders().len());
            if ours == theirs && self.trader.desk().settled() {
                return;
            }
            let trouble = self.trader.desk().trouble().map(str::to_owned);
            assert!(start.elapsed() < Duration::from_secs(20), "{ours:?} {theirs:?} {trouble:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn run(faults: &[Fault], restart_every: usize) {
    let header = support::header(1, Money::parse("100000").unwrap());
    let days = days(40);
    let (wanted, cash) = on_paper(&header, &days);
    assert!(wanted.len() > 30, "{} fills", wanted.len());

    let broker = PaperBroker::new(costs(), &header.instruments, header.cash);
    let margin = engine::Margin { initial_long: 0.5, ..engine::Margin::default() };
    let floor = Floor::new(broker, &header.instruments, header.cash, Limits { margin, ..Limits::default() });
    let keys = Credentials::new(KEY, SECRET).unwrap();
    let server = serve(TcpListener::bind("127.0.0.1:0").unwrap(), floor, keys).unwrap();
    let proxy = Proxy::new(server.address());
    let (fills, memory) = (Fills::default(), Memory::default());
    let mut at = AtAlpaca::start(&proxy.address(), &header, &memory, days[0][1].at(), &fills);
    for (number, event) in days.iter().flatten().enumerate() {
        if let Some(fault) = faults.get(number % faults.len().max(1)) {
            proxy.set(*fault);
            proxy.cut();
        }
        server.market(event).unwrap();
        at.trader.market(event).unwrap();
        // What is sent now meets the fault; then the line is mended.
        at.now = at.now.max(event.at());
        at.trader.turn(at.now).unwrap();
        if !faults.is_empty() {
            proxy.set(Fault::None);
            proxy.cut();
        }
        if restart_every > 0 && number % restart_every == restart_every - 1 {
            let now = at.now;
            drop(at);
            at = AtAlpaca::start(&proxy.address(), &header, &memory, now, &fills);
            // A feed tells the day again from its beginning.
            let day = number / days[0].len();
            days[day][..=number % days[0].len()].iter().for_each(|event| at.trader.market(event).unwrap());
        }
        at.settle(&server);
    }
    assert_eq!(*fills.lock().unwrap(), wanted);
    assert_eq!(at.trader.engine().book().cash(), cash);
    let AtAlpaca { trader, mut now } = at;
    let mut trader = trader.elsewhere(Money::ZERO);
    let books = loop {
        now = Timestamp::from_nanos(now.nanos() + 1_000_000_000);
        match trader.compare(now).unwrap() {
            Books::InPart | Books::NotYet => std::thread::sleep(Duration::from_millis(1)),
            books => break books,
        }
    };
    assert_eq!(books, Books::Compared { differences: 0 });
}

trait At {
    fn at(&self) -> Timestamp;
}

impl At for Market {
    fn at(&self) -> Timestamp {
        match self {
            Self::Price { at, .. } => *at,
            Self::Opened(session) => session.open,
            _ => Timestamp::default(),
        }
    }
}

#[test]
fn it_trades_what_it_trades_on_paper() {
    run(&[], 0);
}

#[test]
fn it_does_so_when_it_is_restarted_all_the_time() {
    run(&[], 3);
}

#[test]
fn it_does_so_on_a_line_that_breaks_all_the_time_too() {
    run(&[Fault::None, Fault::BreakAfter, Fault::HalfAnswer, Fault::None, Fault::BreakBefore], 17);
}
