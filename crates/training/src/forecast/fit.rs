//! Fitting a network: shuffled batches, dropout, Adam, and a stop when the validation rows no longer get better.

use serde::{Deserialize, Serialize};

use crate::adam::{self, Adam};
use crate::forecast::network::{Dropout, Network, Workspace, cross_entropy};
use crate::random::Random;

/// How a network is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Widths from the row to the answer.
    pub widths: Vec<usize>,
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
    /// What a success counts, by answer; a failure counts 1.
    pub success_weights: Vec<f32>,
    /// Of first numbers, order and masks.
    pub seed: u64,
}

/// Rows and what became of them, side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Width of a row.
    pub width: usize,
    /// All rows, one after the other.
    pub cells: Vec<f32>,
    /// Outcomes of each row.
    pub outcomes: Vec<[bool; 2]>,
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.cells[at * self.width..(at + 1) * self.width]
    }
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss of the training rows, with dropout, as they were met.
    pub train: f64,
    /// Mean loss of the validation rows.
    pub validation: f64,
}

/// A fit that is under way; [`Fit::save`] and [`Fit::resume`] take it across a restart without changing a bit.
#[derive(Debug, Clone)]
pub struct Fit {
    network: Network,
    settings: Settings,
    numbers: Vec<f32>,
    adam: Adam<f32>,
    order: Random,
    masks: Random,
    best: Vec<f32>,
    best_epoch: usize,
    history: Vec<Epoch>,
}

/// Numbers as their bits: text that loses nothing.
type Bits = Vec<u32>;

#[derive(Serialize, Deserialize)]
struct Saved {
    numbers: Bits,
    mean: Bits,
    square: Bits,
    steps: u64,
    order: Random,
    masks: Random,
    best: Bits,
    best_epoch: usize,
    history: Vec<Epoch>,
}

pub(crate) fn bits(numbers: &[f32]) -> Bits {
    numbers.iter().map(|number| number.to_bits()).collect()
}

pub(crate) fn numbers(bits: &Bits) -> Vec<f32> {
    bits.iter().map(|bits| f32::from_bits(*bits)).collect()
}

