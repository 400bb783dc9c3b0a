//! A forecast model from samples: scaled, fitted, calibrated, and judged beside what needs no network.
//!
//! [`network`] has the gradients, [`fit`] is the loop with early stopping, [`calibration`] makes probabilities of its
//! logits, [`measure`] judges them. [`config`] is the training file, [`run`] takes rows from a lake and keeps the model
//! there, [`mod@report`] says how good it is.

pub mod calibration;
pub mod config;
pub mod fit;
pub mod measure;
pub mod network;
pub mod report;
pub mod run;

use models::card::{Calibration, Scaler};
use models::features::WIDTH;
use models::samples::Sample;
use models::split::{self, Span, Split};
use models::weights;
use serde::Serialize;

use crate::forecast::calibration::platt;
use crate::forecast::fit::{Epoch, Fit, Rows, Settings as FitSettings};
use crate::forecast::measure::{Bin, Confusion, Score, confusion, reliability, score};
use crate::random::Random;
use crate::scaler;

/// A model cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A part of the split is too small to mean anything.
    #[error("there are only {rows} {part} rows, and at least {LEAST} are needed; choose other dates or more symbols")]
    TooFew {
        /// Which part.
        part: &'static str,
        /// Its rows.
        rows: usize,
    },
    /// Every row has the same outcome.
    #[error("every training row has the same outcome for `{answer}`; choose another target, stop or horizon")]
    OneOutcome {
        /// Which answer.
        answer: &'static str,
    },
    /// The fit ran away.
    #[error("the loss is no number any more; choose a smaller training.learning_rate")]
    Diverged,
    /// Something saved cannot be taken up.
    #[error("the checkpoint is not one of this training; remove it to start again")]
    Checkpoint,
    /// The weights cannot be written.
    #[error(transparent)]
    Model(#[from] models::ModelError),
}

/// Fewest rows of a part.
const LEAST: usize = 50;
/// The answers, in order.
pub const ANSWERS: [&str; 2] = ["long", "short"];

/// How a forecast is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Most passes over the training rows.
    pub epochs: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Passes without a better validation loss before it stops.
    pub patience: usize,
    /// Size of a step.
    pub learning_rate: f64,
    /// Chance that a hidden unit is dropped.
    pub dropout: f64,
    /// Whether successes and failures count the same in sum.
    pub class_weights: bool,
    /// Whether each feature is scaled to mean 0 and deviation 1 over the training rows.
    pub standardise: bool,
    /// Purged folds that judge the model before the test rows; none at 0.
    pub folds: usize,
    /// Sessions kept free after a judged fold.
    pub embargo: usize,
    /// Of first numbers, order and masks.
    pub seed: u64,
}

/// Judgement of a model and of what needs none, on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Which rows.
    pub part: &'static str,
    /// *long*, then *short*.
    pub answers: [Contest; 2],
}

/// Scores of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Contest {
    /// The network, calibrated.
    pub model: Score,
    /// A logistic regression on the same rows, calibrated the same way.
    pub logistic: Score,
    /// The share of successes among the training rows, always.
    pub base_rate: Score,
}

/// What a model says of rows it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    /// Mean probability and frequency of ten groups of rows.
    pub reliability: Vec<Bin>,
    /// Decisions at the threshold where a trade breaks even.
    pub confusion: Confusion,
    /// How much worse the log loss gets when a feature's values are dealt to other rows, by feature.
    pub importance: Vec<f64>,
}

/// A trained forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Widths from the row to the answer.
    pub widths: Vec<usize>,
    /// Applied to a row first.
    pub scaler: Scaler,
    /// By answer.
    pub calibration: [Calibration; 2],
    /// The safetensors file.
    pub weights: Vec<u8>,
    /// Every pass.
    pub history: Vec<Epoch>,
    /// The pass whose numbers they are, from 1.
    pub best_epoch: usize,
    /// Scores by part: cross-validated, validation, test.
    pub comparisons: Vec<Comparison>,
    /// Of the test rows, by answer.
    pub details: [Detail; 2],
    /// Rows by part.
    pub split: Split,
}

/// A training that is under way.
#[derive(Debug, Clone)]
pub struct Job {
    settings: Settings,
    scaler: Scaler,
    split: Split,
    spans: Vec<Span>,
    all: Rows,
    train: Rows,
    validation: Rows,
    test: Rows,
    fit: Fit,
}

impl Job {
    /// Prepares the rows.
    ///
    /// # Errors
    /// Too few rows, or nothing to tell apart.
    pub fn new(samples: &[Sample], split: Split, settings: Settings) -> Result<Self, TrainError> {
        for (part, rows) in [("training", &split.train), ("validation", &split.validation), ("test", &split.test)] {
            if rows.len() < LEAST {
                return Err(TrainError::TooFew { part, rows: rows.len() });
            }
        }
        let scaler = if settings.standardise {
            scaler::standard(split.train.iter().map(|at| &samples[*at].row))
        } else {
            scaler::identity()
        };
        let everything: Vec<usize> = (0..samples.len()).collect();
        let all = rows(samples, &everything, &scaler);
        let of = |at: &[usize]| pick(&all, at);
        let (train, validation, test) = (of(&split.train), of(&split.validation), of(&split.test));
        for (answer, name) in ANSWERS.iter().enumerate() {
            let successes = count(&train, answer);
            if successes == 0 || successes == train.len() {
                return Err(TrainError::OneOutcome { answer: name });
            }
        }
        let fit = Fit::new(fit_settings(&settings, &settings.hidden, &train));
        let spans = samples.iter().map(Span::from).collect();
        Ok(Self { settings, scaler, split, spans, all, train, validation, test, fit })
    }

