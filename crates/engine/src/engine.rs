//! The step: event in, commands and records out.

use domain::{
    ActionKind, Bar, Bracket, CorporateAction, Decisions, Fill, InstrumentId, Money, Order, OrderId, OrderKind,
    OrderRequest, Overflow, Quantity, Ratio, Session, StopLoss, Strategy, Symbol, Target, View,
};

use crate::book::{Book, Trade};
use crate::event::{Command, Correction, Event};
use crate::guard::{Guard, Mode, towards_flat};
use crate::record::{LedgerEntry, LedgerKind, Record};
use crate::risk::{self, Approved, Exposure, Limits, OpenOrder, Refusal, Refused, Role, Working};

/// The engine cannot go on: the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A figure left the range of its type.
    #[error("an amount became too large to represent; use fewer shares or less cash")]
    Overflow,
    /// An event names an instrument that the run does not trade.
    #[error("an event names instrument {0}, which this run does not trade")]
    UnknownInstrument(u32),
    /// A fill of an order that never left.
    #[error("a fill names order {0}, which is not working")]
    UnknownOrder(u64),
    /// An event came before the first session opened.
    #[error("an event came before any session opened")]
    NoSession,
}

impl From<Overflow> for EngineError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// What a step produced; valid until the next one.
#[derive(Debug, Default, Clone)]
pub struct Step {
    /// For the venue.
    pub commands: Vec<Command>,
    /// For the journal.
    pub records: Vec<Record>,
}

/// When a cancelled order is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cancels {
    /// At once: the venue is in the same process and hears of it before anything else happens.
    #[default]
    AtOnce,
    /// When the venue says so. Until then the order counts as working, and what fills afterwards is taken too.
    WhenConfirmed,
}

/// A strategy that wants nothing: an engine with it is an account that others trade on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Idle;

impl Strategy for Idle {
    fn on_bar(&mut self, _bar: &Bar, _view: &View<'_>, _decisions: &mut Decisions) {}

    fn on_split(&mut self, _instrument: InstrumentId, _ratio: Ratio) {}
}

/// The sole owner of trading state.
#[derive(Debug)]
pub struct Engine<S> {
    strategy: S,
    limits: Limits,
    book: Book,
    working: Vec<Working>,
    /// Signed quantity on its way to each instrument's target.
    to_target: Vec<Quantity>,
    /// Targets on the other side of a position, which is closed first: brokers take no order through zero.
    beyond_flat: Vec<Option<Quantity>>,
    open: Vec<OpenOrder>,
    guard: Guard,
    names: Vec<Symbol>,
    cancels: Cancels,
    /// Whether somebody else orders, closes included.
    observes: bool,
    decisions: Decisions,
    step: Step,
    session: Option<Session>,
    steps: u64,
    orders_this_step: u64,
    orders_this_session: u32,
    deposit: Money,
}

/// Bits of an order id below the step number: up to 65,536 orders of one step.
const ORDERS_PER_STEP_BITS: u32 = 16;

impl<S: Strategy> Engine<S> {
    /// An engine with cash and nothing else.
    #[must_use]
    pub fn new(strategy: S, cash: Money, instruments: usize, limits: Limits) -> Self {
        Self {
            strategy,
            limits,
            book: Book::new(cash, instruments),
            working: vec![Working::default(); instruments],
            to_target: vec![Quantity::ZERO; instruments],
            beyond_flat: vec![None; instruments],
            open: Vec::new(),
            guard: Guard::new(instruments),
            names: Vec::new(),
            cancels: Cancels::AtOnce,
            observes: false,
            decisions: Decisions::default(),
            step: Step::default(),
            session: None,
            steps: 0,
            orders_this_step: 0,
            orders_this_session: 0,
            deposit: cash,
        }
    }

    /// The same engine for a venue that confirms cancels, which knows instruments by their symbols.
    #[must_use]
    pub fn at_venue(mut self, names: &[Symbol], cancels: Cancels) -> Self {
        (self.names, self.cancels) = (names.to_vec(), cancels);
        self
    }

    /// The same engine for an account whose orders somebody else decides ([`Engine::admit`]): it closes nothing itself.
    #[must_use]
    pub fn observing(mut self) -> Self {
        self.observes = true;
        self
    }

