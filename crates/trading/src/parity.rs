//! Two runs of one strategy, and every cent between them: what was traded live against what the simulator makes of the
//! same days.
//!
//! Fills of an instrument are paired in their order, share for share. What a pair differs by is its price or its session;
//! a share that only one run traded is valued at the last price. So the items add up to the difference in equity, but
//! for rounding, which is an item as well. What is left beyond that is explained by nothing, and said so.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use domain::{ActionKind, InstrumentId, Money, Notional, Overflow, Price, Quantity, SessionDate};
use engine::{Event, LedgerKind, Record};
use serde::Serialize;

/// Why two runs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Prices were others.
    Data,
    /// Traded in another session.
    Timing,
    /// Traded at another price in the same session.
    Fill,
    /// Another commission.
    Fee,
    /// Traded by only one of them.
    Order,
    /// Dividends and borrowing.
    Income,
    /// Put right after the broker's books.
    Correction,
    /// What exact amounts lose at their last digit.
    Rounding,
    /// Nothing that either run tells.
    Unexplained,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Timing => "timing",
            Self::Fill => "fill",
            Self::Fee => "fee",
            Self::Order => "order",
            Self::Income => "income",
            Self::Correction => "correction",
            Self::Rounding => "rounding",
            Self::Unexplained => "unexplained",
        })
    }
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// When.
    pub session: Option<SessionDate>,
    /// In what; none for the account as a whole.
    pub instrument: Option<u32>,
    /// Why.
    pub cause: Cause,
    /// By how much the first run is better.
    pub amount: Money,
    /// In words.
    pub what: String,
}

#[derive(Debug, Clone, Copy)]
struct Traded {
    session: SessionDate,
    quantity: Quantity,
    price: Price,
}

/// What counts of a run.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    session: Option<SessionDate>,
    fills: BTreeMap<u32, Vec<Traded>>,
    positions: BTreeMap<u32, Quantity>,
    marks: BTreeMap<u32, Price>,
    fees: BTreeMap<(SessionDate, u32), Money>,
    income: BTreeMap<(SessionDate, u32), Money>,
    corrections: Vec<(SessionDate, Option<u32>, Money)>,
    equity: Money,
    /// What rounding may have made of it at most.
    rounding: Notional,
}

