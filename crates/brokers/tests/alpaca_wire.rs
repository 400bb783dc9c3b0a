//! What the adapter says of a server that breaks in every way: refused, not sent, or unclear; and never twice.
#![allow(clippy::unwrap_used)]

#[path = "alpaca/common.rs"]
mod common;
#[path = "alpaca/hostile.rs"]
mod hostile;

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brokers::alpaca::AlpacaBroker;
use common::{KEY, SECRET, connected, disconnected, id, limit, price, settings, stop, ticket, wait};
use domain::{OrderKind, Quantity};
use hostile::{Hostile, Line, Reply};
use serde_json::{Value, json};
use trading::{Broker, BrokerEvent, Failure, State};

fn broker(server: &Hostile) -> AlpacaBroker {
    let mut broker = AlpacaBroker::connect(settings(&server.address())).unwrap();
    wait(&mut broker, connected);
    broker
}

fn plain(code: u16, body: &str) -> Reply {
    Reply::Plain(code, body.to_owned())
}

fn row(id: &str, name: &str, more: Value) -> Value {
    let mut row = json!({
        "id": id, "client_order_id": name, "symbol": "AAPL", "qty": "100", "filled_qty": "0", "side": "buy",
        "type": "limit", "order_class": "simple", "status": "new", "created_at": "2024-01-02T15:00:00.123456789Z",
    });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn update(event: &str, order: &Value, more: Value) -> String {
    let mut data = json!({ "event": event, "order": order });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "stream": "trade_updates", "data": data }).to_string()
}

fn submit(broker: &mut AlpacaBroker, number: u64) -> Result<(), Failure> {
    broker.submit(&[ticket(number, 100, limit("99.5"))])
}

