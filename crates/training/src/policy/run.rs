//! From a lake and a training file to a policy that is kept.

use std::collections::{BTreeMap, BTreeSet};

use algotrading::backtest;
use algotrading::config::{Data, Measure, RunConfig};
use algotrading::shelf::Shelf;
use anyhow::{Result, bail};
use domain::SessionDate;
use lake::Lake;
use models::card::{Architecture, Beside, TrainedOn, VERSION};
use models::policy::OBSERVATION;
use models::registry::Registry;
use models::{Card, Policy, weights};
use strategies::{Inputs, StrategyConfig};

use crate::policy::config::PolicyConfig;
use crate::policy::environment::{Course, Environment};
use crate::policy::judge::{Judgement, Standing, judge};
use crate::policy::{Job, Round};

/// The file of numbers beside `model.json`.
const WEIGHTS: &str = "weights.safetensors";

/// Sessions a span needs to be judged by.
const LEAST: usize = 20;

/// The past of a training file, ready to learn from.
#[derive(Debug)]
pub struct Prepared {
    /// What is to be learnt.
    pub config: PolicyConfig,
    /// Episodes before [`Prepared::test_from`].
    pub environment: Environment,
    /// Every session of the data.
    pub sessions: Vec<SessionDate>,
    /// First session that it does not learn from.
    pub test_from: SessionDate,
    /// First and last session of each symbol.
    listed: Vec<(SessionDate, SessionDate)>,
    /// Vendor files behind the data.
    revisions: Vec<String>,
    /// Hash of the data.
    sha256: String,
}

/// A policy that was trained.
#[derive(Debug)]
pub struct Model {
    /// Everything about it.
    pub card: Card,
    /// The safetensors file.
    pub weights: Vec<u8>,
    /// Every round.
    pub history: Vec<Round>,
    /// Of the span it learnt from, then of the one it did not.
    pub judgements: [Judgement; 2],
}

/// Reads the past of a training file.
///
/// # Errors
/// A symbol the lake does not have, or dates without enough sessions.
pub fn prepare(config: PolicyConfig, lake: &Lake) -> Result<Prepared> {
    let symbols = &config.data.symbols;
    let data = lake.market(symbols, config.data.from, config.data.to)?;
    let sessions: Vec<SessionDate> =
        data.bars.iter().map(|bar| bar.session).collect::<BTreeSet<_>>().into_iter().collect();
    let mut listed = Vec::new();
    for (at, symbol) in symbols.iter().enumerate() {
        let mut own = data.bars.iter().filter(|bar| bar.instrument.index() == at).map(|bar| bar.session);
        let Some(first) = own.next() else {
            bail!("{symbol} has no bars between these dates; leave it out or change the dates");
        };
        listed.push((first, own.next_back().unwrap_or(first)));
    }
    let test_from = config.split.test_from.unwrap_or(sessions[sessions.len() * 4 / 5]);
    let after = sessions.iter().filter(|session| **session >= test_from).count();
    if after < LEAST {
        bail!(
            "only {after} sessions are left to judge by from {test_from} on, and at least {LEAST} are needed; set \
             split.test_from earlier"
        );
    }
    let courses = Course::of(&data.bars, &data.actions, &data.restated, symbols.len(), test_from);
    let Some(environment) = Environment::new(config.rules(), courses) else {
        bail!(
            "no symbol has the {} bars before {test_from} that an episode needs; set split.test_from later or \
             training.steps smaller",
            config.features.closes_needed() + config.training.steps
        );
    };
    Ok(Prepared { environment, sessions, test_from, listed, revisions: data.revisions, sha256: data.sha256, config })
}

