//! What a person is told of programs that are always on when these do not do what they should, and what is written down.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use algotrading::live::requests::{Ask, Request, Wish};
use domain::{SessionDate, Timestamp};
use engine::Mode;
use ports::Answer;
use ports::embedded::{FolderRecords, KeptLines};
use ports::lines::{Held, Lease, Line, Lines};
use ports::records::{Key, Records};
use serde_json::{Value, json};
use services::operator::Around;
use services::operator::kill::Killed;
use services::operator::standing::{Runner, Standing};
use services::table::now_ms;

fn now() -> Timestamp {
    Timestamp::from_nanos(now_ms() * 1_000_000)
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((now_ms() - seconds * 1_000) * 1_000_000)
}

/// A journal that can be read slowly, and then not.
#[derive(Default)]
struct Slow {
    lines: KeptLines,
    slow: AtomicBool,
}

impl Lines for Slow {
    fn claim(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Held> {
        self.lines.claim(journal, owner, now_ms, until_ms)
    }

    fn revoke(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Lease> {
        self.lines.revoke(journal, owner, now_ms, until_ms)
    }

    fn lease(&self, journal: &str) -> Answer<Option<Lease>> {
        self.lines.lease(journal)
    }

    fn read(&self, journal: &str, from: u64) -> Answer<Vec<Line>> {
        if self.slow.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_secs(3));
        }
        self.lines.read(journal, from)
    }

    fn append(&self, journal: &str, lines: &[Line], lease: &Lease) -> Answer<Held> {
        self.lines.append(journal, lines, lease)
    }
}

struct Scene {
    place: tempfile::TempDir,
    records: FolderRecords,
    table: Arc<Slow>,
}

impl Scene {
    /// A runner and an adapter that live, of the strategy `x`.
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for folder in ["models", "strategies"] {
            fs::create_dir_all(place.path().join("lake").join(folder)).unwrap();
        }
        fs::write(place.path().join("lake/models/x"), "").unwrap();
        let scene = Self { records: FolderRecords(place.path().join("records")), place, table: Arc::default() };
        scene.table.claim("x", "strategy-runner 1", 0, i64::MAX).unwrap();
        scene.live("x", "normal", 1);
        scene.account(false, 1);
        scene
    }

    fn put(&self, partition: &str, strategy: &str, body: &Value) {
        let key = Key::new(partition, strategy);
        let seen = self.records.get(&key).unwrap().map_or(0, |record| record.version);
        self.records.put(&key, body, seen).unwrap();
    }

    fn damage(&self, partition: &str, strategy: &str) {
        let folder = self.place.path().join("records").join(partition).join(strategy);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{:020}.json", 99)), "{garbage").unwrap();
    }

    fn live(&self, strategy: &str, mode: &str, silent_s: i64) {
        let snapshot = json!({
            "session": "2024-01-03", "closed": false, "step": 5, "mode": mode, "disputed": false, "throttled": false,
            "trouble": null, "cash": "1", "equity": "1", "deposit": "1", "positions": [], "orders": [],
        });
        let body = json!({ "at": ago(silent_s), "state": "trading", "seq": 5, "snapshot": snapshot });
        self.put("live", strategy, &body);
    }

    fn account(&self, flattening: bool, silent_s: i64) {
        let status = json!({ "flattening": flattening });
        self.put("account", "x", &json!({ "flat": false, "status": status, "at": ago(silent_s), "every_ms": 15_000 }));
    }

    fn around(&self) -> Around<'_> {
        let lake = Some(self.place.path().join("lake").to_str().unwrap().to_owned());
        Around { records: &self.records, place: "the-table".to_owned(), table: Arc::clone(&self.table) as _, lake, now }
    }

    fn standing(&self) -> Standing {
        self.around().standing("x").unwrap()
    }

    fn say(&self, strategy: &str, mode: Mode, from: Option<&str>) -> Result<(), String> {
        let from = from.map(|from| SessionDate::parse(from).unwrap());
        self.around().say(strategy, &request(mode), from).map_err(|error| format!("{error:#}"))
    }

    fn kill(&self, wait: u64) -> Killed {
        let request = request(Mode::Flatten);
        self.around().kill(&["x".to_owned()], &request, Duration::from_secs(wait)).remove(0)
    }

    fn modes(&self, strategy: &str) -> Vec<Value> {
        let record = self.records.get(&Key::new("control", strategy)).unwrap();
        let entries = record.map_or(Vec::new(), |record| record.body["entries"].as_array().unwrap().clone());
        entries.into_iter().map(|entry| entry["mode"].clone()).collect()
    }
}

