//! A paper day over two queues that lose, double, delay and reorder, with crashes of either side: the journal is that of
//! one process, byte for byte, and the broker's books are those of the journal. Seeded.
//!
//! `REMOTE_SEEDS=20000 cargo test -p trading --test remote` runs more, `REMOTE_SEED=7` one.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../simulator/tests/support/mod.rs"]
mod market;
mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use domain::{Bar, InstrumentId, Money, Price, Quantity, Timestamp};
use engine::{Cancels, Engine, Limits, Margin, Mode};
use journal::Log;
use market::random::{Chaos, Wish};
use simulator::Costs;
use support::{Dice, Memory, MemoryLines};
use trading::remote::{Adapter, Channel, Letter, Patience, Received, RemoteBroker, Rules, SendError, flatten};
use trading::tape::{self, Numbered};
use trading::{
    Account, Books, Broker, BrokerEvent, ClientOrderId, Desk, Failure, Market, OrderStatus, Owner, PaperBroker, Ticket,
    Trader,
};

/// The story of one seed.
fn say(text: impl FnOnce() -> String) {
    if std::env::var_os("REMOTE_SEED").is_some() {
        println!("{}", text());
    }
}

/// A paper broker that counts how often each order came.
struct Counting {
    broker: PaperBroker,
    submitted: BTreeMap<ClientOrderId, u32>,
}

impl Broker for Counting {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        for ticket in tickets {
            *self.submitted.entry(ticket.id.clone()).or_default() += 1;
        }
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

/// Messages one way, and when each is due.
#[derive(Default)]
struct Way {
    on_way: VecDeque<(u64, Letter)>,
    sent: u64,
}

/// Both ways, and what is wrong with them.
struct Net {
    dice: Dice,
    bad: bool,
    now_ms: u64,
    to_adapter: Way,
    to_trader: Way,
}

impl Net {
    fn send(&mut self, to_adapter: bool, text: &str) -> Result<(), SendError> {
        say(|| format!("{} {} {text}", self.now_ms, if to_adapter { ">" } else { "<" }));
        if self.bad && self.dice.chance(4) {
            return Err(SendError::NotSent("no route".to_owned()));
        }
        let (lost, twice) = (self.bad && self.dice.chance(8), self.bad && self.dice.chance(10));
        for _ in 0..if lost { 0 } else { 1 + u32::from(twice) } {
            // Rarely so late that nobody waits for it any more.
            let most = if self.dice.chance(3) { 40_000 } else { 3_000 };
            let late = if self.bad { self.dice.below(most) } else { 0 };
            let due = self.now_ms + late;
            let way = if to_adapter { &mut self.to_adapter } else { &mut self.to_trader };
            way.sent += 1;
            let receipt = way.sent.to_string();
            way.on_way.push_back((due, Letter { text: text.to_owned(), receipt }));
        }
        if self.bad && self.dice.chance(8) {
            return Err(SendError::Unclear("no answer".to_owned()));
        }
        Ok(())
    }

    fn due(&self, to_adapter: bool) -> Vec<Letter> {
        let way = if to_adapter { &self.to_adapter } else { &self.to_trader };
        way.on_way.iter().filter(|(due, _)| *due <= self.now_ms).map(|(_, letter)| letter.clone()).collect()
    }

    fn done(&mut self, to_adapter: bool, letter: &Letter) {
        // A message that is done with may come once more all the same.
        if self.bad && self.dice.chance(5) {
            return;
        }
        let way = if to_adapter { &mut self.to_adapter } else { &mut self.to_trader };
        way.on_way.retain(|(_, other)| other.receipt != letter.receipt);
    }
}

type Far = Adapter<Counting, AdapterEnd, MemoryLines>;

struct AdapterEnd(Rc<RefCell<Net>>);

impl Channel for AdapterEnd {
    fn send(&mut self, _id: &str, text: &str) -> Result<(), SendError> {
        self.0.borrow_mut().send(false, text)
    }

    fn receive(&mut self, _wait_ms: u64) -> Result<Received, String> {
        Ok(Received { letters: self.0.borrow().due(true), waited_ms: 0 })
    }

