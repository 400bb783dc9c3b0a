//! What whoever calls a port relies on, whatever stands behind it.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ports::Kind;
use ports::archive::Archive;
use ports::catalog::{Catalog, Table};
use ports::exchange::{Exchange, JobState};
use ports::figures::{Figure, Figures, Unit};
use ports::lines::{Held, Lease, Line, Lines};
use ports::notices::Notices;
use ports::objects::{Object, Objects};
use ports::queries::{Queries, QueryState, Rows};
use ports::queue::Queue;
use ports::records::{Key, Put, Record, Records};
use ports::stream::Stream;
use ports::tasks::{TaskRequest, Tasks};
use serde_json::{Value, json};

pub(crate) fn records(records: &(dyn Records + Sync)) {
    absent_records_are_none(records);
    a_write_needs_the_last_version(records);
    a_body_comes_back_as_it_was(records);
    a_list_is_in_order_and_of_one_partition(records);
    one_of_two_writers_wins(records);
    no_write_is_lost(records);
}

fn absent_records_are_none(records: &dyn Records) {
    let key = Key::new("absent", "record");
    assert_eq!(records.get(&key).unwrap(), None);
    assert_eq!(records.list("absent").unwrap(), []);
    assert_eq!(records.keys("absent").unwrap(), []);
    assert_eq!(records.put(&key, &json!(1), 1).unwrap(), Put::Conflict, "it is not there, so nobody has seen it");
    assert_eq!(records.get(&key).unwrap(), None);
}

fn a_write_needs_the_last_version(records: &dyn Records) {
    let key = Key::new("export#ds/1", "rev 1");
    assert_eq!(records.put(&key, &json!({ "n": 1 }), 0).unwrap(), Put::Stored);
    assert_eq!(records.put(&key, &json!({ "n": 9 }), 0).unwrap(), Put::Conflict);
    assert_eq!(records.get(&key).unwrap(), Some(Record { version: 1, body: json!({ "n": 1 }) }));
    assert_eq!(records.put(&key, &json!({ "n": 2 }), 1).unwrap(), Put::Stored);
    for seen in [0, 1, 3] {
        assert_eq!(records.put(&key, &json!({ "n": 2 }), seen).unwrap(), Put::Conflict, "seen {seen}");
    }
    assert_eq!(records.get(&key).unwrap(), Some(Record { version: 2, body: json!({ "n": 2 }) }));
}

fn a_body_comes_back_as_it_was(records: &dyn Records) {
    let body = json!({
        "price": 0.1, "tiny": 5e-324, "large": u64::MAX, "negative": i64::MIN, "none": null, "empty": "",
        "text": "é \"quoted\"\n", "list": [[], {}, true], "nested": { "b": 1, "a": 2 },
    });
    for (number, body) in [body, json!(null), json!([]), json!("")].into_iter().enumerate() {
        let key = Key::new("bodies", number.to_string());
        assert_eq!(records.put(&key, &body, 0).unwrap(), Put::Stored);
        assert_eq!(records.get(&key).unwrap(), Some(Record { version: 1, body }));
    }
}

