//! A broker behind a line that loses, delays, doubles and reorders, and may lie.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use domain::{Order, Timestamp};
use trading::{Account, Broker, BrokerEvent, ClientOrderId, Failure, Market, OrderStatus, PaperBroker, Ticket};

use crate::SECOND;
use crate::judge::{Judge, owner};
use crate::lies::{Liar, Lie};
use crate::support::Dice;
use crate::trouble::{Point, Troubles};

/// What is on its way to the broker.
enum Sent {
    Submit(Vec<Ticket>),
    Cancel(ClientOrderId),
}

pub struct Line {
    pub broker: PaperBroker,
    pub judge: Judge,
    liar: Liar,
    pub troubles: Rc<RefCell<Troubles>>,
    dice: Dice,
    pub bad: bool,
    pub down: bool,
    pub now: Timestamp,
    sent: VecDeque<(Timestamp, Sent)>,
    /// What the broker said: when it arrives, and which it is.
    said: Vec<(Timestamp, u64, BrokerEvent)>,
    said_so_far: u64,
    latest_heard: u64,
    story: bool,
}

impl Line {
    pub fn new(broker: PaperBroker, judge: Judge, troubles: &Rc<RefCell<Troubles>>, seed: u64, story: bool) -> Self {
        Self {
            broker,
            judge,
            liar: Liar::default(),
            troubles: troubles.clone(),
            dice: Dice(seed ^ 0xdead_beef),
            bad: true,
            down: false,
            now: Timestamp::default(),
            sent: VecDeque::new(),
            said: Vec::new(),
            said_so_far: 0,
            latest_heard: 0,
            story,
        }
    }

    fn count(&self, what: &str) {
        self.troubles.borrow_mut().count(what);
    }

    fn late(&mut self, most: u64) -> Timestamp {
        let wait = if self.bad { self.dice.below(most * 1000) as i64 * SECOND / 1000 } else { 0 };
        Timestamp::from_nanos(self.now.nanos() + wait)
    }

    /// Orders on their way.
    fn coming(&self) -> Vec<Order> {
        let submits =
            self.sent.iter().filter_map(|(_, sent)| if let Sent::Submit(all) = sent { Some(all) } else { None });
        submits.flatten().map(|ticket| *ticket.approved.order()).collect()
    }

    /// Time goes by: what is due arrives, the last first.
    pub fn pass(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let due: Vec<usize> = (0..self.sent.len()).filter(|at| self.sent[*at].0 <= self.now).collect();
        for at in due.into_iter().rev() {
            let (_, sent) = self.sent.remove(at).unwrap();
            self.arrive(sent);
        }
        self.gather();
    }

    fn arrive(&mut self, sent: Sent) {
        match sent {
            Sent::Submit(tickets) => {
                for ticket in &tickets {
                    self.judge.arrives(ticket.approved.order(), &mut self.broker);
                }
                self.broker.submit(&tickets).unwrap();
            }
            Sent::Cancel(id) => drop(self.broker.cancel(&id)),
        }
        self.gather();
    }

    /// The market as it is where the broker lives.
    pub fn market(&mut self, event: &Market) {
        self.broker.market(event).unwrap();
        while self.broker.advance().unwrap() {}
        self.gather();
    }

    /// Takes what the broker says onto the line.
    fn gather(&mut self) {
        for event in self.broker.events() {
            if let BrokerEvent::Executed(execution) = &event
                && self.judge.executed(execution)
            {
                self.count("partial fill");
            }
            if self.bad && (self.down || self.dice.chance(10)) {
                self.count("message lost");
                continue;
            }
            let event = self.liar.event(event);
            if self.bad && self.dice.chance(10) {
                self.count("message doubled");
                let due = self.late(8);
                self.says_at(due, event.clone());
            }
            let due = self.late(4);
            self.says_at(due, event);
        }
        for event in self.liar.inventions() {
            self.says(event);
        }
    }

    fn says_at(&mut self, due: Timestamp, event: BrokerEvent) {
        if due > self.now {
            self.count("message delayed");
        }
        self.said_so_far += 1;
        self.said.push((due, self.said_so_far, event));
    }

    /// Something is heard at once.
    pub fn says(&mut self, event: BrokerEvent) {
        self.says_at(self.now, event);
    }

    /// What was on its way to a trader that died never arrives.
    pub fn hang_up(&mut self) {
        self.said.clear();
    }

    /// All is well from here on.
    pub fn mend(&mut self) {
        (self.bad, self.down) = (false, false);
        self.says(BrokerEvent::Connected);
    }

    /// From here on the broker lies.
    pub fn lies(&mut self, lie: Lie) {
        self.judge.lied = true;
        self.liar.start(lie);
    }

    /// From here on it does not. Says whether it has.
    pub fn tells_the_truth(&mut self) -> bool {
        self.liar.stop()
    }

    pub fn written(&mut self, line: &[u8]) {
        let coming = self.coming();
        self.judge.written(line, &mut self.broker, &coming);
    }

