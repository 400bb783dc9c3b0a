//! Targets decided elsewhere: a table of `(dt, sym, target)` is a strategy.
//!
//! A row says which position is wanted from the close of its session on, in shares as they were on that date; a split
//! in between changes the wanted shares with it. A row between two sessions counts from the next one.

use std::collections::VecDeque;

use domain::{Bar, Decisions, InstrumentId, Quantity, Ratio, SessionDate, Strategy, View};

/// One wish of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableRow {
    /// From the close of which session.
    pub session: SessionDate,
    /// In what.
    pub instrument: InstrumentId,
    /// Wanted position.
    pub target: Quantity,
}

/// Follows a table of targets.
#[derive(Debug, Clone)]
pub struct TargetTable {
    ahead: Vec<VecDeque<TableRow>>,
    wanted: Vec<Option<Quantity>>,
    /// Splits since each instrument's last bar: rows dated in between are in shares from before them.
    splits: Vec<Vec<Ratio>>,
}

impl TargetTable {
    /// Rows in any order, for `instruments` instruments; of two rows of the same day the later one counts.
    #[must_use]
    pub fn new(mut rows: Vec<TableRow>, instruments: usize) -> Self {
        rows.sort_by_key(|row| row.session);
        let mut ahead = vec![VecDeque::new(); instruments];
        for row in rows {
            if let Some(queue) = ahead.get_mut(row.instrument.index()) {
                queue.push_back(row);
            }
        }
        Self { ahead, wanted: vec![None; instruments], splits: vec![Vec::new(); instruments] }
    }
}

impl Strategy for TargetTable {
    fn on_bar(&mut self, bar: &Bar, view: &View<'_>, decisions: &mut Decisions) {
        let at = bar.instrument.index();
        let Some(queue) = self.ahead.get_mut(at) else { return };
        while queue.front().is_some_and(|row| row.session <= bar.session) {
            self.wanted[at] = queue.pop_front().map(|row| {
                let splits = self.splits[at].iter().filter(|_| row.session < bar.session);
                splits.fold(row.target, |target, ratio| restated(target, *ratio))
            });
        }
        self.splits[at].clear();
        // What was refused or only partly filled is asked for again.
        let on_its_way = view.working.get(at).copied().unwrap_or_default();
        let reached = view.position(bar.instrument).add(on_its_way).ok();
        if let Some(wanted) = self.wanted[at].filter(|wanted| reached != Some(*wanted)) {
            decisions.target(bar.instrument, wanted);
        }
    }

    fn on_split(&mut self, instrument: InstrumentId, ratio: Ratio) {
        let at = instrument.index();
        if let Some(wanted) = self.wanted.get_mut(at).and_then(Option::as_mut) {
            *wanted = restated(*wanted, ratio);
        }
        if let Some(splits) = self.splits.get_mut(at) {
            splits.push(ratio);
        }
    }
}

/// A target in new shares; one that does not fit stays, and is refused by its size.
fn restated(target: Quantity, ratio: Ratio) -> Quantity {
    ratio.quantity(target).unwrap_or(target)
}
