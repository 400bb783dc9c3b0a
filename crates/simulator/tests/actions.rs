//! Splits, dividends, delistings, borrowing, margin calls, and bars that are missing.
#![allow(clippy::unwrap_used)]

mod support;

use domain::{
    ActionKind, Bracket, CorporateAction, InstrumentId, Money, OrderKind, OrderRequest, Ratio, SessionDate, StopLoss,
};
use engine::{LedgerKind, Limits, Margin, Record};
use simulator::Costs;
use support::{ID, Outcome, Script, bar_of, bars, day, market, money, order, price, request, shares, simulate};

const FLAT: &str = "10 10 10 10";

fn act(n: usize, kind: ActionKind) -> CorporateAction {
    CorporateAction { instrument: ID, ex_date: day(n), kind }
}

fn split(n: usize, new: i64, old: i64) -> CorporateAction {
    act(n, ActionKind::Split { ratio: Ratio::new(new, old).unwrap() })
}

fn dividend(n: usize, amount: &str) -> CorporateAction {
    act(n, ActionKind::Dividend { amount: price(amount) })
}

fn run(prices: &[&str], script: Script, actions: Vec<CorporateAction>) -> Outcome {
    run_with(prices, script, actions, Costs::default(), Limits::default())
}

fn run_with(prices: &[&str], script: Script, actions: Vec<CorporateAction>, costs: Costs, limits: Limits) -> Outcome {
    simulate(&market(bars(prices), actions), script, costs, limits, money("100000")).unwrap()
}

fn ledger(outcome: &Outcome, kind: LedgerKind) -> Vec<String> {
    let entry = |record: &Record| match record {
        Record::Ledger(entry) if entry.kind == kind => Some(entry.amount.to_string()),
        _ => None,
    };
    outcome.records.iter().filter_map(|(_, record)| entry(record)).collect()
}

#[test]
fn a_dividend_is_paid_to_holders_before_the_ex_date_and_by_those_who_are_short() {
    let paid = |quantity, at| {
        ledger(
            &run(&[FLAT, FLAT, FLAT, FLAT], order(quantity, OrderKind::Market), vec![dividend(at, "0.5")]),
            LedgerKind::Dividend,
        )
    };
    assert_eq!(paid(100, 2), ["50"]);
    assert_eq!(paid(-100, 2), ["-50"]);
    // Bought at the open of the ex-date: no right to it.
    assert!(paid(100, 1).is_empty());
}

#[test]
fn a_split_changes_shares_and_no_money() {
    let outcome = run(&[FLAT, FLAT, "5 5 5 5"], order(100, OrderKind::Market), vec![split(2, 2, 1)]);
    assert_eq!(outcome.book.position(ID), shares(200));
    assert_eq!(outcome.book.equity().unwrap(), money("100000"));
    // A reverse split leaves fractions; they are kept, not rounded away.
    let outcome = run(&[FLAT, FLAT, "30 30 30 30"], order(100, OrderKind::Market), vec![split(2, 1, 3)]);
    assert_eq!(outcome.book.position(ID).to_string(), "33.333333");
}

#[test]
fn a_split_restates_resting_orders_and_the_exits_of_entries_that_wait() {
    let limit = order(100, OrderKind::Limit { limit: price("8") });
    let outcome = run(&[FLAT, FLAT, "5 5 4 4.5"], limit, vec![split(2, 2, 1)]);
    assert_eq!(outcome.traded(), ["2 200@4"]);
    let trailing = order(-100, OrderKind::TrailingStop { trail: domain::Trail::Amount(price("2")) });
    let outcome = run(&[FLAT, FLAT, "5 5 4.1 4.5", "4.5 4.5 3.9 4"], trailing, vec![split(2, 2, 1)]);
    assert_eq!(outcome.traded(), ["3 -200@4"]);

    let exits = Bracket { take_profit: Some(price("12")), stop_loss: Some(StopLoss::At(price("6"))) };
    let entry = OrderRequest {
        bracket: Some(exits),
        ..OrderRequest::new(ID, shares(100), OrderKind::Limit { limit: price("8") })
    };
    let prices = [FLAT, FLAT, "5 5 4 4.5", "4.5 6 4.5 6"];
    let outcome = run(&prices, request(entry), vec![split(2, 2, 1)]);
    assert_eq!(outcome.traded(), ["2 200@4", "3 -200@6"], "the target of 12 is 6 in new shares");
}

#[test]
fn a_split_and_a_dividend_of_one_day_count_the_dividend_in_new_shares() {
    let outcome =
        run(&[FLAT, FLAT, "5 5 5 5"], order(100, OrderKind::Market), vec![split(2, 2, 1), dividend(2, "0.25")]);
    assert_eq!(ledger(&outcome, LedgerKind::Dividend), ["50"]);
    // However the vendor lists them.
    let other = run(&[FLAT, FLAT, "5 5 5 5"], order(100, OrderKind::Market), vec![dividend(2, "0.25"), split(2, 2, 1)]);
    assert_eq!(ledger(&other, LedgerKind::Dividend), ["50"]);
}

