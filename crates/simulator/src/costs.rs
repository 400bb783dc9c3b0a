//! What trading costs: commission, slippage, and borrowing shares.

use domain::{Money, Overflow, Price, Quantity};
use serde::{Deserialize, Serialize};

/// Costs of one venue. All rates are in hundredths of a percent (basis points); zero is free.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Costs {
    /// Commission per share.
    pub commission_per_share: Money,
    /// Commission as a share of the value traded.
    pub commission_bps: f64,
    /// Least commission of an order that trades at all.
    pub commission_min: Money,
    /// Adverse price move of orders that take liquidity.
    pub slippage_bps: f64,
    /// Width of the quoted spread; such orders pay half.
    pub spread_bps: f64,
    /// Adverse price move of trading the whole volume of a bar; it falls with the square of the share traded
    /// (the volume-share model of zipline).
    pub volume_impact_bps: f64,
    /// Largest share of a bar's volume that orders may take; none takes everything.
    pub volume_share_max: Option<f64>,
    /// Yearly fee for borrowing shares sold short, on a year of 360 days.
    pub borrow_bps: f64,
}

impl Costs {
    /// Commission on what an order has traded so far in all: `quantity` shares for `value`.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub(crate) fn commission(&self, value: domain::Notional, quantity: Quantity) -> Result<Money, Overflow> {
        let per_share = self.commission_per_share.scale(quantity.abs().units(), Quantity::UNITS)?;
        let by_value =
            if self.commission_bps == 0.0 { Money::ZERO } else { value.abs().basis_points(self.commission_bps)? };
        Ok(per_share.add(by_value)?.max(self.commission_min))
    }

    /// Price after slippage of an order that takes liquidity.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub(crate) fn slipped(&self, price: Price, quantity: Quantity, volume: u64) -> Result<Price, Overflow> {
        let mut bps = self.slippage_bps + self.spread_bps / 2.0;
        if self.volume_impact_bps != 0.0 && volume > 0 {
            let share = (quantity.abs().to_f64() / volume as f64).min(1.0);
            bps += self.volume_impact_bps * share * share;
        }
        if bps == 0.0 {
            return Ok(price);
        }
        let moved =
            Price::from_f64(price.to_f64() * (1.0 + bps * quantity.signum() as f64 / 10_000.0)).ok_or(Overflow)?;
        // A sale is never worth less than nothing.
        Ok(moved.max(Price::from_units(1)))
    }

    /// Whole shares that may still trade in a bar of `volume` of which `used` is taken.
    pub(crate) fn available(&self, volume: u64, used: Quantity) -> Option<Quantity> {
        let share = self.volume_share_max?;
        let shares = (volume as f64 * share).floor().clamp(0.0, 9e12);
        let allowed = Quantity::from_units(shares as i64 * Quantity::UNITS);
        Some(Quantity::from_units((allowed.units() - used.units()).max(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commission_adds_share_and_value_and_has_a_floor() {
        let costs = Costs {
            commission_per_share: Money::parse("0.005").unwrap(),
            commission_bps: 10.0,
            commission_min: Money::parse("1").unwrap(),
            ..Costs::default()
        };
        let price = Price::parse("50").unwrap();
        let fee = |shares| {
            let quantity = Quantity::whole(shares).unwrap();
            costs.commission(price.times(quantity), quantity).unwrap().to_string()
        };
        assert_eq!(fee(100), "5.5");
        assert_eq!(fee(-100), "5.5");
        assert_eq!(fee(1), "1");
    }

    #[test]
    fn slippage_is_always_against_the_order() {
        let costs = Costs { slippage_bps: 5.0, spread_bps: 10.0, ..Costs::default() };
        let price = Price::parse("100").unwrap();
        assert_eq!(costs.slipped(price, Quantity::whole(1).unwrap(), 0).unwrap().to_string(), "100.1");
        assert_eq!(costs.slipped(price, Quantity::whole(-1).unwrap(), 0).unwrap().to_string(), "99.9");
    }

    #[test]
    fn trading_a_tenth_of_the_volume_costs_a_hundredth_of_the_impact() {
        let costs = Costs { volume_impact_bps: 1000.0, ..Costs::default() };
        let price = Price::parse("100").unwrap();
        assert_eq!(costs.slipped(price, Quantity::whole(100).unwrap(), 1_000).unwrap().to_string(), "100.1");
    }
}
