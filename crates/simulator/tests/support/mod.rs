//! Hand-made markets and scripted strategies.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part")]

use domain::{
    Bar, Calendar, CorporateAction, Decisions, Fill, InstrumentId, Money, OrderKind, OrderRequest, Price, Quantity,
    Ratio, Session, SessionDate, Strategy, View,
};
use engine::{Book, Engine, Event, Limits, Record, Step};
use simulator::{Costs, Market, SimulationError, Venue};

pub const CASH: i64 = 100_000;

pub fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

pub fn shares(count: i64) -> Quantity {
    Quantity::whole(count).unwrap()
}

pub fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

/// The nth session from 2004-01-05, a Monday.
pub fn day(n: usize) -> SessionDate {
    session(n).date
}

pub fn session(n: usize) -> Session {
    let sessions = Calendar::nyse().sessions();
    let first = sessions.partition_point(|one| one.date < SessionDate::from_ymd(2004, 1, 5).unwrap());
    sessions[first + n]
}

/// A bar of instrument 0 from `"open high low close"`.
pub fn bar(n: usize, prices: &str) -> Bar {
    bar_of(0, n, prices, 10_000)
}

pub fn bar_of(instrument: u32, n: usize, prices: &str, volume: u64) -> Bar {
    let parsed: Vec<Price> = prices.split_whitespace().map(price).collect();
    let [open, high, low, close] = parsed[..] else { panic!("four prices") };
    Bar { instrument: InstrumentId(instrument), session: day(n), open, high, low, close, volume }
}

/// Bars of instrument 0, one for each text.
pub fn bars(prices: &[&str]) -> Vec<Bar> {
    prices.iter().enumerate().map(|(n, prices)| bar(n, prices)).collect()
}

pub const ID: InstrumentId = InstrumentId(0);

/// A wish at the close of the nth session.
pub type Wish = Box<dyn Fn(&mut Decisions)>;

/// Does what a list says, and remembers nothing.
pub struct Script(pub Vec<(usize, Wish)>);

impl Strategy for Script {
    fn on_bar(&mut self, bar: &Bar, _view: &View<'_>, decisions: &mut Decisions) {
        if bar.instrument == ID {
            self.0.iter().filter(|(n, _)| day(*n) == bar.session).for_each(|(_, wish)| wish(decisions));
        }
    }

    fn on_split(&mut self, _instrument: InstrumentId, _ratio: Ratio) {}
}

/// An order of instrument 0 at the close of session 0.
pub fn order(quantity: i64, kind: OrderKind) -> Script {
    request(OrderRequest::new(ID, shares(quantity), kind))
}

pub fn request(request: OrderRequest) -> Script {
    Script(vec![(0, Box::new(move |decisions| decisions.orders.push(request)))])
}

/// What came of a run.
pub struct Outcome {
    pub events: Vec<Event>,
    pub records: Vec<(SessionDate, Record)>,
    pub steps: Vec<String>,
    pub book: Book,
    pub ambiguous: u64,
}

impl Outcome {
    pub fn fills(&self) -> Vec<Fill> {
        let fill = |event: &Event| if let Event::Filled(fill) = event { Some(*fill) } else { None };
        self.events.iter().filter_map(fill).collect()
    }

    /// `day quantity@price` of each fill.
    pub fn traded(&self) -> Vec<String> {
        let days: Vec<SessionDate> = (0..400).map(day).collect();
        let number = |fill: &Fill| days.iter().position(|day| *day == fill.session).unwrap();
        self.fills().iter().map(|fill| format!("{} {}@{}", number(fill), fill.quantity, fill.price)).collect()
    }

    pub fn refusals(&self) -> Vec<engine::Refusal> {
        let reason = |record: &Record| if let Record::Refused(refused) = record { Some(refused.reason) } else { None };
        self.records.iter().filter_map(|(_, record)| reason(record)).collect()
    }
}

pub fn simulate<S: Strategy>(
    market: &Market,
    strategy: S,
    costs: Costs,
    limits: Limits,
    cash: Money,
) -> Result<Outcome, SimulationError> {
    let instruments = market.instruments();
    let mut engine = Engine::new(strategy, cash, instruments, limits);
    let mut venue = Venue::new(costs, instruments);
    let (mut events, mut records, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let mut today = day(0);
    let mut observer = |event: &Event, step: &Step| {
        if let Event::SessionOpened(session) = event {
            today = session.date;
        }
        events.push(*event);
        records.extend(step.records.iter().map(|record| (today, record.clone())));
        steps.push(format!("{event:?} {step:?}"));
    };
    simulator::run(Calendar::nyse(), market, &mut engine, &mut venue, &mut observer)?;
    let book = engine.book().clone();
    Ok(Outcome { events, records, steps, book, ambiguous: venue.ambiguous_bars() })
}

pub fn market(bars: Vec<Bar>, actions: Vec<CorporateAction>) -> Market {
    Market::new(Calendar::nyse(), bars, actions, Vec::new()).unwrap()
}

/// Runs a script on bars of instrument 0, free of costs and limits but margin.
pub fn run(prices: &[&str], script: Script) -> Outcome {
    run_with(prices, script, Costs::default(), Limits::default())
}

pub fn run_with(prices: &[&str], script: Script, costs: Costs, limits: Limits) -> Outcome {
    let cash = Money::from_units(CASH * Money::UNITS);
    simulate(&market(bars(prices), Vec::new()), script, costs, limits, cash).unwrap()
}
