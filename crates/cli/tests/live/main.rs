//! Paper and live accounts as a user meets them: real processes that are killed, asked, cut off and told nonsense.
#![allow(clippy::unwrap_used)]

mod kill;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use brokers::alpaca::Credentials;
use brokers::alpaca::server::{self, Floor, Handle};
use domain::{Calendar, Money, Symbol};
use engine::{Limits, Margin};
use serde_json::{Value, json};
use simulator::Costs;
use trading::feed::Text;
use trading::{Broker, PaperBroker};

const RUN: &str = "\
[data]
symbols = [\"IBM\", \"MSFT\"]
[strategy]
name = \"sma\"
fast = 3
slow = 8
size = 100
[costs]
commission_per_share = 0.005
slippage_bps = 2
";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("run.toml"), RUN).unwrap();
        place
    }

    /// With two symbols of the sample imported.
    fn with_lake() -> Self {
        let place = Self::new();
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample");
        place.done(&["data", "import", sample]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_algotrading"));
        command.args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars() {
            if ["ALGOTRADING_", "AWS_", "APCA_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", stderr(&done));
        String::from_utf8(done.stdout).unwrap()
    }

    /// It fails with one line that contains every one of `words`.
    fn fails(&self, arguments: &[&str], words: &[&str]) {
        let done = self.run(arguments);
        let said = stderr(&done);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {said}");
        let last = said.trim_end().lines().last().unwrap_or_default();
        assert!(last.starts_with("error: "), "{said}");
        for word in words {
            assert!(last.contains(word), "{arguments:?} should say `{word}`: {said}");
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn status(&self, account: &str) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path(&format!("trading/{account}/status.json"))).ok()?).ok()
    }
}

