//! Cash, positions, and the trades between flat and flat.
//!
//! Values are kept exact ([`Notional`]) and cash is rounded once per movement, so that for any stream of fills
//! `cash + positions = deposits + profit`, to the last unit.

use domain::{Fill, InstrumentId, Money, Notional, OrderId, Overflow, Price, Quantity, Ratio, Session, SessionDate};
use serde::{Deserialize, Serialize};

use crate::record::{LedgerEntry, LedgerKind};

/// A round trip from flat to flat; a fill that crosses zero ends one and starts another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// In what.
    pub instrument: InstrumentId,
    /// Session of the first fill.
    pub opened: SessionDate,
    /// Session of the last fill; none while the position stands.
    pub closed: Option<SessionDate>,
    /// Sessions between the first and the last fill.
    pub sessions: u32,
    /// Largest position, signed: long is positive.
    pub quantity: Quantity,
    /// Average price paid (long) or received (short) for it.
    pub entry_price: Price,
    /// Average price of the exits; zero while there is none.
    pub exit_price: Price,
    /// Profit after fees, dividends and borrowing; while open, what has been realised.
    pub profit: Money,
    /// Commission, within `profit`.
    pub fees: Money,
    /// Dividends less borrowing fees, within `profit`.
    pub income: Money,
}

#[derive(Debug, Clone, Default)]
struct OpenTrade {
    opened: SessionDate,
    opened_index: u32,
    largest: Quantity,
    entered: Notional,
    entered_quantity: Quantity,
    exited: Notional,
    exited_quantity: Quantity,
    realised: Notional,
    fees: Money,
    income: Money,
}

/// The account.
#[derive(Debug, Clone)]
pub struct Book {
    cash: Money,
    net: Notional,
    gross: Notional,
    quantities: Vec<Quantity>,
    marks: Vec<Price>,
    /// Exact cost of each open position, with its sign.
    costs: Vec<Notional>,
    trades: Vec<OpenTrade>,
}

impl Book {
    /// An account with cash and no positions in `instruments` instruments.
    #[must_use]
    pub fn new(cash: Money, instruments: usize) -> Self {
        Self {
            cash,
            net: Notional::ZERO,
            gross: Notional::ZERO,
            quantities: vec![Quantity::ZERO; instruments],
            marks: vec![Price::ZERO; instruments],
            costs: vec![Notional::ZERO; instruments],
            trades: vec![OpenTrade::default(); instruments],
        }
    }

    /// Cash, short-sale proceeds included.
    #[inline]
    #[must_use]
    pub fn cash(&self) -> Money {
        self.cash
    }

    /// Value of long minus value of short positions.
    #[inline]
    #[must_use]
    pub fn net(&self) -> Notional {
        self.net
    }

    /// Value of long plus value of short positions.
    #[inline]
    #[must_use]
    pub fn gross(&self) -> Notional {
        self.gross
    }

    /// Position of each instrument.
    #[inline]
    #[must_use]
    pub fn positions(&self) -> &[Quantity] {
        &self.quantities
    }

    /// Position in one instrument; zero when it is unknown.
    #[inline]
    #[must_use]
    pub fn position(&self, instrument: InstrumentId) -> Quantity {
        self.quantities.get(instrument.index()).copied().unwrap_or_default()
    }

    /// Last known price; none before the first.
    #[inline]
    #[must_use]
    pub fn mark_of(&self, instrument: InstrumentId) -> Option<Price> {
        self.marks.get(instrument.index()).copied().filter(|price| price.signum() > 0)
    }