#[test]
fn what_is_open_after_an_order_is_said_as_it_is() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let sent = row("1", "x", json!({})).to_string();
    let unclear = [
        Reply::Hang,
        plain(500, r#"{"code":50010000,"message":"internal server error"}"#),
        plain(502, "<html>bad gateway</html>"),
        plain(503, ""),
        plain(200, &sent[..sent.len() / 2]),
        plain(200, "[]"),
        Reply::Broken("{\"id\":"),
        Reply::Endless,
        Reply::Headers(307, vec![("location", "http://127.0.0.1:1/v2/orders".to_owned())], String::new()),
        plain(408, ""),
    ];
    for (number, reply) in (1..).zip(unclear) {
        server.reply([reply.clone()]);
        let start = Instant::now();
        let outcome = submit(&mut broker, number);
        assert!(matches!(outcome, Err(Failure::Unclear(_))), "{reply:?}: {outcome:?}");
        assert!(start.elapsed() < Duration::from_millis(2_500), "{reply:?} took {:?}", start.elapsed());
        assert_eq!(server.posts(), number as usize, "{reply:?} was sent again");
    }
    let refused = [
        (plain(403, r#"{"code":40310000,"message":"insufficient buying power"}"#), "insufficient buying power"),
        (plain(422, r#"{"code":42210000,"message":"invalid qty"}"#), "invalid qty"),
        (plain(401, r#"{"message":"unauthorized."}"#), "unauthorized."),
        (plain(404, "not here"), "status 404 Not Found not here"),
    ];
    for (reply, words) in refused {
        server.reply([reply]);
        assert_eq!(submit(&mut broker, 99), Err(Failure::Refused(words.to_owned())));
    }
}

#[test]
fn a_name_that_alpaca_knows_is_an_order_that_arrived() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    server.reply([Reply::Hang, plain(422, r#"{"code":40010001,"message":"client_order_id must be unique"}"#)]);
    assert!(matches!(submit(&mut broker, 1), Err(Failure::Unclear(_))));
    assert_eq!(submit(&mut broker, 1), Ok(()));
    let sent = server.bodies("POST ");
    assert_eq!(sent[0], sent[1]);
}

#[test]
fn an_id_that_has_become_another_order_is_not_taken_for_ours() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let reply = |row: &Value| plain(200, &row.to_string());
    server.reply([reply(&row("1", id(1).as_str(), json!({})))]);
    submit(&mut broker, 1).unwrap();
    // The server was started anew, and gives the same ids again.
    let other = row("1", id(7).as_str(), json!({}));
    let missing = plain(404, r#"{"code":40410000,"message":"order not found"}"#);
    let clock = plain(200, r#"{"timestamp":"2024-01-02T15:00:00Z"}"#);
    server.reply([reply(&other), missing, clock]);
    assert_eq!(broker.find(&id(1)), Ok(None));
    server.open(json!([other]).to_string());
    assert_eq!(broker.working().unwrap()[0].id, id(7));
    server.say(Line::Text(update("new", &other, json!({}))));
    let heard = wait(&mut broker, |heard| !heard.is_empty());
    assert_eq!(heard, [BrokerEvent::Accepted(id(7))]);
}

#[test]
fn too_many_requests_are_not_sent_and_nothing_leaves_until_alpaca_allows() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    server.reply([Reply::Headers(
        429,
        vec![("retry-after", "3".to_owned())],
        r#"{"message":"too many requests."}"#.to_owned(),
    )]);
    let start = Instant::now();
    assert_eq!(submit(&mut broker, 1), Err(Failure::NotSent("too many requests.".to_owned())));
    assert!(matches!(submit(&mut broker, 1), Err(Failure::NotSent(_))));
    assert!(matches!(broker.cancel(&id(1)), Err(Failure::NotSent(_))));
    assert_eq!(server.posts(), 1);
    // A short rest of the pause is waited for.
    std::thread::sleep(Duration::from_millis(2_500).saturating_sub(start.elapsed()));
    server.reply([plain(200, &row("1", id(1).as_str(), json!({})).to_string())]);
    assert_eq!(submit(&mut broker, 1), Ok(()));
    assert!(start.elapsed() >= Duration::from_secs(3));
    let reset = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 30;
    let headers = vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset.to_string())];
    server.reply([Reply::Headers(200, headers, row("2", id(2).as_str(), json!({})).to_string())]);
    assert_eq!(submit(&mut broker, 2), Ok(()));
    assert!(matches!(submit(&mut broker, 3), Err(Failure::NotSent(_))));
}

#[test]
fn the_adapter_itself_keeps_to_the_rate_and_leaves_room_for_cancels() {
    let server = Hostile::new();
    let mut settings = settings(&server.address());
    settings.requests_per_minute = 20;
    settings.time_out = Duration::from_secs(1);
    let mut broker = AlpacaBroker::connect(settings).unwrap();
    wait(&mut broker, connected);
    let order = row("1", id(1).as_str(), json!({})).to_string();
    server.reply(std::iter::repeat_n(plain(200, &order), 40));
    let sent = (0..40).take_while(|_| submit(&mut broker, 1).is_ok()).count();
    // One request was for names, two tokens are kept.
    assert_eq!(sent, server.posts());
    assert!((17..20).contains(&sent), "{sent}");
    server.reply([plain(204, "")]);
    assert_eq!(broker.cancel(&id(1)), Ok(()));
    assert!(server.asked().last().unwrap().starts_with("DELETE /v2/orders/1"));
}

#[test]
fn without_a_connection_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [format!("http://{closed}"), "https://no-such-host.invalid".to_owned()] {
        let mut broker = AlpacaBroker::connect(settings(&address)).unwrap();
        let heard = wait(&mut broker, disconnected);
        assert_eq!(heard.len(), 1);
        for outcome in [submit(&mut broker, 1), broker.cancel(&id(1)), broker.account().map(|_| ())] {
            let Err(Failure::NotSent(words)) = outcome else { panic!("{address}: {outcome:?}") };
            assert!(!words.contains(SECRET) && !words.contains(KEY));
        }
        // A line that stays down is told once.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(broker.events(), []);
    }
}

#[test]
fn keys_are_shown_to_nobody_whose_certificate_is_not_trusted() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = tokio_rustls::rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
            let mut tls = tokio_rustls::rustls::Stream::new(&mut connection, &mut stream);
            let mut first = [0_u8; 1_000];
            let _ = tell.send(tls.read(&mut first).is_ok_and(|count| count > 0));
        }
    });
    let mut broker = AlpacaBroker::connect(settings(&address)).unwrap();
    let Err(Failure::NotSent(words)) = submit(&mut broker, 1) else { panic!("it was sent") };
    assert!(words.contains("certificate"), "{words}");
    let events = wait(&mut broker, disconnected);
    assert!(matches!(&events[0], BrokerEvent::Disconnected(words) if words.contains("certificate")), "{events:?}");
    assert!(!heard.recv().unwrap() && !heard.try_iter().any(|said| said), "something was said");
}

#[test]
fn orders_are_written_as_alpaca_reads_them() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let sent = |number: u64| plain(200, &row("1", id(number).as_str(), json!({})).to_string());
    server.reply([sent(1), sent(2), sent(3)]);
    broker.submit(&[ticket(1, -100, OrderKind::StopLimit { stop: price("95.5"), limit: price("95") })]).unwrap();
    broker.submit(&[ticket(2, 100, OrderKind::MarketOnOpen)]).unwrap();
    broker.submit(&[ticket(3, -100, stop("90")), ticket(4, -100, limit("0.1234"))]).unwrap();
    let bodies: Vec<Value> = server.bodies("POST ").iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let order = |number: u64, more: Value| {
        let mut order = json!({
            "client_order_id": id(number), "symbol": "AAPL", "qty": "100", "side": "sell", "order_class": "simple",
        });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order
    };
    let first = json!({ "type": "stop_limit", "time_in_force": "gtc", "limit_price": "95", "stop_price": "95.5" });
    assert_eq!(bodies[0], order(1, first));
    assert_eq!(bodies[1], order(2, json!({ "type": "market", "time_in_force": "opg", "side": "buy" })));
    let alternatives = json!({
        "client_order_id": format!("{}.{}", id(4), id(3)), "type": "limit", "time_in_force": "gtc",
        "order_class": "oco", "take_profit": { "limit_price": "0.1234" }, "stop_loss": { "stop_price": "90" },
    });
    assert_eq!(bodies[2], order(4, alternatives));
    // What Alpaca would refuse does not leave.
    for tickets in [
        vec![ticket(5, 100, limit("0.00005"))],
        vec![ticket(5, -100, stop("90")), ticket(6, -50, limit("110"))],
        vec![ticket(5, -100, stop("90")), ticket(6, -100, stop("80"))],
        vec![ticket(5, -100, stop("90")), ticket(6, -100, limit("110")), ticket(7, -100, limit("111"))],
    ] {
        assert!(matches!(broker.submit(&tickets), Err(Failure::Refused(_))), "{tickets:?}");
    }
    assert_eq!(server.posts(), 3);
}

