//! Holds equity against a ladder of limits: warn, reduce only, cancel, flatten. Figures that are missing break it.

use std::fmt;

use domain::Money;
use engine::Mode;
use serde::Deserialize;

/// What is done about a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// People are told.
    Warn,
    /// The strategy is told.
    Control(Mode),
}

impl Step {
    /// As it stands in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warn | Self::Control(Mode::Normal) => "warn",
            Self::Control(Mode::ReduceOnly) => "reduce_only",
            Self::Control(Mode::Cancel) => "cancel",
            Self::Control(Mode::Flatten) => "flatten",
        }
    }
}

/// The fractions at which something is done; any may be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladder {
    /// People are told.
    pub warn: Option<f64>,
    /// And only what reduces positions is allowed.
    pub reduce_only: Option<f64>,
    /// And what works is cancelled.
    pub cancel: Option<f64>,
    /// And everything is closed.
    pub flatten: Option<f64>,
}

impl Ladder {
    fn steps(&self) -> [(Step, Option<f64>); 4] {
        [
            (Step::Warn, self.warn),
            (Step::Control(Mode::ReduceOnly), self.reduce_only),
            (Step::Control(Mode::Cancel), self.cancel),
            (Step::Control(Mode::Flatten), self.flatten),
        ]
    }

    /// Whether its fractions are fractions, in order.
    ///
    /// # Errors
    /// One sentence that names the first that is not; `what` is the ladder's name.
    pub fn check(&self, what: &str) -> Result<(), String> {
        let mut before = 0.0;
        for (step, at) in self.steps() {
            let Some(at) = at else { continue };
            if !(at > 0.0 && at <= 1.0) {
                let name = step.name();
                return Err(format!(
                    "{what}.{name} is {at}; it must be a fraction of the equity, more than 0 and at most 1"
                ));
            }
            if at < before {
                return Err(format!("{what}.{} is {at}, less than a milder step; put the steps in order", step.name()));
            }
            before = at;
        }
        Ok(())
    }

    /// The strictest step that a loss has reached, with its limit.
    #[must_use]
    pub fn reached(&self, loss: f64) -> Option<(Step, f64)> {
        self.steps().into_iter().rev().find_map(|(step, at)| at.filter(|at| loss >= *at).map(|at| (step, at)))
    }
}

/// The limits of a guardian.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladders {
    /// Loss of a session, as a fraction of the equity it began with.
    pub daily_loss: Ladder,
    /// Distance from the highest equity, as a fraction of it.
    pub drawdown: Ladder,
}

impl Ladders {
    /// No limits.
    #[must_use]
    pub fn none() -> Self {
        Self { daily_loss: Ladder::default(), drawdown: Ladder::default() }
    }
}

impl Default for Ladders {
    fn default() -> Self {
        let ladder = |warn, reduce_only, flatten| Ladder {
            warn: Some(warn),
            reduce_only: Some(reduce_only),
            cancel: None,
            flatten: Some(flatten),
        };
        Self { daily_loss: ladder(0.03, 0.05, 0.10), drawdown: ladder(0.15, 0.25, 0.40) }
    }
}

/// A limit that is broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    /// What is done.
    pub step: Step,
    /// What is wrong, with figures.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.name(), self.what)
    }
}

/// Watches one account.
#[derive(Debug, Clone, Default)]
pub struct Guardian {
    ladders: Ladders,
    at_open: Option<f64>,
    peak: Option<f64>,
    /// The strictest step told of this session's loss, of the fall from the peak, and of missing figures.
    told: [Option<u8>; 3],
}

const DAILY: usize = 0;
const DRAWDOWN: usize = 1;
const MISSING: usize = 2;

impl Guardian {
    /// With these limits.
    #[must_use]
    pub fn new(ladders: Ladders) -> Self {
        Self { ladders, ..Self::default() }
    }

