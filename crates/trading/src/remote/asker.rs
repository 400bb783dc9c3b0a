//! The broker of whoever trades, behind a channel.

use std::collections::VecDeque;

use super::{Answer, Ask, Channel, Preface, Reply, Request, SendError, Sheet, Told, VERSION};
use crate::broker::{Account, Broker, BrokerEvent, ClientOrderId, Failure, OrderStatus, Ticket};
use crate::market::Market;

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// One request.
    pub answer_ms: u64,
    /// How often a broker that is its own market is asked: its market waits, and nothing may overtake what was lost.
    pub market_tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer_ms: 5_000, market_tries: 24 }
    }
}

/// How long one look into the channel takes at most.
const SLICE_MS: u64 = 1_000;

/// A broker behind a channel.
#[derive(Debug)]
pub struct RemoteBroker<C> {
    channel: C,
    epoch: u64,
    n: u64,
    patience: Patience,
    own_market: bool,
    position: u64,
    line: Option<u64>,
    next_event: u64,
    said: VecDeque<BrokerEvent>,
    interruptions: u64,
}

impl<C: Channel> RemoteBroker<C> {
    /// A broker behind a channel, for the holder of a lease.
    pub fn new(channel: C, epoch: u64, patience: Patience) -> Self {
        Self {
            channel,
            epoch,
            n: 0,
            patience,
            own_market: false,
            position: 0,
            line: None,
            next_event: 0,
            said: VecDeque::new(),
            interruptions: 0,
        }
    }

    /// Makes itself known; gives the name of the broker, and whether it is its own market.
    ///
    /// # Errors
    /// [`Failure`]; try again.
    pub fn hello(&mut self) -> Result<(String, bool), Failure> {
        match self.call(Ask::Hello)? {
            Answer::Hello { account, own_market } => {
                self.own_market = own_market;
                Ok((account, own_market))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Says how far the market stream has been read: the number of the event that is told next.
    pub fn at(&mut self, position: u64) {
        self.position = position;
    }

    /// How often something of what the broker said was missed.
    pub fn interruptions(&self) -> u64 {
        self.interruptions
    }

    fn call(&mut self, ask: Ask) -> Result<Answer, Failure> {
        let tries = if self.own_market { self.patience.market_tries } else { 1 };
        self.n += 1;
        let request = Request { v: VERSION, epoch: self.epoch, n: self.n, ask };
        let text = serde_json::to_string(&request).map_err(|error| Failure::Refused(error.to_string()))?;
        let (mut left, mut trouble) = (false, String::new());
        for attempt in 0..tries {
            // The same number: what was done already is answered from memory.
            match self.channel.send(&format!("{}-{}-{attempt}", self.epoch, self.n), &text) {
                Ok(()) => left = true,
                Err(SendError::Unclear(words)) => (left, trouble) = (true, words),
                Err(SendError::NotSent(words)) => {
                    trouble = words;
                    continue;
                }
            }
            match self.wait()? {
                Some(Answer::Failed(failure @ Failure::NotSent(_))) if attempt + 1 < tries => {
                    trouble = failure.to_string();
                }
                Some(Answer::Failed(failure)) => return Err(failure),
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
        if left {
            let seconds = self.patience.answer_ms * u64::from(tries) / 1_000;
            let reason = if trouble.is_empty() { String::new() } else { format!(": {trouble}") };
            Err(Failure::Unclear(format!("the broker adapter did not answer within {seconds} s{reason}")))
        } else {
            Err(Failure::NotSent(trouble))
        }
    }

    /// Waits for the answer to the last request.
    fn wait(&mut self) -> Result<Option<Answer>, Failure> {
        let mut left = self.patience.answer_ms;
        while left > 0 {
            let wait = left.min(SLICE_MS);
            let Ok(received) = self.channel.receive(wait) else {
                left -= wait;
                continue;
            };
            left = left.saturating_sub(received.waited_ms.max(1));
            let mut answer = None;
            for letter in received.letters {
                let told = self.hear(&letter.text);
                self.channel.done(&letter);
                if let Some(reply) = told?.filter(|reply| (reply.epoch, reply.n) == (self.epoch, self.n)) {
                    answer = Some(reply.answer);
                }
            }
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    /// Takes a message: keeps its events, gives its answer.
    fn hear(&mut self, text: &str) -> Result<Option<Reply>, Failure> {
        let Ok(preface) = serde_json::from_str::<Preface>(text) else { return Ok(None) };
        if preface.v != VERSION {
            return Err(Failure::Refused(format!(
                "the broker adapter speaks version {}, and this program {VERSION}; use the same release for both",
                preface.v
            )));
        }
        let Ok(told) = serde_json::from_str::<Told>(text) else { return Ok(None) };
        if self.line != Some(told.line) {
            if self.line.is_some_and(|line| line > told.line) {
                // What an adapter said before it was started again.
                return Ok(told.reply);
            }
            if self.line.is_some() {
                self.missed();
            }
            (self.line, self.next_event) = (Some(told.line), told.first);
        }
        if told.first > self.next_event {
            self.missed();
            self.next_event = told.first;
        }
        for (number, event) in (told.first..).zip(told.events) {
            if number >= self.next_event {
                self.next_event = number + 1;
                self.said.push_back(event);
            }
        }
        Ok(told.reply)
    }

    fn missed(&mut self) {
        self.interruptions += 1;
        self.said.push_back(BrokerEvent::Connected);
    }

    fn ask_done(&mut self, ask: Ask) -> Result<(), Failure> {
        match self.call(ask)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::Unclear(format!("the broker adapter answered something else: {answer:?}"))
}

fn sheet(ticket: &Ticket) -> Sheet {
    Sheet { id: ticket.id.clone(), symbol: ticket.symbol.clone(), order: *ticket.approved.order() }
}

impl<C: Channel> Broker for RemoteBroker<C> {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        self.ask_done(Ask::Submit(tickets.iter().map(sheet).collect()))
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        self.ask_done(Ask::Cancel(id.clone()))
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        self.ask_done(Ask::Replace(id.clone(), sheet(with)))
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        match self.call(Ask::Find(id.clone()))? {
            Answer::Found(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        match self.call(Ask::Working)? {
            Answer::Working(orders) => Ok(orders),
            other => Err(unexpected(&other)),
        }
    }

    fn account(&mut self) -> Result<Account, Failure> {
        match self.call(Ask::Account)? {
            Answer::Account(account) => Ok(account),
            other => Err(unexpected(&other)),
        }
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        // A broker that is its own market says nothing unless it is asked to go on.
        if !self.own_market
            && let Ok(received) = self.channel.receive(0)
        {
            for letter in received.letters {
                if let Err(failure) = self.hear(&letter.text) {
                    self.said.push_back(BrokerEvent::Disconnected(failure.to_string()));
                }
                self.channel.done(&letter);
            }
        }
        self.said.drain(..).collect()
    }

    fn market(&mut self, _event: &Market) -> Result<(), Failure> {
        if !self.own_market {
            return Ok(());
        }
        match self.call(Ask::Market(self.position))? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn advance(&mut self) -> Result<bool, Failure> {
        if !self.own_market {
            return Ok(false);
        }
        match self.call(Ask::Advance)? {
            Answer::Advanced(any) => Ok(any),
            other => Err(unexpected(&other)),
        }
    }
}