    fn done(&mut self, letter: &Letter) {
        self.0.borrow_mut().done(true, letter);
    }
}

/// The other side as the trader's messages find it: up, or started again.
struct Site {
    adapter: Option<Far>,
    log: Memory,
    starts: u64,
    limits: Limits,
    tape: Rc<RefCell<Vec<Numbered>>>,
    told: usize,
}

impl Site {
    fn start(&mut self, net: &Rc<RefCell<Net>>) -> Far {
        self.starts += 1;
        self.told = 0;
        let header = support::header(2, cash());
        let broker = PaperBroker::new(costs(), &header.instruments, header.cash);
        let rules = Rules {
            account: "paper".to_owned(),
            owner: Owner::new("paper", "test").unwrap(),
            closer: Owner::new("paper_x", "test").unwrap(),
            symbols: header.instruments.clone(),
            gate: support::gate(&self.limits, &header),
            own_market: true,
            start: self.starts,
        };
        let broker = Counting { broker, submitted: BTreeMap::new() };
        Adapter::open(broker, AdapterEnd(net.clone()), self.log.lines(), rules).unwrap()
    }

    fn turn(&mut self, net: &Rc<RefCell<Net>>) {
        let mut adapter = self.adapter.take().unwrap_or_else(|| self.start(net));
        let (tape, told) = (self.tape.clone(), &mut self.told);
        let mut source = || {
            let tape = tape.borrow();
            let some = (*told..tape.len()).take(3).map(|at| tape[at]).collect::<Vec<_>>();
            *told += some.len();
            Ok(some)
        };
        adapter.turn(0, &mut source).unwrap();
        let crash = {
            let mut net = net.borrow_mut();
            net.bad && net.dice.chance(1)
        };
        if crash {
            say(|| "the adapter crashes".to_owned());
            std::mem::forget(adapter);
        } else {
            self.adapter = Some(adapter);
        }
    }
}

struct TraderEnd {
    net: Rc<RefCell<Net>>,
    site: Rc<RefCell<Site>>,
}

impl Channel for TraderEnd {
    fn send(&mut self, _id: &str, text: &str) -> Result<(), SendError> {
        self.net.borrow_mut().send(true, text)
    }

    fn receive(&mut self, wait_ms: u64) -> Result<Received, String> {
        let mut waited_ms = 0;
        loop {
            self.site.borrow_mut().turn(&self.net);
            let mut net = self.net.borrow_mut();
            let mut letters = net.due(false);
            if net.bad && net.dice.chance(20) {
                letters.reverse();
            }
            if !letters.is_empty() || waited_ms >= wait_ms {
                return Ok(Received { letters, waited_ms });
            }
            waited_ms += 250;
            net.now_ms += 250;
        }
    }

    fn done(&mut self, letter: &Letter) {
        self.net.borrow_mut().done(false, letter);
    }
}

type Near = Trader<Chaos, RemoteBroker<TraderEnd>, MemoryLines>;

struct World {
    seed: u64,
    net: Rc<RefCell<Net>>,
    site: Rc<RefCell<Site>>,
    tape: Rc<RefCell<Vec<Numbered>>>,
    memory: Memory,
    wishes: Vec<Wish>,
    limits: Limits,
    dice: Dice,
    epoch: u64,
    trader: Option<Near>,
}

fn cash() -> Money {
    Money::from_units(market::CASH * Money::UNITS)
}

fn costs() -> Costs {
    Costs { commission_per_share: market::money("0.01"), volume_share_max: Some(0.05), ..Costs::default() }
}

fn limits() -> Limits {
    Limits {
        position_quantity_max: Some(market::shares(300)),
        order_quantity_max: Some(market::shares(250)),
        margin: Margin { initial_long: 0.2, initial_short: 0.2, maintenance: 0.0 },
        ..Limits::default()
    }
}

impl World {
    fn new(seed: u64, bad: bool) -> Self {
        let mut dice = Dice(seed);
        let wishes = (0..1 + dice.below(30)).map(|_| Wish {
            kind: dice.below(11) as u8,
            quantity: dice.below(600) as i16 - 300,
            first: dice.below(300) as i16 - 150,
            second: dice.below(300) as i16 - 150,
            extra: dice.below(256) as u8,
        });
        let wishes = wishes.collect();
        let net = Net {
            dice: Dice(seed ^ 0xdead_beef),
            bad,
            now_ms: 1_000_000,
            to_adapter: Way::default(),
            to_trader: Way::default(),
        };
        let tape = Rc::<RefCell<Vec<Numbered>>>::default();
        let log = Memory::default();
        let site = Site { adapter: None, log, starts: 0, limits: limits(), tape: tape.clone(), told: 0 };
        Self {
            seed,
            net: Rc::new(RefCell::new(net)),
            site: Rc::new(RefCell::new(site)),
            tape,
            memory: Memory::default(),
            wishes,
            limits: limits(),
            dice,
            epoch: 0,
            trader: None,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.net.borrow().now_ms as i64 * 1_000_000)
    }

