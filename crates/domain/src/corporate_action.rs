//! Splits, cash dividends and delistings.

use serde::{Deserialize, Serialize};

use crate::decimal::{self, ParseDecimalError};
use crate::{InstrumentId, Overflow, Price, Quantity, SessionDate};

/// New shares per old share, as a fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    new: i64,
    old: i64,
}

impl Ratio {
    /// No change.
    pub const ONE: Self = Self { new: 1, old: 1 };

    /// `new` shares for `old`; `None` unless both are positive.
    #[must_use]
    pub fn new(new: i64, old: i64) -> Option<Self> {
        if new <= 0 || old <= 0 {
            return None;
        }
        let divisor = gcd(new, old);
        Some(Self { new: new / divisor, old: old / divisor })
    }

    /// From decimal text such as `2.0` or `0.3333`.
    ///
    /// A vendor prints 1-for-3 as 0.333333: a value within its own last digit of a fraction with a denominator up to
    /// 64 is that fraction.
    ///
    /// # Errors
    /// Not a positive decimal number.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseDecimalError> {
        Self::from_units(decimal::parse_scaled(text.as_ref(), 9)?).ok_or(ParseDecimalError::Malformed)
    }

    /// From billionths; `None` unless positive.
    #[must_use]
    pub fn from_units(units: i64) -> Option<Self> {
        const ONE: i64 = 1_000_000_000;
        let exact = Self::new(units, ONE)?;
        if exact.old <= 64 {
            return Some(exact);
        }
        // Half a unit of the fourth decimal: the coarsest print that still tells the fractions apart.
        let tolerance = ONE / 20_000;
        for old in 1..=64_i64 {
            let new = (i128::from(units) * i128::from(old) + i128::from(ONE / 2)) / i128::from(ONE);
            let new = i64::try_from(new).ok()?;
            let distance = (i128::from(new) * i128::from(ONE) / i128::from(old) - i128::from(units)).abs();
            if new > 0 && old.min(new) <= 10 && distance <= i128::from(tolerance.min(units / 1_000)) {
                return Self::new(new, old);
            }
        }
        Some(exact)
    }

    /// New shares.
    #[must_use]
    pub const fn numerator(self) -> i64 {
        self.new
    }

    /// For so many old shares.
    #[must_use]
    pub const fn denominator(self) -> i64 {
        self.old
    }

    /// As a number: 2 for two-for-one.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.new as f64 / self.old as f64
    }

    /// A quantity after the split.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn quantity(self, before: Quantity) -> Result<Quantity, Overflow> {
        before.scale(self.new, self.old)
    }

    /// A price after the split.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn price(self, before: Price) -> Result<Price, Overflow> {
        before.scale(self.old, self.new)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What happens to holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Each old share becomes `ratio` new shares.
    Split {
        /// New per old.
        ratio: Ratio,
    },
    /// Cash per share held when the ex-date opens; paid by those who are short.
    Dividend {
        /// Per share, in terms of shares after a split of the same day.
        amount: Price,
    },
    /// The instrument stops trading; positions are closed at this price.
    Delisting {
        /// Paid per share; zero when worthless.
        price: Price,
    },
}

/// An event that changes shares or pays cash, in force from the open of `ex_date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorporateAction {
    /// Whose.
    pub instrument: InstrumentId,
    /// First session without the right.
    pub ex_date: SessionDate,
    /// What happens.
    pub kind: ActionKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_ratios_become_fractions() {
        for (text, new, old) in [
            ("2.0", 2, 1),
            ("1.5", 3, 2),
            ("0.333333", 1, 3),
            ("1.3333", 4, 3),
            ("0.1", 1, 10),
            ("1.05", 21, 20),
            ("0.05", 1, 20),
            ("0.142857", 1, 7),
        ] {
            let ratio = Ratio::parse(text).unwrap();
            assert_eq!((ratio.numerator(), ratio.denominator()), (new, old), "{text}");
        }
        // A spin-off factor is no simple fraction and stays what it is.
        assert_eq!(Ratio::parse("1.06817").unwrap().to_f64(), 1.06817);
        for text in ["0", "-2", "x", ""] {
            assert!(Ratio::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_split_keeps_value() {
        let ratio = Ratio::parse("2").unwrap();
        let (quantity, price) = (Quantity::whole(100).unwrap(), Price::parse("101.5").unwrap());
        assert_eq!(ratio.price(price).unwrap().times(ratio.quantity(quantity).unwrap()), price.times(quantity));
    }
}
