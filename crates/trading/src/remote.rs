//! A broker in another process, over two queues that may lose, double and delay what they carry.
//!
//! [`RemoteBroker`] is the [`Broker`] of whoever trades: a call is a request with a number, and its answer comes back
//! with the same number, or not in time ([`Failure::Unclear`]). [`Adapter`] stands before the real broker. It takes
//! requests in the order of their numbers and does each once: one that comes again is answered from memory, one that
//! comes after a later one is refused, so that an order which the broker "has never seen" cannot turn up afterwards.
//! What may change something is written down before it is done ([`journal::Lines`]), so that a restart forgets nothing.
//!
//! An order arrives as an [`Order`] and is judged by the adapter's own account before anything leaves: nothing that was
//! approved elsewhere counts as approved here.
//!
//! Requests carry the number of the sender's lease ([`RemoteBroker::new`]). Once a higher one was seen, a lower one is
//! refused: a trader that was frozen while somebody else took over can do no harm when it wakes.
//!
//! A broker that is its own market (paper) reads the market stream beside the trader, and goes on in it as far as the
//! trader says ([`RemoteBroker::at`]): so fills come at the same place in the journal every time. When the trader is gone
//! and everything is to be closed ([`flatten`]), it goes on by itself.
//!
//! In reading order: here what goes over the channel, then `asker`, `adapter`, and of that `orders` and `closing`.

mod adapter;
mod asker;

use domain::{Order, Symbol};
use serde::{Deserialize, Serialize};

pub use adapter::{Adapter, AdapterError, Rules, Source, Status};
pub use asker::{Patience, RemoteBroker};

use crate::broker::{Account, BrokerEvent, ClientOrderId, Failure, OrderStatus};

/// Version of the messages; either side refuses any other.
pub const VERSION: u32 = 1;

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it says.
    pub text: String,
    /// What the channel knows it by.
    pub receipt: String,
}

/// A message did not leave for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// It did not.
    NotSent(String),
    /// It may have.
    Unclear(String),
}

/// What has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages, oldest first.
    pub letters: Vec<Letter>,
    /// How long that took.
    pub waited_ms: u64,
}

/// Two queues: one to the other side, one from it.
pub trait Channel {
    /// Sends a message under an id that no other has.
    ///
    /// # Errors
    /// [`SendError`].
    fn send(&mut self, id: &str, text: &str) -> Result<(), SendError>;

    /// What has come since; waits for it at most so long. A message comes again until it is done with.
    ///
    /// # Errors
    /// In words.
    fn receive(&mut self, wait_ms: u64) -> Result<Received, String>;

    /// Is done with a message.
    fn done(&mut self, letter: &Letter);
}

/// An order on its way to the adapter: no approval goes with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sheet {
    id: ClientOrderId,
    symbol: Symbol,
    order: Order,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Hello,
    Submit(Vec<Sheet>),
    Cancel(ClientOrderId),
    Replace(ClientOrderId, Sheet),
    Find(ClientOrderId),
    Working,
    Account,
    Market(u64),
    Advance,
    Flatten(String),
}

impl Ask {
    /// Whether a restart must know of it: it changes something, or what was answered rules out something earlier.
    fn counts(&self) -> bool {
        !matches!(self, Self::Working | Self::Account)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Request {
    v: u32,
    epoch: u64,
    n: u64,
    ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Hello { account: String, own_market: bool },
    Done,
    Found(Option<OrderStatus>),
    Working(Vec<OrderStatus>),
    Account(Account),
    Advanced(bool),
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reply {
    epoch: u64,
    n: u64,
    answer: Answer,
}

/// What the adapter says: events, each with a number, and an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    v: u32,
    /// Changes when the numbers of events begin anew.
    line: u64,
    /// Number of the first event; of the next one, where there is none.
    first: u64,
    events: Vec<BrokerEvent>,
    reply: Option<Reply>,
}

/// What any version says of itself.
#[derive(Deserialize)]
struct Preface {
    v: u32,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    n: u64,
}

/// A request to cancel everything that works and close every position, from whoever has taken the lease with this
/// number: its id and its text.
#[must_use]
pub fn flatten(epoch: u64, reason: &str) -> Option<(String, String)> {
    let request = Request { v: VERSION, epoch, n: 1, ask: Ask::Flatten(reason.to_owned()) };
    Some((format!("{epoch}-1-0"), serde_json::to_string(&request).ok()?))
}
