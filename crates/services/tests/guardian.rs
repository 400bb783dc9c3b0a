//! The guardian when what it reads and writes fails: then least of all it may look away.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::Timestamp;
use ports::embedded::{FolderRecords, KeptFigures, KeptLines, KeptNotices, KeptQueue};
use ports::lines::{Held, Lines};
use ports::queue::Queue;
use ports::records::{Key, Put, Record, Records};
use ports::{Answer, CallError, Kind};
use serde_json::{Value, json};
use services::Here;
use services::guardian::{Patience, Ports, run};

/// Records that answer until they do not.
struct Failing {
    records: FolderRecords,
    gone: Arc<AtomicBool>,
}

impl Failing {
    fn there(&self) -> Answer<()> {
        if !self.gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (service, call, resource) = ("records", "any", "x".to_owned());
        Err(CallError { service, call, resource, kind: Kind::Denied, message: "no".to_owned() })
    }
}

impl Records for Failing {
    fn get(&self, key: &Key) -> Answer<Option<Record>> {
        self.there().and_then(|()| self.records.get(key))
    }

    fn put(&self, key: &Key, body: &Value, seen: u64) -> Answer<Put> {
        self.there().and_then(|()| self.records.put(key, body, seen))
    }

    fn keys(&self, partition: &str) -> Answer<Vec<Key>> {
        self.there().and_then(|()| self.records.keys(partition))
    }

    fn list(&self, partition: &str) -> Answer<Vec<(Key, Record)>> {
        self.there().and_then(|()| self.records.list(partition))
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(services::table::now_ms() * 1_000_000)
}

struct Scene {
    place: tempfile::TempDir,
    gone: Arc<AtomicBool>,
    table: Arc<KeptLines>,
    notices: KeptNotices,
    orders: KeptQueue,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let lake = place.path().join("lake");
        fs::create_dir_all(lake.join("models")).unwrap();
        fs::write(lake.join("models/x"), "").unwrap();
        let (gone, table) = (Arc::default(), Arc::default());
        Self { place, gone, table, notices: KeptNotices::default(), orders: KeptQueue::default() }
    }

    fn records(&self) -> Failing {
        Failing { records: FolderRecords(self.place.path().join("records")), gone: Arc::clone(&self.gone) }
    }

    /// What the runner shows of itself.
    fn live(&self, equity: &str, mode: &str) {
        let snapshot = json!({
            "session": "2024-01-03", "closed": false, "step": 1, "mode": mode, "disputed": false, "throttled": false,
            "trouble": null, "cash": equity, "equity": equity, "deposit": "100", "positions": [], "orders": [],
        });
        let body = json!({ "at": now(), "state": "trading", "snapshot": snapshot });
        let (records, key) = (self.records(), Key::new("live", "x"));
        let seen = records.get(&key).unwrap().map_or(0, |record| record.version);
        records.put(&key, &body, seen).unwrap();
    }

    /// Watches while something happens, at most ten seconds.
    fn watch(&self, patience: Patience, mut happens: impl FnMut(&Self) -> bool) {
        let stop = AtomicBool::new(false);
        let (records, figures) = (self.records(), KeptFigures::default());
        let records: &(dyn Records + Sync) = &records;
        std::thread::scope(|scope| {
            let guardian = scope.spawn(|| {
                let here = Here {
                    program: "guardian",
                    strategy: "x".to_owned(),
                    location: self.place.path().join("lake").to_str().unwrap().to_owned(),
                    records,
                    figures: &figures,
                    stop: &stop,
                    now,
                    log: &|_| {},
                    lease_ms: 1_000,
                    beaten: Cell::new(0),
                };
                let table: services::table::Table = Arc::clone(&self.table) as _;
                let owner = "guardian 1".to_owned();
                let ports = Ports { orders: &self.orders, table, notices: &self.notices, owner };
                run(&here, &ports, patience)
            });
            let begun = std::time::Instant::now();
            while !happens(self) {
                if begun.elapsed() > Duration::from_secs(10) {
                    stop.store(true, Ordering::Relaxed);
                    panic!("it does not come to that: {:?}", self.notices.take());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            stop.store(true, Ordering::Relaxed);
            guardian.join().unwrap().unwrap();
        });
    }

    fn control(&self) -> Value {
        let record = self.records().records.get(&Key::new("control", "x")).unwrap();
        record.map_or(json!([]), |record| record.body["entries"].clone())
    }
}

#[test]
fn records_that_cannot_be_reached_are_figures_that_are_missing() {
    let scene = Scene::new();
    // A runner that has the lease, and trades.
    let Held::Yes(lease) = scene.table.claim("x", "runner 1", 0, i64::MAX).unwrap() else { panic!() };
    scene.live("100", "normal");
    let mut told = Vec::new();
    scene.watch(Patience { stale_ms: 700, grace_ms: 700 }, |scene| {
        scene.gone.store(true, Ordering::Relaxed);
        told.extend(scene.notices.take());
        scene.table.lease("x").unwrap().is_some_and(|now| now.owner == "guardian 1" && now.epoch > lease.epoch)
            && !scene.orders.receive(0).unwrap().is_empty()
    });
    told.extend(scene.notices.take());
    let said = |words: &str| told.iter().filter(|(_, text)| text.contains(words)).count();
    assert_eq!(said("nothing was heard of the runner"), 1, "{told:?}");
    assert_eq!(said("its lease is taken"), 1, "{told:?}");
}

#[test]
fn a_loss_is_told_at_once_and_ordered_as_soon_as_that_can_be_written() {
    let scene = Scene::new();
    scene.table.claim("x", "runner 1", 0, i64::MAX).unwrap();
    scene.live("100", "normal");
    let mut told = Vec::new();
    let mut step = 0;
    scene.watch(Patience { stale_ms: 600_000, grace_ms: 600_000 }, |scene| {
        told.extend(scene.notices.take());
        match step {
            0 => {
                // It has seen 100.
                std::thread::sleep(Duration::from_millis(800));
                scene.live("94", "normal");
                step = 1;
            }
            1 if !told.is_empty() => step = 2,
            _ => {}
        }
        step == 2 && scene.control().as_array().is_some_and(|entries| entries.len() == 1)
    });
    let entry = &scene.control()[0];
    assert_eq!((&entry["mode"], &entry["by"]), (&json!("reduce_only"), &json!("guardian")));
    let words = entry["reason"].as_str().unwrap();
    assert!(words.contains("6.00 %") && told[0].1.contains(words), "{entry} {told:?}");
}
