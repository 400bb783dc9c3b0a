//! One session: what is known of each symbol's minutes, and what may be told next.
//!
//! A minute of a symbol is settled when it has been told, or when Alpaca was asked for it after it was final and had
//! none. Minutes are told in order, each once, so what comes ahead of one that is not settled waits. The socket only
//! makes it fast: whatever is final and not settled is asked for, so it does not matter what a line lost, said twice,
//! or said in another order.
//!
//! Trades are an early look at their minute: the minute's price comes all the same, with the volume that no trade told.
//! So one of the same time, price and volume as another is taken for the same, told twice.

use std::collections::{BTreeMap, VecDeque};

use domain::{Bar, CorporateAction, InstrumentId, Price, Session, Timestamp};
use trading::Market;

use super::wire::MINUTE;

/// Trades of a symbol that wait for the minute before them; more are not needed, for their minute follows.
const TRADES_WAITING_MAX: usize = 10_000;

/// Last price of a minute, and what was traded in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Minute {
    pub(super) price: Price,
    pub(super) volume: u64,
}

/// How long things take, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// From a minute's end until Alpaca has it for good.
    pub(super) settle_after: i64,
    /// From the close until the day's bars are asked for.
    pub(super) bars_after: i64,
    /// From the close until nobody waits for them any more.
    pub(super) bars_until: i64,
    /// Between two questions for them.
    pub(super) bars_every: i64,
}

/// What Alpaca is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    Actions,
    /// Minutes of some instruments, from one (by its number in the session) to before another.
    Minutes {
        of: Vec<InstrumentId>,
        from: usize,
        to: usize,
    },
    Bars,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not opened.
    Before,
    /// It is open; what is in force is not known yet, so that no price can be told.
    Opened,
    /// Prices are told.
    Trading,
    /// Everything has been told.
    Over,
}

type Trade = (Timestamp, Price, u64);

#[derive(Debug, Clone, Default)]
struct Symbol {
    /// First minute that is not settled.
    from: usize,
    ahead: BTreeMap<usize, Minute>,
    trades: VecDeque<Trade>,
    told_at: Timestamp,
    /// Trades of that time.
    told: Vec<Trade>,
    /// By trades, of the minute that is not settled.
    told_volume: u64,
    has_traded: bool,
}

/// A session.
#[derive(Debug)]
pub(super) struct Day {
    session: Session,
    times: Times,
    minutes: usize,
    phase: Phase,
    symbols: Vec<Symbol>,
    /// Newest minute of any symbol that the socket told; all before it have ended a minute ago.
    heard: usize,
    bars_at: i64,
}

