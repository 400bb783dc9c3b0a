//! The orders of the API and what becomes of them.
//!
//! An order of the API is a row. What trades on the floor is a wish with a name of its own, because a row that has an
//! alternative is placed anew when the other is replaced. Exits of a bracket wait as held rows, and go to the floor once
//! the entry has filled (or has ended with a part of it filled, for that part).

use std::collections::HashMap;

use axum::body::Bytes;
use domain::{
    ActionKind, CorporateAction, InstrumentId, Notional, OrderKind, Overflow, Price, Quantity, Ratio, TimeInForce,
    Timestamp,
};
use engine::OrderEnd;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use trading::market::Market;
use trading::{Broker, ClientOrderId, Execution};

use super::super::wire::{Class, Side, Status, Term};
use super::answers;
use super::asked::{Asked, Change, whole};
use super::floor::{Floor, FloorError, Told, Wish};
use super::problem::Problem;

/// Updates that a slow listener may be behind; then its line is cut, so that it asks.
const UPDATES_BEHIND_MAX: usize = 1_024;

/// An order.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) client_order_id: String,
    pub(super) instrument: InstrumentId,
    pub(super) side: Side,
    pub(super) quantity: Quantity,
    pub(super) kind: OrderKind,
    pub(super) term: Term,
    pub(super) class: Class,
    pub(super) status: Status,
    pub(super) filled: Quantity,
    pub(super) value: Notional,
    pub(super) parent: Option<usize>,
    pub(super) legs: Vec<usize>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) filled_at: Option<Timestamp>,
    /// When it was cancelled, expired, failed or was replaced: its status tells which.
    pub(super) ended_at: Option<Timestamp>,
    pub(super) replaced_by: Option<usize>,
    pub(super) replaces: Option<usize>,
    /// Its name on the floor, once it is there.
    floor: Option<ClientOrderId>,
    exits: bool,
    /// It came to the floor while the market was open: this session is the one that a day order works in.
    in_session: bool,
}

impl Row {
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.status,
            Status::New | Status::Accepted | Status::PendingNew | Status::PartiallyFilled | Status::Held
        )
    }

    pub(super) fn average(&self) -> Option<Price> {
        self.value.per_share(self.filled).ok()
    }

    fn left(&self) -> Quantity {
        self.quantity.sub(self.filled).unwrap_or_default()
    }

    fn works_on_floor(&self) -> bool {
        self.floor.is_some() && self.is_open()
    }
}

/// An execution, as account activities tell it.
#[derive(Debug, Clone)]
pub(super) struct Fill {
    pub(super) id: String,
    pub(super) order: usize,
    pub(super) quantity: Quantity,
    pub(super) price: Price,
    pub(super) cumulative: Quantity,
    pub(super) at: Timestamp,
}

/// The account that is served.
#[derive(Debug)]
pub(super) struct House<B> {
    pub(super) floor: Floor<B>,
    pub(super) rows: Vec<Row>,
    pub(super) fills: Vec<Fill>,
    by_id: HashMap<String, usize>,
    by_client: HashMap<String, usize>,
    by_floor: HashMap<ClientOrderId, usize>,
    updates: broadcast::Sender<Bytes>,
    last_stamp: Timestamp,
    /// What ids have that those of an earlier start do not: a client that knew one must not take another order for it.
    start: u64,
    ids: u64,
}

