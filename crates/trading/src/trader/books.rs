//! Books beside a broker elsewhere: when they are compared with its own, and what waits for that.
//!
//! They are compared when a trader begins, once the broker was not reached, when whoever drives it says so (at each
//! close), before anything is closed because somebody wants everything closed, and while everything is to be closed once
//! more after the last execution and then now and again. What was decided before the broker was not reached waits for the
//! comparison too: a person may have done the same by hand.

use std::collections::BTreeSet;

use domain::{InstrumentId, Money, OrderId, Strategy, Timestamp};
use engine::{Correction, Event, Mode};
use journal::Lines;

use super::{Trader, TradingError};
use crate::broker::{Account, Broker, Failure, OrderStatus, Owner};

/// What comparing the books came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Books {
    /// They agree, or ours were put right.
    Compared {
        /// How many differences there were.
        differences: usize,
    },
    /// The same, but for instruments with an order that the broker says nothing about. Only what is to be closed does not
    /// wait any longer for that.
    InPart,
    /// The broker cannot say yet: ask again.
    NotYet,
}

/// How far a comparison of the books has come.
#[derive(Debug, Default)]
enum Comparing {
    /// Every open order is asked about first.
    #[default]
    Not,
    /// That is done, or being done.
    Asked,
    /// The broker has told its books. What had happened by then is asked for once more, so that an execution that the
    /// broker counts and nobody has told us of is no difference.
    Told { orders: Vec<OrderStatus>, account: Result<Account, String>, seq: u64 },
}

/// How the books are kept.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    comparing: Comparing,
    /// When this comparison began.
    since: Timestamp,
    /// What is not of this run and has been told, so that accepting it lasts.
    foreign: BTreeSet<String>,
    /// Orders of others in the instruments of this run, at the last comparison.
    others: Vec<String>,
    /// Differences so far.
    differences: usize,
    /// Set where the broker is elsewhere.
    elsewhere: Option<Elsewhere>,
}

#[derive(Debug)]
struct Elsewhere {
    tolerance: Money,
    due: bool,
    /// The broker did not tell its books: it is not asked again before, and how often that was so.
    ask_again: (Timestamp, u32),
    /// Whether something is to be closed, which waits for books compared since then, and when they were.
    closing: bool,
    known_at: Option<Timestamp>,
    /// When nothing was held and nothing worked, by compared books.
    flat_at: Option<Timestamp>,
}

/// How often positions that a flatten has not closed yet are tried again, at most.
const CLOSE_AGAIN: i64 = 5_000_000_000;
/// How long what is to be closed waits for an answer about a single order, and how old the books may be by which it is.
const PATIENCE: i64 = 5_000_000_000;
/// Shortest and longest wait before a broker that did not tell its books is asked again.
const ASK_AGAIN: (i64, i64) = (1_000_000_000, 60_000_000_000);
/// How often a broker is asked whether everything is still closed.
const FLAT_AGAIN: i64 = 30_000_000_000;

/// How long after a close the next one may be sent, at least. Programs that close one account by mistake do not do it at
/// the same moments: whoever is later finds the other's.
fn close_again(owner: &Owner) -> i64 {
    let name = owner.order(OrderId(0)).to_string();
    let of_its_own = name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % 4_000;
    CLOSE_AGAIN + of_its_own as i64 * 1_000_000
}

impl<S: Strategy, B: Broker, L: Lines> Trader<S, B, L> {
    /// The same, at a broker elsewhere, with books of its own: nothing may be decided before they have been compared. A
    /// difference in cash of up to `tolerance` counts as none.
    #[must_use]
    pub fn elsewhere(mut self, tolerance: Money) -> Self {
        self.desk.hold_for_books();
        let ask_again = (Timestamp::default(), 0);
        self.books.elsewhere =
            Some(Elsewhere { tolerance, due: true, ask_again, closing: false, known_at: None, flat_at: None });
        self
    }

    /// The books are to be compared.
    pub fn books_are_due(&mut self) {
        if let Some(elsewhere) = &mut self.books.elsewhere {
            (elsewhere.due, elsewhere.ask_again) = (true, (Timestamp::default(), 0));
        }
    }

    /// Whether the books have been compared since that was last due.
    pub fn is_compared(&self) -> bool {
        self.books.elsewhere.as_ref().is_none_or(|elsewhere| !elsewhere.due && self.desk.is_connected())
    }

    /// Orders of others in the instruments of this run, as of the last comparison.
    pub fn others(&self) -> &[String] {
        &self.books.others
    }

    /// How many differences comparisons have found since this began.
    pub fn differences(&self) -> usize {
        self.books.differences
    }

    pub(super) fn saw_foreign(&mut self, event: &Event, note: Option<String>) {
        if matches!(event, Event::Corrected(Correction::Foreign)) {
            self.books.foreign.extend(note);
        }
    }