    /// The account.
    #[inline]
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// What stands in the way of new exposure.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Orders that work.
    #[must_use]
    pub fn open_orders(&self) -> &[OpenOrder] {
        &self.open
    }

    /// The session that is open, or was last.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Lost since the session opened, negative when won; none before, or without a limit on it.
    ///
    /// # Errors
    /// [`EngineError::Overflow`] when a figure does not fit.
    pub fn session_loss(&self) -> Result<Option<Money>, EngineError> {
        Ok(self.guard.session_loss(self.book.equity()?))
    }

    /// Judges an order that somebody else decided and named, and counts it as working when it passes.
    ///
    /// # Errors
    /// [`Refused`] with the numbers of the limit it breaks.
    #[expect(clippy::result_large_err, reason = "a refusal carries its order, and is rare")]
    pub fn admit(&mut self, order: Order) -> Result<Approved, Refused> {
        let (approved, role) = risk::check_again(order, &self.limits, &self.exposure(&self.working))?;
        let counted = self.count(&approved, role, false);
        counted.map(|()| approved).map_err(|Overflow| Refused { order, reason: Refusal::OutOfRange })
    }

    /// Trades that have not ended.
    ///
    /// # Errors
    /// [`EngineError::Overflow`] when a figure does not fit.
    pub fn open_trades(&self) -> Result<Vec<Trade>, EngineError> {
        Ok(self.book.open_trades()?)
    }

    /// Takes one event.
    ///
    /// # Errors
    /// [`EngineError`] when the event cannot be meant for this engine, or a figure does not fit.
    #[inline]
    pub fn step(&mut self, event: &Event) -> Result<&Step, EngineError> {
        self.step.commands.clear();
        self.step.records.clear();
        self.steps += 1;
        self.orders_this_step = 0;
        match event {
            Event::Bar(bar) => self.on_bar(bar)?,
            Event::SessionOpened(session) => self.on_open(session)?,
            Event::SessionClosed => self.on_close()?,
            Event::Filled(fill) => self.on_fill(fill)?,
            Event::Action(action) => self.on_action(action)?,
            Event::OrderEnded { order, .. } => self.on_order_ended(*order)?,
            Event::Borrowed { instrument, amount } => self.on_borrowed(*instrument, *amount)?,
            Event::Price { instrument, price, at } => {
                self.known(*instrument)?;
                self.guard.moved(*at);
                self.book.mark(*instrument, *price)?;
            }
            Event::Clock(at) => {
                self.guard.moved(*at);
                self.go_on_closing()?;
            }
            Event::Feed { instrument, stale } => {
                self.known(*instrument)?;
                self.guard.set_stale(*instrument, *stale);
            }
            Event::Control(mode) => self.on_control(*mode)?,
            Event::Corrected(correction) => self.on_corrected(correction)?,
            Event::Accepted => self.guard.accept(),
            Event::Reenabled => self.guard.reenable(),
        }
        Ok(&self.step)
    }

    #[inline]
    fn on_open(&mut self, session: &Session) -> Result<(), EngineError> {
        if self.session.is_none() {
            let (session, amount) = (session.date, self.deposit);
            self.step.records.push(Record::Ledger(LedgerEntry {
                session,
                kind: LedgerKind::Deposit,
                instrument: None,
                amount,
            }));
        }
        self.session = Some(*session);
        self.orders_this_session = 0;
        self.guard.moved(session.open);
        if self.limits.daily_loss_max.is_some() || self.limits.drawdown_max.is_some() {
            self.guard.opened(self.book.equity()?);
        }
        self.go_on_closing()
    }

    #[inline]
    fn on_bar(&mut self, bar: &Bar) -> Result<(), EngineError> {
        let Some(session) = &self.session else { return Err(EngineError::NoSession) };
        self.known(bar.instrument)?;
        self.book.mark(bar.instrument, bar.close)?;
        self.guard.moved(session.close);
        let view = View {
            at: session.close,
            cash: self.book.cash(),
            net_value: self.book.net(),
            positions: self.book.positions(),
            working: &self.to_target,
        };
        self.strategy.on_bar(bar, &view, &mut self.decisions);
        if !self.decisions.is_empty() {
            self.decide()?;
        }
        Ok(())
    }