impl Tally {
    /// Of a run that begins with cash.
    #[must_use]
    pub fn new(cash: Money) -> Self {
        Self { equity: cash, ..Self::default() }
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`Overflow`] when a figure does not fit.
    pub fn observe(&mut self, event: &Event, records: &[Record]) -> Result<(), Overflow> {
        match event {
            Event::SessionOpened(session) => self.session = Some(session.date),
            Event::Bar(bar) => drop(self.marks.insert(bar.instrument.0, bar.close)),
            Event::Price { instrument, price, .. } => drop(self.marks.insert(instrument.0, *price)),
            Event::Filled(fill) => self.fill(fill.instrument, fill.session, fill.quantity, fill.price)?,
            Event::Action(action) => {
                let id = action.instrument;
                let mut rounding = self.rounding;
                let position = self.positions.get(&id.0).copied().unwrap_or_default();
                match action.kind {
                    ActionKind::Split { ratio } => {
                        for fill in self.fills.entry(id.0).or_default() {
                            (fill.quantity, fill.price) = (ratio.quantity(fill.quantity)?, ratio.price(fill.price)?);
                            rounding = rounding.plus(last_digits(fill.quantity, fill.price));
                        }
                        self.positions.insert(id.0, ratio.quantity(position)?);
                        if let Some(mark) = self.marks.get_mut(&id.0) {
                            *mark = ratio.price(*mark)?;
                        }
                    }
                    ActionKind::Delisting { price } if !position.is_zero() => {
                        if let Some(session) = self.session {
                            self.fill(id, session, position.neg(), price)?;
                        }
                        self.marks.insert(id.0, price);
                    }
                    ActionKind::Delisting { .. } | ActionKind::Dividend { .. } => {}
                }
                self.rounding = rounding;
            }
            Event::Corrected(engine::Correction::Position { instrument, ours, theirs, price }) => {
                if let Some(session) = self.session {
                    self.fill(*instrument, session, theirs.sub(*ours)?, *price)?;
                }
            }
            _ => {}
        }
        for record in records {
            match record {
                Record::Equity { cash, net, .. } => {
                    self.equity = Notional::from(*cash).plus(*net).to_money()?;
                }
                Record::Ledger(entry) => {
                    self.rounding = self.rounding.plus(CASH_ROUNDING.into());
                    let at = (entry.session, entry.instrument.map_or(u32::MAX, |id| id.0));
                    match entry.kind {
                        LedgerKind::Fee => add(self.fees.entry(at).or_default(), entry.amount)?,
                        LedgerKind::Dividend | LedgerKind::Borrow => {
                            add(self.income.entry(at).or_default(), entry.amount)?;
                        }
                        LedgerKind::Correction => {
                            let instrument = entry.instrument.map(|id| id.0);
                            self.corrections.push((entry.session, instrument, entry.amount));
                        }
                        LedgerKind::Deposit | LedgerKind::Trade | LedgerKind::Delisting => {}
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        instrument: InstrumentId,
        session: SessionDate,
        quantity: Quantity,
        price: Price,
    ) -> Result<(), Overflow> {
        if quantity.is_zero() {
            return Ok(());
        }
        let position = self.positions.entry(instrument.0).or_default();
        *position = position.add(quantity)?;
        self.fills.entry(instrument.0).or_default().push(Traded { session, quantity, price });
        self.marks.insert(instrument.0, price);
        Ok(())
    }

    /// Equity at the last close.
    #[must_use]
    pub fn equity(&self) -> Money {
        self.equity
    }
}

/// What a movement of cash loses at most: the last digit of an amount.
const CASH_ROUNDING: Money = Money::from_units(1);

/// What a quantity and a price of a restated fill may have lost, as money.
fn last_digits(quantity: Quantity, price: Price) -> Notional {
    price.times(Quantity::from_units(1)).plus(Price::from_units(1).times(quantity.abs()))
}

fn add(sum: &mut Money, amount: Money) -> Result<(), Overflow> {
    *sum = sum.add(amount)?;
    Ok(())
}

/// Every difference between two runs that began with the same cash: by how much the first is better.
///
/// # Errors
/// [`Overflow`] when a figure does not fit.
pub fn compare(first: &Tally, second: &Tally) -> Result<Vec<Item>, Overflow> {
    let mut items = Vec::new();
    let instruments: std::collections::BTreeSet<u32> = first
        .marks
        .keys()
        .chain(second.marks.keys())
        .chain(first.fills.keys())
        .chain(second.fills.keys())
        .copied()
        .collect();
    for id in instruments {
        pair(id, first, second, &mut items)?;
    }
    for (cause, one, other) in [(Cause::Fee, &first.fees, &second.fees), (Cause::Income, &first.income, &second.income)]
    {
        let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).copied().collect();
        for key @ (session, id) in keys {
            let (one, other) =
                (one.get(&key).copied().unwrap_or_default(), other.get(&key).copied().unwrap_or_default());
            let what = format!("{one} against {other}");
            push(&mut items, Some(session), Some(id), cause, one.sub(other)?, what);
        }
    }
    for (sign, tally) in [(1, first), (-1, second)] {
        for (session, id, amount) in &tally.corrections {
            let amount = if sign > 0 { *amount } else { amount.neg() };
            push(&mut items, Some(*session), *id, Cause::Correction, amount, "the broker's books counted".to_owned());
        }
    }
    let total = first.equity.sub(second.equity)?;
    let mut rest = total;
    for item in &items {
        rest = rest.sub(item.amount)?;
    }
    // Both equities and every item are rounded as well.
    let amounts = i64::try_from(items.len()).unwrap_or(i64::MAX).saturating_add(2);
    let rounding = first.rounding.plus(second.rounding).plus(Money::from_units(amounts).into());
    let (cause, what) = if Notional::from(rest).abs() <= rounding {
        (Cause::Rounding, "amounts are rounded once per movement of cash")
    } else {
        (Cause::Unexplained, "nothing that the two tell makes this difference")
    };
    push(&mut items, None, None, cause, rest, what.to_owned());
    items.sort_by_key(|item| (item.session.is_none(), item.session, item.instrument, item.cause));
    Ok(items)
}

fn push(
    items: &mut Vec<Item>,
    session: Option<SessionDate>,
    instrument: Option<u32>,
    cause: Cause,
    amount: Money,
    what: String,
) {
    if !amount.is_zero() {
        let instrument = instrument.filter(|id| *id != u32::MAX);
        items.push(Item { session, instrument, cause, amount, what });
    }
}

/// What both traded, at whatever prices, in whatever sessions.
fn together(id: u32, one: &mut Traded, other: &mut Traded, items: &mut Vec<Item>) -> Result<(), Overflow> {
    let quantity = if one.quantity.abs() <= other.quantity.abs() { one.quantity } else { other.quantity };
    let amount = other.price.times(quantity).minus(one.price.times(quantity)).to_money()?;
    let same = one.session == other.session;
    let cause = if same { Cause::Fill } else { Cause::Timing };
    let when = if same { String::new() } else { format!(" on {}", other.session) };
    let what = format!("{quantity} at {} against {}{when}", one.price, other.price);
    push(items, Some(one.session), Some(id), cause, amount, what);
    one.quantity = one.quantity.sub(quantity)?;
    other.quantity = other.quantity.sub(quantity)?;
    Ok(())
}

/// Pairs the fills of an instrument: first those of one session, at one price if there are such; what is left over in
/// the order in which it was traded.
fn pair(id: u32, first: &Tally, second: &Tally, items: &mut Vec<Item>) -> Result<(), Overflow> {
    let fills = |tally: &Tally| tally.fills.get(&id).cloned().unwrap_or_default();
    let (mut ours, mut theirs) = (fills(first), fills(second));
    for one_price in [true, false] {
        for one in &mut ours {
            let from = theirs.partition_point(|other| other.session < one.session);
            let session = one.session;
            for other in theirs[from..].iter_mut().take_while(|other| other.session == session) {
                if one.quantity.signum() * other.quantity.signum() > 0 && (one.price == other.price || !one_price) {
                    together(id, one, other, items)?;
                }
            }
        }
    }
    let left = |fills: Vec<Traded>| fills.into_iter().filter(|fill| !fill.quantity.is_zero()).collect::<VecDeque<_>>();
    let (mut ours, mut theirs) = (left(ours), left(theirs));
    let mark = |tally: &Tally| tally.marks.get(&id).copied();
    let (Some(mark), Some(their_mark)) = (mark(first).or(mark(second)), mark(second).or(mark(first))) else {
        return Ok(());
    };
    let alone = |traded: Traded, sign: i64, items: &mut Vec<Item>| -> Result<(), Overflow> {
        // What it is worth at the end, less what it cost.
        let gain = mark.times(traded.quantity).minus(traded.price.times(traded.quantity)).to_money()?;
        let amount = if sign > 0 { gain } else { gain.neg() };
        let who = if sign > 0 { "only the first" } else { "only the second" };
        let what = format!("{who} traded {} at {}", traded.quantity, traded.price);
        push(items, Some(traded.session), Some(id), Cause::Order, amount, what);
        Ok(())
    };
    while let (Some(one), Some(other)) = (ours.front_mut(), theirs.front_mut()) {
        if one.quantity.signum() != other.quantity.signum() {
            // The earlier one has no counterpart.
            if one.session <= other.session {
                alone(*one, 1, items)?;
                ours.pop_front();
            } else {
                alone(*other, -1, items)?;
                theirs.pop_front();
            }
            continue;
        }
        together(id, one, other, items)?;
        if one.quantity.is_zero() {
            ours.pop_front();
        }
        if other.quantity.is_zero() {
            theirs.pop_front();
        }
    }
    for traded in ours {
        alone(traded, 1, items)?;
    }
    for traded in theirs {
        alone(traded, -1, items)?;
    }
    let held = second.positions.get(&id).copied().unwrap_or_default();
    let valued = mark.times(held).minus(their_mark.times(held)).to_money()?;
    let what = format!("{held} held are valued at {mark} against {their_mark}");
    push(items, None, Some(id), Cause::Data, valued, what);
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::{Calendar, Fill, OrderId, Session};
    use engine::LedgerEntry;

    use super::*;

    fn session(n: usize) -> Session {
        Calendar::nyse().sessions()[5_000 + n]
    }

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    struct Run(Tally);

    impl Run {
        fn new() -> Self {
            Self(Tally::new(money("1000")))
        }

        fn fill(mut self, n: usize, quantity: i64, price: &str) -> Self {
            self.0.observe(&Event::SessionOpened(session(n)), &[]).unwrap();
            let (price, instrument) = (Price::parse(price).unwrap(), InstrumentId(0));
            let quantity = Quantity::whole(quantity).unwrap();
            let session = session(n).date;
            let fill = Fill { order: OrderId(1), instrument, session, quantity, price, fee: Money::ZERO };
            self.0.observe(&Event::Filled(fill), &[]).unwrap();
            self.0.observe(&Event::Price { instrument, price, at: domain::Timestamp::default() }, &[]).unwrap();
            self
        }

        fn booked(mut self, n: usize, kind: LedgerKind, amount: &str) -> Self {
            let (session, instrument) = (session(n).date, Some(InstrumentId(0)));
            let entry = LedgerEntry { session, kind, instrument, amount: money(amount) };
            self.0.observe(&Event::SessionClosed, &[Record::Ledger(entry)]).unwrap();
            self
        }

        fn ends(mut self, equity: &str) -> Tally {
            self.0.equity = money(equity);
            self.0
        }
    }

    fn items(one: &Tally, other: &Tally) -> Vec<(Cause, String)> {
        let items = compare(one, other).unwrap();
        let sum = items.iter().try_fold(Money::ZERO, |sum, item| sum.add(item.amount)).unwrap();
        assert_eq!(sum, one.equity().sub(other.equity()).unwrap(), "{items:?}");
        items.into_iter().map(|item| (item.cause, item.amount.to_string())).collect()
    }

    #[test]
    fn what_both_traded_in_one_session_is_no_difference_whatever_one_missed_before() {
        // The second bought and sold once more at first: 100 at 9, sold at 10.
        let one = Run::new().fill(2, 100, "11").fill(3, -100, "12").fill(4, 100, "13");
        let other = Run::new().fill(0, 100, "9").fill(1, -100, "10").fill(2, 100, "11");
        let other = other.fill(3, -100, "12").fill(4, 100, "13");
        let found = items(&one.ends("1100"), &other.ends("1200"));
        // Valued at the last price, 13: the first lacks 400 and was spared 300.
        assert_eq!(found, [(Cause::Order, "-400".to_owned()), (Cause::Order, "300".to_owned())]);
    }

    #[test]
    fn what_rounding_cannot_have_made_is_explained_by_nothing() {
        let run = || Run::new().fill(0, 100, "9").booked(0, LedgerKind::Trade, "-900");
        let found = |equity| items(&run().ends(equity), &run().ends("1000"));
        assert_eq!(found("1000.000004"), [(Cause::Rounding, "0.000004".to_owned())]);
        assert_eq!(found("1000.01"), [(Cause::Unexplained, "0.01".to_owned())]);
        assert_eq!(found("980"), [(Cause::Unexplained, "-20".to_owned())]);
    }

    #[test]
    fn prices_sessions_fees_income_and_corrections_are_told_apart() {
        let one = Run::new().fill(0, 100, "9.5").booked(0, LedgerKind::Fee, "-2").fill(2, -100, "12");
        let one = one.booked(2, LedgerKind::Dividend, "7").booked(2, LedgerKind::Correction, "-3");
        let other = Run::new().fill(0, 100, "9").booked(0, LedgerKind::Fee, "-1").fill(1, -100, "11");
        let found = items(&one.ends("1252"), &other.ends("1199"));
        let wanted = [
            (Cause::Fill, "-50"),
            (Cause::Fee, "-1"),
            (Cause::Timing, "100"),
            (Cause::Income, "7"),
            (Cause::Correction, "-3"),
        ];
        assert_eq!(found, wanted.map(|(cause, amount)| (cause, amount.to_owned())));
    }
}
