//! The broker adapter closes everything by itself, at a broker elsewhere that answers late or not at all.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use domain::{Calendar, InstrumentId, Money, Price, Quantity, SessionDate, Timestamp};
use engine::Limits;
use support::{Memory, MemoryLines};
use trading::remote::{Adapter, Channel, Letter, Received, Rules, SendError, flatten};
use trading::tape::Numbered;
use trading::{
    Account, Broker, BrokerEvent, ClientOrderId, Execution, Failure, Holding, Market, OrderStatus, Owner, State, Ticket,
};

/// A broker that holds something, and says of an order what it is told to.
#[derive(Default)]
struct Book {
    sent: Vec<Ticket>,
    /// Whether the next order gets an answer.
    answers: bool,
    /// Whether what was sent has filled, and whether positions show it.
    filled: bool,
    shown: bool,
    /// Whether it tells positions at all.
    tells: bool,
}

#[derive(Clone)]
struct Late(Rc<RefCell<Book>>);

fn shares(count: i64) -> Quantity {
    Quantity::whole(count).unwrap()
}

impl Broker for Late {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        let mut book = self.0.borrow_mut();
        book.sent.extend_from_slice(tickets);
        if book.answers { Ok(()) } else { Err(Failure::Unclear("no answer came in time".to_owned())) }
    }

    fn cancel(&mut self, _id: &ClientOrderId) -> Result<(), Failure> {
        Ok(())
    }

    fn replace(&mut self, _id: &ClientOrderId, _with: &Ticket) -> Result<(), Failure> {
        Err(Failure::Refused("nobody asks for that here".to_owned()))
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        let book = self.0.borrow();
        let Some(ticket) = book.sent.iter().find(|ticket| ticket.id == *id) else { return Ok(None) };
        let quantity = ticket.approved.order().quantity;
        let execution = Execution {
            id: "E1".to_owned(),
            order: id.clone(),
            quantity,
            price: Price::parse("10").unwrap(),
            fee: Money::ZERO,
            cumulative: quantity.abs(),
            at: Timestamp::default(),
        };
        let (state, executions) =
            if book.filled { (State::Filled, vec![execution]) } else { (State::Working, Vec::new()) };
        Ok(Some(OrderStatus { id: id.clone(), symbol: ticket.symbol.clone(), quantity, state, executions }))
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        Ok(Vec::new())
    }

    fn account(&mut self) -> Result<Account, Failure> {
        let book = self.0.borrow();
        if !book.tells {
            return Err(Failure::Refused("positions are not told".to_owned()));
        }
        let symbol = support::header(1, Money::ZERO).instruments[0].clone();
        let holding = Holding { symbol, quantity: shares(100), price: Some(Price::parse("10").unwrap()) };
        Ok(Account { cash: Some(Money::ZERO), holdings: if book.shown { Vec::new() } else { vec![holding] } })
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        Vec::new()
    }
}

/// Requests that have come, and answers that left.
#[derive(Clone, Default)]
struct Desk(Rc<RefCell<(VecDeque<String>, Vec<String>)>>);

impl Channel for Desk {
    fn send(&mut self, _id: &str, text: &str) -> Result<(), SendError> {
        self.0.borrow_mut().1.push(text.to_owned());
        Ok(())
    }

    fn receive(&mut self, wait_ms: u64) -> Result<Received, String> {
        let letters = self.0.borrow_mut().0.pop_front().map(|text| Letter { text, receipt: String::new() });
        Ok(Received { letters: letters.into_iter().collect(), waited_ms: wait_ms.max(1) })
    }

    fn done(&mut self, _letter: &Letter) {}
}

struct Scene {
    book: Rc<RefCell<Book>>,
    desk: Desk,
    log: Memory,
    starts: u64,
    adapter: Option<Adapter<Late, Desk, MemoryLines>>,
    /// What the market will have told, from its beginning for each adapter.
    told: Vec<Numbered>,
    heard: usize,
}

impl Scene {
    fn new() -> Self {
        let book = Book { tells: true, ..Book::default() };
        let (book, desk, log) = (Rc::new(RefCell::new(book)), Desk::default(), Memory::default());
        Self { book, desk, log, starts: 0, adapter: None, told: Vec::new(), heard: 0 }
    }

