//! What a person does about programs that are always on, from outside: says what a strategy may still do, stops it and
//! watches until everything is closed, accepts, enables again.
//!
//! All of it are entries of the control record, which the runner obeys and the guardian enforces; nothing here trades.
//! [`standing`] is how a strategy stands, [`kill`] stops it.

pub mod kill;
pub mod standing;

use algotrading::eod::control::{self, Control, Entry};
use algotrading::eod::{Trouble, What};
use algotrading::live::requests::{Ask, Request};
use anyhow::{Context, Result, anyhow, bail, ensure};
use domain::{Calendar, SessionDate, Timestamp};
use engine::Mode;
use lake::Lake;
use ports::Kind;
use ports::records::{Key, Records};
use serde_json::Value;
use trading::Snapshot;

use crate::broker::{is_heard, said_ms};
use crate::runner::LIVE;
use crate::table::Table;

/// What the account of a strategy is read from.
pub struct Around<'a> {
    /// What programs tell each other and people.
    pub records: &'a dyn Records,
    /// Name of the table of the records.
    pub place: String,
    /// The journals.
    pub table: Table,
    /// Where the lake is, if that is said.
    pub lake: Option<String>,
    /// The time.
    pub now: fn() -> Timestamp,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

/// How old the word of a runner that lives may be.
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