fn a_list_is_in_order_and_of_one_partition(records: &dyn Records) {
    for sort in ["b", "10", "9", "a/c", "a", "é"] {
        assert_eq!(records.put(&Key::new("order", sort), &json!(sort), 0).unwrap(), Put::Stored);
    }
    records.put(&Key::new("order/a", "other"), &json!(0), 0).unwrap();
    records.put(&Key::new("order", "9"), &json!("nine"), 1).unwrap();
    let told = records.list("order").unwrap();
    let sorts: Vec<_> = told.iter().map(|(key, _)| key.sort.as_str()).collect();
    assert_eq!(sorts, ["10", "9", "a", "a/c", "b", "é"]);
    assert!(told.iter().all(|(key, _)| key.partition == "order"));
    assert_eq!(records.keys("order").unwrap(), told.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    assert_eq!(told[1].1, Record { version: 2, body: json!("nine") });
}

/// Both write the same: it is not by what stands there that one knows who wrote it.
fn one_of_two_writers_wins(records: &(dyn Records + Sync)) {
    for round in 0..8 {
        let (key, stored) = (Key::new("race", round.to_string()), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if records.put(&key, &json!("mine"), 0).unwrap() == Put::Stored {
                        stored.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(stored.into_inner(), 1, "round {round}");
    }
}

fn no_write_is_lost(records: &(dyn Records + Sync)) {
    const WRITERS: usize = 4;
    const WRITES: usize = 5;
    let key = Key::new("counter", "n");
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    loop {
                        let seen = records.get(&key).unwrap();
                        let (version, n) = seen.map_or((0, 0), |seen| (seen.version, seen.body.as_u64().unwrap()));
                        if records.put(&key, &json!(n + 1), version).unwrap() == Put::Stored {
                            break;
                        }
                    }
                }
            });
        }
    });
    let wrote = (WRITERS * WRITES) as u64;
    assert_eq!(records.get(&key).unwrap(), Some(Record { version: wrote, body: Value::from(wrote) }));
}

/// What the landing place holds before [`objects`] looks at it.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("ds/rev 1/b.csv", "date,close\n2013-03-01,1.5\n"),
    ("ds/rev 1/a.csv", "x"),
    ("ds/rev 1/deep/é+&.csv", "unusual name"),
    ("ds/rev 1/empty.csv", ""),
    ("ds/rev 10/c.csv", "another revision"),
];