    fn pass(&self, ms: u64) {
        self.net.borrow_mut().now_ms += ms;
    }

    /// Starts a trader on what an earlier one has left; the one before is fenced out by its number.
    fn start(&mut self) -> Near {
        let header = support::header(2, cash());
        let log = Log::open(self.memory.lines(), &header).unwrap();
        let mut broker = None;
        while broker.is_none() {
            self.epoch += 1;
            let end = TraderEnd { net: self.net.clone(), site: self.site.clone() };
            let mut remote = RemoteBroker::new(end, self.epoch, Patience { answer_ms: 5_000, market_tries: 50 });
            broker = remote.hello().is_ok().then_some(remote);
        }
        let owner = Owner::new("paper", "test").unwrap();
        let symbols = &header.instruments;
        let gate = support::gate(&self.limits, &header);
        let desk = Desk::new(broker.unwrap(), owner, symbols, Cancels::AtOnce, gate);
        let engine = Engine::new(Chaos::new(self.wishes.clone()), header.cash, 2, self.limits.clone());
        let mut trader = Trader::new(engine, desk, log, 2);
        let now = self.now();
        trader.recover(now).unwrap();
        trader
    }

    /// Tells the trader of events from some number on, as its program does: nothing is told before all is settled.
    fn tell(&mut self) -> Result<(), ()> {
        let mut trader = self.trader.take().unwrap_or_else(|| self.start());
        let length = self.tape.borrow().len();
        for at in 0..length {
            let told = self.tape.borrow()[at];
            if trader.was_told(&told.event.unwrap()) {
                continue;
            }
            self.settle(&mut trader);
            trader.desk().broker().at(told.seq);
            trader.market(&told.event.unwrap()).unwrap();
            self.settle(&mut trader);
            let crash = self.net.borrow().bad && self.dice.chance(2);
            if crash {
                say(|| format!("the trader crashes after {told:?}"));
                std::mem::forget(trader);
                return Err(());
            }
        }
        self.trader = Some(trader);
        Ok(())
    }

    fn settle(&self, trader: &mut Near) {
        for attempt in 0.. {
            assert!(attempt < 2_000, "REMOTE_SEED={}: it does not settle", self.seed);
            trader.turn(self.now()).unwrap();
            if trader.desk_ref().settled() {
                return;
            }
            self.pass(500);
        }
    }

