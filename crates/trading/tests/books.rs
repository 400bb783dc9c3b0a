//! Closing everything at a broker elsewhere while somebody else trades in the account, or the broker is away.
#![allow(clippy::unwrap_used)]

mod support;

use domain::{
    Bar, Calendar, Decisions, InstrumentId, Money, OrderKind, Price, Quantity, Ratio, Session, Strategy, Symbol,
    Timestamp, View,
};
use engine::{Cancels, Engine, Limits, Mode};
use journal::Log;
use simulator::Costs;
use support::{Memory, MemoryLines, gate, header};
use trading::{
    Account, Broker, BrokerEvent, ClientOrderId, Desk, Failure, Holding, Market, OrderStatus, Owner, PaperBroker,
    State, Ticket, Trader,
};

/// A broker in whose account a person trades by hand.
struct Shared {
    broker: PaperBroker,
    /// What the person holds beside what our orders have brought.
    by_hand: [i64; 2],
    /// Orders of the person that work.
    others: Vec<OrderStatus>,
    /// It is not reached, and whether that begins with the next order.
    away: bool,
    breaks: bool,
    /// It takes no orders.
    refuses: bool,
    /// No answer about orders.
    silent: Option<InstrumentId>,
    sent: Vec<String>,
}

impl Shared {
    fn there(&self) -> Result<(), Failure> {
        if self.away { Err(Failure::NotSent("no route".to_owned())) } else { Ok(()) }
    }
}

fn whole(shares: i64) -> Quantity {
    Quantity::whole(shares).unwrap()
}