/// Alpaca refuses a price between two ticks, and a position would stand without its exits.
#[test]
fn a_price_between_two_ticks_leaves_on_the_one_that_is_no_worse_and_no_later() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let trailing = |text| OrderKind::TrailingStop { trail: domain::Trail::Amount(price(text)) };
    let stop_limit = OrderKind::StopLimit { stop: price("90.001"), limit: price("89.999") };
    let cases = [
        (vec![ticket(1, 100, limit("99.129"))], json!({ "limit_price": "99.12" })),
        (vec![ticket(2, -100, limit("110.0001"))], json!({ "limit_price": "110.01" })),
        (vec![ticket(3, 100, limit("0.12349"))], json!({ "limit_price": "0.1234" })),
        (vec![ticket(4, -100, stop("19.82805"))], json!({ "stop_price": "19.83" })),
        (vec![ticket(5, 100, stop("110.129"))], json!({ "stop_price": "110.12" })),
        (vec![ticket(6, -100, trailing("2.509"))], json!({ "trail_price": "2.5" })),
        (vec![ticket(7, -100, stop_limit)], json!({ "stop_price": "90.01", "limit_price": "90" })),
        (
            vec![ticket(8, -100, stop("136.4566")), ticket(9, -100, limit("139.19175"))],
            json!({ "take_profit": { "limit_price": "139.2" }, "stop_loss": { "stop_price": "136.46" } }),
        ),
    ];
    for (number, (tickets, _)) in (1..).zip(&cases) {
        server.reply([plain(200, &row(&format!("{number}"), tickets[0].id.as_str(), json!({})).to_string())]);
        assert_eq!(broker.submit(tickets), Ok(()), "{tickets:?}");
    }
    let names = ["limit_price", "stop_price", "trail_price", "take_profit", "stop_loss"];
    for ((_, wanted), body) in cases.iter().zip(server.bodies("POST ")) {
        let mut said: serde_json::Map<String, Value> = serde_json::from_str(&body).unwrap();
        said.retain(|name, _| names.contains(&name.as_str()));
        assert_eq!(Value::from(said), *wanted);
    }
}

