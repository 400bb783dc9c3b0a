//! How a strategy stands, and what is in its way.

use algotrading::eod::control::Entry;
use anyhow::{Result, bail};
use domain::Calendar;
use engine::Mode;
use serde::Serialize;
use trading::Snapshot;

use super::{Around, FRESH_MS, Heard, amiss, in_force, nobody};
use crate::broker::{ACCOUNT, is_flat, said_ms};
use crate::guardian;

/// What a runner does, as far as that can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Runner {
    /// It trades.
    Trading,
    /// It said that it stopped.
    Stopped,
    /// It is not heard of.
    Silent,
    /// The guardian has taken its lease.
    TakenOver,
}

/// How a strategy stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Which strategy.
    pub strategy: String,
    /// What its runner does.
    pub runner: Runner,
    /// Seconds since its runner was heard of.
    pub silent_s: i64,
    /// Who writes the journal.
    pub writer: Option<String>,
    /// Positions, orders, mode, as the runner showed them when it was heard of.
    pub snapshot: Snapshot,
    /// Whether the broker adapter holds nothing and works nothing.
    pub broker_flat: Option<bool>,
    /// Whether the broker adapter closes everything on the guardian's behalf.
    pub broker_closes: bool,
    /// Seconds since the broker adapter was heard of.
    pub broker_silent_s: Option<i64>,
    /// The order that is in force.
    pub ordered: Option<Entry>,
    /// Whether it is obeyed.
    pub obeyed: bool,
    /// Why the control record cannot be read, if it cannot.
    pub control_failed: Option<String>,
    /// Everything that keeps it from trading as ordered, a sentence each.
    pub in_the_way: Vec<String>,
}

impl Around<'_> {
    /// How a strategy stands.
    ///
    /// # Errors
    /// What its programs show cannot be read, or nobody trades it.
    pub fn standing(&self, strategy: &str) -> Result<Standing> {
        let Some(heard) = self.heard(strategy)? else { bail!("{}", nobody(strategy)) };
        let account = self.shown(ACCOUNT, strategy)?;
        let lease = self.table.lease(strategy)?;
        let (told, control_failed) = match self.told(strategy) {
            Ok(told) => (told, None),
            Err(error) => (Default::default(), Some(format!("{error:#}"))),
        };
        let now = self.now_ms();
        let silent_ms = self.silent_ms(&heard);
        let Heard { state, snapshot, .. } = heard;
        let taken_over = lease.as_ref().filter(|lease| guardian::is_owner(&lease.owner));
        let runner = match () {
            () if taken_over.is_some() => Runner::TakenOver,
            () if state == "stopped" => Runner::Stopped,
            () if silent_ms > FRESH_MS => Runner::Silent,
            () => Runner::Trading,
        };
        let session = snapshot.session.unwrap_or_else(|| Calendar::nyse().date_of((self.now)()));
        let ordered = in_force(&told, session).cloned();
        let broker_closes = account.as_ref().is_some_and(|account| account["status"]["flattening"] == true);
        let mode = if runner == Runner::TakenOver && broker_closes { Mode::Flatten } else { snapshot.mode };
        let mut standing = Standing {
            strategy: strategy.to_owned(),
            runner,
            silent_s: silent_ms / 1_000,
            obeyed: control_failed.is_none() && ordered.as_ref().is_none_or(|entry| entry.mode == mode),
            writer: lease.as_ref().map(|lease| lease.owner.clone()),
            snapshot,
            broker_flat: account.as_ref().map(|account| is_flat(account, now)),
            broker_closes,
            broker_silent_s: account.as_ref().and_then(said_ms).map(|said| (now - said) / 1_000),
            ordered,
            control_failed,
            in_the_way: Vec::new(),
        };
        let mut way = standing.of_the_runner(taken_over.map(|lease| (lease.until_ms - now) / 1_000));
        way.extend(amiss(&account.unwrap_or_default(), now));
        way.extend(standing.of_the_order());
        let snapshot = &standing.snapshot;
        way.extend(snapshot.disputed.then(|| "the books differ: accept".to_owned()));
        way.extend(snapshot.throttled.then(|| "repeated itself: reenable".to_owned()));
        way.extend(snapshot.trouble.clone());
        standing.in_the_way = way;
        Ok(standing)
    }
}

impl Standing {
    /// What of the runner is in the way; a guardian that took over has the lease for some seconds yet.
    fn of_the_runner(&self, held_s: Option<i64>) -> Vec<String> {
        let ago = self.silent_s;
        let mut way = Vec::new();
        match self.runner {
            Runner::Trading => {}
            Runner::Stopped => way.push(format!("the runner stopped {ago} s ago")),
            Runner::Silent => way.push(format!("the runner was last heard of {ago} s ago")),
            Runner::TakenOver => {
                let lease = match held_s {
                    Some(left) if left >= 0 => format!("its lease ends in {left} s"),
                    _ => "its lease is over, and no runner has begun".to_owned(),
                };
                way.push(format!(
                    "the guardian has taken over from the runner ({lease}): what the runner showed {ago} s ago is from \
                     before"
                ));
            }
        }
        way
    }

    /// What of the orders to it is in the way.
    fn of_the_order(&self) -> Option<String> {
        if let Some(why) = &self.control_failed {
            return Some(format!("the control record cannot be read, and the runner trades nothing: {why}"));
        }
        let Entry { mode, by, reason, .. } = self.ordered.as_ref().filter(|_| !self.obeyed)?;
        Some(format!("`{mode}` is ordered by {by} ({reason}) and not obeyed yet"))
    }
}