impl Prepared {
    /// Hash of the data.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.sha256
    }

    /// A training on this past.
    #[must_use]
    pub fn job(&self) -> Job {
        Job::new(self.environment.clone(), self.config.settings())
    }

    /// Trains to the end; every round goes to the observer.
    ///
    /// # Errors
    /// An episode that stops, or numbers that are none.
    pub fn train(&self, lake: &Lake, mut observe: impl FnMut(usize, Round)) -> Result<Model> {
        let mut job = self.job();
        while !job.is_done() {
            let round = job.round()?;
            observe(job.history().len(), round);
        }
        self.finish(&job, lake)
    }

    /// The run file that trades the policy over some sessions, with the symbols that were listed then.
    #[must_use]
    pub fn trading(&self, from: Option<SessionDate>, to: Option<SessionDate>) -> RunConfig {
        let PolicyConfig { model, trading, account, costs, risk, data, .. } = &self.config;
        let listed = data
            .symbols
            .iter()
            .zip(&self.listed)
            .filter(|(_, (first, last))| from.is_none_or(|from| *last >= from) && to.is_none_or(|to| *first <= to));
        RunConfig {
            data: Data { symbols: listed.map(|(symbol, _)| symbol.clone()).collect(), from, to },
            strategy: StrategyConfig::Policy { model: model.name.clone(), size: trading.size },
            account: account.clone(),
            costs: *costs,
            risk: risk.clone(),
            metrics: Measure::default(),
        }
    }

    /// The policy of a training that is over, judged on the span it learnt from and on the later one.
    ///
    /// # Errors
    /// The weights cannot be written, or a figure does not fit its type.
    pub fn finish(&self, job: &Job, lake: &Lake) -> Result<Model> {
        let (network, numbers) = job.network();
        let bytes = weights::write(&network.tensors(numbers))?;
        let boundary = self.sessions.partition_point(|session| *session < self.test_from);
        let (from, to) = (self.sessions[0], self.sessions[boundary - 1]);
        let mut card = Card {
            layout: VERSION,
            name: self.config.model.name.clone(),
            architecture: Architecture::Lstm { inputs: OBSERVATION, units: self.config.model.units },
            features: self.config.features,
            features_fingerprint: self.config.features.fingerprint(),
            scaler: self.environment.scaler().clone(),
            calibration: Vec::new(),
            labels: None,
            seed: self.config.training.seed,
            trained_on: Some(TrainedOn {
                symbols: self.config.data.symbols.clone(),
                from,
                to,
                revisions: self.revisions.clone(),
                sha256: self.sha256.clone(),
            }),
            config: self.config.canonical()?,
            metrics: BTreeMap::new(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            weights: Beside::of(WEIGHTS, &bytes),
        };
        let policy = Policy::new(card.clone(), &bytes)?;
        // The features of the first decision are made of the sessions before it.
        let warm_up = self.config.features.closes_needed() - 1;
        let warmed = self.sessions[boundary.saturating_sub(warm_up)];
        let spans = [("training", self.config.data.from, Some(to)), ("test", Some(warmed), self.config.data.to)];
        let mut judgements = Vec::new();
        for (part, from, to) in spans {
            let prepared = backtest::prepare(self.trading(from, to), lake, Inputs::default())?;
            judgements.push(judge(part, &prepared, &policy, self.config.trading.size)?);
        }
        card.metrics = metrics(&judgements, job.history());
        let judgements = <[Judgement; 2]>::try_from(judgements).map_err(|_| anyhow::anyhow!("two spans are judged"))?;
        Ok(Model { card, weights: bytes, history: job.history().to_vec(), judgements })
    }
}

impl Model {
    /// Ready to act.
    ///
    /// # Errors
    /// Never for a policy that was just trained.
    pub fn policy(&self) -> Result<Policy> {
        Ok(Policy::new(self.card.clone(), &self.weights)?)
    }

    /// Keeps it in a lake with its report; says its version.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub fn keep(&self, lake: &Lake, report: Vec<u8>) -> Result<String> {
        let shelf = Shelf(lake);
        let beside = vec![(WEIGHTS.to_owned(), self.weights.clone()), ("report.html".to_owned(), report)];
        Ok(Registry(&shelf).keep(&self.card, beside)?)
    }
}

/// `test.policy.gain` and the like.
fn metrics(judgements: &[Judgement], history: &[Round]) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for judgement in judgements {
        let part = judgement.part;
        for (who, standing) in [("policy", judgement.policy), ("hold", judgement.hold), ("random", judgement.random)] {
            let Standing { gain, sharpe, drawdown } = standing;
            let figures = [("gain", Some(gain)), ("sharpe", sharpe), ("drawdown", Some(drawdown))];
            all.extend(figures.iter().filter_map(|(what, value)| Some((format!("{part}.{who}.{what}"), (*value)?))));
        }
        all.insert(format!("{part}.random.beaten"), judgement.beaten);
        all.insert(format!("{part}.turns"), judgement.turns);
        for (side, share) in ["short", "flat", "long"].iter().zip(judgement.sides) {
            all.insert(format!("{part}.{side}"), share);
        }
    }
    if let Some(last) = history.last() {
        all.insert("entropy".to_owned(), last.entropy);
        all.insert("reward".to_owned(), last.reward);
    }
    all
}