impl<B: Broker> House<B> {
    pub(super) fn new(floor: Floor<B>, start: u64) -> Self {
        Self {
            floor,
            rows: Vec::new(),
            fills: Vec::new(),
            by_id: HashMap::new(),
            by_client: HashMap::new(),
            by_floor: HashMap::new(),
            updates: broadcast::channel(UPDATES_BEHIND_MAX).0,
            last_stamp: Timestamp::default(),
            start,
            ids: 0,
        }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Bytes> {
        self.updates.subscribe()
    }

    /// The market's time; no two are the same, so that pages of orders can be cut between any two.
    fn stamp(&mut self) -> Timestamp {
        let next = Timestamp::from_nanos(self.last_stamp.nanos().saturating_add(1_000));
        self.last_stamp = self.floor.now().max(next);
        self.last_stamp
    }

    fn next_id(&mut self) -> String {
        self.ids += 1;
        answers::uuid(answers::ORDERS, self.start, self.ids)
    }

    fn floor_name(&mut self) -> ClientOrderId {
        self.ids += 1;
        ClientOrderId::told(format!("floor-{:x}", self.ids))
    }

    /// Adds a row.
    fn add(&mut self, mut row: Row) -> usize {
        let at = self.rows.len();
        if row.client_order_id.is_empty() {
            row.client_order_id.clone_from(&row.id);
        }
        self.by_id.insert(row.id.clone(), at);
        self.by_client.insert(row.client_order_id.clone(), at);
        self.rows.push(row);
        at
    }

    fn row(&mut self, asked: &Asked, instrument: InstrumentId) -> Row {
        let at = self.stamp();
        Row {
            id: self.next_id(),
            client_order_id: asked.client_order_id.clone().unwrap_or_default(),
            instrument,
            side: asked.side,
            quantity: asked.quantity,
            kind: asked.kind,
            term: asked.term,
            class: asked.class,
            status: if self.floor.trades() { Status::New } else { Status::Accepted },
            filled: Quantity::ZERO,
            value: Notional::ZERO,
            parent: None,
            legs: Vec::new(),
            created_at: at,
            updated_at: at,
            filled_at: None,
            ended_at: None,
            replaced_by: None,
            replaces: None,
            floor: None,
            exits: asked.class == Class::Oco,
            in_session: self.floor.trades(),
        }
    }

    fn leg(&mut self, of: &Row, parent: usize, side: Side, kind: OrderKind) -> Row {
        let at = self.stamp();
        Row {
            id: self.next_id(),
            client_order_id: String::new(),
            side,
            kind,
            status: Status::Held,
            parent: Some(parent),
            legs: Vec::new(),
            created_at: at,
            updated_at: at,
            exits: true,
            ..of.clone()
        }
    }

    fn wish(&self, row: &Row, id: ClientOrderId) -> Wish {
        Wish {
            id,
            instrument: row.instrument,
            quantity: row.side.signed(row.left()),
            kind: row.kind,
            time_in_force: if row.term == Term::Day { TimeInForce::Day } else { TimeInForce::GoodTillCancelled },
            reduce_only: row.exits,
        }
    }

    /// Shares of a position that no working order would close already; orders that are alternatives count once.
    pub(super) fn available(&self, instrument: InstrumentId, without: &[usize]) -> Quantity {
        let position = self.floor.book().position(instrument);
        let closes = |at: usize| {
            let row = &self.rows[at];
            let shrinks = row.side.signed(row.quantity).signum() * position.signum() < 0;
            row.instrument == instrument && row.works_on_floor() && shrinks && !without.contains(&at)
        };
        let firsts = (0..self.rows.len()).filter(|at| closes(*at) && self.partners(*at).first() == Some(at));
        let held = firsts.fold(Quantity::ZERO, |sum, at| sum.add(self.rows[at].left()).unwrap_or(Quantity::MAX));
        position.abs().sub(held).unwrap_or_default().max(Quantity::ZERO)
    }

    /// Alpaca takes no position through zero, and lets no two orders close the same shares.
    fn closes_only_what_is_free(&self, row: &Row, without: &[usize]) -> Result<(), Problem> {
        let position = self.floor.book().position(row.instrument);
        if row.side.signed(row.quantity).signum() * position.signum() >= 0 {
            return Ok(());
        }
        let available = self.available(row.instrument, without);
        if row.left() > available {
            let symbol = &self.floor.symbols()[row.instrument.index()];
            return Err(Problem::not_available(symbol, row.left(), position.abs(), available));
        }
        Ok(())
    }

    /// Takes an order; the answer is how it stood before anything traded.
    pub(super) fn submit(&mut self, asked: &Asked) -> Result<usize, Problem> {
        let instrument = self.floor.instrument(&asked.symbol);
        let instrument =
            instrument.ok_or_else(|| Problem::unprocessable(format!("asset \"{}\" not found", asked.symbol)))?;
        if asked.client_order_id.as_ref().is_some_and(|id| self.by_client.contains_key(id)) {
            return Err(Problem::invalid("client_order_id must be unique"));
        }
        if asked.term == Term::Opg && self.floor.trades() {
            return Err(Problem::unprocessable("opg orders are taken while the market is closed"));
        }
        let parent = self.rows.len();
        let mut row = self.row(asked, instrument);
        let other = if asked.side == Side::Buy { Side::Sell } else { Side::Buy };
        let mut legs = Vec::new();
        let mut wishes = Vec::new();
        let name = self.floor_name();
        wishes.push(self.wish(&row, name.clone()));
        row.floor = Some(name);
        match asked.class {
            Class::Oco => {
                let position = self.floor.book().position(instrument);
                if position.signum() * asked.side.signed(asked.quantity).signum() >= 0 {
                    return Err(Problem::unprocessable("oco orders must be exit orders"));
                }
                let stop = asked.stop_loss.unwrap_or(asked.kind);
                let mut leg = self.leg(&row, parent, asked.side, stop);
                let name = self.floor_name();
                wishes.push(self.wish(&leg, name.clone()));
                leg.floor = Some(name);
                legs.push(leg);
            }
            Class::Bracket | Class::Oto => {
                for kind in [asked.take_profit, asked.stop_loss].into_iter().flatten() {
                    let mut leg = self.leg(&row, parent, other, kind);
                    leg.floor = None;
                    legs.push(leg);
                }
            }
            Class::Simple | Class::Other => {}
        }
        self.closes_only_what_is_free(&row, &[])?;
        self.floor.submit(&wishes)?;
        row.legs = (0..legs.len()).map(|leg| parent + 1 + leg).collect();
        self.place(row);
        for leg in legs {
            self.place(leg);
        }
        self.publish("new", parent, None);
        Ok(parent)
    }

    fn place(&mut self, row: Row) -> usize {
        let floor = row.floor.clone();
        let at = self.add(row);
        if let Some(name) = floor {
            self.by_floor.insert(name, at);
        }
        at
    }

    /// The row and its alternatives, as far as they work on the floor.
    fn partners(&self, at: usize) -> Vec<usize> {
        let row = &self.rows[at];
        let group = match (row.class, row.parent) {
            (Class::Oco, parent) => {
                let parent = parent.unwrap_or(at);
                std::iter::once(parent).chain(self.rows[parent].legs.iter().copied()).collect()
            }
            (_, Some(parent)) => self.rows[parent].legs.clone(),
            (_, None) => vec![at],
        };
        group.into_iter().filter(|at| self.rows[*at].works_on_floor()).collect()
    }

    /// Something happened in the market.
    pub(super) fn market(&mut self, event: &Market) -> Result<(), FloorError> {
        self.floor.market(event)?;
        self.settle()?;
        match event {
            Market::Closed => self.expire(),
            Market::Action(CorporateAction { instrument, kind: ActionKind::Split { ratio }, .. }) => {
                let overflow = |_| FloorError::Engine(engine::EngineError::Overflow);
                self.split(*instrument, *ratio).map_err(overflow)
            }
            _ => Ok(()),
        }
    }

    /// Restates what is open, and what it has traded, in shares after a split.
    fn split(&mut self, instrument: InstrumentId, ratio: Ratio) -> Result<(), Overflow> {
        for (at, row) in self.rows.iter_mut().enumerate() {
            if row.instrument != instrument || !row.is_open() {
                continue;
            }
            row.quantity = ratio.quantity(row.quantity)?;
            row.filled = ratio.quantity(row.filled)?;
            row.kind = split_kind(row.kind, ratio)?;
            for fill in self.fills.iter_mut().filter(|fill| fill.order == at) {
                fill.quantity = ratio.quantity(fill.quantity)?;
                fill.cumulative = ratio.quantity(fill.cumulative)?;
                fill.price = ratio.price(fill.price)?;
            }
        }
        Ok(())
    }

    /// Ends the day orders of a session that were placed inside it. The venue ends those that were waiting for it; one
    /// that is placed inside a session waits, to a strategy of closing prices, for the next.
    fn expire(&mut self) -> Result<(), FloorError> {
        for at in 0..self.rows.len() {
            let row = &self.rows[at];
            if row.works_on_floor() && row.in_session && row.term != Term::Gtc {
                let name = row.floor.clone();
                self.end(at, Status::Expired, "expired");
                name.map_or(Ok(()), |name| self.floor.cancel(&name))?;
                self.activate(at)?;
            }
        }
        self.settle()
    }

    /// Takes in what has happened on the floor.
    pub(super) fn settle(&mut self) -> Result<(), FloorError> {
        loop {
            let told = self.floor.told();
            if told.is_empty() {
                return Ok(());
            }
            for one in told {
                match one {
                    Told::Executed { execution, position } => self.executed(&execution, position)?,
                    Told::Ended { id, reason } => self.ended(&id, reason)?,
                    Told::Forced { id, order } => self.forced(id, &order),
                }
            }
        }
    }

    fn executed(&mut self, execution: &Execution, position: Quantity) -> Result<(), FloorError> {
        let Some(at) = self.by_floor.get(&execution.order).copied() else { return Ok(()) };
        let now = self.stamp();
        let overflow = |_| FloorError::Engine(engine::EngineError::Overflow);
        let quantity = execution.quantity.abs();
        let row = &mut self.rows[at];
        row.filled = row.filled.add(quantity).map_err(overflow)?;
        row.value = row.value.plus(execution.price.times(quantity));
        row.updated_at = now;
        let whole = row.filled >= row.quantity;
        row.status = if whole { Status::Filled } else { Status::PartiallyFilled };
        row.filled_at = Some(now);
        let id = answers::uuid(answers::EXECUTIONS, self.start, self.fills.len() as u64 + 1);
        let fill = Fill { id, order: at, quantity, price: execution.price, cumulative: row.filled, at: now };
        let more = json!({
            "execution_id": fill.id,
            "qty": fill.quantity,
            "price": fill.price,
            "position_qty": position,
        });
        self.fills.push(fill);
        self.publish(if whole { "fill" } else { "partial_fill" }, at, Some(more));
        if whole { self.activate(at) } else { Ok(()) }
    }

    fn ended(&mut self, id: &ClientOrderId, reason: OrderEnd) -> Result<(), FloorError> {
        let Some(at) = self.by_floor.get(id).copied() else { return Ok(()) };
        let (status, event) = match reason {
            OrderEnd::Expired => (Status::Expired, "expired"),
            OrderEnd::Rejected => (Status::Rejected, "rejected"),
            OrderEnd::Cancelled | OrderEnd::Replaced | OrderEnd::Delisted => (Status::Canceled, "canceled"),
        };
        self.end(at, status, event);
        self.activate(at)
    }

    fn end(&mut self, at: usize, status: Status, event: &str) {
        let now = self.stamp();
        let row = &mut self.rows[at];
        if row.is_open() {
            (row.status, row.ended_at, row.updated_at) = (status, Some(now), now);
            self.publish(event, at, None);
        }
    }

    /// An entry is over: its exits work for what it filled, or end with it.
    fn activate(&mut self, entry: usize) -> Result<(), FloorError> {
        let waits =
            |house: &Self, at: &usize| house.rows[*at].status == Status::Held && house.rows[*at].floor.is_none();
        let legs: Vec<usize> = self.rows[entry].legs.iter().copied().filter(|at| waits(self, at)).collect();
        let filled = self.rows[entry].filled;
        if legs.is_empty() {
            return Ok(());
        }
        if filled.is_zero() {
            legs.iter().for_each(|at| self.end(*at, Status::Canceled, "canceled"));
            return Ok(());
        }
        let mut wishes = Vec::new();
        for at in &legs {
            let name = self.floor_name();
            self.rows[*at].quantity = filled;
            self.rows[*at].floor = Some(name.clone());
            self.rows[*at].in_session = self.floor.trades();
            self.by_floor.insert(name.clone(), *at);
            wishes.push(self.wish(&self.rows[*at], name));
        }
        match self.floor.submit(&wishes) {
            Ok(()) => {
                // As Alpaca shows it, the stop of a pair goes on being held.
                let first = legs[0];
                self.rows[first].status = Status::New;
                self.publish("new", first, None);
                Ok(())
            }
            Err(super::floor::Declined::Failed(error)) => Err(error),
            Err(super::floor::Declined::Limit(_)) => {
                legs.iter().for_each(|at| self.end(*at, Status::Rejected, "rejected"));
                Ok(())
            }
        }
    }

    /// The account closes something by itself.
    fn forced(&mut self, id: ClientOrderId, order: &domain::Order) {
        let asked = Asked {
            symbol: String::new(),
            quantity: order.quantity.abs(),
            side: Side::of(order.quantity),
            kind: order.kind,
            term: Term::Gtc,
            class: Class::Simple,
            client_order_id: Some(format!("{id}-{:x}", self.start)),
            take_profit: None,
            stop_loss: None,
        };
        let mut row = self.row(&asked, order.instrument);
        row.floor = Some(id);
        let at = self.place(row);
        self.publish("new", at, None);
    }

    /// Stops working an order. An exit takes its whole group with it.
    pub(super) fn cancel(&mut self, at: usize) -> Result<(), Problem> {
        let row = &self.rows[at];
        if !row.is_open() {
            let status = answers::word(&row.status);
            return Err(Problem::unprocessable(format!("order is already in \"{status}\" state")));
        }
        let parent = row.parent.unwrap_or(at);
        let entry_only = row.parent.is_none() && row.class != Class::Oco;
        let family: Vec<usize> =
            if entry_only { vec![at] } else { self.rows[parent].legs.iter().copied().chain([parent]).collect() };
        for at in family {
            match self.rows[at].floor.clone() {
                _ if !self.rows[at].is_open() => {}
                Some(name) => self.floor.cancel(&name).map_err(Problem::broken)?,
                None => self.end(at, Status::Canceled, "canceled"),
            }
        }
        self.settle().map_err(Problem::broken)
    }

    /// Puts a changed order in the place of one.
    pub(super) fn replace(&mut self, at: usize, change: &Change) -> Result<usize, Problem> {
        let old = self.rows[at].clone();
        if !old.is_open() {
            let status = answers::word(&old.status);
            return Err(Problem::unprocessable(format!(
                "unable to replace order: it is already in \"{status}\" state"
            )));
        }
        if change.client_order_id.as_ref().is_some_and(|id| self.by_client.contains_key(id)) {
            return Err(Problem::invalid("client_order_id must be unique"));
        }
        let (term, kind) = (change.time_in_force.unwrap_or(old.term), change.kind(old.kind)?);
        if term != old.term && (!matches!(term, Term::Day | Term::Gtc) || !matches!(old.term, Term::Day | Term::Gtc)) {
            return Err(Problem::invalid("time_in_force can only be changed between day and gtc"));
        }
        let quantity = change.qty.map_or(Ok(old.left()), whole)?;
        if old.class != Class::Simple && (quantity != old.left() || term != old.term) {
            return Err(Problem::invalid("of an order with legs only prices can be changed"));
        }
        if change.qty.is_none_or(|_| quantity == old.quantity) && kind == old.kind && term == old.term {
            return Err(Problem::forbidden("order parameters are not changed"));
        }
        let now = self.stamp();
        let mut new = Row {
            id: self.next_id(),
            client_order_id: change.client_order_id.clone().unwrap_or_default(),
            quantity,
            kind,
            term,
            filled: Quantity::ZERO,
            value: Notional::ZERO,
            status: if old.status == Status::PartiallyFilled { Status::New } else { old.status },
            created_at: now,
            updated_at: now,
            filled_at: None,
            replaces: Some(at),
            replaced_by: None,
            floor: None,
            in_session: self.floor.trades(),
            ..old.clone()
        };
        let partners = if old.floor.is_some() { self.partners(at) } else { Vec::new() };
        self.closes_only_what_is_free(&new, &partners)?;
        let (mut names, mut wishes, mut outs) = (Vec::new(), Vec::new(), Vec::new());
        for partner in &partners {
            let name = self.floor_name();
            let row = if *partner == at { &new } else { &self.rows[*partner] };
            wishes.push(self.wish(row, name.clone()));
            outs.extend(self.rows[*partner].floor.clone());
            names.push(name);
        }
        if !wishes.is_empty()
            && let Err(declined) = self.floor.swap(&outs, &wishes)
        {
            self.settle().map_err(Problem::broken)?;
            return Err(declined.into());
        }
        for name in &outs {
            self.by_floor.remove(name);
        }
        let place = self.rows.len();
        for (partner, name) in partners.iter().zip(names) {
            if *partner == at {
                new.floor = Some(name);
            } else {
                self.by_floor.insert(name.clone(), *partner);
                self.rows[*partner].floor = Some(name);
            }
        }
        if let Some(parent) = new.parent {
            self.rows[parent].legs.iter_mut().filter(|leg| **leg == at).for_each(|leg| *leg = place);
        }
        for leg in &new.legs {
            self.rows[*leg].parent = Some(place);
        }
        self.rows[at].legs.clear();
        self.rows[at].replaced_by = Some(place);
        self.place(new);
        self.end(at, Status::Replaced, "replaced");
        self.publish("new", place, None);
        Ok(place)
    }

    /// Orders to close a position, or some of it.
    pub(super) fn close(&mut self, instrument: InstrumentId, quantity: Option<Quantity>) -> Result<usize, Problem> {
        let position = self.floor.book().position(instrument);
        if position.is_zero() {
            return Err(Problem::missing("position does not exist"));
        }
        let asked = Asked {
            symbol: self.floor.symbols()[instrument.index()].to_string(),
            quantity: quantity.unwrap_or(position.abs()),
            side: if position.signum() > 0 { Side::Sell } else { Side::Buy },
            kind: OrderKind::Market,
            term: Term::Day,
            class: Class::Simple,
            client_order_id: None,
            take_profit: None,
            stop_loss: None,
        };
        self.submit(&asked)
    }

    pub(super) fn find(&self, id: &str) -> Result<usize, Problem> {
        let found = self.by_id.get(&id.to_ascii_lowercase()).copied();
        found.ok_or_else(|| Problem::missing(format!("order not found for {id}")))
    }

    pub(super) fn find_by_client(&self, id: &str) -> Result<usize, Problem> {
        let found = self.by_client.get(id).copied();
        found.ok_or_else(|| Problem::missing(format!("order not found for {id}")))
    }

    fn publish(&mut self, event: &str, at: usize, more: Option<Value>) {
        let row = &self.rows[at];
        let mut data = json!({
            "event": event,
            "timestamp": row.updated_at,
            "order": answers::order(self, at, false),
        });
        if let (Some(data), Some(Value::Object(more))) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        let message = json!({ "stream": "trade_updates", "data": data });
        // Nobody may be listening.
        let _ = self.updates.send(Bytes::from(message.to_string()));
    }
}

/// Prices of an order in shares after a split.
fn split_kind(kind: OrderKind, ratio: Ratio) -> Result<OrderKind, Overflow> {
    let order = domain::Order {
        id: domain::OrderId(0),
        instrument: InstrumentId(0),
        quantity: Quantity::ZERO,
        kind,
        time_in_force: TimeInForce::default(),
        bracket: None,
        group: None,
        reduce_only: false,
    };
    Ok(order.split(ratio)?.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Bar, Calendar, Money, OrderId, Session, Symbol};
    use simulator::Costs;
    use trading::paper::PaperBroker;

    /// Numbers that are the same each time (splitmix64).
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % sides
        }

