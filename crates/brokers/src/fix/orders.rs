//! What FIX says about orders, in the port's words: reports in, events and what to store out.
//!
//! The book knows every order that was sent, so that an execution is told once however often it is reported, and an
//! order is never sent twice. It keeps no time and does no input or output.
//!
//! Where FIX and the port differ:
//! - A request to cancel needs a name of its own; it is made of the order's, so that a report about either leads to the
//!   order, even after a restart.
//! - FIX counts what is filled through a chain of replacements; the port counts for each order. [`Known::before`] is
//!   the difference.
//! - FIX 4.4 lets an execution be busted or corrected, which the port has no event for: the book is put right and the
//!   runner is made to ask ([`Applied::ask`]).

use std::collections::{BTreeMap, BTreeSet};

use domain::{Money, Notional, Order, OrderKind, Price, Quantity, Symbol, TimeInForce, Timestamp, Trail};
use engine::OrderEnd;
use serde::{Deserialize, Serialize};
use trading::{BrokerEvent, ClientOrderId, Execution, Failure, OrderStatus, State, Ticket};

use super::codec::{Message, tag};
use super::time;

/// How orders are written for one counterparty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// The account, where the counterparty wants it.
    pub account: Option<String>,
    /// Fields that the counterparty wants on every order and replacement beside those of the standard.
    pub fields: Vec<(u32, String)>,
    /// Whether the counterparty works trailing stops: pegged orders (`40=P`) with `18=a`.
    pub trailing_stops: bool,
}

/// What must outlast the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// An order is about to leave.
    Sent {
        /// Its name.
        id: ClientOrderId,
        /// In what.
        symbol: Symbol,
        /// To buy (positive) or sell (negative).
        quantity: Quantity,
        /// Whether it sells what is not held.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        short: bool,
        /// Whether it ends with the day.
        day: bool,
        /// What it shares with its alternatives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<ClientOrderId>,
        /// Which it is to replace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<ClientOrderId>,
    },
    /// The counterparty has it.
    Accepted {
        /// Which.
        id: ClientOrderId,
        /// Its name there.
        order_id: Option<String>,
    },
    /// An execution.
    Executed(Execution),
    /// One took another's place.
    Replaced {
        /// The one that works now.
        id: ClientOrderId,
        /// How much was filled before it.
        before: Quantity,
    },
    /// Nothing more comes of it.
    Closed {
        /// Which.
        id: ClientOrderId,
        /// What it came to.
        state: State,
    },
    /// An execution did not happen, or happened otherwise.
    Corrected {
        /// Of which order.
        id: ClientOrderId,
        /// The execution that is no more.
        execution: String,
        /// What there is instead.
        by: Option<Execution>,
    },
    /// The counterparty has never seen it.
    Absent(ClientOrderId),
}

/// An order in the book.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// In what.
    pub symbol: Symbol,
    /// To buy (positive) or sell (negative).
    pub quantity: Quantity,
    /// Whether it sells what is not held.
    pub short: bool,
    /// Whether it ends with the day.
    pub day: bool,
    /// What it shares with its alternatives.
    pub group: Option<ClientOrderId>,
    /// Which it is to replace, or has replaced.
    pub replaces: Option<ClientOrderId>,
    /// Its name at the counterparty.
    pub order_id: Option<String>,
    /// Whether the counterparty is known to have it.
    pub accepted: bool,
    /// What it has come to.
    pub state: State,
    /// What was filled before it took another's place.
    pub before: Quantity,
    /// Its executions, oldest first.
    pub executions: Vec<Execution>,
}

impl Known {
    fn filled(&self) -> Quantity {
        self.executions.last().map(|execution| execution.cumulative).unwrap_or_default()
    }

    fn side(&self) -> i64 {
        self.quantity.signum()
    }
}

/// What a report led to.
#[derive(Debug, Default, PartialEq)]
pub struct Applied {
    /// To be stored before anything else.
    pub records: Vec<Record>,
    /// For the runner.
    pub events: Vec<BrokerEvent>,
    /// Why the runner had better ask: something happened that no event tells.
    pub ask: Option<String>,
}

