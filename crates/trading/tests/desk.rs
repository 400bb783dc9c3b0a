//! What is done when the broker does not do what it is asked about one order, or is away for long, and when prices stop.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use domain::{
    Bar, Calendar, Decisions, InstrumentId, Money, OrderKind, Price, Quantity, Ratio, Session, Strategy, Timestamp,
    View,
};
use engine::{Cancels, Engine, Limits, Mode};
use journal::Log;
use simulator::Costs;
use support::{Memory, MemoryLines, gate, header};
use trading::{
    Account, Broker, BrokerEvent, ClientOrderId, Desk, Failure, Market, OrderStatus, Owner, PaperBroker, Ticket, Trader,
};

const SECOND: i64 = 1_000_000_000;

/// A broker that refuses to cancel some orders, is silent about some, and may be away altogether.
struct Stubborn {
    broker: PaperBroker,
    refuses: BTreeSet<ClientOrderId>,
    silent: BTreeSet<ClientOrderId>,
    away: bool,
    /// The answer to what is sent does not come, though it arrived; or it did not.
    unclear: Option<bool>,
    sent: Vec<ClientOrderId>,
}

impl Broker for Stubborn {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        if self.away {
            return Err(Failure::NotSent("no route".to_owned()));
        }
        if self.unclear != Some(false) {
            self.sent.extend(tickets.iter().map(|ticket| ticket.id.clone()));
            self.broker.submit(tickets)?;
        }
        self.unclear.map_or(Ok(()), |_| Err(Failure::Unclear("no answer".to_owned())))
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        match () {
            () if self.away => Err(Failure::NotSent("no route".to_owned())),
            () if self.refuses.contains(id) => Err(Failure::Refused("too late to cancel".to_owned())),
            () => self.broker.cancel(id),
        }
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        self.broker.replace(id, with)
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        match () {
            () if self.away => Err(Failure::NotSent("no route".to_owned())),
            () if self.silent.contains(id) => Err(Failure::Unclear("its fills are not told yet".to_owned())),
            () => self.broker.find(id),
        }
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

/// Buys at the market once, and keeps a limit order far away in every instrument.
#[derive(Debug, Default)]
struct Builds(u32);

impl Strategy for Builds {
    fn on_bar(&mut self, bar: &Bar, _: &View<'_>, decisions: &mut Decisions) {
        self.0 += 1;
        if self.0 == 4 {
            decisions.order(InstrumentId(2), Quantity::whole(1).unwrap(), OrderKind::Market);
        }
        if self.0 <= 6 {
            let (instrument, ten) = (bar.instrument, Quantity::whole(10).unwrap());
            decisions.order(instrument, ten, OrderKind::Market);
            decisions.order(instrument, ten, OrderKind::Limit { limit: price("1") });
        }
    }

