//! A journal, through its public doors: replay, tampering, torn ends.
#![allow(clippy::unwrap_used)]

use domain::{
    ActionKind, Bar, Calendar, CorporateAction, InstrumentId, Money, Price, Quantity, Ratio, SessionDate, Strategy,
    Symbol,
};
use engine::{Engine, Event, Limits, Step};
use journal::{Digest, Header, JournalError, Reader, VERSION, Writer};
use proptest::prelude::*;
use simulator::{Costs, Market, Venue};
use strategies::{Breakout, Channel, EmaCrossover, SmaCrossover};

const CASH: &str = "100000";

fn header() -> Header {
    Header {
        journal: VERSION,
        run_id: "0123456789abcdef".into(),
        instruments: vec![Symbol::new("AAA").unwrap(), Symbol::new("BBB").unwrap()],
        cash: Money::parse(CASH).unwrap(),
    }
}

fn sessions(count: usize) -> Vec<SessionDate> {
    let first = SessionDate::from_ymd(2004, 1, 2).unwrap();
    Calendar::nyse().sessions().iter().map(|s| s.date).filter(|d| *d >= first).take(count).collect()
}

/// A random walk of two instruments with a split and a dividend, from steps in cents.
fn market(steps: &[(i16, i16)]) -> Market {
    let mut prices = [50_00_i64, 20_00];
    let mut bars = Vec::new();
    let dates = sessions(steps.len());
    for (date, step) in dates.iter().zip(steps) {
        for (at, change) in [step.0, step.1].into_iter().enumerate() {
            let open = prices[at];
            let close = (open + i64::from(change)).max(100);
            prices[at] = close;
            let price = |cents: i64| Price::from_units(cents * 10_000_000);
            bars.push(Bar {
                instrument: InstrumentId(at as u32),
                session: *date,
                open: price(open),
                high: price(open.max(close) + 5),
                low: price(open.min(close) - 5),
                close: price(close),
                volume: 10_000,
            });
        }
    }
    let actions = dates.get(dates.len() / 2).map_or(vec![], |date| {
        vec![
            CorporateAction {
                instrument: InstrumentId(0),
                ex_date: *date,
                kind: ActionKind::Split { ratio: Ratio::new(2, 1).unwrap() },
            },
            CorporateAction {
                instrument: InstrumentId(1),
                ex_date: *date,
                kind: ActionKind::Dividend { amount: Price::parse("0.25").unwrap() },
            },
        ]
    });
    Market::new(Calendar::nyse(), bars, actions, vec![]).unwrap()
}

fn strategy(which: u8) -> Box<dyn Strategy> {
    let size = Quantity::whole(100).unwrap();
    match which % 3 {
        0 => Box::new(SmaCrossover::new(2, 5, size, 2)),
        1 => Box::new(EmaCrossover::new(2, 4, size, 2)),
        _ => Box::new(Breakout::new(4, Channel::default(), size, 2)),
    }
}

fn limits(tight: bool) -> Limits {
    let max = tight.then(|| Money::parse("6000").unwrap());
    Limits { position_notional_max: max, ..Limits::default() }
}

fn engine(which: u8, tight: bool) -> Engine<Box<dyn Strategy>> {
    Engine::new(strategy(which), Money::parse(CASH).unwrap(), 2, limits(tight))
}

fn record(steps: &[(i16, i16)], which: u8, tight: bool) -> (Vec<u8>, Digest) {
    let market = market(steps);
    let costs = Costs { commission_bps: 10.0, borrow_bps: 50.0, volume_share_max: Some(0.005), ..Costs::default() };
    let mut venue = Venue::new(costs, 2);
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let mut observer = |event: &Event, step: &Step| writer.step(event, step).unwrap();
    simulator::run(Calendar::nyse(), &market, &mut engine(which, tight), &mut venue, &mut observer).unwrap();
    writer.finish().unwrap()
}

fn replay(bytes: &[u8], which: u8, tight: bool) -> (Vec<u8>, Digest) {
    let reader = Reader::new(bytes).unwrap();
    let mut writer = Writer::new(Vec::new(), &reader.header().clone()).unwrap();
    let mut engine = engine(which, tight);
    for entry in reader {
        let entry = entry.unwrap();
        writer.step(&entry.event, engine.step(&entry.event).unwrap()).unwrap();
    }
    writer.finish().unwrap()
}

fn read_all(bytes: &[u8]) -> Result<(usize, Digest), JournalError> {
    let mut reader = Reader::new(bytes)?;
    let mut count = 0;
    for entry in reader.by_ref() {
        entry?;
        count += 1;
    }
    Ok((count, reader.digest()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replaying_a_journal_gives_identical_bytes(
        steps in prop::collection::vec((-200_i16..200, -80_i16..80), 2..80),
        which in 0_u8..3,
        tight: bool,
    ) {
        let (bytes, digest) = record(&steps, which, tight);
        prop_assert_eq!(read_all(&bytes).unwrap().1, digest);
        let (again, same) = replay(&bytes, which, tight);
        prop_assert_eq!(same, digest);
        prop_assert!(again == bytes, "the replay wrote other bytes");
    }

    #[test]
    fn any_changed_byte_is_found(at in 0.0..1.0_f64, flip in 1_u8..=255) {
        let (mut bytes, digest) = record(&[(30, 10), (-40, 5), (60, -20), (10, 10), (-90, 30), (50, 5)], 0, false);
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= flip;
        // The last line has no follower; its hash is what the run's manifest keeps.
        prop_assert!(read_all(&bytes).map_or(true, |(_, found)| found != digest));
    }
}

fn example() -> Vec<u8> {
    record(&[(30, 10), (-40, 5), (60, -20), (10, 10), (-90, 30), (50, 5)], 0, false).0
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn a_removed_or_swapped_line_is_named() {
    let mut removed = lines(&example());
    removed.remove(4);
    assert!(matches!(read_all(&removed.concat()), Err(JournalError::Broken { line: 5 })));
    let mut swapped = lines(&example());
    swapped.swap(6, 7);
    assert!(matches!(read_all(&swapped.concat()), Err(JournalError::Broken { line: 7 })));
}

#[test]
fn a_torn_end_is_told_from_a_changed_line() {
    let bytes = example();
    let error = read_all(&bytes[..bytes.len() - 10]).unwrap_err();
    assert!(matches!(error, JournalError::Torn { .. }), "{error}");
    assert!(error.to_string().contains("cut off"));
}

#[test]
fn another_version_or_no_journal_at_all_is_refused() {
    let text = String::from_utf8(example()).unwrap().replacen("\"journal\":1", "\"journal\":2", 1);
    assert!(matches!(read_all(text.as_bytes()), Err(JournalError::Version(2))));
    assert!(matches!(read_all(b""), Err(JournalError::Empty)));
    assert!(matches!(read_all(b"dt,sym\n"), Err(JournalError::Malformed { line: 1, .. })));
}

#[test]
fn a_journal_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("journal.jsonl");
    let draft = journal::JournalFile::create(&place, &header()).unwrap();
    drop(draft);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let digest = journal::JournalFile::create(&place, &header()).unwrap().publish().unwrap();
    let mut reader = journal::open(&place).unwrap();
    assert!(reader.next().is_none());
    assert_eq!(reader.digest(), digest);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
