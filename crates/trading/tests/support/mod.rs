//! A journal in memory, and traders on it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test file uses its part")]

use std::sync::{Arc, Mutex};

use domain::{Money, Strategy, Symbol};
use engine::{Cancels, Engine, Idle, Limits, Margin};
use journal::{Header, Lines, LinesError, Log};
use simulator::Costs;
use trading::{Desk, Market, Owner, PaperBroker, Trader, TradingError};

/// A stream of numbers from a seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Bytes of a journal that outlive their writer.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// Forgets the last lines, and leaves half of one, as a crash does with what was not synced.
    pub fn tear(&self, share: f64) {
        let mut bytes = self.0.lock().unwrap();
        let keep = (bytes.len() as f64 * (0.5 + share / 2.0)) as usize;
        bytes.truncate(keep);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
    }

    pub fn lines(&self) -> MemoryLines {
        MemoryLines { memory: self.clone(), read: 0, waiting: Vec::new() }
    }
}

#[derive(Debug)]
pub struct MemoryLines {
    memory: Memory,
    read: usize,
    waiting: Vec<u8>,
}

impl Lines for MemoryLines {
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LinesError> {
        let bytes = self.memory.0.lock().unwrap();
        let rest = &bytes[self.read..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        self.read += end + 1;
        Ok(Some(rest[..end].to_vec()))
    }

    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), LinesError> {
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LinesError> {
        self.memory.0.lock().unwrap().append(&mut self.waiting);
        Ok(())
    }
}

impl Drop for MemoryLines {
    fn drop(&mut self) {
        self.sync().unwrap();
    }
}

pub fn header(instruments: usize, cash: Money) -> Header {
    let names = ["AAA", "BBB", "CCC", "DDD", "EEE"];
    Header {
        journal: journal::VERSION,
        run_id: "test".to_owned(),
        instruments: names[..instruments].iter().map(|name| Symbol::new(name).unwrap()).collect(),
        cash,
    }
}

/// The desk's own account: the same limits, but margin is the broker's business.
pub fn gate(limits: &Limits, header: &Header) -> Engine<Idle> {
    let margin = Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    Engine::new(Idle, header.cash, header.instruments.len(), Limits { margin, ..limits.clone() })
}

pub fn paper<S: Strategy>(
    strategy: S,
    costs: Costs,
    limits: Limits,
    header: &Header,
    memory: &Memory,
) -> Trader<S, PaperBroker, MemoryLines> {
    let symbols = &header.instruments;
    let broker = PaperBroker::new(costs, symbols, header.cash);
    let owner = Owner::new("paper", "test").unwrap();
    let desk = Desk::new(broker, owner, symbols, Cancels::AtOnce, gate(&limits, header));
    let engine = Engine::new(strategy, header.cash, symbols.len(), limits).at_venue(symbols, Cancels::AtOnce);
    Trader::new(engine, desk, Log::open(memory.lines(), header).unwrap(), symbols.len())
}

pub fn tell<S: Strategy, B: trading::Broker, L: Lines>(
    trader: &mut Trader<S, B, L>,
    events: &[Market],
) -> Result<(), TradingError> {
    events.iter().try_for_each(|event| trader.market(event))
}
