//! The forward pass of a layer-normalised LSTM (Ba, Kiros and Hinton, 2016) with a dense head.
//!
//! ```text
//! i, f, g, o = norm_i(W_ih x) + norm_h(W_hh h)
//! c = sigmoid(f) * c + sigmoid(i) * tanh(g)
//! h = sigmoid(o) * tanh(norm_c(c))
//! ```

use crate::network::{Dense, sigmoid};

/// Added to a variance before its root is divided by, as PyTorch does.
pub const EPSILON: f32 = 1e-5;

/// Layer normalisation: mean 0 and deviation 1 over a vector, then scaled and shifted.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// By which each value is scaled.
    pub scale: Vec<f32>,
    /// By which each value is shifted.
    pub shift: Vec<f32>,
}

/// What the network remembers of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

/// The network.
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm {
    input: Dense,
    hidden: Dense,
    norms: [Norm; 3],
    head: Dense,
    /// Kept so that a row allocates nothing.
    from_input: Vec<f32>,
    from_hidden: Vec<f32>,
    cell: Vec<f32>,
    out: Vec<f32>,
}

impl Lstm {
    /// From the maps of row and hidden state to the four gates, the norms of both and of the cell, and the head;
    /// nothing when they do not fit together.
    #[must_use]
    pub fn new(input: Dense, hidden: Dense, norms: [Norm; 3], head: Dense) -> Option<Self> {
        let (units, gates) = (hidden.inputs(), input.outputs());
        let fits = gates == 4 * units && hidden.outputs() == gates && head.inputs() == units;
        let widths = [gates, gates, units];
        let normed =
            norms.iter().zip(widths).all(|(norm, width)| norm.scale.len() == width && norm.shift.len() == width);
        let (from_input, from_hidden, cell, out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        (fits && normed).then_some(Self { input, hidden, norms, head, from_input, from_hidden, cell, out })
    }

    /// Before anything was seen.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let units = self.hidden.inputs();
        Memory { hidden: vec![0.0; units], cell: vec![0.0; units] }
    }

    /// Takes the next row of a sequence; what the head says of it.
    pub fn step(&mut self, row: &[f32], memory: &mut Memory) -> &[f32] {
        self.input.apply(row, &mut self.from_input);
        self.hidden.apply(&memory.hidden, &mut self.from_hidden);
        let [norm_i, norm_h, norm_c] = &self.norms;
        norm_i.apply(&mut self.from_input);
        norm_h.apply(&mut self.from_hidden);
        let units = memory.cell.len();
        for (gate, other) in self.from_input.iter_mut().zip(&self.from_hidden) {
            *gate += other;
        }
        let (input, rest) = self.from_input.split_at(units);
        let (forget, rest) = rest.split_at(units);
        let (value, output) = rest.split_at(units);
        for (at, cell) in memory.cell.iter_mut().enumerate() {
            *cell = sigmoid(forget[at]) * *cell + sigmoid(input[at]) * libm::tanhf(value[at]);
        }
        self.cell.clone_from(&memory.cell);
        norm_c.apply(&mut self.cell);
        for ((hidden, output), cell) in memory.hidden.iter_mut().zip(output).zip(&self.cell) {
            *hidden = sigmoid(*output) * libm::tanhf(*cell);
        }
        self.head.apply(&memory.hidden, &mut self.out);
        &self.out
    }
}

impl Norm {
    fn apply(&self, values: &mut [f32]) {
        let count = values.len() as f32;
        let mean = sum(values, |value| value) / count;
        values.iter_mut().for_each(|value| *value -= mean);
        let variance = sum(values, |value| value * value) / count;
        let factor = 1.0 / (variance + EPSILON).sqrt();
        for ((value, scale), shift) in values.iter_mut().zip(&self.scale).zip(&self.shift) {
            *value = *value * factor * scale + shift;
        }
    }
}

/// A sum in eight lanes: always in the same order, and in vector instructions.
#[inline]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let lanes = values.chunks_exact(8);
    let rest: f32 = lanes.remainder().iter().map(|value| of(*value)).sum();
    let mut sums = [0.0; 8];
    for eight in lanes {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += of(*value);
        }
    }
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(width: usize) -> Norm {
        Norm { scale: vec![1.0; width], shift: vec![0.0; width] }
    }

    fn dense(inputs: usize, outputs: usize) -> Dense {
        let weights: Vec<f32> = (0..inputs * outputs).map(|at| ((at * 37 % 19) as f32 - 9.0) / 20.0).collect();
        Dense::new(inputs, outputs, &weights, &vec![0.0; outputs]).unwrap()
    }

    #[test]
    fn a_norm_has_mean_0_and_deviation_1() {
        let mut values: Vec<f32> = (0..19).map(|n| (n * n) as f32).collect();
        norm(19).apply(&mut values);
        let mean: f32 = values.iter().sum::<f32>() / 19.0;
        let variance: f32 = values.iter().map(|value| value * value).sum::<f32>() / 19.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        let mut same = [3.0; 4];
        norm(4).apply(&mut same);
        assert_eq!(same, [0.0; 4], "nothing varies, and nothing is divided by zero");
    }

    #[test]
    fn it_remembers_what_came_before() {
        let mut network = Lstm::new(dense(3, 16), dense(4, 16), [norm(16), norm(16), norm(4)], dense(4, 2)).unwrap();
        let (mut fresh, mut used) = (network.memory(), network.memory());
        network.step(&[1.0, -1.0, 0.5], &mut used);
        let after = network.step(&[0.0, 1.0, 0.0], &mut used).to_vec();
        assert_ne!(network.step(&[0.0, 1.0, 0.0], &mut fresh), after);
    }

    #[test]
    fn parts_that_do_not_fit_are_no_network() {
        let norms = || [norm(16), norm(16), norm(4)];
        assert!(Lstm::new(dense(3, 12), dense(4, 16), norms(), dense(4, 2)).is_none());
        assert!(Lstm::new(dense(3, 16), dense(4, 16), norms(), dense(3, 2)).is_none());
        assert!(Lstm::new(dense(3, 16), dense(4, 16), [norm(16), norm(15), norm(4)], dense(4, 2)).is_none());
    }
}
