//! What a person does about programs that are always on, from outside: says what a strategy may still do, stops it and
//! watches until everything is closed, accepts, enables again.
//!
//! All of it are entries of the control record, which the runner obeys and the guardian enforces; nothing here trades.

use std::thread;
use std::time::{Duration, Instant};

use algotrading::eod::control::{self, Entry};
use algotrading::live::kill::{Moment, obeyed, what_came};
use algotrading::live::requests::{Ask, Request};
use anyhow::{Context, Result, bail, ensure};
use domain::{Calendar, SessionDate, Symbol, Timestamp};
use engine::Mode;
use journal::Header;
use ports::records::{Key, Records};
use serde::Serialize;
use serde_json::Value;
use trading::Snapshot;

use crate::broker::{ACCOUNT, is_flat, said_ms};
use crate::runner::LIVE;
use crate::table::Table;

/// What the account of a strategy is read from.
pub struct Around<'a> {
    /// What programs tell each other and people.
    pub records: &'a dyn Records,
    /// The journals.
    pub table: Table,
    /// The time.
    pub now: fn() -> Timestamp,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

/// How old the word of a program that lives may be.
const FRESH_MS: i64 = 10_000;
/// How old it may be to say which session is traded.
const DAY_MS: i64 = 86_400_000;

/// What a runner last said of itself.
struct Heard {
    at: Timestamp,
    state: String,
    snapshot: Snapshot,
}

impl Heard {
    fn of(body: &Value) -> Option<Self> {
        Some(Self {
            at: Timestamp::parse(body["at"].as_str()?).ok()?,
            state: body["state"].as_str()?.to_owned(),
            snapshot: serde_json::from_value(body["snapshot"].clone()).ok()?,
        })
    }
}

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

/// How a strategy stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Which strategy.
    pub strategy: String,
    /// Seconds since its runner was heard of.
    pub silent_s: i64,
    /// What the runner said it does.
    pub state: String,
    /// Who writes the journal.
    pub writer: Option<String>,
    /// Positions, orders, mode.
    pub snapshot: Snapshot,
    /// Whether the broker adapter holds nothing and works nothing.
    pub broker_flat: Option<bool>,
}

impl Around<'_> {
    fn shown(&self, partition: &str, strategy: &str) -> Result<Option<Value>> {
        Ok(self.records.get(&Key::new(partition, strategy))?.map(|record| record.body))
    }

    fn heard(&self, strategy: &str) -> Result<Option<Heard>> {
        let Some(body) = self.shown(LIVE, strategy)? else { return Ok(None) };
        Heard::of(&body).map(Some).with_context(|| format!("the record {LIVE}/{strategy} makes no sense; look at it"))
    }

    fn silent_ms(&self, heard: &Heard) -> i64 {
        ((self.now)().nanos() - heard.at.nanos()) / 1_000_000
    }

    /// Strategies that a runner has traded; or the one that is named.
    ///
    /// # Errors
    /// The records cannot be read, or nobody trades.
    pub fn strategies(&self, named: Option<&str>) -> Result<Vec<String>> {
        if let Some(name) = named {
            return Ok(vec![name.to_owned()]);
        }
        let all: Vec<String> = self.records.list(LIVE)?.into_iter().map(|(key, _)| key.sort).collect();
        ensure!(!all.is_empty(), "no strategy is traded all day: the records have no `{LIVE}`");
        Ok(all)
    }

    /// How a strategy stands.
    ///
    /// # Errors
    /// The records cannot be read, or nobody trades it.
    pub fn standing(&self, strategy: &str) -> Result<Standing> {
        let Some(heard) = self.heard(strategy)? else { bail!("{}", nobody(strategy)) };
        let account = self.shown(ACCOUNT, strategy)?;
        let now = (self.now)().nanos() / 1_000_000;
        Ok(Standing {
            strategy: strategy.to_owned(),
            silent_s: self.silent_ms(&heard) / 1_000,
            state: heard.state,
            writer: self.table.lease(strategy)?.map(|lease| lease.owner),
            snapshot: heard.snapshot,
            broker_flat: account.map(|account| is_flat(&account, now)),
        })
    }

    /// Writes down what a person asks. A mode is in force from `from` on, or from the session that is traded now.
    ///
    /// # Errors
    /// Nobody trades the strategy and `from` is not said, or the record cannot be written.
    pub fn say(&self, strategy: &str, request: &Request, from: Option<SessionDate>) -> Result<()> {
        match request.ask {
            Ask::Control(mode) => {
                let from = match from {
                    Some(from) => from,
                    None => self.session(strategy, mode == Mode::Flatten)?,
                };
                let Request { by, reason, at, .. } = request.clone();
                control::add(self.records, strategy, &Entry { from, mode, reason, by, at }, true)?;
            }
            Ask::Accept | Ask::Reenable => {
                ensure!(self.heard(strategy)?.is_some(), "{}", nobody(strategy));
                control::request(self.records, strategy, request)?;
            }
        }
        Ok(())
    }

    /// The session that is traded now. To stop, whatever the runner last left is enough; to go on, its word must be new,
    /// because an entry of an earlier session changes what scheduled runs of the past obey.
    fn session(&self, strategy: &str, stops: bool) -> Result<SessionDate> {
        let how = "for the scheduled day say with --from which session is the first, one not run yet";
        let Some(body) = self.shown(LIVE, strategy)? else { bail!("{}; {how}", nobody(strategy)) };
        let told = body["snapshot"]["session"].as_str().and_then(|text| SessionDate::parse(text).ok());
        if stops {
            return Ok(told.unwrap_or_else(|| Calendar::nyse().date_of((self.now)())));
        }
        let at = body["at"].as_str().and_then(|text| Timestamp::parse(text).ok());
        let old = at.is_none_or(|at| ((self.now)().nanos() - at.nanos()) / 1_000_000 > DAY_MS);
        ensure!(!old, "the runner of `{strategy}` was not heard of for a day; {how}");
        told.with_context(|| format!("the runner of `{strategy}` has not seen a session yet; {how}"))
    }

    /// Orders strategies to close everything, all before any is watched; then watches until they are flat or the time is
    /// over. What fails for one stands in nobody else's way.
    pub fn kill(&self, strategies: &[String], request: &Request, wait: Duration) -> Vec<Killed> {
        let begun = Instant::now();
        let mut asked: Vec<Asked> =
            strategies.iter().map(|strategy| Asked::ask(self, strategy, request, begun)).collect();
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
}

