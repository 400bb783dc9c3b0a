//! What a counterparty tells of positions and cash, report by report.

use std::collections::BTreeSet;

use domain::{Money, Price, Quantity, Symbol};
use trading::Holding;

use super::codec::{Message, tag};

/// Positions that have been told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) reports: u64,
    /// How many reports there will be.
    pub(super) total: Option<u64>,
    pub(super) types: BTreeSet<String>,
    pub(super) holdings: Vec<Holding>,
    pub(super) cash: Option<Money>,
}

impl Told {
    pub(super) fn add(&mut self, (holding, types, cash): Position) -> Result<(), String> {
        self.reports += 1;
        self.cash = cash.or(self.cash);
        self.types.extend(types);
        if self.types.len() > 1 {
            let types = self.types.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
            return Err(format!("it tells positions as {types}; say with position_type which counts"));
        }
        holding.map_or(Ok(()), |holding| add(&mut self.holdings, &holding).map_err(|overflow| overflow.to_string()))
    }
}

/// Adds to what is held of an instrument: what is held in parts comes in parts.
fn add(holdings: &mut Vec<Holding>, more: &Holding) -> Result<(), domain::Overflow> {
    match holdings.iter_mut().find(|holding| holding.symbol == more.symbol) {
        Some(holding) => holding.quantity = holding.quantity.add(more.quantity)?,
        None => holdings.push(more.clone()),
    }
    Ok(())
}

/// A position, where it is not zero, what sorts of quantities make it, and the cash that is told with it.
pub(super) type Position = (Option<Holding>, BTreeSet<String>, Option<Money>);

/// Reads a position; of several sorts of quantities only the wanted one counts.
pub(super) fn holding(message: &Message, wanted: Option<&str>) -> Result<Position, String> {
    let (mut quantity, mut cash, mut kind) = (Quantity::ZERO, None, "");
    let (mut sort, mut types) = ("", BTreeSet::new());
    for (tag, value) in message.fields() {
        let wrong = |_| format!("a position has no number in field {tag}");
        let sum = match *tag {
            tag::POS_TYPE => {
                sort = value;
                continue;
            }
            tag::LONG_QTY | tag::SHORT_QTY if wanted.is_some_and(|wanted| wanted != sort) => continue,
            tag::LONG_QTY | tag::SHORT_QTY => {
                let told = Quantity::parse(value).map_err(wrong)?;
                if !told.is_zero() {
                    types.insert(sort.to_owned());
                }
                if *tag == tag::LONG_QTY { quantity.add(told) } else { quantity.sub(told) }
            }
            tag::POS_AMT_TYPE => {
                kind = value;
                continue;
            }
            tag::POS_AMT if kind == "CASH" => {
                cash = Some(Money::parse(value).map_err(wrong)?);
                continue;
            }
            _ => continue,
        };
        quantity = sum.map_err(|overflow| overflow.to_string())?;
    }
    let Some(symbol) = message.get(tag::SYMBOL).filter(|_| !quantity.is_zero()) else { return Ok((None, types, cash)) };
    let symbol = Symbol::new(symbol).map_err(|error| error.to_string())?;
    let price = message.get(tag::SETTL_PRICE).and_then(|price| Price::parse(price).ok());
    Ok((Some(Holding { symbol, quantity, price: price.filter(|price| price.signum() > 0) }), types, cash))
}