    fn on_split(&mut self, _: InstrumentId, _: Ratio) {}
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

fn sessions() -> &'static [Session] {
    &Calendar::nyse().sessions()[5_000..5_010]
}

type Running = Trader<Builds, Stubborn, MemoryLines>;

fn trader(memory: &Memory) -> Running {
    let header = header(3, Money::from_units(1_000_000 * Money::UNITS));
    let symbols = &header.instruments;
    let limits = Limits::default();
    let broker = Stubborn {
        broker: PaperBroker::new(Costs::default(), symbols, header.cash),
        refuses: BTreeSet::new(),
        silent: BTreeSet::new(),
        away: false,
        unclear: None,
        sent: Vec::new(),
    };
    let cancels = Cancels::WhenConfirmed;
    let desk = Desk::new(broker, Owner::new("x", "test").unwrap(), symbols, cancels, gate(&limits, &header));
    let engine = Engine::new(Builds::default(), header.cash, 3, limits).at_venue(symbols, cancels);
    Trader::new(engine, desk, Log::open(memory.lines(), &header).unwrap(), 3)
}

fn after(session: &Session, seconds: i64) -> Timestamp {
    Timestamp::from_nanos(session.open.nanos() + seconds * SECOND)
}

fn prices(trader: &mut Running, session: &Session, second: i64) {
    for at in 0..3 {
        let (instrument, at) = (InstrumentId(at), after(session, second));
        trader.market(&Market::Price { instrument, price: price("10"), volume: 100_000, at }).unwrap();
    }
}

/// A whole session, at whose close everything is decided.
fn decided(trader: &mut Running, session: &Session) {
    trader.turn(session.open).unwrap();
    trader.market(&Market::Opened(*session)).unwrap();
    prices(trader, session, 60);
    for at in 0..3 {
        let (instrument, p) = (InstrumentId(at), price("10"));
        let bar = Bar { instrument, session: session.date, open: p, high: p, low: p, close: p, volume: 1_000_000 };
        trader.market(&Market::Bar { bar, traded: bar }).unwrap();
    }
    trader.turn(session.close).unwrap();
    trader.market(&Market::Closed).unwrap();
}

fn held(trader: &mut Running) -> Vec<String> {
    trader.desk().broker().broker.book().positions().iter().map(ToString::to_string).collect()
}

#[test]
fn what_the_broker_does_not_do_about_one_order_keeps_no_other_from_being_closed() {
    let owner = Owner::new("x", "test").unwrap();
    for silent in [false, true] {
        for stuck in 0..3 {
            let mut trader = trader(&Memory::default());
            let [first, second, ..] = sessions() else { panic!() };
            decided(&mut trader, first);
            trader.turn(second.open).unwrap();
            trader.market(&Market::Opened(*second)).unwrap();
            prices(&mut trader, second, 60);
            assert_eq!(held(&mut trader), ["10", "10", "10"]);
            // One of the limit orders, which still work.
            let working = trader.desk().broker().working().unwrap();
            let odd = working[stuck].id.clone();
            assert!(owner.own(&odd).is_some() && working.len() == 3);
            let broker = trader.desk().broker();
            if silent {
                broker.silent.insert(odd.clone());
                trader.desk().doubt();
            } else {
                broker.refuses.insert(odd.clone());
            }
            trader.control(Mode::Flatten, "Ann: enough").unwrap();
            for second_of in 61..100 {
                trader.turn(after(second, second_of)).unwrap();
                prices(&mut trader, second, second_of);
            }
            let left = trader.desk().broker().working().unwrap();
            assert_eq!(left.iter().map(|order| order.id.clone()).collect::<Vec<_>>(), [odd], "{silent}");
            // Whose order may still fill is not closed beyond flat; all others are.
            let flat = held(&mut trader).iter().filter(|position| *position == "0").count();
            assert!(flat >= 2, "{silent} {stuck}: {:?}", held(&mut trader));
            assert!(trader.desk_ref().trouble().is_some(), "a person is told");
            // When the broker relents, the rest follows.
            let broker = trader.desk().broker();
            broker.refuses.clear();
            broker.silent.clear();
            for second_of in 100..140 {
                trader.turn(after(second, second_of)).unwrap();
                prices(&mut trader, second, second_of);
            }
            assert_eq!(held(&mut trader), ["0", "0", "0"]);
            assert!(trader.desk().broker().working().unwrap().is_empty());
        }
    }
}

#[test]
fn what_could_not_be_sent_in_time_is_never_sent() {
    let [first, second, third, ..] = sessions() else { panic!() };
    let sent = |trader: &mut Running| trader.desk().broker().sent.len();
    // Whether it arrived is not known, and it did not; then the broker is away until half an hour after the next open.
    let mut one = trader(&Memory::default());
    one.desk().broker().unclear = Some(false);
    decided(&mut one, first);
    let broker = one.desk().broker();
    (broker.unclear, broker.away) = (None, true);
    one.turn(after(second, 1_801)).unwrap();
    one.desk().broker().away = false;
    for more in 0..200 {
        one.turn(after(second, 1_802 + more)).unwrap();
    }
    assert_eq!(sent(&mut one), 0);
    // Until then it is: a close is for the next open, however long the night.
    let mut one = trader(&Memory::default());
    one.desk().broker().away = true;
    decided(&mut one, first);
    one.turn(after(second, -60)).unwrap();
    one.desk().broker().away = false;
    for more in 0..70 {
        one.turn(after(second, -60 + more)).unwrap();
    }
    assert_eq!(sent(&mut one), 6);
    // A crash before anything left, and two days.
    for (late, expected) in [(after(second, -60), 6), (after(third, -60), 0)] {
        let memory = Memory::default();
        let mut one = trader(&memory);
        one.desk().broker().away = true;
        decided(&mut one, first);
        drop(one);
        let mut again = trader(&memory);
        again.recover(late).unwrap();
        for more in 0..30 {
            again.turn(Timestamp::from_nanos(late.nanos() + more * SECOND)).unwrap();
        }
        assert_eq!(sent(&mut again), expected, "at {late}");
    }
}

#[test]
fn an_instrument_that_is_silent_in_its_session_is_begun_nothing_in_until_it_is_heard_again() {
    let memory = Memory::default();
    let mut one = trader(&memory).silent_at_most(60 * SECOND);
    let [first, second, third, ..] = sessions() else { panic!() };
    decided(&mut one, first);
    let stale = |one: &Running| (0..3).map(|at| one.engine().guard().stale(InstrumentId(at))).collect::<Vec<_>>();
    one.turn(after(second, -7_200)).unwrap();
    assert_eq!(stale(&one), [false; 3], "nobody is silent at night");
    one.market(&Market::Opened(*second)).unwrap();
    let tell = |one: &mut Running, at: u32, second_of: i64| {
        let (instrument, at) = (InstrumentId(at), after(second, second_of));
        one.market(&Market::Price { instrument, price: price("10"), volume: 100_000, at }).unwrap();
    };
    one.turn(after(second, 60)).unwrap();
    assert_eq!(stale(&one), [false; 3]);
    tell(&mut one, 0, 50);
    one.turn(after(second, 61)).unwrap();
    assert_eq!(stale(&one), [false, true, true]);
    tell(&mut one, 1, 62);
    assert_eq!(stale(&one), [false, false, true]);
    for at in 0..3 {
        let (instrument, p) = (InstrumentId(at), price("10"));
        let bar = Bar { instrument, session: second.date, open: p, high: p, low: p, close: p, volume: 1_000_000 };
        one.market(&Market::Bar { bar, traded: bar }).unwrap();
    }
    tell(&mut one, 0, 20_000);
    tell(&mut one, 1, 20_000);
    one.turn(after(second, 20_001)).unwrap();
    assert_eq!(stale(&one), [false, false, true]);
    let before = one.desk().broker().sent.len();
    one.turn(second.close).unwrap();
    one.market(&Market::Closed).unwrap();
    one.turn(after(third, -60)).unwrap();
    // Nothing for the one that is silent; then its bar came, and it is heard.
    let text = String::from_utf8(memory.bytes()).unwrap();
    assert_eq!(text.matches("{\"stale_prices\":{\"since\":").count(), 1, "{text}");
    assert_eq!(one.desk().broker().sent.len() - before, 6);
    assert_eq!(stale(&one), [false; 3]);
    // A restart comes to the same.
    drop(one);
    let mut again = trader(&memory).silent_at_most(60 * SECOND);
    again.recover(after(third, -60)).unwrap();
    assert_eq!(String::from_utf8(memory.bytes()).unwrap(), text);
}
