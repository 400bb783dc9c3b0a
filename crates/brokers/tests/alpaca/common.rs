//! What the tests of both sides need: tickets, and waiting for what a broker says.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::{Duration, Instant};

use brokers::alpaca::{Base, Credentials, Settings};
use domain::{
    Calendar, InstrumentId, Money, Order, OrderId, OrderKind, Price, Quantity, SessionDate, Symbol, TimeInForce,
};
use engine::{Engine, Event, Idle, Limits, Margin};
use trading::{Broker, BrokerEvent, ClientOrderId, Owner, Ticket};

pub(crate) const KEY: &str = "PKTESTKEY";
pub(crate) const SECRET: &str = "a-very-secret-secret";

/// Impatient settings for a server on this machine.
pub(crate) fn settings(address: &str) -> Settings {
    Settings {
        time_out: Duration::from_millis(1_500),
        reconnect_after: (Duration::from_millis(20), Duration::from_millis(100)),
        ping_every: Duration::from_millis(200),
        ..Settings::new(Base::parse(address).unwrap(), Credentials::new(KEY, SECRET).unwrap())
    }
}

pub(crate) fn id(number: u64) -> ClientOrderId {
    Owner::new("test", "alpaca").unwrap().order(OrderId(number))
}

pub(crate) fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

pub(crate) fn limit(text: &str) -> OrderKind {
    OrderKind::Limit { limit: price(text) }
}

pub(crate) fn stop(text: &str) -> OrderKind {
    OrderKind::Stop { stop: price(text) }
}

/// An engine that lets everything pass is the only way to a ticket here too.
pub(crate) fn ticket(number: u64, quantity: i64, kind: OrderKind) -> Ticket {
    let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    let limits = Limits { margin, ..Limits::default() };
    let mut gate = Engine::new(Idle, Money::parse("1000000").unwrap(), 1, limits);
    let session = *Calendar::nyse().session(SessionDate::parse("2024-01-02").unwrap()).unwrap();
    gate.step(&Event::SessionOpened(session)).unwrap();
    gate.step(&Event::Price { instrument: InstrumentId(0), price: price("100"), at: session.open }).unwrap();
    let order = Order {
        id: OrderId(number),
        instrument: InstrumentId(0),
        quantity: Quantity::whole(quantity).unwrap(),
        kind,
        time_in_force: TimeInForce::GoodTillCancelled,
        bracket: None,
        group: None,
        reduce_only: false,
    };
    let approved = gate.admit(order).unwrap();
    Ticket { id: id(number), symbol: Symbol::new("AAPL").unwrap(), approved, short: quantity < 0 }
}

/// Collects what is said until it satisfies.
pub(crate) fn wait(broker: &mut impl Broker, mut enough: impl FnMut(&[BrokerEvent]) -> bool) -> Vec<BrokerEvent> {
    let start = Instant::now();
    let mut heard = Vec::new();
    loop {
        heard.extend(broker.events());
        if enough(&heard) {
            return heard;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "only this was said: {heard:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn connected(heard: &[BrokerEvent]) -> bool {
    heard.contains(&BrokerEvent::Connected)
}

pub(crate) fn disconnected(heard: &[BrokerEvent]) -> bool {
    heard.iter().any(|event| matches!(event, BrokerEvent::Disconnected(_)))
}
