//! Indicators over the last closes of one instrument.
//!
//! Sums and extremes are kept on integers, so that a window gives the same answer however it was reached.

use domain::{Price, Ratio};

/// The last `n` prices, oldest first out.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    prices: Box<[i64]>,
    next: usize,
    filled: usize,
}

impl Window {
    pub(crate) fn new(length: usize) -> Self {
        Self { prices: vec![0; length.max(1)].into_boxed_slice(), next: 0, filled: 0 }
    }

    /// Whether `length` prices have been seen.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.filled == self.prices.len()
    }

    /// The price pushed `age` pushes ago; zero before that many.
    #[inline]
    fn back(&self, age: usize) -> i64 {
        let length = self.prices.len();
        let at = self.next + length - age;
        self.prices[if at >= length { at - length } else { at }]
    }

    /// Remembers a price.
    #[inline]
    pub(crate) fn push(&mut self, price: i64) {
        self.prices[self.next] = price;
        self.next = if self.next + 1 == self.prices.len() { 0 } else { self.next + 1 };
        self.filled = (self.filled + 1).min(self.prices.len());
    }

    fn restate(&mut self, ratio: Ratio) {
        for price in &mut self.prices {
            // A price that overflows cannot be restated and was not tradable either.
            *price = ratio.price(Price::from_units(*price)).map_or(i64::MAX, Price::units);
        }
    }

    fn iter(&self) -> impl Iterator<Item = i64> {
        let from = self.prices.len() - self.filled;
        (0..self.filled).map(move |at| self.back(self.prices.len() - from - at))
    }
}

/// Two simple moving averages over the same closes, compared exactly.
#[derive(Debug, Clone)]
pub struct SmaPair {
    window: Window,
    fast: usize,
    fast_sum: i128,
    slow_sum: i128,
}

impl SmaPair {
    /// Averages over `fast` and `slow` closes, each at least one.
    #[must_use]
    pub fn new(fast: usize, slow: usize) -> Self {
        let (fast, slow) = (fast.max(1), slow.max(1));
        Self { window: Window::new(slow.max(fast)), fast: fast.min(slow), fast_sum: 0, slow_sum: 0 }
    }

    /// Takes a close; says how the fast average stands to the slow one once both are defined.
    #[inline]
    pub fn update(&mut self, close: Price) -> Option<std::cmp::Ordering> {
        let price = close.units();
        let slow = self.window.prices.len();
        self.fast_sum += i128::from(price) - i128::from(self.window.back(self.fast));
        self.slow_sum += i128::from(price) - i128::from(self.window.back(slow));
        self.window.push(price);
        // fast_sum / fast against slow_sum / slow, without a division.
        self.window.is_full().then(|| (self.fast_sum * slow as i128).cmp(&(self.slow_sum * self.fast as i128)))
    }

    /// Restates remembered closes after a split.
    pub fn split(&mut self, ratio: Ratio) {
        self.window.restate(ratio);
        let filled = self.window.filled;
        self.slow_sum = self.window.iter().map(i128::from).sum();
        self.fast_sum = self.window.iter().skip(filled.saturating_sub(self.fast)).map(i128::from).sum();
    }
}

/// Exponential moving average with weight `2 / (n + 1)`, seeded with the simple average of the first `n` closes.
#[derive(Debug, Clone)]
pub struct Ema {
    period: usize,
    weight: f64,
    seen: usize,
    sum: i128,
    value: f64,
}

impl Ema {
    /// An average of period `n`, at least one.
    #[must_use]
    pub fn new(period: usize) -> Self {
        let period = period.max(1);
        Self { period, weight: 2.0 / (1.0 + period as f64), seen: 0, sum: 0, value: 0.0 }
    }

    /// Takes a close; the average once `n` have been seen.
    #[inline]
    pub fn update(&mut self, close: Price) -> Option<f64> {
        if self.seen >= self.period {
            self.value = self.value * (1.0 - self.weight) + close.to_f64() * self.weight;
            return Some(self.value);
        }
        self.seen += 1;
        self.sum += i128::from(close.units());
        if self.seen < self.period {
            return None;
        }
        self.value = self.sum as f64 / Price::UNITS as f64 / self.period as f64;
        Some(self.value)
    }

    /// Restates the average after a split.
    pub fn split(&mut self, ratio: Ratio) {
        self.value /= ratio.to_f64();
        self.sum = self.sum * i128::from(ratio.denominator()) / i128::from(ratio.numerator());
    }
}

