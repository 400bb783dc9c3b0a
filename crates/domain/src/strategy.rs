//! The trait a user implements: bars in, wishes out.

use serde::{Deserialize, Serialize};

use crate::{
    Bar, Bracket, CorporateAction, Fill, InstrumentId, Money, Notional, OrderKind, OrderRequest, Overflow, Quantity,
    Ratio, Timestamp,
};

/// A prediction about an instrument; what it means is the strategy's to say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// About what.
    pub instrument: InstrumentId,
    /// How strong; the sign is the direction.
    pub value: f64,
}

/// A wanted position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// In what.
    pub instrument: InstrumentId,
    /// Long (positive), flat, or short (negative).
    pub quantity: Quantity,
}

/// What a strategy may know when it decides: the account as of the bar it has just been given.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Time of the event.
    pub at: Timestamp,
    /// Cash, short-sale proceeds included.
    pub cash: Money,
    /// Value of all positions at the last known prices.
    pub net_value: Notional,
    /// Position of each instrument.
    pub positions: &'a [Quantity],
    /// Signed quantity still working towards each instrument's target.
    pub working: &'a [Quantity],
}

impl View<'_> {
    /// Position in an instrument; zero when it is unknown.
    #[inline]
    #[must_use]
    pub fn position(&self, instrument: InstrumentId) -> Quantity {
        self.positions.get(instrument.index()).copied().unwrap_or_default()
    }

    /// Cash plus the value of all positions.
    ///
    /// # Errors
    /// [`Overflow`] when the sum does not fit.
    pub fn equity(&self) -> Result<Money, Overflow> {
        Notional::from(self.cash).plus(self.net_value).to_money()
    }
}

/// What a strategy wishes after one bar; reused, so that deciding nothing costs nothing.
#[derive(Debug, Default, Clone)]
pub struct Decisions {
    /// Predictions, recorded as they are.
    pub signals: Vec<Signal>,
    /// Wanted positions; the engine orders the difference at the market.
    pub targets: Vec<Target>,
    /// Explicit orders.
    pub orders: Vec<OrderRequest>,
    /// Instruments whose working orders are to be cancelled first.
    pub cancels: Vec<InstrumentId>,
}

impl Decisions {
    /// Wants a position; the engine sends a market order for what is missing.
    #[inline]
    pub fn target(&mut self, instrument: InstrumentId, quantity: Quantity) {
        self.targets.push(Target { instrument, quantity });
    }

    /// Wants an order that works until cancelled.
    #[inline]
    pub fn order(&mut self, instrument: InstrumentId, quantity: Quantity, kind: OrderKind) {
        self.orders.push(OrderRequest::new(instrument, quantity, kind));
    }

    /// Wants an entry with exits attached.
    #[inline]
    pub fn bracket(&mut self, instrument: InstrumentId, quantity: Quantity, kind: OrderKind, bracket: Bracket) {
        self.orders.push(OrderRequest { bracket: Some(bracket), ..OrderRequest::new(instrument, quantity, kind) });
    }

    /// Wants every working order of an instrument cancelled, before anything else of this step.
    #[inline]
    pub fn cancel_all(&mut self, instrument: InstrumentId) {
        self.cancels.push(instrument);
    }

    /// Whether nothing is wished.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.targets.is_empty() && self.orders.is_empty() && self.cancels.is_empty()
    }

    /// Forgets all wishes, keeping the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.signals.clear();
        self.targets.clear();
        self.orders.clear();
        self.cancels.clear();
    }
}

/// A trading rule.
///
/// Bars come in session order; within a session in the order of the run's symbols. Prices are as printed: when an
/// instrument splits, [`Strategy::on_split`] comes before the first bar in new shares, and whatever the strategy
/// remembers of prices must be divided by the ratio.
pub trait Strategy {
    /// Looks at a bar that has just closed and says what it wants; nothing it wants can fill on this bar.
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions);

    /// Restates remembered prices in new shares: divide them by `ratio`.
    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio);

    /// Learns of an execution.
    fn on_fill(&mut self, _fill: &Fill) {}

    /// Learns of a dividend or a delisting.
    fn on_action(&mut self, _action: &CorporateAction) {}
}

impl<S: Strategy + ?Sized> Strategy for Box<S> {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        (**self).on_bar(bar, view, decisions);
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        (**self).on_split(instrument, ratio);
    }

    fn on_fill(&mut self, fill: &Fill) {
        (**self).on_fill(fill);
    }

    fn on_action(&mut self, action: &CorporateAction) {
        (**self).on_action(action);
    }
}