impl Day {
    pub(super) fn new(session: Session, symbols: usize, times: Times) -> Self {
        let minutes = (session.close.nanos() - session.open.nanos()) / MINUTE;
        Self {
            session,
            times,
            minutes: usize::try_from(minutes).unwrap_or_default(),
            phase: Phase::Before,
            symbols: vec![Symbol::default(); symbols],
            heard: 0,
            bars_at: session.close.nanos().saturating_add(times.bars_after),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether its minutes may still come over the socket.
    pub(super) fn listens(&self, now: Timestamp, early: i64) -> bool {
        let (open, close) = (self.session.open.nanos(), self.session.close.nanos());
        open.saturating_sub(early) <= now.nanos() && now.nanos() < close.saturating_add(self.times.settle_after)
    }

    /// When a minute begins.
    pub(super) fn start_of(&self, minute: usize) -> Timestamp {
        let passed = i64::try_from(minute).unwrap_or(i64::MAX).saturating_mul(MINUTE);
        Timestamp::from_nanos(self.session.open.nanos().saturating_add(passed))
    }

    /// The minute that a time lies in, if it lies in the session.
    pub(super) fn minute_of(&self, at: Timestamp) -> Option<usize> {
        let minute = at.nanos().checked_sub(self.session.open.nanos())?.div_euclid(MINUTE);
        usize::try_from(minute).ok().filter(|minute| *minute < self.minutes)
    }

    /// So many minutes are final.
    fn final_minutes(&self, now: Timestamp) -> usize {
        let passed = now.nanos().saturating_sub(self.session.open.nanos()).saturating_sub(self.times.settle_after);
        let by_clock = usize::try_from(passed.div_euclid(MINUTE)).unwrap_or_default();
        by_clock.max(self.heard).min(self.minutes)
    }

    /// What it is time for.
    pub(super) fn tick(&mut self, now: Timestamp) -> Option<Market> {
        let opens = self.phase == Phase::Before && now >= self.session.open;
        opens.then(|| {
            self.phase = Phase::Opened;
            Market::Opened(self.session)
        })
    }

    /// What is to be asked for now, of at most so many symbols.
    pub(super) fn want(&self, now: Timestamp, symbols_max: usize) -> Option<Want> {
        match self.phase {
            Phase::Before | Phase::Over => None,
            Phase::Opened => Some(Want::Actions),
            Phase::Trading => {
                let to = self.final_minutes(now);
                let behind =
                    |(at, symbol): (u32, &Symbol)| (symbol.from < to).then_some((InstrumentId(at), symbol.from));
                let behind: Vec<_> = (0..).zip(&self.symbols).filter_map(behind).take(symbols_max).collect();
                if let Some(from) = behind.iter().map(|(_, from)| *from).min() {
                    return Some(Want::Minutes { of: behind.into_iter().map(|(of, _)| of).collect(), from, to });
                }
                let settled = self.symbols.iter().all(|symbol| symbol.from == self.minutes);
                (settled && now.nanos() >= self.bars_at).then_some(Want::Bars)
            }
        }
    }

    /// What is in force is known.
    pub(super) fn actions(&mut self, actions: &[CorporateAction]) -> Vec<Market> {
        if self.phase != Phase::Opened {
            return Vec::new();
        }
        self.phase = Phase::Trading;
        let mut events: Vec<Market> = actions.iter().map(|action| Market::Action(*action)).collect();
        let mut prices = Vec::new();
        for at in 0..self.symbols.len() {
            self.drain(at, &mut prices);
        }
        in_order(&mut prices);
        events.extend(prices);
        events
    }

    /// The socket told a minute.
    pub(super) fn minute(&mut self, of: InstrumentId, number: usize, minute: Minute) -> Vec<Market> {
        self.heard = self.heard.max(number);
        let mut prices = Vec::new();
        if let Some(symbol) = self.symbols.get_mut(of.index()).filter(|symbol| number >= symbol.from) {
            symbol.ahead.entry(number).or_insert(minute);
            self.drain(of.index(), &mut prices);
        }
        prices
    }

    /// The socket told a trade.
    pub(super) fn trade(&mut self, of: InstrumentId, at: Timestamp, price: Price, volume: u64) -> Vec<Market> {
        let mut prices = Vec::new();
        let Some(number) = self.minute_of(at) else { return prices };
        let Some(symbol) = self.symbols.get_mut(of.index()) else { return prices };
        if number >= symbol.from && symbol.trades.len() < TRADES_WAITING_MAX {
            let place = symbol.trades.partition_point(|(known, ..)| *known <= at);
            let trade = (at, price, volume);
            let mut before = symbol.trades.range(..place).rev().take_while(|(known, ..)| *known == at);
            if !before.any(|known| *known == trade) {
                symbol.trades.insert(place, trade);
                self.drain(of.index(), &mut prices);
            }
        }
        prices
    }

    /// Alpaca was asked for minutes that were final, and these are all that there are.
    pub(super) fn settle(
        &mut self,
        of: &[InstrumentId],
        to: usize,
        minutes: impl IntoIterator<Item = (InstrumentId, usize, Minute)>,
    ) -> Vec<Market> {
        for (instrument, number, minute) in minutes {
            let asked = number < to && of.contains(&instrument);
            if let Some(symbol) =
                self.symbols.get_mut(instrument.index()).filter(|symbol| asked && number >= symbol.from)
            {
                symbol.ahead.entry(number).or_insert(minute);
            }
        }
        let mut prices = Vec::new();
        for instrument in of {
            let at = instrument.index();
            while self.symbols.get(at).is_some_and(|symbol| symbol.from < to) {
                self.drain(at, &mut prices);
                if let Some(symbol) = self.symbols.get_mut(at).filter(|symbol| symbol.from < to) {
                    // It had none.
                    (symbol.from, symbol.told_volume) = (symbol.from + 1, 0);
                }
            }
            self.drain(at, &mut prices);
        }
        in_order(&mut prices);
        prices
    }

    /// Tells what follows on what is settled.
    fn drain(&mut self, at: usize, prices: &mut Vec<Market>) {
        if self.phase != Phase::Trading {
            return;
        }
        let (instrument, open) = (InstrumentId(at as u32), self.session.open.nanos());
        let Some(symbol) = self.symbols.get_mut(at) else { return };
        loop {
            let (start, end) = (open + symbol.from as i64 * MINUTE, open + (symbol.from as i64 + 1) * MINUTE);
            while let Some(trade) = symbol.trades.front().copied().filter(|(at, ..)| at.nanos() < end) {
                symbol.trades.pop_front();
                let (at, price, volume) = trade;
                if at > symbol.told_at {
                    symbol.told.clear();
                }
                // One that comes late is in the volume of its minute.
                if at.nanos() >= start && at >= symbol.told_at && !symbol.told.contains(&trade) {
                    symbol.told.push(trade);
                    symbol.told_at = at;
                    symbol.told_volume = symbol.told_volume.saturating_add(volume);
                    prices.push(Market::Price { instrument, price, volume, at });
                }
            }
            let Some(Minute { price, volume }) = symbol.ahead.remove(&symbol.from) else { return };
            let (at, volume) = (Timestamp::from_nanos(end), volume.saturating_sub(symbol.told_volume));
            prices.push(Market::Price { instrument, price, volume, at });
            (symbol.from, symbol.told_at, symbol.told_volume, symbol.has_traded) = (symbol.from + 1, at, 0, true);
        }
    }

    /// Alpaca was asked for the day's bars and has these. With the events come those whose bar nobody will see.
    pub(super) fn bars(&mut self, now: Timestamp, mut bars: Vec<Bar>) -> (Vec<Market>, Vec<InstrumentId>) {
        let has = |at: usize| bars.iter().any(|bar| bar.instrument.index() == at);
        let complete = (0..self.symbols.len()).all(has);
        if !complete && now.nanos() < self.session.close.nanos().saturating_add(self.times.bars_until) {
            self.bars_at = now.nanos().saturating_add(self.times.bars_every);
            return Default::default();
        }
        let missing = (0..self.symbols.len()).filter(|at| self.symbols[*at].has_traded && !has(*at));
        let missing = missing.map(|at| InstrumentId(at as u32)).collect();
        self.phase = Phase::Over;
        bars.sort_by_key(|bar| bar.instrument);
        let mut events: Vec<Market> = bars.into_iter().map(|bar| Market::Bar { bar, traded: bar }).collect();
        events.push(Market::Closed);
        (events, missing)
    }
}

/// By time, then by instrument: what is told of one symbol keeps its order.
fn in_order(prices: &mut [Market]) {
    prices.sort_by_key(|event| match event {
        Market::Price { instrument, at, .. } => (*at, *instrument),
        _ => Default::default(),
    });
}

#[cfg(test)]
mod tests {
    use domain::{Calendar, SessionDate};

    use super::*;

    const A: InstrumentId = InstrumentId(0);
    const B: InstrumentId = InstrumentId(1);

    fn day(date: &str) -> Day {
        let session = *Calendar::nyse().session(SessionDate::parse(date).unwrap()).unwrap();
        let seconds = |count: i64| count * 1_000_000_000;
        let times = Times {
            settle_after: seconds(40),
            bars_after: seconds(1_200),
            bars_until: seconds(3_600),
            bars_every: seconds(60),
        };
        Day::new(session, 2, times)
    }

    fn trading(date: &str) -> Day {
        let mut day = day(date);
        assert!(day.tick(day.session.open).is_some());
        assert_eq!(day.actions(&[]), []);
        day
    }

    fn after(day: &Day, seconds: i64) -> Timestamp {
        Timestamp::from_nanos(day.session.open.nanos() + seconds * 1_000_000_000)
    }

    fn minute(price: &str) -> Minute {
        Minute { price: Price::parse(price).unwrap(), volume: 100 }
    }

    /// Of whom, when in seconds after the open, for how much, how many.
    fn told(day: &Day, events: &[Market]) -> Vec<(u32, i64, String, u64)> {
        let told = events.iter().map(|event| match event {
            Market::Price { instrument, price, volume, at } => {
                (instrument.0, (at.nanos() - day.session.open.nanos()) / 1_000_000_000, price.to_string(), *volume)
            }
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn what_comes_ahead_of_a_gap_waits_until_alpaca_was_asked() {
        let mut day = trading("2024-01-02");
        let events = day.minute(A, 0, minute("10"));
        assert_eq!(told(&day, &events), [(0, 60, "10".to_owned(), 100)]);
        assert_eq!(day.minute(A, 2, minute("12")), []);
        // The newest of any symbol says that those before it are final.
        let want = day.want(after(&day, 181), 200).unwrap();
        assert_eq!(want, Want::Minutes { of: vec![A, B], from: 0, to: 2 });
        let events = day.settle(&[A, B], 2, [(A, 1, minute("11")), (B, 0, minute("20")), (B, 1, minute("21"))]);
        let prices = [(1, 60, "20"), (0, 120, "11"), (1, 120, "21"), (0, 180, "12")];
        assert_eq!(told(&day, &events), prices.map(|(of, at, price)| (of, at, price.to_owned(), 100)));
        assert_eq!(day.want(after(&day, 181), 200), None);
        // Late and told twice.
        assert_eq!(day.minute(A, 1, minute("99")), []);
        assert_eq!(day.minute(A, 2, minute("99")), []);
        assert_eq!(day.settle(&[A], 3, [(A, 2, minute("99")), (A, 5, minute("99")), (B, 2, minute("99"))]), []);
    }

    #[test]
    fn a_minute_is_asked_for_when_it_is_final() {
        let day = trading("2024-01-02");
        assert_eq!(day.want(after(&day, 99), 200), None);
        assert_eq!(day.want(after(&day, 100), 200), Some(Want::Minutes { of: vec![A, B], from: 0, to: 1 }));
        assert_eq!(day.want(after(&day, 100), 1), Some(Want::Minutes { of: vec![A], from: 0, to: 1 }));
    }

    #[test]
    fn nothing_is_told_before_the_actions_and_half_a_day_has_210_minutes() {
        let mut day = day("2024-07-03");
        assert_eq!(day.tick(after(&day, -1)), None);
        assert_eq!(day.minute(A, 0, minute("10")), []);
        assert!(matches!(day.tick(after(&day, 0)), Some(Market::Opened(_))));
        assert_eq!(day.want(after(&day, 300), 200), Some(Want::Actions));
        assert_eq!(day.minute(A, 1, minute("11")), []);
        assert_eq!(day.actions(&[]).len(), 2);
        assert_eq!(day.minutes, 210);
        assert_eq!(day.minute_of(day.session.close), None);
        assert_eq!(day.minute_of(after(&day, -1)), None);
        let close = day.session.close.nanos() - day.session.open.nanos();
        let closed = after(&day, close / 1_000_000_000 + 40);
        assert_eq!(day.want(closed, 200), Some(Want::Minutes { of: vec![A, B], from: 0, to: 210 }));
    }

    #[test]
    fn trades_come_early_and_the_minute_tells_the_rest() {
        let mut day = trading("2024-01-02");
        let price = |text| Price::parse(text).unwrap();
        let mut events = day.trade(A, after(&day, 10), price("10"), 30);
        events.extend(day.trade(A, after(&day, 5), price("11"), 30));
        // The next minute's wait for this one.
        events.extend(day.trade(A, after(&day, 62), price("12"), 7));
        events.extend(day.trade(A, after(&day, 62), price("12"), 7));
        events.extend(day.trade(A, after(&day, 61), price("13"), 8));
        events.extend(day.minute(A, 0, minute("10.5")));
        events.extend(day.trade(A, after(&day, 59), price("14"), 9));
        // Told twice, waiting and not; and two of one time that are not the same.
        events.extend(day.trade(A, after(&day, 62), price("12"), 7));
        events.extend(day.trade(A, after(&day, 62), price("12"), 6));
        events.extend(day.minute(A, 1, minute("12.5")));
        let expected =
            [(10, "10", 30), (60, "10.5", 70), (61, "13", 8), (62, "12", 7), (62, "12", 6), (120, "12.5", 79)];
        assert_eq!(told(&day, &events), expected.map(|(at, price, volume)| (0, at, price.to_owned(), volume)));
    }

    #[test]
    fn bars_are_waited_for_until_the_deadline() {
        let mut day = trading("2024-01-02");
        let close = (day.session.close.nanos() - day.session.open.nanos()) / 1_000_000_000;
        day.settle(&[A, B], 390, [(A, 3, minute("10")), (B, 3, minute("10"))]);
        assert_eq!(day.want(after(&day, close + 1_199), 200), None);
        let early = after(&day, close + 1_200);
        assert_eq!(day.want(early, 200), Some(Want::Bars));
        let p = Price::parse("10").unwrap();
        let bar = Bar { instrument: B, session: day.session.date, open: p, high: p, low: p, close: p, volume: 1 };
        assert_eq!(day.bars(early, vec![bar]), (vec![], vec![]));
        assert_eq!(day.want(early, 200), None);
        let late = after(&day, close + 3_600);
        assert_eq!(day.want(late, 200), Some(Want::Bars));
        assert_eq!(day.bars(late, vec![bar]), (vec![Market::Bar { bar, traded: bar }, Market::Closed], vec![A]));
        assert!(day.is_over() && day.want(late, 200).is_none());
    }
}
