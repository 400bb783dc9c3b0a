//! Adam (Kingma and Ba), as PyTorch computes it.

use crate::real::Real;

/// Its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Size of a step.
    pub learning_rate: f64,
    /// How slowly the mean of the gradients forgets.
    pub beta_1: f64,
    /// How slowly the mean of their squares forgets.
    pub beta_2: f64,
    /// Keeps a step finite where gradients vanish.
    pub epsilon: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 }
    }
}

/// The optimiser's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam<R> {
    settings: Settings,
    /// Mean of the gradients.
    pub mean: Vec<R>,
    /// Mean of their squares.
    pub square: Vec<R>,
    /// Steps taken.
    pub steps: u64,
}

impl<R: Real> Adam<R> {
    /// For so many numbers.
    #[must_use]
    pub fn new(settings: Settings, count: usize) -> Self {
        Self { settings, mean: vec![R::default(); count], square: vec![R::default(); count], steps: 0 }
    }

    /// Makes the next steps smaller or larger.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.settings.learning_rate = learning_rate;
    }

    /// Moves the numbers against their gradients.
    pub fn step(&mut self, numbers: &mut [R], gradients: &[R]) {
        self.steps += 1;
        let Settings { learning_rate, beta_1, beta_2, epsilon } = self.settings;
        let steps = self.steps as f64;
        let size = R::of(learning_rate / (1.0 - libm::pow(beta_1, steps)));
        let correction = R::of((1.0 - libm::pow(beta_2, steps)).sqrt());
        let (keep_1, take_1) = (R::of(beta_1), R::of(1.0 - beta_1));
        let (keep_2, take_2) = (R::of(beta_2), R::of(1.0 - beta_2));
        let epsilon = R::of(epsilon);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((number, gradient), (mean, square)) in numbers.iter_mut().zip(gradients).zip(moments) {
            *mean = keep_1 * *mean + take_1 * *gradient;
            *square = keep_2 * *square + take_2 * *gradient * *gradient;
            *number -= size * (*mean / (square.sqrt() / correction + epsilon));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_learning_rate_and_it_finds_a_minimum() {
        let mut adam = Adam::new(Settings { learning_rate: 0.1, ..Settings::default() }, 2);
        let mut at = [5.0_f64, -3.0];
        adam.step(&mut at, &[12.0, -0.001]);
        assert!((at[0] - 4.9).abs() < 1e-6 && (at[1] + 2.9).abs() < 1e-5);
        for _ in 0..2_000 {
            let gradients = [2.0 * (at[0] - 1.0), 20.0 * (at[1] - 2.0)];
            adam.step(&mut at, &gradients);
        }
        assert!((at[0] - 1.0).abs() < 1e-3 && (at[1] - 2.0).abs() < 1e-3, "{at:?}");
    }
}
