//! The market data adapter over a feed that tells again, and a stream and records that fail at the worst moment.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use domain::{Calendar, SessionDate, Symbol, Timestamp};
use ports::embedded::{FolderRecords, KeptFigures, KeptStream};
use ports::records::{Key, Records};
use ports::stream::{Entry, Stream};
use ports::{Answer, CallError, Kind};
use services::Here;
use services::market::{Open, Source, run};
use trading::feed::Text;
use trading::tape::{Numbered, Tape, read};
use trading::{Feed, FeedError, Market, Next};

const SYMBOLS: [&str; 2] = ["IBM", "MSFT"];

fn symbols() -> Vec<Symbol> {
    SYMBOLS.iter().map(|name| Symbol::new(name).unwrap()).collect()
}

/// Sessions as a feed tells them live, or once more: then by time, whoever was late.
fn told(again: bool) -> Vec<Market> {
    let mut text = Text::new(&symbols());
    let mut events = Vec::new();
    for date in ["2024-01-02", "2024-01-03", "2024-01-04"] {
        let price = |symbol: &str, minute: u32, price: u32| {
            format!(
                r#"{{"price": {{"sym": "{symbol}", "price": "{price}", "volume": 5, "at": "{date}T15:{minute}:00Z"}}}}"#
            )
        };
        let (first, late, next) = (price("IBM", 31, 10), price("MSFT", 31, 20), price("IBM", 32, 10));
        let prices = if again { [first, late, next] } else { [first, next, late] };
        let bar = |symbol: &str| {
            format!(
                r#"{{"bar": {{"sym": "{symbol}", "open": "10", "high": "20", "low": "10", "close": "20", "volume": 9}}}}"#
            )
        };
        let mut lines = vec![format!(r#"{{"open": "{date}"}}"#)];
        lines.push(r#"{"dividend": {"sym": "IBM", "amount": "0.5"}}"#.to_owned());
        lines.extend(prices);
        lines.extend([bar("IBM"), bar("MSFT"), format!(r#"{{"close": "{date}"}}"#)]);
        events.extend(lines.iter().filter_map(|line| text.read(Calendar::nyse(), line).unwrap()));
    }
    events
}

/// Tells a session from its beginning whenever it is opened anew, a few events at a time; ends the program after some.
struct Again {
    events: std::vec::IntoIter<Market>,
    left: usize,
    together: usize,
    stop: Arc<AtomicBool>,
}

impl Feed for Again {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        if self.left == 0 {
            self.stop.store(true, Ordering::Relaxed);
            return Ok(Next::Nothing);
        }
        if wait_ms == 0 && self.left.is_multiple_of(self.together) {
            return Ok(Next::Nothing);
        }
        self.left -= 1;
        let event = self.events.next();
        if event.is_none() {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(event.map_or(Next::Nothing, Next::Event))
    }
}

/// Fails at one call, before or after what was put is there.
struct Failing<'a> {
    stream: &'a KeptStream,
    at: Cell<u32>,
    after: bool,
}

impl Stream for Failing<'_> {
    fn put(&self, texts: &[String]) -> Answer<()> {
        let fails = self.at.get() == 0;
        self.at.set(self.at.get().wrapping_sub(1));
        if !fails || self.after {
            self.stream.put(texts)?;
        }
        if fails {
            let (service, call, resource) = ("stream", "put", "x".to_owned());
            return Err(CallError { service, call, resource, kind: Kind::Throttled, message: "full".to_owned() });
        }
        Ok(())
    }

    fn read(&self, after: Option<&str>) -> Answer<Vec<Entry>> {
        self.stream.read(after)
    }
}

fn heard(stream: &KeptStream) -> Vec<Market> {
    let (mut tape, mut events, mut after) = (Tape::new(), Vec::new(), None);
    loop {
        let entries = stream.read(after.as_deref()).unwrap();
        let Some(last) = entries.last() else { break };
        after = Some(last.position.clone());
        for entry in entries {
            events.extend(tape.take(read(&entry.text, &symbols()).unwrap()).unwrap());
        }
    }
    tape.complete().unwrap();
    assert!((1..).zip(&events).all(|(seq, told): (u64, &Numbered)| told.seq == seq));
    events.into_iter().filter_map(|told| told.event).collect()
}

#[test]
fn what_happens_now_is_published_once_whenever_it_is_cut_off() {
    let place = tempfile::tempdir().unwrap();
    let lake = place.path().join("lake");
    fs::create_dir_all(lake.join("strategies")).unwrap();
    // Something has to lie in a lake.
    fs::create_dir_all(lake.join("models")).unwrap();
    fs::write(lake.join("models/x"), "").unwrap();
    let run_file = "[strategy]\nname = \"sma\"\nfast = 1\nslow = 2\nsize = 1\n[data]\nsymbols = [\"IBM\", \"MSFT\"]\n";
    fs::write(lake.join("strategies/x.toml"), run_file).unwrap();
    let whole = told(false);
    let alike = |events: &[Market]| events.iter().map(|event| format!("{event:?}")).collect::<BTreeSet<_>>();
    let mut orders = BTreeSet::new();
    for cut in 0..=whole.len() {
        for (fails, after) in [(None, false), (Some(0), false), (Some(0), true), (Some(1), false), (Some(1), true)] {
            let stream = KeptStream::default();
            let records = FolderRecords(place.path().join(format!("records-{cut}-{fails:?}-{after}")));
            let figures = KeptFigures::default();
            let warned = Mutex::new(Vec::new());
            // Every other time the whole feed comes again, as from a file that is piped in once more.
            let whole_again = cut % 2 == 0;
            let publish = |left: usize, again: bool, at: Option<u32>| {
                let stop = Arc::new(AtomicBool::new(false));
                let here = Here {
                    program: "market-data-adapter",
                    strategy: "x".to_owned(),
                    location: lake.to_str().unwrap().to_owned(),
                    records: &records,
                    figures: &figures,
                    stop: &stop,
                    now: Timestamp::default,
                    log: &|line| warned.lock().unwrap().push(line),
                    lease_ms: 1,
                    beaten: Cell::new(0),
                };
                let stopped = Arc::clone(&stop);
                let source = Source::Live(Box::new(move |_, after: Option<SessionDate>| {
                    let mut events = told(again);
                    let first = |event: &Market| matches!(event, Market::Opened(one) if after.is_none_or(|after| one.date > after));
                    if !whole_again {
                        events.drain(..events.iter().position(first).unwrap_or(events.len()));
                    }
                    let feed = Again { events: events.into_iter(), left, together: 3, stop: stopped };
                    Ok(Open { feed: Box::new(feed), said: Box::new(Vec::new) })
                }));
                let at = Cell::new(at.unwrap_or(u32::MAX));
                run(&here, &Failing { stream: &stream, at, after }, source)
            };
            let first = publish(cut, false, fails);
            assert!(first.is_ok() || fails.is_some(), "{first:?}");
            publish(usize::MAX, true, None).unwrap();
            let events = heard(&stream);
            assert_eq!(alike(&events), alike(&whole), "cut at {cut}, {fails:?} {after}");
            assert_eq!(events.len(), whole.len(), "cut at {cut}, {fails:?} {after}");
            orders.insert(format!("{events:?}"));
            let record = records.get(&Key::new("feed", "x")).unwrap().unwrap().body;
            assert_eq!(record["seq"], whole.len());
        }
    }
    assert!(orders.len() > 1, "the order of symbols was never another");
}
