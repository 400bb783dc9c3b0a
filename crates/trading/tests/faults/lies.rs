//! A broker that tells what is not so.

use domain::{Money, OrderId, Price, Quantity};
use engine::OrderEnd;
use trading::{Account, BrokerEvent, ClientOrderId, Execution, OrderStatus, State};

use crate::judge::owner;
use crate::market::shares;

/// What a broker may lie about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// It holds more than it does.
    Position,
    /// It has other cash.
    Cash,
    /// An order has filled more than it did.
    FilledMore,
    /// An order that it has is over.
    Over,
    /// It does not know an order that it has.
    NotKnown,
    /// An order that works is not in the list of those that do.
    LeftOut,
    /// An execution was of more shares.
    WrongQuantity,
    /// An execution was at another price.
    WrongPrice,
    /// An execution brings more than was ordered.
    TooMuch,
    /// An order of ours that was never sent has filled.
    NeverSent,
    /// Orders of other people have filled and ended.
    Others,
}

pub const LIES: [Lie; 11] = [
    Lie::Position,
    Lie::Cash,
    Lie::FilledMore,
    Lie::Over,
    Lie::NotKnown,
    Lie::LeftOut,
    Lie::WrongQuantity,
    Lie::WrongPrice,
    Lie::TooMuch,
    Lie::NeverSent,
    Lie::Others,
];

/// Tells the truth, but for one lie.
#[derive(Default)]
pub struct Liar {
    lie: Option<Lie>,
    /// About which order, so that it keeps to it.
    about: Option<ClientOrderId>,
    told: u64,
}

impl Liar {
    pub fn start(&mut self, lie: Lie) {
        (self.lie, self.about, self.told) = (Some(lie), None, 0);
    }

    /// Says whether it has lied.
    pub fn stop(&mut self) -> bool {
        self.lie = None;
        self.told > 0
    }

    /// Whether it lies about an order: about the first that it can.
    fn about(&mut self, id: &ClientOrderId) -> bool {
        let is = self.about.get_or_insert_with(|| id.clone()) == id;
        self.told += u64::from(is);
        is
    }

    pub fn account(&mut self, mut account: Account) -> Account {
        match (self.lie, account.holdings.first_mut()) {
            (Some(Lie::Position), Some(first)) => {
                first.quantity = first.quantity.add(shares(7)).unwrap();
                self.told += 1;
            }
            (Some(Lie::Cash), _) => {
                account.cash = account.cash.map(|cash| cash.add(Money::from_units(Money::UNITS)).unwrap());
                self.told += 1;
            }
            _ => {}
        }
        account
    }

    pub fn find(&mut self, found: Option<OrderStatus>) -> Option<OrderStatus> {
        let mut status = found?;
        let about = matches!(self.lie, Some(Lie::NotKnown | Lie::Over | Lie::FilledMore));
        if !about || status.state != State::Working || !self.about(&status.id) {
            return Some(status);
        }
        match self.lie {
            Some(Lie::NotKnown) => return None,
            Some(Lie::Over) => status.state = State::Ended(OrderEnd::Cancelled),
            Some(Lie::FilledMore) => {
                let done = status.executions.iter().fold(Quantity::ZERO, |sum, one| sum.add(one.quantity).unwrap());
                let rest = status.quantity.sub(done).unwrap();
                status.executions.push(invented(&status.id, rest, status.quantity.abs()));
                status.state = State::Filled;
            }
            _ => {}
        }
        Some(status)
    }

    pub fn working(&mut self, mut working: Vec<OrderStatus>) -> Vec<OrderStatus> {
        if self.lie == Some(Lie::LeftOut) {
            working.retain(|status| !self.about(&status.id));
        }
        working
    }

    pub fn event(&mut self, mut event: BrokerEvent) -> BrokerEvent {
        let BrokerEvent::Executed(execution) = &mut event else { return event };
        let (more, dearer) = match self.lie {
            Some(Lie::WrongQuantity) => (shares(3), 0),
            Some(Lie::TooMuch) => (shares(1_000), 0),
            Some(Lie::WrongPrice) => (Quantity::ZERO, 10_000_000),
            _ => return event,
        };
        if self.about(&execution.order) {
            let more_here = if execution.quantity.signum() > 0 { more } else { more.neg() };
            execution.quantity = execution.quantity.add(more_here).unwrap();
            execution.cumulative = execution.cumulative.add(more).unwrap();
            execution.price = Price::from_units(execution.price.units() + dearer);
        }
        event
    }

    /// What it says of itself.
    pub fn inventions(&mut self) -> Vec<BrokerEvent> {
        if self.told > 0 {
            return Vec::new();
        }
        let ids = match self.lie {
            Some(Lie::NeverSent) => vec![owner().order(OrderId(u64::MAX))],
            Some(Lie::Others) => ["live-other-10000", "other-test-10000", "live-test-zz", "live-test-", "", "x"]
                .map(ClientOrderId::told)
                .into(),
            _ => return Vec::new(),
        };
        self.told += 1;
        let of = |id: ClientOrderId| {
            let ended = BrokerEvent::Ended { id: id.clone(), reason: OrderEnd::Expired, text: "theirs".to_owned() };
            [BrokerEvent::Executed(invented(&id, shares(50), shares(50))), BrokerEvent::Accepted(id), ended]
        };
        ids.into_iter().flat_map(of).collect()
    }
}

fn invented(order: &ClientOrderId, quantity: Quantity, cumulative: Quantity) -> Execution {
    Execution {
        id: "invented".to_owned(),
        order: order.clone(),
        quantity,
        price: Price::from_units(50 * Price::UNITS),
        fee: Money::ZERO,
        cumulative,
        at: domain::Timestamp::default(),
    }
}
