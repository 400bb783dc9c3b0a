//! The terminal view on a terminal: `script` gives the example program one.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

fn example() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/trading_page");
    assert!(path.exists(), "build it first: cargo build -p algotrading --example trading_page");
    path
}

/// Runs a shell's line on a terminal of 100 columns and types, each text a while after the one before. Gives all that
/// the terminal was sent.
fn on_a_terminal(line: &str, typed: &[&str]) -> String {
    let line =
        format!("trap : INT; stty rows 30 cols 100; {}", line.replace("PROGRAM", &example().display().to_string()));
    let mut script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("`script` of util-linux gives the test a terminal");
    let mut keys = script.stdin.take().unwrap();
    for text in typed {
        std::thread::sleep(Duration::from_millis(1_200));
        keys.write_all(text.as_bytes()).unwrap();
    }
    let done = script.wait_with_output().unwrap();
    drop(keys);
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// The same, and the terminal is set afterwards as it was before.
fn around(line: &str, typed: &[&str]) -> String {
    let shown = on_a_terminal(&format!("stty -g; {line}; echo \"ended $?\"; stty -g"), typed);
    let before = shown.lines().next().unwrap();
    let after = shown.lines().last().unwrap();
    assert!(before.split(':').take(20).eq(after.split(':').take(20)), "{before} became {after}");
    shown
}

#[test]
fn the_word_flattens_and_the_terminal_is_given_back_when_the_program_ends() {
    let shown = around("PROGRAM terminal", &["kflatten\r", "kFLATTEN\r", "\x1a", "\x03"]);
    assert_eq!((shown.matches(ENTER).count(), shown.matches(LEAVE).count()), (1, 1));
    assert!(shown.contains("nothing was asked"), "{shown}");
    assert!(shown.contains("mode \x1b[1;33mflatten"), "{shown}");
    let (screen, after) = shown.split_once(LEAVE).unwrap();
    assert!(screen.contains("(somebody: from the terminal)"));
    assert!(after.contains("ended 0"), "Ctrl-Z does not stop the trading, Ctrl-C ends the program: {after:?}");
}

#[test]
fn leaving_the_view_goes_on_in_lines() {
    let shown = around("PROGRAM terminal", &["q", "", "\x03"]);
    let (_, after) = shown.split_once(LEAVE).unwrap();
    assert!(!after.contains(ENTER) && after.contains("ended 0"), "{after:?}");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let shown = around("PROGRAM terminal panic", &[]);
    let (screen, after) = shown.split_once(LEAVE).unwrap();
    assert!(screen.contains("equity"), "{screen}");
    assert!(after.contains("made up") && after.contains("ended 101"), "{after:?}");
}

#[test]
fn in_the_background_and_in_a_pipe_there_are_lines() {
    for line in ["PROGRAM terminal & sleep 2; kill -INT $!; wait $!", "timeout -s INT 2 PROGRAM terminal | cat"] {
        let shown = around(line, &[]);
        assert!(!shown.contains('\x1b'), "{shown:?}");
        assert!(shown.contains("Z fill: bought 25 AAPL at 186.38, fee 0.35"), "{shown}");
        assert!(shown.contains("Z refused: MSFT buy 50 at the market: its prices have been stale since "), "{shown}");
    }
}

#[test]
fn no_colours_where_they_are_not_wanted() {
    let shown = around("NO_COLOR=1 PROGRAM terminal", &["\x03"]);
    assert!(shown.contains(ENTER) && !shown.contains("\x1b[1m") && !shown.contains("\x1b[32m"), "{shown:?}");
}
