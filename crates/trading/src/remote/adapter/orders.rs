//! Orders of the trader, judged by the adapter's own account, and how that becomes the broker's.

use domain::{InstrumentId, Order, OrderId, OrderKind, Quantity, TimeInForce};
use engine::{Correction, Event};
use journal::Lines;

use super::super::{Answer, Ask, Channel, Request, Sheet};
use super::{Adapter, AdapterError, Known, UNALIGNED_TURNS};
use crate::broker::{Account, Broker, ClientOrderId, Failure, State, Ticket};

impl<B: Broker, C: Channel, L: Lines> Adapter<B, C, L> {
    pub(super) fn carry_out(&mut self, request: &Request) -> Result<Answer, AdapterError> {
        let done = |result: Result<(), Failure>| result.map_or_else(Answer::Failed, |()| Answer::Done);
        let answer = match &request.ask {
            Ask::Hello => {
                // Whoever trades from here on leads the market again.
                self.flattening = false;
                Answer::Hello { account: self.rules.account.clone(), own_market: self.rules.own_market }
            }
            Ask::Submit(sheets) => done(self.submit(sheets)?),
            Ask::Cancel(id) => done(self.broker.cancel(id)),
            Ask::Replace(id, with) => match self.admit(with)? {
                Ok((ticket, new)) => {
                    let replaced = self.broker.replace(id, &ticket);
                    if matches!(replaced, Err(Failure::Refused(_) | Failure::NotSent(_))) && new {
                        self.withdraw(&ticket.id)?;
                    }
                    done(replaced)
                }
                Err(failure) => Answer::Failed(failure),
            },
            Ask::Find(id) => self.broker.find(id).map_or_else(Answer::Failed, Answer::Found),
            Ask::Working => self.broker.working().map_or_else(Answer::Failed, Answer::Working),
            Ask::Account => self.broker.account().map_or_else(Answer::Failed, Answer::Account),
            Ask::Market(_) => Answer::Done,
            Ask::Advance => Answer::Advanced(self.advance()?),
            Ask::Flatten(_) => {
                self.flattening = true;
                if self.rules.own_market && self.closed {
                    while self.advance()? {}
                }
                self.close_all()?;
                Answer::Done
            }
        };
        self.gather()?;
        Ok(answer)
    }

    /// Judges and sends orders; for alternatives, all or none.
    fn submit(&mut self, sheets: &[Sheet]) -> Result<Result<(), Failure>, AdapterError> {
        let (mut tickets, mut fresh) = (Vec::new(), Vec::new());
        for sheet in sheets {
            match self.admit(sheet)? {
                Ok((ticket, new)) => {
                    if new {
                        fresh.push(ticket.id.clone());
                    }
                    tickets.push(ticket);
                }
                Err(failure) => {
                    for id in &fresh {
                        self.withdraw(id)?;
                    }
                    return Ok(Err(failure));
                }
            }
        }
        let sent = self.broker.submit(&tickets);
        if matches!(sent, Err(Failure::Refused(_) | Failure::NotSent(_))) {
            for id in &fresh {
                self.withdraw(id)?;
            }
        }
        Ok(sent)
    }

