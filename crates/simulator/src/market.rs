//! What is replayed: bars and corporate actions in time order.

use domain::{ActionKind, Bar, Calendar, CalendarError, CorporateAction, InstrumentId, SessionDate};

/// Bars and actions cannot be replayed as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarketError {
    /// A date is not a session of the calendar.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// The same instrument has two bars in one session.
    #[error("instrument {instrument} has two bars on {session}")]
    TwoBars {
        /// Which instrument.
        instrument: u32,
        /// On which session.
        session: SessionDate,
    },
}

/// A recorded market: every bar as it was known when its session closed.
#[derive(Debug, Clone, Default)]
pub struct Market {
    bars: Vec<Bar>,
    actions: Vec<CorporateAction>,
    /// Bars that the vendor corrected later: what really traded, for fills; decisions see the original.
    restated: Vec<Bar>,
    instruments: usize,
}

impl Market {
    /// Sorts and checks bars and actions.
    ///
    /// An action on a day without a session takes force on the next one.
    ///
    /// # Errors
    /// A bar outside the calendar, or two bars of one instrument in one session.
    pub fn new(
        calendar: &Calendar,
        mut bars: Vec<Bar>,
        mut actions: Vec<CorporateAction>,
        mut restated: Vec<Bar>,
    ) -> Result<Self, MarketError> {
        let by_session = |bar: &Bar| (bar.session, bar.instrument);
        if !bars.is_sorted_by_key(by_session) {
            bars.sort_by_key(by_session);
        }
        restated.sort_by_key(by_session);
        // A dividend is stated in shares after a split of the same day; the last price ends both.
        actions.sort_by_key(|action| {
            let rank = match action.kind {
                ActionKind::Split { .. } => 0,
                ActionKind::Dividend { .. } => 1,
                ActionKind::Delisting { .. } => 2,
            };
            (action.ex_date, action.instrument, rank)
        });
        let mut last = None;
        for bar in &bars {
            if last != Some(bar.session) {
                calendar.session(bar.session)?;
                last = Some(bar.session);
            }
        }
        if let Some(pair) = bars.windows(2).find(|pair| by_session(&pair[0]) == by_session(&pair[1])) {
            return Err(MarketError::TwoBars { instrument: pair[0].instrument.0, session: pair[0].session });
        }
        let highest = bars.iter().map(|bar| bar.instrument).chain(actions.iter().map(|action| action.instrument)).max();
        let instruments = highest.map_or(0, |id| id.index() + 1);
        Ok(Self { bars, actions, restated, instruments })
    }

    /// Bars by session, then instrument.
    #[must_use]
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Actions by ex-date.
    #[must_use]
    pub fn actions(&self) -> &[CorporateAction] {
        &self.actions
    }

    /// One more than the highest instrument id.
    #[must_use]
    pub fn instruments(&self) -> usize {
        self.instruments
    }

    /// What really traded, where the vendor corrected a bar later.
    #[inline]
    #[must_use]
    pub fn traded<'a>(&'a self, bar: &'a Bar) -> &'a Bar {
        if self.restated.is_empty() {
            return bar;
        }
        let key = |bar: &Bar| -> (SessionDate, InstrumentId) { (bar.session, bar.instrument) };
        self.restated.binary_search_by_key(&key(bar), key).map_or(bar, |at| &self.restated[at])
    }

    /// The market up to and including a date: what a run on data cut there sees.
    #[must_use]
    pub fn cut(&self, last: SessionDate) -> Self {
        Self {
            bars: self.bars[..self.bars.partition_point(|bar| bar.session <= last)].to_vec(),
            actions: self.actions[..self.actions.partition_point(|action| action.ex_date <= last)].to_vec(),
            restated: self.restated[..self.restated.partition_point(|bar| bar.session <= last)].to_vec(),
            instruments: self.instruments,
        }
    }
}
