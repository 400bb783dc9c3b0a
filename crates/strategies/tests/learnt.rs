//! The rules that follow a model do what the model says, no more, and their exits are where they should be.
#![allow(clippy::unwrap_used)]

use domain::{
    Bar, Decisions, Fill, InstrumentId, Money, Notional, OrderId, OrderKind, Price, Quantity, Ratio, SessionDate,
    StopLoss, Strategy, Timestamp, View,
};
use models::card::{Architecture, Beside, Calibration, Card, Scaler, VERSION};
use models::features::WIDTH;
use models::weights::{self, Tensor, Tensors};
use models::{FeatureSet, Forecast, LabelRule, Side};
use strategies::{Choice, Chooser, Exits, ForecastRule, Levels, Moment, PolicyRule};

const A: InstrumentId = InstrumentId(0);

fn shares(count: i64) -> Quantity {
    Quantity::whole(count).unwrap()
}

/// A model that always says the same two probabilities.
fn model(long: f64, short: f64) -> Forecast {
    let logit = |p: f64| (p / (1.0 - p)).ln() as f32;
    let mut tensors = Tensors::new();
    tensors.insert("fc1.weight".to_owned(), Tensor { shape: vec![2, WIDTH], values: vec![0.0; 2 * WIDTH] });
    tensors.insert("fc1.bias".to_owned(), Tensor { shape: vec![2], values: vec![logit(long), logit(short)] });
    let bytes = weights::write(&tensors).unwrap();
    let features = FeatureSet::default();
    let card = Card {
        layout: VERSION,
        name: "same".to_owned(),
        architecture: Architecture::Mlp { layers: vec![WIDTH, 2] },
        features,
        features_fingerprint: features.fingerprint(),
        scaler: Scaler { mean: vec![0.0; WIDTH], deviation: vec![1.0; WIDTH] },
        calibration: vec![Calibration::default(); 2],
        labels: Some(LabelRule::default()),
        seed: 0,
        trained_on: None,
        config: String::new(),
        metrics: [].into(),
        code_version: String::new(),
        weights: Beside::of("weights.safetensors", &bytes),
    };
    Forecast::new(card, &bytes).unwrap()
}

fn rule(long: f64, short: f64, exits: Exits) -> ForecastRule {
    let levels = Levels { long_threshold: 0.5, short_threshold: 0.5, target: 0.02, stop: 0.015 };
    ForecastRule::new(model(long, short), levels, shares(100), exits, 1)
}

/// Shows one bar that closes at a price, with a position held and one on its way.
fn show(rule: &mut dyn Strategy, day: i32, close: f64, held: i64, on_its_way: i64) -> Decisions {
    let price = Price::from_f64(close).unwrap();
    let session = SessionDate::from_days(day);
    let bar = Bar { instrument: A, session, open: price, high: price, low: price, close: price, volume: 1 };
    let view = View {
        at: Timestamp::from_nanos(0),
        cash: Money::ZERO,
        net_value: Notional::ZERO,
        positions: &[shares(held)],
        working: &[shares(on_its_way)],
    };
    let mut decisions = Decisions::default();
    rule.on_bar(&bar, &view, &mut decisions);
    decisions
}

/// Sixteen bars, after which the next one has a row.
fn warmed(mut rule: ForecastRule) -> ForecastRule {
    for day in 0..16 {
        assert!(show(&mut rule, day, 100.0, 0, 0).is_empty(), "there is no row yet");
    }
    rule
}

fn filled(rule: &mut dyn Strategy, quantity: i64, price: f64) {
    let price = Price::from_f64(price).unwrap();
    rule.on_fill(&Fill {
        order: OrderId(1),
        instrument: A,
        session: SessionDate::from_days(0),
        quantity: shares(quantity),
        price,
        fee: Money::ZERO,
    });
}

#[test]
fn an_entry_has_its_target_and_stop_at_fractions_of_the_close() {
    for (long, short, quantity, target, stop) in [(0.6, 0.4, 100, 102.0, 98.5), (0.4, 0.6, -100, 98.0, 101.5)] {
        let mut rule = warmed(rule(long, short, Exits::Bracket));
        let decisions = show(&mut rule, 16, 100.0, 0, 0);
        let [order] = decisions.orders.as_slice() else { panic!("one order: {decisions:?}") };
        assert_eq!((order.quantity, order.kind), (shares(quantity), OrderKind::Market));
        let bracket = order.bracket.unwrap();
        assert_eq!(bracket.take_profit, Price::from_f64(target));
        assert_eq!(bracket.stop_loss, Some(StopLoss::At(Price::from_f64(stop).unwrap())));
        assert!((decisions.signals[0].value - (long - short)).abs() < 1e-6);
    }
}

