//! The feed of Alpaca's prices against a server that tells a script, and breaks in every way.
//!
//! `ALPACA_DATA_SEEDS` is how many seeds of faults are tried (12 without it), `ALPACA_DATA_SEED` a single one.
#![allow(clippy::unwrap_used)]

#[path = "alpaca_data/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use brokers::alpaca::data::{AlpacaFeed, DataSettings, Source, stream_at};
use brokers::alpaca::{Base, Credentials};
use domain::{
    ActionKind, Bar, Calendar, CorporateAction, InstrumentId, Price, Ratio, Session, SessionDate, Symbol, Timestamp,
};
use serde_json::json;
use server::{Cents, Faults, KEY, Prices, Reply, SECRET, Script};
use trading::{Feed, FeedError, Market, Next};

const SYMBOLS: [&str; 3] = ["AAPL", "BRK.B", "THIN"];
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

fn date(text: &str) -> SessionDate {
    SessionDate::parse(text).unwrap()
}

fn session(text: &str) -> Session {
    *Calendar::nyse().session(date(text)).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn price(cents: i64) -> Price {
    Price::parse(format!("{}.{:02}", cents / 100, cents % 100)).unwrap()
}

fn symbols() -> Vec<Symbol> {
    SYMBOLS.iter().map(|name| Symbol::new(name).unwrap()).collect()
}

/// A number that only depends on what it is made from.
fn mixed(from: i64) -> i64 {
    let mixed = (from as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as i64
}

fn bar(seed: i64, base: i64) -> Cents {
    let open = base + mixed(seed) % 200;
    let close = base + mixed(seed + 1) % 200;
    let (high, low) = (open.max(close) + mixed(seed + 2) % 50, open.min(close) - mixed(seed + 3) % 50);
    Cents { open, high, low, close, volume: 100 + mixed(seed + 4) % 10_000 }
}

/// Minutes of some sessions: of one symbol all, of one most, of one few; also before the open and after the close.
fn script(sessions: &[Session]) -> Script {
    let mut script = Script::default();
    for session in sessions {
        for (of, (name, share)) in (0_i64..).zip(SYMBOLS.into_iter().zip([100, 70, 4])) {
            let mut start = session.open.nanos() - 3 * MINUTE;
            while start < session.close.nanos() + 3 * MINUTE {
                let seed = start / MINUTE * 10 + of;
                if mixed(seed * 7) % 100 < share {
                    let minutes = script.minutes.entry(name.to_owned()).or_default();
                    minutes.insert(start, bar(seed, 10_000 * (of + 1)));
                }
                start += MINUTE;
            }
            let late = [0, 25 * MINUTE, 40 * MINUTE][of as usize];
            let official = bar(i64::from(session.date.days()) + of, 10_000 * (of + 1));
            script.days.entry(name.to_owned()).or_default().insert(session.date, (official, late));
        }
    }
    script
}

/// What a script comes to, session by session.
fn told(script: &Script, sessions: &[Session]) -> Vec<Market> {
    let mut events = Vec::new();
    for session in sessions {
        events.push(Market::Opened(*session));
        let mut prices: Vec<(Timestamp, InstrumentId, Cents)> = Vec::new();
        for (of, name) in (0..).map(InstrumentId).zip(SYMBOLS) {
            for (start, bar) in script.minutes.get(name).into_iter().flatten() {
                if session.open.nanos() <= *start && start + MINUTE <= session.close.nanos() {
                    prices.push((Timestamp::from_nanos(start + MINUTE), of, *bar));
                }
            }
        }
        prices.sort_by_key(|(at, of, _)| (*at, *of));
        events.extend(prices.into_iter().map(|(at, instrument, bar)| Market::Price {
            instrument,
            price: price(bar.close),
            volume: bar.volume as u64,
            at,
        }));
        for (instrument, name) in (0..).map(InstrumentId).zip(SYMBOLS) {
            if let Some((day, _)) = script.days.get(name).and_then(|days| days.get(&session.date)) {
                let bar = Bar {
                    instrument,
                    session: session.date,
                    open: price(day.open),
                    high: price(day.high),
                    low: price(day.low),
                    close: price(day.close),
                    volume: day.volume as u64,
                };
                events.push(Market::Bar { bar, traded: bar });
            }
        }
        events.push(Market::Closed);
    }
    events
}

/// Symbols have an order of their own each; between them only the minute counts. Fails where one goes back in time.
fn in_order(mut events: Vec<Market>) -> Vec<Market> {
    let mut last: BTreeMap<InstrumentId, Timestamp> = BTreeMap::new();
    for event in &events {
        if let Market::Price { instrument, at, .. } = event {
            let before = last.insert(*instrument, *at);
            assert!(before.is_none_or(|before| before < *at), "{instrument:?} goes from {before:?} to {at}");
        }
    }
    for prices in events.chunk_by_mut(|one, other| matches!((one, other), (Market::Price { .. }, Market::Price { .. })))
    {
        prices.sort_by_key(|event| match event {
            Market::Price { instrument, at, .. } => (*at, *instrument),
            _ => Default::default(),
        });
    }
    events
}

/// Impatient settings.
fn settings(prices: &Prices) -> DataSettings {
    let address = format!("127.0.0.1:{}", prices.port());
    let keys = Credentials::new(KEY, SECRET).unwrap();
    let rest = Base::parse(&format!("http://{address}")).unwrap();
    let stream = stream_at(&format!("ws://{address}")).unwrap();
    DataSettings {
        time_out: Duration::from_millis(1_500),
        requests_per_minute: 1_000_000,
        reconnect_after: (Duration::from_millis(2), Duration::from_millis(20)),
        ping_every: Duration::from_millis(500),
        look_every: Duration::from_millis(1),
        ..DataSettings::new(rest, stream, keys, Source::Iex)
    }
}

fn feed(prices: &Prices, after: Option<&str>) -> AlpacaFeed {
    feed_with(prices, settings(prices), after)
}

fn feed_with(prices: &Prices, settings: DataSettings, after: Option<&str>) -> AlpacaFeed {
    let clock = prices.clone();
    AlpacaFeed::connect(settings, &symbols(), after.map(date), move || clock.now()).unwrap()
}

/// What it tells until it has told enough.
fn hear(feed: &mut AlpacaFeed, mut enough: impl FnMut(&[Market]) -> bool) -> Vec<Market> {
    hear_while(feed, |_| {}, &mut enough)
}

fn hear_while(
    feed: &mut AlpacaFeed,
    mut meanwhile: impl FnMut(&[Market]),
    mut enough: impl FnMut(&[Market]) -> bool,
) -> Vec<Market> {
    let (start, mut events) = (Instant::now(), Vec::new());
    while !enough(&events) {
        let late = start.elapsed() > Duration::from_secs(60);
        assert!(!late, "{:?}\nafter {:?} of {}", feed.said().take(), events.last(), events.len());
        match feed.next(1).unwrap() {
            Next::Event(event) => events.push(event),
            Next::Nothing => meanwhile(&events),
            Next::End => panic!("it ended"),
        }
    }
    events
}

fn failure(feed: &mut AlpacaFeed) -> FeedError {
    let start = Instant::now();
    loop {
        match feed.next(10) {
            Err(error) => return error,
            Ok(next) => assert!(start.elapsed() < Duration::from_secs(20), "{next:?}"),
        }
    }
}

fn closed(count: usize) -> impl FnMut(&[Market]) -> bool {
    move |events| events.iter().filter(|event| **event == Market::Closed).count() >= count
}

/// Moves time on as long as nothing is told, over the nights at once.
fn moving(prices: &Prices, step: i64) -> impl FnMut(&[Market]) {
    move |events| {
        let now = prices.now();
        let next = match events.last() {
            Some(Market::Closed) => {
                let later = |session: &&Session| session.open > now;
                Calendar::nyse().sessions().iter().find(later).unwrap().open.nanos() - 7 * MINUTE
            }
            _ => now.nanos() + step,
        };
        prices.move_to(Timestamp::from_nanos(next.max(now.nanos() + SECOND)));
    }
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let start = Instant::now();
    while !until() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The eve of a holiday, when the exchange closes early, and the session after it.
fn two_sessions() -> Vec<Session> {
    vec![session("2024-07-03"), session("2024-07-05")]
}

#[test]
fn a_day_is_told_as_it_was_over_a_holiday_and_an_early_close() {
    let sessions = two_sessions();
    let prices = Prices::new(script(&sessions), at("2024-07-03T05:00:00Z"));
    let mut feed = feed(&prices, None);
    let events = hear_while(&mut feed, moving(&prices, 20 * SECOND), closed(2));
    assert_eq!(in_order(events), told(&script(&sessions), &sessions));
    assert_eq!(feed.said().take(), [""; 0]);
    // The minutes came over the socket: of two symbols there are gaps to ask about, at most twice a minute.
    let asked = prices.asked().iter().filter(|asked| asked.contains("1Min")).count();
    assert!((100..=1_300).contains(&asked), "{asked}");
    assert!(prices.asked().iter().all(|asked| !asked.contains("1Min") || asked.contains("feed=iex")));
    assert!(prices.asked().iter().all(|asked| !asked.contains("1Day") || asked.contains("feed=sip")));
}

#[test]
fn whatever_breaks_the_day_is_told_as_it_was() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("ALPACA_DATA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ALPACA_DATA_SEEDS").unwrap_or(12),
    };
    let sessions = two_sessions();
    let expected = told(&script(&sessions), &sessions);
    for seed in seeds {
        println!("seed {seed}");
        let of = |salt: i64, limit: i64| mixed(seed as i64 * 100 + salt) % limit;
        let share = |salt: i64, most: i64| of(salt, most + 1) as f64 / 100.0;
        let begin = sessions[0].open.nanos() + (of(0, 400) - 60) * MINUTE;
        let prices = Prices::new(script(&sessions), Timestamp::from_nanos(begin));
        let faults = Faults { answers: share(1, 60), drops: share(2, 20), muddles: share(3, 50), lies: share(4, 30) };
        prices.faults(faults, seed);
        prices.page(7 + of(5, 300) as usize);
        let mut feed = feed(&prices, Some("2024-07-02"));
        let step = (20 + of(6, 100)) * SECOND;
        let events = hear_while(&mut feed, moving(&prices, step), closed(2));
        let events = in_order(events);
        let difference = events.iter().zip(&expected).position(|(one, other)| one != other);
        let shown = difference.map(|at| (&events[at], &expected[at]));
        assert!(events == expected, "seed {seed} {faults:?}: {shown:?}, {} of {}", events.len(), expected.len());
        for sentence in feed.said().take() {
            assert!(!sentence.contains(KEY) && !sentence.contains(SECRET), "{sentence}");
        }
    }
}

#[test]
fn a_start_in_the_middle_or_after_the_close_tells_what_went_by() {
    let sessions = [session("2024-07-03")];
    for now in ["2024-07-03T15:20:30Z", "2024-07-03T17:00:00Z", "2024-07-03T17:10:00Z", "2024-07-04T02:00:00Z"] {
        let prices = Prices::new(script(&sessions), at(now));
        let mut feed = feed(&prices, None);
        let events = hear_while(&mut feed, moving(&prices, 20 * SECOND), closed(1));
        assert_eq!(in_order(events), told(&script(&sessions), &sessions), "{now}");
    }
}

#[test]
fn what_went_by_in_days_is_told_and_what_was_told_is_not() {
    let sessions = two_sessions();
    let prices = Prices::new(script(&sessions), at("2024-07-06T15:00:00Z"));
    let mut feed = feed(&prices, Some("2024-07-02"));
    assert_eq!(in_order(hear(&mut feed, closed(2))), told(&script(&sessions), &sessions));
    let mut again = self::feed(&prices, Some("2024-07-03"));
    assert_eq!(in_order(hear(&mut again, closed(1))), told(&script(&sessions), &sessions[1..]));
    // On a Saturday there is nothing to tell, and no socket is open.
    let mut later = self::feed(&prices, Some("2024-07-05"));
    for _ in 0..50 {
        assert_eq!(later.next(1), Ok(Next::Nothing));
    }
    assert_eq!(prices.sockets(), 0);
}

#[test]
fn a_stop_in_the_night_is_at_once_and_the_next_start_goes_on() {
    let sessions = two_sessions();
    let prices = Prices::new(script(&sessions), at("2024-07-03T13:00:00Z"));
    let mut feed = feed(&prices, None);
    hear_while(&mut feed, moving(&prices, 60 * SECOND), closed(1));
    prices.move_to(at("2024-07-04T07:00:00Z"));
    wait("the socket stays open", || prices.sockets() == 0);
    assert_eq!(feed.next(20), Ok(Next::Nothing));
    let start = Instant::now();
    drop(feed);
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    let mut feed = self::feed(&prices, Some("2024-07-03"));
    let events = hear_while(&mut feed, moving(&prices, 20 * MINUTE), closed(1));
    assert_eq!(in_order(events), told(&script(&sessions), &sessions[1..]));
    // In the middle of a question too.
    prices.reply("corporate-actions", Reply::Hang);
    let feed = self::feed(&prices, Some("2024-07-03"));
    wait("nobody asks", || prices.asked().last().is_some_and(|asked| asked.contains("corporate-actions")));
    let start = Instant::now();
    drop(feed);
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
}

#[test]
fn actions_in_force_come_between_the_open_and_the_first_price() {
    let sessions = two_sessions();
    let mut script = script(&sessions);
    let row = |kind: &str, row: serde_json::Value| (kind.to_owned(), row);
    let split = json!({ "id": "1", "symbol": "AAPL", "new_rate": 4, "old_rate": 1, "ex_date": "2024-07-05",
        "process_date": "2024-07-05" });
    // In force on the holiday, and filed under the day on which it is paid.
    let dividend = json!({ "id": "2", "symbol": "BRK.B", "rate": 0.235, "special": false, "foreign": false,
        "ex_date": "2024-07-04", "process_date": "2024-08-15" });
    let merger = json!({ "id": "3", "acquiree_symbol": "THIN", "source_symbol": "THIN", "ex_date": "2024-07-05",
        "process_date": "2024-07-05" });
    let other =
        json!({ "id": "4", "symbol": "AAPL", "rate": 1, "ex_date": "2024-07-08", "process_date": "2024-07-08" });
    script.actions = vec![
        row("forward_splits", split),
        row("cash_dividends", dividend),
        row("spin_offs", merger),
        row("cash_dividends", other),
    ];
    let prices = Prices::new(script, at("2024-07-06T15:00:00Z"));
    prices.page(1);
    let mut feed = feed(&prices, Some("2024-07-02"));
    let events = hear(&mut feed, closed(2));
    let actions: Vec<(usize, CorporateAction)> = (0..)
        .zip(&events)
        .filter_map(|(at, event)| if let Market::Action(action) = event { Some((at, *action)) } else { None })
        .collect();
    let opened = events.iter().position(|event| *event == Market::Opened(sessions[1])).unwrap();
    let action = |instrument, ex_date, kind| CorporateAction { instrument: InstrumentId(instrument), ex_date, kind };
    let dividend = ActionKind::Dividend { amount: Price::parse("0.235").unwrap() };
    let split = ActionKind::Split { ratio: Ratio::new(4, 1).unwrap() };
    assert_eq!(
        actions,
        [(opened + 1, action(1, date("2024-07-04"), dividend)), (opened + 2, action(0, date("2024-07-05"), split))]
    );
    assert_eq!(feed.said().take(), ["THIN has spin offs in force, which is not told"]);
}

#[test]
fn keys_that_are_refused_end_it_with_a_sentence_that_has_none_of_them() {
    let prices = Prices::new(script(&two_sessions()), at("2024-07-03T15:00:00Z"));
    let keys = Credentials::new("PKWRONG", "wrong-secret").unwrap();
    let wrong = DataSettings { credentials: keys, ..settings(&prices) };
    let mut feed = feed_with(&prices, wrong, None);
    let error = failure(&mut feed);
    // The socket or the first question, whichever is first.
    let sentences =
        ["GET /v1/corporate-actions: forbidden.", "Alpaca refuses the keys (402 auth failed)"].map(str::to_owned);
    assert!(sentences.contains(&error.0), "{error}");
    assert_eq!(feed.next(1), Err(error.clone()));
    let all = format!("{error} {error:?} {feed:?} {:?}", feed.said().take());
    assert!(!all.contains("PKWRONG") && !all.contains("wrong-secret"), "{all}");
    // At night too, when no socket is wanted.
    let prices = Prices::new(script(&two_sessions()), at("2024-07-04T15:00:00Z"));
    let keys = Credentials::new("PKWRONG", "wrong-secret").unwrap();
    let wrong = DataSettings { credentials: keys, ..settings(&prices) };
    assert_eq!(failure(&mut feed_with(&prices, wrong, None)).0, sentences[0]);
}

#[test]
fn errors_of_the_socket_are_sentences_and_only_some_are_for_good() {
    for (code, message, sentence) in [
        (402, "auth failed", "Alpaca refuses the keys (402 auth failed)"),
        (405, "symbol limit exceeded", "Alpaca takes fewer symbols on this subscription (405 symbol limit exceeded)"),
        (
            409,
            "insufficient subscription",
            "Alpaca does not give this data on this subscription (409 insufficient subscription)",
        ),
    ] {
        let prices = Prices::new(script(&two_sessions()), at("2024-07-03T15:00:00Z"));
        prices.error(code, message);
        assert_eq!(failure(&mut feed(&prices, None)).0, sentence);
    }
    let prices = Prices::new(script(&two_sessions()), at("2024-07-03T13:00:00Z"));
    for _ in 0..3 {
        prices.error(406, "connection limit exceeded");
    }
    let mut feed = feed(&prices, None);
    let said = feed.said();
    hear_while(&mut feed, moving(&prices, 20 * SECOND), |events| events.len() > 20);
    // Once for all three, and only then is it up.
    let expected = [
        "the socket of prices is opened again: Alpaca takes no further connection with these keys: another one is open \
         (406 connection limit exceeded)",
        "the socket of prices is open again",
    ];
    wait("the socket stays down", || prices.sockets() == 1);
    assert_eq!(said.take(), expected);
    // Keys that were good are tried again.
    prices.error(402, "auth failed");
    prices.say("[{\"T\":\"error\",\"code\":407,\"msg\":\"slow client\"}]");
    hear_while(&mut feed, moving(&prices, 20 * SECOND), |events| events.len() > 20);
    wait("the socket stays down", || prices.sockets() == 1);
    let said = said.take();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("because we read too slowly (407 slow client)"), "{said:?}");
}

