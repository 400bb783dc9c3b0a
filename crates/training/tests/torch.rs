//! The same network, first weights, batches and masks as PyTorch: the same losses, step by step.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use training::forecast::fit::{Fit, Rows, Settings};

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap() as f32).collect()
}

fn counts(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|one| one.as_u64().unwrap() as usize).collect()
}

/// PyTorch's weights, output by output, and biases as our flat list, input by input.
fn flat(widths: &[usize], tensors: &Value) -> Vec<f32> {
    let tensors: Vec<Vec<f32>> = tensors.as_array().unwrap().iter().map(floats).collect();
    let mut numbers = Vec::new();
    for (pair, tensors) in widths.windows(2).zip(tensors.chunks_exact(2)) {
        for input in 0..pair[0] {
            numbers.extend((0..pair[1]).map(|output| tensors[0][output * pair[0] + input]));
        }
        numbers.extend(&tensors[1]);
    }
    numbers
}

/// `tests/oracles/torch/mlp.py` makes the golden.
#[test]
fn losses_are_pytorchs_step_by_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/golden/models/mlp.json");
    let golden: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let widths = counts(&golden["widths"]);
    let rows = golden["rows"].as_array().unwrap();
    let outcomes = golden["outcomes"].as_array().unwrap().iter().map(|row| {
        let row = counts(row);
        [row[0] == 1, row[1] == 1]
    });
    let rows = Rows { width: widths[0], cells: rows.iter().flat_map(floats).collect(), outcomes: outcomes.collect() };
    let settings = Settings {
        widths: widths.clone(),
        epochs: 1,
        batch: 16,
        patience: 1,
        learning_rate: golden["learning_rate"].as_f64().unwrap(),
        dropout: golden["dropout"].as_f64().unwrap(),
        success_weights: floats(&golden["success_weights"]),
        seed: 0,
    };
    let kept = (1.0 / (1.0 - settings.dropout)) as f32;
    let mut fit = Fit::from_numbers(settings, flat(&widths, &golden["first"]));
    let steps = golden["batches"].as_array().unwrap().iter().zip(golden["masks"].as_array().unwrap());
    let losses = floats(&golden["losses"]);
    assert_eq!(steps.len(), losses.len());
    for (step, ((batch, masks), theirs)) in steps.zip(&losses).enumerate() {
        let lines = masks.as_array().unwrap().iter().flat_map(|line| line.as_str().unwrap().bytes());
        let masks: Vec<f32> = lines.map(|one| if one == b'1' { kept } else { 0.0 }).collect();
        let ours = fit.step(&rows, &counts(batch), &masks);
        assert!((ours - theirs).abs() < 1e-5, "step {step}: {ours} is not {theirs}");
    }
    let (ours, theirs) = (fit.numbers(), flat(&widths, &golden["last"]));
    let furthest = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-5, "weights are up to {furthest} apart");
}
