//! Proximal policy optimisation (Schulman and others, 2017): what an action was worth, and the loss of a step.

use crate::real::Real;

/// What weighs how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// How far the chance of an action may move from what it was, as a fraction, before more of it earns nothing.
    pub clip: f64,
    /// How far a value may move before more of it earns nothing.
    pub value_clip: f64,
    /// What the critic's loss counts.
    pub value_weight: f64,
    /// What the entropy of the actions counts.
    pub entropy_weight: f64,
}

/// A step as it was when it was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken<R> {
    /// What was done.
    pub action: usize,
    /// Logarithm of its probability.
    pub log_probability: R,
    /// What the critic said of the state.
    pub value: R,
    /// How much better the action turned out than the state was thought to be.
    pub advantage: R,
    /// What the state turned out to be worth.
    pub gain: R,
}

/// Parts of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Terms<R> {
    /// Of the actor.
    pub policy: R,
    /// Of the critic.
    pub value: R,
    /// Of the distribution of actions.
    pub entropy: R,
}

impl<R: Real> Terms<R> {
    /// What is made small.
    #[must_use]
    pub fn total(&self, objective: &Objective) -> R {
        self.policy + R::of(objective.value_weight) * self.value - R::of(objective.entropy_weight) * self.entropy
    }
}

/// Generalised advantage estimation (Schulman and others, 2016) over one sequence; `values` has one more than
/// `rewards`, that of the state after the last step, because the sequence was cut off and did not end.
#[must_use]
pub fn advantages<R: Real>(rewards: &[R], values: &[R], discount: f64, lambda: f64) -> Vec<R> {
    let (discount, decay) = (R::of(discount), R::of(discount * lambda));
    let mut found = vec![R::default(); rewards.len()];
    let mut later = R::default();
    for (at, reward) in rewards.iter().enumerate().rev() {
        let surprise = *reward + discount * values[at + 1] - values[at];
        later = surprise + decay * later;
        found[at] = later;
    }
    found
}

/// Logarithms of the probabilities of logits.
pub fn log_probabilities<R: Real>(logits: &[R], out: &mut [R]) {
    let most = logits.iter().copied().fold(logits[0], Real::max);
    let sum: R = logits.iter().map(|logit| (*logit - most).exp()).sum();
    let norm = most + sum.ln();
    out.iter_mut().zip(logits).for_each(|(out, logit)| *out = *logit - norm);
}

/// The loss of one step, and `share` times its gradients: of the logits, then of the value.
pub fn loss<R: Real>(out: &[R], taken: &Taken<R>, objective: &Objective, share: R, gradients: &mut [R]) -> Terms<R> {
    let (value, logits) = out.split_last().map_or((R::default(), out), |(value, logits)| (*value, logits));
    let (of_value, of_logits) = match gradients.split_last_mut() {
        Some(split) => split,
        None => return Terms::default(),
    };
    log_probabilities(logits, of_logits);
    let log_probability = of_logits[taken.action];
    let entropy: R = of_logits.iter().map(|log| -(log.exp() * *log)).sum();

    let ratio = (log_probability - taken.log_probability).exp();
    let clip = R::of(objective.clip);
    let clipped = ratio.max(R::ONE - clip).min(R::ONE + clip);
    let (free, held) = (ratio * taken.advantage, clipped * taken.advantage);
    // Where the held one is smaller, the ratio is out of bounds, and moving it further earns nothing.
    let of_log_probability = if free <= held { -free } else { R::default() };

    let half = R::of(0.5);
    let clip = R::of(objective.value_clip);
    let moved = value - taken.value;
    let moved = if moved.abs() <= clip { value } else { taken.value + moved.max(-clip).min(clip) };
    let (off, off_moved) = (value - taken.gain, moved - taken.gain);
    let of_critic = if off * off >= off_moved * off_moved { off } else { R::default() };

    let entropy_weight = R::of(objective.entropy_weight);
    for (at, of) in of_logits.iter_mut().enumerate() {
        let (log, probability) = (*of, of.exp());
        let chosen = if at == taken.action { R::ONE } else { R::default() };
        let of_policy = of_log_probability * (chosen - probability);
        let of_entropy = -(probability * (log + entropy));
        *of = share * (of_policy - entropy_weight * of_entropy);
    }
    *of_value = share * R::of(objective.value_weight) * of_critic;
    Terms { policy: -free.min(held), value: half * (off * off).max(off_moved * off_moved), entropy }
}

/// Scales all gradients down to a length of at most `most` together; their length before.
pub fn clip_length<R: Real>(gradients: &mut [R], most: f64) -> f64 {
    let length = gradients.iter().map(|one| one.wide() * one.wide()).sum::<f64>().sqrt();
    if length > most {
        let factor = R::of(most / length);
        gradients.iter_mut().for_each(|one| *one = *one * factor);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const OBJECTIVE: Objective = Objective { clip: 0.2, value_clip: 0.3, value_weight: 0.5, entropy_weight: 0.02 };

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let mut random = Random::new(4, 0);
        let (mut held, mut still) = (0, 0);
        for _ in 0..500 {
            let out: Vec<f64> = (0..4).map(|_| random.normal()).collect();
            let action = random.below(3);
            let mut logs = [0.0; 3];
            log_probabilities(&out[..3], &mut logs);
            let taken = Taken {
                action,
                log_probability: logs[action] + 0.3 * random.normal(),
                value: out[3] + 0.5 * random.normal(),
                advantage: random.normal(),
                gain: random.normal(),
            };
            let mut gradients = [0.0; 4];
            let at = |out: &[f64]| loss(out, &taken, &OBJECTIVE, 1.0, &mut [0.0; 4]).total(&OBJECTIVE);
            loss(&out, &taken, &OBJECTIVE, 1.0, &mut gradients);
            for (index, gradient) in gradients.iter().enumerate() {
                let moved = |by: f64| {
                    let mut out = out.clone();
                    out[index] += by;
                    at(&out)
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slope - gradient).abs() < 1e-7, "{index}: {slope} is not {gradient} for {taken:?}");
            }
            let ratio = (logs[action] - taken.log_probability).exp();
            held += usize::from(ratio > 1.2 && taken.advantage > 0.0);
            still += usize::from(gradients[3] == 0.0);
        }
        assert!(held > 20 && still > 20, "the clipped cases must be among them: {held} {still}");
    }

    #[test]
    fn an_advantage_is_what_came_less_what_was_expected() {
        // Everything came as the critic said.
        let none = advantages(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0, 0.0], 1.0, 0.95);
        assert_eq!(none, [0.0; 3]);
        // With lambda 1 it is all that came, and the value after the end, less the value.
        let all = advantages(&[1.0, 2.0, 4.0], &[0.5, 0.0, 0.0, 8.0], 0.5, 1.0);
        assert_eq!(all, [1.0 + 1.0 + 1.0 + 1.0 - 0.5, 2.0 + 2.0 + 2.0, 8.0]);
    }

    #[test]
    fn a_long_gradient_is_cut_to_length_and_keeps_its_direction() {
        let mut gradients = [3.0, 4.0];
        assert_eq!(clip_length(&mut gradients, 0.5), 5.0);
        assert!((gradients[0] - 0.3_f64).abs() < 1e-12 && (gradients[1] - 0.4).abs() < 1e-12);
        assert_eq!(clip_length(&mut gradients, 1.0), 0.5);
    }
}
