//! The broker adapter beside a broker elsewhere: what it says of the account, and when it does not know.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::Timestamp;
use ports::embedded::{FolderRecords, KeptFigures, KeptLines, KeptQueue, KeptStream};
use ports::records::{Key, Records};
use serde_json::{Value, json};
use services::Here;
use services::broker::{ACCOUNT, Ports, is_flat, is_heard, run};
use services::table::{Table, now_ms};
use trading::{Account, Broker, BrokerEvent, ClientOrderId, Failure, OrderStatus, Ticket};

/// Milliseconds that the programs' clock is ahead of the machine's.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn now() -> Timestamp {
    Timestamp::from_nanos((now_ms() + AHEAD.load(Ordering::SeqCst)) * 1_000_000)
}

#[derive(Default)]
struct Elsewhere {
    asked: AtomicU32,
    unreachable: AtomicBool,
    stopped: AtomicBool,
}

/// Holds nothing, and tells so.
struct Empty(Arc<Elsewhere>);

impl Broker for Empty {
    fn submit(&mut self, _: &[Ticket]) -> Result<(), Failure> {
        panic!("nobody trades")
    }

    fn cancel(&mut self, _: &ClientOrderId) -> Result<(), Failure> {
        panic!("nobody trades")
    }

    fn replace(&mut self, _: &ClientOrderId, _: &Ticket) -> Result<(), Failure> {
        panic!("nobody trades")
    }

    fn find(&mut self, _: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        Ok(None)
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        Ok(Vec::new())
    }

    fn account(&mut self) -> Result<Account, Failure> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.unreachable.load(Ordering::SeqCst) {
            return Err(Failure::NotSent("the line is down".to_owned()));
        }
        Ok(Account { cash: None, holdings: Vec::new() })
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        Vec::new()
    }

    fn stopped(&self) -> Option<String> {
        self.0.stopped.load(Ordering::SeqCst).then(|| "the session is stopped: numbers do not fit".to_owned())
    }
}

fn until(what: &str, stop: &AtomicBool, mut it_is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !it_is() {
        if begun.elapsed() > Duration::from_secs(20) || stop.load(Ordering::SeqCst) {
            stop.store(true, Ordering::SeqCst);
            panic!("it did not come to that: {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_said_of_an_account_has_a_time_and_who_knows_nothing_says_so() {
    let place = tempfile::tempdir().unwrap();
    let lake = place.path().join("lake");
    for folder in ["models", "strategies"] {
        fs::create_dir_all(lake.join(folder)).unwrap();
    }
    fs::write(lake.join("models/x"), "").unwrap();
    let text = "[data]\nsymbols = [\"IBM\"]\n[strategy]\nname = \"sma\"\nfast = 2\nslow = 3\nsize = 1\n";
    fs::write(lake.join("strategies/x.toml"), text).unwrap();
    let (records, figures) = (FolderRecords(place.path().join("records")), KeptFigures::default());
    let (elsewhere, stop, lines) =
        (Arc::<Elsewhere>::default(), AtomicBool::new(false), Mutex::new(Vec::<Value>::new()));
    let account = || records.get(&Key::new(ACCOUNT, "x")).unwrap().map_or(Value::Null, |record| record.body);
    let now_ms = || now().nanos() / 1_000_000;
    let later = || AHEAD.fetch_add(61_000, Ordering::SeqCst);

    std::thread::scope(|scope| {
        let adapter = scope.spawn(|| {
            let (orders, executions, stream) = (KeptQueue::default(), KeptQueue::default(), KeptStream::default());
            let here = Here {
                program: "broker-adapter",
                strategy: "x".to_owned(),
                location: lake.to_str().unwrap().to_owned(),
                records: &records,
                figures: &figures,
                stop: &stop,
                now,
                log: &|line| lines.lock().unwrap().push(line),
                lease_ms: 1 << 40,
                beaten: Cell::new(0),
            };
            let table: Table = Arc::new(KeptLines::default());
            let (orders, executions, stream, owner) = (&orders, &executions, &stream, "adapter 1".to_owned());
            let ports = Ports { orders, executions, stream, table, owner, beside: None };
            let ended = run(&here, &ports, "test", false, Empty(Arc::clone(&elsewhere)));
            // Nobody waits for one that has ended.
            stop.store(true, Ordering::SeqCst);
            ended.unwrap();
        });
        until("the account is told", &stop, || is_flat(&account(), now_ms()));
        assert!(!is_flat(&account(), now_ms() + 91_000), "an old word is no word");
        assert!(is_heard(&account(), now_ms() + 70_000) && !is_heard(&account(), now_ms() + 80_000));
        let said = account()["at"].clone();
        later();
        until("it is told anew though nothing changed", &stop, || account()["at"] != said);
        assert_eq!(figures.take().len(), 2);

        elsewhere.unreachable.store(true, Ordering::SeqCst);
        later();
        until("it is told that nobody knows", &stop, || account()["failed"].is_string());
        assert_eq!(account()["flat"], json!(false));
        assert!(account()["failed"].as_str().unwrap().contains("the line is down"), "{}", account());
        elsewhere.unreachable.store(false, Ordering::SeqCst);
        later();
        until("it is known again", &stop, || is_flat(&account(), now_ms()));

        elsewhere.stopped.store(true, Ordering::SeqCst);
        let errors = || {
            let lines = lines.lock().unwrap();
            lines.iter().filter(|line| line["level"] == "ERROR").cloned().collect::<Vec<_>>()
        };
        until("a broker that does not come back is said", &stop, || !errors().is_empty());
        assert!(!figures.take().is_empty());
        for _ in 0..2 {
            let asked = elsewhere.asked.load(Ordering::SeqCst);
            later();
            until("it goes on looking", &stop, || elsewhere.asked.load(Ordering::SeqCst) > asked);
        }
        assert_eq!(figures.take(), [], "it is of no use, and shows no life");
        assert_eq!(errors().len(), 1, "{:?}", errors());
        assert_eq!(errors()[0]["message"], "the session is stopped: numbers do not fit");
        stop.store(true, Ordering::SeqCst);
        adapter.join().unwrap();
    });
}