pub(crate) fn objects(objects: &dyn Objects) {
    let listed = |folder: &str| objects.list(folder).unwrap();
    let known = |start: &str| {
        let mut files: Vec<Object> = FILES
            .iter()
            .filter(|(path, _)| path.starts_with(start))
            .map(|(path, text)| Object { path: (*path).into(), bytes: text.len() as u64 })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    };
    assert_eq!(listed("ds/rev 1"), known("ds/rev 1/"), "not those of `rev 10`");
    assert_eq!(listed(""), known(""));
    assert_eq!(listed("ds/rev 2"), []);

    let folder = tempfile::tempdir().unwrap();
    for (number, (path, text)) in FILES.iter().enumerate() {
        let to = folder.path().join(number.to_string());
        objects.download(path, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), *text, "{path}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES.len(), "nothing is left beside them");

    let to = folder.path().join("missing");
    assert_eq!(objects.download("ds/rev 1/none.csv", &to).unwrap_err().kind, Kind::NotFound);
    assert!(!to.exists());
}

/// Of a data set with revisions that have assets, and the landing place.
pub(crate) fn exchange(exchange: &dyn Exchange, landing: &dyn Objects, data_set: &str) {
    let revisions = exchange.revisions(data_set).unwrap();
    assert!(!revisions.is_empty());
    assert!(revisions.windows(2).all(|two| two[0].published_at <= two[1].published_at), "{revisions:?}");
    for revision in revisions {
        let job = exchange.create_export(data_set, &revision.id).unwrap();
        assert_eq!(exchange.job(&job).unwrap(), JobState::Waiting);
        exchange.start(&job).unwrap();
        let started = Instant::now();
        loop {
            match exchange.job(&job).unwrap() {
                JobState::Completed => break,
                JobState::Failed(reason) => panic!("{reason}"),
                JobState::Waiting | JobState::Running => {}
            }
            assert!(started.elapsed() < PATIENCE, "`{job}` does not end");
            thread::sleep(Duration::from_millis(50));
        }
        let folder = format!("{data_set}/{}", revision.id);
        assert!(!landing.list(&folder).unwrap().is_empty(), "`{folder}`");
    }
    assert_eq!(exchange.revisions("no such data set").unwrap_err().kind, Kind::NotFound);
    assert_eq!(exchange.create_export(data_set, "no such revision").unwrap_err().kind, Kind::NotFound);
}

pub(crate) fn notices(notices: &dyn Notices) {
    notices.publish("drawdown of sma", "equity fell\nby 12 %").unwrap();
    notices.publish(&"déjà\nvu ".repeat(40), &"é".repeat(200_000)).unwrap();
    notices.publish("", "no subject").unwrap();
    notices.publish("no text", "").unwrap();
}

pub(crate) fn figures(figures: &dyn Figures) {
    let figure =
        |value: f64, unit: Unit| Figure { name: "drawdown", value, unit, dimensions: vec![("strategy", "sma".into())] };
    let units = [Unit::Count, Unit::None, Unit::Percent, Unit::Bytes, Unit::Milliseconds];
    figures.put(&units.map(|unit| figure(-1.5, unit))).unwrap();
    figures.put(&[]).unwrap();
    figures.put(&vec![figure(2.0, Unit::None); 1001]).unwrap();
    for bad in [f64::NAN, f64::INFINITY] {
        assert_eq!(figures.put(&[figure(bad, Unit::None)]).unwrap_err().kind, Kind::Invalid);
    }
}

/// Of a catalogue with a table as given and a crawler that succeeds.
pub(crate) fn catalog(catalog: &dyn Catalog, database: &str, table: (&str, &Table), crawler: &str) {
    assert_eq!(catalog.table(database, table.0).unwrap().as_ref(), Some(table.1));
    assert_eq!(catalog.table(database, "no_such_table").unwrap(), None);
    assert_eq!(catalog.table("no_such_database", table.0).unwrap(), None);
    assert_eq!(catalog.crawl("no such crawler").unwrap_err().kind, Kind::NotFound);
    assert_eq!(catalog.crawler("no such crawler").unwrap_err().kind, Kind::NotFound);

    assert!(!catalog.crawler(crawler).unwrap().running);
    catalog.crawl(crawler).unwrap();
    catalog.crawl(crawler).unwrap();
    let started = Instant::now();
    while catalog.crawler(crawler).unwrap().running {
        assert!(started.elapsed() < PATIENCE, "the crawler does not end");
        thread::sleep(Duration::from_millis(50));
    }
    let (at, failure) = catalog.crawler(crawler).unwrap().last.unwrap();
    assert_eq!(failure, None);
    assert!(at.len() >= "2013-03-01T00:00:00Z".len() && at.ends_with('Z'), "{at}");
}

const PATIENCE: Duration = Duration::from_secs(60);

fn ended(queries: &dyn Queries, query: &str) -> QueryState {
    let started = Instant::now();
    loop {
        match queries.state(query).unwrap() {
            QueryState::Running => assert!(started.elapsed() < PATIENCE, "`{query}` does not end"),
            state => return state,
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Of any database.
pub(crate) fn queries(queries: &dyn Queries, token: &str) {
    let sql = "SELECT n, name FROM (VALUES (1, 'a'), (2, NULL), (3, ?)) AS t (n, name) ORDER BY n";
    let query = queries.start(sql, &["'c'".into()], token).unwrap();
    let again = queries.start(sql, &["'c'".into()], token).unwrap();
    assert_eq!(query, again, "the same token gives the same query");
    let state = ended(queries, &query);
    assert!(matches!(state, QueryState::Succeeded { .. }), "{state:?}");
    let text = |text: &str| Some(text.to_owned());
    let all = [vec![text("1"), text("a")], vec![text("2"), None], vec![text("3"), text("c")]];
    for most in [0, 1, 3, 10_000] {
        let rows = all[..most.min(3)].to_vec();
        let told = queries.rows(&query, most).unwrap();
        assert_eq!(told, Rows { columns: vec!["n".into(), "name".into()], rows, more: most < 3 });
    }

    let many = "SELECT n FROM UNNEST(sequence(1, 2500)) AS t (n) ORDER BY n";
    let query = queries.start(many, &[], &format!("{token} many")).unwrap();
    let state = ended(queries, &query);
    assert!(matches!(state, QueryState::Succeeded { .. }), "{state:?}");
    let told = queries.rows(&query, 2400).unwrap();
    assert_eq!((told.rows.len(), told.more), (2400, true));
    assert_eq!((&told.rows[0][0], &told.rows[2399][0]), (&text("1"), &text("2400")));
    assert_eq!(queries.rows(&query, 2500).unwrap().rows.len(), 2500);

    let bad = "SELECT no_such_column FROM no_such_table";
    match queries.start(bad, &[], &format!("{token} bad")) {
        Ok(query) => {
            let QueryState::Failed(reason) = ended(queries, &query) else { panic!("there is no such table") };
            assert!(!reason.is_empty());
        }
        Err(error) => assert_eq!(error.kind, Kind::Invalid, "{error}"),
    }
    let error = queries.state("00000000-0000-0000-0000-000000000000").unwrap_err();
    assert!(matches!(error.kind, Kind::Invalid | Kind::NotFound), "{error}");
}

/// Of a cluster with a definition; whether its container can run here is another matter.
pub(crate) fn tasks(tasks: &dyn Tasks, known: &str, token: &str) {
    let request = |name: &str| TaskRequest {
        name: name.into(),
        environment: vec![("SESSION".into(), "2013-03-01".into())],
        token: token.into(),
    };
    let task = tasks.start(&request(known)).unwrap();
    tasks.state(&task).unwrap();
    assert_eq!(tasks.start(&request("no-such-task")).unwrap_err().kind, Kind::NotFound);
    assert_eq!(tasks.state("0123456789abcdef0123456789abcdef").unwrap_err().kind, Kind::NotFound);
}

pub(crate) fn stream(stream: &dyn Stream) {
    assert_eq!(stream.read(None).unwrap(), []);
    let texts: Vec<String> = (0..1_200).map(|n| format!("é {n}")).collect();
    stream.put(&texts[..1]).unwrap();
    stream.put(&texts[1..]).unwrap();
    stream.put(&[]).unwrap();
    let (mut read, mut after) = (Vec::new(), None);
    let started = Instant::now();
    while read.len() < texts.len() {
        assert!(started.elapsed() < PATIENCE, "{} came", read.len());
        let entries = stream.read(after.as_deref()).unwrap();
        after = entries.last().map(|entry| entry.position.clone()).or(after);
        read.extend(entries.into_iter().map(|entry| entry.text));
    }
    assert_eq!(read, texts);
    assert_eq!(stream.read(after.as_deref()).unwrap(), []);
    // Another reader goes its own way, and so does one that comes back.
    assert_eq!(stream.read(None).unwrap()[0].text, texts[0]);
    let second = stream.read(None).unwrap()[1].position.clone();
    assert_eq!(stream.read(Some(&second)).unwrap()[0].text, texts[2]);
}

pub(crate) fn queue(queue: &dyn Queue, away: bool) {
    assert_eq!(queue.receive(0).unwrap(), []);
    for (id, text) in [("1", "one"), ("2", "two"), ("1", "one again"), ("3", "three é")] {
        queue.send("sma", id, text).unwrap();
    }
    let mut told = Vec::new();
    let started = Instant::now();
    while told.len() < 3 {
        assert!(started.elapsed() < PATIENCE, "{told:?}");
        for message in queue.receive(1).unwrap() {
            told.push(message.text);
            queue.delete(&message.receipt).unwrap();
        }
    }
    assert_eq!(told, ["one", "two", "three é"]);
    if away {
        // What is not deleted stays away, and all behind it in its group.
        queue.send("sma", "4", "four").unwrap();
        queue.send("sma", "5", "five").unwrap();
        assert_eq!(queue.receive(1).unwrap()[0].text, "four");
        assert!(queue.receive(0).unwrap().iter().all(|message| message.text != "four"));
    }
}

pub(crate) fn lines(lines: &(dyn Lines + Sync)) {
    let line = |seq: u64, text: &str| Line { seq, text: text.to_owned() };
    assert_eq!(lines.lease("sma").unwrap(), None);
    assert_eq!(lines.read("sma", 0).unwrap(), []);
    let Held::Yes(first) = lines.claim("sma", "a", 100, 200).unwrap() else { panic!("nobody has it") };
    assert_eq!((first.epoch, lines.lease("sma").unwrap().as_ref()), (1, Some(&first)));
    assert_eq!(lines.claim("sma", "b", 200, 300).unwrap(), Held::No(first.clone()));
    assert!(matches!(lines.claim("sma", "a", 110, 210).unwrap(), Held::Yes(lease) if lease.epoch == 1));
    assert_eq!(lines.claim("ema", "b", 100, 200).unwrap(), Held::Yes(Lease { owner: "b".into(), ..first.clone() }));

    let some: Vec<Line> = (0..250).map(|seq| line(seq, &format!("line {seq} é"))).collect();
    let renewed = Lease { until_ms: 400, seen_ms: 120, ..first.clone() };
    assert_eq!(lines.append("sma", &some, &renewed).unwrap(), Held::Yes(renewed.clone()));
    assert_eq!(lines.lease("sma").unwrap(), Some(renewed.clone()));
    assert_eq!(lines.append("sma", &[], &renewed).unwrap(), Held::Yes(renewed.clone()));
    let (mut read, mut from) = (Vec::new(), 0);
    loop {
        let page = lines.read("sma", from).unwrap();
        let Some(last) = page.last() else { break };
        from = last.seq + 1;
        read.extend(page);
    }
    assert_eq!(read, some);
    assert_eq!(lines.read("sma", 249).unwrap(), [line(249, "line 249 é")]);

    // A number that is taken: nothing of it is written, whoever writes.
    assert!(matches!(lines.append("sma", &[line(250, "x"), line(249, "y")], &renewed).unwrap(), Held::No(_)));
    assert_eq!(lines.read("sma", 250).unwrap(), []);

    // A lease that has ended goes to the next, and the one before is out.
    let Held::Yes(second) = lines.claim("sma", "b", 401, 500).unwrap() else { panic!("it has ended") };
    assert_eq!(second.epoch, 2);
    assert_eq!(lines.append("sma", &[line(250, "x")], &renewed).unwrap(), Held::No(second.clone()));
    assert!(matches!(lines.append("sma", &[line(250, "z")], &second).unwrap(), Held::Yes(_)));
    let guardian = lines.revoke("sma", "guardian", 450, 600).unwrap();
    assert_eq!((guardian.owner.as_str(), guardian.epoch), ("guardian", 3));
    assert_eq!(lines.append("sma", &[], &second).unwrap(), Held::No(guardian));

    // Of several that claim at once one has it.
    for round in 0..4 {
        let (journal, held) = (format!("race {round}"), AtomicUsize::new(0));
        thread::scope(|scope| {
            for owner in ["a", "b", "c", "d"] {
                let (journal, held) = (&journal, &held);
                scope.spawn(move || {
                    if matches!(lines.claim(journal, owner, 1, 100).unwrap(), Held::Yes(_)) {
                        held.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(held.into_inner(), 1, "round {round}");
    }
}

/// `read` tells what a file holds.
pub(crate) fn archive(archive: &dyn Archive, read: impl Fn(&str) -> Vec<u8>) {
    archive.keep("sma/run/a.jsonl", b"first".to_vec()).unwrap();
    archive.keep("sma/run/a.jsonl", b"second".to_vec()).unwrap();
    assert_eq!(read("sma/run/a.jsonl"), b"first");
    archive.keep("sma/run/empty", Vec::new()).unwrap();
    assert_eq!(read("sma/run/empty"), b"");
}
