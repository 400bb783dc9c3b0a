//! The rules want what a naive computation of their definition wants, over splits too.
#![allow(clippy::unwrap_used)]

use domain::{
    Bar, Decisions, InstrumentId, Money, Notional, Price, Quantity, Ratio, SessionDate, Strategy, Timestamp, View,
};
use proptest::prelude::*;
use strategies::{Channel, ConfigError, Inputs, StrategyConfig, TableRow, TargetTable};

const A: InstrumentId = InstrumentId(0);

fn shares(count: i64) -> Quantity {
    Quantity::whole(count).unwrap()
}

/// Feeds closes in cents; before bar `at` shares split two for one. Every target is reached at once.
fn positions(rule: &mut dyn Strategy, closes: &[i64], at: usize) -> Vec<i64> {
    let mut held = Quantity::ZERO;
    let mut decisions = Decisions::default();
    let mut after = Vec::new();
    for (n, cents) in closes.iter().enumerate() {
        if n == at {
            rule.on_split(A, Ratio::new(2, 1).unwrap());
        }
        let close = Price::from_units(cents * if n >= at { 5_000_000 } else { 10_000_000 });
        let session = SessionDate::from_days(n as i32);
        let bar = Bar { instrument: A, session, open: close, high: close, low: close, close, volume: 1 };
        let view = View {
            at: Timestamp::from_nanos(0),
            cash: Money::ZERO,
            net_value: Notional::ZERO,
            positions: &[held],
            working: &[Quantity::ZERO],
        };
        rule.on_bar(&bar, &view, &mut decisions);
        held = decisions.targets.last().map_or(held, |target| target.quantity);
        decisions.clear();
        after.push(held.units() / Quantity::UNITS);
    }
    after
}

fn side(held: i64, above: bool, below: bool) -> i64 {
    match held {
        0 if above => 100,
        0 => -100,
        100 if below => -100,
        -100 if above => 100,
        held => held,
    }
}

#[test]
fn the_first_decision_needs_as_many_bars_as_the_rule_says() {
    let size = shares(100);
    for rule in [
        StrategyConfig::Sma { fast: 3, slow: 7, size },
        StrategyConfig::Ema { fast: 3, slow: 7, size },
        StrategyConfig::Breakout { period: 7, size, channel: Channel::Close },
        StrategyConfig::Breakout { period: 7, size, channel: Channel::HighLow },
    ] {
        // A price that rises every day is above every average and channel.
        let held = positions(&mut *rule.build(1, Inputs::default()).unwrap(), &(1..40).collect::<Vec<_>>(), 100);
        assert_eq!(held.iter().position(|held| *held == 100).unwrap() + 1, rule.bars_needed(), "{rule:?}");
    }
}

