//! What a person sees of trading, and what a person may ask of it.
//!
//! The trading loop tells the board of every step ([`Board::saw`]) and of where it stands ([`Board::set`]); page and
//! terminal read it. A person's wishes go the other way as [`Ask`]s, which the loop takes between two events: nobody
//! but the loop touches the trader.
//!
//! Invariant: a board is bounded however long it is told, and its text carries nothing that a terminal would obey.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brokers::fix::STOPPED;
use domain::{ActionKind, InstrumentId, Money, Order, OrderId, Price, Quantity, Symbol, Timestamp};
use engine::{Correction, Event, Mode, OrderEnd, Record, Step};
use serde::Serialize;
use trading::Snapshot;

use crate::print;

/// A board that the loop writes and the views read.
pub type Shared = Arc<Mutex<Board>>;

/// The board. One who panicked while holding it has left a line out, no more.
pub fn look(board: &Shared) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word that is typed to cancel everything and flatten.
pub const CONFIRMATION: &str = "FLATTEN";

/// Lines of each list that are kept.
const LINES: usize = 200;
/// Points of the session that are kept, and sessions before it.
const POINTS: usize = 720;
/// Orders whose words are remembered.
const ORDERS: usize = 512;
/// Finest distance of two points of the curve.
const FINEST: i64 = 1_000_000_000;
/// Silence of the trading loop that is worth saying.
const LOOP_SILENCE: i64 = 10_000_000_000;

/// Equity at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Cash plus positions.
    pub equity: Money,
}

/// An order that a limit stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalLine {
    /// Its number among all lines of both lists.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// In what.
    pub symbol: String,
    /// Order and limit in words, with their numbers.
    pub text: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its number among all lines of both lists.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An execution.
    Fill,
    /// An order left or ended.
    Order,
    /// A session, or what it brought.
    Session,
    /// A person or the guardian said something.
    Control,
    /// Something that a person should know of.
    Trouble,
}

/// Something that keeps the strategy from trading freely, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// Its name.
    pub name: &'static str,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// The same text with `�` for what a terminal obeys or a reader does not see: control characters, and those that turn
/// the direction of what follows or take no room.
#[must_use]
pub fn plain(text: &str) -> String {
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|letter| if hidden(letter) { '\u{fffd}' } else { letter }).collect()
}

/// What is shown.
#[derive(Debug, Default)]
pub struct Board {
    /// What is traded how, such as `sma on paper`.
    pub title: String,
    /// Whether the market is a replay, whose time is not the clock's.
    pub replayed: bool,
    /// Where trading stands.
    pub snapshot: Option<Snapshot>,
    /// Equity: one point for each session that is over, then those of the last one.
    pub curve: Vec<Point>,
    /// Where in the curve the last session begins.
    pub session_from: usize,
    /// Orders that limits stopped, the newest last.
    pub refusals: VecDeque<RefusalLine>,
    /// What happened, the newest last.
    pub said: VecDeque<Line>,
    /// When the loop last said where it stands, by the clock.
    pub updated_at: Option<Timestamp>,
    symbols: Vec<Symbol>,
    orders: BTreeMap<OrderId, Order>,
    /// Latest time of any event.
    now: Timestamp,
    closes: Timestamp,
    told: u64,
    gap: i64,
}

impl Board {
    /// An empty board of a run's instruments.
    #[must_use]
    pub fn new(title: &str, symbols: Vec<Symbol>) -> Self {
        Self { title: plain(title), symbols, gap: FINEST, ..Self::default() }
    }