    /// Takes up the fit that a checkpoint holds.
    ///
    /// # Errors
    /// It is the checkpoint of something else.
    pub fn resume(mut self, checkpoint: &[u8]) -> Result<Self, TrainError> {
        let settings = fit_settings(&self.settings, &self.settings.hidden, &self.train);
        self.fit = Fit::resume(settings, checkpoint).ok_or(TrainError::Checkpoint)?;
        Ok(self)
    }

    /// All of the fit's state.
    ///
    /// # Errors
    /// A loss that is no number.
    pub fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        self.fit.save().map_err(|_| TrainError::Diverged)
    }

    /// Passes so far.
    #[must_use]
    pub fn history(&self) -> &[Epoch] {
        self.fit.history()
    }

    /// Whether the fit is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.fit.is_done()
    }

    /// One pass over the training rows.
    ///
    /// # Errors
    /// The loss is no number any more.
    pub fn epoch(&mut self) -> Result<Epoch, TrainError> {
        let epoch = self.fit.epoch(&self.train, &self.validation);
        if epoch.train.is_finite() && epoch.validation.is_finite() { Ok(epoch) } else { Err(TrainError::Diverged) }
    }

    /// Calibrates and judges. `threshold` is the probability from which a trade pays.
    ///
    /// # Errors
    /// The weights cannot be written.
    pub fn finish(self, sessions: &[domain::SessionDate], threshold: f64) -> Result<Trained, TrainError> {
        let logistic = self.logistic();
        let (epoch, numbers) = self.fit.best();
        let network = Judge::new(&self.fit, &self.validation);
        let plain = Judge::new(&logistic, &self.validation);
        let mut comparisons = vec![
            self.compare("validation", &self.validation, &network, &plain),
            self.compare("test", &self.test, &network, &plain),
        ];
        if self.settings.folds > 1 {
            comparisons.insert(0, self.cross_validated(sessions, epoch));
        }
        let detail = |answer: usize| {
            let probabilities = &network.probabilities(&self.test)[answer];
            let outcomes = outcomes(&self.test, answer);
            Detail {
                reliability: reliability(probabilities, &outcomes, 10),
                confusion: confusion(probabilities, &outcomes, threshold),
                importance: self.importance(&network, answer),
            }
        };
        let details = [detail(0), detail(1)];
        Ok(Trained {
            widths: self.fit.network().widths().to_vec(),
            calibration: network.calibration,
            weights: weights::write(&self.fit.network().tensors(numbers))?,
            history: self.fit.history().to_vec(),
            best_epoch: epoch,
            comparisons,
            details,
            scaler: self.scaler.clone(),
            split: self.split.clone(),
        })
    }

    fn logistic(&self) -> Fit {
        let mut fit = Fit::new(logistic_settings(&self.settings, &self.train));
        while !fit.is_done() {
            fit.epoch(&self.train, &self.validation);
        }
        fit
    }

    fn compare(&self, part: &'static str, rows: &Rows, network: &Judge<'_>, plain: &Judge<'_>) -> Comparison {
        let (of_network, of_plain) = (network.probabilities(rows), plain.probabilities(rows));
        let answers = [0, 1].map(|answer| {
            let outcomes = outcomes(rows, answer);
            let rate = count(&self.train, answer) as f64 / self.train.len() as f64;
            Contest {
                model: score(&of_network[answer], &outcomes),
                logistic: score(&of_plain[answer], &outcomes),
                base_rate: score(&vec![rate; rows.len()], &outcomes),
            }
        });
        Comparison { part, answers }
    }

    /// Scores of every row before the test rows, each judged by a model that was fitted, for as many passes as the
    /// model was, to the other folds without what overlaps.
    fn cross_validated(&self, sessions: &[domain::SessionDate], epochs: usize) -> Comparison {
        let known: Vec<usize> = self.split.train.iter().chain(&self.split.validation).copied().collect();
        let spans: Vec<Span> = known.iter().map(|at| self.spans[*at]).collect();
        let ends = spans.iter().map(|span| span.from).min().zip(spans.iter().map(|span| span.to).max());
        let dates: Vec<_> =
            sessions.iter().copied().filter(|date| ends.is_some_and(|(from, to)| (from..=to).contains(date))).collect();
        let (mut said, mut came): ([[Vec<f64>; 2]; 3], [Vec<bool>; 2]) = Default::default();
        for judged in split::folds(&spans, &dates, self.settings.folds) {
            let train = split::purged(&spans, &judged, &dates, self.settings.embargo);
            let of = |at: &[usize]| pick(&self.all, &at.iter().map(|at| known[*at]).collect::<Vec<_>>());
            let (train, judged) = (of(&train), of(&judged));
            if train.is_empty() || judged.is_empty() {
                continue;
            }
            let network = fit_settings(&self.settings, &self.settings.hidden, &train);
            let plain = logistic_settings(&self.settings, &train);
            for (which, settings) in [network, plain].into_iter().enumerate() {
                let mut fit = Fit::new(FitSettings { epochs: epochs.max(1), patience: usize::MAX / 2, ..settings });
                while !fit.is_done() {
                    // What is fitted to the training rows is also calibrated to them: the judged rows stay unseen.
                    fit.epoch(&train, &train);
                }
                let probabilities = Judge::new(&fit, &train).probabilities(&judged);
                said[which].iter_mut().zip(probabilities).for_each(|(all, some)| all.extend(some));
            }
            for (answer, came) in came.iter_mut().enumerate() {
                let rate = count(&train, answer) as f64 / train.len() as f64;
                said[2][answer].extend(vec![rate; judged.len()]);
                came.extend(outcomes(&judged, answer));
            }
        }
        let answers = [0, 1].map(|answer| {
            let of = |which: usize| score(&said[which][answer], &came[answer]);
            Contest { model: of(0), logistic: of(1), base_rate: of(2) }
        });
        Comparison { part: "cross-validated", answers }
    }

    /// By permutation of the test rows.
    fn importance(&self, network: &Judge<'_>, answer: usize) -> Vec<f64> {
        let outcomes = outcomes(&self.test, answer);
        let loss = |rows: &Rows| score(&network.probabilities(rows)[answer], &outcomes).log_loss;
        let whole = loss(&self.test);
        (0..WIDTH)
            .map(|feature| {
                let mut order: Vec<usize> = (0..self.test.len()).collect();
                Random::new(self.settings.seed, 100 + feature as u64).shuffle(&mut order);
                let mut dealt = self.test.clone();
                for (at, from) in order.into_iter().enumerate() {
                    dealt.cells[at * WIDTH + feature] = self.test.cells[from * WIDTH + feature];
                }
                loss(&dealt) - whole
            })
            .collect()
    }
}