impl Fit {
    /// Starts one.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let network = Network::new(&settings.widths);
        let numbers = network.initial(&mut Random::new(settings.seed, 0));
        Self::from_numbers(settings, numbers)
    }

    /// Starts one from given numbers.
    #[must_use]
    pub fn from_numbers(settings: Settings, numbers: Vec<f32>) -> Self {
        let network = Network::new(&settings.widths);
        let adam = adam::Settings { learning_rate: settings.learning_rate, ..adam::Settings::default() };
        Self {
            adam: Adam::new(adam, network.len()),
            order: Random::new(settings.seed, 1),
            masks: Random::new(settings.seed, 2),
            best: numbers.clone(),
            best_epoch: 0,
            history: Vec::new(),
            network,
            settings,
            numbers,
        }
    }

    /// All of its state as text.
    ///
    /// # Errors
    /// A loss that is no number.
    pub fn save(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Saved {
            numbers: bits(&self.numbers),
            mean: bits(&self.adam.mean),
            square: bits(&self.adam.square),
            steps: self.adam.steps,
            order: self.order.clone(),
            masks: self.masks.clone(),
            best: bits(&self.best),
            best_epoch: self.best_epoch,
            history: self.history.clone(),
        })
    }

    /// Takes up a fit of the same settings; nothing when the text is not its state.
    #[must_use]
    pub fn resume(settings: Settings, text: &[u8]) -> Option<Self> {
        let saved: Saved = serde_json::from_slice(text).ok()?;
        let mut fit = Self::from_numbers(settings, numbers(&saved.numbers));
        fit.adam.mean = numbers(&saved.mean);
        fit.adam.square = numbers(&saved.square);
        fit.adam.steps = saved.steps;
        fit.order = saved.order;
        fit.masks = saved.masks;
        fit.best = numbers(&saved.best);
        fit.best_epoch = saved.best_epoch;
        fit.history = saved.history;
        let count = fit.network.len();
        let lists = [&fit.numbers, &fit.adam.mean, &fit.adam.square, &fit.best];
        lists.iter().all(|list| list.len() == count).then_some(fit)
    }

    /// Every pass so far.
    #[must_use]
    pub fn history(&self) -> &[Epoch] {
        &self.history
    }

    /// The pass with the best validation loss, counted from 1, and its numbers.
    #[must_use]
    pub fn best(&self) -> (usize, &[f32]) {
        (self.best_epoch, &self.best)
    }

    /// Its numbers as they are now.
    #[must_use]
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// The network whose numbers they are.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let passes = self.history.len();
        passes >= self.settings.epochs || passes >= self.best_epoch + self.settings.patience.max(1)
    }

    /// One pass over the training rows.
    pub fn epoch(&mut self, train: &Rows, validation: &Rows) -> Epoch {
        let mut order: Vec<usize> = (0..train.len()).collect();
        self.order.shuffle(&mut order);
        let dropout = Dropout::new(self.settings.dropout);
        let mut sum = 0.0;
        let mut masks = Vec::new();
        for batch in order.chunks(self.settings.batch.max(1)) {
            masks.clear();
            if !dropout.is_none() {
                let units = self.network.hidden() * batch.len();
                dropout.draw(units, &mut self.masks, &mut masks);
            }
            sum += f64::from(self.step(train, batch, &masks)) * batch.len() as f64;
        }
        let epoch = Epoch { train: sum / train.len().max(1) as f64, validation: self.loss(&self.numbers, validation) };
        self.history.push(epoch);
        let before = self.best_epoch.checked_sub(1).map_or(f64::INFINITY, |at| self.history[at].validation);
        if epoch.validation < before {
            self.best_epoch = self.history.len();
            self.best.clone_from(&self.numbers);
        }
        epoch
    }

    /// One step on the rows at `batch`, with the factors of their hidden units row by row (none when empty); the mean
    /// loss before it.
    pub fn step(&mut self, train: &Rows, batch: &[usize], masks: &[f32]) -> f32 {
        let mut gradients = vec![0.0; self.network.len()];
        let mut work = Workspace::default();
        let answers = self.settings.success_weights.len();
        let share = 1.0 / (batch.len() * answers) as f32;
        let (mut of_logits, mut sum) = (vec![0.0; answers], 0.0);
        let units = if masks.is_empty() { 0 } else { self.network.hidden() };
        for (n, at) in batch.iter().enumerate() {
            let masks = &masks[n * units..(n + 1) * units];
            let logits = self.network.logits(&self.numbers, train.row(*at), masks, &mut work);
            for (answer, logit) in logits.iter().enumerate() {
                let success = train.outcomes[*at][answer];
                let (loss, slope) = cross_entropy(*logit, success, self.settings.success_weights[answer]);
                sum += loss * share;
                of_logits[answer] = slope * share;
            }
            self.network.backward(&self.numbers, masks, &of_logits, &mut gradients, &mut work);
        }
        self.adam.step(&mut self.numbers, &gradients);
        sum
    }

    fn loss(&self, numbers: &[f32], rows: &Rows) -> f64 {
        let mut work = Workspace::default();
        let mut sum = 0.0;
        for (at, outcomes) in rows.outcomes.iter().enumerate() {
            let logits = self.network.logits(numbers, rows.row(at), &[], &mut work);
            for (answer, logit) in logits.iter().enumerate() {
                let weight = f64::from(self.settings.success_weights[answer]);
                sum += cross_entropy(f64::from(*logit), outcomes[answer], weight).0;
            }
        }
        sum / (rows.len().max(1) * self.settings.success_weights.len()) as f64
    }

    /// The logits of every row, by answer, with the best numbers.
    #[must_use]
    pub fn logits(&self, rows: &Rows) -> [Vec<f64>; 2] {
        let mut work = Workspace::default();
        let mut found = [Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len())];
        for at in 0..rows.len() {
            let logits = self.network.logits(&self.best, rows.row(at), &[], &mut work);
            found.iter_mut().zip(logits).for_each(|(list, logit)| list.push(f64::from(*logit)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, seed: u64) -> Rows {
        let mut random = Random::new(seed, 0);
        let cells: Vec<f32> = (0..count * 4).map(|_| random.normal() as f32).collect();
        let outcomes = cells.chunks_exact(4).map(|row| [row[0] * row[1] > 0.0, row[2] > 0.5]).collect();
        Rows { width: 4, cells, outcomes }
    }

    fn settings() -> Settings {
        Settings {
            widths: vec![4, 16, 8, 2],
            epochs: 60,
            batch: 32,
            patience: 10,
            learning_rate: 0.005,
            dropout: 0.1,
            success_weights: vec![1.0, 1.0],
            seed: 9,
        }
    }

    #[test]
    fn it_learns_what_no_straight_line_can() {
        let (train, validation) = (rows(2_000, 1), rows(500, 2));
        let mut fit = Fit::new(settings());
        while !fit.is_done() {
            fit.epoch(&train, &validation);
        }
        let (epoch, _) = fit.best();
        assert!(fit.history()[epoch - 1].validation < 0.2, "{:?}", fit.history());
        let right = |answer: usize| {
            let logits = &fit.logits(&validation)[answer];
            logits.iter().zip(&validation.outcomes).filter(|(logit, of)| (**logit > 0.0) == of[answer]).count()
        };
        assert!(right(0) > 450 && right(1) > 450, "{} {}", right(0), right(1));
    }

    #[test]
    fn a_fit_that_was_interrupted_ends_with_the_same_bits() {
        let (train, validation) = (rows(300, 1), rows(100, 2));
        let run = |stops: &[usize]| {
            let mut fit = Fit::new(settings());
            while !fit.is_done() {
                fit.epoch(&train, &validation);
                if stops.contains(&fit.history().len()) {
                    fit = Fit::resume(settings(), &fit.save().unwrap()).unwrap();
                }
            }
            fit
        };
        let (whole, broken) = (run(&[]), run(&[1, 7, 8]));
        assert_eq!(whole.best(), broken.best());
        assert_eq!(whole.history(), broken.history());
        assert!(Fit::resume(Settings { widths: vec![4, 2], ..settings() }, &whole.save().unwrap()).is_none());
        assert!(Fit::resume(settings(), b"{}").is_none());
    }

    #[test]
    fn it_stops_when_the_validation_rows_get_no_better() {
        // Outcomes without any rule: the best pass comes early.
        let mut train = rows(200, 1);
        Random::new(4, 0).shuffle(&mut train.outcomes);
        let mut fit = Fit::new(Settings { epochs: 1_000, patience: 5, ..settings() });
        while !fit.is_done() {
            fit.epoch(&train, &rows(200, 2));
        }
        assert!(fit.history().len() < 100 && fit.history().len() == fit.best().0 + 5);
    }
}
