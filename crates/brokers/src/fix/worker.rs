//! The thread that holds the session: calls and bytes come in, one thing after another.
//!
//! Whatever a step leads to is first stored, in one write, then sent, then told: what left or was counted is known
//! after a crash, and what is told can be asked for again. A store that cannot be written stops the session.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::{Money, Timestamp};
use engine::OrderEnd;
use trading::{BrokerEvent, ClientOrderId, Failure, Holding, OrderStatus, State, Ticket};

use super::Config;
use super::codec::{Message, tag};
use super::line::{self, Line, Prepared};
use super::orders::{self, Applied, Orders, Record, Report};
use super::pace::Pace;
use super::positions::Told;
use super::session::{Down, Moment, Output, Session};
use super::store::{Batch, Store};
use super::time;

/// What the worker waits for.
pub(super) enum Input {
    Call { call: Call, within: Duration, since: Instant, reply: Reply },
    Opened { id: u64, stream: TcpStream },
    Bytes { id: u64, bytes: Vec<u8> },
    Closed { id: u64, reason: String },
    Stop,
}

pub(super) enum Call {
    /// Waits until the session is up.
    Up,
    Submit(Box<Ticket>),
    Cancel(ClientOrderId),
    Replace {
        id: ClientOrderId,
        with: Box<Ticket>,
    },
    Find(ClientOrderId),
    Working,
    Positions,
}

#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Order(Option<OrderStatus>),
    Orders(Vec<OrderStatus>),
    Positions { holdings: Vec<Holding>, cash: Option<Money> },
}

pub(super) type Reply = Sender<Result<Answer, Failure>>;

/// A call that waits until another message may leave.
struct Held {
    call: Call,
    until: Duration,
    reply: Reply,
    /// When it is its turn.
    at: Duration,
}

/// A call that waits for its answer.
struct Pending {
    what: What,
    /// The number of the message that asked.
    number: u64,
    until: Duration,
    reply: Reply,
}

enum What {
    Up,
    Submit(ClientOrderId),
    Cancel { name: String, id: ClientOrderId },
    Replace { with: ClientOrderId },
    Find { request: String, id: ClientOrderId },
    Working { request: String, seen: u64, orders: Vec<OrderStatus> },
    Positions { request: String, told: Box<Told> },
}

enum Link {
    Down { until: Duration },
    Dialing,
    Open { line: Line, since: Duration, begun: bool },
    Stopped,
}

pub(super) struct Worker {
    config: Config,
    tls: Option<Prepared>,
    session: Session,
    store: Store,
    orders: Orders,
    inputs: Receiver<Input>,
    own: Sender<Input>,
    events: Sender<BrokerEvent>,
    start: Instant,
    link: Link,
    /// Counts lines, so that the last words of an old one are not taken for the new one's.
    line: u64,
    reason: String,
    told_down: bool,
    backoff: Duration,
    refusals: u32,
    pending: Vec<Pending>,
    pace: Option<Pace>,
    held: Vec<Held>,
    /// Orders by the number of the message that carried them, until they are answered.
    carried: BTreeMap<u64, ClientOrderId>,
    /// Orders whose cancellation was sent because an alternative filled.
    outdone: BTreeSet<ClientOrderId>,
    batch: Batch,
    told: Vec<BrokerEvent>,
    answers: Vec<(Reply, Result<Answer, Failure>)>,
    requests: u64,
    stopping: Option<Duration>,
    /// Set when the session is stopped for good.
    stopped: Arc<OnceLock<String>>,
}

