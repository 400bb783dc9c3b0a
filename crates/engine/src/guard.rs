//! What stands in the way of new exposure beside the figures of single orders: what a person or the guardian said,
//! prices that nobody hears of any more, books that differ from the broker's, losses, and a strategy that repeats
//! itself.
//!
//! All of it comes with events, so that it survives a restart: the journal is replayed.

use std::collections::VecDeque;

use domain::{InstrumentId, Money, Order, OrderKind, Overflow, Quantity, Ratio, TimeInForce, Timestamp};
use serde::{Deserialize, Serialize};

use crate::risk::{Limits, Refusal};

/// What may still be done, the strictest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Anything.
    #[default]
    Normal,
    /// Only what brings positions towards flat.
    ReduceOnly,
    /// Nothing new; what works is cancelled, positions stay. Also read as `halt`.
    #[serde(alias = "halt")]
    Cancel,
    /// What works is cancelled and every position closed.
    Flatten,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::ReduceOnly => "reduce-only",
            Self::Cancel => "cancel",
            Self::Flatten => "flatten",
        })
    }
}

/// The wanted position, or what of it lies between flat and the position held.
#[must_use]
pub fn towards_flat(wanted: Quantity, held: Quantity) -> Quantity {
    match (held.signum() * wanted.signum() > 0, wanted.abs() > held.abs()) {
        (false, _) => Quantity::ZERO,
        (true, true) => held,
        (true, false) => wanted,
    }
}

/// What makes an order the same as another.
type Likeness = (InstrumentId, Quantity, OrderKind, TimeInForce);

/// State that new exposure is judged against, beside the account.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    pub(crate) mode: Mode,
    disputed: Option<Timestamp>,
    /// Of each position, what the broker counts beyond ours and nobody has accepted.
    unaccepted: Vec<Quantity>,
    pub(crate) throttled: bool,
    /// Since when, by instrument.
    stale: Vec<Option<Timestamp>>,
    now: Timestamp,
    ordered: VecDeque<(Timestamp, Likeness)>,
    cancelled: VecDeque<Timestamp>,
    executions: u32,
    at_open: Option<Money>,
    peak: Option<Money>,
}

/// A minute, over which rates are counted.
const MINUTE: i64 = 60_000_000_000;

impl Guard {
    pub(crate) fn new(instruments: usize) -> Self {
        Self { stale: vec![None; instruments], unaccepted: vec![Quantity::ZERO; instruments], ..Self::default() }
    }

    /// What may still be done.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the books differed from the broker's and nobody has accepted it yet.
    #[must_use]
    pub fn disputed(&self) -> bool {
        self.disputed.is_some()
    }

    /// Whether the strategy has repeated itself too often and waits for a person.
    #[must_use]
    pub fn throttled(&self) -> bool {
        self.throttled
    }

    /// Whether prices of an instrument cannot be relied on.
    #[must_use]
    pub fn stale(&self, instrument: InstrumentId) -> bool {
        self.stale.get(instrument.index()).is_none_or(Option::is_some)
    }

    /// Latest time of any event.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Lost since the session opened; negative when won.
    pub(crate) fn session_loss(&self, equity: Money) -> Option<Money> {
        self.at_open.and_then(|at_open| at_open.sub(equity).ok())
    }