    /// A session opens with so much.
    pub fn opened(&mut self, equity: Money) {
        self.at_open = Some(equity.to_f64());
        self.told[DAILY] = None;
    }

    /// Tells again what it has told: after a restart nobody may have heard it.
    pub fn forget(&mut self) {
        self.told = [None; 3];
    }

    /// Judges the equity, or that there is none to be had. A breach is told when it is new or stricter than before: of a
    /// session's loss since the open, of the drawdown since the last peak.
    pub fn judge(&mut self, equity: Option<Money>) -> Option<Breach> {
        let Some(equity) = equity.map(Money::to_f64) else {
            let breach = Breach { step: Step::Control(Mode::Flatten), what: "there are no figures".to_owned() };
            return self.tell(MISSING, breach);
        };
        self.told[MISSING] = None;
        if self.peak.is_none_or(|peak| equity > peak) {
            self.peak = Some(equity);
            self.told[DRAWDOWN] = None;
        }
        let at_open = *self.at_open.get_or_insert(equity);
        let loss = |from: f64| if from > 0.0 { 1.0 - equity / from } else { 1.0 };
        let judged = [
            (DAILY, "the session lost", self.ladders.daily_loss, loss(at_open)),
            (DRAWDOWN, "the drawdown is", self.ladders.drawdown, loss(self.peak.unwrap_or(equity))),
        ];
        let mut worst: Option<Breach> = None;
        for (which, words, ladder, loss) in judged {
            let Some((step, at)) = ladder.reached(loss) else { continue };
            let what = format!("{words} {:.2} % of the equity, and {:.2} % is the limit", loss * 100.0, at * 100.0);
            let Some(breach) = self.tell(which, Breach { step, what }) else { continue };
            if worst.as_ref().is_none_or(|worst| rank(breach.step) > rank(worst.step)) {
                worst = Some(breach);
            }
        }
        worst
    }

    fn tell(&mut self, which: usize, breach: Breach) -> Option<Breach> {
        let rank = rank(breach.step);
        if self.told[which].is_some_and(|told| told >= rank) {
            return None;
        }
        self.told[which] = Some(rank);
        Some(breach)
    }
}

fn rank(step: Step) -> u8 {
    match step {
        Step::Warn => 0,
        Step::Control(mode) => 1 + mode as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    #[test]
    fn the_steps_come_in_order_and_each_is_told_once() {
        let mut guardian = Guardian::new(Ladders::default());
        guardian.opened(money("100"));
        let told = ["100", "98", "96.5", "96.4", "94", "93", "89", "88"]
            .map(|equity| guardian.judge(Some(money(equity))).map(|breach| breach.step.name()));
        assert_eq!(told, [None, None, Some("warn"), None, Some("reduce_only"), None, Some("flatten"), None]);
    }

    #[test]
    fn a_slow_loss_breaks_the_drawdown() {
        let mut guardian = Guardian::new(Ladders::default());
        let mut told = Vec::new();
        for equity in (58..=100).rev() {
            let equity = Money::from_units(equity * Money::UNITS);
            guardian.opened(equity);
            told.extend(guardian.judge(Some(equity)));
        }
        assert_eq!(
            told.first().map(|breach| breach.what.as_str()),
            Some("the drawdown is 15.00 % of the equity, and 15.00 % is the limit")
        );
        assert_eq!(told.last().map(|breach| breach.step), Some(Step::Control(Mode::Flatten)));
        assert_eq!(told.len(), 3, "each step once, however long it stays broken");
    }

    #[test]
    fn no_figures_and_no_money_are_breaches() {
        let mut guardian = Guardian::new(Ladders::default());
        assert_eq!(guardian.judge(None).map(|breach| breach.step), Some(Step::Control(Mode::Flatten)));
        let mut guardian = Guardian::new(Ladders::default());
        guardian.opened(money("100"));
        assert_eq!(guardian.judge(Some(money("-1"))).map(|breach| breach.step), Some(Step::Control(Mode::Flatten)));
    }
}
