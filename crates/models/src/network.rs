//! The forward pass of a multilayer perceptron: dense layers with rectifiers between them.
//!
//! A weight matrix is kept in blocks of outputs, and in a block input by input, so that a row is a sum of scaled lines
//! that stays in the processor's registers. The compiler makes vector instructions of that without changing the order
//! of any addition, so a row gives the same bits on every machine.

/// Outputs of a block: as many sums as fit into registers.
const BLOCK: usize = 32;

/// `y = x W + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    inputs: usize,
    outputs: usize,
    /// Of each block of outputs first the biases, then a line for each input; filled up with zeros.
    blocks: Vec<[f32; BLOCK]>,
}

impl Dense {
    /// From a matrix in PyTorch's layout, one line of inputs for each output; nothing when the sizes do not agree.
    #[must_use]
    pub fn new(inputs: usize, outputs: usize, by_output: &[f32], bias: &[f32]) -> Option<Self> {
        if inputs == 0 || by_output.len() != inputs.checked_mul(outputs)? || bias.len() != outputs {
            return None;
        }
        let mut blocks = vec![[0.0; BLOCK]; outputs.div_ceil(BLOCK) * (1 + inputs)];
        for (output, (line, bias)) in by_output.chunks_exact(inputs).zip(bias).enumerate() {
            let block = &mut blocks[output / BLOCK * (1 + inputs)..];
            block[0][output % BLOCK] = *bias;
            for (input, value) in line.iter().enumerate() {
                block[1 + input][output % BLOCK] = *value;
            }
        }
        Some(Self { inputs, outputs, blocks })
    }

    /// Width of what goes in.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of what comes out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Computes a row.
    #[inline]
    pub fn apply(&self, row: &[f32], out: &mut Vec<f32>) {
        out.clear();
        for block in self.blocks.chunks_exact(1 + self.inputs) {
            let mut sums = block[0];
            for (value, line) in row.iter().zip(&block[1..]) {
                for (sum, weight) in sums.iter_mut().zip(line) {
                    *sum += value * weight;
                }
            }
            out.extend_from_slice(&sums);
        }
        out.truncate(self.outputs);
    }
}

/// Dense layers with rectifiers between them; the last one's sums are logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    layers: Vec<Dense>,
    /// Input and output of a layer, kept so that a row allocates nothing.
    row: Vec<f32>,
    next: Vec<f32>,
}

impl Mlp {
    /// Layers in order; nothing when there are none or one does not fit the next.
    #[must_use]
    pub fn new(layers: Vec<Dense>) -> Option<Self> {
        let fit = layers.windows(2).all(|pair| pair[0].outputs == pair[1].inputs);
        (fit && !layers.is_empty()).then(|| Self { layers, row: Vec::new(), next: Vec::new() })
    }

    /// Width of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, Dense::inputs)
    }

    /// How many logits there are.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Dense::outputs)
    }

    /// Computes the logits of a row.
    #[inline]
    pub fn logits(&mut self, row: &[f32]) -> &[f32] {
        self.next.clear();
        self.next.extend_from_slice(row);
        for (at, layer) in self.layers.iter().enumerate() {
            std::mem::swap(&mut self.row, &mut self.next);
            if at > 0 {
                self.row.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            layer.apply(&self.row, &mut self.next);
        }
        &self.next
    }
}

/// The logistic function, the same on every machine.
#[inline]
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-logit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_through_every_layer() {
        let first = Dense::new(2, 3, &[1.0, 2.0, -1.0, 0.5, 3.0, -4.0], &[0.5, 0.0, 1.0]).unwrap();
        let last = Dense::new(3, 1, &[1.0, 10.0, 100.0], &[-1.0]).unwrap();
        let mut network = Mlp::new(vec![first, last]).unwrap();
        // Sums 0.5 + 1 + 4, -1 + 1, 1 + 3 - 8; the last is cut off at zero.
        assert_eq!(network.logits(&[1.0, 2.0]), [5.5 - 1.0]);
        assert_eq!((network.inputs(), network.outputs()), (2, 1));
    }

    #[test]
    fn layers_that_do_not_fit_are_no_network() {
        let dense = |inputs, outputs| Dense::new(inputs, outputs, &vec![0.0; inputs * outputs], &vec![0.0; outputs]);
        assert!(Mlp::new(vec![dense(2, 3).unwrap(), dense(2, 1).unwrap()]).is_none());
        assert!(Mlp::new(vec![]).is_none());
        assert!(Dense::new(2, 2, &[0.0; 3], &[0.0; 2]).is_none() && Dense::new(0, 2, &[], &[0.0; 2]).is_none());
    }

    #[test]
    fn the_logistic_function_goes_from_zero_to_one() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(-200.0) == 0.0 && sigmoid(200.0) == 1.0);
        assert!((sigmoid(1.0) - 0.731_058_6).abs() < 1e-6);
    }
}