/// Highest and lowest of the last `n` values.
#[derive(Debug, Clone)]
pub struct Extremes {
    highs: Window,
    lows: Window,
    highest: i64,
    lowest: i64,
}

impl Extremes {
    /// Extremes over `n` bars, at least one.
    #[must_use]
    pub fn new(period: usize) -> Self {
        Self { highs: Window::new(period), lows: Window::new(period), highest: 0, lowest: 0 }
    }

    /// Highest and lowest of the last `n` bars, once so many have been seen.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<(Price, Price)> {
        self.highs.is_full().then(|| (Price::from_units(self.highest), Price::from_units(self.lowest)))
    }

    /// Takes a bar's high and low.
    #[inline]
    pub fn update(&mut self, high: Price, low: Price) {
        let (high, low) = (high.units(), low.units());
        let full = self.highs.is_full();
        let length = self.highs.prices.len();
        let (leaving_high, leaving_low) = (self.highs.back(length), self.lows.back(length));
        self.highs.push(high);
        self.lows.push(low);
        // The window is searched only when the extreme itself leaves it.
        self.highest = if full && leaving_high == self.highest || self.highs.filled == 1 {
            self.highs.iter().max().unwrap_or(high)
        } else {
            self.highest.max(high)
        };
        self.lowest = if full && leaving_low == self.lowest || self.lows.filled == 1 {
            self.lows.iter().min().unwrap_or(low)
        } else {
            self.lowest.min(low)
        };
    }

    /// Restates remembered prices after a split.
    pub fn split(&mut self, ratio: Ratio) {
        self.highs.restate(ratio);
        self.lows.restate(ratio);
        self.highest = self.highs.iter().max().unwrap_or_default();
        self.lowest = self.lows.iter().min().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(cents: i64) -> Price {
        Price::from_units(cents * 10_000_000)
    }

    proptest! {
        #[test]
        fn averages_equal_their_definition(cents in proptest::collection::vec(1_i64..100_000, 1..80), fast in 1_usize..10, extra in 0_usize..20) {
            let slow = fast + extra;
            let mut pair = SmaPair::new(fast, slow);
            for end in 1..=cents.len() {
                let got = pair.update(price(cents[end - 1]));
                let mean = |n: usize| cents[end - n..end].iter().sum::<i64>() * (fast * slow / n) as i64;
                let wanted = (end >= slow).then(|| mean(fast).cmp(&mean(slow)));
                prop_assert_eq!(got, wanted);
            }
        }

        #[test]
        fn extremes_equal_their_definition(cents in proptest::collection::vec((1_i64..1_000, 0_i64..10), 1..80), period in 1_usize..12) {
            let mut extremes = Extremes::new(period);
            for end in 1..=cents.len() {
                let (low, range) = cents[end - 1];
                extremes.update(price(low + range), price(low));
                let wanted = (end >= period).then(|| {
                    let last = &cents[end - period..end];
                    (price(last.iter().map(|(l, r)| l + r).max().unwrap()), price(last.iter().map(|(l, _)| *l).min().unwrap()))
                });
                prop_assert_eq!(extremes.get(), wanted);
            }
        }

        #[test]
        fn a_split_changes_no_comparison(cents in proptest::collection::vec(1_i64..100_000, 30..60), at in 0_usize..60) {
            let (mut plain, mut split) = (SmaPair::new(3, 10), SmaPair::new(3, 10));
            let (mut a, mut b) = (Extremes::new(7), Extremes::new(7));
            let two = Ratio::new(2, 1).unwrap();
            for (index, &close) in cents.iter().enumerate() {
                if index == at {
                    split.split(two);
                    b.split(two);
                }
                let after = Price::from_units(price(close).units() / if index >= at { 2 } else { 1 });
                prop_assert_eq!(plain.update(price(close)), split.update(after));
                a.update(price(close), price(close));
                b.update(after, after);
                let restated = a.get().map(|(high, low)| {
                    let by = if index >= at { 2 } else { 1 };
                    (Price::from_units(high.units() / by), Price::from_units(low.units() / by))
                });
                prop_assert_eq!(b.get(), restated);
            }
        }
    }

    #[test]
    fn an_ema_starts_with_the_mean_and_forgets() {
        let mut ema = Ema::new(3);
        let values: Vec<_> = [100, 200, 300, 400].into_iter().map(|cents| ema.update(price(cents))).collect();
        assert_eq!(values, [None, None, Some(2.0), Some(3.0)]);
    }
}
