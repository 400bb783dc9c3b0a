//! The loop that replays a market to an engine.

use domain::{Calendar, Strategy};
use engine::{Engine, EngineError, Event, Step};

use crate::market::{Market, MarketError};
use crate::venue::{Phase, Venue, VenueError};

/// A simulation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// The engine refused an event.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The venue refused an order.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// The market is not a market.
    #[error(transparent)]
    Market(#[from] MarketError),
}

/// Sees every event with what the engine made of it: a journal, a progress bar, a test.
pub trait Observer {
    /// Called after each step.
    fn observe(&mut self, event: &Event, step: &Step);
}

/// Looks away.
impl Observer for () {
    #[inline]
    fn observe(&mut self, _event: &Event, _step: &Step) {}
}

impl<F: FnMut(&Event, &Step)> Observer for F {
    #[inline]
    fn observe(&mut self, event: &Event, step: &Step) {
        self(event, step);
    }
}

struct Loop<'a, S, O> {
    engine: &'a mut Engine<S>,
    venue: &'a mut Venue,
    observer: &'a mut O,
    /// Events of the venue on their way to the engine.
    pending: Vec<Event>,
}

impl<S: Strategy, O: Observer> Loop<'_, S, O> {
    #[inline]
    fn step(&mut self, event: &Event) -> Result<(), SimulationError> {
        let step = self.engine.step(event)?;
        self.observer.observe(event, step);
        for command in &step.commands {
            self.venue.command(command)?;
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), SimulationError> {
        for at in 0..self.pending.len() {
            let event = self.pending[at];
            self.step(&event)?;
        }
        self.pending.clear();
        Ok(())
    }
}

/// Replays every session of a market: fills first, then bars, then the next decisions.
///
/// # Errors
/// [`SimulationError`]; the engine is then unusable.
pub fn run<S: Strategy, O: Observer>(
    calendar: &Calendar,
    market: &Market,
    engine: &mut Engine<S>,
    venue: &mut Venue,
    observer: &mut O,
) -> Result<(), SimulationError> {
    let mut this = Loop { engine, venue, observer, pending: Vec::new() };
    let (mut bars, mut actions) = (market.bars(), market.actions());
    while let Some(first) = bars.first() {
        let date = first.session;
        let count = bars.iter().position(|bar| bar.session != date).unwrap_or(bars.len());
        let (today, later) = bars.split_at(count);
        bars = later;
        let session = calendar.session(date).map_err(MarketError::from)?;
        this.step(&Event::SessionOpened(*session))?;
        this.venue.open_session(date, &mut this.pending)?;
        if !this.pending.is_empty() {
            this.deliver()?;
        }
        while let Some((action, rest)) = actions.split_first().filter(|(action, _)| action.ex_date <= date) {
            actions = rest;
            this.venue.act(action, &mut this.pending)?;
            this.deliver()?;
            this.step(&Event::Action(*action))?;
        }
        if !this.venue.is_idle() {
            for phase in [Phase::Open, Phase::During, Phase::After, Phase::Close] {
                this.venue.begin();
                for bar in today {
                    while this.venue.match_next(market.traded(bar), phase, &mut this.pending)? {
                        this.deliver()?;
                    }
                }
                this.venue.start_trading();
            }
        }
        for bar in today {
            this.venue.close_bar(bar);
        }
        this.venue.close_session(&mut this.pending);
        if !this.pending.is_empty() {
            this.deliver()?;
        }
        for bar in today {
            this.step(&Event::Bar(*bar))?;
        }
        this.step(&Event::SessionClosed)?;
    }
    Ok(())
}
