//! Orders strategies to close everything, and watches until they have.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use algotrading::live::kill::{Moment, obeyed, what_came};
use algotrading::live::requests::Request;
use anyhow::{Result, bail};
use domain::{Calendar, Symbol};
use engine::Mode;
use journal::Header;
use ports::Answer;
use serde::Serialize;
use serde_json::Value;

use super::{Around, FRESH_MS, Heard, amiss, in_force, last_heard, nobody};
use crate::broker::{ACCOUNT, is_flat, said_ms};
use crate::guardian;
use crate::runner::LIVE;
use crate::table::Table;

/// How long the ends of the journals are looked for, all together, before it is asked for.
const FIND: Duration = Duration::from_secs(1);

/// What became of a kill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Killed {
    /// Which strategy.
    pub strategy: String,
    /// Whether nothing works and nothing is held any more.
    pub flat: bool,
    /// Step by step.
    pub record: Vec<Moment>,
}

impl Around<'_> {
    /// Orders strategies to close everything, all before any is watched; then watches until they are flat or the time is
    /// over. What fails for one stands in nobody else's way.
    pub fn kill(&self, strategies: &[String], request: &Request, wait: Duration) -> Vec<Killed> {
        let begun = Instant::now();
        let ends: Vec<_> = strategies.iter().map(|strategy| self.end(strategy)).collect();
        let asked = strategies.iter().zip(ends);
        let mut asked: Vec<Asked> =
            asked.map(|(strategy, end)| Asked::ask(self, strategy, request, begun, &end)).collect();
        loop {
            let over = begun.elapsed() >= wait;
            for one in asked.iter_mut().filter(|one| !one.done) {
                one.look(self, over);
            }
            if over || asked.iter().all(|one| one.done) {
                break;
            }
            thread::sleep(Duration::from_millis(200));
        }
        asked.into_iter().map(|one| Killed { strategy: one.strategy, flat: one.flat, record: one.record }).collect()
    }

    /// Looks for the end of a journal without keeping anybody waiting.
    fn end(&self, strategy: &str) -> Receiver<Answer<u64>> {
        let live = self.shown(LIVE, strategy).ok().flatten();
        let from = live.and_then(|body| body["seq"].as_u64()).map_or(0, |seq| seq + 1);
        let (table, strategy) = (Arc::clone(&self.table), strategy.to_owned());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(end(&table, &strategy, from)));
        told
    }
}

/// The number after the last line of a journal whose lines before `from` are there; in a few looks, however long it is.
fn end(table: &Table, journal: &str, from: u64) -> Answer<u64> {
    let (mut there, mut probe, mut step, mut gone) = (from, from, 0, None);
    loop {
        match table.read(journal, probe)?.last() {
            Some(last) => there = last.seq + 1,
            None => gone = Some(probe),
        }
        probe = match gone {
            Some(gone) if gone <= there => return Ok(there),
            Some(gone) => there + (gone - there) / 2,
            None => there + step,
        };
        step = 2 * step + 1_000;
    }
}

/// What is to be seen of a strategy that was asked to stop.
enum Seen {
    Flat,
    /// Why it is not flat yet.
    Open(String),
    /// Somebody wants it otherwise.
    Lifted(String),
}

/// A strategy that was asked to stop.
struct Asked {
    strategy: String,
    begun: Instant,
    /// When it was asked for, in milliseconds since 1970.
    asked_ms: i64,
    symbols: Vec<Symbol>,
    /// Line of the journal to be read next, if it is known which came after this was asked for.
    next: Option<u64>,
    /// The step that obeyed.
    obeyed: Option<u64>,
    taken_over: bool,
    /// What failed last, so that it is said once.
    failed: String,
    flat: bool,
    done: bool,
    record: Vec<Moment>,
}

impl Asked {
    fn ask(
        around: &Around<'_>,
        strategy: &str,
        request: &Request,
        begun: Instant,
        end: &Receiver<Answer<u64>>,
    ) -> Self {
        // What the journal had before tells of earlier orders.
        let end = end.recv_timeout(FIND.saturating_sub(begun.elapsed()));
        let (symbols, record) = (Vec::new(), Vec::new());
        let mut this = Self {
            strategy: strategy.to_owned(),
            begun,
            asked_ms: request.at.nanos() / 1_000_000,
            symbols,
            next: end.as_ref().ok().and_then(|end| end.as_ref().ok()).copied(),
            obeyed: None,
            taken_over: false,
            failed: String::new(),
            flat: false,
            done: false,
            record,
        };
        // To stop comes first; what is needed to tell of it may fail.
        match around.say(strategy, request, None) {
            Ok(()) => this.tell("asked for".to_owned()),
            Err(error) => {
                this.tell(format!("it could not be asked for: {error:#}"));
                this.done = true;
                return this;
            }
        }
        match end {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => this.tell(format!("what the journal gains is not told here: {error}")),
            Err(_) => this.tell("what the journal gains is not told here: its end was not found in time".to_owned()),
        }
        let header = around.table.read(strategy, 0).ok().and_then(|lines| lines.into_iter().next());
        let header = header.and_then(|line| serde_json::from_str::<Header>(&line.text).ok());
        this.symbols = header.map_or_else(Vec::new, |header| header.instruments);
        this
    }

