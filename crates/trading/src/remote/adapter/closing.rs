//! Closing everything that the broker says is held.

use domain::{InstrumentId, OrderId, Quantity};
use engine::Event;
use journal::Lines;

use super::super::Channel;
use super::orders::market_order;
use super::{Adapter, AdapterError, Known, OWN_ORDERS};
use crate::broker::{Broker, ClientOrderId, Failure, OrderStatus, State, Ticket};

impl<B: Broker, C: Channel, L: Lines> Adapter<B, C, L> {
    /// Withdraws what works and sends what closes positions. What fails is tried again at the next turn.
    pub(super) fn close_all(&mut self) -> Result<(), AdapterError> {
        let Ok(working) = self.broker.working() else { return Ok(()) };
        for order in working.iter().filter(|order| self.rules.owner.own(&order.id).is_some()) {
            let _ = self.broker.cancel(&order.id);
        }
        self.gather()?;
        let (Ok(account), Ok(working)) = (self.broker.account(), self.broker.working()) else { return Ok(()) };
        if self.rules.gate.session().is_none() {
            return Ok(());
        }
        self.take_over(&account)?;
        for holding in &account.holdings {
            let Some(instrument) = self.instrument(&holding.symbol) else { continue };
            if !self.own_closes_are_over(instrument)? {
                continue;
            }
            let closes =
                |order: &OrderStatus| self.rules.closer.own(&order.id).is_some() && order.symbol == holding.symbol;
            if working.iter().any(closes) {
                continue;
            }
            // A broker elsewhere has seen the names of an earlier adapter.
            let start = if self.rules.own_market { 0 } else { (self.rules.start & 0x7fff_ffff) << 32 };
            let id = OrderId(OWN_ORDERS | start | self.own_orders);
            self.own_orders += 1;
            let order = market_order(id, instrument, holding.quantity.neg());
            let Ok(approved) = self.rules.gate.admit(order) else { continue };
            let name = self.rules.closer.order(id);
            let known = Known { order, approved: Some(approved), filled: Quantity::ZERO, over: false };
            self.orders.insert(name.clone(), known);
            let ticket = Ticket { id: name.clone(), symbol: holding.symbol.clone(), approved, short: false };
            if matches!(self.broker.submit(&[ticket]), Err(Failure::Refused(_) | Failure::NotSent(_))) {
                self.withdraw(&name)?;
            }
        }
        self.gather()
    }

    /// Whether nothing can come any more of what was sent to close an instrument. What was sent and not answered is asked
    /// about: a second close beside it would turn the position round.
    fn own_closes_are_over(&mut self, instrument: InstrumentId) -> Result<bool, AdapterError> {
        let open = |(id, known): (&ClientOrderId, &Known)| {
            let own = known.order.instrument == instrument && !known.over && self.rules.closer.own(id).is_some();
            own.then(|| id.clone())
        };
        let open: Vec<ClientOrderId> = self.orders.iter().filter_map(open).collect();
        for id in open {
            match self.broker.find(&id) {
                Ok(None) => self.withdraw(&id)?,
                Ok(Some(status)) if status.state == State::Working => return Ok(false),
                Ok(Some(status)) => {
                    // The account that was told may be from before these.
                    let new = status
                        .executions
                        .iter()
                        .any(|one| self.orders.get(&id).is_some_and(|known| one.cumulative > known.filled));
                    for execution in &status.executions {
                        self.executed(execution)?;
                    }
                    if let Some(known) = self.orders.get_mut(&id).filter(|known| !known.over) {
                        known.over = true;
                        let event = Event::OrderEnded { order: known.order.id, reason: engine::OrderEnd::Cancelled };
                        self.rules.gate.step(&event)?;
                    }
                    if new {
                        return Ok(false);
                    }
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}