impl Worker {
    #[expect(clippy::too_many_arguments, reason = "made in one place")]
    pub(super) fn new(
        config: Config,
        tls: Option<Prepared>,
        session: Session,
        store: Store,
        orders: Orders,
        inputs: Receiver<Input>,
        own: Sender<Input>,
        events: Sender<BrokerEvent>,
        stopped: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            tls,
            session,
            store,
            orders,
            inputs,
            own,
            events,
            start: Instant::now(),
            link: Link::Down { until: Duration::ZERO },
            line: 0,
            reason: "the session has not begun yet".into(),
            told_down: false,
            backoff: config.reconnect_min,
            refusals: 0,
            pending: Vec::new(),
            pace: config.messages_per_second_max.map(Pace::new),
            held: Vec::new(),
            carried: BTreeMap::new(),
            outdone: BTreeSet::new(),
            batch: Batch::default(),
            told: Vec::new(),
            answers: Vec::new(),
            requests: 0,
            stopping: None,
            stopped,
            config,
        }
    }

    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let wall = Timestamp::from_nanos(i64::try_from(wall).unwrap_or(i64::MAX));
        Moment { wall, steady: self.start.elapsed() }
    }

    pub(super) fn run(mut self) {
        loop {
            self.advance();
            if self.is_over() {
                return;
            }
            let wait = self.wakes().saturating_sub(self.now().steady);
            match self.inputs.recv_timeout(wait) {
                Ok(input) => self.input(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_over(&self) -> bool {
        let open = matches!(self.link, Link::Open { .. });
        self.stopping.is_some_and(|until| !open || self.start.elapsed() >= until)
    }

    fn wakes(&self) -> Duration {
        let link = match &self.link {
            Link::Down { until } => *until,
            Link::Open { since, begun: false, .. } => *since + self.config.answer_within,
            Link::Open { .. } | Link::Dialing | Link::Stopped => Duration::from_secs(u64::from(u32::MAX)),
        };
        let waits = self.pending.iter().map(|pending| pending.until).chain(self.held.iter().map(|held| held.at));
        let waits = waits.chain(self.session.wakes()).chain(self.stopping);
        waits.fold(link, Duration::min)
    }

    /// What is due, and everything that it leads to.
    fn advance(&mut self) {
        let now = self.now();
        match &self.link {
            Link::Down { until } if now.steady >= *until && self.stopping.is_none() => self.dial(),
            Link::Open { since, begun: false, .. } if now.steady >= *since + self.config.answer_within => {
                self.line_down("TLS was not agreed in time");
            }
            _ => {}
        }
        self.session.tick(now);
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|held| held.at <= now.steady);
        self.held = held;
        let due: Vec<Held> = due;
        due.into_iter().for_each(|held| self.call(held.call, held.until, held.reply, now));
        self.carry_out();
        let (due, waiting) = std::mem::take(&mut self.pending).into_iter().partition(|one| one.until <= now.steady);
        self.pending = waiting;
        let due: Vec<Pending> = due;
        for pending in due {
            let failure = match pending.what {
                What::Up => Failure::NotSent(self.reason.clone()),
                _ => Failure::Unclear("no answer came in time".into()),
            };
            self.answers.push((pending.reply, Err(failure)));
        }
        self.tell();
    }

    fn dial(&mut self) {
        self.line += 1;
        self.link = Link::Dialing;
        let dialed = line::dial(&self.config.endpoint, self.config.answer_within, self.line, self.own.clone());
        if let Err(error) = dialed {
            self.fall_back(&format!("cannot start a thread: {error}"));
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Call { call, within, since, reply } => {
                let until = now.steady + within.saturating_sub(since.elapsed());
                self.call(call, until, reply, now);
            }
            Input::Opened { id, stream } if id == self.line => match Line::new(stream, self.tls.as_ref()) {
                Ok(line) => {
                    self.link = Link::Open { line, since: now.steady, begun: false };
                    self.begin(now);
                }
                Err(reason) => self.fall_back(&reason),
            },
            Input::Bytes { id, bytes } if id == self.line => {
                let Link::Open { line, .. } = &mut self.link else { return };
                match line.read(bytes) {
                    Ok(plain) => {
                        self.begin(now);
                        self.session.received(&plain, now);
                    }
                    Err(reason) => self.line_down(&reason),
                }
            }
            Input::Closed { id, reason } if id == self.line => self.line_down(&reason),
            Input::Opened { .. } | Input::Bytes { .. } | Input::Closed { .. } => {}
            Input::Stop => {
                self.stopping = Some(now.steady + self.config.answer_within.min(Duration::from_secs(3)));
                self.session.logout(now);
            }
        }
    }

    /// Logs on once the line is secured.
    fn begin(&mut self, now: Moment) {
        if let Link::Open { line, begun, .. } = &mut self.link
            && !*begun
            && line.is_ready()
        {
            *begun = true;
            if self.config.reset_on_logon {
                self.carried.clear();
            }
            self.session.connected(now);
        }
    }

    fn line_down(&mut self, reason: &str) {
        let begun = matches!(self.link, Link::Open { begun: true, .. });
        if begun {
            self.session.disconnected(reason);
        } else if matches!(self.link, Link::Open { .. } | Link::Dialing) {
            self.fall_back(reason);
        }
    }

    /// Closes the line and dials again later.
    fn fall_back(&mut self, reason: &str) {
        let until = self.now().steady + self.backoff;
        self.backoff = (self.backoff * 2).min(self.config.reconnect_max);
        self.link = Link::Down { until };
        self.down(reason);
    }

    fn stop(&mut self, reason: &str) {
        self.link = Link::Stopped;
        // Another thing than a line that comes back by itself.
        self.told_down = false;
        let reason = format!("{}: {reason}", super::STOPPED);
        self.down(&reason);
        let _ = self.stopped.set(reason);
        for pending in std::mem::take(&mut self.pending) {
            self.answers.push((pending.reply, Err(Failure::NotSent(self.reason.clone()))));
        }
    }

    fn down(&mut self, reason: &str) {
        self.reason = reason.to_owned();
        if !self.told_down {
            self.told_down = true;
            self.told.push(BrokerEvent::Disconnected(reason.to_owned()));
        }
        self.fail(|_| true, &format!("the line went down: {reason}"));
        self.carried.clear();
    }

    /// Whoever waits for an answer to these messages gets none.
    fn fail(&mut self, which: impl Fn(u64) -> bool, reason: &str) {
        let fails = |pending: &Pending| !matches!(pending.what, What::Up) && which(pending.number);
        let (failed, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().partition(fails);
        self.pending = waiting;
        for pending in failed {
            self.answers.push((pending.reply, Err(Failure::Unclear(reason.to_owned()))));
        }
    }

    /// Does what the session wants: stored, then sent, then told.
    fn carry_out(&mut self) {
        let (mut bytes, mut over) = (Vec::new(), None);
        while let Some(output) = self.session.poll() {
            match output {
                Output::Numbers(numbers) => self.batch.numbers(numbers),
                Output::Transmit(message) => bytes.extend_from_slice(&message),
                Output::Up => self.up(),
                Output::Received(message) => self.message(&message),
                Output::Skipped { from, to } => {
                    self.carried.retain(|number, _| !(from..=to).contains(number));
                    self.fail(|number| (from..=to).contains(&number), "the broker has not got the message");
                }
                Output::Lost(reason) => {
                    self.carried.clear();
                    self.fail(|_| true, &reason);
                    self.have_asked(reason);
                }
                Output::Down(down) => over = Some(down),
            }
        }
        let batch = std::mem::take(&mut self.batch);
        if let Err(error) = self.store.append(&batch) {
            self.session.disconnected("the store failed");
            while self.session.poll().is_some() {}
            // Nothing of this step left; what it was to tell is told again once the store can be written.
            self.told.clear();
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            return self.stop(&format!("{error}{source}"));
        }
        if let Link::Open { line, .. } = &mut self.link
            && !bytes.is_empty()
            && let Err(error) = line.write(&bytes)
        {
            let reason = format!("the line broke: {error}");
            if over.is_none() {
                self.session.disconnected(&reason);
                return self.carry_out();
            }
        }
        if let Some(Down { reason, refused, stop }) = over {
            if refused {
                self.refusals += 1;
                // It may hold an earlier line for up, until it has heard nothing for as long as it waits for a heartbeat.
                self.backoff = self.backoff.max(self.config.heartbeat).min(self.config.reconnect_max);
            }
            if stop || self.refusals >= self.config.logons_max {
                self.stop(&reason);
            } else {
                self.fall_back(&reason);
            }
        }
    }

    fn tell(&mut self) {
        for event in self.told.drain(..) {
            // Nobody listens when the adapter is being dropped.
            drop(self.events.send(event));
        }
        for (reply, answer) in self.answers.drain(..) {
            drop(reply.send(answer));
        }
    }

    fn up(&mut self) {
        self.backoff = self.config.reconnect_min;
        self.refusals = 0;
        self.told_down = false;
        self.outdone.clear();
        self.told.push(BrokerEvent::Connected);
        self.answer(|what| matches!(what, What::Up), |_| Some(Ok(Answer::Done)));
        self.end_alternatives();
    }

    /// Makes the runner ask: something happened that no event tells.
    fn have_asked(&mut self, reason: String) {
        self.told.push(BrokerEvent::Disconnected(reason));
        self.told.push(BrokerEvent::Connected);
    }

    fn request(&mut self) -> String {
        self.requests += 1;
        format!("{:x}-{:x}", self.now().wall.micros(), self.requests)
    }

    fn call(&mut self, call: Call, until: Duration, reply: Reply, now: Moment) {
        if until <= now.steady {
            return self.answers.push((reply, Err(Failure::NotSent("its time was over before its turn came".into()))));
        }
        if let Call::Up = call {
            if self.session.is_up() {
                return self.answers.push((reply, Ok(Answer::Done)));
            }
            if !matches!(self.link, Link::Stopped) {
                return self.pending.push(Pending { what: What::Up, number: 0, until, reply });
            }
        }
        if !self.session.is_up() {
            let reason = match self.link {
                Link::Open { .. } => "the session is being agreed with the counterparty".to_owned(),
                _ => self.reason.clone(),
            };
            return self.answers.push((reply, Err(Failure::NotSent(reason))));
        }
        if let Some(pace) = &mut self.pace
            && let Some(wait) = pace.wait(matches!(call, Call::Cancel(_)), now.steady)
        {
            return self.held.push(Held { call, until, reply, at: now.steady + wait });
        }
        let (message, record, what) = match self.compose(call, now) {
            Ok(Composed::Answer(answer)) => return self.answers.push((reply, Ok(answer))),
            Ok(Composed::Ask(message, record, what)) => (message, record, what),
            Err(failure) => return self.answers.push((reply, Err(failure))),
        };
        let carries = match &record {
            Some(Record::Sent { id, .. }) => Some(id.clone()),
            _ => None,
        };
        self.note(record);
        let Some(number) = self.session.send(message, now) else { return };
        self.leaves(now);
        if let Some(id) = carries {
            self.carried.insert(number, id);
        }
        self.pending.push(Pending { what, number, until, reply });
    }

    /// Counts a message of ours.
    fn leaves(&mut self, now: Moment) {
        if let Some(pace) = &mut self.pace {
            pace.leaves(now.steady);
        }
    }

    fn note(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.batch.order(&record);
            self.orders.record(&record);
        }
    }

    fn compose(&mut self, call: Call, now: Moment) -> Result<Composed, Failure> {
        let style = &self.config.style;
        Ok(match call {
            Call::Up => Composed::Answer(Answer::Done),
            Call::Submit(ticket) => {
                self.orders.may_send(&ticket.id)?;
                let (message, record) = orders::new_order(&ticket, style, now.wall).map_err(Failure::Refused)?;
                if let Some(group) = orders::group(&ticket.id, ticket.approved.order()) {
                    let (works, filled) = self.orders.group(&group);
                    if filled {
                        let state = State::Ended(OrderEnd::Replaced);
                        self.note([record, Record::Closed { id: ticket.id.clone(), state }]);
                        return Err(Failure::Refused("an alternative has filled already".into()));
                    }
                    if works && !self.config.emulate_alternatives {
                        return Err(no_alternatives());
                    }
                }
                Composed::Ask(message, Some(record), What::Submit(ticket.id))
            }
            Call::Cancel(id) => {
                let known = self.orders.get(&id).ok_or_else(|| Failure::Refused(format!("order {id} is unknown")))?;
                if known.state != State::Working {
                    return Ok(Composed::Answer(Answer::Done));
                }
                let name = orders::cancel_name(&id, now.wall.micros().unsigned_abs());
                let message = orders::cancellation(&name, &id, known, style, now.wall);
                Composed::Ask(message, None, What::Cancel { name, id })
            }
            Call::Replace { id, with } => {
                self.orders.may_send(&with.id)?;
                let known = self.orders.get(&id).ok_or_else(|| Failure::Refused(format!("order {id} is unknown")))?;
                if known.state != State::Working {
                    return Err(Failure::Refused(format!("order {id} works no longer")));
                }
                let (message, record) =
                    orders::replacement(&id, known, &with, style, now.wall).map_err(Failure::Refused)?;
                Composed::Ask(message, Some(record), What::Replace { with: with.id })
            }
            Call::Find(id) => {
                // Whatever left is in the store, so that what is not there never left.
                let Some(known) = self.orders.get(&id) else { return Ok(Composed::Answer(Answer::Order(None))) };
                let known = known.clone();
                let request = self.request();
                let message = orders::question(&request, &id, &known, &self.config.style);
                Composed::Ask(message, None, What::Find { request, id })
            }
            Call::Working => {
                let request = self.request();
                let message = Message::new("AF")
                    .with(tag::MASS_STATUS_REQ_ID, &request)
                    .with(tag::MASS_STATUS_REQ_TYPE, 7)
                    .with_some(tag::ACCOUNT, self.config.style.account.as_ref());
                Composed::Ask(message, None, What::Working { request, seen: 0, orders: Vec::new() })
            }
            Call::Positions => {
                let request = self.request();
                let account = self.config.style.account.as_deref().unwrap_or(&self.config.sender);
                let message = Message::new("AN")
                    .with(tag::POS_REQ_ID, &request)
                    .with(tag::POS_REQ_TYPE, 0)
                    .with(tag::ACCOUNT, account)
                    .with(tag::ACCOUNT_TYPE, 1)
                    .with(tag::NO_PARTY_IDS, 1)
                    .with(tag::PARTY_ID, account)
                    .with(tag::PARTY_ID_SOURCE, "D")
                    .with(tag::PARTY_ROLE, 24)
                    .with(tag::CLEARING_BUSINESS_DATE, time::date(now.wall))
                    .with(tag::TRANSACT_TIME, time::format(now.wall));
                Composed::Ask(message, None, What::Positions { request, told: Box::default() })
            }
        })
    }

    /// Answers the calls that a message answers.
    fn answer(
        &mut self,
        which: impl Fn(&What) -> bool,
        mut with: impl FnMut(&mut What) -> Option<Result<Answer, Failure>>,
    ) -> bool {
        let mut any = false;
        for mut pending in std::mem::take(&mut self.pending) {
            match which(&pending.what).then(|| with(&mut pending.what)) {
                Some(answer) => {
                    any = true;
                    match answer {
                        Some(answer) => self.answers.push((pending.reply, answer)),
                        None => self.pending.push(pending),
                    }
                }
                None => self.pending.push(pending),
            }
        }
        any
    }

    fn message(&mut self, message: &Message) {
        match message.kind() {
            "8" => match Report::read(message) {
                Ok(report) if report.kind == 'I' => self.status(message, &report),
                Ok(report) => self.report(&report),
                Err(error) => {
                    self.decline(message, 5, &error.to_string());
                    self.have_asked(error.to_string());
                }
            },
            "9" => self.cancel_rejected(message),
            "3" | "j" => self.rejected(message),
            "AO" | "AP" => self.positions(message),
            _ => self.decline(message, 3, "messages of this type are not taken here"),
        }
    }

    /// Says that a message was not understood.
    fn decline(&mut self, message: &Message, reason: u32, text: &str) {
        let reject = Message::new("j")
            .with_some(tag::REF_SEQ_NUM, message.get(tag::MSG_SEQ_NUM))
            .with(tag::REF_MSG_TYPE, message.kind())
            .with(tag::BUSINESS_REJECT_REASON, reason)
            .with(tag::TEXT, text);
        let now = self.now();
        self.session.send(reject, now);
    }

    fn take(&mut self, applied: Applied) {
        for record in &applied.records {
            self.batch.order(record);
        }
        self.told.extend(applied.events);
        if let Some(reason) = applied.ask {
            self.have_asked(reason);
        }
    }

    fn report(&mut self, report: &Report) {
        let mut applied = self.orders.apply(report);
        let (id, kind, text) = (report.order.clone(), report.kind, said(&report.text, "no reason was given"));
        self.carried.retain(|_, carried| *carried != id);
        let closed = self.orders.get(&id).is_some_and(|known| known.state != State::Working);
        let submitted = self.answer(
            |what| matches!(what, What::Submit(this) if *this == id),
            |_| Some(if kind == '8' { Err(Failure::Refused(text.clone())) } else { Ok(Answer::Done) }),
        );
        let replaced = self.answer(
            |what| matches!(what, What::Replace { with } if *with == id) && matches!(kind, '5' | '8'),
            |_| Some(if kind == '8' { Err(Failure::Refused(text.clone())) } else { Ok(Answer::Done) }),
        );
        self.answer(
            |what| matches!(what, What::Cancel { id: this, .. } if *this == id) && (closed || kind == '6'),
            |_| Some(Ok(Answer::Done)),
        );
        if (submitted || replaced) && kind == '8' {
            // The answer says it.
            applied.events.retain(|event| !matches!(event, BrokerEvent::Ended { id: this, .. } if *this == id));
        }
        self.take(applied);
        self.end_alternatives();
    }

    /// Cancels what an alternative has outdone.
    fn end_alternatives(&mut self) {
        let now = self.now();
        for id in self.orders.outdone() {
            if let Some(known) = self.orders.get(&id)
                && !self.outdone.contains(&id)
            {
                let name = orders::cancel_name(&id, now.wall.micros().unsigned_abs());
                let message = orders::cancellation(&name, &id, known, &self.config.style, now.wall);
                // What must end now waits for nothing, and counts.
                if self.session.send(message, now).is_some() {
                    self.leaves(now);
                    self.outdone.insert(id);
                }
            }
        }
    }

    /// A report that answers a question.
    fn status(&mut self, message: &Message, report: &Report) {
        let request = report.request.clone();
        let asked = |this: &str| request.as_deref() == Some(this);
        let all = self.pending.iter().any(|one| matches!(&one.what, What::Working { request, .. } if asked(request)));
        if all && (report.total == Some(0) || report.is_unknown_order()) {
            self.answer(
                |what| matches!(what, What::Working { request, .. } if asked(request)),
                |_| Some(Ok(Answer::Orders(Vec::new()))),
            );
            return;
        }
        if report.is_unknown_order() {
            return self.unknown(&report.order.clone(), request.as_deref());
        }
        let status = match self.orders.status(report) {
            Ok((status, applied)) => {
                self.take(applied);
                status
            }
            Err(error) => {
                let text = error.to_string();
                self.answer(
                    |what| match what {
                        What::Working { request, .. } => asked(request),
                        What::Find { id, .. } => *id == report.order,
                        _ => false,
                    },
                    |_| Some(Err(Failure::Unclear(text.clone()))),
                );
                return self.decline(message, 5, &text);
            }
        };
        self.carried.retain(|_, carried| *carried != status.id);
        self.answer(
            |what| matches!(what, What::Find { request, id } if asked(request) || (!all && *id == status.id)),
            |_| Some(Ok(Answer::Order(Some(status.clone())))),
        );
        self.answer(
            |what| matches!(what, What::Working { request, .. } if asked(request)),
            |what| {
                let What::Working { seen, orders, .. } = what else { return None };
                *seen += 1;
                if status.state == State::Working {
                    orders.push(status.clone());
                }
                let over = report.last || report.total.is_some_and(|total| *seen >= total);
                over.then(|| Ok(Answer::Orders(std::mem::take(orders))))
            },
        );
    }

    /// The counterparty does not know an order that was asked for.
    fn unknown(&mut self, id: &ClientOrderId, request: Option<&str>) {
        let asked = |what: &What| match what {
            What::Find { request: this, id: order } => request == Some(this.as_str()) || order == id,
            _ => false,
        };
        let Some(What::Find { id, .. }) = self.pending.iter().map(|one| &one.what).find(|what| asked(what)) else {
            return;
        };
        let id = id.clone();
        let answer = match self.orders.get(&id) {
            Some(known) if known.state != State::Working => Ok(self.orders.remembered(&id)),
            Some(known) if known.accepted => {
                Err(Failure::Unclear(format!("the broker worked order {id} and does not know it any more")))
            }
            Some(_) => {
                self.note([Record::Absent(id.clone())]);
                Ok(None)
            }
            None => Ok(None),
        };
        self.answer(
            |what| matches!(what, What::Find { id: this, .. } if *this == id),
            |_| Some(answer.clone().map(Answer::Order)),
        );
    }

    fn cancel_rejected(&mut self, message: &Message) {
        const UNKNOWN_ORDER: u64 = 1;
        const PENDING_ALREADY: u64 = 3;
        let name = message.get(tag::CL_ORD_ID).unwrap_or_default().to_owned();
        let text = said(message.get(tag::TEXT).unwrap_or_default(), "it is too late, or the order is unknown");
        let reason = message.number(tag::CXL_REJ_REASON);
        let new = ClientOrderId::told(name.clone());
        let replaces = |id: &ClientOrderId| self.orders.get(id).is_some_and(|known| known.replaces.is_some());
        if replaces(&new) {
            return self.refuse(&new, &text);
        }
        let over = matches!(message.get(tag::ORD_STATUS), Some("2" | "4" | "5" | "C"))
            || (message.get(tag::ORD_STATUS) == Some("8") && reason != Some(UNKNOWN_ORDER));
        let working: BTreeSet<ClientOrderId> = self
            .pending
            .iter()
            .filter_map(|one| match &one.what {
                What::Cancel { id, .. } => Some(id.clone()),
                _ => None,
            })
            .filter(|id| self.orders.get(id).is_some_and(|known| known.state == State::Working))
            .collect();
        self.answer(
            |what| matches!(what, What::Cancel { name: this, .. } if *this == name),
            |what| {
                let What::Cancel { id, .. } = what else { return None };
                let fine = over || reason == Some(PENDING_ALREADY) || !working.contains(id);
                Some(if fine { Ok(Answer::Done) } else { Err(Failure::Refused(text.clone())) })
            },
        );
    }

    /// An order or a replacement that the counterparty did not take.
    fn refuse(&mut self, id: &ClientOrderId, text: &str) {
        let reason = OrderEnd::Rejected;
        if self.orders.get(id).is_some_and(|known| known.state == State::Working) {
            self.note([Record::Closed { id: id.clone(), state: State::Ended(reason) }]);
            let waited = self.answer(
                |what| match what {
                    What::Submit(this) => this == id,
                    What::Replace { with } => with == id,
                    _ => false,
                },
                |_| Some(Err(Failure::Refused(text.to_owned()))),
            );
            if !waited {
                self.told.push(BrokerEvent::Ended { id: id.clone(), reason, text: text.to_owned() });
            }
        }
    }

    /// A message of ours that was not taken at all.
    fn rejected(&mut self, message: &Message) {
        const UNKNOWN_ID: u64 = 1;
        const UNSUPPORTED: u64 = 3;
        const NO_SUCH_TYPE: u64 = 11;
        let number = message.number(tag::REF_SEQ_NUM);
        let text = said(message.get(tag::TEXT).unwrap_or_default(), "no reason was given");
        let by_name = message.get(tag::BUSINESS_REJECT_REF_ID).map(ClientOrderId::told);
        if let Some(id) = number.and_then(|number| self.carried.remove(&number)) {
            return self.refuse(&id, &text);
        }
        if let Some(id) = by_name.filter(|id| self.carried.values().any(|carried| carried == id)) {
            return self.refuse(&id, &text);
        }
        let at = self.pending.iter().position(|one| number == Some(one.number) && !matches!(one.what, What::Up));
        let Some(at) = at else { return };
        let unknown = message.kind() == "j" && message.number(tag::BUSINESS_REJECT_REASON) == Some(UNKNOWN_ID);
        if let What::Find { id, request } = &self.pending[at].what
            && unknown
        {
            let (id, request) = (id.clone(), request.clone());
            return self.unknown(&id, Some(&request));
        }
        let never = message.number(tag::BUSINESS_REJECT_REASON) == Some(UNSUPPORTED)
            || message.number(tag::SESSION_REJECT_REASON) == Some(NO_SUCH_TYPE);
        let pending = self.pending.swap_remove(at);
        let answer = match pending.what {
            // It lists no orders: those that are known here are all there is to tell, and each can be asked about.
            What::Working { .. } if never => Ok(Answer::Orders(self.orders.working())),
            _ => Err(Failure::Refused(text)),
        };
        self.answers.push((pending.reply, answer));
    }

    fn positions(&mut self, message: &Message) {
        const NONE_FOUND: &str = "2";
        let request = message.get(tag::POS_REQ_ID).unwrap_or_default().to_owned();
        let result = message.get(tag::POS_REQ_RESULT).unwrap_or("0").to_owned();
        let total = message.number(tag::TOTAL_NUM_POS_REPORTS).or((result == NONE_FOUND).then_some(0));
        let wanted = self.config.position_type.clone();
        let wanted = wanted.as_deref();
        let refused = message.get(tag::POS_REQ_STATUS) == Some("2") || !matches!(result.as_str(), "0" | NONE_FOUND);
        let text = said(message.get(tag::TEXT).unwrap_or_default(), "positions are not told");
        self.answer(
            |what| matches!(what, What::Positions { request: this, .. } if *this == request),
            |what| {
                let What::Positions { told, .. } = what else { return None };
                if refused && result != NONE_FOUND {
                    return Some(Err(Failure::Refused(text.clone())));
                }
                told.total = total.or(told.total);
                if message.kind() == "AP"
                    && let Err(problem) = told.add(message, wanted)
                {
                    return Some(Err(Failure::Unclear(problem)));
                }
                told.total.is_some_and(|total| told.reports >= total).then(|| {
                    let (holdings, cash) = told.all(wanted).map_err(Failure::Unclear)?;
                    Ok(Answer::Positions { holdings, cash })
                })
            },
        );
    }
}

pub(super) fn no_alternatives() -> Failure {
    Failure::Refused(
        "FIX 4.4 has no orders that cancel each other; emulate_alternatives works them side by side and cancels the rest \
         when one trades, at the risk that two do"
            .into(),
    )
}

enum Composed {
    Answer(Answer),
    Ask(Message, Option<Record>, What),
}

fn said(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}
