//! A multilayer perceptron with its gradients: dense layers, rectifiers, inverted dropout after each hidden layer, and
//! binary cross-entropy on the logits.

use models::forecast::layer_name;
use models::weights::{Tensor, Tensors};

use crate::random::Random;
use crate::real::{Real, add_scaled, dot};

/// Shape of a network; its numbers are a flat list: of each layer the weights, input by input, then the biases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    widths: Vec<usize>,
}

/// What a pass over one row leaves behind for the next, so that a row allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct Workspace<R> {
    /// Of each layer the row that went in, after rectifier and mask.
    inputs: Vec<Vec<R>>,
    logits: Vec<R>,
    /// Gradients of the rows.
    above: Vec<R>,
    below: Vec<R>,
}

/// Which hidden units a batch keeps; `rate` is the chance of being dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// None at all at 0.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// Factors for `count` units: 0 for a dropped one, `1 / (1 - rate)` for the others.
    pub fn draw<R: Real>(&self, count: usize, random: &mut Random, masks: &mut Vec<R>) {
        let kept = R::of(1.0 / (1.0 - self.rate));
        masks.clear();
        masks.extend((0..count).map(|_| if random.unit() < self.rate { R::default() } else { kept }));
    }

    /// Whether nothing is ever dropped.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rate <= 0.0
    }
}

impl Network {
    /// From the width of the row to the width of the answer.
    #[must_use]
    pub fn new(widths: &[usize]) -> Self {
        Self { widths: widths.to_vec() }
    }

    /// Widths, from the row to the answer.
    #[must_use]
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// How many numbers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    /// Whether it has no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hidden units, of all layers together.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.widths.iter().skip(1).rev().skip(1).sum()
    }

    /// First numbers, as PyTorch's `Linear` draws them: evenly within one over the root of the layer's inputs.
    pub fn initial<R: Real>(&self, random: &mut Random) -> Vec<R> {
        let mut numbers = Vec::with_capacity(self.len());
        for pair in self.widths.windows(2) {
            let bound = 1.0 / (pair[0] as f64).sqrt();
            numbers.extend((0..(pair[0] + 1) * pair[1]).map(|_| R::of((random.unit() * 2.0 - 1.0) * bound)));
        }
        numbers
    }

    /// The logits of a row. `masks` are the factors of the hidden units, all ones when empty.
    pub fn logits<'a, R: Real>(&self, numbers: &[R], row: &[R], masks: &[R], work: &'a mut Workspace<R>) -> &'a [R] {
        let layers = self.widths.len() - 1;
        work.inputs.resize(layers, Vec::new());
        work.inputs[0].clear();
        work.inputs[0].extend_from_slice(row);
        let (mut rest, mut masks) = (numbers, masks);
        for (at, pair) in self.widths.windows(2).enumerate() {
            let (weights, after) = rest.split_at(pair[0] * pair[1]);
            let (bias, after) = after.split_at(pair[1]);
            rest = after;
            let (before, behind) = work.inputs.split_at_mut(at + 1);
            let out = behind.first_mut().unwrap_or(&mut work.logits);
            out.clear();
            out.extend_from_slice(bias);
            for (value, line) in before[at].iter().zip(weights.chunks_exact(pair[1])) {
                add_scaled(out, *value, line);
            }
            if at + 1 < layers {
                out.iter_mut().for_each(|value| *value = value.max(R::default()));
                if !masks.is_empty() {
                    let (own, after) = masks.split_at(pair[1]);
                    masks = after;
                    out.iter_mut().zip(own).for_each(|(value, mask)| *value = *value * *mask);
                }
            }
        }
        &work.logits
    }

    /// Adds the gradients of a row to `gradients`, from the gradients of its logits; the row is the one that
    /// [`Network::logits`] was given last.
    pub fn backward<R: Real>(
        &self,
        numbers: &[R],
        masks: &[R],
        of_logits: &[R],
        gradients: &mut [R],
        work: &mut Workspace<R>,
    ) {
        work.above.clear();
        work.above.extend_from_slice(of_logits);
        let (mut end, mut mask_end) = (self.len(), masks.len());
        for (at, pair) in self.widths.windows(2).enumerate().rev() {
            let start = end - (pair[0] + 1) * pair[1];
            let (weights, _) = numbers[start..end].split_at(pair[0] * pair[1]);
            let (of_weights, of_bias) = gradients[start..end].split_at_mut(pair[0] * pair[1]);
            of_bias.iter_mut().zip(&work.above).for_each(|(sum, one)| *sum += *one);
            let row = &work.inputs[at];
            for (value, line) in row.iter().zip(of_weights.chunks_exact_mut(pair[1])) {
                add_scaled(line, *value, &work.above);
            }
            if at > 0 {
                work.below.clear();
                work.below.extend(row.iter().zip(weights.chunks_exact(pair[1])).map(|(value, line)| {
                    // What the rectifier or the mask held back has no part in the loss.
                    if *value > R::default() { dot(line, &work.above) } else { R::default() }
                }));
                if !masks.is_empty() {
                    let own = &masks[mask_end - pair[0]..mask_end];
                    mask_end -= pair[0];
                    work.below.iter_mut().zip(own).for_each(|(one, mask)| *one = *one * *mask);
                }
                std::mem::swap(&mut work.above, &mut work.below);
            }
            end = start;
        }
    }

    /// The numbers as tensors with PyTorch's names and layout.
    #[must_use]
    pub fn tensors(&self, numbers: &[f32]) -> Tensors {
        let mut tensors = Tensors::new();
        let mut rest = numbers;
        for (at, pair) in self.widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let (weights, after) = rest.split_at(inputs * outputs);
            let (bias, after) = after.split_at(outputs);
            rest = after;
            let values =
                (0..outputs).flat_map(|output| weights.iter().skip(output).step_by(outputs).copied()).collect();
            let name = layer_name(at);
            tensors.insert(format!("{name}.weight"), Tensor { shape: vec![outputs, inputs], values });
            tensors.insert(format!("{name}.bias"), Tensor { shape: vec![outputs], values: bias.to_vec() });
        }
        tensors
    }
}

