//! Several orders at once: what one does to another, on hand-made bars.
#![allow(clippy::unwrap_used)]

mod support;

use domain::{Bar, Bracket, Decisions, InstrumentId, OrderKind, OrderRequest, Ratio, StopLoss, TimeInForce, Trail};
use engine::{Event, Limits, Margin, OrderEnd, Record};
use simulator::Costs;
use support::{ID, Outcome, Script, bar_of, bars, market, money, price, run, shares, simulate};

const FLAT: &str = "10 10 10 10";
const OTHER: InstrumentId = InstrumentId(1);

fn limit(text: &str) -> OrderKind {
    OrderKind::Limit { limit: price(text) }
}

fn script(wish: impl Fn(&mut Decisions) + 'static) -> Script {
    Script(vec![(0, Box::new(wish))])
}

fn entry(quantity: i64, kind: OrderKind, profit: Option<&str>, loss: Option<StopLoss>) -> Script {
    let bracket = Some(Bracket { take_profit: profit.map(price), stop_loss: loss });
    script(move |decisions| {
        decisions.orders.push(OrderRequest { bracket, ..OrderRequest::new(ID, shares(quantity), kind) });
    })
}

fn two(bars: Vec<Bar>, script: Script, limits: Limits) -> Outcome {
    simulate(&market(bars, vec![]), script, Costs::default(), limits, money("100000")).unwrap()
}

fn ends(outcome: &Outcome) -> Vec<OrderEnd> {
    let reason = |event: &Event| if let Event::OrderEnded { reason, .. } = event { Some(*reason) } else { None };
    outcome.events.iter().filter_map(reason).collect()
}

#[test]
fn a_stop_limit_fills_at_its_trigger_though_an_older_order_trades_first() {
    let outcome = run(
        &[FLAT, "10 11.5 9 10", "12 12 12 12"],
        script(|decisions| {
            decisions.order(ID, shares(100), limit("9.5"));
            decisions.order(ID, shares(50), OrderKind::StopLimit { stop: price("11"), limit: price("11.2") });
        }),
    );
    assert_eq!(outcome.traded(), ["1 100@9.5", "1 50@11"]);
}

#[test]
fn a_trailing_exit_starts_from_its_entry_and_not_from_the_close_before() {
    let trail = |amount| Some(StopLoss::Trailing(Trail::Amount(price(amount))));
    // Opens two lower: the exit is 1 below the entry at 8, not 1 below the close at 10.
    let prices = [FLAT, "8 9.5 7.5 9", "9 9 8 8"];
    assert_eq!(run(&prices, entry(100, OrderKind::Market, None, trail("1"))).traded(), ["1 100@8", "2 -100@8.5"]);
    // Opens two higher, sold short: the exit is 1 above 12.
    let prices = [FLAT, "12 12.5 10.5 11", "11 12 11 12"];
    assert_eq!(run(&prices, entry(-100, OrderKind::Market, None, trail("1"))).traded(), ["1 -100@12", "2 100@11.5"]);
    // Entered inside the session at 9.5, so the exit stands at 9.2 and not at 9.7.
    let prices = [FLAT, "10 10 9 9.8", FLAT];
    assert_eq!(run(&prices, entry(100, limit("9.5"), None, trail("0.3"))).traded(), ["1 100@9.5", "1 -100@9.2"]);
}

#[test]
fn an_exit_whose_trigger_is_behind_the_market_never_makes_a_profit_of_it() {
    let stop = |text| Some(StopLoss::At(price(text)));
    // A stop of 9 under an entry expected at 10 that opens at 8: sold at once, at the market.
    let gapped = run(&[FLAT, "8 9.5 7.5 9"], entry(100, OrderKind::Market, None, stop("9")));
    assert_eq!(gapped.traded(), ["1 100@8", "1 -100@8"]);
    let short = run(&[FLAT, "12 12.5 10.5 11"], entry(-100, OrderKind::Market, None, stop("11")));
    assert_eq!(short.traded(), ["1 -100@12", "1 100@12"]);
    // Entered inside the session below its own stop.
    let inside = run(&[FLAT, "10 10.4 9 9.8"], entry(100, limit("9.5"), None, stop("9.7")));
    assert_eq!(inside.traded(), ["1 100@9.5", "1 -100@9.5"]);
    let inside = run(&[FLAT, "10 11 9.6 10"], entry(-100, limit("10.5"), None, stop("10.2")));
    assert_eq!(inside.traded(), ["1 -100@10.5", "1 100@10.5"]);
}

#[test]
fn alternatives_may_be_orders_of_different_instruments() {
    let mut all = bars(&[FLAT, FLAT, FLAT, "10 10 8 9"]);
    all.extend((0..4).map(|n| bar_of(1, n, "20 20 18 20", 10_000)));
    let wish: support::Wish = Box::new(|decisions| {
        for (instrument, at) in [(ID, "9"), (OTHER, "18")] {
            let request = OrderRequest::new(instrument, shares(10), limit(at));
            decisions.orders.push(OrderRequest { one_cancels_other: Some(1), ..request });
        }
    });
    // Decided once both have a price; the next session reaches only the other's limit.
    let outcome = two(all, Script(vec![(1, wish)]), Limits::default());
    assert_eq!(outcome.fills().len(), 1, "{:?}", outcome.traded());
    assert_eq!(outcome.book.position(OTHER), shares(10));
    assert_eq!(ends(&outcome), [OrderEnd::Replaced]);
}

