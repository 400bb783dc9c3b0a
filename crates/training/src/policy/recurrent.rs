//! The layer-normalised LSTM of a policy with its gradients, over whole sequences: an actor and a critic share it.
//!
//! The forward pass is that of [`models::lstm`], operation by operation, so that what is exported acts as it was
//! trained.

use std::ops::Range;

use models::weights::{Tensor, Tensors};

use crate::random::Random;
use crate::real::{Real, add_product, add_scaled, dot, multiply, sum};

/// Shape of a network; its numbers are a flat list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recurrent {
    inputs: usize,
    units: usize,
    actions: usize,
}

/// Where the parts of a network lie in the list of its numbers. A map is kept input by input.
#[derive(Debug, Clone)]
struct Places {
    input: Range<usize>,
    hidden: Range<usize>,
    /// Scale and shift of the norms of row, hidden state and cell.
    norms: [[Range<usize>; 2]; 3],
    /// Logits of the actions, then the critic's value.
    head: Range<usize>,
    bias: Range<usize>,
}

/// What a pass over a sequence leaves behind for the way back; reused.
#[derive(Debug, Clone, Default)]
pub struct Trace<R> {
    steps: usize,
    rows: Vec<R>,
    /// Hidden state and cell before each step, and after the last.
    hidden: Vec<R>,
    cell: Vec<R>,
    /// Normalised sums from row and hidden state, and what they were divided by.
    from_input: Normed<R>,
    from_hidden: Normed<R>,
    from_cell: Normed<R>,
    /// Gates after their functions: input, forget, value, output.
    gates: Vec<R>,
    /// Hyperbolic tangent of the normalised cell.
    shown: Vec<R>,
    out: Vec<R>,
    scratch: Vec<R>,
}

#[derive(Debug, Clone, Default)]
struct Normed<R> {
    values: Vec<R>,
    factors: Vec<R>,
}

impl<R: Real> Normed<R> {
    fn reset(&mut self, steps: usize, width: usize) {
        self.values.clear();
        self.values.resize(steps * width, R::default());
        self.factors.clear();
    }

    /// Normalises the values of a step; the next one is appended.
    fn normalise(&mut self, step: usize, width: usize) -> &[R] {
        let values = &mut self.values[step * width..(step + 1) * width];
        let count = R::of(width as f64);
        let mean = sum(values, |value| value) / count;
        values.iter_mut().for_each(|value| *value -= mean);
        let variance = sum(values, |value| value * value) / count;
        let factor = R::ONE / (variance + R::of(f64::from(models::lstm::EPSILON))).sqrt();
        values.iter_mut().for_each(|value| *value = *value * factor);
        self.factors.push(factor);
        values
    }

    /// From the gradients of the scaled and shifted values of a step to those of what went in; adds those of scale and
    /// shift.
    fn back(&self, step: usize, above: &mut [R], scale: &[R], of_scale: &mut [R], of_shift: &mut [R]) {
        let width = above.len();
        let values = &self.values[step * width..(step + 1) * width];
        for (at, above) in above.iter_mut().enumerate() {
            of_shift[at] += *above;
            of_scale[at] += *above * values[at];
            *above = *above * scale[at];
        }
        let count = R::of(width as f64);
        let mean = sum(above, |value| value) / count;
        let along = dot(above, values) / count;
        for (above, value) in above.iter_mut().zip(values) {
            *above = (*above - mean - *value * along) * self.factors[step];
        }
    }
}

impl<R: Real> Trace<R> {
    /// Logits of a step, then the value.
    #[must_use]
    pub fn out(&self, step: usize) -> &[R] {
        let width = self.out.len() / self.steps.max(1);
        &self.out[step * width..(step + 1) * width]
    }

    /// Steps it has seen.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl Recurrent {
    /// From a row of so many numbers, through so many units, to so many actions.
    #[must_use]
    pub fn new(inputs: usize, units: usize, actions: usize) -> Self {
        Self { inputs, units, actions }
    }

