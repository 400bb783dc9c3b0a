//! The kill switch when something about the account is not as it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Place, Running, stderr, until};

/// What a kill of everything comes to, and says.
fn kill(place: &Place) -> (bool, String) {
    let done = place.run(&["kill", "--all", "--by", "alice", "--wait", "20"]);
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &stderr(&done))
}

/// Trades on paper, slowly, until something is held.
fn holding(place: &Place) -> Running {
    let mut command = place.command(&["paper", "run.toml", "--sessions-per-second", "40"]);
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let holds = |status: Value| status["positions"].as_array().unwrap().iter().any(|one| one["quantity"] != "0");
    until("a position", || place.status("paper-run").is_some_and(holds));
    running
}

#[test]
fn what_an_account_holds_is_not_known_by_what_it_held_before_it_was_cut_off() {
    let place = Place::with_lake();
    drop(holding(&place));
    // As a fast replay leaves it that was killed: what stands there is from before.
    let mut status = place.status("paper-run").unwrap();
    status["step"] = json!(status["step"].as_u64().unwrap() - 1);
    for position in status["positions"].as_array_mut().unwrap() {
        position["quantity"] = json!("0");
    }
    status["orders"] = json!([]);
    fs::write(place.path("trading/paper-run/status.json"), status.to_string()).unwrap();
    let (flat, said) = kill(&place);
    assert!(!flat && said.contains("what it holds is not known"), "{said}");
}

#[test]
fn an_account_that_never_traded_is_flat_and_asked_nothing() {
    let place = Place::with_lake();
    place.done(&["paper", "run.toml"]);
    let account = place.path("trading/paper-run");
    let text = fs::read(account.join("account.json")).unwrap();
    fs::remove_dir_all(&account).unwrap();
    fs::create_dir(&account).unwrap();
    fs::write(account.join("account.json"), text).unwrap();
    let (flat, said) = kill(&place);
    assert!(flat && said.contains("it has never traded"), "{said}");
    assert!(!account.join("requests.jsonl").exists());
    // What only says that it was never begun is another thing.
    fs::write(account.join("market.jsonl"), "{}\n").unwrap();
    assert!(!kill(&place).0);
}

#[test]
fn requests_that_cannot_be_read_stop_the_strategy_and_not_the_program() {
    let place = Place::with_lake();
    let mut running = holding(&place);
    let requests = place.path("trading/paper-run/requests.jsonl");
    fs::create_dir(&requests).unwrap();
    until("nothing to be begun any more", || place.status("paper-run").unwrap()["mode"] == "cancel");
    assert!(running.0.try_wait().unwrap().is_none());
    fs::remove_dir(&requests).unwrap();
    let (flat, said) = kill(&place);
    assert!(flat && said.contains("flat, and nothing works"), "{said}");
}

#[test]
fn whoever_may_read_the_folder_may_read_what_was_asked() {
    let place = Place::with_lake();
    let mut running = holding(&place);
    let script = format!("umask 077; exec '{}' kill --all --by alice", env!("CARGO_BIN_EXE_algotrading"));
    let done = Command::new("sh").args(["-c", &script]).current_dir(place.0.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let of = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o666;
    assert_eq!(of("trading/paper-run/requests.jsonl"), of("trading/paper-run"));
    assert!(running.0.try_wait().unwrap().is_none());
}

#[test]
fn of_a_damaged_account_it_is_said_what_to_restore() {
    let place = Place::with_lake();
    place.done(&["paper", "run.toml"]);
    fs::write(place.path("trading/paper-run/account.json"), "{").unwrap();
    let done = place.run(&["kill", "--strategy", "run", "--by", "alice"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("account.json") && said.contains("--all means it too"), "{said}");
}
