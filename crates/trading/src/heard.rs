//! How far the market has been told. A feed that was interrupted tells its session again, perhaps in another order, and
//! perhaps those before it too; what is told twice counts once.

use std::collections::BTreeSet;

use domain::{CorporateAction, InstrumentId, Price, Session, SessionDate, Timestamp};
use engine::Event;
use serde::{Deserialize, Serialize};

use crate::market::Market;

/// What has been told of the market.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    session: Option<Session>,
    closed: bool,
    actions: Vec<CorporateAction>,
    bars: BTreeSet<InstrumentId>,
    /// The last price of each: two of one time are told apart by it.
    last: Vec<Option<(Timestamp, Price)>>,
    /// The session that the feed is telling.
    #[serde(skip)]
    telling: Option<SessionDate>,
}

impl Heard {
    /// Session that was opened last, and whether it is closed.
    #[must_use]
    pub fn position(&self) -> Option<(SessionDate, bool)> {
        self.session.map(|session| (session.date, self.closed))
    }

    /// The session that a feed is to go on after: the last if it is closed, or else the day before it.
    #[must_use]
    pub fn goes_on_after(&self) -> Option<SessionDate> {
        self.position().map(|(date, closed)| if closed { date } else { SessionDate::from_days(date.days() - 1) })
    }

    /// Whether this was told before.
    pub fn was_told(&mut self, event: &Market) -> bool {
        if let Market::Opened(session) = event {
            self.telling = Some(session.date);
        }
        let Some(session) = self.session else { return matches!(event, Market::Bar { .. } | Market::Closed) };
        let of_this = self.telling.is_none_or(|telling| telling == session.date) && !self.closed;
        match event {
            Market::Opened(told) => told.date <= session.date,
            Market::Clock(_) => false,
            _ if !of_this => true,
            Market::Action(action) => self.actions.contains(action),
            Market::Price { instrument, at, price, .. } => {
                let last = self.last.get(instrument.index()).copied().flatten();
                *at < session.open || last.is_some_and(|(last, known)| *at < last || *at == last && *price == known)
            }
            Market::Bar { bar, .. } => bar.session != session.date || self.bars.contains(&bar.instrument),
            Market::Closed => false,
        }
    }

    /// Hears what is new.
    pub fn hear(&mut self, event: &Market) {
        match event {
            Market::Opened(session) => self.open(session),
            Market::Action(action) => self.actions.push(*action),
            Market::Price { instrument, at, price, .. } => self.price(*instrument, *at, *price),
            Market::Bar { bar, .. } => drop(self.bars.insert(bar.instrument)),
            Market::Closed => self.closed = true,
            Market::Clock(_) => {}
        }
    }

    /// Hears of a step in a journal, which holds what was told.
    pub fn saw(&mut self, event: &Event) {
        match event {
            Event::SessionOpened(session) => self.open(session),
            Event::Action(action) => self.actions.push(*action),
            Event::Price { instrument, at, price } => self.price(*instrument, *at, *price),
            Event::Bar(bar) => drop(self.bars.insert(bar.instrument)),
            Event::SessionClosed => self.closed = true,
            _ => {}
        }
    }

    fn open(&mut self, session: &Session) {
        *self = Self { session: Some(*session), telling: self.telling, ..Self::default() };
    }

    fn price(&mut self, instrument: InstrumentId, at: Timestamp, price: Price) {
        if self.last.len() <= instrument.index() {
            self.last.resize(instrument.index() + 1, None);
        }
        self.last[instrument.index()] = Some((at, price));
    }
}

#[cfg(test)]
mod tests {
    use domain::Calendar;

    use super::*;

    #[test]
    fn only_what_is_new_is_heard_whatever_a_feed_tells_again() {
        let sessions = &Calendar::nyse().sessions()[1000..1003];
        let instrument = InstrumentId(1);
        let tick = |n: usize, units: i64, seconds: i64| Market::Price {
            instrument,
            price: Price::from_units(units),
            volume: 1,
            at: Timestamp::from_nanos(sessions[n].open.nanos() + seconds * 1_000_000_000),
        };
        let mut heard = Heard::default();
        assert!(heard.was_told(&Market::Closed), "a stream may begin inside a session");
        heard.saw(&Event::SessionOpened(sessions[0]));
        heard.saw(&Event::SessionClosed);
        assert_eq!(heard.goes_on_after(), Some(sessions[0].date));
        heard.saw(&Event::SessionOpened(sessions[1]));
        heard.saw(&Event::Price { instrument, price: Price::from_units(1), at: sessions[1].open });
        assert!(heard.goes_on_after().is_some_and(|after| after < sessions[1].date && after >= sessions[0].date));
        let told = [
            (Market::Opened(sessions[0]), true),
            (tick(0, 7, 1), true),
            (Market::Closed, true),
            (Market::Opened(sessions[1]), true),
            (tick(1, 1, 0), true),
            (tick(1, 2, 0), false),
            (tick(1, 1, 5), false),
            (tick(1, 1, 4), true),
            (Market::Closed, false),
            (Market::Closed, true),
            (tick(1, 1, 9), true),
            (Market::Opened(sessions[2]), false),
            (tick(2, 1, 0), false),
        ];
        for (at, (event, again)) in told.into_iter().enumerate() {
            assert_eq!(heard.was_told(&event), again, "{at}: {event:?}");
            if !again {
                heard.hear(&event);
            }
        }
        // It is written down and read back, and what the feed tells then is what counts.
        let text = serde_json::to_string(&heard).unwrap();
        let mut read: Heard = serde_json::from_str(&text).unwrap();
        assert!(read.was_told(&tick(2, 1, 0)) && !read.was_told(&tick(2, 1, 1)));
    }
}
