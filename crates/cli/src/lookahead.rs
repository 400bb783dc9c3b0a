//! Does a strategy see the future? Run it again on data that ends earlier: whatever it decided before the end must be
//! the same.

use anyhow::Result;
use domain::{InstrumentId, Order, SessionDate, Strategy, Symbol};
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

/// Runs a strategy on all data and on data cut at `cuts` sessions spread over it, fewer if there are not as many.
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
    let mut at: Vec<usize> = match sessions.len().checked_sub(2) {
        Some(last) => (1..=cuts).map(|n| last * n / cuts).collect(),
        None => Vec::new(),
    };
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
            let of = |decision: Option<&(SessionDate, Record)>| {
                decision
                    .filter(|(made, _)| *made == session)
                    .and_then(|(_, record)| words(record, &prepared.facts.symbols))
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
) -> Result<Vec<(SessionDate, Record)>> {
    let mut found = Vec::new();
    let mut today = None;
    prepared.simulate(market, strategy, |event, step| {
        if let engine::Event::SessionOpened(session) = event {
            today = Some(session.date);
        }
        let Some(session) = today else { return };
        let decided = step.records.iter().filter(|record| words(record, &[]).is_some());
        found.extend(decided.map(|record| (session, record.clone())));
    })?;
    Ok(found)
}

/// A decision in words; nothing for a record of something else.
fn words(record: &Record, symbols: &[Symbol]) -> Option<String> {
    let symbol = |id: InstrumentId| symbols.get(id.index()).map_or("?", Symbol::as_str);
    let order = |order: &Order| {
        let side = if order.quantity.signum() < 0 { "sell" } else { "buy" };
        format!("an order to {side} {} {} {}", order.quantity.abs(), symbol(order.instrument), order.kind)
    };
    match record {
        Record::Signal(signal) => Some(format!("a signal of {} for {}", signal.value, symbol(signal.instrument))),
        Record::Target(target) => Some(format!("a target of {} {}", target.quantity, symbol(target.instrument))),
        Record::Ordered(sent) => Some(order(sent)),
        Record::Refused(refused) => Some(format!("{}, refused because {}", order(&refused.order), refused.reason)),
        Record::Ledger(_)
        | Record::TradeClosed(_)
        | Record::MarginCall { .. }
        | Record::Throttled { .. }
        | Record::FilledLate(_)
        | Record::Equity { .. } => None,
    }
}
