//! Every kind of order on hand-made bars. A script decides at the close of session 0; bars are "open high low close".
#![allow(clippy::unwrap_used)]

mod support;

use domain::{Bracket, OrderKind, OrderRequest, StopLoss, TimeInForce, Trail};
use engine::Limits;
use simulator::Costs;
use support::{ID, Script, bars, market, money, order, price, request, run, run_with, shares, simulate};

const FLAT: &str = "10 10 10 10";

fn limit(text: &str) -> OrderKind {
    OrderKind::Limit { limit: price(text) }
}

fn stop(text: &str) -> OrderKind {
    OrderKind::Stop { stop: price(text) }
}

fn stop_limit(stop: &str, limit: &str) -> OrderKind {
    OrderKind::StopLimit { stop: price(stop), limit: price(limit) }
}

fn trailing(amount: &str) -> OrderKind {
    OrderKind::TrailingStop { trail: Trail::Amount(price(amount)) }
}

fn day_only(quantity: i64, kind: OrderKind) -> Script {
    request(OrderRequest { time_in_force: TimeInForce::Day, ..OrderRequest::new(ID, shares(quantity), kind) })
}

#[track_caller]
fn trades(prices: &[&str], script: Script, expected: &[&str]) {
    assert_eq!(run(prices, script).traded(), expected);
}

#[test]
fn a_market_order_fills_at_the_next_open_never_on_its_own_bar() {
    trades(&[FLAT, "11 12 9 10"], order(100, OrderKind::Market), &["1 100@11"]);
    trades(&[FLAT, "11 12 9 10"], order(-100, OrderKind::MarketOnOpen), &["1 -100@11"]);
    trades(&[FLAT], order(100, OrderKind::Market), &[]);
}

#[test]
fn market_on_close_fills_at_the_next_close() {
    trades(&[FLAT, "11 12 9 10.5"], order(100, OrderKind::MarketOnClose), &["1 100@10.5"]);
}

#[test]
fn a_limit_waits_for_its_price_and_takes_a_better_open() {
    trades(&[FLAT, "10 10 9.5 10", "10 10 9 9.5"], order(100, limit("9")), &["2 100@9"]);
    trades(&[FLAT, "8.5 9 8 9"], order(100, limit("9")), &["1 100@8.5"]);
    trades(&[FLAT, "10 11 10 10"], order(-100, limit("11")), &["1 -100@11"]);
    trades(&[FLAT, "12 13 11 12"], order(-100, limit("11")), &["1 -100@12"]);
    trades(&[FLAT, "10 10.99 10 10"], order(-100, limit("11")), &[]);
}

#[test]
fn a_stop_fills_at_its_trigger_or_at_a_worse_open() {
    trades(&[FLAT, "10 11.5 10 11"], order(100, stop("11")), &["1 100@11"]);
    trades(&[FLAT, "12 13 11 12"], order(100, stop("11")), &["1 100@12"]);
    trades(&[FLAT, "10 10 8.5 9"], order(-100, stop("9")), &["1 -100@9"]);
    trades(&[FLAT, "8 8.5 7 8"], order(-100, stop("9")), &["1 -100@8"]);
    trades(&[FLAT, "10 10.9 9 10"], order(100, stop("11")), &[]);
}

#[test]
fn a_stop_limit_rests_as_a_limit_from_the_next_bar_when_the_trigger_is_beyond_its_limit() {
    // Within the limit at the trigger: fills there.
    trades(&[FLAT, "10 11.5 10 11"], order(100, stop_limit("11", "11.2")), &["1 100@11"]);
    // A gap over the limit triggers it; it fills when the price comes back.
    trades(&[FLAT, "12 13 11.5 12", "12 12 11 11.5"], order(100, stop_limit("11", "11.2")), &["2 100@11.2"]);
    // Not triggered, the limit alone does nothing.
    trades(&[FLAT, "10 10.5 9 10"], order(100, stop_limit("11", "11.2")), &[]);
    trades(&[FLAT, "10 10 8.9 9", "9 9.5 9 9.2"], order(-100, stop_limit("9", "9.3")), &["2 -100@9.3"]);
}

#[test]
fn a_trailing_stop_follows_the_best_price_and_never_turns_back() {
    // Long exit: 1 below the best price since the order was placed.
    let prices = [FLAT, "10 12 10 12", "12 12.5 11.6 12", "12 12 11 11"];
    trades(&prices, order(-100, trailing("1")), &["3 -100@11.5"]);
    let points = OrderKind::TrailingStop { trail: Trail::BasisPoints(1_000) };
    trades(&[FLAT, "10 20 10 20", "20 20 17 18"], order(-100, points), &["2 -100@18"]);
    // Buying: 1 above the lowest price.
    trades(&[FLAT, "10 10 8 8", "8 9.5 8 9"], order(100, trailing("1")), &["2 100@9"]);
    // A gap beyond the trigger fills at the open.
    trades(&[FLAT, "10 12 10 12", "10.5 11 10 10"], order(-100, trailing("1")), &["2 -100@10.5"]);
}

