//! Features: named, versioned functions of the bars known at a close.
//!
//! A set has a fingerprint, the hash of every feature's name, version and definition. A model stores the fingerprint
//! it was trained with; a program whose features have another one refuses the model, because the same numbers would
//! mean something else.

use domain::Ratio;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest average and rate of change.
const LONGEST: usize = 16;
/// Averages of 2 to [`LONGEST`] closes, and as many rates of change.
const SPANS: usize = LONGEST - 1;
/// The close and the averages, then the rates of change.
pub const WIDTH: usize = 1 + 2 * SPANS;

/// What stands for a feature before there are bars enough for it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmUp {
    /// No row until every feature is defined.
    #[default]
    Drop,
    /// The close for an average and zero for a rate of change, as the reference had it.
    Fill,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Grows when the definition changes.
    pub version: u32,
    /// What it is, exactly.
    pub definition: String,
    /// Closes it looks at.
    pub closes: usize,
}

/// The features of the reference: the close and its averages over 2 to 16 sessions, scaled to 0..1 within the row, and
/// the rates of change over 2 to 16 sessions.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureSet {
    /// Before there are bars enough.
    pub warm_up: WarmUp,
}

impl FeatureSet {
    /// Every feature, in the order of a row.
    #[must_use]
    pub fn features(self) -> Vec<Feature> {
        let scaled = "less the row's smallest of close and averages, over their range (0 where they are all equal)";
        let (for_average, for_rate) = match self.warm_up {
            WarmUp::Drop => ("", ""),
            WarmUp::Fill => ("; the close while there are fewer", "; 0 while there are fewer"),
        };
        let mut all = vec![Feature {
            name: "close_scaled".to_owned(),
            version: 1,
            definition: format!("the close, in shares of its day, {scaled}"),
            closes: 1,
        }];
        all.extend((2..=LONGEST).map(|n| Feature {
            name: format!("sma_{n}_scaled"),
            version: 1,
            definition: format!("the mean of the last {n} closes, restated for splits, {scaled}{for_average}"),
            closes: n,
        }));
        all.extend((2..=LONGEST).map(|n| Feature {
            name: format!("roc_{n}"),
            version: 1,
            definition: format!("the close over the close {n} sessions before, restated for splits, less 1{for_rate}"),
            closes: n + 1,
        }));
        all
    }

    /// The hash that stands for the set.
    #[must_use]
    pub fn fingerprint(self) -> String {
        let mut hash = Sha256::new();
        for feature in self.features() {
            hash.update(format!("{}\n{}\n{}\n", feature.name, feature.version, feature.definition));
        }
        hex(&hash.finalize())
    }

    /// Closes that must be known before there is a row.
    #[must_use]
    pub fn closes_needed(self) -> usize {
        match self.warm_up {
            WarmUp::Drop => LONGEST + 1,
            WarmUp::Fill => 1,
        }
    }
}

/// The last closes of one instrument, in shares of today.
#[derive(Debug, Clone)]
pub struct Window {
    set: FeatureSet,
    /// The newest last.
    closes: [f64; LONGEST + 1],
    known: usize,
}

impl Window {
    /// An empty one.
    #[must_use]
    pub fn new(set: FeatureSet) -> Self {
        Self { set, closes: [0.0; LONGEST + 1], known: 0 }
    }

    /// Takes the next close.
    #[inline]
    pub fn push(&mut self, close: f64) {
        self.closes.copy_within(1.., 0);
        self.closes[LONGEST] = close;
        self.known = (self.known + 1).min(LONGEST + 1);
    }

    /// Restates the closes in new shares.
    pub fn split(&mut self, ratio: Ratio) {
        let factor = ratio.denominator() as f64 / ratio.numerator() as f64;
        self.closes.iter_mut().for_each(|close| *close *= factor);
    }

