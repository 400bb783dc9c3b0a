//! The guardian: watches a runner's heartbeat and equity from outside, orders it to stop when a limit is broken, and takes
//! over from one that does not obey.
//!
//! Figures that are missing break the limit. Taking over is to take the runner's lease away, so that it can write nothing
//! any more, and to have the broker adapter close everything under the new lease, so that it takes no more of the
//! runner's orders.

use algotrading::eod::control::{self, Entry};
use algotrading::eod::watch;
use anyhow::Result;
use domain::{Calendar, SessionDate, Timestamp};
use engine::{Mode, Record};
use ports::notices::Notices;
use ports::queue::Queue;
use serde_json::{Value, json};
use trading::Snapshot;
use trading::guardian::{Guardian, Ladders, Step};
use trading::remote::{Channel, flatten};

use crate::Here;
use crate::broker::{ACCOUNT, is_flat};
use crate::post::Post;
use crate::runner::LIVE;
use crate::table::Table;

/// What it works with.
pub struct Ports<'a> {
    /// Requests to the broker adapter.
    pub orders: &'a dyn Queue,
    /// The runner's journal.
    pub table: Table,
    /// Words to people.
    pub notices: &'a dyn Notices,
    /// A name that no other process has.
    pub owner: String,
}

impl std::fmt::Debug for Ports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// How patient it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Silence of a runner after which there are no figures.
    pub stale_ms: i64,
    /// Time to obey.
    pub grace_ms: i64,
}

/// A runner that said it stopped may be silent so many times as long: a new version is being started.
const STOPPED: i64 = 5;
/// How long nobody else may take the lease that was taken away.
pub(crate) const HOLD_MS: i64 = 60_000;

/// Whether the owner of a lease is a guardian, by its name.
#[must_use]
pub fn is_owner(owner: &str) -> bool {
    owner.starts_with("guardian ")
}

/// What a runner has said last.
struct Heard {
    at: Timestamp,
    stopped: bool,
    snapshot: Snapshot,
}

fn heard(body: &Value) -> Option<Heard> {
    Some(Heard {
        at: Timestamp::parse(body["at"].as_str()?).ok()?,
        stopped: body["state"] == "stopped",
        snapshot: serde_json::from_value(body["snapshot"].clone()).ok()?,
    })
}

struct Watch<'w, 'a> {
    here: &'w Here<'a>,
    ports: &'w Ports<'a>,
    patience: Patience,
    missing: Mode,
    judge: Guardian,
    /// Lines of the journal that were read.
    lines: u64,
    begun: i64,
    /// Since when something is in force that the runner does not obey.
    disobeyed: Option<i64>,
    taken_over: Option<i64>,
    flat_said: bool,
    told_missing: bool,
    /// The strictest that it wants and could not write down yet.
    pending: Option<Entry>,
}

/// Watches until it is told to stop.
///
/// # Errors
/// The limits make no sense.
pub fn run(here: &Here<'_>, ports: &Ports<'_>, patience: Patience) -> Result<()> {
    let limits = watch::limits_of(&here.lake()?, &here.strategy)?;
    let ladders = Ladders { daily_loss: limits.daily_loss, drawdown: limits.drawdown };
    let mut watch = Watch {
        here,
        ports,
        patience,
        missing: limits.missing,
        judge: Guardian::new(ladders),
        lines: 0,
        begun: here.now_ms(),
        disobeyed: None,
        taken_over: None,
        flat_said: false,
        told_missing: false,
        pending: None,
    };
    here.info("watches", json!({ "stale_ms": patience.stale_ms, "grace_ms": patience.grace_ms }));
    while !here.stopped() {
        here.beat();
        // A look that fails is no reason to look away.
        if let Err(error) = watch.look() {
            here.warn(format_args!("{error:#}"));
        }
        here.rest(500);
    }
    Ok(())
}

impl Watch<'_, '_> {
    fn look(&mut self) -> Result<()> {
        let now = self.here.now_ms();
        let body = self.here.shown(LIVE);
        let heard = body.as_ref().ok().and_then(|body| body.as_ref()).and_then(heard);
        let session = heard.as_ref().and_then(|heard| heard.snapshot.session);
        let session = session.unwrap_or_else(|| Calendar::nyse().date_of((self.here.now)()));
        let _ = self.history();
        let patience =
            self.patience.stale_ms * if heard.as_ref().is_some_and(|heard| heard.stopped) { STOPPED } else { 1 };
        let at = heard.as_ref().map_or(self.begun, |heard| heard.at.nanos() / 1_000_000);
        let fresh = now - at <= patience;
        if fresh {
            self.told_missing = false;
            if let Some(heard) = &heard
                && let Some(breach) = self.judge.judge(Some(heard.snapshot.equity))
            {
                self.act(breach.step, &breach.what, session);
            }
        } else if !self.told_missing && (heard.is_some() || body.is_err() || self.lines > 0) {
            let what = format!("nothing was heard of the runner for {} s", (now - at) / 1_000);
            self.act(Step::Control(self.missing), &what, session);
            self.told_missing = true;
        }
        // Whether that can be written down or not, it is enforced.
        let ordered = self.order();
        self.enforce(heard.filter(|_| fresh), session, now)?;
        ordered
    }