proptest! {
    #[test]
    fn sma_is_the_crossover_of_two_means(closes in prop::collection::vec(1_i64..50_000, 1..80), fast in 1_usize..6, more in 1_usize..12, at in 0_usize..100) {
        let slow = fast + more;
        let mut rule = StrategyConfig::Sma { fast, slow, size: shares(100) }.build(1, Inputs::default()).unwrap();
        let mut held = 0;
        let wanted: Vec<i64> = (1..=closes.len()).map(|end| {
            if end >= slow {
                // Means over a common denominator.
                let mean = |n: usize, other: usize| closes[end - n..end].iter().sum::<i64>() * other as i64;
                let (quick, long) = (mean(fast, slow), mean(slow, fast));
                held = side(held, quick > long, quick < long);
            }
            held
        }).collect();
        prop_assert_eq!(positions(&mut *rule, &closes, at), wanted);
    }

    #[test]
    fn ema_is_the_crossover_of_two_recursions(closes in prop::collection::vec(1_i64..50_000, 1..80), fast in 1_usize..6, more in 1_usize..12, at in 0_usize..100) {
        let slow = fast + more;
        let mut rule = StrategyConfig::Ema { fast, slow, size: shares(100) }.build(1, Inputs::default()).unwrap();
        let ema = |n: usize, end: usize| {
            let seed = closes[..n].iter().sum::<i64>() as f64 / n as f64;
            let weight = 2.0 / (n as f64 + 1.0);
            closes[n..end].iter().fold(seed, |value, close| value + weight * (*close as f64 - value))
        };
        let got = positions(&mut *rule, &closes, at);
        let mut held = 0;
        for end in slow..=closes.len() {
            let (quick, long) = (ema(fast, end), ema(slow, end));
            // Within rounding of a tie either side is right.
            held = if (quick - long).abs() < 1e-6 * long { got[end - 1] } else { side(held, quick > long, quick < long) };
            prop_assert_eq!(got[end - 1], held);
        }
    }

    #[test]
    fn breakout_leaves_the_channel_and_comes_back(closes in prop::collection::vec(1_i64..500, 1..80), period in 1_usize..10, at in 0_usize..100) {
        let config = StrategyConfig::Breakout { period, size: shares(100), channel: Channel::Close };
        let mut rule = config.build(1, Inputs::default()).unwrap();
        let mut held = 0;
        let wanted: Vec<i64> = (0..closes.len()).map(|n| {
            if n >= period {
                let before = &closes[n - period..n];
                let (top, bottom) = (*before.iter().max().unwrap(), *before.iter().min().unwrap());
                held = match held {
                    0 if closes[n] > top => 100,
                    0 if closes[n] < bottom => -100,
                    100 if closes[n] < top => 0,
                    -100 if closes[n] > bottom => 0,
                    held => held,
                };
            }
            held
        }).collect();
        prop_assert_eq!(positions(&mut *rule, &closes, at), wanted);
    }
}

#[test]
fn a_table_counts_from_its_date_or_the_next_session_and_follows_splits() {
    let row = |day, count| TableRow { session: SessionDate::from_days(day), instrument: A, target: shares(count) };
    let mut table = TargetTable::new(vec![row(3, -5), row(-2, 10), row(1, 20)], 1);
    assert_eq!(positions(&mut table, &[100; 5], 2), [10, 20, 40, -5, -5]);
}

#[test]
fn a_row_between_two_sessions_follows_the_split_of_the_second_and_a_row_of_that_day_is_in_new_shares() {
    let row = |day, count| TableRow { session: SessionDate::from_days(day), instrument: A, target: shares(count) };
    // Sessions on days 0 and 2, a split before the second.
    let on_second = |rows: Vec<TableRow>| {
        let mut table = TargetTable::new(rows, 1);
        let mut decisions = Decisions::default();
        for day in [0, 2] {
            if day == 2 {
                table.on_split(A, Ratio::new(2, 1).unwrap());
            }
            decisions.clear();
            let [open, high, low, close] = [Price::from_units(5_000_000); 4];
            let bar = Bar { instrument: A, session: SessionDate::from_days(day), open, high, low, close, volume: 1 };
            let view = View {
                at: Timestamp::from_nanos(0),
                cash: Money::ZERO,
                net_value: Notional::ZERO,
                positions: &[Quantity::ZERO],
                working: &[Quantity::ZERO],
            };
            table.on_bar(&bar, &view, &mut decisions);
        }
        decisions.targets.last().map(|target| target.quantity)
    };
    assert_eq!(on_second(vec![row(1, 10)]), Some(shares(20)));
    assert_eq!(on_second(vec![row(0, 10)]), Some(shares(20)));
    assert_eq!(on_second(vec![row(2, 10)]), Some(shares(10)));
}

#[test]
fn parameters_that_make_no_sense_are_refused_by_name() {
    let error = |config: StrategyConfig| config.build(1, Inputs::default()).err().unwrap();
    let sma = |fast, slow, size| error(StrategyConfig::Sma { fast, slow, size: shares(size) });
    assert_eq!(sma(0, 5, 1), ConfigError::Period("fast"));
    assert_eq!(sma(5, 100_001, 1), ConfigError::Period("slow"));
    assert_eq!(sma(5, 5, 1), ConfigError::NotFaster { fast: 5, slow: 5 });
    assert_eq!(sma(1, 5, 0), ConfigError::Size);
    assert_eq!(sma(1, 5, -1), ConfigError::Size);
}