/// A fit with the calibration of its logits.
struct Judge<'a> {
    fit: &'a Fit,
    calibration: [Calibration; 2],
}

impl<'a> Judge<'a> {
    fn new(fit: &'a Fit, calibrate: &Rows) -> Self {
        let logits = fit.logits(calibrate);
        let calibration = [0, 1].map(|answer| platt(&logits[answer], &outcomes(calibrate, answer)));
        Self { fit, calibration }
    }

    fn probabilities(&self, rows: &Rows) -> [Vec<f64>; 2] {
        let mut logits = self.fit.logits(rows);
        for (list, of) in logits.iter_mut().zip(self.calibration) {
            list.iter_mut().for_each(|x| *x = 1.0 / (1.0 + libm::exp(-(of.slope * *x + of.offset))));
        }
        logits
    }
}

fn fit_settings(settings: &Settings, hidden: &[usize], train: &Rows) -> FitSettings {
    let weight = |answer: usize| {
        let successes = count(train, answer).max(1) as f32;
        if settings.class_weights { (train.len() as f32 - successes).max(1.0) / successes } else { 1.0 }
    };
    FitSettings {
        widths: [&[WIDTH], hidden, &[ANSWERS.len()]].concat(),
        epochs: settings.epochs,
        batch: settings.batch,
        patience: settings.patience,
        learning_rate: settings.learning_rate,
        dropout: settings.dropout,
        success_weights: vec![weight(0), weight(1)],
        seed: settings.seed,
    }
}

/// A network without a hidden layer.
fn logistic_settings(settings: &Settings, train: &Rows) -> FitSettings {
    FitSettings { dropout: 0.0, ..fit_settings(settings, &[], train) }
}

fn count(rows: &Rows, answer: usize) -> usize {
    rows.outcomes.iter().filter(|outcomes| outcomes[answer]).count()
}

fn outcomes(rows: &Rows, answer: usize) -> Vec<bool> {
    rows.outcomes.iter().map(|outcomes| outcomes[answer]).collect()
}

fn rows(samples: &[Sample], at: &[usize], scaler: &Scaler) -> Rows {
    let cells = at.iter().flat_map(|at| {
        let scale = scaler.mean.iter().zip(&scaler.deviation);
        samples[*at].row.iter().zip(scale).map(|(value, (mean, deviation))| (value - mean) / deviation)
    });
    Rows { width: WIDTH, cells: cells.collect(), outcomes: at.iter().map(|at| samples[*at].label).collect() }
}

fn pick(all: &Rows, at: &[usize]) -> Rows {
    let cells = at.iter().flat_map(|at| all.cells[at * all.width..(at + 1) * all.width].iter().copied());
    Rows { width: all.width, cells: cells.collect(), outcomes: at.iter().map(|at| all.outcomes[*at]).collect() }
}