    /// The row as of the last close; nothing before there are closes enough.
    #[inline]
    #[must_use]
    pub fn row(&self) -> Option<[f32; WIDTH]> {
        if self.known < self.set.closes_needed() {
            return None;
        }
        let close = self.closes[LONGEST];
        let mut levels = [close; 1 + SPANS];
        let mut sum = close;
        for n in 2..=self.known.min(LONGEST) {
            sum += self.closes[LONGEST + 1 - n];
            levels[n - 1] = sum / n as f64;
        }
        let lowest = levels.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = highest - lowest;
        let mut row = [0.0; WIDTH];
        if range > 0.0 {
            for (cell, level) in row.iter_mut().zip(levels) {
                *cell = ((level - lowest) / range) as f32;
            }
        }
        for n in 2..=LONGEST {
            if n < self.known {
                row[SPANS + n - 1] = (close / self.closes[LONGEST - n] - 1.0) as f32;
            }
        }
        Some(row)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(set: FeatureSet, closes: &[f64]) -> Vec<Option<[f32; WIDTH]>> {
        let mut window = Window::new(set);
        closes
            .iter()
            .map(|close| {
                window.push(*close);
                window.row()
            })
            .collect()
    }

    #[test]
    fn a_row_is_what_its_definitions_say() {
        let closes: Vec<f64> = (0..40).map(|n| 50.0 + f64::from(n * n % 17)).collect();
        let all = rows(FeatureSet::default(), &closes);
        assert!(all[..16].iter().all(Option::is_none) && all[16..].iter().all(Option::is_some));
        let (at, row) = (30, all[30].unwrap());
        let mean = |n: usize| closes[at + 1 - n..=at].iter().sum::<f64>() / n as f64;
        let levels: Vec<f64> = (1..=16).map(mean).collect();
        let (low, high) = levels.iter().fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        for (cell, level) in row.iter().zip(&levels) {
            assert!((f64::from(*cell) - (level - low) / (high - low)).abs() < 1e-6);
        }
        for n in 2..=16 {
            assert!((f64::from(row[n + 14]) - (closes[at] / closes[at - n] - 1.0)).abs() < 1e-6, "roc {n}");
        }
    }

    #[test]
    fn filled_rows_start_with_the_first_close_and_become_the_same() {
        let closes: Vec<f64> = (0..40).map(|n| 50.0 + f64::from(n * n % 17)).collect();
        let filled = rows(FeatureSet { warm_up: WarmUp::Fill }, &closes);
        assert_eq!(filled[0], Some([0.0; WIDTH]));
        assert_eq!(filled[1].unwrap()[16], 0.0, "no close two sessions before");
        assert_ne!(filled[2].unwrap()[16], 0.0);
        assert_eq!(filled[16..], rows(FeatureSet::default(), &closes)[16..]);
    }

    #[test]
    fn a_split_changes_no_row_and_a_flat_price_is_no_number_less() {
        let mut window = Window::new(FeatureSet::default());
        (0..20).for_each(|n| window.push(64.0 + f64::from(n)));
        let before = window.row();
        window.split(Ratio::new(2, 1).unwrap());
        assert_eq!(window.row(), before);
        let mut flat = Window::new(FeatureSet::default());
        (0..20).for_each(|_| flat.push(5.0));
        assert_eq!(flat.row(), Some([0.0; WIDTH]));
    }

    #[test]
    fn the_fingerprint_tells_sets_apart_and_stays() {
        let set = FeatureSet::default();
        assert_eq!(set.features().len(), WIDTH);
        assert_ne!(set.fingerprint(), FeatureSet { warm_up: WarmUp::Fill }.fingerprint());
        // Changes only with a definition, and then every stored model is refused: say so in the changelog.
        assert_eq!(&set.fingerprint()[..16], "d7b8adff480252d9");
        let longest = set.features().iter().map(|feature| feature.closes).max().unwrap();
        assert_eq!(set.closes_needed(), longest);
    }
}
