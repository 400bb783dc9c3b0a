//! Our adapter on our server, which Alpaca's own client certifies (`tests/brokers/alpaca`).
#![allow(clippy::unwrap_used)]

#[path = "alpaca/common.rs"]
mod common;
#[path = "alpaca/proxy.rs"]
mod proxy;

use std::collections::BTreeMap;
use std::net::TcpListener;

use brokers::alpaca::server::{Floor, Handle, serve};
use brokers::alpaca::{AlpacaBroker, Credentials};
use common::{KEY, SECRET, connected, disconnected, id, limit, price, settings, stop, ticket, wait};
use domain::{Bar, Calendar, InstrumentId, Money, OrderKind, Quantity, SessionDate, Symbol, Timestamp, Trail};
use engine::{Limits, Mode, OrderEnd};
use proxy::{Fault, Proxy};
use simulator::Costs;
use trading::market::Market;
use trading::paper::PaperBroker;
use trading::{Broker, BrokerEvent, Execution, Failure, State};

struct Venue {
    server: Handle<PaperBroker>,
    ticks: i64,
}

impl Venue {
    fn new() -> Self {
        let symbols = [Symbol::new("AAPL").unwrap()];
        let cash = Money::parse("100000").unwrap();
        let costs = Costs { volume_share_max: Some(1.0), ..Costs::default() };
        let limits = Limits { order_notional_max: Some(Money::parse("60000").unwrap()), ..Limits::default() };
        let floor = Floor::new(PaperBroker::new(costs, &symbols, cash), &symbols, cash, limits);
        let keys = Credentials::new(KEY, SECRET).unwrap();
        let server = serve(TcpListener::bind("127.0.0.1:0").unwrap(), floor, keys).unwrap();
        let mut venue = Self { server, ticks: 0 };
        venue.server.market(&Market::Opened(Self::session())).unwrap();
        venue.price("100", 1_000_000);
        venue
    }

    fn session() -> domain::Session {
        *Calendar::nyse().session(SessionDate::parse("2024-01-02").unwrap()).unwrap()
    }

    fn price(&mut self, text: &str, volume: u64) {
        self.ticks += 1;
        let at = Timestamp::from_nanos(Self::session().open.nanos() + self.ticks * 1_000_000_000);
        let price = Market::Price { instrument: InstrumentId(0), price: price(text), volume, at };
        self.server.market(&price).unwrap();
    }

    fn close(&mut self, text: &str) {
        let price = price(text);
        let (instrument, session) = (InstrumentId(0), Self::session().date);
        let bar = Bar { instrument, session, open: price, high: price, low: price, close: price, volume: 1_000_000 };
        self.server.market(&Market::Bar { bar, traded: bar }).unwrap();
        self.server.market(&Market::Closed).unwrap();
    }

