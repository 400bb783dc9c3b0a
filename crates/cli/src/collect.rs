//! From the events and records of a run to what its report shows. A backtest feeds it while it runs, and
//! `algotrading report` feeds it from the journal: one way to the same figures.

use std::collections::BTreeMap;

use domain::{ActionKind, Bar, CorporateAction, Fill, InstrumentId, SessionDate, Symbol};
use engine::{Event, Record, Trade};
use report::run as shown;

/// Watches a run.
#[derive(Debug)]
pub struct Collector {
    instruments: Vec<Instrument>,
    fills: Vec<(Fill, usize)>,
    trades: Vec<Trade>,
    refused: BTreeMap<String, shown::Refused>,
    session: Option<SessionDate>,
    equity: Vec<shown::EquityPoint>,
    /// Equal-weight return of what is traded, for each session but the first.
    benchmark: Vec<f64>,
    /// Returns of the instruments in the session under way.
    today: Vec<f64>,
    margin_calls: u64,
}

#[derive(Debug)]
struct Instrument {
    symbol: Symbol,
    bars: Vec<Bar>,
    /// Splits, each with the number of bars before it.
    splits: Vec<(usize, f64)>,
    /// Shares and cash that one share of the previous close has become.
    shares: f64,
    income: f64,
}

/// What a run came to.
#[derive(Debug)]
pub struct Collected {
    /// Prices for the chart, restated in shares of the last day.
    pub instruments: Vec<shown::Instrument>,
    /// The account after each session.
    pub equity: Vec<shown::EquityPoint>,
    /// Returns of the instruments, equally weighted, one fewer than sessions.
    pub benchmark: Vec<f64>,
    /// Executions.
    pub fills: Vec<shown::Fill>,
    /// Round trips, those still open last.
    pub trades: Vec<shown::Trade>,
    /// Orders that were stopped, by limit.
    pub refused: Vec<shown::Refused>,
    /// How often everything had to be closed.
    pub margin_calls: u64,
}

impl Collector {
    /// For a run of these instruments.
    #[must_use]
    pub fn new(symbols: &[Symbol]) -> Self {
        let instrument = |symbol: &Symbol| Instrument {
            symbol: symbol.clone(),
            bars: Vec::new(),
            splits: Vec::new(),
            shares: 1.0,
            income: 0.0,
        };
        Self {
            instruments: symbols.iter().map(instrument).collect(),
            fills: Vec::new(),
            trades: Vec::new(),
            refused: BTreeMap::new(),
            session: None,
            equity: Vec::new(),
            benchmark: Vec::new(),
            today: Vec::new(),
            margin_calls: 0,
        }
    }

    /// Takes one step.
    pub fn observe(&mut self, event: &Event, records: &[Record]) {
        match event {
            Event::Bar(bar) => self.bar(bar),
            Event::Action(action) => self.action(action),
            Event::Filled(fill) => {
                let splits = self.instruments.get(fill.instrument.index()).map_or(0, |one| one.splits.len());
                self.fills.push((*fill, splits));
            }
            Event::SessionOpened(session) => self.session = Some(session.date),
            Event::SessionClosed
            | Event::OrderEnded { .. }
            | Event::Borrowed { .. }
            | Event::Price { .. }
            | Event::Clock(_)
            | Event::Feed { .. }
            | Event::Control(_)
            | Event::Corrected(_)
            | Event::Accepted
            | Event::Reenabled => {}
        }
        for record in records {
            self.record(record);
        }
    }

    fn bar(&mut self, bar: &Bar) {
        let Some(one) = self.instruments.get_mut(bar.instrument.index()) else { return };
        if let Some(last) = one.bars.last() {
            let now = bar.close.to_f64() * one.shares + one.income;
            self.today.push(now / last.close.to_f64() - 1.0);
        }
        (one.shares, one.income) = (1.0, 0.0);
        one.bars.push(*bar);
    }

