//! Drives a trader through seeded days: tells it the market, lets things go wrong, and starts it again when it dies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use domain::{Bar, InstrumentId, Money, Price, Session, Symbol, Timestamp};
use engine::{Cancels, Correction, Engine, Limits, Margin, Mode};
use journal::Log;
use simulator::Costs;
use trading::{Books, BrokerEvent, ClientOrderId, Desk, Market, PaperBroker, Trader, TradingError};

use crate::SECOND;
use crate::disk::{Disk, Stored};
use crate::judge::{Judge, owner};
use crate::line::{Handle, Line};
use crate::market::random::{Chaos, Wish};
use crate::market::{self, money, shares};
use crate::support::{self, Dice};
use crate::trouble::{Died, FULL, POINTS, Troubles};

pub type Live = Trader<Chaos, Handle, Disk>;

pub struct World {
    seed: u64,
    pub dice: Dice,
    pub line: Rc<RefCell<Line>>,
    stored: Stored,
    pub troubles: Rc<RefCell<Troubles>>,
    wishes: Vec<Wish>,
    limits: Limits,
    pub trader: Option<Live>,
    /// What the feed has told of this session.
    told: Vec<Market>,
    now: Timestamp,
    last: [i64; 2],
    story: bool,
    /// Whether everybody trades, so that what is held can be closed.
    pub lively: bool,
    /// Whether a breach ends the day.
    pub watched: bool,
    /// Whether everything is to be closed until somebody lifts it.
    pub killed: bool,
}