#[test]
fn an_order_is_found_with_what_it_traded_even_where_alpaca_only_tells_the_sum() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let filled = json!({ "filled_qty": "100", "filled_avg_price": "99.3", "status": "filled" });
    let fill = json!([{
        "id": "20240102100000000::f1", "activity_type": "FILL", "order_id": "1", "qty": "30", "cum_qty": "30",
        "price": "99", "side": "buy", "transaction_time": "2024-01-02T15:00:01Z",
    }, {
        "id": "20240102100000001::f9", "activity_type": "FILL", "order_id": "somebody else's", "qty": "5",
        "cum_qty": "5", "price": "1", "side": "sell", "transaction_time": "2024-01-02T15:00:02Z",
    }]);
    server.reply([plain(200, &row("1", id(1).as_str(), filled).to_string()), plain(200, &fill.to_string())]);
    let found = broker.find(&id(1)).unwrap().unwrap();
    let told: Vec<String> = found
        .executions
        .iter()
        .map(|one| format!("{} {} {} {}", one.id, one.quantity, one.price, one.cumulative))
        .collect();
    assert_eq!((found.state, found.quantity), (State::Filled, Quantity::whole(100).unwrap()));
    // 30 at 99 and 70 at 99.428571429 are 100 at 99.3.
    assert_eq!(told, ["f1 30 99 30", "1:100 70 99.428571429 100"]);
    assert!(server.asked()[1].contains("after=2024-01-02T14%3A59%3A59Z"), "{:?}", server.asked());
    // While they may only be late, nothing is made up.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let late = json!({
        "filled_qty": "100", "filled_avg_price": "99.3", "status": "filled",
        "updated_at": domain::Timestamp::from_nanos(now).to_string(),
    });
    server.reply([plain(200, &row("1", id(1).as_str(), late).to_string()), plain(200, &fill.to_string())]);
    assert!(matches!(broker.find(&id(1)), Err(Failure::Unclear(words)) if words.contains("not told yet")));
    // An answer that is none is not "there is no such order".
    for reply in [plain(500, ""), plain(200, "{}"), Reply::Broken("{"), plain(200, "null")] {
        server.reply([reply]);
        assert!(matches!(broker.find(&id(1)), Err(Failure::Unclear(_))));
    }
}

#[test]
fn long_lists_are_read_to_their_end() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let missing = r#"{"code":40410000,"message":"order not found"}"#;
    let at = |number: i64| format!("2024-01-02T15:{:02}:{:02}Z", number / 60, number % 60);
    let page = |from: i64| -> Value {
        let rows = (0..500).map(|at_row| {
            let number = from - at_row;
            row(&number.to_string(), &format!("other-{number}"), json!({ "submitted_at": at(number) }))
        });
        rows.collect()
    };
    let leg = row("leg", "random", json!({ "order_class": "oco", "type": "stop" }));
    let name = format!("{}.{}", id(7), id(8));
    let oco = json!([row("oco", &name, json!({ "order_class": "oco", "legs": [leg] }))]);
    server.reply([
        plain(404, missing),
        plain(200, r#"{"timestamp":"2024-01-03T10:00:00-05:00","is_open":true}"#),
        plain(200, &page(2_000).to_string()),
        // The end of a page comes again: it is not the end of the list.
        plain(200, &page(1_501).to_string()),
        plain(200, &oco.to_string()),
    ]);
    let found = broker.find(&id(8)).unwrap().unwrap();
    assert_eq!(found.id, id(8));
    let asked = server.asked();
    assert!(asked[2].contains("after=2023-09-25T15%3A00%3A00Z") && asked[2].contains("status=all"), "{asked:?}");
    assert!(asked[3].contains("until=2024-01-02T15%3A25%3A01.000001Z"), "{asked:?}");
    assert_eq!(asked.len(), 5);
}

#[test]
fn the_socket_may_speak_in_text_or_binary() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let order = row("1", id(1).as_str(), json!({ "filled_qty": "40", "status": "partially_filled" }));
    let more = json!({ "execution_id": "e1", "price": "99.5", "qty": "40", "timestamp": "2024-01-02T15:00:01Z" });
    server.say(Line::Text(update("new", &order, json!({}))));
    server.say(Line::Binary(update("partial_fill", &order, more)));
    server.say(Line::Text(update("pending_cancel", &order, json!({}))));
    server.say(Line::Binary(r#"{"stream":"something_new","data":7}"#.to_owned()));
    server.say(Line::Binary(update("canceled", &order, json!({}))));
    let heard = wait(&mut broker, |heard| heard.len() >= 3);
    assert_eq!(heard[0], BrokerEvent::Accepted(id(1)));
    let BrokerEvent::Executed(execution) = &heard[1] else { panic!("{heard:?}") };
    assert_eq!((execution.id.as_str(), execution.cumulative), ("e1", Quantity::whole(40).unwrap()));
    assert!(matches!(&heard[2], BrokerEvent::Ended { id: ended, .. } if *ended == id(1)));
}

#[test]
fn what_cannot_be_read_may_have_been_a_fill_so_the_line_is_opened_anew() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let order = row("1", id(1).as_str(), json!({ "filled_qty": "100", "status": "filled" }));
    let lines = [
        Line::Text("{\"stream\":\"trade_upd".to_owned()),
        Line::Binary(update("fill", &json!({ "id": "1" }), json!({}))),
        // A fill that does not say how much.
        Line::Binary(update("fill", &order, json!({ "price": "1", "timestamp": "2024-01-02T15:00:01Z" }))),
        Line::Close,
    ];
    for line in lines {
        server.say(line.clone());
        let heard = wait(&mut broker, connected);
        assert!(matches!(heard[..], [BrokerEvent::Disconnected(_), BrokerEvent::Connected]), "{line:?}: {heard:?}");
    }
    // And it hears again.
    server.say(Line::Binary(update("canceled", &order, json!({}))));
    wait(&mut broker, |heard| !heard.is_empty());
}