/// A report cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a report of type {kind} {problem} (MsgSeqNum {number})")]
pub struct Unreadable {
    kind: String,
    number: String,
    problem: String,
}

/// An `ExecutionReport`.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The name it is reported under.
    pub name: String,
    /// The order that is meant, where that is a request to cancel.
    pub order: ClientOrderId,
    /// The name it was sent under before.
    pub before: Option<ClientOrderId>,
    /// Its name at the counterparty.
    pub order_id: Option<String>,
    /// The report's name.
    pub exec_id: String,
    /// What the report is about (`150`).
    pub kind: char,
    /// What the order has come to (`39`).
    pub status: char,
    /// In the counterparty's words.
    pub text: String,
    /// The request that it answers, for one order (`790`) or all (`584`).
    pub request: Option<String>,
    /// How many answer the same request.
    pub total: Option<u64>,
    /// It is the last that does.
    pub last: bool,
    /// Why an order was refused (`103`).
    pub refusal: Option<u64>,
    symbol: Option<Symbol>,
    side: i64,
    short: bool,
    quantity: Option<Quantity>,
    filled: Option<Quantity>,
    average: Option<Price>,
    last_quantity: Option<Quantity>,
    last_price: Option<Price>,
    reference: Option<String>,
    at: Timestamp,
    fee: Money,
}

/// What a request to cancel is called: the order's name, and a number that no other request for it has.
pub(super) fn cancel_name(id: &ClientOrderId, number: u64) -> String {
    format!("{id}-x{number:x}")
}

