//! A forecast learns what there is to learn, and nothing where there is nothing.
#![allow(clippy::unwrap_used)]

use domain::SessionDate;
use models::features::{FeatureSet, WIDTH};
use models::labels::{LabelRule, Range};
use models::samples::{Printed, Sample, samples};
use models::split::{Span, in_time};
use training::forecast::{Job, Settings, TrainError, Trained};
use training::random::Random;

fn settings() -> Settings {
    Settings {
        hidden: vec![31, 15],
        epochs: 60,
        batch: 32,
        patience: 10,
        learning_rate: 1e-3,
        dropout: 0.2,
        class_weights: true,
        standardise: true,
        folds: 0,
        embargo: 5,
        seed: 1,
    }
}

/// Prices whose trend lasts: what went up goes on for a while when `memory` is near one.
fn market(memory: f64, seed: u64) -> Vec<Printed> {
    let mut random = Random::new(seed, 0);
    let (mut price, mut trend) = (100.0, 0.0);
    let mut bars = Vec::new();
    for day in 0..2_500 {
        trend = memory * trend + 0.004 * random.normal();
        let open: f64 = price;
        price *= 1.0 + trend.clamp(-0.03, 0.03) + 0.004 * random.normal();
        let (high, low) = (open.max(price) * 1.002, open.min(price) * 0.998);
        let range = Range { high, low, close: price };
        bars.push(Printed { session: SessionDate::from_days(day), range, split: None });
    }
    bars
}

fn train(all: &[Sample], dates: &[SessionDate], settings: Settings) -> Trained {
    let spans: Vec<Span> = all.iter().map(Span::from).collect();
    let split = in_time(&spans, dates, dates[1_500], dates[2_000], 5);
    let mut job = Job::new(all, split, settings).unwrap();
    while !job.is_done() {
        job.epoch().unwrap();
    }
    job.finish(dates, 0.43).unwrap()
}

fn data(memory: f64) -> (Vec<Sample>, Vec<SessionDate>) {
    let bars = market(memory, 3);
    let dates = bars.iter().map(|bar| bar.session).collect();
    (samples(0, &bars, FeatureSet::default(), &LabelRule::default()), dates)
}

fn auc(trained: &Trained, part: &str) -> [f64; 2] {
    let comparison = trained.comparisons.iter().find(|one| one.part == part).unwrap();
    comparison.answers.map(|answer| answer.model.auc.unwrap())
}

#[test]
fn a_trend_is_learnt_and_forecast_better_than_its_base_rate() {
    let (all, dates) = data(0.9);
    let trained = train(&all, &dates, Settings { folds: 4, ..settings() });
    for part in ["cross-validated", "test"] {
        assert!(auc(&trained, part).iter().all(|auc| *auc > 0.65), "{part}: {:?}", auc(&trained, part));
    }
    let test = trained.comparisons.last().unwrap();
    for (answer, detail) in test.answers.iter().zip(&trained.details) {
        assert!(answer.model.log_loss < answer.base_rate.log_loss - 0.02, "{answer:?}");
        assert!(detail.importance.iter().any(|one| *one > 0.001) && detail.importance.len() == WIDTH);
        // Calibrated: where it says a probability, about that share comes true.
        let off = detail.reliability.iter().map(|bin| (bin.probability - bin.frequency).abs()).sum::<f64>();
        assert!(off / (detail.reliability.len() as f64) < 0.12, "{:?}", detail.reliability);
    }
}

#[test]
fn shuffled_labels_give_no_skill() {
    let (mut all, dates) = data(0.9);
    let mut labels: Vec<[bool; 2]> = all.iter().map(|sample| sample.label).collect();
    Random::new(8, 0).shuffle(&mut labels);
    all.iter_mut().zip(labels).for_each(|(sample, label)| sample.label = label);
    let trained = train(&all, &dates, settings());
    assert!(auc(&trained, "test").iter().all(|auc| (auc - 0.5).abs() < 0.07), "{:?}", auc(&trained, "test"));
    for answer in trained.comparisons.last().unwrap().answers {
        assert!(answer.model.log_loss > answer.base_rate.log_loss - 0.005, "{answer:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_else_runs() {
    let (all, dates) = data(0.9);
    let settings = Settings { epochs: 5, ..settings() };
    let alone = train(&all, &dates, settings.clone());
    let together: Vec<Trained> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| train(&all, &dates, settings.clone()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(together.iter().all(|one| *one == alone));
    let other = train(&all, &dates, Settings { seed: 2, ..settings });
    assert_ne!(other.weights, alone.weights);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let (mut all, dates) = data(0.0);
    let spans: Vec<Span> = all.iter().map(Span::from).collect();
    let split = in_time(&spans, &dates, dates[1_500], dates[2_000], 5);
    let early = in_time(&spans, &dates, dates[30], dates[2_000], 5);
    let said = Job::new(&all, early, settings()).unwrap_err().to_string();
    assert!(said.contains("training rows, and at least 50"), "{said}");
    let fast = Settings { learning_rate: 1e30, ..settings() };
    let mut job = Job::new(&all, split.clone(), fast).unwrap();
    assert!((0..20).any(|_| matches!(job.epoch(), Err(TrainError::Diverged))));
    all.iter_mut().for_each(|sample| sample.label[1] = false);
    let said = Job::new(&all, split, settings()).unwrap_err().to_string();
    assert!(said.contains("`short`"), "{said}");
}