fn request(mode: Mode) -> Request {
    let (by, reason) = ("alice".to_owned(), "wrong prices".to_owned());
    Wish { ask: Ask::Control(mode), by, reason }.checked().unwrap().at(now())
}

fn words(killed: &Killed) -> String {
    killed.record.iter().map(|moment| moment.what.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_strategy_that_trades_as_ordered_has_nothing_in_its_way() {
    let standing = Scene::new().standing();
    assert_eq!((standing.runner, standing.obeyed), (Runner::Trading, true));
    assert_eq!(standing.in_the_way, Vec::<String>::new());
}

#[test]
fn who_is_silent_is_in_the_way() {
    let scene = Scene::new();
    scene.live("x", "normal", 51);
    scene.account(false, 40);
    let standing = scene.standing();
    assert_eq!((standing.runner, standing.silent_s, standing.broker_silent_s), (Runner::Silent, 51, Some(40)));
    let way = ["the runner was last heard of 51 s ago", "the broker adapter was last heard of 40 s ago"];
    assert_eq!(standing.in_the_way, way);
    let mut live = scene.records.get(&Key::new("live", "x")).unwrap().unwrap().body;
    live["state"] = json!("stopped");
    scene.put("live", "x", &live);
    assert_eq!(
        (scene.standing().runner, scene.standing().in_the_way[0].as_str()),
        (Runner::Stopped, "the runner stopped 51 s ago")
    );
}

#[test]
fn an_order_that_is_not_obeyed_is_in_the_way_with_who_gave_it() {
    let scene = Scene::new();
    scene.say("x", Mode::Flatten, None).unwrap();
    let standing = scene.standing();
    assert!(!standing.obeyed && standing.ordered.as_ref().is_some_and(|entry| entry.mode == Mode::Flatten));
    assert_eq!(standing.in_the_way, ["`flatten` is ordered by alice (wrong prices) and not obeyed yet"]);
    scene.live("x", "flatten", 1);
    assert!(scene.standing().obeyed && scene.standing().in_the_way.is_empty());
}

#[test]
fn a_guardian_that_took_over_is_in_the_way_and_does_what_was_ordered() {
    let scene = Scene::new();
    scene.say("x", Mode::Flatten, None).unwrap();
    scene.live("x", "normal", 28);
    scene.table.revoke("x", "guardian 7", now_ms(), now_ms() + 50_900).unwrap();
    let standing = scene.standing();
    assert_eq!((standing.runner, standing.obeyed), (Runner::TakenOver, false));
    let over = "the guardian has taken over from the runner (its lease ends in 50 s): what the runner showed 28 s ago is from \
                before";
    assert_eq!(standing.in_the_way, [over, "`flatten` is ordered by alice (wrong prices) and not obeyed yet"]);
    scene.account(true, 1);
    let standing = scene.standing();
    assert!(standing.obeyed && standing.broker_closes);
    assert_eq!(standing.in_the_way, [over]);
}

#[test]
fn a_damaged_control_record_is_told_with_what_it_does_and_what_to_do() {
    let scene = Scene::new();
    scene.damage("control", "x");
    let told = "the record control/x is damaged: the runner trades nothing while it is, and the guardian closes everything \
                after its patience; delete the item with pk `control` and sk `x` from the table the-table, and at once order \
                again what is to hold, because without it everything is allowed";
    assert_eq!(scene.say("x", Mode::Cancel, None).unwrap_err(), told);
    assert_eq!(words(&scene.kill(0)), format!("it could not be asked for: {told}"));
    let standing = scene.standing();
    assert_eq!(standing.control_failed.as_deref(), Some(told));
    let way = format!("the control record cannot be read, and the runner trades nothing: {told}");
    assert_eq!(standing.in_the_way, [way]);
    // One that is JSON, and yet no control record.
    let scene = Scene::new();
    scene.put("control", "x", &json!({ "entries": 1 }));
    assert_eq!(scene.say("x", Mode::Cancel, None).unwrap_err(), told);
}

#[test]
fn a_damaged_record_of_one_strategy_hides_no_other_and_does_not_keep_it_from_being_stopped() {
    let scene = Scene::new();
    scene.damage("live", "zzz");
    let all = scene.around().strategies(None).unwrap();
    assert_eq!(all, ["x", "zzz"]);
    assert_eq!(scene.standing().runner, Runner::Trading);
    let error = scene.around().standing("zzz").unwrap_err().to_string();
    assert!(
        error.starts_with("the record live/zzz is damaged; delete the item with pk `live` and sk `zzz`"),
        "{error}"
    );
    let killed = scene.around().kill(&all, &request(Mode::Flatten), Duration::ZERO);
    assert!(killed.iter().all(|one| one.record[0].what == "asked for"), "{killed:?}");
    assert_eq!((scene.modes("x"), scene.modes("zzz")), (vec![json!("flatten")], vec![json!("flatten")]));
}

#[test]
fn a_kill_says_that_it_is_the_broker_adapter_that_is_silent() {
    let scene = Scene::new();
    scene.account(false, 70);
    let told = words(&scene.kill(0));
    assert!(
        told.ends_with("not known to be flat; the broker adapter was last heard of 70 s ago, look whether it runs")
    );
    // It looked a moment ago, and yet before this was asked for.
    scene.account(false, 2);
    let told = words(&scene.kill(0));
    assert!(told.ends_with("the broker adapter was last heard of 2 s ago, look whether it runs"), "{told}");
    // Nor does one that lives and does not know make it the runner's fault.
    let body = json!({ "flat": false, "failed": "the line is down", "status": {}, "at": ago(-1), "every_ms": 15_000 });
    scene.put("account", "x", &body);
    let told = words(&scene.kill(0));
    assert!(told.contains("the broker adapter does not know the account: the line is down"), "{told}");
    assert!(scene.standing().in_the_way[0].contains("the line is down"));
    scene.account(false, -1);
    assert!(words(&scene.kill(0)).ends_with("the runner has not obeyed yet"));
}

#[test]
fn a_kill_that_somebody_lifts_says_so_and_ends() {
    let scene = Scene::new();
    let killed = thread::scope(|scope| {
        scope.spawn(|| {
            while scene.modes("x").is_empty() {
                thread::sleep(Duration::from_millis(10));
            }
            scene.say("x", Mode::Normal, None).unwrap();
        });
        scene.kill(20)
    });
    let told = words(&killed);
    let lifted = "not flat, and the mode is no longer flatten: alice has ordered normal (wrong prices)";
    assert!(told.ends_with(lifted) && !killed.flat, "{told}");
    assert!(killed.record.last().unwrap().seconds < 10.0);
}

#[test]
fn what_the_journal_had_before_a_kill_is_not_claimed_for_it() {
    for before in [0, 7, 2_500] {
        let scene = Scene::new();
        let lease = scene.table.lease("x").unwrap().unwrap();
        // The runner died before it showed the last lines, among them an earlier kill.
        let entry = |seq| match seq {
            seq if seq == 6 + before => json!({ "seq": seq, "event": { "control": "flatten" }, "commands": [] }),
            seq => json!({ "seq": seq, "event": "idle" }),
        };
        let mut line = |seq: u64| {
            let lines = [Line { seq, text: entry(seq).to_string() }];
            assert!(matches!(scene.table.append("x", &lines, &lease).unwrap(), Held::Yes(_)));
        };
        (0..=6 + before).for_each(&mut line);
        let told = words(&scene.kill(0));
        assert!(told.starts_with("asked for\n") && !told.contains("obeyed:"), "{told}");
    }
}

#[test]
fn a_journal_that_cannot_be_read_does_not_keep_a_kill_from_being_ordered() {
    let scene = Scene::new();
    scene.table.slow.store(true, Ordering::SeqCst);
    let killed = scene.kill(0);
    assert!(killed.record[0].what == "asked for" && killed.record[0].seconds < 2.0, "{killed:?}");
    assert!(words(&killed).contains("what the journal gains is not told here"), "{killed:?}");
    assert_eq!(scene.modes("x"), [json!("flatten")]);
}

#[test]
fn a_mode_from_a_session_on_wants_a_strategy_that_is_known_and_a_session_that_is_not_over() {
    let scene = Scene::new();
    let says = |strategy: &str, from: &str| scene.say(strategy, Mode::Normal, Some(from));
    let refused = |strategy: &str, from: &str, words: &str| {
        let error = says(strategy, from).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    refused(
        "nobody",
        "2024-01-04",
        "nobody trades `nobody` all day: there is no record live/nobody, and the lake has no",
    );
    refused("../x", "2024-01-04", "the lake has no `strategies/../x.toml`");
    refused("x", "2024-01-06", "--from must be a session: 2024-01-06 is not a trading session");
    refused("x", "2024-01-02", "--from must not be before 2024-01-03, the session that is traded now");
    assert!(["nobody", "../x", "x"].iter().all(|strategy| scene.modes(strategy).is_empty()));
    says("x", "2024-01-03").unwrap();
    // One of the scheduled day.
    fs::write(scene.place.path().join("lake/strategies/eod.toml"), "").unwrap();
    says("eod", "2024-01-02").unwrap();
    assert_eq!((scene.modes("x").len(), scene.modes("eod").len()), (1, 1));
}