    pub(crate) fn moved(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    pub(crate) fn set_stale(&mut self, instrument: InstrumentId, stale: bool) {
        if let Some(known) = self.stale.get_mut(instrument.index()) {
            *known = stale.then(|| known.unwrap_or(self.now));
        }
    }

    pub(crate) fn dispute(&mut self) {
        self.disputed.get_or_insert(self.now);
    }

    pub(crate) fn accept(&mut self) {
        self.disputed = None;
        self.unaccepted.fill(Quantity::ZERO);
    }

    /// Why a strategy may not give away more of a position than its own part of it.
    pub(crate) fn dispute_of(&self, instrument: InstrumentId) -> Option<Refusal> {
        let part = self.unaccepted.get(instrument.index()).is_some_and(|part| !part.is_zero());
        self.disputed.filter(|_| part).map(|since| Refusal::BooksDiffer { since })
    }

    /// Of a position, the part that is not somebody else's as long as nobody has accepted it.
    pub(crate) fn own_part(&self, instrument: InstrumentId, position: Quantity) -> Result<Quantity, Overflow> {
        let unaccepted = self.unaccepted.get(instrument.index()).copied().unwrap_or_default();
        Ok(towards_flat(position.sub(unaccepted)?, position))
    }

    /// The broker counts another position, of which so much is ours.
    pub(crate) fn counted(
        &mut self,
        instrument: InstrumentId,
        theirs: Quantity,
        own: Quantity,
    ) -> Result<(), Overflow> {
        if let Some(unaccepted) = self.unaccepted.get_mut(instrument.index()) {
            *unaccepted = theirs.sub(towards_flat(own, theirs))?;
        }
        Ok(())
    }

    pub(crate) fn split(&mut self, instrument: InstrumentId, ratio: Ratio) -> Result<(), Overflow> {
        if let Some(unaccepted) = self.unaccepted.get_mut(instrument.index()) {
            *unaccepted = ratio.quantity(*unaccepted)?;
        }
        Ok(())
    }

    pub(crate) fn opened(&mut self, equity: Money) {
        self.at_open = Some(equity);
        self.valued(equity);
    }

    pub(crate) fn valued(&mut self, equity: Money) {
        self.peak = Some(self.peak.map_or(equity, |peak| peak.max(equity)));
    }

    pub(crate) fn ordered(&mut self, order: &Order, limits: &Limits) {
        let window = i64::from(limits.duplicate_window_s.unwrap_or(0)) * 1_000_000_000;
        if window == 0 && limits.orders_per_minute_max.is_none() {
            return;
        }
        let keep = window.max(MINUTE);
        while self.ordered.front().is_some_and(|(at, _)| self.now.nanos() - at.nanos() > keep) {
            self.ordered.pop_front();
        }
        self.ordered.push_back((self.now, likeness(order)));
    }

    pub(crate) fn cancelled(&mut self, limits: &Limits) {
        if limits.cancels_per_minute_max.is_none() {
            return;
        }
        while self.cancelled.front().is_some_and(|at| self.now.nanos() - at.nanos() > MINUTE) {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(self.now);
    }

    /// Counts an execution; says how many there have been when that is one too many.
    pub(crate) fn executed(&mut self, limits: &Limits) -> Option<(u32, u32)> {
        let max = limits.repeated_executions_max?;
        self.executions = self.executions.saturating_add(1);
        if self.executions < max || self.throttled {
            return None;
        }
        self.throttled = true;
        Some((self.executions, max))
    }

    pub(crate) fn reenable(&mut self) {
        self.throttled = false;
        self.executions = 0;
    }

    /// What of all this bars an order that may build a position.
    pub(crate) fn bars(&self, order: &Order, limits: &Limits, equity: Money) -> Option<Refusal> {
        if self.mode != Mode::Normal {
            return Some(Refusal::NotNow { mode: self.mode });
        }
        if self.throttled {
            return Some(Refusal::Throttled { executions: self.executions });
        }
        if let Some(since) = self.disputed {
            return Some(Refusal::BooksDiffer { since });
        }
        if let Some(since) = self.stale.get(order.instrument.index()).copied().flatten() {
            return Some(Refusal::StalePrices { since });
        }
        let since = |at: Timestamp| self.now.nanos() - at.nanos();
        if let Some(max) = limits.orders_per_minute_max
            && self.ordered.iter().filter(|(at, _)| since(*at) < MINUTE).count() >= max as usize
        {
            return Some(Refusal::TooManyOrdersAMinute { max });
        }
        if let Some(max) = limits.cancels_per_minute_max
            && self.cancelled.iter().filter(|at| since(**at) < MINUTE).count() >= max as usize
        {
            return Some(Refusal::TooManyCancelsAMinute { max });
        }
        if let Some(window_s) = limits.duplicate_window_s {
            let window = i64::from(window_s) * 1_000_000_000;
            let this = likeness(order);
            if self.ordered.iter().any(|(at, other)| *other == this && since(*at) < window) {
                return Some(Refusal::Duplicate { window_s });
            }
        }
        if let (Some(max), Some(at_open)) = (limits.daily_loss_max, self.at_open)
            && let Ok(loss) = at_open.sub(equity)
            && loss >= max
        {
            return Some(Refusal::DailyLoss { loss, max });
        }
        if let (Some(max), Some(peak)) = (limits.drawdown_max, self.peak)
            && peak.signum() > 0
        {
            let drawdown = 1.0 - equity.to_f64() / peak.to_f64();
            if drawdown >= max {
                return Some(Refusal::Drawdown { drawdown, max });
            }
        }
        None
    }
}

fn likeness(order: &Order) -> Likeness {
    (order.instrument, order.quantity, order.kind, order.time_in_force)
}
