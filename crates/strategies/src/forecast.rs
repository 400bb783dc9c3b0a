//! Trades a model's forecast: enters where it gives an entry a good chance, and leaves at a profit target or a stop.
//!
//! The model's labels ask what this rule does: whether the target, a fraction of the close of the decision, is reached
//! before the stop. The entry itself fills at the next open, the first price after the decision.
//!
//! The exits are at prices that an order may name ([`domain::tick`]), so that a venue works those that were tested.

use domain::{
    Bar, Bracket, Decisions, Fill, InstrumentId, OrderKind, OrderRequest, Price, Quantity, Ratio, Signal, StopLoss,
    Strategy, TimeInForce, Toward, View,
};
use models::{Forecast, Window};
use serde::{Deserialize, Serialize};

/// How a position is closed.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exits {
    /// By a limit and a stop that work during the session, at fractions of the close of the decision.
    #[default]
    Bracket,
    /// At the open after a close beyond target or stop, at fractions of the price paid, as the reference had it.
    Close,
}

/// From where on it enters and leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Least probability for a long entry.
    pub long_threshold: f64,
    /// Least probability for a short entry.
    pub short_threshold: f64,
    /// Profit that closes.
    pub target: f64,
    /// Loss that closes.
    pub stop: f64,
}

/// What is remembered of an instrument.
#[derive(Debug, Clone)]
struct Instrument {
    window: Window,
    held: Quantity,
    /// Mean price of what is held, in shares of today.
    paid: f64,
}

/// Trades a model's forecast.
#[derive(Debug, Clone)]
pub struct ForecastRule {
    model: Forecast,
    levels: Levels,
    size: Quantity,
    exits: Exits,
    instruments: Vec<Instrument>,
}

impl ForecastRule {
    /// `size` shares either way, for `instruments` instruments.
    #[must_use]
    pub fn new(model: Forecast, levels: Levels, size: Quantity, exits: Exits, instruments: usize) -> Self {
        let one = Instrument { window: Window::new(model.card().features), held: Quantity::ZERO, paid: 0.0 };
        Self { model, levels, size, exits, instruments: vec![one; instruments] }
    }

    fn enter(&self, bar: &Bar, side: i64, decisions: &mut Decisions) {
        let quantity = if side > 0 { self.size } else { self.size.neg() };
        // The exits trade to the other side.
        let toward = Toward::of(quantity.neg());
        let at =
            |fraction: f64| Price::from_f64(bar.close.to_f64() * (1.0 + side as f64 * fraction))?.on_tick(toward).ok();
        let request = OrderRequest::new(bar.instrument, quantity, OrderKind::Market);
        let bracket = match (self.exits, at(self.levels.target), at(-self.levels.stop)) {
            (Exits::Close, ..) => None,
            (Exits::Bracket, Some(target), Some(stop)) => {
                Some(Bracket { take_profit: Some(target), stop_loss: Some(StopLoss::At(stop)) })
            }
            // A price that cannot be named cannot be protected.
            (Exits::Bracket, ..) => return,
        };
        // What the next session does not fill is decided anew at its close.
        decisions.orders.push(OrderRequest { time_in_force: TimeInForce::Day, bracket, ..request });
    }
}

impl Strategy for ForecastRule {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let Some(one) = self.instruments.get_mut(bar.instrument.index()) else { return };
        let close = bar.close.to_f64();
        one.window.push(close);
        let position = view.position(bar.instrument);
        if self.exits == Exits::Close && !position.is_zero() && one.paid > 0.0 {
            let gain = (close / one.paid - 1.0) * position.signum() as f64;
            if gain >= self.levels.target || gain <= -self.levels.stop {
                decisions.target(bar.instrument, Quantity::ZERO);
            }
        }
        let Some(row) = one.window.row() else { return };
        // A model that gives no probabilities wants no entry.
        let [long, short] = self.model.probabilities(&row).unwrap_or_default().map(f64::from);
        decisions.signals.push(Signal { instrument: bar.instrument, value: long - short });
        let on_its_way = view.working.get(bar.instrument.index()).copied().unwrap_or_default();
        if !position.is_zero() || !on_its_way.is_zero() {
            return;
        }
        if long >= self.levels.long_threshold && long >= short {
            self.enter(bar, 1, decisions);
        } else if short >= self.levels.short_threshold && short > long {
            self.enter(bar, -1, decisions);
        }
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        if let Some(one) = self.instruments.get_mut(instrument.index()) {
            one.window.split(ratio);
            one.paid *= ratio.denominator() as f64 / ratio.numerator() as f64;
            one.held = ratio.quantity(one.held).unwrap_or(one.held);
        }
    }

    fn on_fill(&mut self, fill: &Fill) {
        let Some(one) = self.instruments.get_mut(fill.instrument.index()) else { return };
        let Ok(held) = one.held.add(fill.quantity) else { return };
        let grew = held.abs() > one.held.abs();
        if held.signum() != one.held.signum() {
            one.paid = fill.price.to_f64();
        } else if grew {
            let (before, now) = (one.held.to_f64(), fill.quantity.to_f64());
            one.paid = (one.paid * before + fill.price.to_f64() * now) / (before + now);
        }
        one.held = held;
    }
}
