//! The account, against a model of it that is too simple to be wrong.
#![allow(clippy::unwrap_used)]

mod support;

use domain::{Money, Notional, OrderKind, OrderRequest, Quantity};
use engine::{Event, LedgerKind, Limits, Record, Trade};
use proptest::prelude::*;
use simulator::Costs;
use support::random::{Chaos, markets, wishes};
use support::simulate;

fn cash() -> Money {
    Money::from_units(support::CASH * Money::UNITS)
}

fn all_costs() -> Costs {
    Costs {
        commission_per_share: Money::parse("0.01").unwrap(),
        commission_min: Money::parse("1").unwrap(),
        volume_share_max: Some(0.25),
        borrow_bps: 300.0,
        ..Costs::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Prices in cents, whole shares and splits by two keep every product within the units of money, so the identities
    /// hold to the last unit; only selling half a share after a reverse split may round once per movement.
    #[test]
    fn cash_and_positions_equal_deposits_and_profit(market in markets(), wishes in wishes(), priced: bool) {
        let costs = if priced { all_costs() } else { Costs::default() };
        let outcome = simulate(&market, Chaos::new(wishes), costs, Limits::default(), cash()).unwrap();

        // The ledger is the cash.
        let mut ledger = Money::ZERO;
        let mut profit = Money::ZERO;
        let mut deposits = Money::ZERO;
        let mut trades: Vec<Trade> = Vec::new();
        for (_, record) in &outcome.records {
            match record {
                Record::Ledger(entry) => {
                    ledger = ledger.add(entry.amount).unwrap();
                    if entry.kind == LedgerKind::Deposit {
                        deposits = deposits.add(entry.amount).unwrap();
                    }
                }
                Record::TradeClosed(trade) => trades.push(trade.clone()),
                _ => {}
            }
        }
        prop_assert_eq!(ledger, outcome.book.cash());
        prop_assert_eq!(deposits, cash());

        // A model that knows fills, splits and nothing of trades.
        let mut position = vec![Quantity::ZERO; market.instruments()];
        let mut cash = cash();
        for event in &outcome.events {
            match event {
                Event::Filled(fill) => {
                    let at = fill.instrument.index();
                    position[at] = position[at].add(fill.quantity).unwrap();
                    let paid = fill.price.times(fill.quantity).to_money().unwrap();
                    cash = cash.sub(paid).unwrap().sub(fill.fee).unwrap();
                    prop_assert!(fill.fee >= Money::ZERO);
                }
                Event::Action(action) => {
                    let at = action.instrument.index();
                    match action.kind {
                        domain::ActionKind::Split { ratio } => position[at] = ratio.quantity(position[at]).unwrap(),
                        domain::ActionKind::Delisting { price } => {
                            cash = cash.add(price.times(position[at]).to_money().unwrap()).unwrap();
                            position[at] = Quantity::ZERO;
                        }
                        domain::ActionKind::Dividend { amount } => {
                            cash = cash.add(amount.times(position[at]).to_money().unwrap()).unwrap();
                        }
                    }
                }
                Event::Borrowed { amount, .. } => cash = cash.sub(*amount).unwrap(),
                _ => {}
            }
        }
        prop_assert_eq!(&position[..], outcome.book.positions());
        prop_assert_eq!(cash, outcome.book.cash());
        let mut value = Notional::ZERO;
        for (at, quantity) in position.iter().enumerate() {
            let mark = outcome.book.mark_of(domain::InstrumentId(at as u32)).unwrap_or_default();
            value = value.plus(mark.times(*quantity));
        }
        prop_assert_eq!(value, outcome.book.net());
        let equity = Notional::from(outcome.book.cash()).plus(value);
        prop_assert_eq!(outcome.book.equity().unwrap(), equity.to_money().unwrap());

        // Once everything is flat, what was made is the profit of the trades.
        trades.extend(outcome.book.open_trades().unwrap());
        for trade in &trades {
            profit = profit.add(trade.profit).unwrap();
        }
        if position.iter().all(|quantity| quantity.is_zero()) {
            let made = cash.sub(deposits).unwrap();
            let movements = outcome.fills().len() as i64 + trades.len() as i64;
            prop_assert!((made.units() - profit.units()).abs() <= movements, "made {made}, profit {profit}");
        }
    }

    #[test]
    fn an_order_fills_after_the_session_of_its_decision_and_within_its_bar(market in markets(), wishes in wishes()) {
        let outcome = simulate(&market, Chaos::new(wishes), all_costs(), Limits::default(), cash()).unwrap();
        let mut decided = std::collections::HashMap::new();
        for (session, record) in &outcome.records {
            if let Record::Ordered(order) = record {
                decided.insert(order.id, (*session, order.reduce_only));
            }
        }
        let bars: std::collections::HashMap<_, _> =
            market.bars().iter().map(|bar| ((bar.session, bar.instrument), *bar)).collect();
        for fill in outcome.fills() {
            let bar = bars[&(fill.session, fill.instrument)];
            prop_assert!(bar.low <= fill.price && fill.price <= bar.high, "{fill:?} outside {bar:?}");
            let (session, exit) = decided[&fill.order];
            // Exits of a bracket work from their entry's fill on, within the same session.
            prop_assert!(fill.session > session || exit && fill.session == session, "{fill:?} decided on {session}");
        }
    }

    #[test]
    fn a_limit_is_never_broken_and_an_order_never_overfilled(market in markets(), wishes in wishes()) {
        let outcome = simulate(&market, Chaos::new(wishes), all_costs(), Limits::default(), cash()).unwrap();
        let split = market.actions().iter().any(|one| matches!(one.kind, domain::ActionKind::Split { .. }));
        let mut filled = std::collections::HashMap::new();
        for fill in outcome.fills() {
            let total: &mut Quantity = filled.entry(fill.order).or_default();
            *total = total.add(fill.quantity).unwrap();
        }
        for (_, record) in &outcome.records {
            let Record::Ordered(order) = record else { continue };
            let Some(total) = filled.get(&order.id) else { continue };
            prop_assert!(total.signum() == order.quantity.signum());
            if split {
                continue;
            }
            prop_assert!(total.abs() <= order.quantity.abs(), "{order:?} filled {total}");
            if let OrderKind::Limit { limit } | OrderKind::StopLimit { limit, .. } = order.kind {
                for fill in outcome.fills().iter().filter(|fill| fill.order == order.id) {
                    let good = if fill.quantity.signum() > 0 { fill.price <= limit } else { fill.price >= limit };
                    prop_assert!(good, "{order:?} filled at {}", fill.price);
                }
            }
        }
    }

    #[test]
    fn data_cut_anywhere_changes_no_earlier_decision(market in markets(), wishes in wishes(), part in 0.0..1.0_f64) {
        let all = simulate(&market, Chaos::new(wishes.clone()), all_costs(), Limits::default(), cash()).unwrap();
        let sessions: Vec<_> = market.bars().iter().map(|bar| bar.session).collect();
        let cut = sessions[(part * sessions.len() as f64) as usize];
        let some = simulate(&market.cut(cut), Chaos::new(wishes), all_costs(), Limits::default(), cash()).unwrap();
        let before: Vec<_> = all.records.iter().filter(|(session, _)| *session <= cut).collect();
        prop_assert_eq!(before, some.records.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_same_inputs_give_the_same_steps(market in markets(), wishes in wishes()) {
        let run = || simulate(&market, Chaos::new(wishes.clone()), all_costs(), Limits::default(), cash()).unwrap().steps;
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn extreme_figures_end_a_run_with_an_error_and_no_panic(
        prices in prop::collection::vec(1_i64..i64::MAX, 2..12),
        quantity in any::<i64>(),
        cash in 1_i64..i64::MAX,
        volume in any::<u64>(),
        kind in 0_u8..6,
    ) {
        let bars = prices.iter().enumerate().map(|(n, units)| {
            let price = domain::Price::from_units(*units);
            domain::Bar { instrument: support::ID, session: support::day(n), open: price, high: price, low: price, close: price, volume }
        });
        let market = support::market(bars.collect(), vec![]);
        let price = domain::Price::from_units(prices[0]);
        let kind = match kind {
            0 => OrderKind::Market,
            1 => OrderKind::Limit { limit: price },
            2 => OrderKind::Stop { stop: price },
            3 => OrderKind::TrailingStop { trail: domain::Trail::Amount(price) },
            4 => OrderKind::TrailingStop { trail: domain::Trail::BasisPoints(u32::MAX) },
            _ => OrderKind::MarketOnClose,
        };
        let request = OrderRequest::new(support::ID, Quantity::from_units(quantity), kind);
        let free = Limits { margin: engine::Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 }, ..Limits::default() };
        for limits in [Limits::default(), free] {
            let costs = Costs { slippage_bps: 1e9, volume_impact_bps: 1e12, ..all_costs() };
            // Either outcome is fine; a panic is not.
            let _ = simulate(&market, support::request(request), costs, limits.clone(), Money::from_units(cash));
            let _ = simulate(&market, support::request(request), Costs::default(), limits, Money::from_units(cash));
        }
    }
}