    fn tell(&mut self, what: String) {
        self.record.push(Moment { seconds: self.begun.elapsed().as_secs_f64(), what });
    }

    /// Looks once; `over` when it is the last time.
    fn look(&mut self, around: &Around<'_>, over: bool) {
        let seen = self.see(around);
        match seen {
            Ok(Seen::Flat) => {
                self.tell("flat, and nothing works".to_owned());
                (self.flat, self.done) = (true, true);
            }
            Ok(Seen::Lifted(how)) => {
                self.tell(how);
                self.done = true;
            }
            Ok(Seen::Open(why)) if over => self.tell(why),
            Ok(Seen::Open(_)) => {}
            Err(error) => {
                let text = format!("{error:#}");
                if over || text != self.failed {
                    self.tell(text.clone());
                }
                self.failed = text;
            }
        }
    }

    /// What there is to see.
    fn see(&mut self, around: &Around<'_>) -> Result<Seen> {
        self.read(around)?;
        let lease = around.table.lease(&self.strategy)?;
        let taken_over = lease.is_some_and(|lease| guardian::is_owner(&lease.owner));
        if taken_over != std::mem::replace(&mut self.taken_over, taken_over) {
            let what = if taken_over { "the guardian took over from the runner" } else { "a runner trades again" };
            self.tell(what.to_owned());
        }
        let now = around.now_ms();
        let account = around.shown(ACCOUNT, &self.strategy)?.unwrap_or_default();
        // What was looked at before the request says nothing of what came of it.
        let before = said_ms(&account).filter(|said| *said <= self.asked_ms);
        let empty = before.is_none() && is_flat(&account, now);
        let adapter = before.map(|said| last_heard(said, now)).or_else(|| amiss(&account, now));
        if self.taken_over {
            let closing = account["status"]["flattening"] == true;
            return Ok(match (closing, empty, adapter) {
                (true, true, _) => Seen::Flat,
                (.., Some(adapter)) => Seen::Open(format!("not known to be flat: {adapter}; look whether it runs")),
                (true, ..) => Seen::Open("not flat yet: the broker adapter goes on closing".to_owned()),
                (false, ..) => Seen::Open("not flat yet: the broker adapter has not begun to close".to_owned()),
            });
        }
        let Some(heard) = around.heard(&self.strategy)? else { bail!("{}", nobody(&self.strategy)) };
        let is_now = around.silent_ms(&heard) <= FRESH_MS;
        let follows =
            heard.snapshot.mode == Mode::Flatten && self.obeyed.is_none_or(|step| heard.snapshot.step >= step);
        if is_now && follows && heard.snapshot.is_flat() && empty {
            return Ok(Seen::Flat);
        }
        if let Some(how) = self.lifted(around, &heard)? {
            return Ok(Seen::Lifted(how));
        }
        let trouble = heard.snapshot.trouble.as_ref().map_or_else(String::new, |words| format!(": {words}"));
        let adapter_too =
            adapter.as_ref().map_or_else(String::new, |adapter| format!("; {adapter}, look whether it runs"));
        Ok(Seen::Open(match (is_now, adapter.is_some(), follows) {
            (false, ..) => format!(
                "not known to be flat: the runner was last heard of {} s ago; the guardian takes over from one that does \
                 not obey, look whether it runs{adapter_too}",
                around.silent_ms(&heard) / 1_000
            ),
            (true, true, _) => format!("not known to be flat{trouble}{adapter_too}"),
            (true, false, true) => format!("not flat yet{trouble}; the runner goes on closing"),
            (true, false, false) => format!("the runner has not obeyed yet{trouble}"),
        }))
    }

    /// How it comes that nobody is to close everything any more.
    fn lifted(&self, around: &Around<'_>, heard: &Heard) -> Result<Option<String>> {
        let session = heard.snapshot.session.unwrap_or_else(|| Calendar::nyse().date_of((around.now)()));
        let told = around.told(&self.strategy)?;
        Ok(match in_force(&told, session) {
            Some(entry) if entry.mode == Mode::Flatten => None,
            Some(entry) => Some(format!(
                "not flat, and the mode is no longer flatten: {} has ordered {} ({})",
                entry.by, entry.mode, entry.reason
            )),
            None => Some("not flat, and the mode is no longer flatten: the order was taken away".to_owned()),
        })
    }

    /// What the journal gained.
    fn read(&mut self, around: &Around<'_>) -> Result<()> {
        while let Some(next) = self.next {
            let lines = around.table.read(&self.strategy, next)?;
            let Some(last) = lines.last().map(|line| line.seq) else { break };
            for line in lines {
                let Ok(entry) = serde_json::from_str::<Value>(&line.text) else { continue };
                if self.obeyed.is_none() && entry["event"]["control"] == "flatten" {
                    self.obeyed = Some(line.seq);
                    self.tell(obeyed(&entry));
                } else if self.obeyed.is_some()
                    && let Some(text) = what_came(&entry, &self.symbols)
                {
                    self.tell(text);
                }
            }
            self.next = Some(last + 1);
        }
        Ok(())
    }
}