fn nobody(strategy: &str) -> String {
    format!("nobody trades `{strategy}` all day: there is no record {LIVE}/{strategy}")
}

/// A strategy that was asked to stop.
struct Asked {
    strategy: String,
    begun: Instant,
    /// When it was asked for, in milliseconds since 1970.
    asked_ms: i64,
    symbols: Vec<Symbol>,
    /// Line of the journal to be read next.
    next: u64,
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
    fn ask(around: &Around<'_>, strategy: &str, request: &Request, begun: Instant) -> Self {
        let (symbols, record) = (Vec::new(), Vec::new());
        let mut this = Self {
            strategy: strategy.to_owned(),
            begun,
            asked_ms: request.at.nanos() / 1_000_000,
            symbols,
            next: 0,
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
            }
        }
        if let Ok(Some(body)) = around.shown(LIVE, strategy) {
            this.next = body["seq"].as_u64().map_or(0, |seq| seq + 1);
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
            Ok(None) => {
                self.tell("flat, and nothing works".to_owned());
                (self.flat, self.done) = (true, true);
            }
            Ok(Some(why)) if over => self.tell(why),
            Ok(Some(_)) => {}
            Err(error) => {
                let text = format!("{error:#}");
                if over || text != self.failed {
                    self.tell(text.clone());
                }
                self.failed = text;
            }
        }
    }

    /// What there is to see: why it is not flat, if it is not.
    fn see(&mut self, around: &Around<'_>) -> Result<Option<String>> {
        self.read(around)?;
        let lease = around.table.lease(&self.strategy)?;
        let taken_over = lease.is_some_and(|lease| lease.owner.starts_with("guardian "));
        if taken_over != std::mem::replace(&mut self.taken_over, taken_over) {
            let what = if taken_over { "the guardian took over from the runner" } else { "a runner trades again" };
            self.tell(what.to_owned());
        }
        let account = around.shown(ACCOUNT, &self.strategy)?.unwrap_or_default();
        // What was looked at before the request says nothing of what came of it.
        let new = said_ms(&account).is_some_and(|said| said > self.asked_ms);
        let empty = new && is_flat(&account, (around.now)().nanos() / 1_000_000);
        if !new && account["flat"] == true {
            return Ok(Some("not known yet: the broker adapter has not looked since; look whether it runs".to_owned()));
        }
        if self.taken_over {
            let closing = account["status"]["flattening"] == true;
            return Ok(match (closing, empty) {
                (true, true) => None,
                (true, false) => Some("not flat yet: the broker adapter goes on closing".to_owned()),
                (false, _) => {
                    Some("not flat yet: the broker adapter has not begun to close; look whether it runs".to_owned())
                }
            });
        }
        let Some(heard) = around.heard(&self.strategy)? else { bail!("{}", nobody(&self.strategy)) };
        let silent = around.silent_ms(&heard);
        if silent > FRESH_MS {
            return Ok(Some(format!(
                "not flat yet: the runner was last heard of {} s ago; the guardian takes over from one that does not obey, \
                 look whether it runs",
                silent / 1_000
            )));
        }
        let obeyed = heard.snapshot.mode == Mode::Flatten && self.obeyed.is_none_or(|step| heard.snapshot.step >= step);
        let trouble = heard.snapshot.trouble.as_ref().map_or_else(String::new, |words| format!(": {words}"));
        Ok(match (obeyed, heard.snapshot.is_flat() && empty) {
            (true, true) => None,
            (true, false) => Some(format!("not flat yet{trouble}; the runner goes on closing")),
            (false, _) => Some(format!("the runner has not obeyed yet{trouble}")),
        })
    }

    /// What the journal gained.
    fn read(&mut self, around: &Around<'_>) -> Result<()> {
        loop {
            let lines = around.table.read(&self.strategy, self.next)?;
            let Some(last) = lines.last().map(|line| line.seq) else { return Ok(()) };
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
            self.next = last + 1;
        }
    }
}
