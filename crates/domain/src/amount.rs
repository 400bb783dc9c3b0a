//! Price, quantity and money: integers in one fixed scale each, with checked arithmetic.
//!
//! | type | unit | range |
//! |---|---|---|
//! | [`Price`] | 10⁻⁹ of the currency | ± 9.2 billion |
//! | [`Quantity`] | 10⁻⁶ share, signed | ± 9.2 trillion |
//! | [`Money`] | 10⁻⁶ of the currency | ± 9.2 trillion |
//! | [`Notional`] | price × quantity, exact in 128 bits | never overflows |
//!
//! Why these scales: `docs/adr/0001-fixed-point-amounts.md`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::{self, ParseDecimalError};

/// An amount left the range that its type can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is too large to represent")]
pub struct Overflow;

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $digits:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// Decimal digits after the point.
            pub const DIGITS: u32 = $digits;
            /// Smallest units in one whole.
            pub const UNITS: i64 = 10_i64.pow($digits);
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest amount.
            pub const MAX: Self = Self(i64::MAX);

            /// From smallest units.
            #[inline]
            #[must_use]
            pub const fn from_units(units: i64) -> Self {
                Self(units)
            }

            /// In smallest units.
            #[inline]
            #[must_use]
            pub const fn units(self) -> i64 {
                self.0
            }

            /// From decimal text, rounding half to even at the last digit.
            ///
            /// # Errors
            /// The text is not a decimal number, or does not fit.
            #[inline]
            pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseDecimalError> {
                decimal::parse_scaled(text.as_ref(), $digits).map(Self)
            }

            /// The nearest `f64`: the value a decimal literal of the same digits has, up to 2⁵³ units.
            #[inline]
            #[must_use]
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / Self::UNITS as f64
            }

            /// The nearest amount; `None` when not finite or out of range.
            #[inline]
            #[must_use]
            pub fn from_f64(value: f64) -> Option<Self> {
                let units = (value * Self::UNITS as f64).round_ties_even();
                (units.is_finite() && units.abs() < i64::MAX as f64).then_some(Self(units as i64))
            }

            /// Sum.
            ///
            /// # Errors
            /// [`Overflow`] when it does not fit.
            #[inline]
            #[expect(clippy::should_implement_trait, reason = "checked, unlike the operator")]
            pub fn add(self, other: Self) -> Result<Self, Overflow> {
                self.0.checked_add(other.0).map(Self).ok_or(Overflow)
            }

            /// Difference.
            ///
            /// # Errors
            /// [`Overflow`] when it does not fit.
            #[inline]
            #[expect(clippy::should_implement_trait, reason = "checked, unlike the operator")]
            pub fn sub(self, other: Self) -> Result<Self, Overflow> {
                self.0.checked_sub(other.0).map(Self).ok_or(Overflow)
            }

            /// The amount times `numerator / denominator`, rounded half to even.
            ///
            /// # Errors
            /// [`Overflow`] when it does not fit or the denominator is not positive.
            #[inline]
            pub fn scale(self, numerator: i64, denominator: i64) -> Result<Self, Overflow> {
                if denominator <= 0 {
                    return Err(Overflow);
                }
                let scaled = decimal::divide_half_even(i128::from(self.0) * i128::from(numerator), i128::from(denominator));
                i64::try_from(scaled).map(Self).map_err(|_| Overflow)
            }

            /// Magnitude.
            #[inline]
            #[must_use]
            pub const fn abs(self) -> Self {
                Self(self.0.saturating_abs())
            }

            /// With the other sign.
            #[inline]
            #[must_use]
            pub const fn neg(self) -> Self {
                Self(self.0.saturating_neg())
            }

            /// -1, 0 or 1.
            #[inline]
            #[must_use]
            pub const fn signum(self) -> i64 {
                self.0.signum()
            }

            /// Whether this is nothing.
            #[inline]
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                decimal::format_scaled(self.0, $digits, f)
            }
        }

        /// As decimal text, so that no reader loses a digit.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a decimal number")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).map_err(E::custom)
                    }
                    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<$name, E> {
                        if !value.is_finite() {
                            return Err(E::custom(format_args!("{value} is no amount")));
                        }
                        $name::from_f64(value).ok_or_else(|| E::custom(ParseDecimalError::TooLarge))
                    }
                    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<$name, E> {
                        value.checked_mul($name::UNITS).map($name).ok_or_else(|| E::custom(ParseDecimalError::TooLarge))
                    }
                    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<$name, E> {
                        i64::try_from(value).map_err(E::custom).and_then(|value| self.visit_i64(value))
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

amount!(
    /// Currency per share.
    Price,
    9
);
amount!(
    /// Shares; positive is bought or held long, negative sold or held short.
    Quantity,
    6
);
amount!(
    /// An amount of the account's currency.
    Money,
    6
);

impl Quantity {
    /// So many whole shares.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn whole(shares: i64) -> Result<Self, Overflow> {
        shares.checked_mul(Self::UNITS).map(Self).ok_or(Overflow)
    }
}

impl Price {
    /// What `quantity` costs at this price, exactly.
    #[inline]
    #[must_use]
    pub fn times(self, quantity: Quantity) -> Notional {
        Notional(i128::from(self.0) * i128::from(quantity.0))
    }
}

/// Price times quantity, exact: units of 10⁻¹⁵ of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Notional(i128);

impl Notional {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    const UNITS_PER_MONEY_UNIT: i128 = Price::UNITS as i128;