    #[inline]
    fn on_close(&mut self) -> Result<(), EngineError> {
        let Some(session) = &self.session else { return Err(EngineError::NoSession) };
        let (cash, net, gross) = (self.book.cash(), self.book.net(), self.book.gross());
        self.step.records.push(Record::Equity { session: session.date, cash, net, gross });
        if self.limits.drawdown_max.is_some() {
            self.guard.valued(self.book.equity()?);
        }
        if gross.signum() > 0 {
            self.call_margin()?;
        }
        Ok(())
    }

    fn on_fill(&mut self, fill: &Fill) -> Result<(), EngineError> {
        let Some(session) = self.session else { return Err(EngineError::NoSession) };
        self.known(fill.instrument)?;
        let at = self.open.iter().position(|open| open.order.id == fill.order);
        let (bracket, role) = match at {
            Some(at) => {
                let OpenOrder { order, role, remaining, .. } = self.open[at];
                let most = if remaining.abs() < fill.quantity.abs() { remaining } else { fill.quantity };
                self.release(at, most)?;
                (order.bracket, role)
            }
            None if self.cancels == Cancels::WhenConfirmed => {
                self.step.records.push(Record::FilledLate(fill.order));
                (None, Role::Exit)
            }
            None => return Err(EngineError::UnknownOrder(fill.order.0)),
        };
        let (moved, fee, ended) = self.book.fill(fill, &session)?;
        self.step.records.push(Record::Ledger(moved));
        self.step.records.extend(fee.map(Record::Ledger));
        self.step.records.extend(ended.map(Record::TradeClosed));
        self.cancel_what_no_longer_reduces(fill.instrument)?;
        if role != Role::Free {
            self.cancel_what_counted_on_the_position(fill)?;
        }
        // Whoever stopped the strategy decides what becomes of what still fills.
        if let Some(bracket) = bracket.filter(|_| self.guard.mode < Mode::Cancel) {
            self.place_exits(fill, bracket)?;
        }
        if let Some((executions, max)) = self.guard.executed(&self.limits) {
            self.step.records.push(Record::Throttled { executions, max });
            self.cancel_where(|open| open.role == Role::Free)?;
        }
        self.go_beyond_flat(fill.instrument)?;
        self.strategy.on_fill(fill);
        self.go_on_closing()
    }

    /// Sends the exits for what an entry has just filled.
    fn place_exits(&mut self, fill: &Fill, bracket: Bracket) -> Result<(), EngineError> {
        let position = self.book.position(fill.instrument);
        if position.signum() != fill.quantity.signum() {
            return Ok(());
        }
        let held = position.abs().min(fill.quantity.abs());
        let quantity = if position.signum() > 0 { held.neg() } else { held };
        let stop = bracket.stop_loss.map(|stop| match stop {
            StopLoss::At(stop) => OrderKind::Stop { stop },
            StopLoss::Trailing(trail) => OrderKind::TrailingStop { trail },
        });
        let profit = bracket.take_profit.map(|limit| OrderKind::Limit { limit });
        let group = self.next_id();
        for kind in stop.into_iter().chain(profit) {
            let request = OrderRequest { reduce_only: true, ..OrderRequest::new(fill.instrument, quantity, kind) };
            let id = self.next_id();
            self.submit(id, &request, Some(group), false)?;
        }
        Ok(())
    }

    fn cancel_what_no_longer_reduces(&mut self, instrument: InstrumentId) -> Result<(), EngineError> {
        let side = self.book.position(instrument).signum();
        let stale = |open: &OpenOrder| {
            open.order.reduce_only && open.order.instrument == instrument && open.order.quantity.signum() * side >= 0
        };
        self.cancel_where(stale)
    }

    /// What was to bring another position to where the strategy, or whoever closes everything, wanted it would bring this
    /// one elsewhere: only what still leads towards flat, and not beyond, goes on.
    fn cancel_what_was_decided_on_another_position(&mut self, instrument: InstrumentId) -> Result<(), EngineError> {
        let position = self.book.position(instrument);
        let fits = |open: &OpenOrder| {
            open.remaining.signum() * position.signum() < 0 && open.remaining.abs() <= position.abs()
        };
        // What rests as an exit guards whatever is left.
        let guards = |open: &OpenOrder| open.order.reduce_only && open.order.kind != OrderKind::Market;
        self.cancel_where(|open| open.order.instrument == instrument && !guards(open) && !fits(open))
    }