    /// How many lines have been told in all.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told
    }

    /// The time that prices are as old as: the clock's, or where the market is a replay the latest event's.
    #[must_use]
    pub fn market_now(&self, clock: Timestamp) -> Timestamp {
        if self.replayed { self.now } else { clock }
    }

    /// Nanoseconds since anything was heard of an instrument; none before its first session.
    #[must_use]
    pub fn silence(&self, heard_at: Timestamp, clock: Timestamp) -> Option<i64> {
        (heard_at != Timestamp::default())
            .then(|| self.market_now(clock).nanos().saturating_sub(heard_at.nanos()).max(0))
    }

    /// Won (or lost) since the start.
    #[must_use]
    pub fn profit(&self) -> Option<Money> {
        let snapshot = self.snapshot.as_ref()?;
        snapshot.equity.sub(snapshot.deposit).ok()
    }

    /// Won (or lost) since the session before closed.
    #[must_use]
    pub fn session_profit(&self) -> Option<Money> {
        let snapshot = self.snapshot.as_ref()?;
        snapshot.equity.sub(self.reference()?).ok()
    }

    /// Equity that the session is measured from: that at the close before, or the deposit.
    #[must_use]
    pub fn reference(&self) -> Option<Money> {
        let before = self.session_from.checked_sub(1).and_then(|at| self.curve.get(at));
        before.map(|point| point.equity).or(self.snapshot.as_ref().map(|snapshot| snapshot.deposit))
    }

    /// Takes a step, as an observer of the trader sees it.
    pub fn saw(&mut self, event: &Event, note: Option<&str>, step: &Step) {
        match event {
            Event::SessionOpened(session) => {
                self.moved(session.open);
                self.closes = session.close;
                self.begin_session();
            }
            Event::SessionClosed => self.moved(self.closes),
            Event::Price { at, .. } | Event::Clock(at) => self.moved(*at),
            _ => {}
        }
        if let Some((kind, text)) = self.words(event, note) {
            self.say(kind, &text);
        }
        for record in &step.records {
            self.saw_record(record);
        }
    }

    /// Takes where the trader stands, at a time by the clock.
    pub fn set(&mut self, snapshot: Snapshot, at: Timestamp) {
        let before = self.snapshot.as_ref().and_then(|snapshot| snapshot.trouble.as_deref());
        let said = match (before, snapshot.trouble.as_deref()) {
            (None, None) => None,
            (Some(before), Some(now)) if before == now => None,
            (_, Some(now)) => Some(of_the_broker(now)),
            (Some(_), None) => Some("the broker answers again".to_owned()),
        };
        if let Some(said) = said {
            self.say(Kind::Trouble, &said);
        }
        if self.now != Timestamp::default() {
            self.add(Point { at: self.now, equity: snapshot.equity });
        }
        self.snapshot = Some(snapshot);
        self.updated_at = Some(at);
    }

    /// Says something that is no step, such as why the program stops.
    pub fn say(&mut self, kind: Kind, text: &str) {
        let line = Line { seq: self.told, at: self.now, kind, text: plain(text) };
        self.told += 1;
        push(&mut self.said, line);
    }

    /// What stands in the way of trading at a time by the clock, the gravest first.
    #[must_use]
    pub fn blocks(&self, clock: Timestamp) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut block = |name, what: String, remedy: &str| blocks.push(Block { name, what, remedy: remedy.to_owned() });
        let Some(snapshot) = &self.snapshot else {
            block(
                "starting",
                "The trading loop has not said yet where it stands.".to_owned(),
                "It is replaying its journal or waiting for the broker; nothing trades before.",
            );
            return blocks;
        };
        let silent = self.updated_at.map_or(0, |at| clock.nanos().saturating_sub(at.nanos()));
        if silent > LOOP_SILENCE {
            let what = format!("The trading loop has said nothing for {}.", span(silent));
            block(
                "silent",
                what,
                "What is shown is as old. If it stays so, stop the program and use `algotrading kill`.",
            );
        }
        if let Some(trouble) = &snapshot.trouble {
            let what = sentence(&of_the_broker(&plain(trouble)));
            let remedy = if trouble.contains(STOPPED) {
                "Nothing is tried again by itself. Settle with the broker what is wrong, and start the program again."
            } else {
                "What must leave is tried again by itself. If it lasts, look at the account on the broker's own site."
            };
            block("trouble", what, remedy);
        }
        let held = snapshot.positions.iter().filter(|position| !position.quantity.is_zero()).count();
        match snapshot.mode {
            Mode::Normal => {}
            Mode::ReduceOnly => block(
                "mode",
                "Reduce-only: positions may shrink, nothing new is begun.".to_owned(),
                "To go on, set the mode back to normal, with your name and a reason.",
            ),
            Mode::Cancel => block(
                "mode",
                "Cancel: working orders are cancelled, positions stay, nothing new is begun.".to_owned(),
                "To go on, set the mode back to normal, with your name and a reason.",
            ),
            Mode::Flatten if held == 0 && snapshot.orders.is_empty() => block(
                "mode",
                "Flat: nothing is held and nothing works.".to_owned(),
                "To trade again, set the mode back to normal, with your name and a reason.",
            ),
            Mode::Flatten => {
                let orders = snapshot.orders.len();
                let what =
                    format!("Flattening: {} and {} left.", many(orders, "working order"), many(held, "position"));
                block("mode", what, "What cannot close now (the exchange is shut, no price) closes as soon as it can.");
            }
        }
        if snapshot.disputed {
            let what = "The books differed from the broker's, and the broker's count now.".to_owned();
            block(
                "disputed",
                what,
                "Compare the differences among the events with the broker's statement, then accept them.",
            );
        }
        if snapshot.throttled {
            let what = "The strategy has traded more often than it may without a person.".to_owned();
            block("throttled", what, "Find out why, then enable it again with your name and a reason.");
        }
        let stale: Vec<&str> = snapshot
            .positions
            .iter()
            .filter(|position| position.stale)
            .map(|position| position.symbol.as_str())
            .collect();
        if !stale.is_empty() {
            let more = if stale.len() > 8 { format!(" and {} more", stale.len() - 8) } else { String::new() };
            let what = format!("No prices of {}{more}.", stale[..stale.len().min(8)].join(", "));
            block(
                "stale",
                what,
                "Nothing new is begun there until prices come again. If they do not, look at the feed.",
            );
        }
        blocks
    }

    fn moved(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    fn symbol(&self, instrument: InstrumentId) -> &str {
        self.symbols.get(instrument.index()).map_or("?", Symbol::as_str)
    }

    /// An event in words; none where it would be noise, or a record says it better.
    fn words(&self, event: &Event, note: Option<&str>) -> Option<(Kind, String)> {
        let noted = |text: String| note.map_or(text.clone(), |note| format!("{text} ({note})"));
        Some(match event {
            Event::SessionOpened(session) => (Kind::Session, format!("session {} opened", session.date)),
            Event::Filled(fill) => {
                let done = if fill.quantity.signum() < 0 { "sold" } else { "bought" };
                let fee = if fill.fee.is_zero() { String::new() } else { format!(", fee {}", fill.fee) };
                let (symbol, quantity) = (self.symbol(fill.instrument), fill.quantity.abs());
                (Kind::Fill, format!("{done} {quantity} {symbol} at {}{fee}", price(fill.price)))
            }
            Event::OrderEnded { order, reason } => {
                let how = match reason {
                    OrderEnd::Cancelled => "cancelled",
                    OrderEnd::Expired => "expired",
                    OrderEnd::Replaced => "ended as its alternative filled",
                    OrderEnd::Delisted => "ended as the instrument stopped trading",
                    OrderEnd::Rejected => "refused by the broker",
                };
                let what = self.orders.get(order).map_or("an order".to_owned(), |order| self.order(order));
                let kind = if *reason == OrderEnd::Rejected { Kind::Trouble } else { Kind::Order };
                (kind, noted(format!("{what}: {how}")))
            }
            Event::Borrowed { instrument, amount } => {
                (Kind::Session, format!("paid {amount} for borrowing {}", self.symbol(*instrument)))
            }
            Event::Action(action) => {
                let symbol = self.symbol(action.instrument);
                let text = match action.kind {
                    ActionKind::Split { ratio } => format!("{symbol} splits {ratio:.4} for 1", ratio = ratio.to_f64()),
                    ActionKind::Dividend { amount } => format!("{symbol} pays {amount} a share"),
                    ActionKind::Delisting { price } => format!("{symbol} stops trading, at {price} a share"),
                };
                (Kind::Session, text)
            }
            Event::Feed { instrument, stale: true } => {
                (Kind::Trouble, format!("no prices of {}", self.symbol(*instrument)))
            }
            Event::Feed { instrument, stale: false } => {
                (Kind::Session, format!("prices of {} come again", self.symbol(*instrument)))
            }
            Event::Control(mode) => (Kind::Control, noted(format!("mode {mode}"))),
            Event::Accepted => (Kind::Control, noted("the broker's books are accepted".to_owned())),
            Event::Reenabled => (Kind::Control, noted("the strategy is enabled again".to_owned())),
            Event::Corrected(correction) => {
                let text = match (note, correction) {
                    (Some(note), _) => note.to_owned(),
                    (None, Correction::Position { instrument, ours, theirs, .. }) => {
                        format!("{}: {ours} here, {theirs} at the broker", self.symbol(*instrument))
                    }
                    (None, Correction::Cash { ours, theirs }) => format!("cash: {ours} here, {theirs} at the broker"),
                    (None, Correction::Foreign) => "something that is not of this run".to_owned(),
                };
                (Kind::Trouble, format!("the books differ: {text}"))
            }
            Event::Bar(_) | Event::SessionClosed | Event::Price { .. } | Event::Clock(_) => return None,
        })
    }

    fn saw_record(&mut self, record: &Record) {
        match record {
            Record::Ordered(order) => {
                let text = format!("ordered: {}", self.order(order));
                self.say(Kind::Order, &text);
                self.orders.insert(order.id, *order);
                if self.orders.len() > ORDERS {
                    self.orders.pop_first();
                }
            }
            Record::Refused(refused) => {
                let side = side(refused.order.quantity);
                let text =
                    format!("{side} {} {}: {}", refused.order.quantity.abs(), refused.order.kind, refused.reason);
                let symbol = self.symbol(refused.order.instrument).to_owned();
                let line = RefusalLine { seq: self.told, at: self.now, symbol, text: plain(&text) };
                self.told += 1;
                push(&mut self.refusals, line);
            }
            Record::MarginCall { equity, required } => {
                let text =
                    format!("margin call: equity is {equity}, and positions require {required}; everything is closed");
                self.say(Kind::Trouble, &text);
            }
            Record::Throttled { executions, max } => {
                let text = format!("stopped after {executions} executions, {max} are allowed without a person");
                self.say(Kind::Trouble, &text);
            }
            Record::FilledLate(order) => {
                let what = self.orders.get(order).map_or("an order".to_owned(), |order| self.order(order));
                self.say(Kind::Trouble, &format!("{what}: filled after it had ended here"));
            }
            Record::Equity { session, cash, net, .. } => {
                let Some(equity) = net.to_money().ok().and_then(|net| cash.add(net).ok()) else { return };
                self.add(Point { at: self.now, equity });
                self.say(Kind::Session, &format!("session {session} closed, equity {}", money(equity)));
            }
            Record::Signal(_) | Record::Target(_) | Record::Ledger(_) | Record::TradeClosed(_) => {}
        }
    }

    /// An order in words.
    fn order(&self, order: &Order) -> String {
        format!("{} {} {} {}", side(order.quantity), order.quantity.abs(), self.symbol(order.instrument), order.kind)
    }

    /// What the last session came to stays as one point.
    fn begin_session(&mut self) {
        if let Some(last) = self.curve.last().copied()
            && self.curve.len() > self.session_from
        {
            self.curve.truncate(self.session_from);
            self.curve.push(last);
        }
        if self.curve.len() > POINTS {
            thin(&mut self.curve, 0);
        }
        self.session_from = self.curve.len();
        self.gap = FINEST;
    }

    /// The newest point always stands; those before it keep their distance.
    fn add(&mut self, point: Point) {
        let session = &self.curve[self.session_from..];
        let near = match session {
            [] => false,
            [last] => last.at == point.at,
            [.., before, last] => last.at == point.at || point.at.nanos().saturating_sub(before.at.nanos()) < self.gap,
        };
        if near {
            self.curve.pop();
        }
        self.curve.push(point);
        if self.curve.len() - self.session_from > POINTS {
            thin(&mut self.curve, self.session_from);
            self.gap = self.gap.saturating_mul(2);
        }
    }
}