    /// Exact sum.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Exact difference.
    #[inline]
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Magnitude.
    #[inline]
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Rounded half to even to money.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    #[inline]
    pub fn to_money(self) -> Result<Money, Overflow> {
        i64::try_from(decimal::divide_half_even(self.0, Self::UNITS_PER_MONEY_UNIT)).map(Money).map_err(|_| Overflow)
    }

    /// The nearest `f64`, in whole currency.
    #[inline]
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e15
    }

    /// -1, 0 or 1.
    #[inline]
    #[must_use]
    pub const fn signum(self) -> i128 {
        self.0.signum()
    }

    /// The part of this amount that falls on `part` of `whole` shares, rounded half to even.
    ///
    /// # Errors
    /// [`Overflow`] when an intermediate product does not fit or `whole` is zero.
    pub fn share(self, part: Quantity, whole: Quantity) -> Result<Self, Overflow> {
        if part == whole {
            return Ok(self);
        }
        let product = self.0.checked_mul(i128::from(part.0)).ok_or(Overflow)?;
        match whole.0 {
            0 => Err(Overflow),
            whole if whole > 0 => Ok(Self(decimal::divide_half_even(product, i128::from(whole)))),
            whole => Ok(Self(decimal::divide_half_even(-product, -i128::from(whole)))),
        }
    }

    /// The price of one share when `quantity` shares are worth this.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit or the quantity is zero.
    pub fn per_share(self, quantity: Quantity) -> Result<Price, Overflow> {
        let (value, quantity) =
            if quantity.0 < 0 { (-self.0, -i128::from(quantity.0)) } else { (self.0, i128::from(quantity.0)) };
        if quantity == 0 {
            return Err(Overflow);
        }
        i64::try_from(decimal::divide_half_even(value, quantity)).map(Price).map_err(|_| Overflow)
    }

    /// This amount times a number of basis points, in money, rounded half to even.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn basis_points(self, rate: f64) -> Result<Money, Overflow> {
        // Rates carry up to six decimals; the product stays exact.
        let micro = (rate * 1e6).round_ties_even();
        if !micro.is_finite() || micro.abs() > 1e15 {
            return Err(Overflow);
        }
        let product = self.0.checked_mul(micro as i128).ok_or(Overflow)?;
        let money = decimal::divide_half_even(product, Self::UNITS_PER_MONEY_UNIT * 10_000 * 1_000_000);
        i64::try_from(money).map(Money).map_err(|_| Overflow)
    }
}

/// As decimal text with up to 15 digits after the point, exactly.
impl fmt::Display for Notional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: u128 = 1_000_000_000_000_000;
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / UNIT, self.0.unsigned_abs() % UNIT);
        if fraction == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        f.pad(&format!("{sign}{whole}.{}", format!("{fraction:015}").trim_end_matches('0')))
    }
}

impl Serialize for Notional {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Notional {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom("not an amount");
        let (negative, body) = text.strip_prefix('-').map_or((false, text.as_str()), |body| (true, body));
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        if whole.is_empty() || fraction.len() > 15 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return Err(bad());
        }
        let digits: i128 = format!("{whole}{fraction:0<15}").parse().map_err(|_| bad())?;
        Ok(Self(if negative { -digits } else { digits }))
    }
}

impl From<Money> for Notional {
    #[inline]
    fn from(money: Money) -> Self {
        Self(i128::from(money.0) * Self::UNITS_PER_MONEY_UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_times_quantity_is_exact_until_money() {
        let price = Price::parse("0.123456789").unwrap();
        let cost = price.times(Quantity::parse("0.5").unwrap());
        assert_eq!(cost.to_money().unwrap().to_string(), "0.061728");
        assert_eq!(
            Price::parse("118.56").unwrap().times(Quantity::whole(100).unwrap()).to_money().unwrap().to_string(),
            "11856"
        );
    }

    #[test]
    fn overflow_is_an_error_not_a_wrap() {
        assert_eq!(Money::MAX.add(Money::from_units(1)), Err(Overflow));
        assert_eq!(Price::MAX.times(Quantity::MAX).to_money(), Err(Overflow));
        assert_eq!(Quantity::whole(i64::MAX), Err(Overflow));
    }

    #[test]
    fn a_price_is_the_double_its_text_is() {
        for text in ["118.56", "0.1", "4.186663", "702.1001", "0.000000001"] {
            assert_eq!(Price::parse(text).unwrap().to_f64(), text.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn shares_of_an_amount_are_rounded_once() {
        let cost = Price::parse("10").unwrap().times(Quantity::whole(-300).unwrap());
        let part = cost.share(Quantity::whole(-100).unwrap(), Quantity::whole(-300).unwrap()).unwrap();
        assert_eq!(part.to_string(), "-1000");
        assert_eq!(cost.per_share(Quantity::whole(-300).unwrap()).unwrap().to_string(), "10");
        assert_eq!(cost.abs().basis_points(12.5).unwrap().to_string(), "3.75");
        let odd = Notional(-1_234_567_890_123_456_789);
        assert_eq!(serde_json::from_str::<Notional>(&serde_json::to_string(&odd).unwrap()).unwrap(), odd);
    }

    #[test]
    fn serialises_without_loss() {
        let price = Price::from_units(123_456_789_012_345_678);
        let text = serde_json::to_string(&price).unwrap();
        assert_eq!(text, "\"123456789.012345678\"");
        assert_eq!(serde_json::from_str::<Price>(&text).unwrap(), price);
        assert_eq!(serde_json::from_str::<Price>("1.5").unwrap().to_string(), "1.5");
    }
}