    /// Sessions of bars, sometimes with prices inside.
    fn sessions(&mut self, first: usize, count: usize) {
        let mut last = [5_000_i64, 5_000];
        let mut tape = self.tape.borrow_mut();
        let mut push = |event| {
            let seq = tape.len() as u64 + 1;
            tape.push(Numbered { seq, event: Some(event) });
        };
        for n in first..first + count {
            let session = market::session(n);
            push(Market::Opened(session));
            let open = last;
            let (mut high, mut low) = (open, open);
            for tick in 0..self.dice.below(3) {
                for at in 0..2_usize {
                    last[at] = (last[at] + self.dice.below(120) as i64 - 60).max(100);
                    (high[at], low[at]) = (high[at].max(last[at]), low[at].min(last[at]));
                    let at_ns = session.open.nanos() + (1 + tick as i64) * 60_000_000_000;
                    push(Market::Price {
                        instrument: InstrumentId(at as u32),
                        price: cents(last[at]),
                        volume: self.dice.below(2_000),
                        at: Timestamp::from_nanos(at_ns),
                    });
                }
            }
            for at in 0..2 {
                last[at] = (last[at] + self.dice.below(200) as i64 - 100).max(100);
                (high[at], low[at]) = (high[at].max(last[at]) + 20, low[at].min(last[at]) - 20);
                let bar = Bar {
                    instrument: InstrumentId(at as u32),
                    session: session.date,
                    open: cents(open[at]),
                    high: cents(high[at]),
                    low: cents(low[at]),
                    close: cents(last[at]),
                    volume: 5_000,
                };
                push(Market::Bar { bar, traded: bar });
            }
            push(Market::Closed);
        }
    }

    fn reconcile(&mut self) {
        let mut trader = self.trader.take().unwrap().elsewhere(Money::ZERO);
        for attempt in 0.. {
            assert!(attempt < 2_000, "REMOTE_SEED={}: the books cannot be compared", self.seed);
            match trader.compare(self.now()).unwrap() {
                Books::Compared { differences } => {
                    assert_eq!(differences, 0, "REMOTE_SEED={}", self.seed);
                    break;
                }
                Books::InPart | Books::NotYet => self.pass(500),
            }
        }
        self.trader = Some(trader);
    }
}

fn cents(value: i64) -> Price {
    Price::from_units(value * 10_000_000)
}

fn day(seed: u64, bad: bool) {
    let mut world = World::new(seed, bad);
    world.sessions(0, 4);
    while world.tell().is_err() {}
    world.reconcile();
    let header = support::header(2, cash());
    let memory = Memory::default();
    let mut alone = support::paper(Chaos::new(world.wishes.clone()), costs(), limits(), &header, &memory);
    let events: Vec<Market> = world.tape.borrow().iter().filter_map(|told| told.event).collect();
    support::tell(&mut alone, &events).unwrap();
    let trader = world.trader.take().unwrap();
    let (digest, seq) = (trader.log().digest(), trader.log().seq());
    let position = trader.engine().book().positions().to_vec();
    if (digest, seq) != (alone.log().digest(), alone.log().seq()) {
        drop((trader, alone));
        let (got, wanted) = (world.memory.bytes(), memory.bytes());
        let (got, wanted) = (String::from_utf8(got).unwrap(), String::from_utf8(wanted).unwrap());
        say(|| format!("{got}\n{wanted}"));
        let pair = got.lines().zip(wanted.lines()).find(|(got, wanted)| got != wanted);
        panic!("REMOTE_SEED={seed}: the journal is another one:\n{pair:#?}");
    }
    let site = world.site.borrow();
    if let Some(adapter) = &site.adapter {
        let broker = adapter.broker();
        assert_eq!(broker.broker.book().positions(), position, "REMOTE_SEED={seed}");
        assert_eq!(broker.broker.book().cash(), trader.engine().book().cash(), "REMOTE_SEED={seed}");
        let twice = broker.submitted.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "REMOTE_SEED={seed}: sent twice");
    }
}

#[test]
fn over_queues_the_journal_is_that_of_one_process() {
    (0..200).for_each(|seed| day(seed, false));
}

#[test]
fn over_bad_queues_and_through_crashes_it_is_the_same() {
    if let Ok(seed) = std::env::var("REMOTE_SEED") {
        return day(seed.parse().unwrap(), true);
    }
    let seeds = std::env::var("REMOTE_SEEDS").map_or(300, |seeds| seeds.parse().unwrap());
    (0..seeds).for_each(|seed| day(seed, true));
}

