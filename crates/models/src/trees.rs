//! Gradient-boosted trees as LightGBM and XGBoost save them, computed as they compute them.
//!
//! [`lightgbm`] reads the text of `Booster.save_model`, [`xgboost`] the JSON of `save_model("model.json")`. A tree is a
//! list of nodes; a row falls from the first one to a leaf. Sums are made in each library's own precision and order.

pub mod lightgbm;
pub mod xgboost;

use crate::card::ModelError;

/// Where a row goes at a node.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    feature: usize,
    threshold: f64,
    /// Whether a value equal to the threshold goes to the left.
    equal_left: bool,
    missing: Missing,
    /// Where what is missing goes.
    default_left: bool,
    left: Next,
    right: Next,
}

/// What counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Nothing; what is no number counts as zero.
    Nothing,
    /// Zero.
    Zero,
    /// What is no number.
    NotANumber,
}

/// What comes after a node.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Next {
    Node(usize),
    Leaf(f64),
}

#[derive(Debug, Clone, PartialEq)]
struct Tree {
    /// In front of everything: a tree may be a leaf alone.
    root: Next,
    nodes: Vec<Node>,
}

/// From sums to probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Link {
    /// The logistic function of so many times the sum.
    Sigmoid(f64),
    /// Shares of the exponentials.
    Softmax,
}

/// Trees and what is made of their sums.
#[derive(Debug, Clone, PartialEq)]
pub struct Trees {
    features: usize,
    /// Where each sum starts.
    start: Vec<f64>,
    /// Trees with the sum they belong to.
    trees: Vec<(usize, Tree)>,
    link: Link,
    /// Sums are made in 32 bits, as XGBoost does.
    single: bool,
    /// Sums are means over so many rounds, as a random forest's are.
    rounds: f64,
}

impl Tree {
    /// The same tree; nothing when a node leads back, outside, or to a feature that is none.
    fn checked(self, features: usize) -> Option<Self> {
        let mut seen = vec![false; self.nodes.len()];
        let mut ahead = vec![self.root];
        while let Some(next) = ahead.pop() {
            match next {
                Next::Leaf(value) if value.is_finite() => {}
                Next::Leaf(_) => return None,
                Next::Node(at) => {
                    let node = self.nodes.get(at)?;
                    // A node that two lead to may lead to itself, and then no row would ever arrive.
                    if std::mem::replace(&mut seen[at], true) || node.feature >= features || node.threshold.is_nan() {
                        return None;
                    }
                    ahead.extend([node.left, node.right]);
                }
            }
        }
        Some(self)
    }

    fn leaf(&self, row: &[f32]) -> f64 {
        let mut next = self.root;
        loop {
            let at = match next {
                Next::Leaf(value) => return value,
                Next::Node(at) => at,
            };
            let node = &self.nodes[at];
            let mut value = f64::from(row[node.feature]);
            let missing = match node.missing {
                Missing::NotANumber => value.is_nan(),
                Missing::Zero => value.is_nan() || value.abs() <= 1e-35,
                Missing::Nothing => false,
            };
            if value.is_nan() && node.missing == Missing::Nothing {
                value = 0.0;
            }
            let left = if missing {
                node.default_left
            } else {
                value < node.threshold || node.equal_left && value == node.threshold
            };
            next = if left { node.left } else { node.right };
        }
    }
}

impl Trees {
    /// Width of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.features
    }

    /// How many probabilities there are: one for two classes.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.start.len()
    }

    /// Appends the probabilities of a row.
    pub fn predict(&self, row: &[f32], out: &mut Vec<f32>) {
        let mut sums = self.start.clone();
        for (of, tree) in &self.trees {
            let sum = &mut sums[*of];
            *sum += tree.leaf(row);
            if self.single {
                *sum = f64::from(*sum as f32);
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= self.rounds);
        match self.link {
            Link::Sigmoid(slope) => out.extend(sums.iter().map(|sum| (1.0 / (1.0 + libm::exp(-slope * sum))) as f32)),
            Link::Softmax => {
                let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = sums.iter().map(|sum| libm::exp(sum - most)).collect();
                let all: f64 = powers.iter().sum();
                out.extend(powers.iter().map(|power| (power / all) as f32));
            }
        }
    }
}

fn bad<T>(reason: impl Into<String>) -> Result<T, ModelError> {
    Err(ModelError::Weights { reason: reason.into() })
}