/// The order behind a name that may be a request's.
fn order_of(name: &str) -> ClientOrderId {
    let order = name.rsplit_once("-x").filter(|(order, number)| {
        !order.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    ClientOrderId::told(order.map_or(name, |(order, _)| order))
}

impl Report {
    /// From a message of type `8`.
    ///
    /// # Errors
    /// [`Unreadable`] when what every report must have is missing, or a figure is none.
    pub fn read(message: &Message) -> Result<Self, Unreadable> {
        let wrong = |problem: String| Unreadable {
            kind: message.kind().to_owned(),
            number: message.get(tag::MSG_SEQ_NUM).unwrap_or("?").to_owned(),
            problem,
        };
        let text = |tag: u32| message.get(tag).filter(|text| !text.is_empty());
        let sign = |tag: u32| -> Result<char, Unreadable> {
            text(tag).and_then(|text| text.chars().next()).ok_or_else(|| wrong(format!("has no field {tag}")))
        };
        let quantity = |tag: u32| -> Result<Option<Quantity>, Unreadable> {
            text(tag).map(Quantity::parse).transpose().map_err(|_| wrong(format!("has no quantity in field {tag}")))
        };
        let price = |tag: u32| -> Result<Option<Price>, Unreadable> {
            text(tag).map(Price::parse).transpose().map_err(|_| wrong(format!("has no price in field {tag}")))
        };
        let order_id = text(tag::ORDER_ID).filter(|id| !id.eq_ignore_ascii_case("NONE")).map(str::to_owned);
        let name = match (text(tag::CL_ORD_ID), &order_id) {
            (Some(name), _) => name.to_owned(),
            // Somebody entered it by hand.
            (None, Some(order_id)) => format!("broker:{order_id}"),
            (None, None) => return Err(wrong("names no order".into())),
        };
        let side = match text(tag::SIDE) {
            Some("1" | "3" | "B") => 1,
            Some("2" | "4" | "5" | "6" | "C") => -1,
            _ => 0,
        };
        let symbol = text(tag::SYMBOL)
            .map(Symbol::new)
            .transpose()
            .map_err(|error| wrong(format!("has no symbol in field {}: {error}", tag::SYMBOL)))?;
        let at = text(tag::TRANSACT_TIME).or_else(|| text(tag::SENDING_TIME)).and_then(time::parse);
        let at = at.ok_or_else(|| wrong(format!("has no time in field {}", tag::TRANSACT_TIME)))?;
        let (last_quantity, last_price) = (quantity(tag::LAST_QTY)?, price(tag::LAST_PX)?);
        let fee = match text(tag::COMMISSION) {
            None => Money::ZERO,
            Some(amount) => {
                let amount =
                    Money::parse(amount).map_err(|_| wrong(format!("has no amount in field {}", tag::COMMISSION)))?;
                fee(amount, text(tag::COMM_TYPE), last_quantity, last_price)
                    .ok_or_else(|| wrong(format!("has a commission of type {:?}", text(tag::COMM_TYPE))))?
            }
        };
        Ok(Self {
            order: order_of(&name),
            before: text(tag::ORIG_CL_ORD_ID).map(order_of),
            order_id,
            exec_id: text(tag::EXEC_ID).ok_or_else(|| wrong(format!("has no field {}", tag::EXEC_ID)))?.to_owned(),
            kind: sign(tag::EXEC_TYPE)?,
            status: sign(tag::ORD_STATUS)?,
            text: text(tag::TEXT).unwrap_or_default().to_owned(),
            request: text(tag::MASS_STATUS_REQ_ID).or_else(|| text(tag::ORD_STATUS_REQ_ID)).map(str::to_owned),
            total: message.number(tag::TOT_NUM_REPORTS),
            last: message.flag(tag::LAST_RPT_REQUESTED),
            refusal: message.number(tag::ORD_REJ_REASON),
            symbol,
            side,
            short: matches!(text(tag::SIDE), Some("5" | "6")),
            quantity: quantity(tag::ORDER_QTY)?,
            filled: quantity(tag::CUM_QTY)?,
            average: price(tag::AVG_PX)?,
            last_quantity,
            last_price,
            reference: text(tag::EXEC_REF_ID).map(str::to_owned),
            at,
            fee,
            name,
        })
    }

    /// Whether it says that there is no such order.
    #[must_use]
    pub fn is_unknown_order(&self) -> bool {
        const UNKNOWN_ORDER: u64 = 5;
        self.kind == 'I' && self.status == '8' && self.refusal == Some(UNKNOWN_ORDER)
    }
}

/// A commission in money; none where it depends on what is not told.
fn fee(amount: Money, kind: Option<&str>, quantity: Option<Quantity>, price: Option<Price>) -> Option<Money> {
    match kind {
        None | Some("3") => Some(amount),
        Some("1") => Price::parse(amount.to_string()).ok()?.times(quantity?).to_money().ok(),
        Some("2") => price?.times(quantity?).basis_points(amount.to_f64() * 10_000.0).ok(),
        _ if amount.is_zero() => Some(amount),
        _ => None,
    }
}

/// What an order's status (`39`) says of it.
fn state(status: char, day: bool) -> State {
    match status {
        '2' => State::Filled,
        '4' => State::Ended(OrderEnd::Cancelled),
        '5' => State::Ended(OrderEnd::Replaced),
        '8' => State::Ended(OrderEnd::Rejected),
        'C' => State::Ended(OrderEnd::Expired),
        // Done for the day; the next one comes for orders that last.
        '3' if day => State::Ended(OrderEnd::Expired),
        _ => State::Working,
    }
}

/// Every order that is known.
#[derive(Debug, Default)]
pub struct Orders {
    known: BTreeMap<ClientOrderId, Known>,
    working: BTreeSet<ClientOrderId>,
    groups: BTreeMap<ClientOrderId, Vec<ClientOrderId>>,
}

impl Orders {
    /// As it was before a restart.
    #[must_use]
    pub fn replay(records: &[Record]) -> Self {
        let mut orders = Self::default();
        for record in records {
            orders.record(record);
        }
        orders
    }

    /// An order of that name.
    #[must_use]
    pub fn get(&self, id: &ClientOrderId) -> Option<&Known> {
        self.known.get(id)
    }

    /// Takes what was stored.
    pub fn record(&mut self, record: &Record) {
        match record {
            Record::Sent { id, symbol, quantity, short, day, group, replaces } => {
                let known = Known {
                    symbol: symbol.clone(),
                    quantity: *quantity,
                    short: *short,
                    day: *day,
                    group: group.clone(),
                    replaces: replaces.clone(),
                    order_id: None,
                    accepted: false,
                    state: State::Working,
                    before: Quantity::ZERO,
                    executions: Vec::new(),
                };
                if let Some(group) = group {
                    let members = self.groups.entry(group.clone()).or_default();
                    members.retain(|member| member != id);
                    members.push(id.clone());
                }
                self.working.insert(id.clone());
                self.known.insert(id.clone(), known);
            }
            Record::Absent(id) => {
                self.working.remove(id);
                self.known.remove(id);
            }
            Record::Accepted { id, order_id } => self.with(id, |known| {
                known.accepted = true;
                known.order_id = order_id.clone().or_else(|| known.order_id.take());
            }),
            Record::Executed(execution) => {
                self.with(&execution.order, |known| known.executions.push(execution.clone()));
            }
            Record::Replaced { id, before } => self.with(id, |known| {
                known.accepted = true;
                known.before = *before;
            }),
            Record::Closed { id, state } => {
                self.working.remove(id);
                self.with(id, |known| known.state = *state);
            }
            Record::Corrected { id, execution, by } => self.with(id, |known| {
                let Some(at) = known.executions.iter().position(|old| old.id == *execution) else { return };
                match by {
                    Some(by) => known.executions[at] = by.clone(),
                    None => drop(known.executions.remove(at)),
                }
                let mut sum = Quantity::ZERO;
                for execution in &mut known.executions {
                    sum = sum.add(execution.quantity.abs()).unwrap_or(Quantity::MAX);
                    execution.cumulative = sum;
                }
            }),
        }
    }

    fn with(&mut self, id: &ClientOrderId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.get_mut(id) {
            change(known);
        }
    }

    /// Makes and takes a record.
    fn note(&mut self, applied: &mut Applied, record: Record) {
        self.record(&record);
        applied.records.push(record);
    }

    /// Takes an order that somebody else sent.
    fn learn(&mut self, report: &Report, applied: &mut Applied) {
        let Some(symbol) = report.symbol.clone() else { return };
        if self.known.contains_key(&report.order) || report.side == 0 {
            return;
        }
        let size = report.quantity.or(report.last_quantity).unwrap_or_default();
        let quantity = if report.side < 0 { size.neg() } else { size };
        let id = report.order.clone();
        let (short, day, group) = (report.short, false, None);
        self.note(applied, Record::Sent { id: id.clone(), symbol, quantity, short, day, group, replaces: None });
        self.note(applied, Record::Accepted { id, order_id: report.order_id.clone() });
    }

    /// The order a report is about: while a replacement waits, what is filled belongs to the one that still works.
    fn subject(&self, report: &Report) -> ClientOrderId {
        let known = self.known.get(&report.order).filter(|known| !known.accepted);
        let waits = known.filter(|_| matches!(report.kind, 'F' | '1' | '2' | 'G' | 'H' | 'E'));
        waits.and_then(|known| known.replaces.clone()).unwrap_or_else(|| report.order.clone())
    }

    /// Takes a report that is no answer to a question.
    pub fn apply(&mut self, report: &Report) -> Applied {
        let mut applied = Applied::default();
        if report.kind == 'I' {
            return applied;
        }
        self.learn(report, &mut applied);
        if report.kind == '5' {
            self.replaced(report, &mut applied);
        }
        let id = self.subject(report);
        let Some(known) = self.known.get(&id) else {
            applied.ask = Some(format!("a report about the unknown order {id} does not say what it is"));
            return applied;
        };
        let (order_id, day, was) = (report.order_id.clone(), known.day, known.state);
        match report.kind {
            '0' if !known.accepted => {
                self.note(&mut applied, Record::Accepted { id: id.clone(), order_id });
                applied.events.push(BrokerEvent::Accepted(id.clone()));
            }
            'F' | '1' | '2' => self.executed(&id, report, &mut applied),
            'G' | 'H' => self.corrected(&id, report, &mut applied),
            'D' => applied.ask = Some(format!("the broker restated order {id}: {}", report.text)),
            _ => {}
        }
        let now = state(report.status, day);
        // Older versions say with status 5 that the first was replaced, and not what became of the second.
        let ends = if report.kind == '5' { now == State::Filled } else { now != State::Working };
        if was == State::Working && ends {
            self.close(&id, now, report, &mut applied);
        }
        if let (Some(known), Some(told)) = (self.known.get(&id), report.filled)
            && applied.ask.is_none()
            && known.before.add(known.filled()).is_ok_and(|filled| filled < told)
        {
            applied.ask = Some(format!("{told} of order {id} are filled, and not every execution was told"));
        }
        applied
    }

    fn executed(&mut self, id: &ClientOrderId, report: &Report, applied: &mut Applied) {
        let Some(known) = self.known.get(id) else { return };
        let Some(execution) = execution(id, known, report) else {
            applied.ask = Some(format!("an execution of order {id} has no quantity or no price"));
            return;
        };
        // A name may come again on another day; the same name at the same sum is the same execution.
        let same = |old: &Execution| old.id == execution.id && old.cumulative == execution.cumulative;
        if known.executions.iter().any(same) {
            return;
        }
        if !known.accepted {
            self.note(applied, Record::Accepted { id: id.clone(), order_id: report.order_id.clone() });
        }
        self.note(applied, Record::Executed(execution.clone()));
        applied.events.push(BrokerEvent::Executed(execution));
    }

    fn corrected(&mut self, id: &ClientOrderId, report: &Report, applied: &mut Applied) {
        let Some(old) = report.reference.clone() else {
            applied.ask = Some(format!("an execution of order {id} was corrected, and not said which"));
            return;
        };
        let known = self.known.get(id);
        let by = known.filter(|_| report.kind == 'G').and_then(|known| execution(id, known, report));
        let what = if by.is_some() { "corrected" } else { "busted" };
        applied.ask = Some(format!("execution {old} of order {id} was {what}"));
        self.note(applied, Record::Corrected { id: id.clone(), execution: old, by });
    }

    fn replaced(&mut self, report: &Report, applied: &mut Applied) {
        let new = report.order.clone();
        let Some(known) = self.known.get(&new) else { return };
        let old = known.replaces.clone().or_else(|| report.before.clone()).filter(|old| *old != new);
        if known.accepted || old.is_none() {
            return;
        }
        let chain = old.as_ref().and_then(|old| self.known.get(old)).map(|old| old.before.add(old.filled()));
        let before = report.filled.or_else(|| chain.and_then(Result::ok)).unwrap_or_default();
        self.note(applied, Record::Accepted { id: new.clone(), order_id: report.order_id.clone() });
        self.note(applied, Record::Replaced { id: new.clone(), before });
        if let Some(old) = old
            && self.known.get(&old).is_some_and(|old| old.state == State::Working)
        {
            let reason = OrderEnd::Replaced;
            self.note(applied, Record::Closed { id: old.clone(), state: State::Ended(reason) });
            applied.events.push(BrokerEvent::Ended { id: old, reason, text: report.text.clone() });
        }
        applied.events.push(BrokerEvent::Accepted(new));
    }

    fn close(&mut self, id: &ClientOrderId, state: State, report: &Report, applied: &mut Applied) {
        let Some(known) = self.known.get(id) else { return };
        let state = match state {
            State::Ended(OrderEnd::Cancelled) if self.alternative_filled(known) => State::Ended(OrderEnd::Replaced),
            // Part of it had been filled under the name of the one it replaced.
            State::Filled if known.replaces.is_some() && known.filled() < known.quantity.abs() => {
                State::Ended(OrderEnd::Cancelled)
            }
            state => state,
        };
        self.note(applied, Record::Closed { id: id.clone(), state });
        if let State::Ended(reason) = state {
            applied.events.push(BrokerEvent::Ended { id: id.clone(), reason, text: report.text.clone() });
        }
    }

    /// Those that share an order's group, itself among them.
    fn alternatives(&self, known: &Known) -> impl Iterator<Item = &Known> {
        let members = known.group.as_ref().and_then(|group| self.groups.get(group));
        members.into_iter().flatten().filter_map(|id| self.known.get(id))
    }

    fn alternative_filled(&self, known: &Known) -> bool {
        known.executions.is_empty() && self.alternatives(known).any(|other| !other.executions.is_empty())
    }

    /// Working orders of which an alternative has filled.
    #[must_use]
    pub fn outdone(&self) -> Vec<ClientOrderId> {
        let outdone = |id: &&ClientOrderId| self.known.get(*id).is_some_and(|known| self.alternative_filled(known));
        self.working.iter().filter(outdone).cloned().collect()
    }

    /// What of a group has been sent: whether any of it works, and whether any has filled.
    #[must_use]
    pub fn group(&self, group: &ClientOrderId) -> (bool, bool) {
        let members = || self.groups.get(group).into_iter().flatten().filter_map(|id| self.known.get(id));
        let works = members().any(|known| known.state == State::Working);
        (works, members().any(|known| !known.executions.is_empty()))
    }

    /// Every order that is not known to be over.
    #[must_use]
    pub fn working(&self) -> Vec<OrderStatus> {
        self.working.iter().filter_map(|id| self.remembered(id)).collect()
    }

    /// Whether an order may leave: each only once, unless the counterparty said that it never saw it.
    ///
    /// # Errors
    /// [`Failure`] with what is known of the one that left before.
    pub fn may_send(&self, id: &ClientOrderId) -> Result<(), Failure> {
        match self.known.get(id) {
            None => Ok(()),
            Some(known) if known.accepted || known.state != State::Working => {
                Err(Failure::Refused(format!("order {id} was sent before, and an order is sent once")))
            }
            Some(_) => Err(Failure::Unclear(format!("order {id} left before and was not answered: ask for it first"))),
        }
    }

    /// An order as the answer to a question tells it, with every execution that is known; what is not is one sum.
    ///
    /// # Errors
    /// [`Unreadable`] when it does not say what order it is.
    pub fn status(&mut self, report: &Report) -> Result<(OrderStatus, Applied), Unreadable> {
        let mut applied = Applied::default();
        self.learn(report, &mut applied);
        let id = self.subject(report);
        let wrong = |problem: &str| Unreadable {
            kind: "8".into(),
            number: format!("for order {id}"),
            problem: problem.to_owned(),
        };
        let Some(known) = self.known.get(&id) else { return Err(wrong("does not say what it is")) };
        let state = state(report.status, known.day);
        let mut executions = known.executions.clone();
        let filled = report.filled.unwrap_or_default().sub(known.before).unwrap_or_default();
        if filled > known.filled() {
            let rest = self.untold(&id, known, report).ok_or_else(|| wrong("tells a sum that makes no price"))?;
            executions.push(rest);
        }
        let status =
            OrderStatus { id: id.clone(), symbol: known.symbol.clone(), quantity: known.quantity, state, executions };
        if !known.accepted {
            self.note(&mut applied, Record::Accepted { id: id.clone(), order_id: report.order_id.clone() });
        }
        if state != State::Working && self.known.get(&id).is_some_and(|known| known.state == State::Working) {
            self.note(&mut applied, Record::Closed { id, state });
        }
        Ok((status, applied))
    }

    /// One execution for all that was filled and not told.
    fn untold(&self, id: &ClientOrderId, known: &Known, report: &Report) -> Option<Execution> {
        let told = report.filled?;
        let cumulative = told.sub(known.before).ok()?;
        let missing = cumulative.sub(known.filled()).ok()?;
        let mut paid = Notional::ZERO;
        let mut at = Some(known);
        while let Some(one) = at {
            for execution in &one.executions {
                paid = paid.plus(execution.price.times(execution.quantity.abs()));
            }
            at = one.replaces.as_ref().and_then(|old| self.known.get(old));
        }
        let price =
            report.average?.times(told).minus(paid).per_share(missing).ok().filter(|price| price.signum() > 0)?;
        let quantity = if known.side() < 0 { missing.neg() } else { missing };
        let name = format!("sum-{}-{told}", report.order_id.as_deref().unwrap_or(id.as_str()));
        Some(Execution { id: name, order: id.clone(), quantity, price, fee: Money::ZERO, cumulative, at: report.at })
    }

    /// As the book has it, where the counterparty has forgotten.
    #[must_use]
    pub fn remembered(&self, id: &ClientOrderId) -> Option<OrderStatus> {
        self.known.get(id).map(|known| OrderStatus {
            id: id.clone(),
            symbol: known.symbol.clone(),
            quantity: known.quantity,
            state: known.state,
            executions: known.executions.clone(),
        })
    }
}

fn execution(id: &ClientOrderId, known: &Known, report: &Report) -> Option<Execution> {
    let size = report.last_quantity.filter(|size| size.signum() > 0)?;
    let side = if report.side == 0 { known.side() } else { report.side };
    let cumulative = match report.filled {
        Some(filled) => filled.sub(known.before).ok()?,
        None => known.filled().add(size).ok()?,
    };
    Some(Execution {
        id: report.exec_id.clone(),
        order: id.clone(),
        quantity: if side < 0 { size.neg() } else { size },
        price: report.last_price?,
        fee: report.fee,
        cumulative,
        at: report.at,
    })
}

/// A new order.
///
/// # Errors
/// Why this counterparty does not work it.
pub(super) fn new_order(ticket: &Ticket, style: &Style, at: Timestamp) -> Result<(Message, Record), String> {
    let order = ticket.approved.order();
    let message = Message::new("D").with(tag::CL_ORD_ID, &ticket.id);
    let message = body(message, ticket, order.quantity.abs(), style, at)?;
    Ok((message, sent(ticket, None)))
}

/// An order in the place of another, of which so much is filled.
///
/// # Errors
/// Why this counterparty does not work it.
pub(super) fn replacement(
    old: &ClientOrderId,
    known: &Known,
    ticket: &Ticket,
    style: &Style,
    at: Timestamp,
) -> Result<(Message, Record), String> {
    let order = ticket.approved.order();
    if order.quantity.signum() != known.side() || ticket.symbol != known.symbol {
        return Err("an order can only be replaced by one on the same side of the same instrument".into());
    }
    let filled = known.before.add(known.filled()).and_then(|filled| filled.add(order.quantity.abs()));
    let quantity = filled.map_err(|overflow| overflow.to_string())?;
    let message = Message::new("G")
        .with(tag::CL_ORD_ID, &ticket.id)
        .with(tag::ORIG_CL_ORD_ID, old)
        .with_some(tag::ORDER_ID, known.order_id.as_ref());
    let message = body(message, ticket, quantity, style, at)?;
    Ok((message, sent(ticket, Some(old.clone()))))
}

/// A request to stop working an order.
pub(super) fn cancellation(name: &str, id: &ClientOrderId, known: &Known, style: &Style, at: Timestamp) -> Message {
    let whole = known.before.add(known.quantity.abs()).unwrap_or(known.quantity.abs());
    Message::new("F")
        .with(tag::CL_ORD_ID, name)
        .with(tag::ORIG_CL_ORD_ID, id)
        .with_some(tag::ORDER_ID, known.order_id.as_ref())
        .with_some(tag::ACCOUNT, style.account.as_ref())
        .with(tag::SYMBOL, &known.symbol)
        .with(tag::SIDE, side(known.quantity, known.short))
        .with(tag::ORDER_QTY, whole)
        .with(tag::TRANSACT_TIME, time::format(at))
}

/// A question about an order.
pub(super) fn question(request: &str, id: &ClientOrderId, known: &Known, style: &Style) -> Message {
    Message::new("H")
        .with(tag::CL_ORD_ID, id)
        .with_some(tag::ORDER_ID, known.order_id.as_ref())
        .with(tag::ORD_STATUS_REQ_ID, request)
        .with_some(tag::ACCOUNT, style.account.as_ref())
        .with(tag::SYMBOL, &known.symbol)
        .with(tag::SIDE, side(known.quantity, known.short))
}

fn sent(ticket: &Ticket, replaces: Option<ClientOrderId>) -> Record {
    let order = ticket.approved.order();
    Record::Sent {
        id: ticket.id.clone(),
        symbol: ticket.symbol.clone(),
        quantity: order.quantity,
        short: ticket.short,
        day: is_for_the_day(order),
        group: group(&ticket.id, order),
        replaces,
    }
}

/// As the standard numbers it.
fn side(quantity: Quantity, short: bool) -> u8 {
    match (quantity.signum() < 0, short) {
        (false, _) => 1,
        (true, false) => 2,
        (true, true) => 5,
    }
}

/// A group's name: like an order's, for it is numbered like one.
pub(super) fn group(id: &ClientOrderId, order: &Order) -> Option<ClientOrderId> {
    let (owner, _) = id.as_str().rsplit_once('-').unwrap_or_default();
    order.group.map(|group| ClientOrderId::told(format!("{owner}-{:x}", group.0)))
}

fn is_for_the_day(order: &Order) -> bool {
    order.time_in_force == TimeInForce::Day || matches!(order.kind, OrderKind::MarketOnOpen | OrderKind::MarketOnClose)
}

fn body(
    message: Message,
    ticket: &Ticket,
    quantity: Quantity,
    style: &Style,
    at: Timestamp,
) -> Result<Message, String> {
    let order = ticket.approved.order();
    let buys = order.quantity.signum() > 0;
    let priced = order.kind.on_tick(order.quantity).map_err(|error| error.to_string())?;
    let (kind, limit, stop) = match priced {
        OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose => ("1", None, None),
        OrderKind::Limit { limit } => ("2", Some(limit), None),
        OrderKind::Stop { stop } => ("3", None, Some(stop)),
        OrderKind::StopLimit { stop, limit } => ("4", Some(limit), Some(stop)),
        OrderKind::TrailingStop { .. } => ("P", None, None),
    };
    let force = match (order.kind, order.time_in_force) {
        (OrderKind::MarketOnOpen, _) => 2,
        (OrderKind::MarketOnClose, _) => 7,
        (_, TimeInForce::Day) => 0,
        (_, TimeInForce::GoodTillCancelled) => 1,
    };
    let mut message = message.with_some(tag::ACCOUNT, style.account.as_ref()).with(tag::HANDL_INST, 1);
    if let OrderKind::TrailingStop { trail } = priced {
        if !style.trailing_stops {
            return Err(
                "FIX 4.4 has trailing stops only as pegged orders, and this counterparty is not configured to \
                        work them (trailing_stops)"
                    .into(),
            );
        }
        let (offset, kind) = match trail {
            Trail::Amount(amount) => (if buys { amount } else { amount.neg() }.to_string(), 0),
            Trail::BasisPoints(points) => (if buys { points.to_string() } else { format!("-{points}") }, 1),
        };
        message = message
            .with(tag::EXEC_INST, "a")
            .with(tag::PEG_OFFSET_VALUE, offset)
            .with(tag::PEG_MOVE_TYPE, 0)
            .with(tag::PEG_OFFSET_TYPE, kind);
    }
    let message = message
        .with(tag::SYMBOL, &ticket.symbol)
        .with(tag::SIDE, side(order.quantity, ticket.short))
        .with(tag::TRANSACT_TIME, time::format(at))
        .with(tag::ORDER_QTY, quantity)
        .with(tag::ORD_TYPE, kind)
        .with_some(tag::PRICE, limit)
        .with_some(tag::STOP_PX, stop)
        .with(tag::TIME_IN_FORCE, force);
    Ok(style.fields.iter().fold(message, |message, (tag, value)| message.with(*tag, value)))
}

#[cfg(test)]
mod tests;