#[test]
fn when_the_trader_is_gone_the_adapter_closes_everything_and_takes_no_more_of_its_orders() {
    let mut closed = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, false);
        world.sessions(0, 3);
        world.tell().unwrap();
        let mut trader = world.trader.take().unwrap();
        let held = trader.desk().broker().account().unwrap().holdings;
        let (id, text) = flatten(world.epoch + 1, "by a test").unwrap();
        assert_eq!(id, format!("{}-1-0", world.epoch + 1));
        world.net.borrow_mut().send(true, &text).unwrap();
        world.site.borrow_mut().turn(&world.net);
        // Market events come without anybody asking to go on; enough is traded to close what is left.
        world.sessions(3, 12);
        for _ in 0..200 {
            world.site.borrow_mut().turn(&world.net);
        }
        let status = world.site.borrow_mut().adapter.as_mut().unwrap().status().unwrap();
        assert!(status.is_flat() && status.flattening, "seed {seed}: {status:?}");
        assert_eq!(status.position, world.tape.borrow().len() as u64);
        let refused = trader.desk().broker().account();
        assert!(matches!(&refused, Err(Failure::Refused(words)) if words.contains("has taken over")), "{refused:?}");
        closed += usize::from(!held.is_empty());
        // Who comes next finds other books, and may begin nothing.
        let mut next = world.start();
        next.control(Mode::Flatten, "in force").unwrap();
    }
    assert!(closed > 20, "{closed}");
}

#[test]
fn an_order_is_judged_again_and_another_version_is_refused() {
    let mut world = World::new(1, false);
    world.sessions(0, 1);
    // The adapter's limits are its own.
    world.site.borrow_mut().limits.order_quantity_max = Some(Quantity::whole(1).unwrap());
    world.wishes = vec![Wish { kind: 0, quantity: 200, first: 0, second: 0, extra: 0 }; 5];
    world.tell().unwrap();
    let journal = String::from_utf8(world.memory.bytes()).unwrap();
    assert!(journal.contains("\"ordered\""), "it never decided anything");
    assert!(journal.contains("the broker adapter refused it: it asks for"), "{journal}");
    let text = r#"{"v":2,"epoch":9,"n":1,"ask":"hello"}"#;
    world.net.borrow_mut().send(true, text).unwrap();
    world.site.borrow_mut().turn(&world.net);
    let answer = world.net.borrow().due(false).pop().unwrap().text;
    assert!(answer.contains("speaks version 1, and the request has 2"), "{answer}");
    let status = world.site.borrow_mut().adapter.as_mut().unwrap().status().unwrap();
    assert_ne!(status.epoch, 9);
    // What is no message at all is dropped.
    world.net.borrow_mut().send(true, "hello").unwrap();
    world.site.borrow_mut().turn(&world.net);
    assert!(tape::read("{}", &[]).is_err());
}

/// A broker that lives on whoever asks it.
#[derive(Clone)]
struct Elsewhere(Rc<RefCell<Counting>>);

impl Broker for Elsewhere {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        self.0.borrow_mut().submit(tickets)
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        self.0.borrow_mut().cancel(id)
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        self.0.borrow_mut().replace(id, with)
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        self.0.borrow_mut().find(id)
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        self.0.borrow_mut().working()
    }

    fn account(&mut self) -> Result<Account, Failure> {
        self.0.borrow_mut().account()
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        self.0.borrow_mut().events()
    }
}

type FarAway = Adapter<Elsewhere, AdapterEnd, MemoryLines>;

/// An adapter before a broker elsewhere, which is told of the market by nobody here.
struct Outpost {
    broker: Elsewhere,
    adapter: Option<FarAway>,
    log: Memory,
    starts: u64,
    tape: Rc<RefCell<Vec<Numbered>>>,
    told: usize,
}

impl Outpost {
    fn turn(&mut self, net: &Rc<RefCell<Net>>) {
        let mut adapter = self.adapter.take().unwrap_or_else(|| {
            self.starts += 1;
            self.told = 0;
            let header = support::header(2, cash());
            let rules = Rules {
                account: "live".to_owned(),
                owner: Owner::new("live", "test").unwrap(),
                closer: Owner::new("live_x", "test").unwrap(),
                symbols: header.instruments.clone(),
                gate: support::gate(&limits(), &header),
                own_market: false,
                start: self.starts,
            };
            Adapter::open(self.broker.clone(), AdapterEnd(net.clone()), self.log.lines(), rules).unwrap()
        });
        let (tape, told) = (self.tape.clone(), &mut self.told);
        let mut source = || {
            let some = tape.borrow()[*told..].to_vec();
            *told += some.len();
            Ok(some)
        };
        adapter.turn(0, &mut source).unwrap();
        let crash = {
            let mut net = net.borrow_mut();
            net.bad && net.dice.chance(1)
        };
        if crash {
            say(|| "the adapter crashes".to_owned());
            std::mem::forget(adapter);
        } else {
            self.adapter = Some(adapter);
        }
    }
}

