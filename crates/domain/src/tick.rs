//! The prices an order may name in the United States: whole cents from 1 dollar on, four decimals below (rule 612 of
//! Regulation NMS).
//!
//! An order's prices go up when it sells and down when it buys. So a limit is never worse than what was asked, and a
//! stop is never further from the market: it triggers no later.

use crate::{OrderKind, Price, Quantity, Trail};

/// To which side a price goes that lies between two ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// Down.
    Lower,
    /// Up.
    Higher,
}

impl Toward {
    /// The side for the prices of an order of this quantity.
    #[must_use]
    pub const fn of(quantity: Quantity) -> Self {
        if quantity.signum() < 0 { Self::Higher } else { Self::Lower }
    }
}

/// No price above 0 lies on a tick at that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the price {0} has no tick above 0 beside it: whole cents from 1 dollar on, four decimals below")]
pub struct NoTick(pub Price);

impl Price {
    /// Distance of two prices that an order may name, about here.
    const fn tick(self) -> i64 {
        if self.units() >= Self::UNITS { Self::UNITS / 100 } else { Self::UNITS / 10_000 }
    }

    /// Whether an order may name this price.
    #[must_use]
    pub const fn is_on_tick(self) -> bool {
        self.signum() > 0 && self.units() % self.tick() == 0
    }

    /// The nearest price at that side which an order may name; this one, if it may.
    ///
    /// # Errors
    /// [`NoTick`] when that is not above 0 or does not fit.
    pub fn on_tick(self, toward: Toward) -> Result<Self, NoTick> {
        let beyond = self.units().rem_euclid(self.tick());
        let units = match toward {
            Toward::Higher if beyond > 0 => self.units().checked_add(self.tick() - beyond),
            _ => self.units().checked_sub(beyond),
        };
        units.filter(|units| *units > 0).map(Self::from_units).ok_or(NoTick(self))
    }
}

impl OrderKind {
    /// The same order of this quantity at prices that it may name. A distance that is kept becomes smaller.
    ///
    /// # Errors
    /// [`NoTick`] when one of its prices has none.
    pub fn on_tick(self, quantity: Quantity) -> Result<Self, NoTick> {
        let toward = Toward::of(quantity);
        Ok(match self {
            Self::Limit { limit } => Self::Limit { limit: limit.on_tick(toward)? },
            Self::Stop { stop } => Self::Stop { stop: stop.on_tick(toward)? },
            Self::StopLimit { stop, limit } => {
                Self::StopLimit { stop: stop.on_tick(toward)?, limit: limit.on_tick(toward)? }
            }
            Self::TrailingStop { trail: Trail::Amount(amount) } => {
                Self::TrailingStop { trail: Trail::Amount(amount.on_tick(Toward::Lower)?) }
            }
            Self::TrailingStop { trail: Trail::BasisPoints(_) }
            | Self::Market
            | Self::MarketOnOpen
            | Self::MarketOnClose => self,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    #[test]
    fn cents_from_one_dollar_on_and_four_decimals_below() {
        for (asked, lower, higher) in [
            ("136.4566", "136.45", "136.46"),
            ("19.82805", "19.82", "19.83"),
            ("19.83", "19.83", "19.83"),
            ("1", "1", "1"),
            ("1.000000001", "1", "1.01"),
            ("0.999999999", "0.9999", "1"),
            ("0.12345", "0.1234", "0.1235"),
            ("0.0001", "0.0001", "0.0001"),
        ] {
            assert_eq!(price(asked).on_tick(Toward::Lower), Ok(price(lower)), "{asked} down");
            assert_eq!(price(asked).on_tick(Toward::Higher), Ok(price(higher)), "{asked} up");
        }
        assert_eq!(price("0.00005").on_tick(Toward::Higher), Ok(price("0.0001")));
        assert!(Price::MAX.on_tick(Toward::Lower).is_ok());
        for (none, toward) in [("0.00005", Toward::Lower), ("0", Toward::Higher), ("-0.00005", Toward::Higher)] {
            assert_eq!(price(none).on_tick(toward), Err(NoTick(price(none))));
        }
        assert_eq!(Price::MAX.on_tick(Toward::Higher), Err(NoTick(Price::MAX)));
    }

    #[test]
    fn a_trailing_distance_becomes_smaller_on_either_side() {
        let trailing = |text| OrderKind::TrailingStop { trail: Trail::Amount(price(text)) };
        for shares in [7, -7] {
            assert_eq!(trailing("2.509").on_tick(Quantity::whole(shares).unwrap()), Ok(trailing("2.5")));
        }
        let percent = OrderKind::TrailingStop { trail: Trail::BasisPoints(1) };
        assert_eq!(percent.on_tick(Quantity::from_units(1)), Ok(percent));
    }

    fn prices() -> impl Strategy<Value = Price> {
        prop_oneof![1..3 * Price::UNITS, 1..2_000 * Price::UNITS, 1..i64::MAX].prop_map(Price::from_units)
    }

    proptest! {
        /// The one beside it at that side, less than a tick away, and itself once it is there.
        #[test]
        fn it_is_the_nearest_tick_at_that_side(asked in prices()) {
            let tick = if asked.units() < Price::UNITS { Price::UNITS / 10_000 } else { Price::UNITS / 100 };
            for toward in [Toward::Lower, Toward::Higher] {
                let Ok(found) = asked.on_tick(toward) else {
                    prop_assert!(asked.units() < tick || asked.units() > i64::MAX - tick);
                    continue;
                };
                let away = match toward {
                    Toward::Lower => asked.units() - found.units(),
                    Toward::Higher => found.units() - asked.units(),
                };
                prop_assert!((0..tick).contains(&away), "{asked} came to {found}");
                // As text: two decimals from 1 dollar on, four below.
                let decimals = found.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len());
                prop_assert!(decimals <= if found.units() < Price::UNITS { 4 } else { 2 }, "{asked} came to {found}");
                prop_assert!(found.is_on_tick());
                prop_assert_eq!(found.on_tick(Toward::Lower), Ok(found));
                prop_assert_eq!(found.on_tick(Toward::Higher), Ok(found));
            }
            prop_assert_eq!(asked.is_on_tick(), asked.on_tick(Toward::Lower) == Ok(asked));
        }

        /// A limit trades at no worse price, and wherever the asked stop is touched the other was.
        #[test]
        fn no_limit_is_worse_and_no_stop_is_later(stop in prices(), limit in prices(), at in prices(), buys: bool) {
            let quantity = Quantity::from_units(if buys { 1 } else { -1 });
            let Ok(OrderKind::StopLimit { stop: moved, limit: other }) =
                OrderKind::StopLimit { stop, limit }.on_tick(quantity)
            else {
                return Ok(());
            };
            let worse = if buys { other > limit } else { other < limit };
            prop_assert!(!worse);
            let touched = |stop: Price| if buys { at >= stop } else { at <= stop };
            prop_assert!(touched(moved) || !touched(stop));
        }
    }
}