    /// Equity at each close, from the journal: the highest, and what the session began with.
    fn history(&mut self) -> Result<()> {
        loop {
            let lines = self.ports.table.read(&self.here.strategy, self.lines)?;
            let Some(last) = lines.last().map(|line| line.seq) else { return Ok(()) };
            for line in &lines {
                let Ok(entry) = serde_json::from_str::<journal::Entry>(&line.text) else { continue };
                for record in entry.records {
                    if let Record::Equity { cash, net, .. } = record
                        && let Ok(equity) = net.to_money().and_then(|net| cash.add(net))
                    {
                        let _ = self.judge.judge(Some(equity));
                        self.judge.opened(equity);
                        self.judge.forget();
                    }
                }
            }
            self.lines = last + 1;
        }
    }

    /// Tells people, and wants it to be so.
    fn act(&mut self, step: Step, what: &str, session: SessionDate) {
        self.here.say("WARN", what, json!({ "action": step.name(), "session": session }));
        if let Step::Control(mode) = step {
            self.want(mode, what, session);
        }
        self.tell(step.name(), &format!("Strategy {}, session {session}: {what}.", self.here.strategy));
    }

    fn want(&mut self, mode: Mode, reason: &str, from: SessionDate) {
        if self.pending.as_ref().is_none_or(|pending| pending.mode < mode) {
            let (by, at) = ("guardian".to_owned(), (self.here.now)());
            self.pending = Some(Entry { from, mode, reason: reason.to_owned(), by, at });
        }
    }

    /// Writes down what it wants; tries again at the next look.
    fn order(&mut self) -> Result<()> {
        if let Some(entry) = &self.pending {
            control::add(self.here.records, &self.here.strategy, entry, false)?;
            self.pending = None;
        }
        Ok(())
    }

    fn tell(&self, action: &str, text: &str) {
        let subject = format!("algotrading: {} of {}", action, self.here.strategy);
        if let Err(error) = self.ports.notices.publish(&subject, text) {
            self.here.warn(error);
        }
    }

    /// Takes over when what is in force is not obeyed.
    fn enforce(&mut self, heard: Option<Heard>, session: SessionDate, now: i64) -> Result<()> {
        // Where nobody can say so, nothing is flat.
        let account = self.here.shown(ACCOUNT).ok().flatten();
        let flat = account.as_ref().is_some_and(|account| is_flat(account, now));
        if let Some(since) = self.taken_over {
            if flat && !self.flat_said {
                self.here.info("everything is closed", json!({ "ms": now - since }));
                self.tell("flat", &format!("Strategy {}: everything is closed.", self.here.strategy));
                self.flat_said = true;
            }
            if now - since < HOLD_MS {
                return Ok(());
            }
        }
        let told = control::read(self.here.records, &self.here.strategy);
        let written = told.map_or(Mode::Normal, |told| control::mode(&told.entries, session));
        let wanted = self.pending.as_ref().map_or(Mode::Normal, |pending| pending.mode).max(written);
        let obeyed = heard.is_some_and(|heard| heard.snapshot.mode >= wanted);
        if wanted == Mode::Normal || obeyed || flat {
            self.disobeyed = None;
            return Ok(());
        }
        if now - *self.disobeyed.get_or_insert(now) < self.patience.grace_ms {
            return Ok(());
        }
        let what = format!("the runner did not obey {wanted} within {} s", self.patience.grace_ms / 1_000);
        self.here.say("WARN", &what, json!({ "action": "take_over" }));
        self.want(Mode::Flatten, &what, session);
        let ordered = self.order();
        let lease = self.ports.table.revoke(&self.here.strategy, &self.ports.owner, now, now + HOLD_MS)?;
        if let Some((id, text)) = flatten(lease.epoch, &what) {
            let sent = Post::one_way(self.ports.orders, &self.here.strategy).send(&id, &text);
            if let Err(trading::remote::SendError::NotSent(words)) = sent {
                // It is tried again at the next look.
                anyhow::bail!("the broker adapter cannot be told: {words}");
            }
        }
        (self.disobeyed, self.taken_over, self.flat_said) = (None, Some(now), false);
        self.tell(
            "take_over",
            &format!("Strategy {}: {what}; its lease is taken, and everything is being closed.", self.here.strategy),
        );
        ordered
    }
}
