//! What a counterparty tells of positions and cash, report by report.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Money, Overflow, Price, Quantity, Symbol};
use trading::Holding;

use super::codec::{Message, tag};

/// Positions that have been told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How many reports there were.
    pub(super) reports: u64,
    /// How many there will be.
    pub(super) total: Option<u64>,
    cash: Option<Money>,
    held: BTreeMap<Symbol, Held>,
    /// Sorts of quantities that were counted.
    sorts: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Held {
    quantity: Quantity,
    price: Option<Price>,
    /// Whether there was a quantity of the sort that counts.
    counted: bool,
    /// A sort that does not, of which there was some.
    other: Option<String>,
}

impl Told {
    /// Takes a report; of several sorts of quantities only the wanted one counts.
    pub(super) fn add(&mut self, message: &Message, wanted: Option<&str>) -> Result<(), String> {
        self.reports += 1;
        let symbol = message.get(tag::SYMBOL).unwrap_or_default();
        let price = message.get(tag::SETTL_PRICE).and_then(|price| Price::parse(price).ok());
        let mut held = Held { price: price.filter(|price| price.signum() > 0), ..Held::default() };
        let (mut sort, mut kind) = ("", "");
        for (tag, value) in message.fields() {
            let wrong = |_| format!("a position has no number in field {tag}");
            match *tag {
                tag::POS_TYPE => sort = value,
                tag::LONG_QTY | tag::SHORT_QTY => {
                    let told = Quantity::parse(value).map_err(wrong)?;
                    let told = if *tag == tag::LONG_QTY { told } else { told.neg() };
                    if wanted.is_none_or(|wanted| wanted == sort) {
                        held.counted = true;
                        held.quantity = held.quantity.add(told).map_err(|overflow| overflow.to_string())?;
                        if !told.is_zero() {
                            self.sorts.insert(sort.to_owned());
                        }
                    } else if !told.is_zero() {
                        held.other = Some(sort.to_owned());
                    }
                }
                tag::POS_AMT_TYPE => kind = value,
                tag::POS_AMT if kind == "CASH" => self.cash = Some(Money::parse(value).map_err(wrong)?),
                _ => {}
            }
        }
        if held.quantity.is_zero() && held.other.is_none() && !held.counted {
            return Ok(());
        }
        let symbol = Symbol::new(symbol).map_err(|error| error.to_string())?;
        self.held.entry(symbol).or_default().add(held).map_err(|overflow| overflow.to_string())
    }

    /// What all reports together say.
    pub(super) fn all(&mut self, wanted: Option<&str>) -> Result<(Vec<Holding>, Option<Money>), String> {
        if self.sorts.len() > 1 {
            let sorts = self.sorts.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
            return Err(format!("it tells positions as {sorts}; say with position_type which counts"));
        }
        let mut holdings = Vec::new();
        for (symbol, Held { quantity, price, counted, other }) in std::mem::take(&mut self.held) {
            if let (false, Some(other), Some(wanted)) = (counted, other, wanted) {
                // Passed over, what is held would pass for nothing.
                return Err(format!("it tells {symbol} as {other}, and not as {wanted}, which position_type says"));
            }
            if !quantity.is_zero() {
                holdings.push(Holding { symbol, quantity, price });
            }
        }
        Ok((holdings, self.cash))
    }
}

impl Held {
    /// What is held in parts comes in parts.
    fn add(&mut self, part: Self) -> Result<(), Overflow> {
        self.quantity = self.quantity.add(part.quantity)?;
        self.price = part.price.or(self.price);
        self.counted |= part.counted;
        self.other = part.other.or(self.other.take());
        Ok(())
    }
}