    /// Begins an adapter; one that was there has crashed.
    fn start(&mut self) {
        if let Some(crashed) = self.adapter.take() {
            std::mem::forget(crashed);
        }
        (self.starts, self.heard) = (self.starts + 1, 0);
        let header = support::header(1, Money::ZERO);
        let rules = Rules {
            account: "live".to_owned(),
            owner: Owner::new("live", "test").unwrap(),
            closer: Owner::new("live_x", "test").unwrap(),
            symbols: header.instruments.clone(),
            gate: support::gate(&Limits::default(), &header),
            own_market: false,
            start: self.starts,
        };
        self.adapter =
            Some(Adapter::open(Late(self.book.clone()), self.desk.clone(), self.log.lines(), rules).unwrap());
    }

    fn open_session(&mut self) {
        let session = *Calendar::nyse().session(SessionDate::parse("2024-01-02").unwrap()).unwrap();
        let price = Price::parse("10").unwrap();
        let price = Market::Price { instrument: InstrumentId(0), price, volume: 100, at: session.open };
        self.told.push(Numbered { seq: 1, event: Some(Market::Opened(session)) });
        self.told.push(Numbered { seq: 2, event: Some(price) });
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            let (told, heard) = (self.told.clone(), &mut self.heard);
            let mut source = || {
                let some = told[*heard..].to_vec();
                *heard = told.len();
                Ok(some)
            };
            self.adapter.as_mut().unwrap().turn(0, &mut source).unwrap();
        }
    }

    fn flatten(&self) {
        self.desk.0.borrow_mut().0.push_back(flatten(1, "a test").unwrap().1);
    }

    fn sent(&self) -> usize {
        self.book.borrow().sent.len()
    }
}

#[test]
fn what_was_ordered_closed_stays_so_when_the_adapter_is_killed() {
    let mut scene = Scene::new();
    scene.book.borrow_mut().answers = true;
    scene.start();
    scene.flatten();
    // No session is open yet: nothing can be closed.
    scene.turns(3);
    assert_eq!(scene.sent(), 0);
    scene.start();
    scene.open_session();
    scene.turns(2);
    assert_eq!(scene.sent(), 1);
    assert_eq!(scene.book.borrow().sent[0].approved.order().quantity, shares(-100));
    assert!(scene.adapter.as_mut().unwrap().status().unwrap().flattening);
    // Another adapter has other names: a broker takes each once.
    let first = scene.book.borrow().sent[0].id.clone();
    scene.start();
    scene.turns(2);
    assert_ne!(scene.book.borrow().sent.last().unwrap().id, first);
}

#[test]
fn a_close_without_an_answer_is_asked_about_and_not_sent_beside() {
    let mut scene = Scene::new();
    scene.open_session();
    scene.start();
    scene.turns(1);
    scene.flatten();
    scene.turns(4);
    assert_eq!(scene.sent(), 1, "it works, though nobody lists it");
    scene.book.borrow_mut().filled = true;
    // Positions are told late.
    scene.turns(1);
    assert_eq!(scene.sent(), 1);
    scene.book.borrow_mut().shown = true;
    scene.turns(4);
    assert_eq!(scene.sent(), 1);
    assert!(scene.adapter.as_mut().unwrap().status().unwrap().is_flat());
}

#[test]
fn an_account_that_is_not_told_is_said() {
    let mut scene = Scene::new();
    scene.book.borrow_mut().tells = false;
    scene.open_session();
    scene.start();
    scene.turns(2);
    let order = serde_json::json!({
        "id": 1, "instrument": 0, "quantity": "10", "kind": "market", "time_in_force": "day", "bracket": null,
        "group": null, "reduce_only": false,
    });
    let symbol = support::header(1, Money::ZERO).instruments[0].to_string();
    let sheet = serde_json::json!({ "id": "live-test-1", "symbol": symbol, "order": order });
    let request = serde_json::json!({ "v": 1, "epoch": 1, "n": 1, "ask": { "submit": [sheet] } });
    scene.desk.0.borrow_mut().0.push_back(request.to_string());
    scene.turns(1);
    let answer = scene.desk.0.borrow().1.last().unwrap().clone();
    assert!(answer.contains("does not know the account: the broker refused: positions are not told"), "{answer}");
    assert_eq!(scene.sent(), 0);
}