    fn address(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn broker(&self) -> AlpacaBroker {
        let mut broker = AlpacaBroker::connect(settings(&self.address())).unwrap();
        wait(&mut broker, connected);
        broker
    }

    fn position(&self) -> String {
        self.server.look(|floor| floor.book().position(InstrumentId(0)).to_string())
    }
}

fn shares(number: i64) -> Quantity {
    Quantity::whole(number).unwrap()
}

fn executions(heard: &[BrokerEvent]) -> Vec<&Execution> {
    let executed = heard.iter().filter_map(|event| match event {
        BrokerEvent::Executed(execution) => Some(execution),
        _ => None,
    });
    executed.collect()
}

fn filled(heard: &[BrokerEvent], number: u64, quantity: i64) -> bool {
    executions(heard).iter().any(|one| one.order == id(number) && one.cumulative == shares(quantity))
}

fn ended(heard: &[BrokerEvent], number: u64) -> bool {
    heard.iter().any(|event| matches!(event, BrokerEvent::Ended { id: ended, .. } if *ended == id(number)))
}

/// Long 100 at 100.
fn holding(venue: &mut Venue) -> AlpacaBroker {
    let mut broker = venue.broker();
    broker.submit(&[ticket(1, 100, OrderKind::Market)]).unwrap();
    venue.price("100", 1_000_000);
    wait(&mut broker, |heard| filled(heard, 1, 100));
    broker
}

#[test]
fn an_order_is_accepted_executed_in_parts_and_found() {
    let mut venue = Venue::new();
    let mut broker = venue.broker();
    broker.submit(&[ticket(7, 100, OrderKind::Market)]).unwrap();
    venue.price("101", 40);
    let part = broker.find(&id(7)).unwrap().unwrap();
    assert_eq!((part.state, part.executions.len()), (State::Working, 1));
    assert_eq!(broker.working().unwrap(), [part]);
    venue.price("102", 1_000);
    let heard = wait(&mut broker, |heard| filled(heard, 7, 100));
    assert_eq!(heard[0], BrokerEvent::Accepted(id(7)));
    let told = executions(&heard);
    let figures = |one: &Execution| format!("{} at {}, {} in all", one.quantity, one.price, one.cumulative);
    assert_eq!(
        told.iter().map(|one| figures(one)).collect::<Vec<_>>(),
        ["40 at 101, 40 in all", "60 at 102, 100 in all"]
    );
    // What is asked for later is what was told at once, name by name.
    let found = broker.find(&id(7)).unwrap().unwrap();
    assert_eq!((found.state, found.quantity), (State::Filled, shares(100)));
    assert_eq!(found.executions.iter().collect::<Vec<_>>(), told);
    let account = broker.account().unwrap();
    assert_eq!(account.cash.unwrap().to_string(), "89840");
    assert_eq!((account.holdings[0].quantity, account.holdings[0].price), (shares(100), Some(price("102"))));
    assert_eq!(broker.working().unwrap(), []);
}

#[test]
fn what_is_sent_twice_is_there_once() {
    let mut venue = Venue::new();
    let mut broker = venue.broker();
    for _ in 0..3 {
        broker.submit(&[ticket(1, 100, OrderKind::Market)]).unwrap();
    }
    venue.price("100", 1_000_000);
    broker.submit(&[ticket(1, 100, OrderKind::Market)]).unwrap();
    venue.price("100", 1_000_000);
    assert_eq!(venue.position(), "100");
    assert_eq!(broker.find(&id(2)).unwrap(), None);
}

#[test]
fn of_two_alternatives_one_ends_the_other_whichever_is_named_first() {
    for tickets in [
        [ticket(2, -100, stop("90")), ticket(3, -100, limit("110"))],
        [ticket(3, -100, limit("110")), ticket(2, -100, stop("90"))],
    ] {
        let mut venue = Venue::new();
        let mut broker = holding(&mut venue);
        broker.submit(&tickets).unwrap();
        broker.submit(&tickets).unwrap();
        for number in [2, 3] {
            assert_eq!(broker.find(&id(number)).unwrap().unwrap().state, State::Working, "{number}");
        }
        venue.price("89", 1_000_000);
        let heard = wait(&mut broker, |heard| ended(heard, 3) && filled(heard, 2, 100));
        assert_eq!(executions(&heard)[0].price, price("89"));
        assert_eq!(broker.find(&id(3)).unwrap().unwrap().state, State::Ended(OrderEnd::Cancelled));
        assert_eq!(venue.position(), "0");
    }
}

#[test]
fn the_second_alternative_is_known_after_a_restart() {
    let mut venue = Venue::new();
    let mut broker = holding(&mut venue);
    broker.submit(&[ticket(2, -100, stop("90")), ticket(3, -100, limit("110"))]).unwrap();
    drop(broker);

    // One that starts while both work hears of them by name.
    let mut broker = venue.broker();
    let mut working: Vec<String> = broker.working().unwrap().iter().map(|order| order.id.to_string()).collect();
    working.sort();
    assert_eq!(working, [id(2).to_string(), id(3).to_string()]);
    let status = broker.find(&id(2)).unwrap().unwrap();
    assert_eq!((status.state, status.quantity), (State::Working, shares(-100)));
    venue.price("90", 30);
    wait(&mut broker, |heard| filled(heard, 2, 30));
    drop(broker);

    // One that starts when both have ended finds them.
    venue.price("88", 1_000);
    let mut broker = venue.broker();
    let status = broker.find(&id(2)).unwrap().unwrap();
    let told: Vec<String> = status.executions.iter().map(|one| format!("{} {}", one.quantity, one.price)).collect();
    assert_eq!((status.state, told), (State::Filled, vec!["-30 90".to_owned(), "-70 88".to_owned()]));
    assert_eq!(broker.find(&id(3)).unwrap().unwrap().state, State::Ended(OrderEnd::Cancelled));
    assert_eq!(broker.find(&id(4)).unwrap(), None);
}

#[test]
fn an_alternative_that_was_replaced_keeps_its_partner_after_a_restart_too() {
    let mut venue = Venue::new();
    let mut broker = holding(&mut venue);
    broker.submit(&[ticket(2, -100, stop("90")), ticket(3, -100, limit("110"))]).unwrap();
    broker.replace(&id(3), &ticket(4, -100, limit("105"))).unwrap();
    broker.replace(&id(2), &ticket(5, -100, stop("95"))).unwrap();
    drop(broker);
    let mut broker = venue.broker();
    for (number, state) in [
        (2, State::Ended(OrderEnd::Replaced)),
        (3, State::Ended(OrderEnd::Replaced)),
        (4, State::Working),
        (5, State::Working),
    ] {
        assert_eq!(broker.find(&id(number)).unwrap().map(|order| order.state), Some(state), "{number}");
    }
    venue.price("106", 1_000_000);
    wait(&mut broker, |heard| filled(heard, 4, 100) && ended(heard, 5));
    assert_eq!(venue.position(), "0");
}

#[test]
fn orders_are_cancelled_and_replaced() {
    let mut venue = Venue::new();
    let mut broker = venue.broker();
    broker.submit(&[ticket(1, 10, limit("90"))]).unwrap();
    broker.replace(&id(1), &ticket(2, 20, limit("91"))).unwrap();
    broker.replace(&id(1), &ticket(2, 20, limit("91"))).unwrap_err();
    let heard = wait(&mut broker, |heard| heard.contains(&BrokerEvent::Accepted(id(2))));
    assert!(ended(&heard, 1));
    assert_eq!(broker.find(&id(1)).unwrap().unwrap().state, State::Ended(OrderEnd::Replaced));
    broker.cancel(&id(2)).unwrap();
    broker.cancel(&id(2)).unwrap();
    wait(&mut broker, |heard| ended(heard, 2));
    assert!(matches!(broker.cancel(&id(9)), Err(Failure::Refused(_))));
    broker.submit(&[ticket(3, 10, OrderKind::Market)]).unwrap();
    venue.price("100", 1_000_000);
    // What has ended already is no failure.
    broker.cancel(&id(3)).unwrap();
    assert_eq!(venue.position(), "10");
    // Of another kind it would have to be another order.
    broker.submit(&[ticket(4, 10, limit("90"))]).unwrap();
    assert!(matches!(broker.replace(&id(4), &ticket(5, 10, stop("120"))), Err(Failure::Refused(_))));
    assert_eq!(broker.find(&id(4)).unwrap().unwrap().state, State::Working);
}

fn orders(venue: &Venue) -> Vec<OrderKind> {
    venue.server.look(|floor| floor.open_orders().iter().map(|order| order.kind).collect())
}

#[test]
fn every_kind_of_order_arrives_as_it_was_meant() {
    let mut venue = Venue::new();
    let mut broker = venue.broker();
    let kinds = [
        OrderKind::Market,
        limit("90"),
        stop("120.5"),
        OrderKind::StopLimit { stop: price("120"), limit: price("121") },
        OrderKind::TrailingStop { trail: Trail::Amount(price("2.5")) },
        OrderKind::TrailingStop { trail: Trail::BasisPoints(125) },
        OrderKind::MarketOnClose,
    ];
    for (number, kind) in (1..).zip(kinds) {
        broker.submit(&[ticket(number, 10, kind)]).unwrap();
    }
    assert_eq!(orders(&venue), kinds);
    assert!(matches!(broker.submit(&[ticket(8, 10, OrderKind::MarketOnOpen)]), Err(Failure::Refused(_))));
    venue.close("100");
    broker.submit(&[ticket(9, 10, OrderKind::MarketOnOpen)]).unwrap();
    assert!(orders(&venue).contains(&OrderKind::MarketOnOpen));
    assert_eq!(broker.find(&id(7)).unwrap().unwrap().state, State::Filled);
}

#[test]
fn the_venue_takes_exits_at_prices_between_two_ticks() {
    let mut venue = Venue::new();
    let mut broker = holding(&mut venue);
    broker.submit(&[ticket(2, -10, limit("110.001")), ticket(3, -10, stop("90.001"))]).unwrap();
    assert_eq!(orders(&venue), [limit("110.01"), stop("90.01")]);
}

#[test]
fn what_the_broker_refuses_comes_with_its_words() {
    let venue = Venue::new();
    let mut broker = venue.broker();
    let told = |failure: Result<(), Failure>| failure.unwrap_err().to_string();
    let large = told(broker.submit(&[ticket(1, 700, limit("99"))]));
    assert!(large.starts_with("the broker refused: ") && large.contains("60000"), "{large}");
    let nothing = told(broker.submit(&[ticket(3, -10, limit("110")), ticket(4, -10, stop("90"))]));
    assert!(nothing.contains("exit orders"), "{nothing}");
    assert_eq!(broker.working().unwrap(), []);
    let mut stranger = settings(&venue.address());
    stranger.credentials = Credentials::new(KEY, "wrong").unwrap();
    let mut stranger = AlpacaBroker::connect(stranger).unwrap();
    let heard = wait(&mut stranger, disconnected);
    assert_eq!(heard, [BrokerEvent::Disconnected("Alpaca refuses the keys on the socket".to_owned())]);
    assert_eq!(stranger.account(), Err(Failure::Refused("request is not authorized".to_owned())));
}

#[test]
fn ids_are_new_after_every_start() {
    let ids = || {
        let mut venue = Venue::new();
        let mut broker = holding(&mut venue);
        broker.submit(&[ticket(2, 10, limit("90"))]).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for path in ["/v2/orders?status=all", "/v2/account/activities/FILL"] {
            let mut line = std::net::TcpStream::connect(venue.server.address()).unwrap();
            let keys = format!("apca-api-key-id: {KEY}\r\napca-api-secret-key: {SECRET}\r\n");
            let ask = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{keys}\r\n");
            std::io::Write::write_all(&mut line, ask.as_bytes()).unwrap();
            let answer = std::io::read_to_string(line).unwrap();
            let rows: Vec<serde_json::Value> = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(ids.len(), 3, "{ids:?}");
        ids
    };
    assert!(ids().is_disjoint(&ids()));
}

#[test]
fn keys_that_are_not_taken_are_said_and_a_broker_that_is_not_reached_is_none() {
    let venue = Venue::new();
    let stranger = settings(&venue.address());
    let stranger = brokers::alpaca::Settings { credentials: Credentials::new(KEY, "another").unwrap(), ..stranger };
    let refused = AlpacaBroker::connect(stranger).unwrap().keys_refused();
    assert_eq!(refused.as_deref(), Some("request is not authorized"));
    assert_eq!(venue.broker().keys_refused(), None);
    assert_eq!(AlpacaBroker::connect(settings("http://127.0.0.1:9")).unwrap().keys_refused(), None);
}

#[test]
fn a_person_can_stop_the_account_and_everyone_hears_of_it() {
    let mut venue = Venue::new();
    let mut broker = holding(&mut venue);
    broker.submit(&[ticket(2, 10, limit("90"))]).unwrap();
    venue.server.control(Mode::Flatten).unwrap();
    wait(&mut broker, |heard| ended(heard, 2));
    venue.price("99", 1_000_000);
    let heard = wait(&mut broker, |heard| !executions(heard).is_empty());
    let closed = executions(&heard)[0];
    assert_eq!((closed.quantity, closed.price), (shares(-100), price("99")));
    assert!(closed.order.as_str().starts_with("forced-"), "{closed:?}");
    assert_eq!(venue.position(), "0");
    let refused = broker.submit(&[ticket(3, 10, limit("90"))]).unwrap_err();
    assert!(refused.to_string().contains("flatten"), "{refused}");
}

#[test]
fn what_happened_while_the_line_was_down_is_asked_for() {
    let mut venue = Venue::new();
    let proxy = Proxy::new(venue.server.address());
    let mut broker = AlpacaBroker::connect(settings(&proxy.address())).unwrap();
    wait(&mut broker, connected);
    broker.submit(&[ticket(1, 100, OrderKind::Market)]).unwrap();
    venue.price("100", 40);
    let before = wait(&mut broker, |heard| filled(heard, 1, 40));
    proxy.set(Fault::Refuse);
    proxy.cut();
    wait(&mut broker, disconnected);
    venue.price("101", 1_000);
    assert!(matches!(broker.find(&id(1)), Err(Failure::NotSent(_) | Failure::Unclear(_))));
    proxy.set(Fault::None);
    let heard = wait(&mut broker, connected);
    assert_eq!(executions(&heard), Vec::<&Execution>::new());
    let found = broker.find(&id(1)).unwrap().unwrap();
    assert_eq!(found.executions[0], *executions(&before)[0]);
    assert_eq!((found.state, found.executions[1].cumulative), (State::Filled, shares(100)));
}

/// Lines that break before, while and after a request is forwarded: who asks before sending again sends nothing twice
/// and loses nothing.
#[test]
fn no_order_is_lost_or_doubled_on_a_line_that_breaks() {
    let mut venue = Venue::new();
    let proxy = Proxy::new(venue.server.address());
    let mut settings = settings(&proxy.address());
    settings.requests_per_minute = 100_000;
    settings.time_out = std::time::Duration::from_millis(400);
    let mut broker = AlpacaBroker::connect(settings).unwrap();
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 1..=60_u64 {
        let faults = [Fault::None, Fault::BreakBefore, Fault::BreakAfter, Fault::SwallowAnswer, Fault::HalfAnswer];
        proxy.set(faults[(number * 7 % 5) as usize]);
        proxy.cut();
        let sent = broker.submit(&[ticket(number, 1, OrderKind::Market)]);
        proxy.set(Fault::None);
        proxy.cut();
        let arrived = match sent {
            Ok(()) => {
                *outcomes.entry("sent").or_default() += 1;
                true
            }
            Err(Failure::NotSent(_)) => {
                *outcomes.entry("not sent").or_default() += 1;
                false
            }
            Err(Failure::Unclear(_)) => {
                *outcomes.entry("unclear").or_default() += 1;
                find_at_last(&mut broker, number)
            }
            Err(Failure::Refused(why)) => panic!("{why}"),
        };
        if !arrived {
            *outcomes.entry("sent again").or_default() += 1;
            while broker.submit(&[ticket(number, 1, OrderKind::Market)]).is_err() {}
        }
    }
    venue.price("100", 1_000_000);
    assert_eq!(venue.position(), "60", "{outcomes:?}");
    assert!(outcomes["unclear"] > 10 && outcomes["sent again"] > 0, "{outcomes:?}");
    for number in 1..=60 {
        assert!(find_at_last(&mut broker, number), "{number}");
    }
}

fn find_at_last(broker: &mut AlpacaBroker, number: u64) -> bool {
    loop {
        if let Ok(found) = broker.find(&id(number)) {
            return found.is_some();
        }
    }
}