impl Broker for Shared {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        self.away |= std::mem::take(&mut self.breaks);
        self.there()?;
        if self.refuses {
            return Err(Failure::Refused("not today".to_owned()));
        }
        self.sent.extend(tickets.iter().map(|ticket| {
            let order = ticket.approved.order();
            format!("{} {}", order.quantity, ticket.symbol)
        }));
        self.broker.submit(tickets)
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        self.broker.cancel(id)
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        self.broker.replace(id, with)
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        self.there()?;
        let found = self.broker.find(id)?;
        let silent = self.silent.map(|at| self.broker.book().positions()[at.index()]);
        if silent.is_some() && found.as_ref().is_some_and(|order| order.symbol == symbols()[0]) {
            return Err(Failure::Unclear("no answer".to_owned()));
        }
        Ok(found)
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        self.there()?;
        let mut working = self.broker.working()?;
        working.extend(self.others.iter().cloned());
        Ok(working)
    }

    fn account(&mut self) -> Result<Account, Failure> {
        self.there()?;
        let positions = self.broker.book().positions().to_vec();
        let mut holdings = Vec::new();
        for (at, symbol) in symbols().into_iter().enumerate() {
            let quantity = positions[at].add(whole(self.by_hand[at])).unwrap();
            if !quantity.is_zero() {
                holdings.push(Holding { symbol, quantity, price: Some(price("10")) });
            }
        }
        Ok(Account { cash: self.broker.account()?.cash, holdings })
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

/// Buys ten of each once, and wants ten more of the first far below.
#[derive(Debug, Default)]
struct Buys(u32);

impl Strategy for Buys {
    fn on_bar(&mut self, bar: &Bar, _: &View<'_>, decisions: &mut Decisions) {
        self.0 += 1;
        if self.0 <= 2 {
            decisions.order(bar.instrument, whole(10), OrderKind::Market);
        }
        if self.0 == 1 {
            decisions.order(bar.instrument, whole(10), OrderKind::Limit { limit: price("1") });
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

fn symbols() -> Vec<Symbol> {
    header(2, Money::ZERO).instruments
}

struct Scene {
    trader: Trader<Buys, Shared, MemoryLines>,
    second: i64,
}

impl Scene {
    /// Ten of each are held, an order far away works, and the books were compared.
    fn new(memory: &Memory) -> Self {
        let header = header(2, Money::from_units(1_000_000 * Money::UNITS));
        let (limits, cancels) = (Limits::default(), Cancels::WhenConfirmed);
        let broker = PaperBroker::new(Costs::default(), &header.instruments, header.cash);
        let broker = Shared {
            broker,
            by_hand: [0; 2],
            others: vec![],
            away: false,
            breaks: false,
            refuses: false,
            silent: None,
            sent: vec![],
        };
        let owner = Owner::new("x", "test").unwrap();
        let desk = Desk::new(broker, owner, &header.instruments, cancels, gate(&limits, &header));
        let engine = Engine::new(Buys::default(), header.cash, 2, limits).at_venue(&header.instruments, cancels);
        let trader = Trader::new(engine, desk, Log::open(memory.lines(), &header).unwrap(), 2).elsewhere(Money::ZERO);
        let mut scene = Self { trader, second: 60 };
        let [first, second, ..] = sessions() else { panic!() };
        scene.trader.turn(first.open).unwrap();
        scene.trader.market(&Market::Opened(*first)).unwrap();
        for at in 0..2 {
            let (instrument, p) = (InstrumentId(at), price("10"));
            let bar = Bar { instrument, session: first.date, open: p, high: p, low: p, close: p, volume: 1_000_000 };
            scene.trader.market(&Market::Bar { bar, traded: bar }).unwrap();
        }
        scene.trader.turn(first.close).unwrap();
        scene.trader.compare(first.close).unwrap();
        scene.trader.market(&Market::Closed).unwrap();
        scene.trader.turn(second.open).unwrap();
        scene.trader.market(&Market::Opened(*second)).unwrap();
        scene.pass(5);
        assert_eq!(scene.held(), [10, 10]);
        assert!(scene.trader.is_compared());
        scene.broker().sent.clear();
        scene
    }

    fn broker(&mut self) -> &mut Shared {
        self.trader.desk().broker()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(sessions()[1].open.nanos() + self.second * 1_000_000_000)
    }

    /// Seconds go by, with a price in each.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = self.now();
            for at in 0..2 {
                let price = Market::Price { instrument: InstrumentId(at), price: price("10"), volume: 9_000, at: now };
                self.trader.market(&price).unwrap();
            }
            self.trader.turn(now).unwrap();
            self.trader.compare(now).unwrap();
        }
    }

    /// What the account holds at the broker.
    fn held(&mut self) -> [i64; 2] {
        let shared = self.broker();
        let of = |at: usize| {
            let position = shared.broker.book().positions()[at].to_string().parse::<i64>().unwrap();
            position + shared.by_hand[at]
        };
        [of(0), of(1)]
    }

    fn is_flat(&self) -> bool {
        self.trader.snapshot(Money::ZERO).unwrap().is_flat()
    }

    fn kill(&mut self) -> bool {
        let now = self.now();
        self.trader.flatten(now, "Ann", "Ann: enough").unwrap()
    }
}

#[test]
fn what_a_person_has_sold_already_is_not_sold_again() {
    let mut scene = Scene::new(&Memory::default());
    scene.broker().by_hand = [-10, -4];
    assert!(scene.kill());
    scene.pass(20);
    assert_eq!(scene.broker().sent, ["-6 BBB"]);
    assert_eq!(scene.held(), [0, 0]);
    assert!(scene.is_flat());
}

#[test]
fn what_could_not_leave_waits_for_the_books_when_it_can() {
    let mut scene = Scene::new(&Memory::default());
    scene.broker().breaks = true;
    assert!(scene.kill());
    scene.pass(3);
    assert!(scene.broker().away && !scene.trader.is_compared());
    assert_eq!(scene.held(), [10, 10]);
    scene.broker().by_hand = [-10, -4];
    scene.broker().away = false;
    scene.pass(80);
    assert_eq!(scene.broker().sent, ["-6 BBB"]);
    assert_eq!(scene.held(), [0, 0]);
    assert!(scene.is_flat());
}

#[test]
fn what_a_person_buys_after_everything_is_closed_is_noticed() {
    let mut scene = Scene::new(&Memory::default());
    assert!(scene.kill());
    scene.pass(3);
    assert_eq!((scene.held(), scene.is_flat()), ([0, 0], true));
    scene.broker().by_hand = [0, 7];
    scene.pass(60);
    // The venue knows nothing of what was bought by hand and fills none of it.
    assert!(!scene.is_flat());
    assert_eq!(scene.broker().sent, ["-10 AAA", "-10 BBB", "-7 BBB"]);
}

#[test]
fn an_order_of_somebody_else_in_an_instrument_of_ours_is_not_flat() {
    let mut scene = Scene::new(&Memory::default());
    let order = |symbol: Symbol| OrderStatus {
        id: ClientOrderId::told("by-hand"),
        symbol,
        quantity: whole(5),
        state: State::Working,
        executions: Vec::new(),
    };
    scene.broker().others = vec![order(symbols()[1].clone()), order(Symbol::new("OTHER").unwrap())];
    assert!(scene.kill());
    scene.pass(3);
    assert_eq!((scene.held(), scene.is_flat()), ([0, 0], false));
    assert_eq!(scene.trader.others(), ["order by-hand of 5 BBB is not of this run"]);
    // That of an instrument which is not ours stands in nobody's way.
    scene.broker().others.remove(0);
    scene.pass(40);
    assert!(scene.is_flat());
}

#[test]
fn an_order_that_nobody_answers_about_keeps_no_other_instrument_from_being_closed() {
    let mut scene = Scene::new(&Memory::default());
    scene.broker().silent = Some(InstrumentId(0));
    assert!(!scene.kill());
    assert_eq!(scene.trader.engine().guard().mode(), Mode::Cancel);
    for _ in 0..10 {
        scene.pass(1);
        if scene.trader.engine().guard().mode() != Mode::Flatten {
            scene.kill();
        }
    }
    assert_eq!(scene.held()[1], 0);
    assert!(!scene.is_flat());
    scene.broker().silent = None;
    scene.pass(60);
    assert_eq!(scene.held(), [0, 0]);
    assert!(scene.is_flat());
}

#[test]
fn an_exit_that_the_broker_refuses_is_told_and_sent_again_later() {
    let mut scene = Scene::new(&Memory::default());
    scene.broker().refuses = true;
    assert!(scene.kill());
    let told = scene.trader.desk().refused();
    assert_eq!(told.len(), 2, "{told:?}");
    let words = "an order of -10 AAA at the market, which was to reduce a position, was refused: not today";
    assert_eq!(told[0], words);
    assert!(scene.trader.desk().refused().is_empty());
    scene.broker().refuses = false;
    scene.pass(30);
    assert_eq!((scene.held(), scene.is_flat()), ([0, 0], true));
}

#[test]
fn a_kill_that_was_lifted_while_it_waited_leaves_the_next_one_no_old_books() {
    let mut scene = Scene::new(&Memory::default());
    scene.broker().away = true;
    scene.trader.books_are_due();
    assert!(!scene.kill());
    scene.trader.control(Mode::Normal, "Ann: not now").unwrap();
    scene.broker().away = false;
    scene.pass(90);
    assert!(scene.trader.is_compared());
    scene.broker().by_hand = [-10, -4];
    assert!(scene.kill());
    scene.pass(20);
    assert_eq!(scene.broker().sent, ["-6 BBB"]);
    assert!(scene.is_flat());
}