struct FarEnd {
    net: Rc<RefCell<Net>>,
    outpost: Rc<RefCell<Outpost>>,
}

impl Channel for FarEnd {
    fn send(&mut self, _id: &str, text: &str) -> Result<(), SendError> {
        self.net.borrow_mut().send(true, text)
    }

    fn receive(&mut self, wait_ms: u64) -> Result<Received, String> {
        let mut waited_ms = 0;
        loop {
            self.outpost.borrow_mut().turn(&self.net);
            let mut net = self.net.borrow_mut();
            let mut letters = net.due(false);
            if net.bad && net.dice.chance(20) {
                letters.reverse();
            }
            if !letters.is_empty() || waited_ms >= wait_ms {
                return Ok(Received { letters, waited_ms });
            }
            waited_ms += 250;
            net.now_ms += 250;
        }
    }

    fn done(&mut self, letter: &Letter) {
        self.net.borrow_mut().done(false, letter);
    }
}

type FarTrader = Trader<Chaos, RemoteBroker<FarEnd>, MemoryLines>;

fn far_trader(world: &mut World, outpost: &Rc<RefCell<Outpost>>) -> FarTrader {
    let header = support::header(2, cash());
    let log = Log::open(world.memory.lines(), &header).unwrap();
    let remote = loop {
        world.epoch += 1;
        let end = FarEnd { net: world.net.clone(), outpost: outpost.clone() };
        let mut remote = RemoteBroker::new(end, world.epoch, Patience { answer_ms: 5_000, market_tries: 1 });
        if remote.hello().is_ok() {
            break remote;
        }
    };
    let (owner, symbols) = (Owner::new("live", "test").unwrap(), &header.instruments);
    let desk = Desk::new(remote, owner, symbols, Cancels::WhenConfirmed, support::gate(&world.limits, &header));
    let engine = Engine::new(Chaos::new(world.wishes.clone()), header.cash, 2, world.limits.clone());
    let engine = engine.at_venue(symbols, Cancels::WhenConfirmed);
    let mut trader = Trader::new(engine, desk, log, 2);
    trader.recover(world.now()).unwrap();
    trader
}

/// How many orders reached the broker.
fn far_day(seed: u64) -> usize {
    let mut world = World::new(seed, true);
    world.sessions(0, 4);
    let header = support::header(2, cash());
    let broker = PaperBroker::new(costs(), &header.instruments, header.cash);
    let broker = Elsewhere(Rc::new(RefCell::new(Counting { broker, submitted: BTreeMap::new() })));
    let events: Vec<Numbered> = world.tape.borrow_mut().drain(..).collect();
    let outpost = Rc::new(RefCell::new(Outpost {
        broker: broker.clone(),
        adapter: None,
        log: Memory::default(),
        starts: 0,
        tape: world.tape.clone(),
        told: 0,
    }));
    let mut trader = far_trader(&mut world, &outpost);
    let mut from = 0;
    let mut at = 0;
    while at < events.len() {
        let event = events[at].event.unwrap();
        if at >= from {
            // The market goes on for everybody, whoever listens.
            let mut lives = broker.0.borrow_mut();
            lives.market(&event).unwrap();
            while lives.advance().unwrap() {}
            world.tape.borrow_mut().push(events[at]);
            from = at + 1;
        }
        let ms = world.dice.below(4_000);
        world.pass(ms);
        trader.turn(world.now()).unwrap();
        trader.market(&event).unwrap();
        for _ in 0..world.dice.below(3) {
            world.pass(1_000);
            trader.turn(world.now()).unwrap();
        }
        at += 1;
        if world.dice.chance(4) {
            say(|| "the trader crashes".to_owned());
            std::mem::forget(trader);
            trader = far_trader(&mut world, &outpost);
            let open = |at: &usize| matches!(events[*at].event, Some(Market::Opened(_)));
            at = (0..at).rev().find(open).unwrap_or(0);
        }
    }
    world.net.borrow_mut().bad = false;
    for _ in 0..60 {
        world.pass(10_000);
        trader.turn(world.now()).unwrap();
    }
    let mut trader = trader.elsewhere(Money::ZERO);
    for attempt in 0.. {
        assert!(attempt < 200, "REMOTE_SEED={seed}: the books cannot be compared");
        world.pass(2_000);
        if let Books::Compared { differences } = trader.compare(world.now()).unwrap() {
            assert_eq!(differences, 0, "REMOTE_SEED={seed}: the books differ");
            break;
        }
    }
    let lives = broker.0.borrow();
    assert_eq!(lives.broker.book().positions(), trader.engine().book().positions(), "REMOTE_SEED={seed}");
    assert_eq!(lives.broker.book().cash(), trader.engine().book().cash(), "REMOTE_SEED={seed}");
    let twice = lives.submitted.iter().find(|(_, times)| **times > 1);
    assert_eq!(twice, None, "REMOTE_SEED={seed}: sent twice");
    lives.submitted.len()
}