/// Takes every other point out, but not the last.
fn thin(curve: &mut Vec<Point>, from: usize) {
    let last = curve.len().saturating_sub(1);
    let mut at = 0;
    curve.retain(|_| {
        at += 1;
        at - 1 < from || (at - 1 - from).is_multiple_of(2) || at - 1 == last
    });
}

fn push<T>(lines: &mut VecDeque<T>, line: T) {
    if lines.len() == LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn side(quantity: Quantity) -> &'static str {
    if quantity.signum() < 0 { "sell" } else { "buy" }
}

/// A broker's own words may not say that they are the broker's.
fn of_the_broker(trouble: &str) -> String {
    if trouble.contains("broker") { trouble.to_owned() } else { format!("the broker's line: {trouble}") }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

pub(super) fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Money as people read it, to the cent.
pub(super) fn money(amount: Money) -> String {
    print::amount(amount.to_f64())
}

/// A price with two decimals at least, and as many as it has.
pub(super) fn price(price: Price) -> String {
    let text = price.to_string();
    match text.split_once('.') {
        None => format!("{text}.00"),
        Some((_, fraction)) if fraction.len() < 2 => format!("{text}0"),
        Some(_) => text,
    }
}

/// A span of nanoseconds in its two largest units at most.
pub(super) fn span(nanos: i64) -> String {
    let seconds = nanos.max(0) / 1_000_000_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min {} s", seconds % 60),
        3_600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use domain::{Session, SessionDate};
    use engine::{Refusal, Refused};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    fn cash(units: i64) -> Money {
        Money::from_units(units)
    }

    fn board() -> Board {
        Board::new("sma on paper", vec![Symbol::new("AAPL").unwrap(), Symbol::new("MSFT").unwrap()])
    }

    fn session(day: i32) -> Event {
        let open = at(i64::from(day) * 86_400);
        let close = at(i64::from(day) * 86_400 + 23_400);
        Event::SessionOpened(Session { date: SessionDate::from_days(19_000 + day), open, close, index: day as u32 })
    }

    fn order(quantity: &str) -> Order {
        serde_json::from_value(serde_json::json!({
            "id": 7, "instrument": 0, "quantity": quantity, "kind": {"limit": {"limit": "187.5"}},
            "time_in_force": "day", "bracket": null, "group": null, "reduce_only": false,
        }))
        .unwrap()
    }

    fn snapshot(equity: i64) -> Snapshot {
        Snapshot {
            session: None,
            closed: false,
            step: 1,
            mode: Mode::Normal,
            compared: true,
            others: Vec::new(),
            disputed: false,
            throttled: false,
            trouble: None,
            cash: cash(equity),
            equity: cash(equity),
            deposit: cash(100),
            positions: Vec::new(),
            orders: Vec::new(),
        }
    }

    fn step(records: Vec<Record>) -> Step {
        Step { commands: Vec::new(), records }
    }

    #[test]
    fn a_refusal_is_told_with_its_numbers() {
        let mut board = board();
        let reason =
            Refusal::QuantityTooLarge { quantity: Quantity::whole(500).unwrap(), max: Quantity::whole(100).unwrap() };
        board.saw(&session(0), None, &step(vec![Record::Refused(Refused { order: order("-500"), reason })]));
        let line = board.refusals.back().unwrap();
        assert_eq!(line.symbol, "AAPL");
        assert_eq!(line.text, "sell 500 at 187.5 or better: it asks for 500 shares, and at most 100 are allowed");
        assert_eq!(line.at, at(0));
    }

    #[test]
    fn orders_fills_ends_and_controls_are_told_in_words() {
        let mut board = board();
        board.saw(&session(0), None, &step(vec![Record::Ordered(order("10"))]));
        let fill = serde_json::json!({"filled": {"order": 7, "instrument": 0, "session": "2022-01-08", "quantity": "4",
            "price": "187.2", "fee": "0.35"}});
        board.saw(&serde_json::from_value(fill).unwrap(), None, &Step::default());
        board.saw(
            &Event::OrderEnded { order: OrderId(7), reason: OrderEnd::Rejected },
            Some("no\x1b[2Jroom"),
            &Step::default(),
        );
        board.saw(&Event::Control(Mode::ReduceOnly), Some("Ann: lunch"), &Step::default());
        let said: Vec<&str> = board.said.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            said,
            [
                "session 2022-01-08 opened",
                "ordered: buy 10 AAPL at 187.5 or better",
                "bought 4 AAPL at 187.20, fee 0.35",
                "buy 10 AAPL at 187.5 or better: refused by the broker (no\u{fffd}[2Jroom)",
                "mode reduce-only (Ann: lunch)",
            ]
        );
    }

    #[test]
    fn the_curve_keeps_its_newest_point_and_its_bounds() {
        let mut board = board();
        for day in 0..2_000 {
            board.saw(&session(day), None, &Step::default());
            for second in 0..5 {
                let price = Event::Price {
                    instrument: InstrumentId(0),
                    price: Price::from_units(1),
                    at: at(i64::from(day) * 86_400 + second),
                };
                board.saw(&price, None, &Step::default());
                board.set(snapshot(i64::from(day) * 10 + second), at(0));
                assert_eq!(board.curve.last().unwrap().equity, cash(i64::from(day) * 10 + second));
            }
        }
        assert!(board.curve.len() <= POINTS + 5 && board.curve.len() > POINTS / 2);
        assert!(board.curve.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert_eq!(board.reference(), Some(cash(1_998 * 10 + 4)), "what the session before closed with");
        for second in 5..20_000 {
            let price = Event::Price {
                instrument: InstrumentId(0),
                price: Price::from_units(1),
                at: at(1_999 * 86_400 + second),
            };
            board.saw(&price, None, &Step::default());
            board.set(snapshot(second), at(0));
        }
        assert!(board.curve.len() - board.session_from <= POINTS);
        assert_eq!(board.curve.last().unwrap().equity, cash(19_999));
    }

    #[test]
    fn lists_are_bounded_and_lines_are_numbered_on() {
        let mut board = board();
        (0..1_000).for_each(|one| board.say(Kind::Control, &one.to_string()));
        assert_eq!((board.said.len(), board.told()), (LINES, 1_000));
        assert_eq!(board.said.back().map(|line| (line.seq, line.text.as_str())), Some((999, "999")));
    }

    #[test]
    fn trouble_is_told_when_it_comes_and_when_it_goes() {
        let mut board = board();
        let troubled = Snapshot { trouble: Some("the broker was not reached: timed out".to_owned()), ..snapshot(1) };
        board.set(troubled.clone(), at(0));
        board.set(troubled, at(1));
        board.set(snapshot(1), at(2));
        let said: Vec<&str> = board.said.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(said, ["the broker was not reached: timed out", "the broker answers again"]);
    }

    #[test]
    fn what_blocks_comes_with_what_to_do() {
        let mut board = board();
        assert_eq!(board.blocks(at(0))[0].name, "starting");
        let names =
            |board: &Board, seconds| board.blocks(at(seconds)).iter().map(|block| block.name).collect::<Vec<_>>();
        board.set(snapshot(1), at(0));
        assert!(names(&board, 5).is_empty());
        board.set(Snapshot { mode: Mode::Flatten, disputed: true, throttled: true, ..snapshot(1) }, at(0));
        assert_eq!(names(&board, 60), ["silent", "mode", "disputed", "throttled"]);
        assert_eq!(board.blocks(at(0))[0].what, "Flat: nothing is held and nothing works.");
        let remedy = |board: &mut Board, trouble: String| {
            board.set(Snapshot { trouble: Some(trouble), ..snapshot(1) }, at(0));
            board.blocks(at(0))[0].remedy.clone()
        };
        assert!(remedy(&mut board, "timed out".to_owned()).contains("tried again by itself"));
        let stopped = remedy(&mut board, format!("the broker was not reached: {STOPPED}: MsgSeqNum too low"));
        assert!(stopped.starts_with("Nothing is tried again"), "{stopped}");
    }
}
