//! The session layer of FIX 4.4, as the side that connects: what keeps both ends' numbers in step.
//!
//! Bytes and moments go in; bytes, messages and what must be stored come out ([`Output`]). There is no clock, no socket
//! and no file in here, so that every order of events can be tried.
//!
//! What it promises:
//! - A message of the counterparty's comes out once and in order. Its number is only counted after it came out, so
//!   that one whose effects were not stored before a crash is asked for again.
//! - A number is counted before its message leaves, so that no number is ever used twice.
//! - An application message never leaves twice: what the counterparty has missed is filled by a gap
//!   ([`Output::Skipped`]). An order that is minutes old is not the order that was meant.
//! - It is up when a test after the logon was answered: by then both sides have asked for what they missed and have it.
//!   An order that left earlier could be among what is filled by a gap.
//! - Where the numbers cannot be right, it stops and says so ([`Down::stop`]): only a person may set them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use domain::Timestamp;

use super::codec::{BEGIN_STRING, Decoder, Found, Message, tag};
use super::time;

/// Messages that wait for those before them; more are forgotten, and asked for again.
const WAITING_MAX: usize = 10_000;
/// How often the same gap is asked for.
const ASKED_MAX: u32 = 3;

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a session is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our name.
    pub sender: String,
    /// The counterparty's name.
    pub target: String,
    /// How long the line may be silent.
    pub heartbeat: Duration,
    /// Whether every logon begins both sides' numbers again. What was said while the line was down is then not sent
    /// again, so that it must be asked for.
    pub reset_on_logon: bool,
    /// For the logon, where the counterparty wants it.
    pub username: Option<Secret>,
    /// For the logon, where the counterparty wants it.
    pub password: Option<Secret>,
    /// How long a logon or logout may stay without answer.
    pub answer_within: Duration,
}

/// A moment: what the wall says, for messages, and a time that never steps, for what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Of the wall.
    pub wall: Timestamp,
    /// Since any beginning.
    pub steady: Duration,
}

/// What the next messages are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Numbers {
    /// Ours.
    pub out: u64,
    /// The counterparty's.
    #[serde(rename = "in")]
    pub inward: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { out: 1, inward: 1 }
    }
}

/// The line is to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Why.
    pub reason: String,
    /// The counterparty did not accept the logon.
    pub refused: bool,
    /// Connecting again cannot help.
    pub stop: bool,
}

/// What a session wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// These numbers are durable before anything that follows.
    Numbers(Numbers),
    /// These bytes leave.
    Transmit(Vec<u8>),
    /// Both sides have what they missed, and messages may be sent.
    Up,
    /// A message that is not the session's own; `Reject` is among them.
    Received(Message),
    /// Our messages of these numbers never arrived, and are not sent again.
    Skipped {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The counterparty began its numbers elsewhere: what lay between may be lost.
    Lost(String),
    /// The end of the line.
    Down(Down),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    LoggingOn {
        since: Duration,
    },
    /// Logged on, and a test is on its way.
    Settling {
        since: Duration,
    },
    Active,
    LoggingOut {
        since: Duration,
    },
}

/// Messages that are missing.
#[derive(Debug, Clone, Copy)]
struct Gap {
    /// Asked for up to here.
    to: u64,
    at: Duration,
    asked: u32,
}

/// One that waits for those before it.
#[derive(Debug)]
enum Waiting {
    Message(Message),
    /// Answered already, because it could not wait.
    Answered,
}