#[test]
fn a_line_that_has_gone_silent_is_down() {
    let server = Hostile::new();
    server.deaf(true);
    let mut broker = broker(&server);
    let start = Instant::now();
    let heard = wait(&mut broker, disconnected);
    assert!(matches!(&heard[0], BrokerEvent::Disconnected(why) if why.contains("silent")), "{heard:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    server.deaf(false);
    wait(&mut broker, connected);
}

#[test]
fn keys_that_are_refused_are_said_and_tried_again() {
    let server = Hostile::new();
    server.refuse_keys(true);
    let mut broker = AlpacaBroker::connect(settings(&server.address())).unwrap();
    let heard = wait(&mut broker, disconnected);
    assert_eq!(heard, [BrokerEvent::Disconnected("Alpaca refuses the keys on the socket".to_owned())]);
    server.refuse_keys(false);
    wait(&mut broker, connected);
}

#[test]
fn somebody_elses_order_keeps_its_name() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let order = row("9", "by-hand.1", json!({}));
    server.say(Line::Binary(update("new", &order, json!({}))));
    let heard = wait(&mut broker, |heard| !heard.is_empty());
    assert!(matches!(&heard[0], BrokerEvent::Accepted(id) if id.as_str() == "by-hand.1"), "{heard:?}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn an_order_of_options_is_said_to_have_no_name_here() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let options = json!({ "symbol": "", "side": "", "type": "", "order_class": "mleg", "position_intent": "" });
    server.reply([plain(200, &row("1", id(1).as_str(), options).to_string())]);
    let outcome = broker.find(&id(1));
    assert!(matches!(&outcome, Err(Failure::Unclear(words)) if words.contains("no name here")), "{outcome:?}");
}

#[test]
fn what_a_person_has_in_options_and_coins_stands_in_nobodys_way() {
    let server = Hostile::new();
    let mut broker = broker(&server);
    let options = json!({ "symbol": "", "side": "", "type": "", "order_class": "mleg", "position_intent": "" });
    let rows = json!([row("1", "by-hand", options), row("2", "by-hand.2", json!({}))]);
    server.open(rows.to_string());
    let working = broker.working().unwrap();
    assert_eq!(working.iter().map(|order| order.id.as_str()).collect::<Vec<_>>(), ["by-hand.2"]);
    let position = |symbol: &str, class: &str, qty: &str| json!({ "symbol": symbol, "asset_class": class, "qty": qty, "side": "long", "current_price": "10.5" });
    let account = r#"{"id":"x","cash":"100.5","status":"ACTIVE"}"#;
    let mut positions = vec![
        position("BTCUSD", "crypto", "0.123456789"),
        position("AAPL240119C00100000", "us_option", "1"),
        position("AAPL", "us_equity", "7"),
    ];
    server.reply([plain(200, account), plain(200, &json!(positions).to_string())]);
    let known = broker.account().unwrap();
    assert_eq!(known.holdings.iter().map(|one| one.symbol.as_str()).collect::<Vec<_>>(), ["AAPL"]);
    // A share's that cannot be read is no zero.
    positions.push(position("MSFT", "us_equity", "many"));
    server.reply([plain(200, account), plain(200, &json!(positions).to_string())]);
    assert!(matches!(broker.account(), Err(Failure::Unclear(_))));
}

#[test]
fn it_can_be_used_and_dropped_inside_a_runtime() {
    let server = Hostile::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut broker = AlpacaBroker::connect(settings(&server.address())).unwrap();
        assert_eq!(broker.working(), Ok(Vec::new()));
    });
}