        fn price(&mut self, near: i64) -> Price {
            Price::from_units((near + self.roll(11) as i64 - 5).max(1) * Price::UNITS)
        }
    }

    struct Day {
        house: House<PaperBroker>,
        dice: Dice,
        sessions: &'static [Session],
        last: i64,
        ticks: i64,
        /// Fills that were looked at, and the position after them; none while a split restates both.
        seen: usize,
        position: Option<Quantity>,
    }

    impl Day {
        fn new(seed: u64) -> Self {
            let symbols = [Symbol::new("AAPL").unwrap()];
            let cash = Money::parse("100000").unwrap();
            let costs = Costs { volume_share_max: Some(1.0), slippage_bps: 3.0, ..Costs::default() };
            let limits =
                engine::Limits { position_quantity_max: Some(Quantity::whole(500).unwrap()), ..Default::default() };
            let floor = Floor::new(PaperBroker::new(costs, &symbols, cash), &symbols, cash, limits);
            let first = Calendar::nyse().sessions().iter().position(|session| session.date.year() == 2024).unwrap();
            let sessions = &Calendar::nyse().sessions()[first..];
            let mut day = Self {
                house: House::new(floor, seed),
                dice: Dice(seed),
                sessions,
                last: 100,
                ticks: 0,
                seen: 0,
                position: Some(Quantity::ZERO),
            };
            day.house.market(&Market::Opened(day.sessions[0])).unwrap();
            day.tick();
            day
        }

        fn tick(&mut self) {
            self.ticks += 1;
            self.last = (self.last + self.dice.roll(9) as i64 - 4).clamp(60, 160);
            let session = self.sessions[0];
            let price = Price::from_units(self.last * Price::UNITS);
            let at = Timestamp::from_nanos(session.open.nanos() + self.ticks * 1_000_000);
            let volume = 1 + self.dice.roll(200);
            self.house.market(&Market::Price { instrument: InstrumentId(0), price, volume, at }).unwrap();
        }

        fn night(&mut self) {
            let (instrument, session) = (InstrumentId(0), self.sessions[0].date);
            let price = Price::from_units(self.last * Price::UNITS);
            let bar = Bar { instrument, session, open: price, high: price, low: price, close: price, volume: 1_000 };
            self.house.market(&Market::Bar { bar, traded: bar }).unwrap();
            self.house.market(&Market::Closed).unwrap();
            self.sessions = &self.sessions[1..];
            self.act();
            self.house.market(&Market::Opened(self.sessions[0])).unwrap();
            if self.dice.roll(6) == 0 {
                let ratio = if self.last > 110 { Ratio::new(2, 1) } else { Ratio::new(1, 2) }.unwrap();
                let kind = ActionKind::Split { ratio };
                let action = CorporateAction { instrument, ex_date: self.sessions[0].date, kind };
                self.house.market(&Market::Action(action)).unwrap();
                self.position = None;
                self.last = if self.last > 110 { self.last / 2 } else { self.last * 2 }.clamp(60, 160);
            }
        }

        fn asked(&mut self) -> Asked {
            let near = self.last;
            let kind = match self.dice.roll(7) {
                0 | 1 => OrderKind::Market,
                2 | 3 => OrderKind::Limit { limit: self.dice.price(near) },
                4 => OrderKind::Stop { stop: self.dice.price(near) },
                5 => OrderKind::StopLimit { stop: self.dice.price(near), limit: self.dice.price(near) },
                _ => OrderKind::TrailingStop { trail: domain::Trail::BasisPoints(200) },
            };
            let side = if self.dice.roll(2) == 0 { Side::Buy } else { Side::Sell };
            let up = if side == Side::Buy { 3 } else { -3 };
            let class =
                [Class::Simple, Class::Simple, Class::Bracket, Class::Oto, Class::Oco][self.dice.roll(5) as usize];
            let out = if class == Class::Oco { -up } else { up };
            let at = |price: i64| Price::from_units(price.max(1) * Price::UNITS);
            let profit = OrderKind::Limit { limit: at(near + out) };
            Asked {
                symbol: "AAPL".to_owned(),
                quantity: Quantity::whole(1 + self.dice.roll(150) as i64).unwrap(),
                side,
                kind: if class == Class::Oco { profit } else { kind },
                term: if self.dice.roll(3) == 0 { Term::Day } else { Term::Gtc },
                class,
                client_order_id: None,
                take_profit: matches!(class, Class::Bracket | Class::Oco).then_some(profit),
                stop_loss: (class != Class::Simple).then_some(OrderKind::Stop { stop: at(near - out) }),
            }
        }

        /// One request; that it is refused is an answer too.
        fn act(&mut self) -> bool {
            let some_row = |day: &mut Self| {
                let rows = day.house.rows.len() as u64;
                (rows > 0).then(|| (rows - 1 - day.dice.roll(rows.min(8))) as usize)
            };
            let done = match self.dice.roll(10) {
                0..=4 => {
                    let asked = self.asked();
                    self.house.submit(&asked).map(|_| ())
                }
                5 | 6 => some_row(self).map_or(Ok(()), |at| self.house.cancel(at)),
                7 | 8 => some_row(self).map_or(Ok(()), |at| {
                    let near = self.last;
                    let row = &self.house.rows[at];
                    let price = Some(self.dice.price(near));
                    let limits = matches!(row.kind, OrderKind::Limit { .. } | OrderKind::StopLimit { .. });
                    let stops = matches!(row.kind, OrderKind::Stop { .. });
                    let change = Change {
                        limit_price: price.filter(|_| limits),
                        stop_price: price.filter(|_| stops),
                        ..Change::default()
                    };
                    self.house.replace(at, &change).map(|_| ())
                }),
                _ => self.house.close(InstrumentId(0), None).map(|_| ()),
            };
            if let Err(problem) = &done {
                assert!(problem.status.is_client_error(), "{problem:?}");
            }
            self.house.settle().unwrap();
            done.is_ok()
        }

        fn holds(&mut self) {
            let house = &mut self.house;
            let mut traded = Quantity::ZERO;
            for (at, row) in house.rows.iter().enumerate() {
                let of_row = house.fills.iter().filter(|fill| fill.order == at);
                let filled = of_row.fold(Quantity::ZERO, |sum, fill| sum.add(fill.quantity).unwrap());
                assert_eq!(row.filled, filled, "{row:?}");
                assert!(row.filled <= row.quantity, "{row:?}");
                assert_eq!(row.status == Status::Filled, row.filled == row.quantity, "{row:?}");
                traded = traded.add(row.side.signed(filled)).unwrap();
            }
            // What is over has no exits that wait for it.
            for row in house.rows.iter().filter(|row| row.status == Status::Held && row.floor.is_none()) {
                assert!(row.parent.is_some_and(|parent| house.rows[parent].is_open()), "{row:?}");
            }
            // An exit takes no position away from flat.
            if let Some(mut position) = self.position {
                for fill in &house.fills[self.seen..] {
                    let row = &house.rows[fill.order];
                    let after = position.add(row.side.signed(fill.quantity)).unwrap();
                    let shrinks = after.abs() < position.abs() && after.signum() * position.signum() >= 0;
                    assert!(shrinks || !row.exits, "{position} {row:?} {fill:?}");
                    position = after;
                }
            }
            self.seen = house.fills.len();
            self.position = Some(house.floor.book().position(InstrumentId(0)));
            // The three who know of it agree on what works.
            let mut rows: Vec<_> =
                house.rows.iter().filter(|row| row.works_on_floor()).filter_map(|row| row.floor.clone()).collect();
            let mut gate: Vec<OrderId> = house.floor.open_orders().iter().map(|order| order.id).collect();
            let mut named: Vec<OrderId> = rows.iter().map(|id| house.floor.number(id).unwrap()).collect();
            let mut broker: Vec<_> =
                house.floor.broker_mut().working().unwrap().into_iter().map(|order| order.id).collect();
            rows.sort();
            broker.sort();
            gate.sort();
            named.sort();
            assert_eq!(rows, broker);
            assert_eq!(named, gate);
            let account = house.floor.broker_mut().account().unwrap();
            let held = account.holdings.first().map_or(Quantity::ZERO, |holding| holding.quantity);
            assert_eq!(house.floor.book().position(InstrumentId(0)), held);
            assert_eq!(Some(house.floor.book().cash()), account.cash);
            assert!(held.abs() <= Quantity::whole(1_000).unwrap());
        }
    }

    #[test]
    fn orders_account_and_broker_agree_whatever_is_asked_for() {
        let runs = std::env::var("ALGOTRADING_TEST_DAYS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300);
        let (mut done, mut refused, mut fills) = (0, 0, 0);
        for seed in 0..runs {
            let failed = std::panic::catch_unwind(|| {
                let mut day = Day::new(seed);
                let mut counts = (0, 0);
                for _ in 0..60 {
                    match day.dice.roll(12) {
                        0..=5 => *(if day.act() { &mut counts.0 } else { &mut counts.1 }) += 1,
                        6..=10 => day.tick(),
                        _ => day.night(),
                    }
                    day.holds();
                }
                (counts.0, counts.1, day.house.fills.len())
            });
            let (did, did_not, filled) = failed.unwrap_or_else(|_| panic!("seed {seed}"));
            (done, refused, fills) = (done + did, refused + did_not, fills + filled);
        }
        assert!(
            done > 10 * runs && refused > 0 && fills > runs as usize,
            "{done} done, {refused} refused, {fills} fills"
        );
    }
}