    /// An order that was approved on top of a position may lead too far once an exit has taken the position away: the
    /// newest such orders are cancelled until what is left may fill. One that frees margin is left: without it the
    /// account would stand worse.
    fn cancel_what_counted_on_the_position(&mut self, fill: &Fill) -> Result<(), EngineError> {
        let counted = |open: &OpenOrder| {
            let order = &open.order;
            open.role == Role::Free
                && !open.leaving
                && order.instrument == fill.instrument
                && order.quantity.signum() == fill.quantity.signum()
        };
        while let Some(breach) = self.beyond(fill.instrument, &self.staying()?)? {
            let mut orders: Vec<usize> = (0..self.open.len()).filter(|at| counted(&self.open[*at])).collect();
            orders.sort_by_key(|at| std::cmp::Reverse(self.open[*at].order.id));
            let mut found = None;
            for at in orders {
                let OpenOrder { order, remaining, role, .. } = self.open[at];
                let mut without = self.staying()?;
                without[fill.instrument.index()].count(&order, role, remaining.neg())?;
                let after = self.beyond(fill.instrument, &without)?;
                if after.is_none_or(|after| !after.needs_as_much_margin_as(&breach)) {
                    found = Some(at);
                    break;
                }
            }
            match found {
                Some(at) => self.cancel(at)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn beyond(&self, instrument: InstrumentId, working: &[Working]) -> Result<Option<Refusal>, Overflow> {
        risk::beyond(instrument, &self.limits, &self.exposure(working))
    }

    /// What works, without what is being cancelled.
    fn staying(&self) -> Result<Vec<Working>, Overflow> {
        let mut working = self.working.clone();
        for open in self.open.iter().filter(|open| open.leaving) {
            working[open.order.instrument.index()].count(&open.order, open.role, open.remaining.neg())?;
        }
        Ok(working)
    }

    fn exposure<'a>(&'a self, working: &'a [Working]) -> Exposure<'a> {
        Exposure {
            book: &self.book,
            working,
            open: &self.open,
            guard: &self.guard,
            names: &self.names,
            orders_this_session: self.orders_this_session,
        }
    }

    fn on_control(&mut self, mode: Mode) -> Result<(), EngineError> {
        let before = std::mem::replace(&mut self.guard.mode, mode);
        match mode {
            Mode::Normal => Ok(()),
            Mode::ReduceOnly => self.cancel_where(|open| open.role == Role::Free),
            Mode::Cancel => self.cancel_where(|_| true),
            Mode::Flatten => {
                // Said twice, what closes already goes on: a second close beside one that is being cancelled may fill too.
                let positions = self.book.positions().to_vec();
                let goes_on = |open: &OpenOrder| {
                    before == Mode::Flatten && closes(open, positions[open.order.instrument.index()])
                };
                self.cancel_where(|open| !goes_on(open))?;
                self.close_all()
            }
        }
    }

    fn on_corrected(&mut self, correction: &Correction) -> Result<(), EngineError> {
        let Some(session) = self.session else { return Err(EngineError::NoSession) };
        self.guard.dispute();
        match *correction {
            Correction::Position { instrument, theirs, price, .. } => {
                self.known(instrument)?;
                let own = self.guard.own_part(instrument, self.book.position(instrument))?;
                self.guard.counted(instrument, theirs, own)?;
                let (moved, ended) = self.book.correct_position(instrument, theirs, price, &session)?;
                self.step.records.extend(moved.into_iter().map(Record::Ledger));
                self.step.records.extend(ended.map(Record::TradeClosed));
                self.cancel_what_no_longer_reduces(instrument)?;
                self.cancel_what_was_decided_on_another_position(instrument)?;
            }
            Correction::Cash { theirs, .. } => {
                let moved = self.book.correct_cash(theirs, session.date)?;
                self.step.records.push(Record::Ledger(moved));
            }
            Correction::Foreign => {}
        }
        Ok(())
    }

    fn on_order_ended(&mut self, id: OrderId) -> Result<(), EngineError> {
        if let Some(at) = self.open.iter().position(|open| open.order.id == id) {
            let remaining = self.open[at].remaining;
            self.release(at, remaining)?;
        }
        Ok(())
    }

    fn on_action(&mut self, action: &CorporateAction) -> Result<(), EngineError> {
        let Some(session) = self.session else { return Err(EngineError::NoSession) };
        self.known(action.instrument)?;
        match action.kind {
            ActionKind::Split { ratio } => {
                self.book.split(action.instrument, ratio)?;
                self.guard.split(action.instrument, ratio)?;
                self.split_orders(action.instrument, ratio)?;
                self.strategy.on_split(action.instrument, ratio);
            }
            ActionKind::Dividend { amount } => {
                let paid = self.book.dividend(action.instrument, amount, session.date)?;
                self.step.records.extend(paid.map(Record::Ledger));
                self.strategy.on_action(action);
            }
            ActionKind::Delisting { price } => {
                if let Some((paid, ended)) = self.book.delist(action.instrument, price, &session)? {
                    self.step.records.push(Record::Ledger(paid));
                    self.step.records.push(Record::TradeClosed(ended));
                }
                self.strategy.on_action(action);
            }
        }
        Ok(())
    }

    /// Restates what is open in new shares, and counts again what that adds up to: parts are rounded, not their sum.
    fn split_orders(&mut self, instrument: InstrumentId, ratio: Ratio) -> Result<(), EngineError> {
        let (mut working, mut to_target) = (Working::default(), Quantity::ZERO);
        for open in self.open.iter_mut().filter(|open| open.order.instrument == instrument) {
            open.order = open.order.split(ratio)?;
            open.remaining = ratio.quantity(open.remaining)?;
            working.count(&open.order, open.role, open.remaining)?;
            if open.for_target {
                to_target = to_target.add(open.remaining)?;
            }
        }
        self.working[instrument.index()] = working;
        self.to_target[instrument.index()] = to_target;
        if let Some(rest) = &mut self.beyond_flat[instrument.index()] {
            *rest = ratio.quantity(*rest)?;
        }
        Ok(())
    }

    fn on_borrowed(&mut self, instrument: InstrumentId, amount: Money) -> Result<(), EngineError> {
        let Some(session) = self.session else { return Err(EngineError::NoSession) };
        self.known(instrument)?;
        let paid = self.book.borrow(instrument, amount, session.date)?;
        self.step.records.push(Record::Ledger(paid));
        Ok(())
    }

    /// Turns wishes into orders, in the order: cancels, explicit orders, targets.
    #[cold]
    fn decide(&mut self) -> Result<(), EngineError> {
        let mut decisions = std::mem::take(&mut self.decisions);
        self.step.records.extend(decisions.signals.iter().copied().map(Record::Signal));
        let stopped = self.guard.mode >= Mode::Cancel;
        // Once it is stopped only closes work, and a second close beside one that is being cancelled may fill as well.
        for instrument in decisions.cancels.iter().filter(|_| !stopped) {
            self.cancel_where(|open| open.order.instrument == *instrument)?;
        }
        let mut groups: Vec<(u32, OrderId)> = Vec::new();
        for request in &decisions.orders {
            let id = self.next_id();
            let barred = match stopped {
                true => Some(Refusal::NotNow { mode: self.guard.mode }),
                false => self.is_of_others(request)?,
            };
            if let Some(reason) = barred {
                self.refuse(id, request, reason);
                continue;
            }
            let group =
                request.one_cancels_other.map(|number| match groups.iter().find(|(known, _)| *known == number) {
                    Some((_, first)) => *first,
                    None => {
                        groups.push((number, id));
                        id
                    }
                });
            self.submit(id, request, group, false)?;
        }
        for target in &decisions.targets {
            self.step.records.push(Record::Target(*target));
            if !stopped {
                self.pursue(target)?;
            } else if target.quantity != self.book.position(target.instrument) {
                let id = self.next_id();
                let missing = target.quantity.sub(self.book.position(target.instrument))?;
                self.refuse(id, &market(target.instrument, missing), Refusal::NotNow { mode: self.guard.mode });
            }
        }
        if stopped {
            self.go_on_closing()?;
        }
        decisions.clear();
        self.decisions = decisions;
        Ok(())
    }

    /// Refuses what a strategy wants, even towards flat: whoever stopped it decides what becomes of positions, and what a
    /// broker holds beyond our books is not the strategy's until a person has said so.
    fn refuse(&mut self, id: OrderId, request: &OrderRequest, reason: Refusal) {
        let OrderRequest { instrument, quantity, kind, time_in_force, bracket, reduce_only, .. } = *request;
        let order = Order { id, instrument, quantity, kind, time_in_force, bracket, group: None, reduce_only };
        self.step.records.push(Record::Refused(Refused { order, reason }));
    }

    /// Why an order would give away more than the strategy's own part of a position, if it would.
    fn is_of_others(&self, request: &OrderRequest) -> Result<Option<Refusal>, Overflow> {
        let position = self.book.position(request.instrument);
        let own = self.guard.own_part(request.instrument, position)?;
        let reduces = request.quantity.signum() * position.signum() < 0;
        let dispute = self.guard.dispute_of(request.instrument);
        Ok(dispute.filter(|_| reduces && request.quantity.abs() > own.abs()))
    }

    /// Orders what is missing between the position, with what is on its way, and the target.
    fn pursue(&mut self, target: &Target) -> Result<(), EngineError> {
        let position = self.guard.own_part(target.instrument, self.book.position(target.instrument))?;
        let on_its_way = self.to_target.get(target.instrument.index()).copied().unwrap_or_default();
        let wanted = match self.guard.mode {
            Mode::ReduceOnly => towards_flat(target.quantity, position),
            _ => target.quantity,
        };
        let wanted = self.first_part(target.instrument, wanted, position);
        let missing = wanted.sub(position)?.sub(on_its_way)?;
        if missing.is_zero() {
            return Ok(());
        }
        let request = market(target.instrument, missing);
        let id = self.next_id();
        self.submit(id, &request, None, true)
    }

    /// Of a target on the other side of the position, its close; the rest is ordered once that has filled.
    fn first_part(&mut self, instrument: InstrumentId, wanted: Quantity, position: Quantity) -> Quantity {
        let Some(rest) = self.beyond_flat.get_mut(instrument.index()) else { return wanted };
        *rest = None;
        if self.cancels == Cancels::AtOnce || wanted.signum() * position.signum() >= 0 {
            return wanted;
        }
        *rest = Some(wanted);
        Quantity::ZERO
    }

    /// Goes on to a target whose first part has just filled.
    fn go_beyond_flat(&mut self, instrument: InstrumentId) -> Result<(), EngineError> {
        let rest = self.beyond_flat[instrument.index()];
        match rest.filter(|_| self.book.position(instrument).is_zero()) {
            Some(quantity) if self.guard.mode == Mode::Normal => self.pursue(&Target { instrument, quantity }),
            Some(_) => {
                self.beyond_flat[instrument.index()] = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn submit(
        &mut self,
        id: OrderId,
        request: &OrderRequest,
        group: Option<OrderId>,
        for_target: bool,
    ) -> Result<(), EngineError> {
        let OrderRequest { instrument, quantity, kind, time_in_force, bracket, reduce_only, .. } = *request;
        let mut order = Order { id, instrument, quantity, kind, time_in_force, bracket, group, reduce_only };
        if self.guard.mode == Mode::ReduceOnly && self.book.position(instrument).signum() * quantity.signum() < 0 {
            (order.reduce_only, order.bracket) = (true, None);
        }
        match risk::check(order, &self.limits, &self.exposure(&self.working)) {
            Ok((approved, role)) => {
                self.count(&approved, role, for_target)?;
                self.step.records.push(Record::Ordered(*approved.order()));
                self.step.commands.push(Command::Submit(approved));
            }
            Err(refused) => self.step.records.push(Record::Refused(refused)),
        }
        Ok(())
    }

    /// Counts an order as working.
    fn count(&mut self, approved: &Approved, role: Role, for_target: bool) -> Result<(), Overflow> {
        let (order, at) = (*approved.order(), approved.order().instrument.index());
        self.working[at].count(&order, role, order.quantity)?;
        if for_target {
            self.to_target[at] = self.to_target[at].add(order.quantity)?;
        }
        self.orders_this_session += 1;
        self.guard.ordered(&order, &self.limits);
        self.open.push(OpenOrder { order, remaining: order.quantity, role, for_target, leaving: false });
        Ok(())
    }

    /// Cancels every order of a kind that is not being cancelled already.
    fn cancel_where(&mut self, which: impl Fn(&OpenOrder) -> bool) -> Result<(), EngineError> {
        while let Some(at) = self.open.iter().position(|open| !open.leaving && which(open)) {
            self.cancel(at)?;
        }
        Ok(())
    }

    fn cancel(&mut self, at: usize) -> Result<(), EngineError> {
        let OpenOrder { order, remaining, for_target, .. } = self.open[at];
        self.step.commands.push(Command::Cancel(order.id));
        self.guard.cancelled(&self.limits);
        if self.cancels == Cancels::AtOnce {
            return Ok(self.release(at, remaining)?);
        }
        if for_target {
            let on_its_way = &mut self.to_target[order.instrument.index()];
            *on_its_way = on_its_way.sub(remaining)?;
        }
        (self.open[at].leaving, self.open[at].for_target) = (true, false);
        Ok(())
    }

    /// Orders the close of every position that nothing closes yet.
    fn close_all(&mut self) -> Result<(), EngineError> {
        if self.observes {
            return Ok(());
        }
        for at in 0..self.working.len() {
            let instrument = InstrumentId(at as u32);
            if !self.is_left_open(instrument) {
                continue;
            }
            let position = self.book.position(instrument);
            let id = self.next_id();
            self.submit(id, &market(instrument, position.neg()), None, true)?;
        }
        Ok(())
    }

    /// Whether there is a position that no order at the market closes.
    fn is_left_open(&self, instrument: InstrumentId) -> bool {
        let position = self.book.position(instrument);
        let closes = |open: &OpenOrder| open.order.instrument == instrument && closes(open, position);
        !position.is_zero() && !self.open.iter().any(closes)
    }

    /// Whether everything is to be closed and something is not being closed: time alone makes the engine go on
    /// ([`Event::Clock`]).
    #[must_use]
    pub fn has_to_close(&self) -> bool {
        let mut instruments = (0..self.working.len()).map(|at| InstrumentId(at as u32));
        self.guard.mode == Mode::Flatten && instruments.any(|instrument| self.is_left_open(instrument))
    }

    /// Closes again what a broker has refused to close, or what filled after the cancel.
    #[inline]
    fn go_on_closing(&mut self) -> Result<(), EngineError> {
        if self.guard.mode == Mode::Flatten { self.close_all() } else { Ok(()) }
    }

    /// Withdraws every order and closes everything when equity no longer carries the positions.
    fn call_margin(&mut self) -> Result<(), EngineError> {
        // Floats tell who is far from the line; near it only the exact figures count.
        let maintenance = self.limits.margin.maintenance;
        let about = self.book.cash().to_f64() + self.book.net().to_f64();
        if about > self.book.gross().to_f64() * maintenance * 1.001 + 1.0 {
            return Ok(());
        }
        let equity = self.book.equity()?;
        let required = risk::maintenance(self.book.gross(), &self.limits.margin)?;
        if equity >= required {
            return Ok(());
        }
        self.step.records.push(Record::MarginCall { equity, required });
        while let Some(newest) = self.open.iter().rposition(|open| !open.leaving) {
            self.cancel(newest)?;
        }
        self.close_all()
    }

    fn next_id(&mut self) -> OrderId {
        let id = self.steps << ORDERS_PER_STEP_BITS | self.orders_this_step;
        self.orders_this_step += 1;
        OrderId(id)
    }

    /// Takes `quantity` off what an order has working; forgets the order when nothing is left.
    fn release(&mut self, at: usize, quantity: Quantity) -> Result<(), Overflow> {
        let open = &mut self.open[at];
        open.remaining = open.remaining.sub(quantity)?;
        let (order, role, for_target, done) = (open.order, open.role, open.for_target, open.remaining.is_zero());
        let instrument = order.instrument.index();
        self.working[instrument].count(&order, role, quantity.neg())?;
        if for_target {
            self.to_target[instrument] = self.to_target[instrument].sub(quantity)?;
        }
        if done {
            self.open.swap_remove(at);
        }
        Ok(())
    }

    #[inline]
    fn known(&self, instrument: InstrumentId) -> Result<(), EngineError> {
        if instrument.index() < self.working.len() { Ok(()) } else { Err(EngineError::UnknownInstrument(instrument.0)) }
    }
}

fn market(instrument: InstrumentId, quantity: Quantity) -> OrderRequest {
    OrderRequest::new(instrument, quantity, OrderKind::Market)
}

/// Whether an order is closing a position of its instrument, at the market.
fn closes(open: &OpenOrder, position: Quantity) -> bool {
    !open.leaving && open.order.kind == OrderKind::Market && open.order.quantity.signum() * position.signum() < 0
}
