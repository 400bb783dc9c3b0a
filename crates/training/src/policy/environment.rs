//! What a policy learns from: our engine and venue, over windows of the past of a symbol.
//!
//! An episode starts flat with the account's cash at some close of some symbol and goes on for so many decisions, with
//! the costs, fills and limits of a backtest. The reward of a decision is what the account gained until the next
//! close, after costs, in percent of the value of a full position.

use algotrading::rows;
use domain::{Bar, Calendar, CorporateAction, InstrumentId, Money, Quantity, SessionDate};
use engine::{Engine, Limits};
use models::FeatureSet;
use models::card::Scaler;
use models::policy::{OBSERVATION, SIDES};
use simulator::{Costs, Market, SimulationError, Venue};
use strategies::{Choice, Chooser, Moment, PolicyRule};

use crate::policy::ppo::log_probabilities;
use crate::policy::recurrent::{Recurrent, Trace};
use crate::random::Random;
use crate::scaler;

/// How an episode is traded.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// What is observed.
    pub features: FeatureSet,
    /// Cash at the start.
    pub cash: Money,
    /// What trading costs.
    pub costs: Costs,
    /// Limits on orders and positions.
    pub limits: Limits,
    /// Shares of a full position.
    pub size: Quantity,
    /// Decisions of an episode.
    pub steps: usize,
    /// Taken off the reward for each percent by which the episode's deepest drawdown deepens.
    pub drawdown_penalty: f64,
}

/// The past of one symbol; its instrument is number 0.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// In the order of their sessions.
    pub bars: Vec<Bar>,
    /// By ex-date.
    pub actions: Vec<CorporateAction>,
    /// Bars that the vendor corrected later.
    pub restated: Vec<Bar>,
}

/// Courses and rules.
#[derive(Debug, Clone)]
pub struct Environment {
    rules: Rules,
    courses: Vec<Course>,
    /// Episodes that start in this course or an earlier one.
    starts: Vec<usize>,
    scaler: Scaler,
}

/// What was seen, done and gained.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Episode {
    /// Observations of the decisions, one after the other.
    pub rows: Vec<f32>,
    /// What was done, as a place in [`SIDES`].
    pub actions: Vec<usize>,
    /// Logarithms of its probabilities.
    pub log_probabilities: Vec<f32>,
    /// What the critic said; once more than there are decisions.
    pub values: Vec<f32>,
    /// What each decision gained.
    pub rewards: Vec<f32>,
    /// How often the side changed.
    pub turns: usize,
}

impl Course {
    /// The courses of a market's symbols up to but not including a date.
    #[must_use]
    pub fn of(
        bars: &[Bar],
        actions: &[CorporateAction],
        restated: &[Bar],
        symbols: usize,
        end: SessionDate,
    ) -> Vec<Self> {
        let mut courses = vec![Self::default(); symbols];
        let one = |bar: &Bar| Bar { instrument: InstrumentId(0), ..*bar };
        for bar in bars.iter().filter(|bar| bar.session < end) {
            courses[bar.instrument.index()].bars.push(one(bar));
        }
        for action in actions.iter().filter(|action| action.ex_date < end) {
            courses[action.instrument.index()].actions.push(CorporateAction { instrument: InstrumentId(0), ..*action });
        }
        for bar in restated.iter().filter(|bar| bar.session < end) {
            courses[bar.instrument.index()].restated.push(one(bar));
        }
        courses
    }

    fn cut(&self, first: usize, count: usize) -> Result<Market, SimulationError> {
        let bars = self.bars[first..first + count].to_vec();
        let (from, to) = (bars[0].session, bars[count - 1].session);
        let actions = self.actions.iter().filter(|action| action.ex_date > from && action.ex_date <= to).copied();
        let restated = self.restated.iter().filter(|bar| bar.session >= from && bar.session <= to).copied();
        Ok(Market::new(Calendar::nyse(), bars, actions.collect(), restated.collect())?)
    }
}

impl Environment {
    /// Episodes in these courses; nothing when none is long enough for one.
    #[must_use]
    pub fn new(rules: Rules, courses: Vec<Course>) -> Option<Self> {
        let of = |course: &Course| rows::features(&rows::printed(&course.bars, &course.actions, 0), rules.features);
        let rows: Vec<_> = courses.iter().flat_map(of).collect();
        let scaler = scaler::standard(rows.iter().map(|(_, row)| row));
        let mut all = 0;
        let needed = bars_needed(&rules);
        let starts = courses.iter().map(|course| {
            all += (course.bars.len() + 1).saturating_sub(needed);
            all
        });
        let starts: Vec<usize> = starts.collect();
        (all > 0).then_some(Self { rules, courses, starts, scaler })
    }

