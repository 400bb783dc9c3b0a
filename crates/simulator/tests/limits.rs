//! No stream of orders takes the account past a limit. Limits are judged at the price of the decision, so where value
//! is limited the market below stands still; where shares are, it moves.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;

use domain::{ActionKind, InstrumentId, Money, OrderKind, OrderRequest, Price, Quantity, SessionDate};
use engine::{Event, Limits, Margin, Record, Refusal};
use proptest::prelude::*;
use simulator::{Costs, Market};
use support::random::{Chaos, Wish, markets, wishes};
use support::{ID, bar_of, market, money, order, price, request, run_with, shares, simulate};

fn cash() -> Money {
    Money::from_units(support::CASH * Money::UNITS)
}

/// Three instruments whose price never moves.
fn still(sessions: usize) -> Market {
    let bar = |n, id| bar_of(id, n, "10 10 10 10", 700);
    market((0..sessions).flat_map(|n| (0..3).map(move |id| bar(n, id))).collect(), vec![])
}

fn no_splits(market: &Market) -> bool {
    !market.actions().iter().any(|action| matches!(action.kind, ActionKind::Split { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn positions_and_orders_stay_within_their_sizes(
        market in markets().prop_filter("a split changes shares by itself", no_splits),
        wishes in wishes(),
        position_max in 1_i64..400,
        order_max in 1_i64..400,
        rate in 1_u32..6,
        collar in 1_u32..300,
    ) {
        let limits = Limits {
            position_quantity_max: Some(shares(position_max)),
            order_quantity_max: Some(shares(order_max)),
            orders_per_session_max: Some(rate),
            price_collar_bps: Some(f64::from(collar)),
            margin: Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 },
            ..Limits::default()
        };
        let costs = Costs { volume_share_max: Some(0.3), ..Costs::default() };
        let outcome = simulate(&market, Chaos::new(wishes), costs, limits, cash()).unwrap();

        let mut position: HashMap<InstrumentId, Quantity> = HashMap::new();
        let mut last: HashMap<InstrumentId, Price> = HashMap::new();
        let mut increasing: HashMap<SessionDate, u32> = HashMap::new();
        let mut records = outcome.records.iter();
        let mut today = support::day(0);
        // Events in order, each with its records.
        for (event, step) in outcome.events.iter().zip(&outcome.steps) {
            match event {
                Event::SessionOpened(session) => today = session.date,
                Event::Bar(bar) => {
                    last.insert(bar.instrument, bar.close);
                }
                Event::Filled(fill) => {
                    let held = position.entry(fill.instrument).or_default();
                    let before = *held;
                    *held = held.add(fill.quantity).unwrap();
                    prop_assert!(held.abs() <= shares(position_max).max(before.abs()), "{held} after {fill:?}");
                    last.insert(fill.instrument, fill.price);
                }
                Event::Action(action) if matches!(action.kind, ActionKind::Delisting { .. }) => {
                    position.insert(action.instrument, Quantity::ZERO);
                }
                _ => {}
            }
            let count = step.matches("Ordered(").count() + step.matches("Refused(Refused").count();
            let mut seen = 0;
            while seen < count {
                let Some((_, record)) = records.next() else { break };
                match record {
                    Record::Ordered(order) => {
                        seen += 1;
                        let held = position.get(&order.instrument).copied().unwrap_or_default();
                        let shrinks = order.quantity.signum() * held.signum() < 0 && order.quantity.abs() <= held.abs();
                        if order.reduce_only || shrinks {
                            continue;
                        }
                        *increasing.entry(today).or_default() += 1;
                        prop_assert!(order.quantity.abs() <= shares(order_max), "{order:?}");
                        if let OrderKind::Limit { limit } = order.kind {
                            let distance = (limit.to_f64() / last[&order.instrument].to_f64() - 1.0).abs() * 10_000.0;
                            prop_assert!(distance <= f64::from(collar), "{order:?} is {distance} away");
                        }
                    }
                    Record::Refused(_) => seen += 1,
                    _ => {}
                }
            }
        }
        for (session, count) in increasing {
            prop_assert!(count <= rate, "{count} orders on {session}");
        }
    }

    #[test]
    fn values_stay_within_their_limits(
        wishes in wishes(),
        gross in 500_i64..20_000,
        single in 300_i64..10_000,
        own in 500_i64..20_000,
    ) {
        let limits = Limits {
            gross_notional_max: Some(Money::from_units(gross * Money::UNITS)),
            position_notional_max: Some(Money::from_units(single * Money::UNITS)),
            ..Limits::default()
        };
        let cash = Money::from_units(own * Money::UNITS);
        let outcome = simulate(&still(30), Chaos::new(wishes), Costs::default(), limits, cash).unwrap();
        let mut position: HashMap<InstrumentId, Quantity> = HashMap::new();
        for event in &outcome.events {
            let Event::Filled(fill) = event else { continue };
            // Orders above or below the market may trade at their own price only if a bar gets there: it never does.
            prop_assert_eq!(fill.price, price("10"));
            let held = position.entry(fill.instrument).or_default();
            *held = held.add(fill.quantity).unwrap();
            prop_assert!(held.abs().to_f64() * 10.0 <= single as f64, "{held} in {:?}", fill.instrument);
            let all: f64 = position.values().map(|held| held.abs().to_f64() * 10.0).sum();
            prop_assert!(all <= gross as f64, "{all} in all");
        }
    }

    /// A sale at the market frees its money for a purchase of the same step, as at a broker that settles at the end of
    /// the session; so margin is judged there, in a market that takes every order whole, for plain orders at the market
    /// that nobody cancels.
    #[test]
    fn positions_are_covered_by_equity_when_the_session_ends(wishes in wishes(), own in 500_i64..20_000) {
        let plain = |wish: Wish| Wish { kind: [0, 2, 3][usize::from(wish.kind) % 3], extra: wish.extra & 3, ..wish };
        let wishes = wishes.into_iter().map(plain).collect();
        let cash = Money::from_units(own * Money::UNITS);
        let outcome = simulate(&still(30), Chaos::new(wishes), Costs::default(), Limits::default(), cash).unwrap();
        let mut position: HashMap<InstrumentId, Quantity> = HashMap::new();
        let needed = |position: &HashMap<InstrumentId, Quantity>| -> f64 {
            position.values().map(|held| held.to_f64() * 10.0 * if held.signum() > 0 { 1.0 } else { -0.5 }).sum()
        };
        for event in &outcome.events {
            if *event == Event::SessionClosed {
                prop_assert!(needed(&position) <= own as f64, "{} needed of {own}", needed(&position));
            }
            let Event::Filled(fill) = event else { continue };
            let held = position.entry(fill.instrument).or_default();
            *held = held.add(fill.quantity).unwrap();
        }
    }

    #[test]
    fn an_order_that_only_shrinks_is_never_refused(market in markets(), wishes in wishes()) {
        // Limits so tight that nothing else passes once a position stands.
        let limits = Limits {
            orders_per_session_max: Some(1),
            order_notional_max: Some(money("2000")),
            position_quantity_max: Some(shares(30)),
            ..Limits::default()
        };
        let outcome = simulate(&market, Chaos::new(wishes), Costs::default(), limits, cash()).unwrap();
        let mut position: HashMap<InstrumentId, Quantity> = HashMap::new();
        let mut refused = outcome.records.iter().filter_map(|(_, record)| match record {
            Record::Refused(refused) => Some(refused),
            _ => None,
        });
        for (event, step) in outcome.events.iter().zip(&outcome.steps) {
            match event {
                Event::Filled(fill) => {
                    let held = position.entry(fill.instrument).or_default();
                    *held = held.add(fill.quantity).unwrap();
                }
                Event::Action(action) => {
                    let held = position.entry(action.instrument).or_default();
                    match action.kind {
                        ActionKind::Split { ratio } => *held = ratio.quantity(*held).unwrap(),
                        ActionKind::Delisting { .. } => *held = Quantity::ZERO,
                        ActionKind::Dividend { .. } => {}
                    }
                }
                _ => {}
            }
            for _ in 0..step.matches("Refused(Refused").count() {
                let refused = refused.next().unwrap();
                let held = position.get(&refused.order.instrument).copied().unwrap_or_default();
                let shrinks = refused.order.quantity.signum() * held.signum() < 0;
                let no_further = refused.order.reduce_only || refused.order.quantity.abs() <= held.abs();
                let possible = refused.reason != Refusal::PriceNotPositive;
                prop_assert!(!(shrinks && no_further && possible), "{refused:?} though {held} are held");
            }
        }
    }
}

#[test]
fn two_orders_that_are_each_fine_may_not_be_too_much_together() {
    let limits = Limits { position_quantity_max: Some(shares(150)), ..Limits::default() };
    let mut script = order(100, OrderKind::Limit { limit: price("9") });
    script.0.push((1, Box::new(|decisions| decisions.order(ID, shares(100), OrderKind::Limit { limit: price("9") }))));
    let outcome = run_with(&["10 10 10 10", "10 10 10 10", "9 9 9 9"], script, Costs::default(), limits);
    assert_eq!(outcome.book.position(ID), shares(100));
    assert_eq!(outcome.refusals(), [Refusal::PositionTooLarge { quantity: shares(200), max: shares(150) }]);
}

#[test]
fn a_refusal_carries_its_numbers() {
    let refused = |limits: Limits, quantity: i64, kind: OrderKind| {
        run_with(&["10 10 10 10", "10 10 10 10"], order(quantity, kind), Costs::default(), limits).refusals()
    };
    let none = Limits::default;
    assert_eq!(
        refused(Limits { order_notional_max: Some(money("500")), ..none() }, 100, OrderKind::Market),
        [Refusal::NotionalTooLarge { notional: money("1000"), max: money("500") }]
    );
    assert_eq!(
        refused(Limits { price_collar_bps: Some(500.0), ..none() }, 1, OrderKind::Limit { limit: price("8") }),
        [Refusal::PriceOutsideCollar { price: price("8"), reference: price("10"), max_bps: 500.0 }]
    );
    assert_eq!(
        refused(none(), 20_000, OrderKind::Market),
        [Refusal::NotEnoughBuyingPower { required: money("200000"), equity: money("100000") }]
    );
    assert_eq!(refused(none(), 0, OrderKind::Market), [Refusal::NothingToTrade]);
    assert_eq!(refused(none(), 1, OrderKind::Limit { limit: price("-1") }), [Refusal::PriceNotPositive]);
    let exit = OrderRequest { reduce_only: true, ..OrderRequest::new(ID, shares(10), OrderKind::Market) };
    let outcome = run_with(&["10 10 10 10"], request(exit), Costs::default(), none());
    assert_eq!(outcome.refusals(), [Refusal::NothingToReduce]);
}

#[test]
fn flattening_passes_when_every_limit_is_used_up() {
    let limits =
        Limits { orders_per_session_max: Some(1), position_quantity_max: Some(shares(100)), ..Limits::default() };
    let mut script = order(100, OrderKind::Market);
    script.0.push((
        1,
        Box::new(|decisions| {
            decisions.order(ID, shares(50), OrderKind::Limit { limit: price("1") });
            decisions.order(ID, shares(-100), OrderKind::Market);
        }),
    ));
    let outcome = run_with(&["10 10 10 10", "10 10 10 10", "10 10 10 10"], script, Costs::default(), limits);
    assert_eq!(outcome.traded(), ["1 100@10", "2 -100@10"]);
}
