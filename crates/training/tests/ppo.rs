//! PPO's losses, its advantages and the network's forward pass are those of a reference in NumPy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use training::policy::ppo::{Objective, Taken, Terms, advantages, loss};
use training::policy::recurrent::{Recurrent, Trace};

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect()
}

fn close(ours: &[f64], theirs: &[f64], what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() < 1e-9, "{what} {at}: {ours} is not {theirs}");
    }
}

/// `tests/oracles/make_ppo.py` makes the golden.
#[test]
fn losses_and_advantages_are_numpys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/golden/models/ppo.json");
    let golden: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let count = |name: &str| golden[name].as_u64().unwrap() as usize;
    let (inputs, units, actions) = (count("inputs"), count("units"), count("actions"));

    let network = Recurrent::new(inputs, units, actions);
    let numbers = floats(&golden["numbers"]);
    assert_eq!(numbers.len(), network.len());
    let mut trace = Trace::default();
    network.start(&mut trace);
    network.forward(&numbers, &floats(&golden["rows"]), &mut trace);
    let out: Vec<f64> = (0..trace.steps()).flat_map(|step| trace.out(step).to_vec()).collect();
    close(&out, &floats(&golden["out"]), "output");

    let gae = &golden["gae"];
    let number = |value: &Value| value.as_f64().unwrap();
    let found =
        advantages(&floats(&gae["rewards"]), &floats(&gae["values"]), number(&gae["discount"]), number(&gae["lambda"]));
    close(&found, &floats(&gae["advantages"]), "advantage");

    let of = |name: &str| number(&golden["objective"][name]);
    let objective = Objective {
        clip: of("clip"),
        value_clip: of("value_clip"),
        value_weight: of("value_weight"),
        entropy_weight: of("entropy_weight"),
    };
    let taken = &golden["taken"];
    let column = |name: &str| floats(&taken[name]);
    let chosen: Vec<usize> =
        taken["actions"].as_array().unwrap().iter().map(|one| one.as_u64().unwrap() as usize).collect();
    let (log_probabilities, values) = (column("log_probabilities"), column("values"));
    let (advantages, gains) = (column("advantages"), column("gains"));
    let steps = chosen.len() as f64;
    let mut mean = Terms { policy: 0.0, value: 0.0, entropy: 0.0 };
    for (at, action) in chosen.iter().enumerate() {
        let taken = Taken {
            action: *action,
            log_probability: log_probabilities[at],
            value: values[at],
            advantage: advantages[at],
            gain: gains[at],
        };
        let terms = loss(trace.out(at), &taken, &objective, 1.0, &mut vec![0.0; actions + 1]);
        mean.policy += terms.policy / steps;
        mean.value += terms.value / steps;
        mean.entropy += terms.entropy / steps;
    }
    let theirs = &golden["loss"];
    let ours = [mean.policy, mean.value, mean.entropy, mean.total(&objective)];
    let theirs = ["policy", "value", "entropy", "total"].map(|name| number(&theirs[name]));
    close(&ours, &theirs, "loss");
}