    /// Cash plus positions.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn equity(&self) -> Result<Money, Overflow> {
        Notional::from(self.cash).plus(self.net).to_money()
    }

    /// Values a position at a new price.
    #[inline]
    pub(crate) fn mark(&mut self, instrument: InstrumentId, price: Price) -> Result<(), Overflow> {
        let at = instrument.index();
        let quantity = self.quantities[at];
        if !quantity.is_zero() {
            let change = price.sub(self.marks[at])?;
            self.net = self.net.plus(change.times(quantity));
            self.gross = self.gross.plus(change.times(quantity.abs()));
        }
        self.marks[at] = price;
        Ok(())
    }

    fn set_position(&mut self, at: usize, quantity: Quantity, mark: Price) {
        let (old, old_mark) = (self.quantities[at], self.marks[at]);
        self.net = self.net.minus(old_mark.times(old)).plus(mark.times(quantity));
        self.gross = self.gross.minus(old_mark.times(old.abs())).plus(mark.times(quantity.abs()));
        self.quantities[at] = quantity;
        self.marks[at] = mark;
    }

    fn pay(
        &mut self,
        session: SessionDate,
        kind: LedgerKind,
        instrument: InstrumentId,
        amount: Money,
    ) -> Result<LedgerEntry, Overflow> {
        self.cash = self.cash.add(amount)?;
        Ok(LedgerEntry { session, kind, instrument: Some(instrument), amount })
    }

    /// Takes an execution into the account. Returns the cash movement, the fee, and the trade it ended.
    pub(crate) fn fill(
        &mut self,
        fill: &Fill,
        session: &Session,
    ) -> Result<(LedgerEntry, Option<LedgerEntry>, Option<Trade>), Overflow> {
        let at = fill.instrument.index();
        let before = self.quantities[at];
        let after = before.add(fill.quantity)?;
        // What this fill closes of the old position, with the old position's sign.
        let closing = if before.signum() * fill.quantity.signum() < 0 {
            if fill.quantity.abs() >= before.abs() { before } else { fill.quantity.neg() }
        } else {
            Quantity::ZERO
        };
        let opening = fill.quantity.add(closing)?;
        let closing_fee = Notional::from(fill.fee).share(closing.abs(), fill.quantity.abs())?.to_money()?;
        let opening_fee = fill.fee.sub(closing_fee)?;

        let mut ended = None;
        if !closing.is_zero() {
            let released = self.costs[at].share(closing, before)?;
            self.costs[at] = self.costs[at].minus(released);
            let proceeds = fill.price.times(closing);
            let trade = &mut self.trades[at];
            trade.realised = trade.realised.plus(proceeds.minus(released));
            trade.exited = trade.exited.plus(proceeds);
            trade.exited_quantity = trade.exited_quantity.add(closing)?;
            trade.fees = trade.fees.add(closing_fee)?;
            if closing == before {
                ended = Some(self.end_trade(fill.instrument, session)?);
            }
        }
        if !opening.is_zero() {
            let starts = before.sub(closing)?.is_zero();
            let trade = &mut self.trades[at];
            if starts {
                *trade = OpenTrade { opened: session.date, opened_index: session.index, ..OpenTrade::default() };
            }
            let cost = fill.price.times(opening);
            self.costs[at] = self.costs[at].plus(cost);
            trade.entered = trade.entered.plus(cost);
            trade.entered_quantity = trade.entered_quantity.add(opening)?;
            trade.fees = trade.fees.add(opening_fee)?;
            if after.abs() > trade.largest.abs() {
                trade.largest = after;
            }
        }
        self.set_position(at, after, fill.price);
        let amount = fill.price.times(fill.quantity).to_money()?.neg();
        let moved = self.pay(session.date, LedgerKind::Trade, fill.instrument, amount)?;
        let fee = if fill.fee.is_zero() {
            None
        } else {
            Some(self.pay(session.date, LedgerKind::Fee, fill.instrument, fill.fee.neg())?)
        };
        Ok((moved, fee, ended))
    }

    fn end_trade(&mut self, instrument: InstrumentId, session: &Session) -> Result<Trade, Overflow> {
        let trade = std::mem::take(&mut self.trades[instrument.index()]);
        trade.summary(instrument, Some(session))
    }

    /// Pays a dividend on the position; a short position pays.
    pub(crate) fn dividend(
        &mut self,
        instrument: InstrumentId,
        per_share: Price,
        session: SessionDate,
    ) -> Result<Option<LedgerEntry>, Overflow> {
        let at = instrument.index();
        if self.quantities[at].is_zero() {
            return Ok(None);
        }
        let amount = per_share.times(self.quantities[at]).to_money()?;
        self.trades[at].income = self.trades[at].income.add(amount)?;
        self.pay(session, LedgerKind::Dividend, instrument, amount).map(Some)
    }

    /// Charges for borrowed shares.
    pub(crate) fn borrow(
        &mut self,
        instrument: InstrumentId,
        amount: Money,
        session: SessionDate,
    ) -> Result<LedgerEntry, Overflow> {
        let trade = &mut self.trades[instrument.index()];
        trade.income = trade.income.sub(amount)?;
        self.pay(session, LedgerKind::Borrow, instrument, amount.neg())
    }

    /// Puts a position right: shares come or go at a price, and their value counts as paid in or out.
    pub(crate) fn correct_position(
        &mut self,
        instrument: InstrumentId,
        theirs: Quantity,
        price: Price,
        session: &Session,
    ) -> Result<(Vec<LedgerEntry>, Option<Trade>), Overflow> {
        let quantity = theirs.sub(self.quantities[instrument.index()])?;
        if quantity.is_zero() {
            return Ok((Vec::new(), None));
        }
        let fill = Fill { order: OrderId(0), instrument, session: session.date, quantity, price, fee: Money::ZERO };
        let (moved, _, ended) = self.fill(&fill, session)?;
        let back = self.pay(session.date, LedgerKind::Correction, instrument, moved.amount.neg())?;
        Ok((vec![moved, back], ended))
    }

    /// Puts cash right.
    pub(crate) fn correct_cash(&mut self, theirs: Money, session: SessionDate) -> Result<LedgerEntry, Overflow> {
        let amount = theirs.sub(self.cash)?;
        self.cash = theirs;
        Ok(LedgerEntry { session, kind: LedgerKind::Correction, instrument: None, amount })
    }

    /// Turns old shares into new ones; value and cost stay.
    pub(crate) fn split(&mut self, instrument: InstrumentId, ratio: Ratio) -> Result<(), Overflow> {
        let at = instrument.index();
        let (quantity, mark) = (ratio.quantity(self.quantities[at])?, ratio.price(self.marks[at])?);
        let trade = &mut self.trades[at];
        trade.largest = ratio.quantity(trade.largest)?;
        trade.entered_quantity = ratio.quantity(trade.entered_quantity)?;
        trade.exited_quantity = ratio.quantity(trade.exited_quantity)?;
        self.set_position(at, quantity, mark);
        Ok(())
    }

    /// What a position would gain if it were closed at the last price, fees not counted.
    #[must_use]
    pub fn unrealised(&self, instrument: InstrumentId) -> Notional {
        let at = instrument.index();
        match (self.quantities.get(at), self.marks.get(at), self.costs.get(at)) {
            (Some(quantity), Some(mark), Some(cost)) => mark.times(*quantity).minus(*cost),
            _ => Notional::ZERO,
        }
    }

    /// Pays out a position in shares that stopped trading.
    pub(crate) fn delist(
        &mut self,
        instrument: InstrumentId,
        price: Price,
        session: &Session,
    ) -> Result<Option<(LedgerEntry, Trade)>, Overflow> {
        let at = instrument.index();
        let quantity = self.quantities[at];
        if quantity.is_zero() {
            return Ok(None);
        }
        let proceeds = price.times(quantity);
        let trade = &mut self.trades[at];
        trade.realised = trade.realised.plus(proceeds.minus(self.costs[at]));
        trade.exited = trade.exited.plus(proceeds);
        trade.exited_quantity = trade.exited_quantity.add(quantity)?;
        self.costs[at] = Notional::ZERO;
        let ended = self.end_trade(instrument, session)?;
        self.set_position(at, Quantity::ZERO, price);
        Ok(Some((self.pay(session.date, LedgerKind::Delisting, instrument, proceeds.to_money()?)?, ended)))
    }

    /// Trades that have not ended.
    ///
    /// # Errors
    /// [`Overflow`] when a figure does not fit.
    pub fn open_trades(&self) -> Result<Vec<Trade>, Overflow> {
        (0..self.quantities.len())
            .filter(|&at| !self.quantities[at].is_zero())
            .map(|at| self.trades[at].summary(InstrumentId(at as u32), None))
            .collect()
    }
}

impl OpenTrade {
    fn summary(&self, instrument: InstrumentId, ended: Option<&Session>) -> Result<Trade, Overflow> {
        let average = |value: Notional, quantity: Quantity| {
            if quantity.is_zero() { Ok(Price::ZERO) } else { value.per_share(quantity) }
        };
        Ok(Trade {
            instrument,
            opened: self.opened,
            closed: ended.map(|session| session.date),
            sessions: ended.map_or(0, |session| session.index.saturating_sub(self.opened_index)),
            quantity: self.largest,
            entry_price: average(self.entered, self.entered_quantity)?,
            exit_price: average(self.exited, self.exited_quantity)?,
            profit: self.realised.to_money()?.sub(self.fees)?.add(self.income)?,
            fees: self.fees,
            income: self.income,
        })
    }
}
