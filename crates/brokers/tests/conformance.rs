//! One broker or another: what is asked of our venue through Alpaca's API comes to what it comes to when the venue itself
//! is asked, order by order, execution by execution, cent by cent. Seeded.
//!
//! `CONFORMANCE_SEEDS=2000 cargo test -p brokers --test conformance` runs more, `CONFORMANCE_SEED=7` one, with its story.
#![allow(clippy::unwrap_used)]

#[path = "alpaca/common.rs"]
mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;

use brokers::alpaca::server::{Floor, Handle, serve};
use brokers::alpaca::{AlpacaBroker, Credentials, Settings};
use common::{KEY, SECRET, connected, id, limit, price, settings, stop, ticket, wait};
use domain::{Calendar, InstrumentId, Money, OrderKind, Session, SessionDate, Symbol, Timestamp};
use engine::{Limits, Margin};
use simulator::Costs;
use trading::market::Market;
use trading::paper::PaperBroker;
use trading::{Account, Broker, BrokerEvent, Failure, State, Ticket};

/// What is done to a broker.
#[derive(Debug, Clone)]
enum Deed {
    Submit(Vec<Ticket>),
    Cancel(u64),
    Replace(u64, Ticket),
    Price(String, u64),
}

/// What became of an order: its state, and each execution as quantity, price and how much is filled with it.
type Seen = (State, Vec<(String, String, String)>);

fn seen(broker: &mut impl Broker, number: u64) -> Option<Seen> {
    let status = broker.find(&id(number)).unwrap()?;
    assert_eq!(status.id, id(number));
    let told = status.executions.iter().map(|one| {
        assert_eq!(one.order, id(number));
        (one.quantity.to_string(), one.price.to_string(), one.cumulative.to_string())
    });
    Some((status.state, told.collect()))
}

fn working(broker: &mut impl Broker) -> BTreeSet<String> {
    broker.working().unwrap().iter().map(|order| order.id.to_string()).collect()
}

/// Quantities and cash; what a broker calls the last price is its own business.
fn account(broker: &mut impl Broker) -> (Option<Money>, Vec<(Symbol, String)>) {
    let Account { cash, holdings } = broker.account().unwrap();
    (cash, holdings.into_iter().map(|one| (one.symbol, one.quantity.to_string())).collect())
}

fn session() -> Session {
    *Calendar::nyse().session(SessionDate::parse("2024-01-02").unwrap()).unwrap()
}

fn venue() -> PaperBroker {
    let symbols = [Symbol::new("AAPL").unwrap()];
    let costs =
        Costs { commission_per_share: Money::parse("0.005").unwrap(), volume_share_max: Some(0.5), ..Costs::default() };
    PaperBroker::new(costs, &symbols, Money::parse("100000").unwrap())
}

/// Our venue, and the same behind Alpaca's API.
struct Both {
    itself: PaperBroker,
    server: Handle<PaperBroker>,
    behind: AlpacaBroker,
    ticks: i64,
    heard: Vec<BrokerEvent>,
}

impl Both {
    fn new() -> Self {
        let symbols = [Symbol::new("AAPL").unwrap()];
        let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
        let floor =
            Floor::new(venue(), &symbols, Money::parse("100000").unwrap(), Limits { margin, ..Limits::default() });
        let keys = Credentials::new(KEY, SECRET).unwrap();
        let server = serve(TcpListener::bind("127.0.0.1:0").unwrap(), floor, keys).unwrap();
        let address = format!("http://{}", server.address());
        let mut behind =
            AlpacaBroker::connect(Settings { requests_per_minute: 1_000_000, ..settings(&address) }).unwrap();
        wait(&mut behind, connected);
        let mut this = Self { itself: venue(), server, behind, ticks: 0, heard: Vec::new() };
        this.market(&Market::Opened(session()));
        this
    }

    fn market(&mut self, event: &Market) {
        self.server.market(event).unwrap();
        self.itself.market(event).unwrap();
        while self.itself.advance().unwrap() {}
    }

    /// Whether it was done. Alpaca has rules of its own, about shares that are held for other orders and the like; what
    /// it does not refuse, the venue does too.
    fn does(&mut self, deed: &Deed) -> bool {
        if let Deed::Price(at, volume) = deed {
            self.ticks += 1;
            let at_time = Timestamp::from_nanos(session().open.nanos() + self.ticks * 1_000_000_000);
            let (instrument, price, volume) = (InstrumentId(0), price(at), *volume);
            self.market(&Market::Price { instrument, price, volume, at: at_time });
            return true;
        }
        let ask = |broker: &mut dyn Broker| match deed {
            Deed::Submit(tickets) => broker.submit(tickets),
            Deed::Cancel(number) => broker.cancel(&id(*number)),
            Deed::Replace(number, with) => broker.replace(&id(*number), with),
            Deed::Price(..) => Ok(()),
        };
        match ask(&mut self.behind) {
            Ok(()) => {
                let itself = ask(&mut self.itself);
                assert_eq!(itself, Ok(()), "{deed:?} was done behind Alpaca's API");
                true
            }
            Err(Failure::Refused(_)) => false,
            Err(failure) => panic!("{deed:?}: {failure}"),
        }
    }
}