#[test]
fn a_server_that_is_not_there_is_asked_again_and_said_once() {
    let prices = Prices::new(script(&two_sessions()), at("2024-07-03T15:00:00Z"));
    for _ in 0..5 {
        prices.reply("corporate-actions", Reply::Status(503, Vec::new(), String::new()));
    }
    let mut feed = feed(&prices, None);
    hear(&mut feed, |events| events.len() > 100);
    let said = feed.said().take();
    let expected = [
        "Alpaca's prices are asked for again and again: GET /v1/corporate-actions: status 503 Service Unavailable",
        "Alpaca's prices are answered again",
    ];
    assert_eq!(said, expected);
    let gone = Base::parse("http://127.0.0.1:1").unwrap();
    let mut feed = feed_with(&prices, DataSettings { rest: gone.clone(), stream: gone, ..settings(&prices) }, None);
    assert_eq!(hear(&mut feed, |events| !events.is_empty()), [Market::Opened(session("2024-07-03"))]);
    // Nothing is told before it is known what is in force.
    assert_eq!(feed.next(300), Ok(Next::Nothing));
    assert_eq!(feed.said().take().len(), 2);
}

#[test]
fn too_many_questions_are_not_asked_again_before_alpaca_allows() {
    let prices = Prices::new(script(&two_sessions()), at("2024-07-03T15:00:00Z"));
    let wait = vec![("retry-after", "1".to_owned())];
    prices.reply("1Min", Reply::Status(429, wait, r#"{"message":"too many requests."}"#.to_owned()));
    let mut feed = feed(&prices, None);
    let start = Instant::now();
    hear(&mut feed, |events| events.len() > 100);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(prices.asked().iter().filter(|asked| asked.contains("1Min")).count(), 2);
}

#[test]
fn a_question_without_an_answer_holds_back_no_other_symbol() {
    let sessions = two_sessions();
    let prices = Prices::new(script(&sessions), at("2024-07-03T13:29:00Z"));
    let mut feed = feed_with(&prices, DataSettings { time_out: Duration::from_secs(30), ..settings(&prices) }, None);
    wait("nobody listens", || prices.sockets() == 1);
    prices.reply("1Min", Reply::Hang);
    let every_minute = |events: &[Market]| {
        let full = |event: &&Market| matches!(event, Market::Price { instrument: InstrumentId(0), .. });
        events.iter().filter(full).count() >= 60
    };
    hear_while(&mut feed, moving(&prices, 10 * SECOND), every_minute);
    assert_eq!(prices.asked().iter().filter(|asked| asked.contains("1Min")).count(), 1);
}

#[test]
fn a_line_that_says_nothing_is_no_silence() {
    let sessions = [session("2024-07-03")];
    let prices = Prices::new(script(&sessions), at("2024-07-03T13:20:00Z"));
    prices.mute(true);
    let mut feed = feed(&prices, None);
    let events = hear_while(&mut feed, moving(&prices, 20 * SECOND), closed(1));
    assert_eq!(in_order(events), told(&script(&sessions), &sessions));
}

#[test]
fn what_cannot_be_is_left_out_and_said_once() {
    let sessions = [session("2024-07-03")];
    let mut script = script(&sessions);
    let wrong = sessions[0].open.nanos() + 5 * MINUTE;
    script.minutes.get_mut("AAPL").unwrap().get_mut(&wrong).unwrap().high = 1;
    script.days.get_mut("THIN").unwrap().get_mut(&sessions[0].date).unwrap().0.low = 0;
    let prices = Prices::new(script.clone(), at("2024-07-03T13:29:00Z"));
    let mut feed = feed(&prices, None);
    wait("nobody listens", || prices.sockets() == 1);
    let to_come = json!([
        { "T": "b", "S": "AAPL", "t": "2024-07-03T16:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1 },
        { "T": "b", "S": "AAPL", "t": "2025-07-03T16:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1 },
        { "T": "b", "S": "OTHER", "t": "2024-07-03T13:28:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1 },
        { "T": "b", "S": "THIN" }, { "T": "b", "S": "THIN", "t": 7 }, { "T": "u", "S": "AAPL" }, { "T": 5 },
    ]);
    prices.say(&to_come.to_string());
    let mut events = hear_while(&mut feed, moving(&prices, 20 * SECOND), closed(1));
    script.minutes.get_mut("AAPL").unwrap().remove(&wrong);
    script.days.remove("THIN");
    events = in_order(events);
    assert_eq!(events, told(&script, &sessions));
    let said = feed.said().take();
    let about = |what: &str| said.iter().filter(|sentence| sentence.contains(what)).count();
    let all = [
        "minute to come of AAPL",
        "\"OTHER\"",
        "minute of THIN",
        "minute of AAPL",
        "day of THIN",
        "no bar of that day",
    ];
    for what in all {
        assert_eq!(about(what), 1, "{what}: {said:#?}");
    }
    assert_eq!(said.len(), all.len(), "{said:#?}");
}

#[test]
fn a_symbol_that_did_not_trade_has_no_bar_and_the_day_closes_at_the_deadline() {
    let sessions = [session("2024-07-03")];
    let mut script = script(&sessions);
    script.days.remove("THIN");
    script.minutes.remove("THIN");
    let prices = Prices::new(script.clone(), at("2024-07-03T17:59:59Z"));
    let mut feed = feed(&prices, None);
    let bars = |prices: &Prices| prices.asked().iter().filter(|asked| asked.contains("1Day")).count();
    wait("nobody asks for the bars", || bars(&prices) == 1);
    while let Next::Event(event) = feed.next(200).unwrap() {
        assert!(event != Market::Closed && !matches!(event, Market::Bar { .. }));
    }
    prices.move_to(at("2024-07-03T18:01:00Z"));
    let events = hear(&mut feed, closed(1));
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(feed.said().take(), [""; 0]);
    assert!(bars(&prices) >= 2);
}

#[test]
fn bars_that_are_refused_are_waited_for_until_the_deadline_and_an_outage_for_ever() {
    let sessions = [session("2024-07-03")];
    let prices = Prices::new(script(&sessions), at("2024-07-05T01:00:00Z"));
    let message = r#"{"message":"subscription does not permit querying recent SIP data"}"#.to_owned();
    prices.reply("1Day", Reply::Status(403, Vec::new(), message));
    let mut feed = feed(&prices, Some("2024-07-02"));
    let events = hear(&mut feed, closed(1));
    assert!(events.iter().all(|event| !matches!(event, Market::Bar { .. })));
    let said = feed.said().take();
    assert!(said[0].contains("does not permit querying recent SIP data"), "{said:?}");
    assert_eq!(said.len(), 4, "{said:?}");
    for _ in 0..20 {
        prices.reply("1Day", Reply::Status(500, Vec::new(), String::new()));
    }
    let mut feed = self::feed(&prices, Some("2024-07-02"));
    assert_eq!(in_order(hear(&mut feed, closed(1))), told(&script(&sessions), &sessions));
}

#[test]
fn trades_come_before_their_minute_and_together_they_are_what_was_traded() {
    let sessions = [session("2024-07-03")];
    let mut script = script(&sessions);
    for (name, minutes) in &script.minutes {
        let trades = script.trades.entry(name.clone()).or_default();
        for (start, bar) in minutes {
            let each = bar.volume / 4;
            trades.push((start + 10 * SECOND + 7, bar.open, each, vec!["@".to_owned()]));
            trades.push((start + 20 * SECOND, bar.low - 500, 1, vec!["@".to_owned(), "I".to_owned()]));
            trades.push((start + 50 * SECOND, bar.close, each, vec![]));
        }
    }
    for (faults, seed) in [(Faults::default(), 0), (Faults { answers: 0.3, drops: 0.1, muddles: 0.3, lies: 0.2 }, 1)] {
        let prices = Prices::new(script.clone(), at("2024-07-03T13:20:00Z"));
        prices.faults(faults, seed);
        let with_trades = DataSettings { trades: true, ..settings(&prices) };
        let mut feed = feed_with(&prices, with_trades, None);
        let events = hear_while(&mut feed, moving(&prices, 7 * SECOND), closed(1));
        let mut volumes: BTreeMap<(InstrumentId, i64), u64> = BTreeMap::new();
        let (mut last, mut trades) = (BTreeMap::new(), 0);
        let mut minutes = Vec::new();
        for event in &events {
            let Market::Price { instrument, at, price, volume } = event else {
                minutes.push(*event);
                continue;
            };
            let before = last.insert(*instrument, *at);
            assert!(before.is_none_or(|before| before <= *at), "{instrument:?} goes from {before:?} to {at}");
            let end = (at.nanos() + MINUTE - 1) / MINUTE * MINUTE;
            let sum = volumes.entry((*instrument, end)).or_default();
            *sum += volume;
            if at.nanos() == end {
                minutes.push(Market::Price { instrument: *instrument, at: *at, price: *price, volume: *sum });
            } else {
                trades += 1;
            }
        }
        assert_eq!(in_order(minutes), told(&script, &sessions));
        // Trades that nobody heard are in the volume of their minute.
        let all = script.minutes.values().map(BTreeMap::len).sum::<usize>() * 2;
        assert!(trades * 10 > all * if seed == 0 { 8 } else { 1 }, "{trades} of {all}");
    }
}
