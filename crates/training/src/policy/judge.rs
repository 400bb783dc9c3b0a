//! Holds a policy against what needs no learning: buying and holding, and doing what it does at other times.
//!
//! A random policy here is the policy's own row of sides, turned around by a random number of sessions for each symbol:
//! as many turns, as long in the market on either side, but no timing. A policy whose timing is worth something earns
//! more than most of them.

use std::collections::VecDeque;

use algotrading::backtest::Prepared;
use anyhow::Result;
use domain::Quantity;
use models::Policy;
use models::policy::{SIDES, Side};
use report::Rates;
use serde::Serialize;
use strategies::{Choice, Chooser, Likeliest, Moment, PolicyRule};

use crate::random::Random;

/// Random policies that it is held against.
pub const RANDOM: usize = 100;
/// Stream of their seed.
const PURPOSE: u64 = 2;

/// What trading a span came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Standing {
    /// Growth of the account, as a fraction.
    pub gain: f64,
    /// Yearly Sharpe ratio; nothing when the account never moved.
    pub sharpe: Option<f64>,
    /// Deepest fall from a peak, as a fraction, not above zero.
    pub drawdown: f64,
}

/// A span as a policy traded it, and others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Which span.
    pub part: &'static str,
    /// The policy.
    pub policy: Standing,
    /// As many shares of every symbol, held throughout.
    pub hold: Standing,
    /// Mean of the random policies.
    pub random: Standing,
    /// Share of the random policies that gained less.
    pub beaten: f64,
    /// Share of decisions that changed the side.
    pub turns: f64,
    /// Share of decisions to be short, flat and long.
    pub sides: [f64; 3],
}

/// Judges a policy on a span that was prepared for it.
///
/// # Errors
/// A figure that does not fit its type.
pub fn judge(part: &'static str, prepared: &Prepared, policy: &Policy, size: Quantity) -> Result<Judgement> {
    let features = policy.card().features;
    let instruments = prepared.config.data.symbols.len();
    let trade = |chooser: &mut dyn Chooser| -> Result<Standing> {
        let (run, _) = prepared.collected(PolicyRule::new(chooser, features, size, instruments))?;
        let metrics = report::metrics(&run, None, Rates { risk_free_per_period: 0.0, periods_per_year: 252.0 });
        let number = |name: &str| metrics.number(name);
        Ok(Standing {
            gain: number("cum_returns_final").unwrap_or_default(),
            sharpe: number("sharpe_ratio"),
            drawdown: number("max_drawdown").unwrap_or_default(),
        })
    };
    let mut watched = Watched { inner: Likeliest::new(policy.clone(), instruments), sides: vec![vec![]; instruments] };
    let own = trade(&mut watched)?;
    let sides = watched.sides;
    let hold = trade(&mut Always(Side::Long))?;
    let mut random = Random::new(policy.card().seed, PURPOSE);
    let mut others = Vec::with_capacity(RANDOM);
    for _ in 0..RANDOM {
        let turned = |sides: &Vec<Side>| {
            let mut sides = VecDeque::from(sides.clone());
            let by = if sides.is_empty() { 0 } else { random.below(sides.len()) };
            sides.rotate_left(by);
            sides
        };
        others.push(trade(&mut Told(sides.iter().map(turned).collect()))?);
    }
    let count = others.len() as f64;
    let mean = |of: &dyn Fn(&Standing) -> f64| others.iter().map(of).sum::<f64>() / count;
    let sharpes: Option<f64> = others.iter().map(|one| one.sharpe).sum();
    let all = || sides.iter().flatten();
    let decisions = all().count().max(1) as f64;
    let turns: usize = sides.iter().map(|sides| turns(sides)).sum();
    Ok(Judgement {
        part,
        policy: own,
        hold,
        random: Standing {
            gain: mean(&|one| one.gain),
            sharpe: sharpes.map(|sum| sum / count),
            drawdown: mean(&|one| one.drawdown),
        },
        beaten: others.iter().filter(|one| one.gain < own.gain).count() as f64 / count,
        turns: turns as f64 / decisions,
        sides: SIDES.map(|side| all().filter(|one| **one == side).count() as f64 / decisions),
    })
}

/// How often a row of sides that starts flat changes.
fn turns(sides: &[Side]) -> usize {
    let before = std::iter::once(&Side::Flat).chain(sides);
    sides.iter().zip(before).filter(|(side, before)| side != before).count()
}

struct Always(Side);

impl Chooser for Always {
    fn choose(&mut self, _moment: &Moment<'_>) -> Choice {
        Choice { side: self.0, signal: f64::from(self.0.sign()) }
    }
}

/// Writes down the sides that somebody chooses.
struct Watched<C> {
    inner: C,
    sides: Vec<Vec<Side>>,
}

impl<C: Chooser> Chooser for Watched<C> {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        let choice = self.inner.choose(moment);
        self.sides[moment.bar.instrument.index()].push(choice.side);
        choice
    }
}

/// Sides that were chosen before.
struct Told(Vec<VecDeque<Side>>);

impl Chooser for Told {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        let side = self.0[moment.bar.instrument.index()].pop_front().unwrap_or_default();
        Choice { side, signal: f64::from(side.sign()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_count_from_flat() {
        let [short, flat, long] = SIDES;
        assert_eq!(turns(&[]), 0);
        assert_eq!(turns(&[flat, flat]), 0);
        assert_eq!(turns(&[long, long, flat, short]), 3);
    }
}