/// Binary cross-entropy of one logit, with what a success counts; and its derivative.
#[inline]
pub fn cross_entropy<R: Real>(logit: R, success: bool, weight: R) -> (R, R) {
    // ln(1 + e^x) without overflow.
    let softplus = logit.max(R::default()) + (-logit.abs()).exp().ln_1p();
    if success {
        (weight * (softplus - logit), weight * (logit.sigmoid() - R::ONE))
    } else {
        (softplus, logit.sigmoid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean loss of a batch and its gradients.
    fn loss(network: &Network, numbers: &[f64], rows: &[Vec<f64>], masks: &[Vec<f64>]) -> (f64, Vec<f64>) {
        let mut gradients = vec![0.0; network.len()];
        let mut work = Workspace::default();
        let (mut sum, cells) = (0.0, rows.len() as f64 * 2.0);
        for (n, (row, masks)) in rows.iter().zip(masks).enumerate() {
            let logits = network.logits(numbers, row, masks, &mut work).to_vec();
            let of: Vec<(f64, f64)> =
                logits.iter().enumerate().map(|(at, x)| cross_entropy(*x, (n + at) % 3 == 0, 1.7)).collect();
            sum += of.iter().map(|(loss, _)| loss).sum::<f64>() / cells;
            let of: Vec<f64> = of.iter().map(|(_, slope)| slope / cells).collect();
            network.backward(numbers, masks, &of, &mut gradients, &mut work);
        }
        (sum, gradients)
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let network = Network::new(&[5, 7, 4, 2]);
        let mut random = Random::new(3, 0);
        let numbers: Vec<f64> = network.initial(&mut random);
        let rows: Vec<Vec<f64>> = (0..6).map(|_| (0..5).map(|_| random.normal()).collect()).collect();
        for dropout in [0.0, 0.3] {
            let masks: Vec<Vec<f64>> = rows
                .iter()
                .map(|_| {
                    let mut masks = Vec::new();
                    Dropout::new(dropout).draw(network.hidden(), &mut random, &mut masks);
                    masks
                })
                .collect();
            let (_, gradients) = loss(&network, &numbers, &rows, &masks);
            let step = 1e-6;
            for at in 0..numbers.len() {
                let moved = |by: f64| {
                    let mut numbers = numbers.clone();
                    numbers[at] += by;
                    loss(&network, &numbers, &rows, &masks).0
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((slope - gradients[at]).abs() < 1e-8, "number {at}: {slope} is not {}", gradients[at]);
            }
        }
    }

    #[test]
    fn what_is_exported_predicts_the_same_bits() {
        let network = Network::new(&[31, 31, 15, 2]);
        let mut random = Random::new(5, 0);
        let numbers: Vec<f32> = network.initial(&mut random);
        assert_eq!(numbers.len(), 1_504);
        let mut exported = models::forecast::mlp(network.widths(), &network.tensors(&numbers)).unwrap();
        let mut work = Workspace::default();
        for _ in 0..20 {
            let row: Vec<f32> = (0..31).map(|_| random.normal() as f32).collect();
            assert_eq!(network.logits(&numbers, &row, &[], &mut work), exported.logits(&row));
        }
    }

    #[test]
    fn cross_entropy_does_not_overflow() {
        assert_eq!(cross_entropy(200.0_f32, true, 1.0), (0.0, 0.0));
        assert_eq!(cross_entropy(-200.0_f32, true, 2.0), (400.0, -2.0));
        assert_eq!(cross_entropy(200.0_f32, false, 2.0), (200.0, 1.0));
    }
}