#[test]
fn a_day_order_ends_with_the_next_session_and_another_works_on() {
    let prices = [FLAT, "10 10 9.5 10", "10 10 9 9"];
    trades(&prices, day_only(100, limit("9")), &[]);
    trades(&prices, order(100, limit("9")), &["2 100@9"]);
}

#[test]
fn of_two_alternatives_one_fills_and_the_other_ends() {
    let script = || {
        Script(vec![(
            0,
            Box::new(|decisions| {
                for kind in [limit("9"), stop("11")] {
                    let request = OrderRequest::new(ID, shares(100), kind);
                    decisions.orders.push(OrderRequest { one_cancels_other: Some(1), ..request });
                }
            }),
        )])
    };
    trades(&[FLAT, "10 11 10 11", "11 11 8 9"], script(), &["1 100@11"]);
    trades(&[FLAT, "10 10 9 9", "9 12 9 12"], script(), &["1 100@9"]);
    // Both inside one bar: the dearer one, and the bar is counted.
    let both = run(&[FLAT, "10 11 9 10"], script());
    assert_eq!((both.traded(), both.ambiguous), (vec!["1 100@11".to_owned()], 1));
}

fn bracket(quantity: i64, kind: OrderKind, profit: &str, loss: &str) -> Script {
    let exits = Bracket { take_profit: Some(price(profit)), stop_loss: Some(StopLoss::At(price(loss))) };
    request(OrderRequest { bracket: Some(exits), ..OrderRequest::new(ID, shares(quantity), kind) })
}

#[test]
fn a_bracket_protects_its_entry_from_the_fill_on() {
    let enter = || bracket(100, OrderKind::Market, "12", "9");
    trades(&[FLAT, "10 11 10 11", "11 12.5 11 12"], enter(), &["1 100@10", "2 -100@12"]);
    trades(&[FLAT, "10 11 10 11", "11 11 8 9"], enter(), &["1 100@10", "2 -100@9"]);
    // Filled in the auction, the exits meet the whole session.
    trades(&[FLAT, "10 12.5 10 12"], enter(), &["1 100@10", "1 -100@12"]);
    trades(&[FLAT, "10 11 10 11", "8 8 7 7"], enter(), &["1 100@10", "2 -100@8"]);
    let short = || bracket(-100, OrderKind::Market, "8", "11");
    trades(&[FLAT, "10 10 7.5 8"], short(), &["1 -100@10", "1 100@8"]);
    trades(&[FLAT, "10 11 10 11"], short(), &["1 -100@10", "1 100@11"]);
}

#[test]
fn a_bar_that_touches_stop_and_target_fills_the_stop_and_is_counted_once() {
    let long = run(&[FLAT, "10 12.5 8.5 12"], bracket(100, OrderKind::Market, "12", "9"));
    assert_eq!((long.traded(), long.ambiguous), (vec!["1 100@10".to_owned(), "1 -100@9".to_owned()], 1));
    let short = run(&[FLAT, "10 12.5 7 8"], bracket(-100, OrderKind::Market, "8", "11"));
    assert_eq!((short.traded(), short.ambiguous), (vec!["1 -100@10".to_owned(), "1 100@11".to_owned()], 1));
}

#[test]
fn exits_of_an_entry_inside_the_session_meet_the_rest_of_it_at_its_worst() {
    // Entered at 9.5 on the way; whether 12 came before is unknown, so the target waits; the stop was touched.
    let entry = || bracket(100, limit("9.5"), "12", "9");
    let touched = run(&[FLAT, "10 12.5 8.5 12", "12 12 12 12"], entry());
    assert_eq!(touched.traded(), ["1 100@9.5", "1 -100@9"]);
    assert_eq!(touched.ambiguous, 1);
    trades(&[FLAT, "10 12.5 9.2 10", "10 12 10 11"], entry(), &["1 100@9.5", "2 -100@12"]);
}

#[test]
fn exits_shrink_and_end_with_the_position() {
    // Closed by hand: the exits are cancelled and nothing turns the position round.
    let mut script = bracket(100, OrderKind::Market, "12", "9");
    script.0.push((1, Box::new(|decisions| decisions.target(ID, shares(0)))));
    trades(&[FLAT, "10 11 10 10", "10 10 10 10", "10 13 8 10"], script, &["1 100@10", "2 -100@10"]);
}