impl Around<'_> {
    fn now_ms(&self) -> i64 {
        (self.now)().nanos() / 1_000_000
    }

    /// What a program shows of itself.
    fn shown(&self, partition: &str, strategy: &str) -> Result<Option<Value>> {
        let key = Key::new(partition, strategy);
        match self.records.get(&key) {
            Ok(record) => Ok(record.map(|record| record.body)),
            Err(error) if error.kind == Kind::Damaged => Err(self.senseless(&key)),
            Err(error) => Err(error.into()),
        }
    }

    fn heard(&self, strategy: &str) -> Result<Option<Heard>> {
        let Some(body) = self.shown(LIVE, strategy)? else { return Ok(None) };
        Heard::of(&body).map(Some).ok_or_else(|| self.senseless(&Key::new(LIVE, strategy)))
    }

    /// How a record is taken away.
    fn delete(&self, key: &Key) -> String {
        format!("delete the item with pk `{}` and sk `{}` from the table {}", key.partition, key.sort, self.place)
    }

    /// Of a record that a program writes anew all the time.
    fn senseless(&self, key: &Key) -> anyhow::Error {
        anyhow!("the record {key} is damaged; {}: the program whose it is writes it anew", self.delete(key))
    }

    /// What a strategy was told.
    fn told(&self, strategy: &str) -> Result<Control> {
        control::read(self.records, strategy).map_err(|trouble| self.why(strategy, trouble))
    }

    /// Why a control record cannot be read or changed; of one that is damaged, what that does and what to do about it.
    fn why(&self, strategy: &str, trouble: Trouble) -> anyhow::Error {
        if trouble.what != What::BadRecord {
            return trouble.into();
        }
        let key = Key::new("control", strategy);
        anyhow!(
            "the record {key} is damaged: the runner trades nothing while it is, and the guardian closes everything after \
             its patience; {}, and at once order again what is to hold, because without it everything is allowed",
            self.delete(&key)
        )
    }

    fn silent_ms(&self, heard: &Heard) -> i64 {
        self.now_ms() - heard.at.nanos() / 1_000_000
    }

    /// Strategies that a runner has traded; or the one that is named.
    ///
    /// # Errors
    /// The records cannot be read, or nobody trades.
    pub fn strategies(&self, named: Option<&str>) -> Result<Vec<String>> {
        if let Some(name) = named {
            return Ok(vec![name.to_owned()]);
        }
        let all: Vec<String> = self.records.keys(LIVE)?.into_iter().map(|key| key.sort).collect();
        ensure!(!all.is_empty(), "no strategy is traded all day: the records have no `{LIVE}`");
        Ok(all)
    }

    /// Writes down what a person asks. A mode is in force from `from` on, or from the session that is traded now.
    ///
    /// # Errors
    /// Nobody trades the strategy, `from` is no session or one of the past, or the record cannot be written.
    pub fn say(&self, strategy: &str, request: &Request, from: Option<SessionDate>) -> Result<()> {
        let written = match request.ask {
            Ask::Control(mode) => {
                let from = match from {
                    Some(from) => self.checked(strategy, from)?,
                    None => self.session(strategy, mode == Mode::Flatten)?,
                };
                let Request { by, reason, at, .. } = request.clone();
                control::add(self.records, strategy, &Entry { from, mode, reason, by, at }, true).map(|_| ())
            }
            Ask::Accept | Ask::Reenable => {
                ensure!(self.heard(strategy)?.is_some(), "{}", nobody(strategy));
                control::request(self.records, strategy, request)
            }
        };
        written.map_err(|trouble| self.why(strategy, trouble))
    }

    /// A session from which on a strategy that is known may be told something.
    fn checked(&self, strategy: &str, from: SessionDate) -> Result<SessionDate> {
        let live = self.shown(LIVE, strategy)?;
        if live.is_none() {
            let nobody = nobody(strategy);
            let Some(lake) = &self.lake else {
                bail!("{nobody}; set LAKE, which has the strategies of the scheduled day")
            };
            let path = format!("strategies/{strategy}.toml");
            let known = Lake::open(lake)?.list("strategies")?.contains(&path);
            ensure!(known, "{nobody}, and the lake has no `{path}`");
        }
        Calendar::nyse().session(from).context("--from must be a session")?;
        if let Some(now) = live.as_ref().and_then(session_of) {
            ensure!(from >= now, "--from must not be before {now}, the session that is traded now");
        }
        Ok(from)
    }

    /// The session that is traded now. To stop, whatever the runner last left is enough; to go on, its word must be new,
    /// because an entry of an earlier session changes what scheduled runs of the past obey.
    fn session(&self, strategy: &str, stops: bool) -> Result<SessionDate> {
        let how = "for the scheduled day say with --from which session is the first, one not run yet";
        let today = || Calendar::nyse().date_of((self.now)());
        let body = match self.records.get(&Key::new(LIVE, strategy)) {
            Err(error) if stops && error.kind == Kind::Damaged => return Ok(today()),
            _ => self.shown(LIVE, strategy)?,
        };
        let Some(body) = body else { bail!("{}; {how}", nobody(strategy)) };
        let told = session_of(&body);
        if stops {
            return Ok(told.unwrap_or_else(today));
        }
        let at = body["at"].as_str().and_then(|text| Timestamp::parse(text).ok());
        let old = at.is_none_or(|at| self.now_ms() - at.nanos() / 1_000_000 > DAY_MS);
        ensure!(!old, "the runner of `{strategy}` was not heard of for a day; {how}");
        told.with_context(|| format!("the runner of `{strategy}` has not seen a session yet; {how}"))
    }
}

/// The session that a runner shows.
fn session_of(live: &Value) -> Option<SessionDate> {
    SessionDate::parse(live["snapshot"]["session"].as_str()?).ok()
}

/// The order that is in force at a session.
fn in_force(told: &Control, session: SessionDate) -> Option<&Entry> {
    told.entries.iter().rfind(|entry| entry.from <= session)
}

/// What is wrong with the broker adapter, by what it said last of the account.
fn amiss(account: &Value, now_ms: i64) -> Option<String> {
    let Some(said) = said_ms(account) else { return Some("nothing was heard of the broker adapter yet".to_owned()) };
    if !is_heard(account, now_ms) {
        return Some(last_heard(said, now_ms));
    }
    account["failed"].as_str().map(|why| format!("the broker adapter does not know the account: {why}"))
}

fn last_heard(said_ms: i64, now_ms: i64) -> String {
    format!("the broker adapter was last heard of {} s ago", (now_ms - said_ms) / 1_000)
}

fn nobody(strategy: &str) -> String {
    format!("nobody trades `{strategy}` all day: there is no record {LIVE}/{strategy}")
}
