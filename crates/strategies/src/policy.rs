//! Is on the side that somebody chooses at each close: a policy, or whoever teaches or judges one.

use domain::{Bar, Decisions, InstrumentId, Quantity, Ratio, Signal, Strategy, View};
use models::features::WIDTH;
use models::lstm::Memory;
use models::policy::likeliest;
use models::{FeatureSet, Policy, Side, Window};

/// What is known when a side is chosen.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The bar that has just closed.
    pub bar: &'a Bar,
    /// The features as of its close.
    pub row: &'a [f32; WIDTH],
    /// The side held or on its way.
    pub held: Side,
    /// The account.
    pub view: &'a View<'a>,
}

/// A side, and how strongly it is wished.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Which.
    pub side: Side,
    /// Recorded as the signal, from -1 to 1.
    pub signal: f64,
}

/// Chooses a side at each close of each instrument.
pub trait Chooser {
    /// The side to be on until the next close.
    fn choose(&mut self, moment: &Moment<'_>) -> Choice;
}

impl<C: Chooser + ?Sized> Chooser for &mut C {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        (**self).choose(moment)
    }
}

/// Is on the side that somebody chooses, with as many shares of each instrument; what is held is left alone while the
/// side stays.
#[derive(Debug, Clone)]
pub struct PolicyRule<C> {
    chooser: C,
    size: Quantity,
    windows: Vec<Window>,
}

impl<C: Chooser> PolicyRule<C> {
    /// `size` shares either way, for `instruments` instruments.
    #[must_use]
    pub fn new(chooser: C, features: FeatureSet, size: Quantity, instruments: usize) -> Self {
        Self { chooser, size, windows: vec![Window::new(features); instruments] }
    }

    /// Who chooses.
    #[must_use]
    pub fn chooser(&self) -> &C {
        &self.chooser
    }
}

impl<C: Chooser> Strategy for PolicyRule<C> {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let Some(window) = self.windows.get_mut(bar.instrument.index()) else { return };
        window.push(bar.close.to_f64());
        let Some(row) = window.row() else { return };
        let on_its_way = view.working.get(bar.instrument.index()).copied().unwrap_or_default();
        let Ok(wanted) = view.position(bar.instrument).add(on_its_way) else { return };
        let held = Side::of(wanted.signum());
        let Choice { side, signal } = self.chooser.choose(&Moment { bar, row: &row, held, view });
        decisions.signals.push(Signal { instrument: bar.instrument, value: signal });
        if side != held {
            let quantity = match side {
                Side::Short => self.size.neg(),
                Side::Flat => Quantity::ZERO,
                Side::Long => self.size,
            };
            decisions.target(bar.instrument, quantity);
        }
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        if let Some(window) = self.windows.get_mut(instrument.index()) {
            window.split(ratio);
        }
    }
}

/// Chooses the side that a policy gives the largest probability.
#[derive(Debug, Clone)]
pub struct Likeliest {
    policy: Policy,
    memories: Vec<Memory>,
}

impl Likeliest {
    /// For `instruments` instruments.
    #[must_use]
    pub fn new(policy: Policy, instruments: usize) -> Self {
        Self { memories: vec![policy.memory(); instruments], policy }
    }
}

impl Chooser for Likeliest {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        let memory = &mut self.memories[moment.bar.instrument.index()];
        let probabilities = self.policy.probabilities(moment.row, moment.held, memory);
        let [short, _, long] = probabilities.map(f64::from);
        Choice { side: likeliest(probabilities), signal: long - short }
    }
}