/// The limits that are drawn from, each alone.
pub fn limits() -> [(&'static str, Limits); 16] {
    let none = Limits { margin: margin(), ..Limits::default() };
    let restricted = vec![Symbol::new("BBB").unwrap()];
    [
        ("position quantity", Limits { position_quantity_max: Some(shares(300)), ..none.clone() }),
        ("order quantity", Limits { order_quantity_max: Some(shares(150)), ..none.clone() }),
        ("order notional", Limits { order_notional_max: Some(money("8000")), ..none.clone() }),
        ("position notional", Limits { position_notional_max: Some(money("10000")), ..none.clone() }),
        ("gross notional", Limits { gross_notional_max: Some(money("15000")), ..none.clone() }),
        ("net notional", Limits { net_notional_max: Some(money("9000")), ..none.clone() }),
        ("price collar", Limits { price_collar_bps: Some(150.0), ..none.clone() }),
        ("orders per session", Limits { orders_per_session_max: Some(3), ..none.clone() }),
        ("orders per minute", Limits { orders_per_minute_max: Some(3), ..none.clone() }),
        ("cancels per minute", Limits { cancels_per_minute_max: Some(1), ..none.clone() }),
        ("duplicate", Limits { duplicate_window_s: Some(250_000), ..none.clone() }),
        ("restricted", Limits { restricted, ..none.clone() }),
        ("repeated executions", Limits { repeated_executions_max: Some(6), ..none.clone() }),
        ("daily loss", Limits { daily_loss_max: Some(money("60")), ..none.clone() }),
        ("drawdown", Limits { drawdown_max: Some(0.001), ..none.clone() }),
        ("self trade", Limits { no_self_trade: true, ..none }),
    ]
}

fn margin() -> Margin {
    Margin { initial_long: 0.2, initial_short: 0.2, maintenance: 0.0 }
}

impl World {
    /// A world with some of the limits.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x11_1175);
        let all = limits();
        let mut chosen = all[0].1.clone();
        for _ in 0..dice.below(4) {
            chosen = chosen.and(&all[dice.below(all.len() as u64) as usize].1);
        }
        Self::with_limits(seed, &chosen, chosen.clone())
    }

    /// A world whose trader keeps to some limits and is judged by others.
    pub fn with_limits(seed: u64, limits: &Limits, judged: Limits) -> Self {
        let mut dice = Dice(seed);
        let header = support::header(2, cash());
        let broker = PaperBroker::new(costs(), &header.instruments, header.cash);
        let judge = Judge::new(judged, header.instruments.clone(), header.cash);
        let wishes = (0..1 + dice.below(30)).map(|_| Wish {
            kind: dice.below(11) as u8,
            quantity: dice.below(600) as i16 - 300,
            first: dice.below(300) as i16 - 150,
            second: dice.below(300) as i16 - 150,
            extra: dice.below(256) as u8,
        });
        let wishes = wishes.collect();
        let story = std::env::var_os("FAULT_SEED").is_some();
        let troubles = Rc::default();
        let line = Line::new(broker, judge, &troubles, seed, story);
        Self {
            seed,
            dice,
            line: Rc::new(RefCell::new(line)),
            stored: Stored::default(),
            troubles,
            wishes,
            limits: limits.clone(),
            trader: None,
            told: Vec::new(),
            killed: false,
            now: Timestamp::default(),
            last: [5_000, 5_000],
            story,
            lively: false,
            watched: true,
        }
    }

    pub fn say(&self, text: impl std::fmt::Display) {
        if self.story {
            println!("{}: {text}", self.now);
        }
    }

    pub fn count(&self, what: &str) {
        self.troubles.borrow_mut().count(what);
    }

    pub fn claim(&self, holds: bool, text: &str) {
        if !holds {
            self.say(String::from_utf8_lossy(&self.stored.borrow()));
        }
        assert!(holds, "FAULT_SEED={}: {text}", self.seed);
    }

    /// What must hold at any moment.
    fn watch(&self) {
        if !self.watched {
            return;
        }
        let found = std::mem::take(&mut self.line.borrow_mut().judge.breaches);
        self.claim(found.is_empty(), &found.join("; "));
    }

    /// Does something that the trader may die of. None when it did.
    fn survives<T>(&mut self, what: impl FnOnce() -> Result<T, TradingError>) -> Option<T> {
        let done = panic::catch_unwind(AssertUnwindSafe(what));
        self.watch();
        match done {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(TradingError::Journal(journal::LogError::Lines(_)))) => {
                self.say("the disk is full");
                // Room is made now or later.
                if self.dice.chance(75) {
                    self.troubles.borrow_mut().full = None;
                }
            }
            Ok(Err(error)) => panic!("FAULT_SEED={}: {error}", self.seed),
            Err(died) if died.is::<Died>() => self.say("dies"),
            Err(panic) => panic::resume_unwind(panic),
        }
        self.line.borrow_mut().hang_up();
        None
    }

    /// Starts the trader, which finds what an earlier one has left.
    fn start(&mut self) {
        while self.trader.is_none() {
            let header = support::header(2, cash());
            let disk = Disk::open(&self.stored, self.dice.roll(), &self.troubles, &self.line);
            let symbols = &header.instruments;
            let gate = support::gate(&self.limits, &header);
            let desk = Desk::new(Handle(self.line.clone()), owner(), symbols, Cancels::WhenConfirmed, gate);
            let engine = Engine::new(Chaos::new(self.wishes.clone()), header.cash, 2, self.limits.clone());
            let engine = engine.at_venue(symbols, Cancels::WhenConfirmed);
            let now = self.now;
            self.trader = self.survives(|| {
                let mut trader = Trader::new(engine, desk, Log::open(disk, &header)?, 2).elsewhere(Money::ZERO);
                trader.recover(now)?;
                Ok(trader)
            });
        }
        self.say("starts");
    }

    /// Does something with the trader. False when it died of it.
    fn attempt(&mut self, what: impl FnOnce(&mut Live) -> Result<(), TradingError>) -> bool {
        let mut trader = self.trader.take().unwrap();
        let lives = self.survives(|| {
            what(&mut trader)?;
            Ok(trader)
        });
        self.trader = lives;
        self.trader.is_some()
    }

    /// A trader that has heard what the feed has told of the session; one that is new is told it again.
    fn ready(&mut self) {
        while self.trader.is_none() {
            self.start();
            for event in self.told.clone() {
                if !self.attempt(|trader| trader.market(&event)) {
                    break;
                }
            }
        }
    }

    /// Does something with the trader, and again if it dies of it.
    pub fn with(&mut self, what: impl Fn(&mut Live) -> Result<(), TradingError>) {
        loop {
            self.ready();
            if self.attempt(&what) {
                return;
            }
        }
    }

    pub fn pass(&mut self, most: u64) {
        self.now = Timestamp::from_nanos(self.now.nanos() + (1 + self.dice.below(most * 1000)) as i64 * SECOND / 1000);
        self.line.borrow_mut().pass(self.now);
    }

    /// Something may go wrong from here on.
    pub fn trouble(&mut self) {
        if !self.line.borrow().bad {
            return;
        }
        match self.dice.below(64) {
            0 | 1 => {
                let point = POINTS[self.dice.below(POINTS.len() as u64) as usize];
                let after = self.dice.below(4);
                self.troubles.borrow_mut().arm(point, after);
            }
            2 => self.troubles.borrow_mut().full = Some(FULL[self.dice.below(FULL.len() as u64) as usize]),
            3 => self.line.borrow_mut().down = true,
            4 | 5 => self.up(),
            6 => {
                self.count("the line breaks");
                let mut line = self.line.borrow_mut();
                line.says(BrokerEvent::Disconnected("gone".to_owned()));
                line.says(BrokerEvent::Connected);
            }
            // The clock steps back and forth.
            7 => {
                let step = self.dice.below(20) as i64 - 10;
                self.count(if step > 0 { "the clock jumps ahead" } else { "the clock steps back" });
                if step > 0 {
                    self.line.borrow_mut().judge.jumps(self.now);
                }
                let then = Timestamp::from_nanos(self.now.nanos() + step * SECOND);
                self.with(|trader| trader.turn(then));
            }
            8 if self.dice.chance(40) => {
                self.count("crash between two turns");
                self.crash();
            }
            _ => {}
        }
    }

    /// The trader dies between two things that it does.
    pub fn crash(&mut self) {
        self.trader = None;
        self.line.borrow_mut().hang_up();
    }

    /// Whether the trader's books were put right and nobody has accepted it.
    pub fn is_disputed(&self) -> bool {
        self.trader.as_ref().unwrap().engine().guard().disputed()
    }

    /// What the desk says of orders that the engine has approved and it has not, but for exits whose position has been
    /// closed since: of that the desk hears first.
    pub fn refused_by_the_desk(&self) -> Vec<String> {
        let text = String::from_utf8(self.stored.borrow().clone()).unwrap();
        let refused = |line: &&str| line.contains("the desk refused it") && !line.contains("it may only reduce");
        text.lines().filter(refused).map(str::to_owned).collect()
    }

    /// Every breach that was found, where nobody watched.
    pub fn breaches(self) -> Vec<String> {
        let mut line = self.line.borrow_mut();
        line.judge.end();
        std::mem::take(&mut line.judge.breaches)
    }

    /// The line comes up.
    fn up(&mut self) {
        let mut line = self.line.borrow_mut();
        if line.down {
            line.down = false;
            line.says(BrokerEvent::Connected);
        }
    }

    /// The broker lives in the market whether anybody trades on it or not; the trader is told.
    fn market(&mut self, event: Market) {
        self.say(format_args!("{event:?}"));
        self.line.borrow_mut().market(&event);
        self.tell(event);
        if !matches!(event, Market::Opened(_)) {
            self.told.push(event);
        }
        self.trouble();
    }

    fn tell(&mut self, event: Market) {
        let now = self.now;
        self.with(|trader| {
            trader.turn(now)?;
            trader.market(&event)
        });
    }

    fn turn(&mut self) {
        self.obey();
        let now = self.now;
        self.with(|trader| trader.turn(now));
        self.trouble();
    }

    /// Compares books until the broker has answered.
    pub fn reconcile(&mut self) {
        self.with(|trader| {
            trader.books_are_due();
            Ok(())
        });
        for attempt in 0.. {
            if attempt == 100 {
                self.line.borrow_mut().bad = false;
            }
            self.claim(attempt < 400, "the books could not be compared");
            self.pass(5);
            let (now, answer) = (self.now, RefCell::new(Books::NotYet));
            self.with(|trader| {
                *answer.borrow_mut() = trader.compare(now)?;
                Ok(())
            });
            if matches!(answer.into_inner(), Books::Compared { .. }) {
                return;
            }
            self.up();
        }
    }

    /// Does what a kill wants, as soon as the books are known.
    fn obey(&mut self) {
        let now = self.now;
        if self.killed {
            self.with(|trader| {
                if trader.engine().guard().mode() != Mode::Flatten {
                    trader.flatten(now, "by a test, first what works", "by a test")?;
                }
                Ok(())
            });
        }
    }

    pub fn session(&mut self, n: usize, ticks: u64, kill: bool) {
        let session = market::session(n);
        self.now = self.now.max(session.open);
        self.line.borrow_mut().pass(self.now);
        self.told = vec![Market::Opened(session)];
        self.market(Market::Opened(session));
        self.reconcile();
        let open = self.last;
        let (mut high, mut low) = (open, open);
        let kill_at = if kill { self.dice.below(ticks) } else { u64::MAX };
        for tick in 0..ticks {
            for at in 0..2_usize {
                let step = self.dice.below(120) as i64 - 60;
                self.last[at] = (self.last[at] + step).max(100);
                (high[at], low[at]) = (high[at].max(self.last[at]), low[at].min(self.last[at]));
                self.pass(20);
                let volume = self.dice.below(2_000) + if self.lively { 6_000 } else { 0 };
                let price = cents(self.last[at]);
                self.market(Market::Price { instrument: InstrumentId(at as u32), price, volume, at: self.now });
                self.turn();
            }
            if tick == kill_at {
                self.say("killed");
                self.count("killed");
                self.killed = true;
                self.obey();
            }
        }
        self.now = self.now.max(session.close);
        self.line.borrow_mut().pass(self.now);
        for at in 0..2 {
            let bar = Bar {
                instrument: InstrumentId(at as u32),
                session: session.date,
                open: cents(open[at]),
                high: cents(high[at]),
                low: cents(low[at]),
                close: cents(self.last[at]),
                volume: 5_000,
            };
            self.market(Market::Bar { bar, traded: bar });
        }
        self.close(&session);
    }

    fn close(&mut self, session: &Session) {
        self.line.borrow_mut().market(&Market::Closed);
        // Nothing is decided before the books agree; a trader that was started again compares them again.
        loop {
            self.reconcile();
            let now = self.now;
            if self.attempt(|trader| {
                trader.turn(now)?;
                trader.market(&Market::Closed)
            }) {
                break;
            }
        }
        self.trouble();
        for _ in 0..3 {
            self.pass(10);
            self.turn();
        }
        if self.dice.chance(25) {
            // A feed tells things twice.
            self.told.clone().into_iter().chain([Market::Closed]).for_each(|event| self.tell(event));
        }
        self.with(|_| Ok(()));
        let closed = self.trader.as_ref().and_then(Trader::position);
        self.claim(closed == Some((session.date, true)), "the session is not closed");
        self.reconcile();
    }

    /// What must hold when all is quiet.
    pub fn quiet(&mut self) {
        self.troubles.borrow_mut().end();
        self.line.borrow_mut().mend();
        for _ in 0..30 {
            self.pass(10);
            self.turn();
        }
        self.reconcile();
        self.line.borrow_mut().pass(self.now);
        let engine = self.trader.as_ref().unwrap().engine();
        let mut line = self.line.borrow_mut();
        let line = &mut *line;
        line.judge.at_rest(&mut line.broker);
        let (ours, theirs) = (engine.book().positions(), line.broker.book().positions());
        self.claim(ours == theirs, &format!("positions: {ours:?} here, {theirs:?} there"));
        let (ours, theirs) = (engine.book().cash(), line.broker.book().cash());
        self.claim(ours == theirs, &format!("cash: {ours} here, {theirs} there"));
        let ours: BTreeSet<ClientOrderId> =
            engine.open_orders().iter().map(|open| owner().order(open.order.id)).collect();
        let theirs: BTreeSet<ClientOrderId> = line.broker.working_ids().cloned().collect();
        self.claim(ours == theirs, &format!("orders that work: {ours:?} here, {theirs:?} there"));
        // Only what came after it was given up may work on, and is found.
        for (correction, note) in &line.judge.known.corrected {
            let late = |id: &domain::OrderId| note.contains(&format!("{} worked on", owner().order(*id)));
            let zombie = *correction == Correction::Foreign && line.judge.overtaken.iter().any(late);
            self.claim(line.judge.lied || zombie, &format!("books were put right that were not wrong: {note}"));
        }
    }

    /// Asserts that nothing is held and nothing works.
    pub fn is_flat(&self) {
        let line = self.line.borrow();
        let flat = line.broker.book().positions().iter().all(|position| position.is_zero());
        self.claim(flat, "it was killed and is not flat");
        self.claim(line.broker.working_ids().next().is_none(), "it was killed and orders still work");
    }

    /// What is judged at the end, and what was seen.
    pub fn end(self) -> Troubles {
        self.line.borrow_mut().judge.end();
        self.watch();
        let mut troubles = self.troubles.take();
        let line = self.line.borrow();
        for (name, times) in &line.judge.refusals {
            *troubles.seen.entry(format!("limit {name}")).or_default() += times;
        }
        *troubles.seen.entry("sent again".to_owned()).or_default() += line.judge.again;
        *troubles.seen.entry("overtaken".to_owned()).or_default() += line.judge.overtaken.len() as u64;
        *troubles.seen.entry("worked on, and cancelled".to_owned()).or_default() +=
            line.judge.known.corrected.len() as u64;
        troubles
    }
}

fn cash() -> Money {
    Money::from_units(market::CASH * Money::UNITS)
}

fn costs() -> Costs {
    Costs { commission_per_share: money("0.01"), volume_share_max: Some(0.05), ..Costs::default() }
}

fn cents(value: i64) -> Price {
    Price::from_units(value * 10_000_000)
}