#[test]
fn at_a_broker_elsewhere_no_order_is_lost_or_doubled() {
    if let Ok(seed) = std::env::var("REMOTE_SEED") {
        far_day(seed.parse().unwrap());
        return;
    }
    let seeds: u64 = std::env::var("REMOTE_SEEDS").map_or(300, |seeds| seeds.parse().unwrap());
    let orders: usize = (0..seeds).map(far_day).sum();
    assert!(orders as u64 > seeds * 3, "{orders}");
}

/// A channel that hands out what it was given.
struct Given(VecDeque<String>);

impl Channel for Given {
    fn send(&mut self, _id: &str, _text: &str) -> Result<(), SendError> {
        Ok(())
    }

    fn receive(&mut self, wait_ms: u64) -> Result<Received, String> {
        let letters = self.0.pop_front().map(|text| Letter { text, receipt: String::new() });
        Ok(Received { letters: letters.into_iter().collect(), waited_ms: wait_ms.max(1) })
    }

    fn done(&mut self, _letter: &Letter) {}
}

#[test]
fn what_was_missed_is_noticed_by_the_numbers() {
    let said = |line: u64, first: u64, names: &[&str]| {
        let events: Vec<_> = names.iter().map(|name| serde_json::json!({ "accepted": name })).collect();
        serde_json::json!({ "v": 1, "line": line, "first": first, "events": events, "reply": null }).to_string()
    };
    let given = [
        said(4, 7, &["a", "b"]),
        said(4, 8, &["b", "c"]),
        said(4, 10, &["d"]),
        said(4, 13, &["e"]),
        said(4, 11, &["late"]),
        said(5, 0, &["f"]),
        said(4, 14, &["from before"]),
        said(5, 1, &[]),
        said(5, 2, &[]),
        "no message".to_owned(),
        said(5, 2, &["g"]).replace("\"v\":1", "\"v\":3"),
    ];
    let count = given.len();
    let mut broker = RemoteBroker::new(Given(given.into()), 1, Patience { answer_ms: 1, market_tries: 1 });
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(
            broker
                .events()
                .iter()
                .map(|event| match event {
                    BrokerEvent::Accepted(id) => id.to_string(),
                    BrokerEvent::Connected => "missed".to_owned(),
                    BrokerEvent::Disconnected(words) => words.split(';').next().unwrap().to_owned(),
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>(),
        );
    }
    let speaks = "the broker refused: the broker adapter speaks version 3, and this program 1";
    let wanted: [&[&str]; 11] =
        [&["a", "b"], &["c"], &["d"], &["missed", "e"], &[], &["missed", "f"], &[], &[], &["missed"], &[], &[speaks]];
    assert_eq!(told, wanted);
    assert_eq!(broker.interruptions(), 3);
}