#[test]
fn a_large_order_fills_over_several_bars_within_its_share_of_the_volume() {
    let costs = Costs { volume_share_max: Some(0.01), commission_min: money("5"), ..Costs::default() };
    // 10,000 shares a bar: 100 of them may be ours.
    let outcome = run_with(&[FLAT, FLAT, "11 11 11 11", FLAT], order(250, OrderKind::Market), costs, Limits::default());
    assert_eq!(outcome.traded(), ["1 100@10", "2 100@11", "3 50@10"]);
    let fees: Vec<String> = outcome.fills().iter().map(|fill| fill.fee.to_string()).collect();
    assert_eq!(fees, ["5", "0", "0"], "the minimum is charged once");
}

#[test]
fn a_bracket_on_a_partly_filled_entry_covers_what_is_filled() {
    let costs = Costs { volume_share_max: Some(0.01), ..Costs::default() };
    let script = bracket(150, OrderKind::Market, "20", "9");
    let outcome = run_with(&[FLAT, FLAT, "8 8 8 8", "8 8 8 8", "8 8 8 8"], script, costs, Limits::default());
    let end = outcome.book.position(ID);
    assert!(end.is_zero(), "{end} left of {:?}", outcome.traded());
}

#[test]
fn slippage_costs_those_who_take_liquidity_and_a_limit_is_never_worse_than_its_limit() {
    let costs = Costs { slippage_bps: 100.0, spread_bps: 100.0, ..Costs::default() };
    let traded =
        |kind, quantity, bars: &[&str]| run_with(bars, order(quantity, kind), costs, Limits::default()).traded();
    assert_eq!(traded(OrderKind::Market, 100, &[FLAT, FLAT]), ["1 100@10.15"]);
    assert_eq!(traded(OrderKind::Market, -100, &[FLAT, FLAT]), ["1 -100@9.85"]);
    assert_eq!(traded(stop("11"), 100, &[FLAT, "10 12 10 12"]), ["1 100@11.165"]);
    assert_eq!(traded(limit("9"), 100, &[FLAT, "10 10 8 9"]), ["1 100@9"]);
    assert_eq!(traded(limit("11"), -100, &[FLAT, "10 12 10 11"]), ["1 -100@11"]);
}

#[test]
fn a_target_reverses_in_one_order_and_does_not_count_what_is_on_its_way_twice() {
    let wish = |quantity| -> support::Wish { Box::new(move |decisions| decisions.target(ID, shares(quantity))) };
    let script = Script(vec![(0, wish(100)), (1, wish(-100)), (2, wish(-100))]);
    trades(&[FLAT, FLAT, "11 11 11 11", FLAT, FLAT], script, &["1 100@10", "2 -200@11"]);
    // Partly filled: the rest is still on its way and is not ordered again.
    let costs = Costs { volume_share_max: Some(0.005), ..Costs::default() };
    let script = Script(vec![(0, wish(120)), (1, wish(120)), (2, wish(120))]);
    let outcome = run_with(&[FLAT, FLAT, FLAT, FLAT, FLAT], script, costs, Limits::default());
    assert_eq!(outcome.traded(), ["1 50@10", "2 50@10", "3 20@10"]);
}

#[test]
fn fills_use_the_corrected_bar_and_decisions_the_first_print() {
    let printed = bars(&[FLAT, "10 10 10 10", FLAT]);
    let corrected = vec![support::bar(1, "10.4 10.5 10 10")];
    let market = domain::Calendar::nyse();
    let market = simulator::Market::new(market, printed, vec![], corrected).unwrap();
    let outcome =
        simulate(&market, order(100, OrderKind::Market), Costs::default(), Limits::default(), money("100000")).unwrap();
    assert_eq!(outcome.traded(), ["1 100@10.4"]);
}

#[test]
fn cancelling_takes_every_working_order_away() {
    let mut script = order(100, limit("9"));
    script.0.push((1, Box::new(|decisions| decisions.cancel_all(ID))));
    trades(&[FLAT, FLAT, "9 9 8 9"], script, &[]);
}

#[test]
fn the_same_market_gives_the_same_steps() {
    let once = || {
        let market = market(bars(&[FLAT, "10 12.5 8.5 12", "11 12 9 10"]), vec![]);
        let script = bracket(100, OrderKind::Market, "12", "9");
        simulate(&market, script, Costs::default(), Limits::default(), money("100000")).unwrap().steps
    };
    assert_eq!(once(), once());
}