#[test]
fn a_day_order_ends_with_the_next_session_even_if_its_instrument_does_not_trade() {
    let mut all = vec![bars(&[FLAT])[0], support::bar(2, "8 8 8 8")];
    all.extend((0..3).map(|n| bar_of(1, n, "1 1 1 1", 100)));
    let wish = script(|decisions| {
        let request = OrderRequest::new(ID, shares(100), limit("9"));
        decisions.orders.push(OrderRequest { time_in_force: TimeInForce::Day, ..request });
        decisions.order(ID, shares(10), OrderKind::MarketOnOpen);
    });
    let outcome = two(all, wish, Limits::default());
    assert!(outcome.traded().is_empty(), "{:?}", outcome.traded());
    assert_eq!(ends(&outcome), [OrderEnd::Expired, OrderEnd::Expired]);
}

#[test]
fn flattening_passes_while_another_order_already_closes_the_position() {
    let limits = Limits { orders_per_session_max: Some(1), ..Limits::default() };
    let mut wishes = script(|decisions| decisions.target(ID, shares(100)));
    // The target of the profit closes the position by itself, and still the way out is not barred.
    wishes.0.push((
        1,
        Box::new(|decisions| {
            decisions.order(ID, shares(-100), limit("12"));
            decisions.target(ID, shares(0));
        }),
    ));
    let outcome = support::run_with(&[FLAT, FLAT, FLAT, "13 13 13 13"], wishes, Costs::default(), limits);
    assert!(outcome.refusals().is_empty(), "{:?}", outcome.refusals());
    assert_eq!(outcome.traded(), ["1 100@10", "2 -100@10"]);
    assert!(outcome.book.position(ID).is_zero());
}

#[test]
fn a_margin_call_also_withdraws_entries_that_wait_elsewhere() {
    let margin = Margin { initial_long: 0.3, initial_short: 0.5, maintenance: 0.25 };
    let mut all = bars(&[FLAT, FLAT, "8 8 8 8", "8 8 8 8", "8 8 8 8"]);
    all.extend((0..5).map(|n| bar_of(1, n, if n < 3 { FLAT } else { "9 9 9 9" }, 10_000)));
    // The other instrument has no price yet when the first one decides in session 0.
    let mut wish = script(|decisions| decisions.order(ID, shares(30_000), OrderKind::Market));
    wish.0.push((1, Box::new(|decisions| decisions.order(OTHER, shares(1_000), limit("9")))));
    let outcome = two(all, wish, Limits { margin, ..Limits::default() });
    assert!(outcome.records.iter().any(|(_, record)| matches!(record, Record::MarginCall { .. })));
    assert!(outcome.book.position(OTHER).is_zero(), "{:?}", outcome.traded());
    assert!(outcome.book.position(ID).is_zero());
}

#[test]
fn targets_are_reached_exactly_after_a_split_of_orders_that_wait() {
    // Two orders of one share each become a third of a share each; their sum is not two thirds rounded.
    let target = |count: i64| -> support::Wish { Box::new(move |decisions| decisions.target(ID, shares(count))) };
    let split = domain::CorporateAction {
        instrument: ID,
        ex_date: support::day(1),
        kind: domain::ActionKind::Split { ratio: Ratio::new(1, 3).unwrap() },
    };
    let both: support::Wish = Box::new(|decisions| {
        decisions.target(ID, shares(1));
        decisions.target(ID, shares(2));
    });
    let market = market(bars(&[FLAT, "30 30 30 30", "30 30 30 30", "30 30 30 30"]), vec![split]);
    let wishes = Script(vec![(0, both), (1, target(5))]);
    let outcome = simulate(&market, wishes, Costs::default(), Limits::default(), money("100000")).unwrap();
    assert_eq!(outcome.book.position(ID), shares(5));
}

#[test]
fn a_day_order_that_was_triggered_still_ends_with_its_session() {
    let kind = OrderKind::StopLimit { stop: price("11"), limit: price("10.5") };
    let outcome = run(
        &[FLAT, "10 11.5 10 11", "10 10 10 10"],
        script(move |decisions| {
            let request = OrderRequest::new(ID, shares(100), kind);
            decisions.orders.push(OrderRequest { time_in_force: TimeInForce::Day, ..request });
        }),
    );
    assert!(outcome.traded().is_empty(), "{:?}", outcome.traded());
}

#[test]
fn a_target_is_asked_for_once_while_its_order_waits_for_a_trading_day() {
    let mut all = vec![bars(&[FLAT])[0], support::bar(3, FLAT), support::bar(4, FLAT)];
    all.extend((0..5).map(|n| bar_of(1, n, "1 1 1 1", 100)));
    let target = || -> support::Wish { Box::new(|decisions| decisions.target(ID, shares(100))) };
    let outcome = two(all, Script(vec![(0, target()), (3, target())]), Limits::default());
    assert_eq!(outcome.traded(), ["3 100@10"]);
}