    /// Gives every feature mean 0 and deviation 1 over the courses.
    #[must_use]
    pub fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// Different episodes there are.
    #[must_use]
    pub fn episodes(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    /// The market of an episode.
    ///
    /// # Errors
    /// A bar outside the calendar.
    pub fn market(&self, episode: usize) -> Result<Market, SimulationError> {
        let course = self.starts.partition_point(|end| *end <= episode);
        let before = course.checked_sub(1).map_or(0, |at| self.starts[at]);
        self.courses[course].cut(episode - before, bars_needed(&self.rules))
    }

    /// Lets somebody trade a market.
    ///
    /// # Errors
    /// A figure that does not fit its type.
    pub fn trade<C: Chooser>(&self, market: &Market, chooser: C) -> Result<(), SimulationError> {
        let Rules { features, cash, costs, size, .. } = self.rules;
        let rule = PolicyRule::new(chooser, features, size, 1);
        let mut engine = Engine::new(rule, cash, 1, self.rules.limits.clone());
        simulator::run(Calendar::nyse(), market, &mut engine, &mut Venue::new(costs, 1), &mut ())
    }

    /// One episode at random, with actions drawn from a network.
    ///
    /// # Errors
    /// A figure that does not fit its type.
    pub fn explore(
        &self,
        network: &Recurrent,
        numbers: &[f32],
        mut random: Random,
        trace: &mut Trace<f32>,
    ) -> Result<Episode, SimulationError> {
        let market = self.market(random.below(self.episodes()))?;
        network.start(trace);
        let actor = Actor { network, numbers, trace, random };
        let mut recorder = Recorder::new(self, actor);
        self.trade(&market, &mut recorder)?;
        Ok(recorder.episode)
    }
}

/// Bars of an episode: those that the first row needs, one for each later decision, and the one that shows what the
/// last one gained.
fn bars_needed(rules: &Rules) -> usize {
    rules.features.closes_needed() + rules.steps
}

/// Whoever acts in an episode: from an observation to an action, the logarithm of its probability, and the value of
/// the state.
pub trait Act {
    /// Acts.
    fn act(&mut self, observation: &[f32]) -> (usize, f32, f32);
}

struct Actor<'a> {
    network: &'a Recurrent,
    numbers: &'a [f32],
    trace: &'a mut Trace<f32>,
    random: Random,
}

impl Act for Actor<'_> {
    fn act(&mut self, observation: &[f32]) -> (usize, f32, f32) {
        self.network.forward(self.numbers, observation, self.trace);
        let out = self.trace.out(self.trace.steps() - 1);
        let mut logs = [0.0; SIDES.len()];
        log_probabilities(&out[..SIDES.len()], &mut logs);
        let mut left = self.random.unit() as f32;
        let mut action = SIDES.len() - 1;
        for (at, log) in logs.iter().enumerate() {
            left -= libm::expf(*log);
            if left < 0.0 {
                action = at;
                break;
            }
        }
        (action, logs[action], out[SIDES.len()])
    }
}

/// Writes down what somebody does in an episode and what comes of it.
#[derive(Debug)]
pub struct Recorder<'a, A> {
    environment: &'a Environment,
    actor: A,
    observation: [f32; OBSERVATION],
    /// Equity at the last decision and the value of a full position then.
    before: Option<(f64, f64)>,
    peak: f64,
    deepest: f64,
    /// What was written down.
    pub episode: Episode,
}

impl<'a, A: Act> Recorder<'a, A> {
    /// Before the first decision.
    #[must_use]
    pub fn new(environment: &'a Environment, actor: A) -> Self {
        let observation = [0.0; OBSERVATION];
        let (peak, deepest) = (f64::NEG_INFINITY, 0.0);
        Self { environment, actor, observation, before: None, peak, deepest, episode: Episode::default() }
    }
}

impl<A: Act> Chooser for Recorder<'_, A> {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        let rules = &self.environment.rules;
        // The engine stops on what does not fit.
        let equity = moment.view.equity().unwrap_or_default().to_f64();
        self.peak = self.peak.max(equity);
        let drawdown = self.peak - equity;
        if let Some((before, full)) = self.before {
            let penalty = rules.drawdown_penalty * (drawdown - self.deepest).max(0.0);
            self.episode.rewards.push((100.0 * (equity - before - penalty) / full) as f32);
        }
        self.deepest = self.deepest.max(drawdown);
        self.before = Some((equity, rules.size.to_f64() * moment.bar.close.to_f64()));
        self.environment.scaler.observe(moment.row, moment.held, &mut self.observation);
        let (action, log_probability, value) = self.actor.act(&self.observation);
        self.episode.values.push(value);
        if self.episode.actions.len() == rules.steps {
            return Choice { side: moment.held, signal: 0.0 };
        }
        self.episode.rows.extend_from_slice(&self.observation);
        self.episode.actions.push(action);
        self.episode.log_probabilities.push(log_probability);
        let side = SIDES[action];
        self.episode.turns += usize::from(side != moment.held);
        Choice { side, signal: f64::from(side.sign()) }
    }
}