    fn action(&mut self, action: &CorporateAction) {
        let Some(one) = self.instruments.get_mut(action.instrument.index()) else { return };
        match action.kind {
            ActionKind::Split { ratio } => {
                one.splits.push((one.bars.len(), ratio.to_f64()));
                one.shares *= ratio.to_f64();
            }
            ActionKind::Dividend { amount } => one.income += amount.to_f64() * one.shares,
            ActionKind::Delisting { .. } => {}
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Equity { session, cash, net, gross } => {
                let (cash, net) = (cash.to_f64(), net.to_f64());
                if !self.equity.is_empty() {
                    let mean = self.today.iter().sum::<f64>() / self.today.len().max(1) as f64;
                    self.benchmark.push(mean);
                }
                self.today.clear();
                let equity = cash + net;
                self.equity.push(shown::EquityPoint { date: *session, equity, cash, net, gross: gross.to_f64() });
            }
            Record::TradeClosed(trade) => self.trades.push(trade.clone()),
            Record::Refused(refused) => self.refused(refused),
            Record::MarginCall { .. } => self.margin_calls += 1,
            Record::Signal(_)
            | Record::Target(_)
            | Record::Ordered(_)
            | Record::Ledger(_)
            | Record::Throttled { .. }
            | Record::FilledLate(_) => {}
        }
    }

    fn refused(&mut self, refused: &engine::Refused) {
        let reason = serde_json::to_value(refused.reason).unwrap_or_default();
        let name = match &reason {
            serde_json::Value::Object(fields) => fields.keys().next().cloned(),
            other => other.as_str().map(str::to_owned),
        };
        let name = name.unwrap_or_default();
        if let Some(known) = self.refused.get_mut(&name) {
            known.count += 1;
            return;
        }
        let symbol = self.instruments.get(refused.order.instrument.index()).map_or("?", |one| one.symbol.as_str());
        let session = self.session.map_or_else(String::new, |session| session.to_string());
        let first = format!("{session} in {symbol}: {}", refused.reason);
        self.refused.insert(name.clone(), shown::Refused { name, count: 1, first });
    }

    /// Ends the run.
    #[must_use]
    pub fn finish(self, open: &[Trade]) -> Collected {
        let name = |id: InstrumentId| self.instruments.get(id.index()).map_or("?", |one| one.symbol.as_str());
        let fills = self.fills.iter().map(|(fill, splits)| {
            let later = self.instruments.get(fill.instrument.index()).map_or(&[][..], |one| &one.splits[*splits..]);
            let factor: f64 = later.iter().map(|(_, ratio)| ratio).product();
            shown::Fill {
                date: fill.session,
                symbol: name(fill.instrument).to_owned(),
                quantity: fill.quantity.to_f64(),
                price: fill.price.to_f64(),
                chart_price: fill.price.to_f64() / factor,
                fee: fill.fee.to_f64(),
            }
        });
        let trades = self.trades.iter().chain(open).map(|trade| shown::Trade {
            symbol: name(trade.instrument).to_owned(),
            opened: trade.opened,
            closed: trade.closed,
            quantity: trade.quantity.to_f64(),
            entry: trade.entry_price.to_f64(),
            exit: trade.closed.map(|_: SessionDate| trade.exit_price.to_f64()),
            profit: trade.profit.to_f64(),
            fees: trade.fees.to_f64(),
            bars: trade.sessions,
        });
        Collected {
            fills: fills.collect(),
            trades: trades.collect(),
            instruments: self.instruments.iter().map(Instrument::charted).collect(),
            equity: self.equity,
            benchmark: self.benchmark,
            refused: self.refused.into_values().collect(),
            margin_calls: self.margin_calls,
        }
    }
}

impl Instrument {
    /// Prices in shares of the last day, so that a split is no cliff.
    fn charted(&self) -> shown::Instrument {
        let mut splits = self.splits.clone();
        let mut factor: f64 = splits.iter().map(|(_, ratio)| ratio).product();
        splits.reverse();
        let bars = self.bars.iter().enumerate().map(|(at, bar)| {
            while let Some((_, ratio)) = splits.pop_if(|(before, _)| *before <= at) {
                factor /= ratio;
            }
            shown::PriceBar {
                date: bar.session,
                open: bar.open.to_f64() / factor,
                high: bar.high.to_f64() / factor,
                low: bar.low.to_f64() / factor,
                close: bar.close.to_f64() / factor,
                volume: bar.volume as f64 * factor,
            }
        });
        shown::Instrument { symbol: self.symbol.to_string(), bars: bars.collect() }
    }
}
