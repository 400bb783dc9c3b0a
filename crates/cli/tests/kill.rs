//! The kill switch when something about the account is not as it should be.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const RUN: &str = "\
[data]
symbols = [\"IBM\", \"MSFT\"]
[strategy]
name = \"sma\"
fast = 3
slow = 8
size = 100
";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("run.toml"), RUN).unwrap();
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample");
        assert!(place.run(&["data", "import", sample]).status.success());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_algotrading"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn kill(&self) -> (bool, String) {
        let done = self.run(&["kill", "--all", "--by", "alice", "--wait", "20"]);
        let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (done.status.success(), text)
    }

    fn status(&self) -> Value {
        let text = fs::read(self.path("trading/paper-run/status.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Trades on paper, slowly, until something is held.
    fn holding(&self) -> Running {
        let mut command = self.command(&["paper", "run.toml", "--sessions-per-second", "40"]);
        let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("a position", || self.holds());
        running
    }

    fn holds(&self) -> bool {
        let status = self.status();
        let positions = status["positions"].as_array();
        positions.is_some_and(|positions| positions.iter().any(|position| position["quantity"] != "0"))
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
fn what_an_account_holds_is_not_known_by_what_it_held_before_it_was_cut_off() {
    let place = Place::new();
    drop(place.holding());
    // As a fast replay leaves it that was killed: what stands there is from before.
    let mut status = place.status();
    status["step"] = json!(status["step"].as_u64().unwrap() - 1);
    for position in status["positions"].as_array_mut().unwrap() {
        position["quantity"] = json!("0");
    }
    status["orders"] = json!([]);
    fs::write(place.path("trading/paper-run/status.json"), status.to_string()).unwrap();
    let (flat, said) = place.kill();
    assert!(!flat && said.contains("what it holds is not known"), "{said}");
}

#[test]
fn an_account_that_never_traded_is_flat_and_asked_nothing() {
    let place = Place::new();
    assert!(place.run(&["paper", "run.toml"]).status.success());
    let account = place.path("trading/paper-run");
    let text = fs::read(account.join("account.json")).unwrap();
    fs::remove_dir_all(&account).unwrap();
    fs::create_dir(&account).unwrap();
    fs::write(account.join("account.json"), text).unwrap();
    let (flat, said) = place.kill();
    assert!(flat && said.contains("it has never traded"), "{said}");
    assert!(!account.join("requests.jsonl").exists());
    // What only says that it was never begun is another thing.
    fs::write(account.join("market.jsonl"), "{}\n").unwrap();
    assert!(!place.kill().0);
}

#[test]
fn requests_that_cannot_be_read_stop_the_strategy_and_not_the_program() {
    let place = Place::new();
    let mut running = place.holding();
    let requests = place.path("trading/paper-run/requests.jsonl");
    fs::create_dir(&requests).unwrap();
    until("nothing to be begun any more", || place.status()["mode"] == "cancel");
    assert!(running.0.try_wait().unwrap().is_none());
    fs::remove_dir(&requests).unwrap();
    let (flat, said) = place.kill();
    assert!(flat && said.contains("flat, and nothing works"), "{said}");
}

#[test]
fn whoever_may_read_the_folder_may_read_what_was_asked() {
    let place = Place::new();
    let mut running = place.holding();
    let script = format!("umask 077; exec '{}' kill --all --by alice", env!("CARGO_BIN_EXE_algotrading"));
    let done = Command::new("sh").args(["-c", &script]).current_dir(place.0.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let of = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o666;
    assert_eq!(of("trading/paper-run/requests.jsonl"), of("trading/paper-run"));
    assert!(running.0.try_wait().unwrap().is_none());
}

#[test]
fn of_a_damaged_account_it_is_said_what_to_restore() {
    let place = Place::new();
    assert!(place.run(&["paper", "run.toml"]).status.success());
    fs::write(place.path("trading/paper-run/account.json"), "{").unwrap();
    let done = place.run(&["kill", "--strategy", "run", "--by", "alice"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("account.json") && said.contains("--all means it too"), "{said}");
}