#[test]
fn an_action_on_a_day_without_a_session_takes_force_on_the_next() {
    // 2004-01-10 is a Saturday; session 5 is the Monday after.
    let saturday = SessionDate::from_ymd(2004, 1, 10).unwrap();
    let action = CorporateAction { ex_date: saturday, ..dividend(0, "1") };
    let outcome = run(&[FLAT; 7], order(10, OrderKind::Market), vec![action]);
    assert_eq!(ledger(&outcome, LedgerKind::Dividend), ["10"]);
    let paid = outcome
        .records
        .iter()
        .find(|(_, record)| matches!(record, Record::Ledger(entry) if entry.kind == LedgerKind::Dividend));
    assert_eq!(paid.unwrap().0, day(5));
}

#[test]
fn a_delisting_pays_its_price_and_ends_every_order() {
    let mut script = order(100, OrderKind::Market);
    script.0.push((1, Box::new(|decisions| decisions.order(ID, shares(100), OrderKind::Limit { limit: price("5") }))));
    // Another instrument keeps the market open.
    let mut all = bars(&[FLAT, FLAT]);
    all.extend((0..4).map(|n| bar_of(1, n, "1 1 1 1", 100)));
    let market = market(all, vec![act(2, ActionKind::Delisting { price: price("3") })]);
    let outcome = simulate(&market, script, Costs::default(), Limits::default(), money("100000")).unwrap();
    assert_eq!(ledger(&outcome, LedgerKind::Delisting), ["300"]);
    assert!(outcome.book.position(ID).is_zero());
    let ended = outcome.records.iter().filter(|(_, record)| matches!(record, Record::TradeClosed(_))).count();
    assert_eq!(ended, 1);
    assert_eq!(outcome.book.equity().unwrap(), money("99300"));
}

#[test]
fn an_order_waits_while_its_instrument_does_not_trade() {
    let mut all = vec![bars(&[FLAT])[0], support::bar(3, "11 11 11 11")];
    all.extend((0..5).map(|n| bar_of(1, n, "1 1 1 1", 100)));
    let outcome = simulate(
        &market(all, vec![]),
        order(100, OrderKind::Market),
        Costs::default(),
        Limits::default(),
        money("100000"),
    )
    .unwrap();
    assert_eq!(outcome.traded(), ["3 100@11"]);
}

#[test]
fn borrowed_shares_cost_by_the_calendar_day() {
    // 360 bps a year on 1,000: 0.1 a day. Sold short on Tuesday the 6th; 1 night each to Friday, 3 over the weekend.
    let costs = Costs { borrow_bps: 360.0, ..Costs::default() };
    let outcome = run_with(&[FLAT; 6], order(-100, OrderKind::Market), vec![], costs, Limits::default());
    assert_eq!(ledger(&outcome, LedgerKind::Borrow), ["-0.1", "-0.1", "-0.1", "-0.3"]);
}

#[test]
fn a_margin_call_closes_everything_once() {
    let limits =
        Limits { margin: Margin { initial_long: 0.5, initial_short: 0.5, maintenance: 0.25 }, ..Limits::default() };
    let prices = [FLAT, FLAT, "6 6 6 6", "6 6 6 6", "6 6 6 6"];
    let outcome = run_with(&prices, order(20_000, OrderKind::Market), vec![], Costs::default(), limits);
    let calls = outcome.records.iter().filter(|(_, record)| matches!(record, Record::MarginCall { .. })).count();
    assert_eq!(calls, 1, "{:?}", outcome.traded());
    assert_eq!(outcome.traded(), ["1 20000@10", "3 -20000@6"]);
    assert_eq!(outcome.book.equity().unwrap(), money("20000"));
}

#[test]
fn an_account_that_is_worth_nothing_opens_no_position() {
    let limits =
        Limits { margin: Margin { initial_long: 0.5, initial_short: 0.5, maintenance: 0.25 }, ..Limits::default() };
    let mut script = order(20_000, OrderKind::Market);
    script.0.push((4, Box::new(|decisions| decisions.order(ID, shares(1), OrderKind::Market))));
    let prices = [FLAT, FLAT, "4 4 4 4", "4 4 4 4", "4 4 4 4", "4 4 4 4"];
    let outcome = run_with(&prices, script, vec![], Costs::default(), limits);
    assert!(outcome.book.equity().unwrap() < Money::ZERO);
    assert_eq!(outcome.refusals().len(), 1);
    assert!(outcome.book.position(ID).is_zero());
}

#[test]
fn an_instrument_the_market_does_not_have_is_refused() {
    let outcome = run(&[FLAT, FLAT], request(OrderRequest::new(InstrumentId(7), shares(1), OrderKind::Market)), vec![]);
    assert_eq!(outcome.refusals(), [engine::Refusal::UnknownInstrument]);
}