/// The same numbers from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What is tried next; orders have the numbers from 1 on.
fn deed(dice: &mut Dice, next: &mut u64, limits: &mut Vec<(u64, i64)>) -> Deed {
    let known = *next;
    let mut number = || {
        *next += 1;
        *next - 1
    };
    let near = |dice: &mut Dice| (9_500 + dice.below(1_000)).to_string();
    let cents = |text: String| format!("{}.{}", &text[..text.len() - 2], &text[text.len() - 2..]);
    match dice.below(10) {
        0 => Deed::Submit(vec![ticket(number(), dice.pick(&[10, 25, -10, -40]), OrderKind::Market)]),
        1..=3 => {
            let (number, quantity) = (number(), dice.pick(&[10, 30, 100, -10, -30, -100]));
            limits.push((number, quantity));
            Deed::Submit(vec![ticket(number, quantity, limit(&cents(near(dice))))])
        }
        // Far enough to wait until it is touched.
        4 => match dice.pick(&[1_i64, -1]) {
            side if side > 0 => Deed::Submit(vec![ticket(number(), 20, stop("106"))]),
            _ => Deed::Submit(vec![ticket(number(), -20, stop("94"))]),
        },
        5 => Deed::Cancel(1 + dice.below(known)),
        6 if !limits.is_empty() => {
            let (old, quantity) = dice.pick(limits);
            let number = number();
            limits.push((number, quantity));
            Deed::Replace(old, ticket(number, quantity, limit(&cents(near(dice)))))
        }
        _ => Deed::Price(cents((9_300 + dice.below(1_400)).to_string()), dice.pick(&[10, 60, 1_000])),
    }
}

fn seed(seed: u64, counted: &mut [u64; 4]) {
    let story = std::env::var_os("CONFORMANCE_SEED").is_some();
    let (mut both, mut dice, mut next, mut limits) = (Both::new(), Dice(seed), 1, Vec::new());
    both.does(&Deed::Price("100".to_owned(), 1_000));
    for _ in 0..24 {
        let deed = deed(&mut dice, &mut next, &mut limits);
        let done = both.does(&deed);
        if story {
            println!("{deed:?}: {}", if done { "done" } else { "refused" });
        }
        counted[usize::from(done)] += 1;
        counted[2] += u64::from(done && matches!(deed, Deed::Replace(..)));
    }
    for number in 1..next {
        let one = seen(&mut both.itself, number);
        assert_eq!(one, seen(&mut both.behind, number), "seed {seed}, order {number}");
        counted[3] += one.map_or(0, |(_, executions)| executions.len() as u64);
    }
    assert_eq!(working(&mut both.itself), working(&mut both.behind), "seed {seed}");
    assert_eq!(account(&mut both.itself), account(&mut both.behind), "seed {seed}");

    // What it told by itself, in its order, is what is found by asking.
    let told_all = |both: &mut Both| {
        both.heard.extend(both.behind.events());
        (1..next).all(|number| {
            let Some((_, found)) = seen(&mut both.behind, number) else { return true };
            let told = both.heard.iter().filter_map(|event| match event {
                BrokerEvent::Executed(one) if one.order == id(number) => {
                    Some((one.quantity.to_string(), one.price.to_string(), one.cumulative.to_string()))
                }
                _ => None,
            });
            told.collect::<Vec<_>>() == found
        })
    };
    let begun = std::time::Instant::now();
    while !told_all(&mut both) {
        assert!(begun.elapsed().as_secs() < 10, "seed {seed}: {:?}", both.heard);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn alpacas_api_adds_nothing_to_the_venue_and_takes_nothing_away() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (first, count) = match number("CONFORMANCE_SEED") {
        Some(one) => (one, 1),
        None => (0, number("CONFORMANCE_SEEDS").unwrap_or(60)),
    };
    let mut counted = [0; 4];
    for one in first..first + count {
        seed(one, &mut counted);
    }
    if count > 10 {
        let [refused, done, replaced, executed] = counted;
        assert!(refused > count && done > 10 * count && replaced > count / 4 && executed > count, "{counted:?}");
    }
}
