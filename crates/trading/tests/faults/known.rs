//! What the trader had been told, and what it wanted, by the lines of its journal: added up here, by nobody's code but
//! the test's.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Money, Notional, Order, OrderId, Price, Quantity, SessionDate, Timestamp};
use engine::{Correction, Event, Mode, OrderEnd, Refused};
use serde::Deserialize;

/// A line of the journal, as far as it is needed.
#[derive(Deserialize)]
pub struct Written {
    seq: u64,
    pub event: Event,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    commands: Vec<Asked>,
    #[serde(default)]
    pub records: Vec<Noted>,
}

#[derive(Deserialize)]
struct Asked {
    cancel: Option<OrderId>,
}

#[derive(Deserialize)]
pub struct Noted {
    pub ordered: Option<Order>,
    pub refused: Option<Refused>,
}

/// An order that was decided.
#[derive(Debug, Clone)]
pub struct Decided {
    pub order: Order,
    pub session: SessionDate,
    pub at: Timestamp,
    /// The line that says so is on the disk.
    pub safe: bool,
}

/// The account by the journal.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub cash: Money,
    pub positions: [Quantity; 2],
    pub marks: [Option<Price>; 2],
    pub session: SessionDate,
    pub now: Timestamp,
    pub at_open: Option<Money>,
    pub peak: Option<Money>,
    pub fills: u32,
    pub mode: Mode,
    pub disputed: bool,
    pub decided: BTreeMap<OrderId, Decided>,
    /// A strategy that was stopped has cancelled something: only closes work then.
    pub meddled: bool,
    /// Step and time at which a cancel was wanted.
    pub cancelled: BTreeMap<OrderId, (u64, Timestamp)>,
    pub ended: BTreeMap<OrderId, OrderEnd>,
    pub filled: BTreeMap<OrderId, Quantity>,
    /// Books that were put right, with their notes.
    pub corrected: Vec<(Correction, String)>,
    /// Orders whose line is not on the disk yet.
    unsafe_orders: BTreeSet<OrderId>,
}

impl Known {
    pub fn new(cash: Money) -> Self {
        Self { cash, ..Self::default() }
    }

    pub fn equity(&self) -> Money {
        let value = |at: usize| self.marks[at].unwrap_or_default().times(self.positions[at]);
        Notional::from(self.cash).plus(value(0)).plus(value(1)).to_money().unwrap()
    }

    /// Takes a line's event, before what was decided on it.
    pub fn take(&mut self, line: &Written) {
        match &line.event {
            Event::SessionOpened(session) => {
                self.session = session.date;
                self.now = self.now.max(session.open);
                self.at_open = Some(self.equity());
                self.peak = self.peak.max(self.at_open);
            }
            Event::Price { instrument, price, at } => {
                self.now = self.now.max(*at);
                self.marks[instrument.index()] = Some(*price);
            }
            Event::Bar(bar) => {
                let session = domain::Calendar::nyse().sessions();
                let at = session.partition_point(|session| session.date < bar.session);
                self.now = self.now.max(session[at].close);
                self.marks[bar.instrument.index()] = Some(bar.close);
            }
            Event::SessionClosed => self.peak = self.peak.max(Some(self.equity())),
            Event::Clock(at) => self.now = self.now.max(*at),
            Event::Filled(fill) => {
                let at = fill.instrument.index();
                let paid = fill.price.times(fill.quantity).to_money().unwrap();
                self.cash = self.cash.sub(paid).unwrap().sub(fill.fee).unwrap();
                self.positions[at] = self.positions[at].add(fill.quantity).unwrap();
                self.marks[at] = Some(fill.price);
                self.fills += 1;
                let filled = self.filled.entry(fill.order).or_default();
                *filled = filled.add(fill.quantity).unwrap();
            }
            Event::OrderEnded { order, reason } => drop(self.ended.insert(*order, *reason)),
            Event::Control(mode) => self.mode = *mode,
            Event::Corrected(correction) => {
                self.disputed = true;
                match correction {
                    Correction::Position { instrument, theirs, price, .. } => {
                        self.positions[instrument.index()] = *theirs;
                        self.marks[instrument.index()] = Some(*price);
                    }
                    Correction::Cash { theirs, .. } => self.cash = *theirs,
                    Correction::Foreign => {}
                }
                self.corrected.push((*correction, line.note.clone().unwrap_or_default()));
            }
            Event::Accepted => self.disputed = false,
            Event::Reenabled => self.fills = 0,
            Event::Borrowed { .. } | Event::Action(_) | Event::Feed { .. } => panic!("nothing of that is told here"),
        }
        let stopped = matches!(line.event, Event::Bar(_)) && self.mode >= Mode::Cancel;
        self.meddled |= stopped && line.commands.iter().any(|asked| asked.cancel.is_some());
        for id in line.commands.iter().filter_map(|asked| asked.cancel) {
            self.cancelled.entry(id).or_insert((line.seq, self.now));
        }
    }

    /// Takes an order that was decided on it.
    pub fn decide(&mut self, order: Order, safe: bool) {
        if !safe {
            self.unsafe_orders.insert(order.id);
        }
        self.decided.insert(order.id, Decided { order, session: self.session, at: self.now, safe });
    }

    /// All of it is on the disk.
    pub fn synced(&mut self) {
        for id in std::mem::take(&mut self.unsafe_orders) {
            if let Some(decided) = self.decided.get_mut(&id) {
                decided.safe = true;
            }
        }
    }

    /// Whether nothing more is to come of an order.
    pub fn is_over(&self, id: OrderId) -> bool {
        let whole = self.decided.get(&id).map(|decided| decided.order.quantity.abs());
        self.ended.contains_key(&id)
            || whole.is_some_and(|whole| self.filled.get(&id).is_some_and(|filled| filled.abs() >= whole))
    }
}

/// The step that an order was decided in.
pub fn step_of(id: OrderId) -> u64 {
    id.0 >> 16
}
