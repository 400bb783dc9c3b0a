//! Paper trading of bars is the backtest, byte for byte, whenever and however often it is interrupted.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../simulator/tests/support/mod.rs"]
mod market;
mod support;

use domain::{Calendar, Money};
use engine::{Engine, Event, Limits, Margin, Step};
use journal::Header;
use market::random::{Chaos, markets, wishes};
use proptest::prelude::*;
use simulator::{Costs, Market, Venue};
use support::{Memory, paper, tell};

fn costs(harsh: bool) -> Costs {
    if !harsh {
        return Costs::default();
    }
    Costs {
        commission_per_share: market::money("0.01"),
        commission_min: market::money("1"),
        slippage_bps: 5.0,
        volume_share_max: Some(0.1),
        borrow_bps: 300.0,
        ..Costs::default()
    }
}

fn limits(tight: bool) -> Limits {
    if !tight {
        return Limits {
            margin: Margin { initial_long: 0.5, initial_short: 0.5, maintenance: 0.25 },
            ..Limits::default()
        };
    }
    Limits {
        position_quantity_max: Some(market::shares(250)),
        gross_notional_max: Some(market::money("20000")),
        net_notional_max: Some(market::money("15000")),
        orders_per_session_max: Some(4),
        orders_per_minute_max: Some(3),
        duplicate_window_s: Some(30),
        daily_loss_max: Some(market::money("500")),
        drawdown_max: Some(0.1),
        repeated_executions_max: Some(40),
        no_self_trade: true,
        ..Limits::default()
    }
}

fn backtest(market: &Market, strategy: Chaos, costs: Costs, limits: Limits, header: &Header) -> Vec<u8> {
    let mut engine = Engine::new(strategy, header.cash, header.instruments.len(), limits);
    let mut venue = Venue::new(costs, header.instruments.len());
    let mut writer = journal::Writer::new(Vec::new(), header).unwrap();
    let mut observer = |event: &Event, step: &Step| writer.step(event, step).unwrap();
    simulator::run(Calendar::nyse(), market, &mut engine, &mut venue, &mut observer).unwrap();
    writer.finish().unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn its_journal_is_the_backtests(
        market in markets(),
        wishes in wishes(),
        harsh in any::<bool>(),
        tight in any::<bool>(),
        stops in prop::collection::vec(0.0..1.0_f64, 0..4),
    ) {
        // What a feed tells twice counts once.
        let actions = market.actions();
        prop_assume!(actions.iter().enumerate().all(|(at, action)| !actions[..at].contains(action)));
        let header = support::header(market.instruments(), Money::from_units(market::CASH * Money::UNITS));
        let strategy = Chaos::new(wishes);
        let wanted = backtest(&market, strategy.clone(), costs(harsh), limits(tight), &header);
        let events = trading::feed::replay(Calendar::nyse(), &market, None).unwrap();
        let memory = Memory::default();
        for stop in stops {
            // A crash anywhere: what was written may end in the middle of a line.
            let mut trader = paper(strategy.clone(), costs(harsh), limits(tight), &header, &memory);
            let until = (events.len() as f64 * stop) as usize;
            tell(&mut trader, &events[..until]).unwrap();
            drop(trader);
            memory.tear(stop);
        }
        let mut trader = paper(strategy, costs(harsh), limits(tight), &header, &memory);
        tell(&mut trader, &events).unwrap();
        prop_assert!(!trader.replaying());
        // Nothing of what the broker keeps differs either.
        let positions = trader.engine().book().positions().to_vec();
        let cash = trader.engine().book().cash();
        let broker = trader.desk().broker();
        prop_assert_eq!(broker.book().positions(), &positions[..]);
        prop_assert_eq!(broker.book().cash(), cash);
        let got = String::from_utf8(memory.bytes()).unwrap();
        let wanted = String::from_utf8(wanted).unwrap();
        for (got, wanted) in got.lines().zip(wanted.lines()) {
            prop_assert_eq!(got, wanted);
        }
        prop_assert_eq!(got.len(), wanted.len());
    }
}

#[test]
fn what_a_feed_tells_twice_counts_once() {
    let market = market::market(market::bars(&["10 11 9 10", "10 12 9 11"]), Vec::new());
    let header = support::header(1, Money::from_units(market::CASH * Money::UNITS));
    let mut events = trading::feed::replay(Calendar::nyse(), &market, None).unwrap();
    let session = market::session(0);
    for minute in (1..4).rev() {
        let at = domain::Timestamp::from_nanos(session.open.nanos() + minute * 60_000_000_000);
        let price = market::price(&format!("10.{minute}"));
        events.insert(1, trading::Market::Price { instrument: domain::InstrumentId(0), price, volume: 10, at });
    }
    let (instrument, ex_date) = (domain::InstrumentId(0), session.date);
    let ratio = domain::Ratio::new(2, 1).unwrap();
    let split = domain::CorporateAction { instrument, ex_date, kind: domain::ActionKind::Split { ratio } };
    events.insert(1, trading::Market::Action(split));
    let wish = market::random::Wish { kind: 0, quantity: 5, first: 1, second: 1, extra: 0 };
    let journal = |events: &[trading::Market]| {
        let memory = Memory::default();
        let mut trader = paper(Chaos::new(vec![wish]), costs(true), limits(false), &header, &memory);
        tell(&mut trader, events).unwrap();
        drop(trader);
        memory.bytes()
    };
    let once = journal(&events);
    // The whole session again after every event of it, as a feed does that was interrupted there; or everything.
    for everything in [false, true] {
        let mut told = Vec::new();
        for (n, event) in events.iter().enumerate() {
            told.push(*event);
            let opened = events[..=n].iter().rposition(|event| matches!(event, trading::Market::Opened(_))).unwrap();
            told.extend(&events[if everything { 0 } else { opened }..=n]);
        }
        assert_eq!(String::from_utf8(journal(&told)).unwrap(), String::from_utf8(once.clone()).unwrap());
    }
}