    /// Compares orders, positions and cash with those of a broker elsewhere, if that is due. The broker wins: ours are put
    /// right, each difference is an event with a note, and nothing new is begun until a person has accepted it.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn compare(&mut self, now: Timestamp) -> Result<Books, TradingError> {
        if self.desk.came_back() {
            self.books_are_due();
        }
        let connected = self.desk.is_connected();
        let Some(elsewhere) = &mut self.books.elsewhere else { return Ok(Books::Compared { differences: 0 }) };
        elsewhere.due |= !connected;
        if !elsewhere.due {
            return Ok(Books::Compared { differences: 0 });
        }
        if now < elsewhere.ask_again.0 {
            return Ok(Books::NotYet);
        }
        let tolerance = elsewhere.tolerance;
        let books = self.reconcile(now, tolerance)?;
        let silent = self.desk.is_untold();
        if let Some(elsewhere) = &mut self.books.elsewhere {
            if books != Books::NotYet {
                elsewhere.known_at = Some(now);
            }
            match books {
                Books::Compared { .. } => (elsewhere.due, elsewhere.ask_again) = (false, (Timestamp::default(), 0)),
                Books::NotYet if silent => {
                    let times = elsewhere.ask_again.1;
                    let wait = ASK_AGAIN.0.saturating_mul(1 << times.min(6)).min(ASK_AGAIN.1);
                    elsewhere.ask_again = (Timestamp::from_nanos(now.nanos().saturating_add(wait)), times + 1);
                }
                Books::InPart | Books::NotYet => {}
            }
        }
        Ok(books)
    }

    /// Closes everything, by books that have been compared since this was first asked for: by others a close would open
    /// something. Until then what works is cancelled, with `why` as its note. True once the step has been taken.
    ///
    /// # Errors
    /// [`TradingError`].
    pub fn flatten(&mut self, now: Timestamp, why: &str, note: &str) -> Result<bool, TradingError> {
        if !self.may_close(now)? {
            if self.engine.guard().mode() < Mode::Cancel {
                self.say(Mode::Cancel, why)?;
            }
            return Ok(false);
        }
        self.say(Mode::Flatten, note)?;
        // Flat is what the broker says.
        self.books_are_due();
        Ok(true)
    }

    /// Whether the books have been compared since this was first asked; then it is asked anew. What was asked for and
    /// never done leaves nothing behind: books that were compared a while ago do not count.
    fn may_close(&mut self, now: Timestamp) -> Result<bool, TradingError> {
        let Some(elsewhere) = &mut self.books.elsewhere else { return Ok(true) };
        let old = |at: Timestamp| now.nanos().saturating_sub(at.nanos()) > PATIENCE;
        if !elsewhere.closing || elsewhere.known_at.is_some_and(old) {
            (elsewhere.closing, elsewhere.known_at) = (true, None);
            self.books_are_due();
        }
        self.compare(now)?;
        let Some(elsewhere) = self.books.elsewhere.as_mut().filter(|elsewhere| elsewhere.known_at.is_some()) else {
            return Ok(false);
        };
        elsewhere.closing = false;
        Ok(true)
    }

    /// Nothing is to be closed any more.
    pub(super) fn closes_no_more(&mut self) {
        if let Some(elsewhere) = &mut self.books.elsewhere {
            elsewhere.closing = false;
        }
    }

    /// Goes on to be flat: closes again what is not being closed, and asks the broker whether everything is.
    pub(super) fn go_on_closing(&mut self, now: Timestamp) -> Result<(), TradingError> {
        if self.engine.guard().mode() != Mode::Flatten {
            return Ok(());
        }
        if self.engine.has_to_close() && now >= self.closing_at && self.may_close(now)? {
            self.closing_at = Timestamp::from_nanos(now.nanos().saturating_add(close_again(self.desk.owner())));
            if self.engine.has_to_close() {
                self.step(&Event::Clock(now), None)?;
                self.books_are_due();
            }
        }
        let holds = self.engine.book().positions().iter().any(|position| !position.is_zero());
        let flat = !holds && self.engine.open_orders().is_empty();
        let Some(elsewhere) = &mut self.books.elsewhere else { return Ok(()) };
        if !flat {
            elsewhere.flat_at = None;
            return Ok(());
        }
        let old = |at: Timestamp| now.nanos().saturating_sub(at.nanos()) >= FLAT_AGAIN;
        if elsewhere.flat_at.is_none_or(old) {
            if elsewhere.flat_at.take().is_some() || !elsewhere.due {
                self.books_are_due();
            }
            if matches!(self.compare(now)?, Books::Compared { .. })
                && let Some(elsewhere) = &mut self.books.elsewhere
            {
                elsewhere.flat_at = Some(now);
            }
        }
        Ok(())
    }

    fn reconcile(&mut self, now: Timestamp, tolerance: Money) -> Result<Books, TradingError> {
        let (orders, account) = loop {
            self.desk.work(now)?;
            self.deliver()?;
            if self.engine.session().is_none() {
                return Ok(Books::NotYet);
            }
            if !self.desk.is_connected() {
                // What was told before is of before.
                self.books.comparing = Comparing::Not;
                return Ok(Books::NotYet);
            }
            match std::mem::replace(&mut self.books.comparing, Comparing::Asked) {
                Comparing::Not => {
                    self.books.since = now;
                    self.desk.doubt();
                }
                told if !self.is_known_enough(now) => {
                    self.books.comparing = told;
                    return Ok(Books::NotYet);
                }
                Comparing::Asked => {
                    let seq = self.log.seq();
                    let orders = match self.desk.broker().working() {
                        Ok(orders) => orders,
                        Err(failure) => {
                            self.desk.untold("open orders", &failure);
                            return Ok(Books::NotYet);
                        }
                    };
                    let account = match self.desk.broker().account() {
                        Ok(account) => Ok(account),
                        // It will never tell: that is for a person to know, once.
                        Err(Failure::Refused(words)) => Err(words),
                        Err(failure) => {
                            self.desk.untold("positions and cash", &failure);
                            return Ok(Books::NotYet);
                        }
                    };
                    self.books.comparing = Comparing::Told { orders, account, seq };
                    self.desk.doubt();
                }
                Comparing::Told { orders, account, seq } if seq == self.log.seq() => break (orders, account),
                Comparing::Told { .. } => {}
            }
        };
        let (mut differences, mut others) = (Vec::new(), Vec::new());
        for order in &orders {
            let own = self.desk.owner().own(&order.id);
            match own {
                Some(id) if self.engine.open_orders().iter().any(|open| open.order.id == id) => {}
                Some(_) => {
                    // It is over for us: it must not work on.
                    if self.desk.broker().cancel(&order.id).is_err() {
                        return Ok(Books::NotYet);
                    }
                    differences.push((Correction::Foreign, format!("order {} worked on and is cancelled", order.id)));
                }
                None => {
                    let text = format!("order {} of {} {} is not of this run", order.id, order.quantity, order.symbol);
                    if self.desk.symbols().contains(&order.symbol) {
                        others.push(text.clone());
                    }
                    differences.push((Correction::Foreign, text));
                }
            }
        }
        match &account {
            Ok(account) => self.what_differs(account, tolerance, &mut differences),
            Err(words) => {
                differences.push((Correction::Foreign, format!("positions and cash were not compared: {words}")));
            }
        }
        let unsure = self.desk.unsure().unwrap_or_default();
        differences.retain(|(correction, note)| match correction {
            Correction::Position { instrument, .. } => !unsure.contains(instrument),
            Correction::Cash { .. } => unsure.is_empty(),
            Correction::Foreign => !self.books.foreign.contains(note),
        });
        let count = differences.len();
        self.books.differences += count;
        for (correction, note) in differences {
            let event = Event::Corrected(correction);
            self.step(&event, Some(&note))?;
            self.saw_foreign(&event, Some(note));
        }
        self.books.comparing = Comparing::Not;
        self.books.others = others;
        self.desk.compared();
        self.deliver()?;
        Ok(if unsure.is_empty() { Books::Compared { differences: count } } else { Books::InPart })
    }

    /// Whether what became of every order is known, or of all but some that nobody will wait for any longer.
    fn is_known_enough(&self, now: Timestamp) -> bool {
        let closing = self.books.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere.closing);
        let patient = !closing || now.nanos().saturating_sub(self.books.since.nanos()) < PATIENCE;
        self.desk.unsure().is_some_and(|unsure| unsure.is_empty() || !patient)
    }

    fn what_differs(&self, account: &Account, tolerance: Money, differences: &mut Vec<(Correction, String)>) {
        let book = self.engine.book();
        let symbols = self.desk.symbols();
        for (at, symbol) in symbols.iter().enumerate() {
            let instrument = InstrumentId(at as u32);
            let held = account.holdings.iter().find(|holding| holding.symbol == *symbol);
            let theirs = held.map(|holding| holding.quantity).unwrap_or_default();
            let ours = book.position(instrument);
            if theirs != ours {
                let price = held.and_then(|holding| holding.price).or(book.mark_of(instrument)).unwrap_or_default();
                let text = format!("{symbol}: {ours} here, {theirs} at the broker");
                differences.push((Correction::Position { instrument, ours, theirs, price }, text));
            }
        }
        for holding in account.holdings.iter().filter(|holding| !symbols.contains(&holding.symbol)) {
            let text = format!("{} of {} are not of this run", holding.quantity, holding.symbol);
            differences.push((Correction::Foreign, text));
        }
        let Some(theirs) = account.cash else {
            let text = "cash was not compared: the broker does not tell it".to_owned();
            return differences.push((Correction::Foreign, text));
        };
        let ours = book.cash();
        let apart = theirs.sub(ours).unwrap_or(Money::from_units(i64::MAX));
        if apart > tolerance || apart < tolerance.neg() {
            let text = format!("cash: {ours} here, {theirs} at the broker");
            differences.push((Correction::Cash { ours, theirs }, text));
        }
    }
}