fn stderr(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end; gives what it said on standard error, and its exit code.
    fn ended(&mut self) -> (String, Option<i32>) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (said, self.0.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn paper_trades_what_was_backtested_and_its_journal_proves_and_replays_itself() {
    let place = Place::with_lake();
    place.done(&["backtest", "run.toml", "--out", "backtest"]);
    place.done(&["paper", "run.toml"]);
    for table in ["fills.csv", "trades.csv", "equity.csv"] {
        assert_eq!(place.read(&format!("backtest/{table}")), place.read(&format!("trading/paper-run/{table}")));
    }
    let proof: Value =
        serde_json::from_str(&place.done(&["journal", "verify", "trading/paper-run", "--json"])).unwrap();
    let hash = proof["sha256"].as_str().unwrap();
    let replayed = place.done(&["journal", "replay", "trading/paper-run"]);
    assert!(replayed.contains(hash), "{replayed}");
    place.done(&["journal", "replay", "backtest"]);
    place.done(&["report", "trading/paper-run"]);
    let shown = place.done(&["journal", "show", "trading/paper-run"]);
    assert!(shown.contains("filled 100 IBM at"), "{shown}");
    // Again: nothing is left to do, and nothing changes.
    let before = place.read("trading/paper-run/journal.jsonl");
    place.done(&["paper", "run.toml"]);
    assert_eq!(before, place.read("trading/paper-run/journal.jsonl"));
    // Later sessions go on where it was: as if it had never stopped.
    place.done(&["paper", "run.toml", "--set", "data.to=2008-06-30", "--out", "trading/short", "--name", "short"]);
    place.fails(
        &["paper", "run.toml", "--set", "strategy.fast=4", "--out", "trading/short", "--name", "short"],
        &["trading/short", "run file differs"],
    );
    place.fails(&["paper", "run.toml", "--out", "lake"], &["holds something that is no account"]);
}

#[test]
fn a_table_beside_the_run_file_is_found_from_wherever_the_account_is_looked_at() {
    let place = Place::with_lake();
    fs::create_dir_all(place.path("desk/elsewhere")).unwrap();
    fs::write(
        place.path("desk/table.toml"),
        "data.symbols = \"IBM\"\ndata.to = 2001-06-29\nstrategy = { name = \"targets\", file = \"wanted.csv\" }\n",
    )
    .unwrap();
    fs::write(place.path("desk/wanted.csv"), "dt,sym,target\n2000-02-01,IBM,100\n2001-02-01,IBM,0\n").unwrap();
    place.done(&["backtest", "desk/table.toml", "--out", "backtest"]);
    place.done(&["paper", "desk/table.toml"]);
    let lake = place.path("lake");
    for folder in ["", "desk/elsewhere"] {
        for (verb, run) in [
            (&["journal", "replay"][..], "backtest"),
            (&["journal", "replay"], "trading/paper-table"),
            (&["parity"], "trading/paper-table"),
        ] {
            let mut command = place.command(verb);
            command.arg(place.path(run)).arg("--lake").arg(&lake).current_dir(place.path(folder));
            let done = command.output().unwrap();
            assert!(done.status.success(), "{verb:?} {run} from `{folder}`: {}", stderr(&done));
        }
    }
    let shown = place.done(&["parity", "trading/paper-table"]);
    assert!(shown.contains("a difference of 0"), "{shown}");
}

/// What a vendor says later of the same days: the opens of 2001 and 2002 were the highs.
fn correct(place: &Place) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample/daily_adjusted_IBM.csv");
    let mut text = String::new();
    for line in fs::read_to_string(sample).unwrap().lines() {
        let mut cells: Vec<&str> = line.split(',').collect();
        if line.starts_with("2001-") || line.starts_with("2002-") {
            cells[1] = cells[2];
        }
        text += &(cells.join(",") + "\n");
    }
    fs::create_dir(place.path("corrected")).unwrap();
    fs::write(place.path("corrected/daily_adjusted_IBM.csv"), text).unwrap();
    place.done(&["data", "import", "corrected"]);
}

#[test]
fn with_a_vendors_correction_paper_has_the_fills_of_the_backtest_and_parity_says_that_data_differ() {
    let place = Place::with_lake();
    let parity = |account: &str| -> Value {
        serde_json::from_str(&place.done(&["parity", &format!("trading/{account}"), "--json"])).unwrap()
    };
    let money = |value: &Value| Money::parse(value.as_str().unwrap()).unwrap();
    let paper = |name: &str| {
        place.done(&["paper", "run.toml", "--set", "data.to=2003-06-30", "--name", name, "--lake", "lake"])
    };
    paper("before");
    assert_eq!(parity("paper-before")["items"], json!([]));
    correct(&place);
    paper("after");
    place.done(&["backtest", "run.toml", "--set", "data.to=2003-06-30", "--out", "backtest"]);
    for table in ["fills.csv", "trades.csv", "equity.csv"] {
        assert_eq!(place.read(&format!("backtest/{table}")), place.read(&format!("trading/paper-after/{table}")));
    }
    assert_ne!(place.read("backtest/fills.csv"), place.read("trading/paper-before/fills.csv"));
    place.done(&["journal", "replay", "trading/paper-after"]);
    assert_eq!(parity("paper-after")["items"], json!([]));
    // The account that traded before the correction was told other prices than the lake has now.
    let answer = parity("paper-before");
    let items = answer["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["cause"] == "data" || item["cause"] == "rounding"));
    let sum = items.iter().fold(Money::ZERO, |sum, item| sum.add(money(&item["amount"])).unwrap());
    assert_eq!(sum, money(&answer["difference"]));
    assert!(!sum.is_zero(), "{answer}");
    let last = place.read("backtest/equity.csv");
    let cells: Vec<&str> = last.lines().last().unwrap().split(',').collect();
    assert!(cells.contains(&answer["simulated"].as_str().unwrap()), "{cells:?} {answer}");
}

#[test]
fn a_journal_that_was_changed_or_cut_is_found() {
    let place = Place::with_lake();
    place.done(&["paper", "run.toml", "--set", "data.to=2001-06-29"]);
    let path = "trading/paper-run/journal.jsonl";
    let text = place.read(path);
    let lines: Vec<&str> = text.lines().collect();
    let verify = ["journal", "verify", "trading/paper-run"];
    let with = |lines: &[&str]| fs::write(place.path(path), lines.join("\n") + "\n").unwrap();

    let edited = text.replacen("\"quantity\":\"100\"", "\"quantity\":\"900\"", 1);
    assert_ne!(edited, text);
    fs::write(place.path(path), &edited).unwrap();
    place.fails(&verify, &["does not follow", "was changed"]);
    with(&[&lines[..50], &lines[51..]].concat());
    place.fails(&verify, &["line 51", "does not follow"]);
    with(&lines[..lines.len() - 1]);
    place.fails(&verify, &["ends with step", "the end was cut off"]);
    fs::write(place.path(path), &text[..text.len() - 10]).unwrap();
    place.fails(&verify, &["is cut off"]);
    // A chain that is whole, and another one.
    place.done(&["paper", "run.toml", "--set", "data.to=2001-06-29", "--set", "account.cash=99999", "--out", "other"]);
    fs::copy(place.path("other/journal.jsonl"), place.path(path)).unwrap();
    place.fails(&verify, &["was written anew"]);
    place.fails(&["paper", "run.toml", "--set", "data.to=2001-06-29"], &["has another step"]);
    fs::write(place.path(path), &text).unwrap();
    place.done(&verify);
    place.fails(&["journal", "verify", path, "--expect", "beef"], &["and not with beef"]);
    // What it was made from counts as well.
    let market = place.read("trading/paper-run/market.jsonl");
    let changed = market.replace("\"low\":\"", "\"low\":\"9");
    fs::write(place.path("trading/paper-run/market.jsonl"), changed).unwrap();
    let words = ["trading/paper-run/market.jsonl` was changed, or something else", "step", "came out otherwise"];
    place.fails(&["paper", "run.toml", "--set", "data.to=2001-06-29"], &words);
}

#[test]
fn killed_at_any_moment_a_paper_account_ends_with_the_same_journal() {
    let place = Place::with_lake();
    let arguments = |out: &str| ["paper", "run.toml", "--set", "data.to=2003-06-30", "--out", out].map(str::to_owned);
    let done = |arguments: &[String]| place.done(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    done(&arguments("undisturbed"));
    let wanted = place.read("undisturbed/journal.jsonl");
    let first = std::process::id();
    let mut seed = first;
    for attempt in 0..2 {
        let out = format!("disturbed-{attempt}");
        let mut kills = 0;
        loop {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wait = Duration::from_micros(u64::from(seed >> 8) % 250_000);
            let mut command = place.command(&[]);
            command.args(arguments(&out)).args(["--sessions-per-second", "1000"]);
            let mut running = Running::start(command);
            sleep(wait);
            match running.0.try_wait().unwrap() {
                Some(status) => {
                    assert!(status.success());
                    break;
                }
                None => running.kill(),
            }
            kills += 1;
            if kills > 25 {
                done(&arguments(&out));
                break;
            }
        }
        assert!(kills > 0);
        assert_eq!(place.read(&format!("{out}/journal.jsonl")), wanted, "after {kills} kills, seed {first}");
        place.done(&["journal", "verify", &out]);
    }
}

#[test]
fn a_person_stops_a_running_account_and_the_record_says_what_was_closed() {
    let place = Place::with_lake();
    let mut command = place.command(&["paper", "run.toml"]);
    command.args(["--sessions-per-second", "40"]);
    let mut running = Running::start(command);
    let holds =
        |status: &Value| status["positions"].as_array().unwrap().iter().any(|position| position["quantity"] != "0");
    until("a position", || place.status("paper-run").is_some_and(|status| holds(&status)));
    place.fails(&["paper", "run.toml"], &["another program writes the journal"]);
    let done = place.run(&["kill", "--strategy", "run", "--by", "alice", "--reason", "a test", "--json"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let killed: Value = serde_json::from_slice(&done.stdout).unwrap();
    let said: Vec<&str> =
        killed[0]["record"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
    assert!(said[1].starts_with("obeyed:") && said.iter().any(|said| said.starts_with("filled:")), "{said:?}");
    assert_eq!(said.last(), Some(&"flat, and nothing works"));
    let seconds = killed[0]["record"].as_array().unwrap().iter().map(|moment| moment["seconds"].as_f64().unwrap());
    assert!(seconds.collect::<Vec<_>>().is_sorted());
    // It stays flat, and after a crash too.
    let step = |place: &Place| place.status("paper-run").unwrap()["step"].as_u64().unwrap();
    let then = step(&place);
    until("later sessions", || step(&place) > then + 40);
    running.kill();
    let mut command = place.command(&["paper", "run.toml"]);
    command.args(["--sessions-per-second", "40"]);
    let mut running = Running::start(command);
    let then = step(&place);
    until("later sessions", || step(&place) > then + 40);
    let status = place.status("paper-run").unwrap();
    assert!(!holds(&status) && status["mode"] == "flatten", "{status}");
    let journal = place.read("trading/paper-run/journal.jsonl");
    assert_eq!(journal.matches("alice: a test (request ").count(), 1);
    // Only a person lets it go on.
    place.done(&["control", "normal", "--all", "--by", "bob", "--reason", "it was only a test"]);
    until("a position", || place.status("paper-run").is_some_and(|status| holds(&status)));
    running.kill();
    // Nobody trades it: the next one that does obeys first.
    let done = place.run(&["kill", "--all", "--by", "alice"]);
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    assert!(String::from_utf8_lossy(&done.stdout).contains("the next one that does obeys before anything else"));
    place.fails(&["kill", "--strategy", "nobody", "--by", "alice"], &["no account below `trading` is meant"]);
}

#[test]
fn the_page_stops_a_running_account_by_a_name_alone() {
    let place = Place::with_lake();
    let start = || {
        let mut command = place.command(&["paper", "run.toml", "--page", "127.0.0.1:0"]);
        command.args(["--sessions-per-second", "40"]);
        let mut running = Running::start(command);
        let mut said = BufReader::new(running.0.stderr.take().unwrap()).lines();
        let address = said.find_map(|line| line.unwrap().split_once("http://").map(|(_, rest)| rest.to_owned()));
        (running, address.unwrap(), said)
    };
    let (mut running, address, _said) = start();
    let (host, token) = address.split_once("/?token=").unwrap();
    let ask = |id: &str, wish: Value| {
        let body = json!({"id": id, "confirm": "FLATTEN", "wish": wish}).to_string();
        let mut stream = TcpStream::connect(host).unwrap();
        let head = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json");
        write!(
            stream,
            "POST /api/ask HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("wish-0001", json!({"ask": {"control": "flatten"}, "by": "Ann", "reason": ""}));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    until("the mode", || place.status("paper-run").is_some_and(|status| status["mode"] == "flatten"));
    let journal = place.read("trading/paper-run/journal.jsonl");
    assert_eq!(journal.matches("Ann: no reason given (request ").count(), 1);
    // Where nothing can be written, nothing is said to be asked; there is nothing to be read either, so that it goes on.
    let requests = place.path("trading/paper-run/requests.jsonl");
    fs::remove_file(&requests).unwrap();
    std::os::unix::fs::symlink("nowhere/requests.jsonl", &requests).unwrap();
    let answer = ask("wish-0002", json!({"ask": {"control": "normal"}, "by": "Ann", "reason": "over"}));
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("NOTHING WAS ASKED: cannot write"), "{answer}");
    // An open page survives a restart, unless others could read its token meanwhile.
    fs::remove_file(&requests).unwrap();
    for (mode, same) in [(0o600, true), (0o644, false)] {
        running.kill();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(place.path("trading/paper-run/page.token"), permissions).unwrap();
        let (again, address, _said) = start();
        running = again;
        assert_eq!(address.ends_with(token), same, "{mode:o}");
    }
}

#[test]
fn the_house_limits_hold_whatever_the_run_file_says() {
    let place = Place::with_lake();
    fs::write(place.path("limits.toml"), "version = 1\n[limits]\norder_quantity_max = 50\n").unwrap();
    place.done(&["paper", "run.toml", "--set", "data.to=2001-06-29", "--limits", "limits.toml"]);
    let shown = place.done(&["journal", "show", "trading/paper-run"]);
    assert!(shown.contains("it asks for 100 shares, and at most 50 are allowed"), "{shown}");
    assert!(!shown.contains("filled"));
    // A loss that the guardian does not let grow.
    let ladder = "version = 1\n[guardian]\ndaily_loss = { flatten = 0.0005 }\ndrawdown = {}\n";
    fs::write(place.path("limits.toml"), ladder).unwrap();
    place.done(&["paper", "run.toml", "--set", "data.to=2001-06-29", "--limits", "limits.toml", "--out", "guarded"]);
    let shown = place.done(&["journal", "show", "guarded"]);
    assert!(shown.contains("control: flatten") && shown.contains("[guardian: the session lost"), "{shown}");
    // A strategy that repeats itself waits for a person, also after a restart.
    fs::write(place.path("limits.toml"), "version = 1\n[limits]\nrepeated_executions_max = 5\n").unwrap();
    let arguments = ["paper", "run.toml", "--limits", "limits.toml", "--out", "trading/busy", "--name", "busy"];
    place.done(&[&arguments[..], &["--set", "data.to=2001-06-29"]].concat());
    let shown = place.done(&["journal", "show", "trading/busy"]);
    assert!(shown.contains("stopped after 5 executions without a person (5 are allowed)"), "{shown}");
    assert!(shown.contains("who must enable it again"), "{shown}");
    place.done(&["reenable", "--strategy", "busy", "--by", "carol", "--reason", "as it should be"]);
    place.done(&[&arguments[..], &["--set", "data.to=2001-06-29"]].concat());
    assert!(place.done(&["journal", "show", "trading/busy", "--last", "1"]).contains("enabled again; [carol"));
    for (text, word) in [
        ("[limits]", "it has no version"),
        ("version = 1\n[limits]\norder_qty_max = 1", "unknown field"),
        ("version = 9", "version 9"),
        ("version = 1\n[limits]\norder_notional_max = -5", "limits.order_notional_max is -5"),
    ] {
        fs::write(place.path("limits.toml"), text).unwrap();
        place.fails(&arguments, &["the limits file `limits.toml`", word]);
    }
}

#[test]
fn prices_from_anybody_are_held_against_the_calendar() {
    let place = Place::with_lake();
    for (text, word) in [
        ("{\"bar\": {}}", "line 1 of the feed"),
        ("{\"open\": \"2013-03-02\"}", "2013-03-02"),
        ("{\"close\": \"2013-03-04\"}", "begins in the middle"),
        ("", "ended before any session opened"),
        ("{\"open\": \"2013-03-04\"}\n{\"open\": \"2013-03-05\"}", "opens while 2013-03-04 is open"),
        (
            "{\"open\": \"2013-03-04\"}\n{\"price\": {\"sym\": \"IBM\", \"price\": \"0\", \"volume\": 1, \"at\": \"2013-03-04T15:00:00Z\"}}",
            "not above 0",
        ),
        (
            "{\"open\": \"2013-03-04\"}\n{\"price\": {\"sym\": \"IBM\", \"price\": \"9\", \"volume\": 1, \"at\": \"2013-03-04T05:00:00Z\"}}",
            "outside the session",
        ),
    ] {
        let _ = fs::remove_dir_all(place.path("trading"));
        fs::write(place.path("prices.jsonl"), text).unwrap();
        let arguments = ["paper", "run.toml", "--feed", "prices.jsonl"];
        if text.starts_with("{\"close") {
            place.fails(&arguments, &["no session is open"]);
        } else {
            place.fails(&arguments, &[word]);
        }
    }
}

#[test]
fn a_feed_that_is_told_again_from_its_beginning_changes_nothing() {
    let place = Place::with_lake();
    let mut lines = Vec::new();
    for (date, price) in [("2013-03-04", 300), ("2013-03-05", 320), ("2013-03-06", 310), ("2013-03-07", 330)] {
        lines.extend(session(date, price));
        let split = json!({ "split": { "sym": "IBM", "new": 2, "old": 1 } }).to_string();
        lines.insert(lines.len() - session(date, price).len() + 1, split);
    }
    fs::write(place.path("all.jsonl"), lines.join("\n") + "\n").unwrap();
    let paper = |feed: &str, out: &str| {
        let set = ["--set", "strategy.fast=1", "--set", "strategy.slow=2"];
        place.done(&[&["paper", "run.toml", "--feed", feed, "--out", out], &set[..]].concat())
    };
    paper("all.jsonl", "once");
    for cut in [3, 12, 14, 16, 19, 22, 25] {
        let out = format!("cut-{cut}");
        fs::write(place.path("part.jsonl"), lines[..cut].join("\n") + "\n").unwrap();
        paper("part.jsonl", &out);
        paper("all.jsonl", &out);
        assert_eq!(place.read(&format!("{out}/journal.jsonl")), place.read("once/journal.jsonl"), "cut at {cut}");
    }
    // A slip of the pen would make everything until then pass for told.
    fs::write(place.path("part.jsonl"), session("2029-01-03", 10).join("\n")).unwrap();
    let arguments = ["paper", "run.toml", "--feed", "part.jsonl", "--out", "later"];
    place.fails(&arguments, &["line 1 of the feed", "2029-01-03", "is to come by this machine's clock"]);
}

#[test]
fn a_feed_that_leaves_sessions_out_or_goes_back_is_told_of() {
    let place = Place::with_lake();
    let paper = |dates: &[&str]| {
        let lines: Vec<String> = dates.iter().flat_map(|date| session(date, 300)).collect();
        fs::write(place.path("prices.jsonl"), lines.join("\n") + "\n").unwrap();
        let done = place.run(&["paper", "run.toml", "--feed", "prices.jsonl"]);
        assert!(done.status.success());
        stderr(&done)
    };
    assert_eq!(paper(&["2013-03-01", "2013-03-04"]), "", "a weekend is no gap");
    let said = paper(&["2013-03-04", "2013-03-06"]);
    assert!(said.contains("begins with the session 2013-03-04") && said.contains("up to 2013-03-04"), "{said}");
    assert!(
        said.contains("warning: the feed leaves out the session 2013-03-05: line 11 goes on with 2013-03-06"),
        "{said}"
    );
    let said = paper(&["2013-03-08", "2013-03-07"]);
    assert!(said.contains("leaves out the session 2013-03-07: line 1 "), "{said}");
    assert!(said.contains("line 11 of the feed goes back from the session 2013-03-08 to 2013-03-07"), "{said}");
    let said = paper(&["2013-03-19"]);
    let named = "the sessions 2013-03-11, 2013-03-12, 2013-03-13, 2013-03-14, 1 more and 2013-03-18";
    assert!(said.contains(named), "{said}");
}

#[test]
fn a_kill_is_heard_whatever_became_of_earlier_requests() {
    let place = Place::with_lake();
    let start = || {
        let mut command = place.command(&["paper", "run.toml"]);
        command.args(["--sessions-per-second", "40"]);
        Running::start(command)
    };
    let mut running = start();
    let step = |place: &Place| place.status("paper-run").map_or(0, |status| status["step"].as_u64().unwrap());
    let mode = |place: &Place| place.status("paper-run").unwrap()["mode"].clone();
    until("sessions", || step(&place) > 40);
    let requests = place.path("trading/paper-run/requests.jsonl");
    let kill = || place.run(&["kill", "--all", "--by", "alice", "--wait", "20"]);
    let lift = || place.done(&["control", "normal", "--all", "--by", "bob", "--reason", "a test"]);
    for spoil in [
        (|path| fs::remove_file(path).unwrap()) as fn(&PathBuf),
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, b"{\"ask\": \xff\xfe nonsense").unwrap(),
        |path| {
            let text = fs::read(path).unwrap();
            fs::write(path, &text[..text.len() / 2]).unwrap();
        },
    ] {
        let done = kill();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        lift();
        until("a lifted mode", || mode(&place) == "normal");
        spoil(&requests);
    }
    assert!(kill().status.success());
    // And where nobody was there to hear it.
    lift();
    until("a lifted mode", || mode(&place) == "normal");
    running.kill();
    fs::remove_file(&requests).unwrap();
    kill();
    let mut running = start();
    until("the kill to be obeyed", || mode(&place) == "flatten");
    running.kill();
}

#[test]
fn one_damaged_account_stands_in_nobody_elses_way() {
    let place = Place::with_lake();
    for name in ["good", "bad", "lost", "zgood"] {
        place.done(&[
            "paper",
            "run.toml",
            "--set",
            "data.to=2001-06-29",
            "--out",
            &format!("trading/{name}"),
            "--name",
            name,
        ]);
    }
    fs::write(place.path("trading/bad/account.json"), "").unwrap();
    fs::create_dir_all(place.path("trading/fund/b")).unwrap();
    fs::rename(place.path("trading/good"), place.path("trading/fund/b/good")).unwrap();
    std::os::unix::fs::symlink("fund/b/good", place.path("trading/good")).unwrap();
    fs::remove_file(place.path("trading/lost/account.json")).unwrap();
    fs::write(place.path("trading/good/requests.jsonl"), b"\xff\xfe").unwrap();
    let done = place.run(&["kill", "--all", "--by", "alice", "--wait", "1"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(1));
    assert!(said.contains("is damaged") && said.contains("lost/account.json` is gone"), "{said}");
    for name in ["good", "bad", "lost", "zgood"] {
        let asked = fs::read(place.path(&format!("trading/{name}/requests.jsonl"))).unwrap();
        assert!(String::from_utf8_lossy(&asked).contains("flatten"), "{name}: {said}");
    }
    // It might be the one that is meant: that is said, and the one that is known is told.
    let done = place.run(&["control", "cancel", "--strategy", "zgood", "--by", "alice", "--reason", "a test"]);
    let said = stderr(&done);
    assert!(done.status.code() == Some(1) && said.contains("error: trading/bad: ") && said.contains("is damaged"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("zgood on paper: request ") && !said.contains("is damaged"), "{said}");
    assert!(place.read("trading/zgood/requests.jsonl").contains("cancel"), "{said}");
    place.fails(&["accept", "--all", "--by", "alice", "--reason", ""], &["a reason is needed"]);
}

#[test]
fn a_journal_that_lost_steps_is_not_gone_on_with() {
    let place = Place::with_lake();
    let arguments = ["paper", "run.toml", "--sessions-per-second", "200"];
    let mut running = Running::start(place.command(&arguments));
    until("sessions", || place.status("paper-run").is_some_and(|status| status["step"].as_u64().unwrap() > 300));
    running.kill();
    // Killed, and still its heads tell what there was.
    let journal = place.path("trading/paper-run/journal.jsonl");
    let heads = place.read("trading/paper-run/heads.jsonl");
    assert!(heads.lines().count() > 10, "{heads}");
    let whole = fs::read(&journal).unwrap();
    let text = String::from_utf8_lossy(&whole).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    for (damage, words) in [
        (lines[..200].join("\n") + "\n", "ends with step 199, and there was a step"),
        (String::new(), "has no step"),
        ("noise without an end".to_owned(), "has no step"),
        (text.replacen("\"volume\":", "\"volume\": ", 1), "came out otherwise"),
    ] {
        fs::write(&journal, &damage).unwrap();
        place.fails(&["paper", "run.toml"], &[words]);
        assert_eq!(fs::read(&journal).unwrap(), damage.as_bytes(), "what is left is not touched");
    }
    fs::remove_file(&journal).unwrap();
    place.fails(&["paper", "run.toml"], &["has no step"]);
    place.fails(&["journal", "replay", "trading/paper-run"], &["cannot use the journal"]);
    // Restored, it goes on.
    fs::write(&journal, &whole).unwrap();
    place.done(&["paper", "run.toml"]);
    place.done(&["journal", "verify", "trading/paper-run"]);
    // Without its market it hears that once more, and no head of a later step is forgotten.
    let market = place.read("trading/paper-run/market.jsonl");
    fs::remove_file(place.path("trading/paper-run/market.jsonl")).unwrap();
    place.done(&["paper", "run.toml"]);
    place.done(&["journal", "verify", "trading/paper-run"]);
    assert_eq!(place.read("trading/paper-run/market.jsonl").lines().count(), market.lines().count());
    // Every event of the market stands there once.
    let market = place.read("trading/paper-run/market.jsonl");
    let opened: Vec<&str> = market.lines().filter(|line| line.contains("opened")).collect();
    assert_eq!(opened.iter().collect::<std::collections::BTreeSet<_>>().len(), opened.len());
}

/// A session that goes up or down, as lines of a feed.
fn session(date: &str, price: i64) -> Vec<String> {
    let mut lines = vec![json!({ "open": date }).to_string()];
    for (minute, step) in [(31, 0), (40, 1), (50, 2)] {
        for symbol in ["IBM", "MSFT"] {
            let (price, at) = (format!("{}.5", price + step), format!("{date}T14:{minute}:00Z"));
            lines.push(json!({ "price": { "sym": symbol, "price": price, "volume": 5000, "at": at } }).to_string());
        }
    }
    for symbol in ["IBM", "MSFT"] {
        let (open, close) = (format!("{price}.5"), format!("{}.5", price + 2));
        let bar = json!({ "sym": symbol, "open": open, "high": close, "low": open, "close": close, "volume": 90000 });
        lines.push(json!({ "bar": bar }).to_string());
    }
    lines.push(json!({ "close": date }).to_string());
    lines
}

/// Alpaca, as far as the program can see.
struct Alpaca {
    handle: Handle<PaperBroker>,
    text: Text,
}

impl Alpaca {
    fn start() -> Self {
        let symbols = ["IBM", "MSFT"].map(|symbol| Symbol::new(symbol).unwrap());
        let cash = Money::parse("50000").unwrap();
        let broker = PaperBroker::new(Costs::default(), &symbols, cash);
        let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
        let floor = Floor::new(broker, &symbols, cash, Limits { margin, ..Limits::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handle = server::serve(listener, floor, Credentials::new("KEY", "verysecret").unwrap()).unwrap();
        Self { handle, text: Text::new(&symbols) }
    }

    fn tell(&mut self, line: &str) {
        if let Some(event) = self.text.read(Calendar::nyse(), line).unwrap() {
            self.handle.market(&event).unwrap();
        }
    }
}

fn live(place: &Place, alpaca: &Alpaca, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command
        .env("APCA_API_BASE_URL", format!("http://{}", alpaca.handle.address()))
        .env("APCA_API_KEY_ID", "KEY")
        .env("APCA_API_SECRET_KEY", "verysecret");
    command
}

#[test]
fn live_at_a_broker_survives_a_crash_and_is_closed_by_a_kill_while_nobody_trades() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    fs::write(place.path("limits.toml"), "version = 1\n[limits]\norder_quantity_max = 200\n").unwrap();
    let arguments =
        ["live", "run.toml", "--broker", "alpaca", "--limits", "limits.toml", "--feed", "-", "--silence", "4000000000"];
    place.fails(&arguments, &["--trade-real-money"]);
    let arguments = [&arguments[..], &["--trade-real-money"]].concat();
    place.fails(&arguments, &["APCA_API_KEY_ID is not set"]);
    let start = |alpaca: &Alpaca| {
        let mut command = live(&place, alpaca, &arguments);
        Running::start({
            command.stdin(Stdio::piped());
            command
        })
    };
    let dates = ["2013-03-04", "2013-03-05", "2013-03-06", "2013-03-07", "2013-03-08"];
    let account = "alpaca-run";
    let mut running = start(&alpaca);
    let tell = |running: &mut Running, line: &str| {
        let mut stdin = running.0.stdin.take().unwrap();
        writeln!(stdin, "{line}").unwrap();
        running.0.stdin = Some(stdin);
    };
    let status = |place: &Place| place.status(account).unwrap_or_default();
    let lines = session(dates[0], 300);
    alpaca.tell(&lines[0]);
    tell(&mut running, &lines[0]);
    // The account has other cash than the run file says: nothing is begun until somebody has accepted that.
    until("the books to be compared", || status(&place)["disputed"] == true);
    assert_eq!(status(&place)["cash"], "50000");
    place.done(&["accept", "--strategy", "run", "--by", "alice", "--reason", "the account has 50,000"]);
    until("the acceptance", || status(&place)["disputed"] == false);
    // Prices leap: the fast average crosses the slow one, and the strategy buys at the next open.
    let mut crashed = 0;
    for (n, date) in dates.iter().enumerate() {
        let lines = session(date, 300 + 20 * n as i64);
        for (at, line) in lines.iter().enumerate() {
            if n == 0 && at == 0 {
                continue;
            }
            alpaca.tell(line);
            tell(&mut running, line);
            if n == 1 && at == 1 {
                running.kill();
                crashed += 1;
                running = start(&alpaca);
                // A feed that comes back tells the day again.
                lines[..=at].iter().for_each(|line| tell(&mut running, line));
            }
        }
        until("the close", || status(&place)["session"] == *date && status(&place)["closed"] == true);
    }
    assert_eq!(crashed, 1);
    let positions = |place: &Place| {
        let status = status(place);
        status["positions"].as_array().unwrap().iter().map(|one| one["quantity"].as_str().unwrap().to_owned()).collect()
    };
    let ours: Vec<String> = positions(&place);
    let theirs: Vec<String> =
        alpaca.handle.look(|floor| floor.broker().book().positions().iter().map(ToString::to_string).collect());
    assert_eq!(ours, theirs);
    assert_eq!(ours, ["100", "0"], "{}", place.done(&["journal", "show", "trading/alpaca-run"]));
    let journal = place.read("trading/alpaca-run/journal.jsonl");
    assert_eq!(journal.matches("\"corrected\"").count(), 1, "only the cash at the start");
    running.kill();

    // Nobody trades it any more, and it is to be closed: the kill asks the broker itself.
    let mut kill = live(&place, &alpaca, &["kill", "--account", "alpaca", "--by", "alice", "--wait", "20"]);
    let killing = std::thread::spawn(move || kill.output().unwrap());
    let lines = session("2013-03-11", 400);
    alpaca.tell(&lines[0]);
    let mut told = 1;
    while !killing.is_finished() && told < 7 {
        sleep(Duration::from_millis(700));
        alpaca.tell(&lines[told]);
        told += 1;
    }
    let done = killing.join().unwrap();
    assert!(done.status.success(), "{} {}", String::from_utf8_lossy(&done.stdout), stderr(&done));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("filled: -100 IBM") && said.contains("flat, and nothing works"), "{said}");
    let flat = alpaca.handle.look(|floor| floor.broker().book().positions().iter().all(|position| position.is_zero()));
    assert!(flat);
    // Nothing of the keys is anywhere.
    for name in ["journal.jsonl", "account.json", "market.jsonl", "status.json", "requests.jsonl"] {
        let text = place.read(&format!("trading/alpaca-run/{name}"));
        assert!(!text.contains("verysecret") && !text.contains("KEY"), "{name}");
    }
    assert!(!stderr(&done).contains("verysecret") && !said.contains("verysecret"));
    alpaca.handle.look(|floor| assert!(floor.broker().working_ids().next().is_none()));
    place.done(&["journal", "verify", "trading/alpaca-run"]);
}

/// Tells broker and program of a session, and waits until the account has closed it.
fn day(place: &Place, running: &mut Running, alpaca: &mut Alpaca, account: &str, date: &str, price: i64) {
    for line in session(date, price) {
        alpaca.tell(&line);
        writeln!(running.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
    until("the close", || {
        place.status(account).is_some_and(|status| status["session"] == date && status["closed"] == true)
    });
}

/// A live account that has traded the first sessions of a broker's life, and nobody trades now.
fn traded(place: &Place, alpaca: &mut Alpaca, name: &str, prices: &[i64]) {
    if !place.path("limits.toml").exists() {
        fs::write(place.path("limits.toml"), "version = 1\n[limits]\norder_quantity_max = 400\n").unwrap();
    }
    let mut command = live(place, alpaca, &LIVE);
    command.args(["--name", name, "--set", "account.cash=50000"]).stdin(Stdio::piped());
    let mut running = Running::start(command);
    let account = format!("alpaca-{name}");
    let dates = ["2013-03-04", "2013-03-05", "2013-03-06", "2013-03-07", "2013-03-08"];
    for (price, date) in prices.iter().zip(dates) {
        day(place, &mut running, alpaca, &account, date, *price);
    }
    running.kill();
}

const LIVE: [&str; 12] = [
    "live",
    "run.toml",
    "--broker",
    "alpaca",
    "--limits",
    "limits.toml",
    "--feed",
    "-",
    "--silence",
    "4000000000",
    "--trade-real-money",
    "--json",
];

/// What the broker holds of IBM and MSFT.
fn held(alpaca: &Alpaca) -> Vec<String> {
    alpaca.handle.look(|floor| floor.broker().book().positions().iter().map(ToString::to_string).collect())
}

/// Names of all orders that ever came.
fn names(alpaca: &Alpaca) -> Vec<String> {
    let mut line = std::net::TcpStream::connect(alpaca.handle.address()).unwrap();
    let ask = "GET /v2/orders?status=all&limit=500 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
               apca-api-key-id: KEY\r\napca-api-secret-key: verysecret\r\n\r\n";
    line.write_all(ask.as_bytes()).unwrap();
    let answer = std::io::read_to_string(line).unwrap();
    let orders: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    orders.as_array().unwrap().iter().map(|order| order["client_order_id"].as_str().unwrap().to_owned()).collect()
}

/// Lets the market go on while a command runs.
fn meanwhile(alpaca: &mut Alpaca, mut command: Command, date: &str, price: i64) -> Output {
    let running = std::thread::spawn(move || command.output().unwrap());
    let lines = session(date, price);
    let mut lines = lines.iter().take(7);
    while !running.is_finished() {
        if let Some(line) = lines.next() {
            alpaca.tell(line);
        }
        sleep(Duration::from_millis(400));
    }
    running.join().unwrap()
}

#[test]
fn a_kill_closes_what_the_broker_holds_and_not_what_our_books_say() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    traded(&place, &mut alpaca, "run", &[300]);
    assert_eq!(held(&alpaca), ["0", "0"], "the first order waits for the next session");
    let kill = |alpaca: &Alpaca, wait: &str| live(&place, alpaca, &["kill", "--all", "--by", "alice", "--wait", wait]);
    let said = |done: &Output| String::from_utf8_lossy(&done.stdout).into_owned();
    // An order that waits is withdrawn, and nothing is opened.
    let done = kill(&alpaca, "20").output().unwrap();
    assert!(done.status.success(), "{} {}", said(&done), stderr(&done));
    assert_eq!(held(&alpaca), ["0", "0"], "{}", said(&done));
    assert!(said(&done).contains("an order ended, cancelled"), "{}", said(&done));

    // The broker has lost the position: nothing is sold.
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    traded(&place, &mut alpaca, "run", &[300, 320, 340]);
    assert_eq!(held(&alpaca)[0], "100");
    let mut other = Alpaca::start();
    let kill = |alpaca: &Alpaca, wait: &str| live(&place, alpaca, &["kill", "--all", "--by", "alice", "--wait", wait]);
    // That its heads are gone stops who would trade it, and not who closes it.
    fs::remove_file(place.path("trading/alpaca-run/heads.jsonl")).unwrap();
    let mut command = live(&place, &other, &LIVE);
    command.args(["--set", "account.cash=50000"]).stdin(Stdio::null());
    assert!(stderr(&command.output().unwrap()).contains("heads.jsonl` is gone or empty"));
    let command = kill(&other, "20");
    let done = meanwhile(&mut other, command, "2013-03-11", 400);
    assert!(done.status.success(), "{} {}", said(&done), stderr(&done));
    assert!(said(&done).contains("the broker's books counted: IBM: 100 here, 0 at the broker"), "{}", said(&done));
    let shown = place.done(&["journal", "show", "trading/alpaca-run"]);
    let words = "put right after the broker: IBM, 100 here and 0 at the broker, the difference valued at ";
    assert!(shown.contains(words), "{shown}");
    assert_eq!(held(&other), ["0", "0"], "{}", said(&done));
    let working = other.handle.look(|floor| floor.broker().working_ids().count());
    assert_eq!(working, 0);
}

#[test]
fn what_was_lost_before_a_restart_counts_after_it() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    let limits = "version = 1\n[guardian]\ndaily_loss = { flatten = 0.05 }\ndrawdown = {}\n";
    fs::write(place.path("limits.toml"), limits).unwrap();
    traded(&place, &mut alpaca, "run", &[300, 320, 340]);
    assert_eq!(held(&alpaca)[0], "100");
    let lines = session("2013-03-07", 328);
    // Neither fall is 5 % by itself.
    for (number, price, mode) in [(31, "328", "normal"), (32, "310", "flatten")] {
        let mut command = live(&place, &alpaca, &LIVE);
        command.args(["--name", "run", "--set", "account.cash=50000"]).stdin(Stdio::piped());
        let mut running = Running::start(command);
        let at = format!("2013-03-07T14:{number}:00Z");
        let fall = json!({ "price": { "sym": "IBM", "price": price, "volume": 5000, "at": at } }).to_string();
        for line in [&lines[0], &fall] {
            if number == 31 || line == &fall {
                alpaca.tell(line);
            }
            writeln!(running.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        }
        let priced = |status: &Value| {
            let mut positions = status["positions"].as_array().unwrap().iter();
            positions.any(|position| position["symbol"] == "IBM" && position["price"] == price)
        };
        until("the price", || place.status("alpaca-run").is_some_and(|status| priced(&status)));
        sleep(Duration::from_millis(300));
        assert_eq!(place.status("alpaca-run").unwrap()["mode"], mode);
        running.kill();
    }
}

#[test]
fn a_broker_that_is_not_reached_is_told_of_and_nothing_is_claimed() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    traded(&place, &mut alpaca, "run", &[300, 320, 340]);
    let kill = ["kill", "--all", "--by", "alice", "--wait", "3"];
    let mut command = live(&place, &alpaca, &kill);
    command.env("APCA_API_SECRET_KEY", "another");
    let wrong = command.output().unwrap();
    let mut command = live(&place, &alpaca, &kill);
    command.env("APCA_API_BASE_URL", "http://127.0.0.1:9");
    let down = command.output().unwrap();
    for done in [&wrong, &down] {
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("not flat: ") && !said.contains("obeyed"), "{said}");
        assert!(!said.contains("another") && !stderr(done).contains("another"));
    }
    assert!(String::from_utf8_lossy(&down.stdout).contains("Connection refused"), "{down:?}");
    // Reached again, it does what was asked for.
    let command = live(&place, &alpaca, &["kill", "--all", "--by", "bob", "--wait", "20"]);
    let done = meanwhile(&mut alpaca, command, "2013-03-11", 400);
    assert!(done.status.success(), "{} {}", String::from_utf8_lossy(&done.stdout), stderr(&done));
    assert_eq!(held(&alpaca), ["0", "0"]);
}

#[test]
fn another_folder_at_the_same_broker_never_takes_an_old_order_for_its_own() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    traded(&place, &mut alpaca, "run", &[300, 320, 340]);
    let first = names(&alpaca);
    fs::rename(place.path("trading"), place.path("earlier")).unwrap();
    let command = live(&place, &alpaca, &["kill", "--all", "--by", "a", "--root", "earlier", "--wait", "20"]);
    let done = meanwhile(&mut alpaca, command, "2013-03-07", 350);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let before = names(&alpaca).len();
    let mut later =
        Alpaca { handle: alpaca.handle, text: Text::new(&["IBM", "MSFT"].map(|name| Symbol::new(name).unwrap())) };
    let mut command = live(&place, &later, &LIVE);
    command.args(["--set", "account.cash=50000", "--cash-tolerance", "100000"]).stdin(Stdio::piped());
    let mut running = Running::start(command);
    for (date, price) in [("2013-03-08", 300), ("2013-03-11", 320)] {
        day(&place, &mut running, &mut later, "alpaca-run", date, price);
    }
    running.kill();
    let now = names(&later);
    assert!(now.len() > before, "{now:?}");
    // Every name of the first is there once; the second has others.
    let prefix = |id: &String| id.rsplit_once('-').unwrap().0.to_owned();
    let owners: std::collections::BTreeSet<String> = now.iter().map(prefix).collect();
    assert!(owners.len() >= 2 && first.iter().all(|id| now.contains(id)), "{now:?}");
}

#[test]
fn a_live_journal_replays_through_flat_and_an_early_acceptance_waits() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    fs::write(place.path("limits.toml"), "version = 1\n").unwrap();
    let mut command = live(&place, &alpaca, &LIVE);
    command.args(["--set", "account.cash=40000"]).stdin(Stdio::piped());
    let mut running = Running::start(command);
    let stays = |place: &Place| place.path("trading/alpaca-run/account.json").exists();
    until("the account", || stays(&place));
    place.done(&["accept", "--all", "--by", "alice", "--reason", "the account has 50,000"]);
    // It keeps nobody else waiting.
    for mode in ["cancel", "normal"] {
        place.done(&["control", mode, "--all", "--by", "alice", "--reason", "a test"]);
    }
    for (date, price) in
        [("2013-03-04", 300), ("2013-03-05", 320), ("2013-03-06", 340), ("2013-03-07", 200), ("2013-03-08", 190)]
    {
        day(&place, &mut running, &mut alpaca, "alpaca-run", date, price);
    }
    running.kill();
    let shown = place.done(&["journal", "show", "trading/alpaca-run"]);
    let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("`{words}` is not in {shown}"));
    assert!(at("put right after the broker: cash") < at("corrections accepted"), "{shown}");
    assert!(at("control: cancel") < at("control: normal") && at("control: normal") < at("corrections accepted"));
    assert!(shown.contains("filled 100 IBM") && shown.contains("filled -100 IBM"), "{shown}");
    assert!(shown.contains("put right after the broker: cash, 40000 here and 50000 at the broker"), "{shown}");
    // What a correction brings is explained.
    place.done(&["parity", "trading/alpaca-run"]);
    let replayed = place.done(&["journal", "replay", "trading/alpaca-run"]);
    assert!(replayed.contains("came out again"), "{replayed}");
    place.done(&["journal", "verify", "trading/alpaca-run"]);
}

#[test]
fn wrong_keys_and_no_keys_are_said_in_a_sentence() {
    let place = Place::with_lake();
    let alpaca = Alpaca::start();
    fs::write(place.path("limits.toml"), "version = 1\n").unwrap();
    fs::write(place.path("prices.jsonl"), session("2013-03-04", 300).join("\n")).unwrap();
    let arguments = [
        "live",
        "run.toml",
        "--broker",
        "alpaca",
        "--limits",
        "limits.toml",
        "--feed",
        "prices.jsonl",
        "--trade-real-money",
    ];
    let mut command = live(&place, &alpaca, &arguments);
    command.env("APCA_API_BASE_URL", "http://10.0.0.1");
    let done = command.output().unwrap();
    assert!(stderr(&done).contains("is not encrypted"), "{}", stderr(&done));
    let mut command = live(&place, &alpaca, &arguments);
    command.env("APCA_API_SECRET_KEY", "another");
    let done = command.output().unwrap();
    let said = stderr(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    for word in ["refuses the keys", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY", "APCA_API_BASE_URL"] {
        assert!(said.contains(word) && !said.contains("another"), "{said}");
    }
    assert!(!place.path("trading").exists());
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let place = Place::with_lake();
    fs::write(place.path("limits.toml"), "version = 1\n").unwrap();
    fs::write(place.path("prices.jsonl"), session("2013-03-04", 300).join("\n")).unwrap();
    let live = ["live", "run.toml", "--limits", "limits.toml", "--trade-real-money"];
    let fix = [&live[..], &["--broker", "fix", "--feed", "prices.jsonl"]].concat();
    let alpaca = [&live[..], &["--broker", "alpaca", "--feed", "prices.jsonl"]].concat();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let page = taken.local_addr().unwrap().to_string();
    let session = "sender = \"A\"\ntarget = \"B\"\nhost = \"127.0.0.1\"\nport = 9\ntls_roots = \"none.pem\"\n";
    for (arguments, word) in [
        (&fix[..], "cannot read the FIX session `fix.toml`"),
        (&alpaca, "APCA_API_KEY_ID is not set"),
        (&["paper", "run.toml", "--feed", "none.jsonl"], "cannot read the feed `none.jsonl`"),
        (&["paper", "run.toml", "--feed", "prices.jsonl", "--lake", "nowhere"], "nowhere"),
        (&["paper", "run.toml", "--lake", "nowhere"], "nowhere"),
        (&["paper", "run.toml", "--page", &page], "cannot listen on"),
    ] {
        place.fails(arguments, &[word]);
        assert!(!place.path("trading").exists(), "{arguments:?}");
    }
    fs::write(place.path("fix.toml"), session).unwrap();
    place.fails(&fix, &["none.pem"]);
    assert!(!place.path("trading").exists());
    // What an account began with is what counts, and is said.
    let paper = ["paper", "run.toml", "--set", "data.to=2001-06-29"];
    place.done(&paper);
    place.fails(&[&paper[..], &["--limits", "limits.toml"]].concat(), &["is an account whose limits differ;"]);
}

#[test]
fn books_that_were_never_compared_are_said_and_no_success() {
    let place = Place::with_lake();
    let alpaca = Alpaca::start();
    fs::write(place.path("limits.toml"), "version = 1\n").unwrap();
    let mut command = live(&place, &alpaca, &LIVE);
    command.env("APCA_API_BASE_URL", "http://127.0.0.1:9").stdin(Stdio::piped());
    let mut running = Running::start(command);
    let lines = session("2013-03-04", 300);
    let mut stdin = running.0.stdin.take().unwrap();
    lines[..3].iter().for_each(|line| writeln!(stdin, "{line}").unwrap());
    drop(stdin);
    let (said, status) = running.ended();
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("error: the books were never compared with the broker's since the program started"),
        "{said}"
    );
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn orders_that_work_when_the_program_ends_are_told() {
    let place = Place::with_lake();
    let mut alpaca = Alpaca::start();
    fs::write(place.path("limits.toml"), "version = 1\n").unwrap();
    let mut command = live(&place, &alpaca, &LIVE);
    command.args(["--set", "account.cash=50000"]).stdin(Stdio::piped());
    let mut running = Running::start(command);
    day(&place, &mut running, &mut alpaca, "alpaca-run", "2013-03-04", 300);
    drop(running.0.stdin.take());
    let (said, status) = running.ended();
    assert_eq!(status, Some(0), "{said}");
    let working = names(&alpaca);
    assert_eq!(working.len(), 1);
    for word in ["1 order still works at the broker", "buy 100 IBM at the market", &working[0], "kill --strategy run"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn the_broker_port_is_a_box_too() {
    // Programs hold brokers behind a pointer.
    let symbols = [Symbol::new("IBM").unwrap()];
    let mut broker: Box<dyn Broker + Send> = Box::new(PaperBroker::new(Costs::default(), &symbols, Money::ZERO));
    assert!(broker.account().unwrap().holdings.is_empty());
}

#[test]
fn parity_itemises_every_cent_between_an_account_and_the_simulator() {
    let place = Place::with_lake();
    let parity = |account: &str| -> Value {
        serde_json::from_str(&place.done(&["parity", &format!("trading/{account}"), "--json"])).unwrap()
    };
    let money = |value: &Value| Money::parse(value.as_str().unwrap()).unwrap();
    let adds_up = |answer: &Value| {
        let items = answer["items"].as_array().unwrap();
        let sum = items.iter().fold(Money::ZERO, |sum, item| sum.add(money(&item["amount"])).unwrap());
        assert_eq!(sum, money(&answer["difference"]), "{answer}");
        let apart = money(&answer["account"]).sub(money(&answer["simulated"])).unwrap();
        assert_eq!(apart, money(&answer["difference"]));
        let rounding = answer["by_cause"].get("rounding").map_or(Money::ZERO, money);
        assert!(rounding.abs() < Money::parse("0.01").unwrap(), "{answer}");
    };
    // Undisturbed, there is none.
    place.done(&["paper", "run.toml", "--set", "data.to=2003-06-30"]);
    let answer = parity("paper-run");
    assert_eq!((&answer["difference"], answer["items"].as_array().unwrap().len()), (&json!("0"), 0));
    // A guardian that the simulator does not have: orders that only one of them traded.
    fs::write(place.path("limits.toml"), "version = 1\n[guardian]\ndaily_loss = { flatten = 0.002 }\ndrawdown = {}\n")
        .unwrap();
    let limited = ["paper", "run.toml", "--set", "data.to=2003-06-30", "--limits", "limits.toml", "--name", "guarded"];
    place.done(&limited);
    let answer = parity("paper-guarded");
    adds_up(&answer);
    assert!(answer["by_cause"].get("order").is_some_and(|amount| amount != "0"), "{answer}");
    // Prices inside the session: the same orders, at other prices.
    let days = ["2013-03-04", "2013-03-05", "2013-03-06", "2013-03-07"];
    let lines: Vec<String> = days.iter().enumerate().flat_map(|(n, date)| session(date, 250 + 30 * n as i64)).collect();
    let moved: Vec<String> =
        lines.iter().map(|line| line.replace("\"price\":\"280.5\"", "\"price\":\"281.25\"")).collect();
    assert_ne!(lines, moved);
    fs::write(place.path("prices.jsonl"), moved.join("\n") + "\n").unwrap();
    place.done(&["paper", "run.toml", "--feed", "prices.jsonl", "--name", "ticks"]);
    let answer = parity("paper-ticks");
    adds_up(&answer);
    let fills = answer["by_cause"].get("fill").map(money);
    assert!(fills.is_some_and(|amount| amount.signum() < 0), "dearer than the bars' opens: {answer}");
    // The lake has no such sessions: that is a difference of data.
    assert!(answer["by_cause"].get("data").is_some(), "{answer}");
    place.fails(&["parity", "lake"], &["`lake` is no account"]);
    // A session that is still open is left out.
    let part = moved.iter().take(moved.len() - 4).cloned().collect::<Vec<_>>();
    fs::write(place.path("prices.jsonl"), part.join("\n") + "\n").unwrap();
    place.done(&["paper", "run.toml", "--feed", "prices.jsonl", "--name", "open"]);
    let answer = parity("paper-open");
    adds_up(&answer);
    assert_eq!(answer["open"], "2013-03-07");
    let text = place.done(&["parity", "trading/paper-open"]);
    assert!(text.contains("the session 2013-03-07 is still open, and left out"), "{text}");
}

#[test]
fn parity_holds_the_account_against_its_proofs_and_calls_nothing_rounding_that_is_none() {
    let place = Place::with_lake();
    place.done(&["paper", "run.toml", "--set", "data.to=2001-06-29"]);
    let parity = ["parity", "trading/paper-run"];
    place.done(&parity);
    let [journal, heads, market] =
        ["journal", "heads", "market"].map(|name| place.path(&format!("trading/paper-run/{name}.jsonl")));
    let text = fs::read_to_string(&journal).unwrap();
    let last = text.trim_end().lines().last().unwrap();
    let cash = last.rsplit_once("\"cash\":\"").unwrap().1.split('"').next().unwrap();
    let more = Money::parse(cash).unwrap().add(Money::parse("20000").unwrap()).unwrap();
    let edited = last.replace(&format!("\"cash\":\"{cash}\""), &format!("\"cash\":\"{more}\""));
    fs::write(&journal, text.replace(last, &edited)).unwrap();
    place.fails(&parity, &["is not the one that", "was written anew"]);
    // Somebody wrote the head anew as well.
    let heads_text = fs::read_to_string(&heads).unwrap();
    let hash = |line: &str| -> String {
        sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(line))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    assert!(heads_text.contains(&hash(last)));
    fs::write(&heads, heads_text.replace(&hash(last), &hash(&edited))).unwrap();
    let done = place.run(&parity);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("unexplained: 20000") && !said.contains("rounding"), "{said}");
    assert!(
        stderr(&done).starts_with("error: ") && stderr(&done).contains("a difference of 20000"),
        "{}",
        stderr(&done)
    );
    fs::write(&journal, &text).unwrap();
    fs::write(&heads, &heads_text).unwrap();
    place.done(&parity);
    // A market that is not what the journal was made from.
    let told = fs::read_to_string(&market).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let bar = lines.iter().position(|line| line.contains("\"bar\"") && line.contains("\"instrument\":0")).unwrap();
    fs::write(&market, [&lines[..bar], &lines[bar + 1..]].concat().join("\n") + "\n").unwrap();
    place.fails(&parity, &["market.jsonl` does not fit the journal", "the bar of IBM"]);
    fs::write(&market, told.replacen("\"volume\":", "\"volume\":1", 1)).unwrap();
    place.fails(&parity, &["does not fit the journal", "restore it from a copy"]);
}

#[test]
fn every_head_is_held_against_the_journal_and_none_may_be_missing() {
    let place = Place::with_lake();
    let paper = ["paper", "run.toml", "--set", "data.to=2001-06-29"];
    place.done(&paper);
    let verify = ["journal", "verify", "trading/paper-run"];
    let heads = place.path("trading/paper-run/heads.jsonl");
    let text = fs::read_to_string(&heads).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let middle = lines[lines.len() / 2];
    let digit = if middle.ends_with("0\"}") { "1\"}" } else { "0\"}" };
    let edited = format!("{}{digit}", &middle[..middle.len() - 3]);
    fs::write(&heads, text.replace(middle, &edited)).unwrap();
    place.fails(&paper, &["has another step", "than `heads.jsonl` beside it says"]);
    place.fails(&verify, &["is not the one that"]);
    // In another order they are nobody's.
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    fs::write(&heads, swapped.join("\n") + "\n").unwrap();
    for arguments in [&paper[..], &verify] {
        place.fails(arguments, &["heads.jsonl` was changed; restore it"]);
    }
    for gone in [true, false] {
        if gone {
            fs::remove_file(&heads).unwrap()
        } else {
            fs::write(&heads, "").unwrap()
        }
        for arguments in [&paper[..], &verify, &["parity", "trading/paper-run"]] {
            place.fails(arguments, &["heads.jsonl` is gone or empty", "closed sessions", "restore it from a copy"]);
        }
    }
    fs::write(&heads, &text).unwrap();
    place.done(&paper);
    place.done(&verify);
    // The words of both fit together where the last line is cut off.
    let journal = place.path("trading/paper-run/journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, &whole[..whole.len() - 10]).unwrap();
    let last = whole.split(|byte| *byte == b'\n').count() - 2;
    place.fails(&verify, &["is cut off", &format!("knows of step {last}"), "restore it from a copy"]);
    place.fails(&paper, &[&format!("and there was a step {last}"), "restore it from a copy"]);
    // One that no head knows of is mended.
    fs::write(&journal, [&whole[..], b"{\"seq\":"].concat()).unwrap();
    place.fails(&verify, &["is cut off", "an account mends it when it is started again"]);
    place.done(&paper);
    assert_eq!(fs::read(&journal).unwrap(), whole);
    // A journal of no account has none.
    place.done(&["backtest", "run.toml", "--set", "data.to=2001-06-29", "--out", "backtest"]);
    place.done(&["journal", "verify", "backtest"]);
}