/// One side of a session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    numbers: Numbers,
    state: State,
    decoder: Decoder,
    waiting: BTreeMap<u64, Waiting>,
    /// The name of the test after the logon.
    settling: String,
    gap: Option<Gap>,
    sent_at: Duration,
    received_at: Duration,
    tested_at: Option<Duration>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// Goes on where the numbers are.
    #[must_use]
    pub fn new(settings: Settings, numbers: Numbers) -> Self {
        Self {
            settings,
            numbers,
            state: State::Idle,
            decoder: Decoder::default(),
            waiting: BTreeMap::new(),
            settling: String::new(),
            gap: None,
            sent_at: Duration::ZERO,
            received_at: Duration::ZERO,
            tested_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether messages may be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Active
    }

    fn is_logged_on(&self) -> bool {
        matches!(self.state, State::Active | State::Settling { .. })
    }

    /// The numbers of the next messages.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        self.numbers
    }

    /// A line is open: logs on.
    pub fn connected(&mut self, now: Moment) {
        self.forget_line();
        if self.settings.reset_on_logon {
            self.numbers = Numbers::default();
        }
        self.state = State::LoggingOn { since: now.steady };
        self.received_at = now.steady;
        let mut logon =
            Message::new("A").with(tag::ENCRYPT_METHOD, 0).with(tag::HEART_BT_INT, self.settings.heartbeat.as_secs());
        if self.settings.reset_on_logon {
            logon = logon.with(tag::RESET_SEQ_NUM_FLAG, "Y");
        }
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.0.clone());
        logon = logon
            .with_some(tag::USERNAME, secret(&self.settings.username))
            .with_some(tag::PASSWORD, secret(&self.settings.password));
        self.transmit(logon, now);
    }

    /// The line broke.
    pub fn disconnected(&mut self, reason: &str) {
        let reason = match self.state {
            State::Idle => return,
            State::LoggingOn { .. } => {
                let Settings { sender, target, .. } = &self.settings;
                format!("{reason} before the logon was answered: it may not know the session `{sender}` -> `{target}`")
            }
            State::Settling { .. } | State::Active | State::LoggingOut { .. } => reason.to_owned(),
        };
        self.down(Down { reason, refused: false, stop: false });
    }

    /// Sends an application's message and tells its number; none while the session is not up.
    pub fn send(&mut self, message: Message, now: Moment) -> Option<u64> {
        self.is_up().then(|| self.transmit(message, now))
    }

    /// Ends the session in good order.
    pub fn logout(&mut self, now: Moment) {
        match self.state {
            State::Active | State::Settling { .. } => {
                self.transmit(Message::new("5"), now);
                self.state = State::LoggingOut { since: now.steady };
            }
            State::LoggingOn { .. } => self.down(Down { reason: "ended here".into(), refused: false, stop: false }),
            State::Idle | State::LoggingOut { .. } => {}
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn wakes(&self) -> Option<Duration> {
        let waited = self.settings.answer_within;
        match self.state {
            State::Idle => None,
            State::LoggingOn { since } | State::LoggingOut { since } => Some(since + waited),
            State::Active | State::Settling { .. } => {
                let beat = self.sent_at + self.settings.heartbeat;
                let silent = self.tested_at.unwrap_or(self.received_at) + self.patience();
                let gap = self.gap.map_or(Duration::MAX, |gap| gap.at + waited);
                let settled = match self.state {
                    State::Settling { since } => since + waited,
                    _ => Duration::MAX,
                };
                Some(beat.min(silent).min(gap).min(settled))
            }
        }
    }

    /// Time went by.
    pub fn tick(&mut self, now: Moment) {
        let waited = self.settings.answer_within;
        match self.state {
            State::Idle => {}
            State::LoggingOn { since } => {
                if now.steady >= since + waited {
                    self.down(Down { reason: "the logon was not answered".into(), refused: false, stop: false });
                }
            }
            State::LoggingOut { since } => {
                if now.steady >= since + waited {
                    self.down(Down { reason: "the logout was not answered".into(), refused: false, stop: false });
                }
            }
            State::Settling { since } if now.steady >= since + waited => {
                self.end("the test after the logon was not answered", false, now);
            }
            State::Active | State::Settling { .. } => self.tick_active(now),
        }
    }

    fn tick_active(&mut self, now: Moment) {
        if let Some(gap) = self.gap
            && now.steady >= gap.at + self.settings.answer_within
        {
            if gap.asked >= ASKED_MAX {
                let reason = format!("messages from {} on are not sent again", self.numbers.inward);
                return self.end(&reason, false, now);
            }
            self.ask(gap.to, gap.asked + 1, now);
        }
        let silent = self.tested_at.unwrap_or(self.received_at);
        if now.steady >= silent + self.patience() {
            if self.tested_at.is_some() {
                let reason = "nothing was heard, not even an answer to a test".to_owned();
                return self.down(Down { reason, refused: false, stop: false });
            }
            self.tested_at = Some(now.steady);
            self.transmit(Message::new("1").with(tag::TEST_REQ_ID, time::format(now.wall)), now);
        }
        if now.steady >= self.sent_at + self.settings.heartbeat {
            self.transmit(Message::new("0"), now);
        }
    }

    /// Bytes came.
    pub fn received(&mut self, bytes: &[u8], now: Moment) {
        if self.state == State::Idle {
            return;
        }
        self.decoder.feed(bytes);
        while self.state != State::Idle
            && let Some(found) = self.decoder.next()
        {
            match found {
                Found::Message(message) => self.message(message, now),
                // Not counted: its number is missing now, and has it sent again.
                Found::Garbled(_) => {}
                Found::Version(version) => {
                    let reason = format!("the counterparty speaks {version}, and this is {BEGIN_STRING}");
                    self.end(&reason, true, now);
                }
            }
        }
    }

    fn message(&mut self, message: Message, now: Moment) {
        let names = (message.get(tag::SENDER_COMP_ID), message.get(tag::TARGET_COMP_ID));
        if names != (Some(self.settings.target.as_str()), Some(self.settings.sender.as_str())) {
            let (from, to) = (names.0.unwrap_or_default(), names.1.unwrap_or_default());
            return self.end(&format!("a message is from `{from}` to `{to}`, which is not this session"), true, now);
        }
        let Some(number) = message.number(tag::MSG_SEQ_NUM) else {
            return self.end("a message has no MsgSeqNum", true, now);
        };
        self.received_at = now.steady;
        self.tested_at = None;
        match &mut self.state {
            State::LoggingOn { .. } => return self.first(&message, number, now),
            // What was missed comes.
            State::Settling { since } if message.kind() != "0" => *since = now.steady,
            _ => {}
        }
        match message.kind() {
            "4" if !message.flag(tag::GAP_FILL_FLAG) => return self.begin_elsewhere(&message, number, now),
            "A" if message.flag(tag::RESET_SEQ_NUM_FLAG) => return self.begin_again(number, now),
            _ => {}
        }
        if number < self.numbers.inward {
            // Sent again, and known.
            if !message.flag(tag::POSS_DUP_FLAG) {
                self.too_low(number, now);
            }
            return;
        }
        if number > self.numbers.inward {
            return self.too_high(message, number, now);
        }
        self.process(message, now);
        self.drain(now);
    }

    /// The first message of a line.
    fn first(&mut self, message: &Message, number: u64, now: Moment) {
        match message.kind() {
            "A" => {}
            "5" => {
                let text = message.get(tag::TEXT).unwrap_or("no reason was given");
                let reason = format!("the logon was refused: {text}");
                if number == self.numbers.inward {
                    self.count(number + 1);
                }
                return self.down(Down { reason, refused: true, stop: false });
            }
            kind => return self.end(&format!("the logon was answered by a message of type {kind}"), false, now),
        }
        if message.flag(tag::RESET_SEQ_NUM_FLAG) && !self.settings.reset_on_logon {
            return self.end("the counterparty began its numbers again, which was not agreed", true, now);
        }
        if number < self.numbers.inward {
            return self.too_low(number, now);
        }
        if number == self.numbers.inward {
            self.count(number + 1);
        } else {
            self.wait(number, Waiting::Answered);
            self.ask(number - 1, 1, now);
        }
        self.settle(now);
    }

    /// Tests whether both sides have what they missed.
    fn settle(&mut self, now: Moment) {
        self.state = State::Settling { since: now.steady };
        self.settling = format!("up-{}", self.numbers.out);
        self.transmit(Message::new("1").with(tag::TEST_REQ_ID, &self.settling), now);
    }

    /// What is in its turn.
    fn process(&mut self, message: Message, now: Moment) {
        let number = self.numbers.inward;
        match message.kind() {
            "0" => {
                self.count(number + 1);
                let settling = matches!(self.state, State::Settling { .. });
                if settling && message.get(tag::TEST_REQ_ID) == Some(self.settling.as_str()) {
                    self.state = State::Active;
                    self.outputs.push_back(Output::Up);
                }
            }
            "A" => self.count(number + 1),
            "1" => {
                self.count(number + 1);
                self.transmit(Message::new("0").with_some(tag::TEST_REQ_ID, message.get(tag::TEST_REQ_ID)), now);
            }
            "2" => {
                self.count(number + 1);
                self.fill(&message, now);
            }
            "4" => match message.number(tag::NEW_SEQ_NO) {
                Some(next) if next > number => self.count(next),
                _ => {
                    self.count(number + 1);
                    self.reject(number, "4", 5, "NewSeqNo does not lie ahead", now);
                }
            },
            "5" => {
                self.count(number + 1);
                self.logged_out(&message, now);
            }
            _ => {
                self.outputs.push_back(Output::Received(message));
                self.count(number + 1);
            }
        }
    }

    /// Those that waited for what has come.
    fn drain(&mut self, now: Moment) {
        while self.state != State::Idle {
            let next = self.numbers.inward;
            while self.waiting.first_key_value().is_some_and(|(number, _)| *number < next) {
                self.waiting.pop_first();
            }
            match self.waiting.remove(&next) {
                Some(Waiting::Message(message)) => self.process(message, now),
                Some(Waiting::Answered) => self.count(next + 1),
                None => break,
            }
        }
        match &mut self.gap {
            Some(gap) if gap.to < self.numbers.inward => self.gap = None,
            // They come.
            Some(gap) => (gap.at, gap.asked) = (now.steady, 1),
            None => {}
        }
        if self.gap.is_none()
            && self.is_logged_on()
            && let Some((first, _)) = self.waiting.first_key_value()
        {
            self.ask(first - 1, 1, now);
        }
    }

    fn too_high(&mut self, message: Message, number: u64, now: Moment) {
        match message.kind() {
            // Both ends might wait for each other.
            "2" => {
                self.fill(&message, now);
                self.wait(number, Waiting::Answered);
            }
            // What is missing is asked for at the next logon.
            "5" => return self.logged_out(&message, now),
            _ => self.wait(number, Waiting::Message(message)),
        }
        if self.gap.is_none() && self.is_logged_on() {
            self.ask(number - 1, 1, now);
        }
    }

    fn too_low(&mut self, number: u64, now: Moment) {
        let expected = self.numbers.inward;
        self.end(&format!("MsgSeqNum too low, expecting {expected} but received {number}"), true, now);
    }

    fn wait(&mut self, number: u64, waiting: Waiting) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(number, waiting);
        }
    }

    /// Asks for everything up to a number.
    fn ask(&mut self, to: u64, asked: u32, now: Moment) {
        self.gap = Some(Gap { to, at: now.steady, asked });
        let from = self.numbers.inward;
        self.transmit(Message::new("2").with(tag::BEGIN_SEQ_NO, from).with(tag::END_SEQ_NO, to), now);
    }

    /// Answers a request to send again: nothing is, whatever it was. The administrative messages mean nothing any more,
    /// and the orders may not be repeated.
    fn fill(&mut self, request: &Message, now: Moment) {
        let (Some(from), Some(to)) = (request.number(tag::BEGIN_SEQ_NO), request.number(tag::END_SEQ_NO)) else {
            let number = request.number(tag::MSG_SEQ_NUM).unwrap_or_default();
            return self.reject(number, "2", 1, "BeginSeqNo or EndSeqNo is missing", now);
        };
        let last = self.numbers.out - 1;
        let to = if to == 0 { last } else { to.min(last) };
        if from == 0 || from > to {
            let number = request.number(tag::MSG_SEQ_NUM).unwrap_or_default();
            return self.reject(number, "2", 5, "BeginSeqNo has not been sent", now);
        }
        self.outputs.push_back(Output::Skipped { from, to });
        let message = Message::new("4").with(tag::GAP_FILL_FLAG, "Y").with(tag::NEW_SEQ_NO, to + 1);
        let bytes = message.encode(&self.head(from, true, now));
        self.sent_at = now.steady;
        self.outputs.push_back(Output::Transmit(bytes));
        if let State::Settling { .. } = self.state {
            // The test may have been among them.
            self.settle(now);
        }
    }

    /// A reset that is no gap fill; its own number does not matter.
    fn begin_elsewhere(&mut self, message: &Message, number: u64, now: Moment) {
        let expected = self.numbers.inward;
        match message.number(tag::NEW_SEQ_NO) {
            Some(next) if next >= expected => {
                if next > expected {
                    let reason = format!("the counterparty's numbers jumped from {expected} to {next}");
                    self.outputs.push_back(Output::Lost(reason));
                    self.count(next);
                }
                self.drain(now);
            }
            _ => self.reject(number, "4", 5, "NewSeqNo lies behind", now),
        }
    }

    /// A logon in the middle of a session that begins both sides' numbers again.
    fn begin_again(&mut self, number: u64, now: Moment) {
        if number != 1 {
            return self.end("a logon that begins the numbers again is not numbered 1", true, now);
        }
        self.outputs.push_back(Output::Lost("the counterparty began the numbers again".into()));
        self.waiting.clear();
        self.gap = None;
        self.numbers = Numbers { out: 1, inward: 2 };
        let logon = Message::new("A")
            .with(tag::ENCRYPT_METHOD, 0)
            .with(tag::HEART_BT_INT, self.settings.heartbeat.as_secs())
            .with(tag::RESET_SEQ_NUM_FLAG, "Y");
        self.transmit(logon, now);
        if let State::Settling { .. } = self.state {
            self.settle(now);
        }
    }

    fn logged_out(&mut self, message: &Message, now: Moment) {
        let ours = matches!(self.state, State::LoggingOut { .. });
        if !ours {
            self.transmit(Message::new("5"), now);
        }
        let text = message.get(tag::TEXT).map(|text| format!(": {text}")).unwrap_or_default();
        let who = if ours { "logged out" } else { "the counterparty logged out" };
        self.down(Down { reason: format!("{who}{text}"), refused: false, stop: false });
    }

    /// Logs out with a reason, and does not wait.
    fn end(&mut self, reason: &str, stop: bool, now: Moment) {
        let refused = matches!(self.state, State::LoggingOn { .. });
        self.transmit(Message::new("5").with(tag::TEXT, reason), now);
        self.down(Down { reason: reason.to_owned(), refused, stop });
    }

    fn reject(&mut self, number: u64, kind: &str, reason: u32, text: &str, now: Moment) {
        let message = Message::new("3")
            .with(tag::REF_SEQ_NUM, number)
            .with(tag::REF_MSG_TYPE, kind)
            .with(tag::SESSION_REJECT_REASON, reason)
            .with(tag::TEXT, text);
        self.transmit(message, now);
    }

    fn down(&mut self, down: Down) {
        self.forget_line();
        self.outputs.push_back(Output::Down(down));
    }

    fn forget_line(&mut self) {
        self.state = State::Idle;
        self.decoder.clear();
        self.waiting.clear();
        self.gap = None;
        self.tested_at = None;
    }

    fn count(&mut self, next: u64) {
        self.numbers.inward = next;
        self.outputs.push_back(Output::Numbers(self.numbers));
    }

    fn transmit(&mut self, message: Message, now: Moment) -> u64 {
        let number = self.numbers.out;
        self.numbers.out += 1;
        self.sent_at = now.steady;
        self.outputs.push_back(Output::Numbers(self.numbers));
        let bytes = message.encode(&self.head(number, false, now));
        self.outputs.push_back(Output::Transmit(bytes));
        number
    }

    fn head(&self, number: u64, again: bool, now: Moment) -> Vec<(u32, String)> {
        let at = time::format(now.wall);
        let mut head = vec![
            (tag::SENDER_COMP_ID, self.settings.sender.clone()),
            (tag::TARGET_COMP_ID, self.settings.target.clone()),
            (tag::MSG_SEQ_NUM, number.to_string()),
        ];
        if again {
            head.push((tag::POSS_DUP_FLAG, "Y".into()));
        }
        head.push((tag::SENDING_TIME, at.clone()));
        if again {
            head.push((tag::ORIG_SENDING_TIME, at));
        }
        head
    }

    /// How long silence is borne: a little more than the counterparty promised.
    fn patience(&self) -> Duration {
        self.settings.heartbeat + self.settings.heartbeat / 5
    }
}

#[cfg(test)]
mod tests;