    pub fn read(&mut self, line: &[u8]) {
        self.judge.read(line);
    }
}

#[derive(Clone)]
pub struct Handle(pub Rc<RefCell<Line>>);

impl Handle {
    /// The trader is at a point where it may die.
    fn at(&self, point: Point) {
        let troubles = self.0.borrow().troubles.clone();
        troubles.borrow_mut().pass(point);
    }

    /// Whether a call gets through now.
    fn up(&self) -> Result<(), Failure> {
        let mut line = self.0.borrow_mut();
        if line.down {
            line.count("broker down");
            return Err(Failure::NotSent("the line is down".to_owned()));
        }
        if line.bad && line.dice.chance(8) {
            line.count("no route");
            return Err(Failure::NotSent("no route".to_owned()));
        }
        Ok(())
    }

    /// Sends something; the answer may get lost, and then it may arrive later or never.
    fn send(&self, sent: Sent) -> Result<(), Failure> {
        let mut line = self.0.borrow_mut();
        let now = line.now;
        match &sent {
            Sent::Submit(tickets) => line.judge.sends(tickets, now),
            Sent::Cancel(id) => owner().own(id).into_iter().for_each(|id| line.judge.cancels(id)),
        }
        if line.story {
            match &sent {
                Sent::Submit(tickets) => {
                    tickets.iter().for_each(|ticket| println!("{now}: submit {}", ticket.id));
                }
                Sent::Cancel(id) => println!("{now}: cancel {id}"),
            }
        }
        if line.bad && line.dice.chance(15) {
            if line.dice.chance(60) {
                line.count("sent, and late");
                let due = line.late(4);
                line.sent.push_back((due, sent));
            } else {
                line.count("sent, and lost");
            }
            return Err(Failure::Unclear("no answer in time".to_owned()));
        }
        if line.bad && matches!(sent, Sent::Cancel(_)) && line.dice.chance(20) {
            // What is taken is not done yet, and may be forgotten.
            if line.dice.chance(60) {
                line.count("cancel taken, and done late");
                let due = line.late(4);
                line.sent.push_back((due, sent));
            } else {
                line.count("cancel taken, and forgotten");
            }
            return Ok(());
        }
        line.arrive(sent);
        if line.bad && line.dice.chance(5) {
            line.count("arrived, and the answer lost");
            return Err(Failure::Unclear("no answer in time".to_owned()));
        }
        Ok(())
    }
}

impl Broker for Handle {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        self.at(Point::BeforeSubmit);
        self.up()?;
        let refuses = {
            let mut line = self.0.borrow_mut();
            line.bad && line.dice.chance(3)
        };
        if refuses {
            self.0.borrow().count("refused");
            return Err(Failure::Refused("not today".to_owned()));
        }
        let done = self.send(Sent::Submit(tickets.to_vec()));
        self.at(Point::AfterSubmit);
        done
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        self.at(Point::BeforeCancel);
        self.up()?;
        let done = self.send(Sent::Cancel(id.clone()));
        self.at(Point::AfterCancel);
        done
    }

    fn replace(&mut self, _id: &ClientOrderId, _with: &Ticket) -> Result<(), Failure> {
        Err(Failure::Refused("nobody asks for that here".to_owned()))
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        self.at(Point::BeforeFind);
        self.up()?;
        let found = {
            let mut line = self.0.borrow_mut();
            let there = line.broker.find(id)?;
            let known = there.is_some();
            let found = line.liar.find(there);
            if let (None, Some(order)) = (&found, owner().own(id)) {
                let coming = line.coming().iter().any(|coming| coming.id == order);
                let now = line.now;
                line.judge.unknown(order, now, coming);
                if known {
                    line.judge.overtaken.insert(order);
                }
            }
            found
        };
        self.at(Point::AfterFind);
        Ok(found)
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        self.up()?;
        let working = {
            let mut line = self.0.borrow_mut();
            let working = line.broker.working()?;
            line.liar.working(working)
        };
        self.at(Point::AfterWorking);
        Ok(working)
    }

    fn account(&mut self) -> Result<Account, Failure> {
        self.up()?;
        let account = {
            let mut line = self.0.borrow_mut();
            let account = line.broker.account()?;
            line.liar.account(account)
        };
        self.at(Point::AfterAccount);
        Ok(account)
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        let heard: Vec<BrokerEvent> = {
            let mut line = self.0.borrow_mut();
            line.gather();
            let now = line.now;
            let (due, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut line.said).into_iter().partition(|(at, _, _)| *at <= now);
            line.said = rest;
            for (_, which, _) in &due {
                if *which < line.latest_heard {
                    line.count("message reordered");
                }
                line.latest_heard = line.latest_heard.max(*which);
            }
            due.into_iter().map(|(_, _, event)| event).collect()
        };
        if !heard.is_empty() {
            self.at(Point::AfterEvents);
        }
        heard
    }
}
