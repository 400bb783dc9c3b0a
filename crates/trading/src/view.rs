//! What a person sees of a trader at a moment.

use domain::{InstrumentId, Money, Price, Quantity, SessionDate, Strategy, Symbol, Timestamp};
use engine::Mode;
use journal::Lines;
use serde::{Deserialize, Serialize};

use crate::broker::Broker;
use crate::trader::{Trader, TradingError};

/// A trader at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Session that is open or was last.
    pub session: Option<SessionDate>,
    /// Whether it is over.
    pub closed: bool,
    /// Number of the last step.
    pub step: u64,
    /// What may still be done.
    pub mode: Mode,
    /// Whether the books have been compared with the broker's since that was last due.
    #[serde(default = "yes")]
    pub compared: bool,
    /// Orders of others that work at the broker in these instruments, as far as is known.
    #[serde(default)]
    pub others: Vec<String>,
    /// Whether the books differed from the broker's and nobody has accepted it.
    pub disputed: bool,
    /// Whether the strategy repeated itself too often and waits for a person.
    pub throttled: bool,
    /// Why the broker could not be reached lately.
    pub trouble: Option<String>,
    /// Cash.
    pub cash: Money,
    /// Cash plus positions.
    pub equity: Money,
    /// Cash at the start.
    pub deposit: Money,
    /// Positions and prices, one for each instrument.
    pub positions: Vec<Position>,
    /// Orders that work.
    pub orders: Vec<Working>,
}

fn yes() -> bool {
    true
}

impl Snapshot {
    /// Whether nothing is held and nothing works, ours or somebody else's, by books that were compared.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.compared
            && self.orders.is_empty()
            && self.others.is_empty()
            && self.positions.iter().all(|position| position.quantity.is_zero())
    }
}

/// One instrument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Which.
    pub symbol: Symbol,
    /// Long (positive) or short (negative).
    pub quantity: Quantity,
    /// Last price, once there is one.
    pub price: Option<Price>,
    /// Value of the position.
    pub value: Money,
    /// What it would gain if it were closed at that price, fees not counted.
    #[serde(default)]
    pub profit: Money,
    /// Time of the last price or open of the session.
    pub heard_at: Timestamp,
    /// Whether prices are not heard of.
    pub stale: bool,
}

/// An order that works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Working {
    /// Its name at the broker.
    pub id: String,
    /// In what.
    pub symbol: Symbol,
    /// To buy (positive) or sell (negative), in all.
    pub quantity: Quantity,
    /// What is not filled yet.
    pub remaining: Quantity,
    /// Price condition in words.
    pub at: String,
    /// Whether its cancel has left.
    pub leaving: bool,
}

impl<S: Strategy, B: Broker, L: Lines> Trader<S, B, L> {
    /// What a person sees now.
    ///
    /// # Errors
    /// [`TradingError`]: a figure does not fit its type.
    pub fn snapshot(&self, deposit: Money) -> Result<Snapshot, TradingError> {
        let (engine, desk) = (self.engine(), self.desk_ref());
        let (book, guard) = (engine.book(), engine.guard());
        let overflow = |domain::Overflow| TradingError::from(engine::EngineError::Overflow);
        let mut positions = Vec::new();
        for (at, symbol) in desk.symbols().iter().enumerate() {
            let instrument = InstrumentId(at as u32);
            let (quantity, price) = (book.position(instrument), book.mark_of(instrument));
            positions.push(Position {
                symbol: symbol.clone(),
                quantity,
                price,
                value: price.unwrap_or_default().times(quantity).to_money().map_err(overflow)?,
                profit: book.unrealised(instrument).to_money().map_err(overflow)?,
                heard_at: self.heard_at(instrument),
                stale: guard.stale(instrument),
            });
        }
        let orders = engine.open_orders().iter().map(|open| Working {
            id: desk.owner().order(open.order.id).to_string(),
            symbol: desk.symbols()[open.order.instrument.index()].clone(),
            quantity: open.order.quantity,
            remaining: open.remaining,
            at: open.order.kind.to_string(),
            leaving: open.leaving,
        });
        Ok(Snapshot {
            session: engine.session().map(|session| session.date),
            closed: self.position().is_some_and(|(_, closed)| closed),
            step: self.log().seq(),
            mode: guard.mode(),
            compared: self.is_compared(),
            others: self.others().to_vec(),
            disputed: guard.disputed(),
            throttled: guard.throttled(),
            trouble: desk.trouble().map(str::to_owned),
            cash: book.cash(),
            equity: book.equity().map_err(overflow)?,
            deposit,
            orders: orders.collect(),
            positions,
        })
    }
}
