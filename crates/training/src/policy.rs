//! The training of a policy: episodes with the network as it is, then some passes over them that make what turned out
//! well more likely.
//!
//! [`environment`] is what it learns from, [`recurrent`] has the network's gradients, [`ppo`] the loss. [`config`] is the
//! training file, [`run`] takes the past from a lake and keeps the model there, [`judge`] holds it against what needs no
//! learning, and [`mod@report`] says how good it is.

pub mod config;
pub mod environment;
pub mod judge;
pub mod ppo;
pub mod recurrent;
pub mod report;
pub mod run;

use serde::{Deserialize, Serialize};
use simulator::SimulationError;

use crate::adam::{self, Adam};
use crate::forecast::fit::{bits, numbers};
use crate::policy::environment::{Environment, Episode};
use crate::policy::ppo::{Objective, Taken, Terms, advantages, clip_length, loss};
use crate::policy::recurrent::{Recurrent, Trace};
use crate::random::Random;
use models::policy::{OBSERVATION, SIDES};

/// Streams of one seed: first numbers, order, and one for each episode.
const FIRST: u64 = 0;
const ORDER: u64 = 1;
const EPISODE: u64 = 1 << 32;

/// How a policy is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Units that remember.
    pub units: usize,
    /// Rounds of episodes and passes.
    pub iterations: usize,
    /// Episodes of a round.
    pub episodes: usize,
    /// Passes over the episodes of a round.
    pub passes: usize,
    /// Episodes of a step.
    pub batch: usize,
    /// Size of the first step; it falls to zero in a straight line.
    pub learning_rate: f64,
    /// What a gain one session later counts.
    pub discount: f64,
    /// How far ahead what came is trusted more than the critic.
    pub lambda: f64,
    /// What weighs how much.
    pub objective: Objective,
    /// Longest gradient.
    pub gradient_max: f64,
    /// Of everything random.
    pub seed: u64,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Mean reward of a decision, in percent of a full position.
    pub reward: f64,
    /// Share of decisions that changed the side.
    pub turns: f64,
    /// Of the distribution of actions; the natural logarithm of 3 is no preference at all.
    pub entropy: f64,
    /// How well the critic foretells gains: 1 is perfectly, 0 no better than their mean.
    pub explained: f64,
    /// How far the distribution of actions moved in the round.
    pub divergence: f64,
}

/// A training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// An episode stopped.
    #[error("an episode stopped")]
    Episode(#[from] SimulationError),
    /// The numbers left the numbers.
    #[error("round {round} gave no number; lower training.learning_rate")]
    Diverged {
        /// Which.
        round: usize,
    },
    /// A checkpoint of something else.
    #[error("the checkpoint is not one of this training; remove it to start again")]
    Checkpoint,
}

/// A training that is under way; [`Job::checkpoint`] and [`Job::resume`] take it across a restart without changing a
/// bit.
#[derive(Debug, Clone)]
pub struct Job {
    environment: Environment,
    settings: Settings,
    network: Recurrent,
    numbers: Vec<f32>,
    adam: Adam<f32>,
    history: Vec<Round>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    numbers: Vec<u32>,
    mean: Vec<u32>,
    square: Vec<u32>,
    steps: u64,
    history: Vec<Round>,
}

impl Job {
    /// Starts one.
    #[must_use]
    pub fn new(environment: Environment, settings: Settings) -> Self {
        let network = Recurrent::new(OBSERVATION, settings.units, SIDES.len());
        let numbers = network.initial(&mut Random::new(settings.seed, FIRST));
        let adam = adam::Settings { learning_rate: settings.learning_rate, epsilon: 1e-5, ..adam::Settings::default() };
        Self { adam: Adam::new(adam, network.len()), environment, settings, network, numbers, history: Vec::new() }
    }

