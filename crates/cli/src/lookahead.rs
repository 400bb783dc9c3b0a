//! Does a strategy see the future? Run it again on data that ends earlier: whatever it decided before the end must be
//! the same.

use anyhow::Result;
use domain::{SessionDate, Strategy};
use engine::Record;
use serde::Serialize;

use crate::backtest::Prepared;

/// A decision that changed when later data was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// The data ended here.
    pub cut: SessionDate,
    /// The decision was made here.
    pub session: SessionDate,
    /// With all data.
    pub with_all: Option<String>,
    /// Without what came after the cut.
    pub without: Option<String>,
}

/// What the check found.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Decisions of the run on all data.
    pub decisions: usize,
    /// Where the data was cut.
    pub cuts: Vec<SessionDate>,
    /// The first changed decision of each cut that has one.
    pub leaks: Vec<Leak>,
}

/// Runs a strategy on all data and on data cut at `cuts` sessions spread over it.
///
/// `strategy` makes a fresh one for data that ends at a date, or with all data.
///
/// # Errors
/// A simulation that stops.
pub fn check<S: Strategy>(
    prepared: &Prepared,
    cuts: usize,
    mut strategy: impl FnMut(Option<SessionDate>) -> Result<S>,
) -> Result<Verdict> {
    let mut sessions: Vec<SessionDate> = prepared.market.bars().iter().map(|bar| bar.session).collect();
    sessions.dedup();
    let all = decisions(prepared, &prepared.market, strategy(None)?)?;
    // The last cut is one session before the end, where a look at tomorrow shows first.
    let mut at: Vec<usize> = (1..=cuts).map(|n| sessions.len() * n / (cuts + 1)).collect();
    at.extend(sessions.len().checked_sub(2));
    at.dedup();
    let cuts: Vec<SessionDate> = at.into_iter().filter_map(|at| sessions.get(at).copied()).collect();
    let mut leaks = Vec::new();
    for cut in &cuts {
        let market = prepared.market.cut(*cut);
        let without = decisions(prepared, &market, strategy(Some(*cut))?)?;
        let before = &all[..all.partition_point(|(session, _)| session <= cut)];
        let longest = before.len().max(without.len());
        let differs = (0..longest).find(|at| before.get(*at) != without.get(*at));
        leaks.extend(differs.map(|at| {
            let (one, other) = (before.get(at), without.get(at));
            let session = one.into_iter().chain(other).map(|(session, _)| *session).min().unwrap_or(*cut);
            let of = |decision: Option<&(SessionDate, String)>| {
                decision.filter(|(made, _)| *made == session).map(|(_, text)| text.clone())
            };
            Leak { cut: *cut, session, with_all: of(one), without: of(other) }
        }));
    }
    Ok(Verdict { decisions: all.len(), cuts, leaks })
}

/// Every signal, target and order of a run, allowed or not, with its session.
fn decisions<S: Strategy>(
    prepared: &Prepared,
    market: &simulator::Market,
    strategy: S,
) -> Result<Vec<(SessionDate, String)>> {
    let mut found = Vec::new();
    let mut today = None;
    prepared.simulate(market, strategy, |event, step| {
        if let engine::Event::SessionOpened(session) = event {
            today = Some(session.date);
        }
        let decided = step.records.iter().filter(|record| {
            matches!(record, Record::Signal(_) | Record::Target(_) | Record::Ordered(_) | Record::Refused(_))
        });
        if let Some(session) = today {
            found.extend(decided.map(|record| (session, serde_json::to_string(record).unwrap_or_default())));
        }
    })?;
    Ok(found)
}