    /// Judges an order, unless it was judged before; true when it is new.
    fn admit(&mut self, sheet: &Sheet) -> Result<Result<(Ticket, bool), Failure>, AdapterError> {
        let refused = |words: String| Ok(Err(Failure::Refused(words)));
        let Some(instrument) = self.instrument(&sheet.symbol) else {
            return refused(format!("the broker adapter does not trade {}", sheet.symbol));
        };
        if self.rules.owner.own(&sheet.id) != Some(sheet.order.id) {
            return refused(format!("order {} is called {}, which is not its name", sheet.order.id.0, sheet.id));
        }
        let order = Order { instrument, bracket: None, ..sheet.order };
        let short = order.quantity.signum() < 0 && self.rules.gate.book().position(instrument).signum() <= 0;
        let ticket = |approved| Ticket { id: sheet.id.clone(), symbol: sheet.symbol.clone(), approved, short };
        if let Some(approved) = self.orders.get(&sheet.id).and_then(|known| known.approved) {
            return Ok(Ok((ticket(approved), false)));
        }
        if !self.aligned && !order.reduce_only {
            let why = if self.unaligned.0.is_empty() { "it was not asked yet" } else { &self.unaligned.0 };
            return Ok(Err(Failure::NotSent(format!("the broker adapter does not know the account: {why}"))));
        }
        match self.rules.gate.admit(order) {
            Ok(approved) => {
                let known = Known { order, approved: Some(approved), filled: Quantity::ZERO, over: false };
                self.orders.insert(sheet.id.clone(), known);
                Ok(Ok((ticket(approved), true)))
            }
            Err(judged) => refused(format!("the broker adapter refused it: {}", judged.reason)),
        }
    }

    /// Forgets an order that did not leave.
    pub(super) fn withdraw(&mut self, id: &ClientOrderId) -> Result<(), AdapterError> {
        if let Some(known) = self.orders.remove(id) {
            let event = Event::OrderEnded { order: known.order.id, reason: engine::OrderEnd::Rejected };
            self.rules.gate.step(&event)?;
        }
        Ok(())
    }

    /// Makes the account the broker's, once a session is open and the broker can be asked.
    pub(super) fn align(&mut self) -> Result<(), AdapterError> {
        if self.aligned || self.rules.gate.session().is_none() {
            return Ok(());
        }
        if self.unaligned.1 > 0 {
            self.unaligned.1 -= 1;
            return Ok(());
        }
        let told = self.broker.working().and_then(|working| Ok((working, self.broker.account()?)));
        let (working, account) = match told {
            Ok(told) => told,
            Err(failure) => {
                self.unaligned = (failure.to_string(), UNALIGNED_TURNS);
                return Ok(());
            }
        };
        for status in working.iter().filter(|status| status.state == State::Working) {
            let order = self.rules.owner.own(&status.id).or_else(|| self.rules.closer.own(&status.id));
            let (Some(id), Some(instrument)) = (order, self.instrument(&status.symbol)) else { continue };
            let filled = status.executions.last().map(|execution| execution.cumulative).unwrap_or_default();
            let order = market_order(id, instrument, status.quantity);
            let known = Known { order, approved: None, filled, over: false };
            self.orders.entry(status.id.clone()).and_modify(|known| known.filled = filled).or_insert(known);
        }
        self.take_over(&account)?;
        self.aligned = true;
        Ok(())
    }

    pub(super) fn take_over(&mut self, account: &Account) -> Result<(), AdapterError> {
        let mut corrections = Vec::new();
        let book = self.rules.gate.book();
        for (at, symbol) in self.rules.symbols.iter().enumerate() {
            let instrument = InstrumentId(at as u32);
            let held = account.holdings.iter().find(|holding| holding.symbol == *symbol);
            let (ours, theirs) = (book.position(instrument), held.map(|holding| holding.quantity).unwrap_or_default());
            if ours != theirs {
                let price = held.and_then(|holding| holding.price).or(book.mark_of(instrument)).unwrap_or_default();
                corrections.push(Correction::Position { instrument, ours, theirs, price });
            }
        }
        if let Some(theirs) = account.cash.filter(|theirs| *theirs != book.cash()) {
            corrections.push(Correction::Cash { ours: book.cash(), theirs });
        }
        for correction in &corrections {
            self.rules.gate.step(&Event::Corrected(*correction))?;
        }
        if !corrections.is_empty() {
            self.rules.gate.step(&Event::Accepted)?;
        }
        Ok(())
    }
}

pub(super) fn market_order(id: OrderId, instrument: InstrumentId, quantity: Quantity) -> Order {
    Order {
        id,
        instrument,
        quantity,
        kind: OrderKind::Market,
        time_in_force: TimeInForce::GoodTillCancelled,
        bracket: None,
        group: None,
        reduce_only: true,
    }
}