#[test]
fn exits_are_at_prices_that_an_order_may_name_stops_no_later_and_limits_no_worse() {
    for (close, long, quantity, target, stop) in [
        // 139.19175 and 134.4155625; 133.73325 and 138.5094375.
        (136.4625, 0.9, 100, "139.2", "134.42"),
        (136.4625, 0.1, -100, "133.73", "138.5"),
        // Cents from 1 dollar on: 1.00368 and 0.96924; 0.96432 and 0.99876.
        (0.984, 0.9, 100, "1.01", "0.9693"),
        (0.984, 0.1, -100, "0.9643", "0.9987"),
    ] {
        let mut rule = warmed(rule(long, 1.0 - long, Exits::Bracket));
        let decisions = show(&mut rule, 16, close, 0, 0);
        let [order] = decisions.orders.as_slice() else { panic!("one order: {decisions:?}") };
        assert_eq!(order.quantity, shares(quantity));
        let bracket = order.bracket.unwrap();
        assert_eq!(bracket.take_profit.unwrap().to_string(), target, "{close}");
        assert_eq!(bracket.stop_loss, Some(StopLoss::At(Price::parse(stop).unwrap())), "{close}");
    }
    // A short's target would be at 0.00001: an entry without its exits is none.
    assert!(show(&mut warmed(rule(0.1, 0.9, Exits::Bracket)), 16, 0.0001, 0, 0).orders.is_empty());
}

#[test]
fn it_enters_only_above_its_threshold_and_only_when_it_holds_nothing() {
    let mut unsure = warmed(rule(0.49, 0.48, Exits::Bracket));
    assert!(show(&mut unsure, 16, 100.0, 0, 0).orders.is_empty());
    let mut sure = warmed(rule(0.9, 0.1, Exits::Bracket));
    for (held, on_its_way) in [(100, 0), (-100, 0), (0, 100)] {
        let decisions = show(&mut sure, 16, 100.0, held, on_its_way);
        assert!(decisions.orders.is_empty() && decisions.signals.len() == 1, "{decisions:?}");
    }
}

#[test]
fn the_references_exits_close_after_a_close_beyond_target_or_stop_of_what_was_paid() {
    for (quantity, paid, stays, leaves) in
        [(100, 50.0, [50.9, 49.3], [51.01, 49.24]), (-100, 50.0, [49.1, 50.7], [48.99, 50.76])]
    {
        let mut rule = warmed(rule(0.1, 0.1, Exits::Close));
        filled(&mut rule, quantity, paid);
        for close in stays {
            assert!(show(&mut rule, 16, close, quantity, 0).targets.is_empty(), "{quantity} at {close}");
        }
        for close in leaves {
            let targets = show(&mut rule, 17, close, quantity, 0).targets;
            assert!(targets.len() == 1 && targets[0].quantity.is_zero(), "{quantity} at {close}");
        }
    }
}

#[test]
fn a_split_moves_what_was_paid_and_an_addition_averages_it() {
    let mut rule = warmed(rule(0.1, 0.1, Exits::Close));
    filled(&mut rule, 50, 98.0);
    filled(&mut rule, 50, 102.0);
    rule.on_split(A, Ratio::new(2, 1).unwrap());
    assert!(show(&mut rule, 16, 50.9, 200, 0).targets.is_empty());
    assert_eq!(show(&mut rule, 17, 51.01, 200, 0).targets.len(), 1);
}

/// Chooses what it is told.
struct Told(Side);

impl Chooser for Told {
    fn choose(&mut self, _: &Moment<'_>) -> Choice {
        Choice { side: self.0, signal: 0.25 }
    }
}

#[test]
fn a_policy_trades_only_where_the_side_changes() {
    let wanted = |side, held, on_its_way| {
        let mut rule = PolicyRule::new(Told(side), FeatureSet::default(), shares(100), 1);
        for day in 0..16 {
            assert!(show(&mut rule, day, 100.0, held, on_its_way).is_empty());
        }
        let decisions = show(&mut rule, 16, 100.0, held, on_its_way);
        assert_eq!(decisions.signals[0].value, 0.25);
        decisions.targets.first().map(|target| target.quantity)
    };
    assert_eq!(wanted(Side::Long, 0, 0), Some(shares(100)));
    assert_eq!(wanted(Side::Short, 100, 0), Some(shares(-100)));
    assert_eq!(wanted(Side::Flat, -100, 0), Some(Quantity::ZERO));
    assert_eq!(wanted(Side::Flat, 0, 0), None);
    // A split has doubled what is held, or the order is still on its way: the side is the same.
    assert_eq!(wanted(Side::Long, 200, 0), None);
    assert_eq!(wanted(Side::Long, 0, 100), None);
    assert_eq!(wanted(Side::Flat, 100, -100), None);
}