    /// How many numbers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places().bias.end
    }

    /// Whether it has no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Logits and value.
    fn answers(&self) -> usize {
        self.actions + 1
    }

    fn gates(&self) -> usize {
        4 * self.units
    }

    fn places(&self) -> Places {
        let mut end = 0;
        let mut take = |count: usize| {
            let start = end;
            end += count;
            start..end
        };
        Places {
            input: take(self.inputs * self.gates()),
            hidden: take(self.units * self.gates()),
            norms: [self.gates(), self.gates(), self.units].map(|width| [take(width), take(width)]),
            head: take(self.units * self.answers()),
            bias: take(self.answers()),
        }
    }

    /// First numbers: maps evenly within one over the root of the units, as PyTorch draws them; the forget gate open;
    /// every action almost equally likely.
    pub fn initial<R: Real>(&self, random: &mut Random) -> Vec<R> {
        let mut numbers = vec![R::default(); self.len()];
        let places = self.places();
        let bound = 1.0 / (self.units as f64).sqrt();
        for place in [&places.input, &places.hidden, &places.head] {
            for number in &mut numbers[place.clone()] {
                *number = R::of((random.unit() * 2.0 - 1.0) * bound);
            }
        }
        for [scale, _] in &places.norms {
            numbers[scale.clone()].fill(R::ONE);
        }
        let forget = places.norms[1][1].start + self.units;
        numbers[forget..forget + self.units].fill(R::ONE);
        for line in numbers[places.head].chunks_exact_mut(self.answers()) {
            line[..self.actions].iter_mut().for_each(|number| *number = *number * R::of(0.01));
        }
        numbers
    }

    /// Forgets everything: the next step is a sequence's first.
    pub fn start<R: Real>(&self, trace: &mut Trace<R>) {
        trace.steps = 0;
        for (list, width) in [(&mut trace.hidden, self.units), (&mut trace.cell, self.units)] {
            list.clear();
            list.resize(width, R::default());
        }
        for list in [&mut trace.rows, &mut trace.gates, &mut trace.shown, &mut trace.out] {
            list.clear();
        }
        for (normed, width) in [
            (&mut trace.from_input, self.gates()),
            (&mut trace.from_hidden, self.gates()),
            (&mut trace.from_cell, self.units),
        ] {
            normed.reset(0, width);
        }
    }

    /// Goes on with the rows that come next, one after the other.
    pub fn forward<R: Real>(&self, numbers: &[R], rows: &[R], trace: &mut Trace<R>) {
        let (units, gates, answers) = (self.units, self.gates(), self.answers());
        let places = self.places();
        let of = |place: &Range<usize>| &numbers[place.clone()];
        let (first, count) = (trace.steps, rows.len() / self.inputs);
        let last = first + count;
        trace.steps = last;
        trace.rows.extend_from_slice(rows);
        trace.from_input.values.resize(last * gates, R::default());
        // The rows do not depend on each other, so their sums are made at once.
        multiply(rows, self.inputs, of(&places.input), &mut trace.from_input.values[first * gates..]);
        trace.from_hidden.values.resize(last * gates, R::default());
        trace.from_cell.values.resize(last * units, R::default());
        trace.out.resize(last * answers, R::default());
        let [[scale_i, shift_i], [scale_h, shift_h], [scale_c, shift_c]] =
            places.norms.each_ref().map(|[scale, shift]| [of(scale), of(shift)]);
        for step in first..last {
            let before = &trace.hidden[step * units..(step + 1) * units];
            let sums = &mut trace.from_hidden.values[step * gates..(step + 1) * gates];
            multiply(before, units, of(&places.hidden), sums);
            let own = trace.from_input.normalise(step, gates).iter().zip(trace.from_hidden.normalise(step, gates));
            let scales = scale_i.iter().zip(shift_i).zip(scale_h.iter().zip(shift_h));
            trace.gates.extend(own.zip(scales).enumerate().map(|(at, ((i, h), ((si, bi), (sh, bh))))| {
                let gate = (*i * *si + *bi) + (*h * *sh + *bh);
                if (2 * units..3 * units).contains(&at) { gate.tanh() } else { gate.sigmoid() }
            }));
            let (input, rest) = trace.gates[step * gates..].split_at(units);
            let (forget, rest) = rest.split_at(units);
            let (value, output) = rest.split_at(units);
            for at in 0..units {
                let cell = forget[at] * trace.cell[step * units + at] + input[at] * value[at];
                trace.cell.push(cell);
                trace.from_cell.values[step * units + at] = cell;
            }
            let normed = trace.from_cell.normalise(step, units);
            for at in 0..units {
                let shown = (normed[at] * scale_c[at] + shift_c[at]).tanh();
                trace.shown.push(shown);
                trace.hidden.push(output[at] * shown);
            }
            let out = &mut trace.out[step * answers..(step + 1) * answers];
            out.copy_from_slice(of(&places.bias));
            let after = &trace.hidden[(step + 1) * units..];
            for (value, line) in after.iter().zip(of(&places.head).chunks_exact(answers)) {
                add_scaled(out, *value, line);
            }
        }
    }

    /// Adds the gradients of a sequence to `gradients`, from the gradients of its logits and values, step by step.
    pub fn backward<R: Real>(&self, numbers: &[R], trace: &mut Trace<R>, of_out: &[R], gradients: &mut [R]) {
        let (units, gates, answers) = (self.units, self.gates(), self.answers());
        let places = self.places();
        let of = |place: &Range<usize>| &numbers[place.clone()];
        let steps = trace.steps;
        let mut of_hidden = vec![R::default(); units];
        let mut of_cell = vec![R::default(); units];
        let mut of_normed = vec![R::default(); units];
        // Gradients of the sums from the rows, then of those from the hidden states.
        trace.scratch.clear();
        trace.scratch.resize(2 * steps * gates, R::default());
        let (from_input, from_hidden) = trace.scratch.split_at_mut(steps * gates);
        let (of_maps, of_rest) = gradients.split_at_mut(places.norms[0][0].start);
        let (of_norms, of_head) = of_rest.split_at_mut(places.head.start - places.norms[0][0].start);
        let (norm_i, rest) = of_norms.split_at_mut(2 * gates);
        let (norm_h, norm_c) = rest.split_at_mut(2 * gates);
        for step in (0..steps).rev() {
            let above = &of_out[step * answers..(step + 1) * answers];
            for (of_hidden, line) in of_hidden.iter_mut().zip(of(&places.head).chunks_exact(answers)) {
                *of_hidden += line.iter().zip(above).map(|(weight, above)| *weight * *above).sum();
            }
            let gate = &trace.gates[step * gates..(step + 1) * gates];
            let shown = &trace.shown[step * units..(step + 1) * units];
            let (below, _) = from_input[step * gates..].split_at_mut(gates);
            for at in 0..units {
                let output = gate[3 * units + at];
                below[3 * units + at] = of_hidden[at] * shown[at] * output * (R::ONE - output);
                of_normed[at] = of_hidden[at] * output * (R::ONE - shown[at] * shown[at]);
            }
            let (of_scale, of_shift) = norm_c.split_at_mut(units);
            trace.from_cell.back(step, &mut of_normed, of(&places.norms[2][0]), of_scale, of_shift);
            for at in 0..units {
                let of_this = of_cell[at] + of_normed[at];
                let (input, forget, value) = (gate[at], gate[units + at], gate[2 * units + at]);
                below[at] = of_this * value * input * (R::ONE - input);
                below[units + at] = of_this * trace.cell[step * units + at] * forget * (R::ONE - forget);
                below[2 * units + at] = of_this * input * (R::ONE - value * value);
                of_cell[at] = of_this * forget;
            }
            let other = &mut from_hidden[step * gates..(step + 1) * gates];
            other.copy_from_slice(below);
            let (of_scale, of_shift) = norm_i.split_at_mut(gates);
            trace.from_input.back(step, below, of(&places.norms[0][0]), of_scale, of_shift);
            let (of_scale, of_shift) = norm_h.split_at_mut(gates);
            trace.from_hidden.back(step, other, of(&places.norms[1][0]), of_scale, of_shift);
            for (of_hidden, line) in of_hidden.iter_mut().zip(of(&places.hidden).chunks_exact(gates)) {
                *of_hidden = dot(line, other);
            }
        }
        let (of_input, of_recurrent) = of_maps.split_at_mut(places.input.end);
        add_product(&trace.rows, self.inputs, from_input, of_input);
        add_product(&trace.hidden[..steps * units], units, from_hidden, of_recurrent);
        let (of_head, of_bias) = of_head.split_at_mut(units * answers);
        add_product(&trace.hidden[units..], units, of_out, of_head);
        for above in of_out.chunks_exact(answers) {
            of_bias.iter_mut().zip(above).for_each(|(sum, one)| *sum += *one);
        }
    }

    /// The numbers as tensors with the names and layout of a PyTorch module.
    #[must_use]
    pub fn tensors(&self, numbers: &[f32]) -> Tensors {
        let places = self.places();
        // From input by input to output by output.
        let turned = |place: &Range<usize>, outputs: usize, range: Range<usize>| -> Vec<f32> {
            let map = &numbers[place.clone()];
            range.flat_map(|output| map.iter().skip(output).step_by(outputs).copied()).collect()
        };
        let (gates, answers, actions) = (self.gates(), self.answers(), self.actions);
        let mut tensors = Tensors::new();
        let mut put = |name: &str, shape: &[usize], values: Vec<f32>| {
            tensors.insert(name.to_owned(), Tensor { shape: shape.to_vec(), values });
        };
        put("lstm.weight_ih", &[gates, self.inputs], turned(&places.input, gates, 0..gates));
        put("lstm.weight_hh", &[gates, self.units], turned(&places.hidden, gates, 0..gates));
        for (name, [scale, shift]) in ["layernorm_i", "layernorm_h", "layernorm_c"].iter().zip(&places.norms) {
            put(&format!("lstm.{name}.weight"), &[scale.len()], numbers[scale.clone()].to_vec());
            put(&format!("lstm.{name}.bias"), &[shift.len()], numbers[shift.clone()].to_vec());
        }
        let bias = &numbers[places.bias.clone()];
        put("actor.weight", &[actions, self.units], turned(&places.head, answers, 0..actions));
        put("actor.bias", &[actions], bias[..actions].to_vec());
        put("critic.weight", &[1, self.units], turned(&places.head, answers, actions..answers));
        put("critic.bias", &[1], bias[actions..].to_vec());
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: Recurrent = Recurrent { inputs: 5, units: 9, actions: 3 };

    fn random_rows(steps: usize, random: &mut Random) -> Vec<f64> {
        (0..steps * NETWORK.inputs).map(|_| random.normal()).collect()
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let mut random = Random::new(11, 0);
        // Off their first values, so that no gradient is small by chance.
        let numbers: Vec<f64> =
            NETWORK.initial::<f64>(&mut random).iter().map(|number| number + 0.2 * random.normal()).collect();
        let rows = random_rows(7, &mut random);
        let wanted: Vec<f64> = (0..7 * 4).map(|_| random.normal()).collect();
        let mut trace = Trace::default();
        let mut loss = |numbers: &[f64]| -> f64 {
            NETWORK.start(&mut trace);
            NETWORK.forward(numbers, &rows, &mut trace);
            (0..7).flat_map(|step| trace.out(step).to_vec()).zip(&wanted).map(|(out, wanted)| out * out * wanted).sum()
        };
        let at_rest = loss(&numbers);
        assert!(at_rest.is_finite());
        let mut trace = Trace::default();
        NETWORK.start(&mut trace);
        NETWORK.forward(&numbers, &rows, &mut trace);
        let of_out: Vec<f64> =
            (0..7).flat_map(|step| trace.out(step).to_vec()).zip(&wanted).map(|(out, by)| 2.0 * out * by).collect();
        let mut gradients = vec![0.0; NETWORK.len()];
        NETWORK.backward(&numbers, &mut trace, &of_out, &mut gradients);
        let step = 1e-6;
        for at in 0..numbers.len() {
            let mut moved = |by: f64| {
                let mut numbers = numbers.clone();
                numbers[at] += by;
                loss(&numbers)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            let off = (slope - gradients[at]).abs();
            assert!(off < 1e-6 * (1.0 + slope.abs()), "number {at}: {slope} is not {}", gradients[at]);
        }
    }

    #[test]
    fn a_sequence_in_pieces_is_the_whole_sequence() {
        let mut random = Random::new(2, 0);
        let numbers: Vec<f64> = NETWORK.initial(&mut random);
        let rows = random_rows(6, &mut random);
        let (mut whole, mut pieces) = (Trace::default(), Trace::default());
        NETWORK.start(&mut whole);
        NETWORK.forward(&numbers, &rows, &mut whole);
        NETWORK.start(&mut pieces);
        for piece in rows.chunks(2 * NETWORK.inputs) {
            NETWORK.forward(&numbers, piece, &mut pieces);
        }
        assert_eq!(whole.out, pieces.out);
        assert_eq!(whole.hidden, pieces.hidden);
    }

    #[test]
    fn what_is_exported_says_the_same_bits() {
        let network = Recurrent::new(32, 20, 3);
        let mut random = Random::new(5, 0);
        let numbers: Vec<f32> = network.initial::<f32>(&mut random).iter().map(|n| n * 1.5 + 0.01).collect();
        let mut exported = models::policy::lstm(32, 20, &network.tensors(&numbers)).unwrap();
        let mut memory = exported.memory();
        let mut trace = Trace::default();
        network.start(&mut trace);
        for step in 0..30 {
            let row: Vec<f32> = (0..32).map(|_| random.normal() as f32).collect();
            network.forward(&numbers, &row, &mut trace);
            assert_eq!(trace.out(step)[..3], *exported.step(&row, &mut memory), "step {step}");
        }
    }
}
