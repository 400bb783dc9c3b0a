//! From a lake and a training file to a model that is kept.

use std::collections::{BTreeMap, BTreeSet};

use algotrading::rows;
use algotrading::shelf::Shelf;
use anyhow::{Result, bail};
use domain::{SessionDate, Symbol};
use lake::Lake;
use models::card::{Architecture, Beside, TrainedOn, VERSION};
use models::registry::Registry;
use models::samples::{Sample, samples};
use models::split::{Span, Split, in_time};
use models::{Card, Forecast};

use crate::forecast::config::ForecastConfig;
use crate::forecast::fit::Epoch;
use crate::forecast::{ANSWERS, Job, Trained};

/// The file of numbers beside `model.json`.
const WEIGHTS: &str = "weights.safetensors";

/// Rows, ready to train on.
#[derive(Debug)]
pub struct Prepared {
    /// What they are to become.
    pub config: ForecastConfig,
    /// Rows of all symbols, by session.
    pub samples: Vec<Sample>,
    /// Every session of the data.
    pub sessions: Vec<SessionDate>,
    /// Which row is what for.
    pub split: Split,
    /// First session of the test rows.
    pub test_from: SessionDate,
    /// Vendor files behind them.
    revisions: Vec<String>,
    /// Hash of the data.
    sha256: String,
}

/// A model that was trained.
#[derive(Debug)]
pub struct Model {
    /// Everything about it.
    pub card: Card,
    /// How it came about.
    pub trained: Trained,
}

/// Reads the rows of a training file.
///
/// # Errors
/// A symbol the lake does not have, or dates without rows.
pub fn prepare(config: ForecastConfig, lake: &Lake) -> Result<Prepared> {
    let symbols = &config.data.symbols;
    let data = lake.market(symbols, config.data.from, config.data.to)?;
    let sessions: Vec<SessionDate> =
        data.bars.iter().map(|bar| bar.session).collect::<BTreeSet<_>>().into_iter().collect();
    let mut all: Vec<Sample> = Vec::new();
    for (at, symbol) in symbols.iter().enumerate() {
        let bars = rows::printed(&data.bars, &data.actions, at);
        let found = samples(at, &bars, config.features, &config.labels);
        if found.is_empty() {
            bail!(
                "{symbol} has {} bars between these dates, and a row needs {} before and {} after it; leave it out or \
                 change the dates",
                bars.len(),
                config.features.closes_needed() - 1,
                config.labels.horizon
            );
        }
        all.extend(found);
    }
    all.sort_by_key(|sample| (sample.session, sample.symbol));
    let cut = |given: Option<SessionDate>, fifths: usize| given.unwrap_or(sessions[sessions.len() * fifths / 5]);
    let (validation, test) = (cut(config.split.validation_from, 3), cut(config.split.test_from, 4));
    if validation >= test {
        bail!("the validation rows begin on {validation} and the test rows on {test}; set both dates in [split]");
    }
    let spans: Vec<Span> = all
        .iter()
        .map(Span::from)
        // Without purging a label reaches nowhere.
        .map(|span| if config.split.purge { span } else { Span { to: span.from, ..span } })
        .collect();
    let embargo = if config.split.purge { config.embargo() } else { 0 };
    let split = in_time(&spans, &sessions, validation, test, embargo);
    Ok(Prepared {
        samples: all,
        sessions,
        split,
        test_from: test,
        revisions: data.revisions,
        sha256: data.sha256,
        config,
    })
}

impl Prepared {
    /// Hash of the data.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.sha256
    }

    /// A training of these rows.
    ///
    /// # Errors
    /// Too few rows, or nothing to tell apart.
    pub fn job(&self) -> Result<Job> {
        Ok(Job::new(&self.samples, self.split.clone(), self.config.settings())?)
    }

    /// Trains to the end; every pass goes to the observer.
    ///
    /// # Errors
    /// Too few rows, a loss that is no number.
    pub fn train(&self, mut observe: impl FnMut(usize, Epoch)) -> Result<Model> {
        let mut job = self.job()?;
        while !job.is_done() {
            let epoch = job.epoch()?;
            observe(job.history().len(), epoch);
        }
        self.finish(job)
    }

    /// The model of a training that is over.
    ///
    /// # Errors
    /// The weights cannot be written.
    pub fn finish(&self, job: Job) -> Result<Model> {
        let trained = job.finish(&self.sessions, self.config.break_even())?;
        let seen = || trained.split.train.iter().chain(&trained.split.validation).map(|at| &self.samples[*at]);
        let from = seen().map(|sample| sample.session).min().unwrap_or(self.test_from);
        let to = seen().map(|sample| sample.decided).max().unwrap_or(self.test_from);
        let card = Card {
            layout: VERSION,
            name: self.config.model.name.clone(),
            architecture: Architecture::Mlp { layers: trained.widths.clone() },
            features: self.config.features,
            features_fingerprint: self.config.features.fingerprint(),
            scaler: trained.scaler.clone(),
            calibration: trained.calibration.to_vec(),
            labels: Some(self.config.labels),
            seed: self.config.training.seed,
            trained_on: Some(TrainedOn {
                symbols: self.config.data.symbols.clone(),
                from,
                to,
                revisions: self.revisions.clone(),
                sha256: self.sha256.clone(),
            }),
            config: self.config.canonical()?,
            metrics: metrics(&trained),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            weights: Beside::of(WEIGHTS, &trained.weights),
        };
        Ok(Model { card, trained })
    }

    /// Symbols of the rows.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol] {
        &self.config.data.symbols
    }
}

impl Model {
    /// Ready to predict.
    ///
    /// # Errors
    /// Never for a model that was just trained.
    pub fn forecast(&self) -> Result<Forecast> {
        Ok(Forecast::new(self.card.clone(), &self.trained.weights)?)
    }

    /// Keeps it in a lake with its report; says its version.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub fn keep(&self, lake: &Lake, report: Vec<u8>) -> Result<String> {
        let shelf = Shelf(lake);
        let beside = vec![(WEIGHTS.to_owned(), self.trained.weights.clone()), ("report.html".to_owned(), report)];
        Ok(Registry(&shelf).keep(&self.card, beside)?)
    }
}

/// `test.long.model.log_loss` and the like.
fn metrics(trained: &Trained) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for comparison in &trained.comparisons {
        for (name, contest) in ANSWERS.iter().zip(&comparison.answers) {
            let who = [("model", contest.model), ("logistic", contest.logistic), ("base_rate", contest.base_rate)];
            for (who, score) in who {
                let mut put = |what: &str, value: f64| {
                    all.insert(format!("{}.{name}.{who}.{what}", comparison.part), value);
                };
                put("log_loss", score.log_loss);
                put("brier", score.brier);
                put("accuracy", score.accuracy);
                if let Some(auc) = score.auc {
                    put("auc", auc);
                }
            }
            all.insert(format!("{}.{name}.successes", comparison.part), contest.model.base_rate);
            all.insert(format!("{}.rows", comparison.part), contest.model.rows as f64);
        }
    }
    all.insert("best_epoch".to_owned(), trained.best_epoch as f64);
    all
}