    /// All of its state as text.
    ///
    /// # Errors
    /// A figure that is no number.
    pub fn checkpoint(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Saved {
            numbers: bits(&self.numbers),
            mean: bits(&self.adam.mean),
            square: bits(&self.adam.square),
            steps: self.adam.steps,
            history: self.history.clone(),
        })
    }

    /// Takes up the training that a checkpoint holds.
    ///
    /// # Errors
    /// It is the checkpoint of something else.
    pub fn resume(mut self, checkpoint: &[u8]) -> Result<Self, PolicyError> {
        let saved: Saved = serde_json::from_slice(checkpoint).map_err(|_| PolicyError::Checkpoint)?;
        self.numbers = numbers(&saved.numbers);
        self.adam.mean = numbers(&saved.mean);
        self.adam.square = numbers(&saved.square);
        self.adam.steps = saved.steps;
        self.history = saved.history;
        let count = self.network.len();
        let lists = [&self.numbers, &self.adam.mean, &self.adam.square];
        if lists.iter().any(|list| list.len() != count) {
            return Err(PolicyError::Checkpoint);
        }
        Ok(self)
    }

    /// Every round so far.
    #[must_use]
    pub fn history(&self) -> &[Round] {
        &self.history
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.history.len() >= self.settings.iterations
    }

    /// What it learns from.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The network and its numbers.
    #[must_use]
    pub fn network(&self) -> (&Recurrent, &[f32]) {
        (&self.network, &self.numbers)
    }

    /// The next round.
    ///
    /// # Errors
    /// An episode that stops, or numbers that are none.
    pub fn round(&mut self) -> Result<Round, PolicyError> {
        let mut trace = Trace::default();
        let at = self.history.len();
        let first = (at * self.settings.episodes) as u64;
        let episodes = (0..self.settings.episodes as u64)
            .map(|n| {
                let random = Random::new(self.settings.seed, EPISODE + first + n);
                self.environment.explore(&self.network, &self.numbers, random, &mut trace)
            })
            .collect::<Result<Vec<Episode>, _>>()?;
        let round = self.learn(&episodes, &mut trace);
        if !(round.divergence.is_finite() && self.numbers.iter().all(|number| number.is_finite())) {
            return Err(PolicyError::Diverged { round: at + 1 });
        }
        self.history.push(round);
        Ok(round)
    }

    /// Passes over some episodes.
    fn learn(&mut self, episodes: &[Episode], trace: &mut Trace<f32>) -> Round {
        let at = self.history.len();
        let Settings { passes, batch, learning_rate, discount, lambda, objective, gradient_max, .. } = self.settings;
        let taken = taken(episodes, discount, lambda);
        self.adam.set_learning_rate(learning_rate * (1.0 - at as f64 / self.settings.iterations as f64));
        let mut random = Random::new(self.settings.seed, ORDER + ((at as u64 + 1) << 16));
        let mut order: Vec<usize> = (0..episodes.len()).collect();
        let mut gradients = vec![0.0; self.network.len()];
        let mut of_out = Vec::new();
        let (mut entropy, mut divergence, mut count) = (0.0, 0.0, 0.0);
        for pass in 0..passes {
            random.shuffle(&mut order);
            for batch in order.chunks(batch.max(1)) {
                gradients.fill(0.0);
                let decisions: usize = batch.iter().map(|one| episodes[*one].actions.len()).sum();
                let share = 1.0 / decisions as f32;
                for one in batch {
                    self.network.start(trace);
                    self.network.forward(&self.numbers, &episodes[*one].rows, trace);
                    let width = SIDES.len() + 1;
                    of_out.clear();
                    of_out.resize(taken[*one].len() * width, 0.0);
                    for (step, (taken, of)) in taken[*one].iter().zip(of_out.chunks_exact_mut(width)).enumerate() {
                        let Terms { entropy: own, .. } = loss(trace.out(step), taken, &objective, share, of);
                        if pass + 1 == passes {
                            entropy += f64::from(own);
                            divergence += moved(trace.out(step), taken);
                            count += 1.0;
                        }
                    }
                    self.network.backward(&self.numbers, trace, &of_out, &mut gradients);
                }
                clip_length(&mut gradients, gradient_max);
                self.adam.step(&mut self.numbers, &gradients);
            }
        }
        let rewards = || episodes.iter().flat_map(|one| &one.rewards).map(|reward| f64::from(*reward));
        let decisions = rewards().count() as f64;
        Round {
            reward: rewards().sum::<f64>() / decisions,
            turns: episodes.iter().map(|one| one.turns as f64).sum::<f64>() / decisions,
            entropy: entropy / count,
            explained: explained(&taken),
            divergence: divergence / count,
        }
    }
}

/// An estimate of the divergence from the distribution that a step was taken with (Schulman's third).
fn moved(out: &[f32], taken: &Taken<f32>) -> f64 {
    let mut logs = [0.0; SIDES.len()];
    crate::policy::ppo::log_probabilities(&out[..SIDES.len()], &mut logs);
    let log = f64::from(logs[taken.action] - taken.log_probability);
    log.exp() - 1.0 - log
}

/// The steps of some episodes with what they were worth; advantages have mean 0 and deviation 1 over all of them.
fn taken(episodes: &[Episode], discount: f64, lambda: f64) -> Vec<Vec<Taken<f32>>> {
    let found: Vec<Vec<f32>> =
        episodes.iter().map(|one| advantages(&one.rewards, &one.values, discount, lambda)).collect();
    let all = || found.iter().flatten().map(|advantage| f64::from(*advantage));
    let count = all().count() as f64;
    let mean = all().sum::<f64>() / count;
    let deviation = (all().map(|one| (one - mean) * (one - mean)).sum::<f64>() / count).sqrt();
    let steps = |(episode, found): (&Episode, &Vec<f32>)| {
        let step = |at: usize| Taken {
            action: episode.actions[at],
            log_probability: episode.log_probabilities[at],
            value: episode.values[at],
            advantage: ((f64::from(found[at]) - mean) / (deviation + 1e-8)) as f32,
            gain: found[at] + episode.values[at],
        };
        (0..found.len()).map(step).collect()
    };
    episodes.iter().zip(&found).map(steps).collect()
}

/// Share of the variance of gains that the critic foretold.
fn explained(taken: &[Vec<Taken<f32>>]) -> f64 {
    let all = || taken.iter().flatten();
    let count = all().count() as f64;
    let mean = all().map(|step| f64::from(step.gain)).sum::<f64>() / count;
    let of = |off: &dyn Fn(&Taken<f32>) -> f64| all().map(|step| off(step) * off(step)).sum::<f64>();
    let whole = of(&|step| f64::from(step.gain) - mean);
    if whole > 0.0 { 1.0 - of(&|step| f64::from(step.gain - step.value)) / whole } else { 0.0 }
}
