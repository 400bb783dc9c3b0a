//! The server for clients that are not ours: half requests, odd questions, pages.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use brokers::alpaca::Credentials;
use brokers::alpaca::server::{Floor, Handle, serve};
use domain::{Calendar, InstrumentId, Money, Price, SessionDate, Symbol};
use engine::Limits;
use serde_json::{Value, json};
use simulator::Costs;
use trading::market::Market;
use trading::paper::PaperBroker;

/// Longer than the server waits for the rest of a request.
const PATIENCE: Duration = Duration::from_secs(15);

fn server() -> Handle<PaperBroker> {
    let symbols = ["AAPL", "IBM"].map(|symbol| Symbol::new(symbol).unwrap());
    let cash = Money::parse("100000").unwrap();
    let floor = Floor::new(PaperBroker::new(Costs::default(), &symbols, cash), &symbols, cash, Limits::default());
    let keys = Credentials::new("key", "secret").unwrap();
    let server = serve(TcpListener::bind("127.0.0.1:0").unwrap(), floor, keys).unwrap();
    let session = *Calendar::nyse().session(SessionDate::parse("2024-01-02").unwrap()).unwrap();
    server.market(&Market::Opened(session)).unwrap();
    let (instrument, price) = (InstrumentId(0), Price::parse("100").unwrap());
    server.market(&Market::Price { instrument, price, volume: 1_000_000, at: session.open }).unwrap();
    server
}

fn connect(server: &Handle<PaperBroker>) -> TcpStream {
    let line = TcpStream::connect(server.address()).unwrap();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    line
}

fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\napca-api-key-id: key\r\napca-api-secret-key: secret\r\n{more}")
}

/// Everything that comes until the server closes the line.
fn rest(mut line: TcpStream) -> String {
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).expect("the server closes the line");
    String::from_utf8(answer).unwrap()
}

/// Status and body, which is JSON.
fn read(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.contains("content-type: application/json"), "{answer}");
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

fn ask(server: &Handle<PaperBroker>, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut line = connect(server);
    let more = format!("connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    line.write_all(head(method, path, &more).as_bytes()).unwrap();
    read(&rest(line))
}

fn get(server: &Handle<PaperBroker>, path: &str) -> Value {
    let (status, body) = ask(server, "GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[test]
fn a_request_that_is_half_sent_is_not_waited_for_for_ever() {
    let server = server();
    let begun = Instant::now();
    let starts = [
        String::new(),
        "GET /v2/acc".to_owned(),
        head("GET", "/v2/account", ""),
        head("POST", "/v2/orders", "content-length: 100\r\n\r\n{\"symbol\":"),
        head("POST", "/v2/orders", "transfer-encoding: chunked\r\n\r\n5\r\n{\"sym"),
    ];
    let lines: Vec<TcpStream> = starts
        .iter()
        .map(|start| {
            let mut line = connect(&server);
            line.write_all(start.as_bytes()).unwrap();
            line
        })
        .collect();
    // One that sends a little now and then is no better.
    let mut slow = connect(&server);
    slow.write_all(b"GET /v2/account HTTP/1.1\r\nx-slow: ").unwrap();
    let mut broke = false;
    while begun.elapsed() < PATIENCE && !broke {
        std::thread::sleep(Duration::from_millis(250));
        broke = slow.write_all(b"a").is_err();
    }
    assert!(broke, "it went on for {:?}", begun.elapsed());
    let answers: Vec<String> = lines.into_iter().map(rest).collect();
    assert!(begun.elapsed() < 2 * PATIENCE, "{:?}", begun.elapsed());
    assert!(answers[..3].iter().all(String::is_empty), "{answers:?}");
    for answer in &answers[3..] {
        let (status, body) = read(answer);
        assert_eq!((status, &body["message"]), (408, &json!("the body took too long")), "{body}");
    }
    // Who asks whole questions is answered, and what was half an order is none.
    assert_eq!(get(&server, "/v2/orders?status=all"), json!([]));
}

#[test]
fn a_body_that_is_too_large_is_refused_in_json() {
    let server = server();
    let mut line = connect(&server);
    let announced = head("POST", "/v2/orders", "connection: close\r\ncontent-length: 9000000\r\n\r\n");
    line.write_all(announced.as_bytes()).unwrap();
    let (status, body) = read(&rest(line));
    assert_eq!((status, &body["code"]), (413, &json!(41_310_000)), "{body}");
    let mut line = connect(&server);
    line.write_all(head("POST", "/v2/orders", "transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..40 {
        // The server may have answered and gone.
        if line.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = [0; 512];
    let read_bytes = line.read(&mut answer).unwrap_or(0);
    assert!(String::from_utf8_lossy(&answer[..read_bytes]).starts_with("HTTP/1.1 413"));
}

#[test]
fn pages_of_orders_leave_none_out_wherever_they_are_cut() {
    let server = server();
    for number in 0..7 {
        let body = json!({
            "symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "90", "time_in_force": "gtc",
            "order_class": "bracket", "client_order_id": format!("o-{number}"),
            "take_profit": { "limit_price": "110" }, "stop_loss": { "stop_price": "80" },
        });
        assert_eq!(ask(&server, "POST", "/v2/orders", &body.to_string()).0, 200);
    }
    let all: Vec<Value> = get(&server, "/v2/orders?status=all&limit=500&direction=asc").as_array().unwrap().clone();
    assert_eq!(all.len(), 21);
    let times: std::collections::BTreeSet<&str> = all.iter().map(|row| row["submitted_at"].as_str().unwrap()).collect();
    assert_eq!(times.len(), 21);
    let ids =
        |rows: &[Value]| -> Vec<String> { rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect() };
    for size in 1..8 {
        for (direction, cut) in [("asc", "after"), ("desc", "until")] {
            let (mut found, mut from) = (Vec::new(), String::new());
            loop {
                let path = format!("/v2/orders?status=all&limit={size}&direction={direction}{from}");
                let page = get(&server, &path).as_array().unwrap().clone();
                let Some(last) = page.last() else { break };
                from = format!("&{cut}={}", last["submitted_at"].as_str().unwrap());
                found.extend(page.clone());
            }
            if direction == "desc" {
                found.reverse();
            }
            assert_eq!(ids(&found), ids(&all), "{size} {direction}");
        }
    }
}

#[test]
fn a_word_that_means_nothing_is_refused_and_what_is_not_here_is_not_listed() {
    let server = server();
    for (path, words) in [
        ("/v2/orders?direction=up", "direction must be asc or desc"),
        ("/v2/account/activities?direction=up", "direction must be asc or desc"),
        ("/v2/account/activities/FILL?direction=up", "direction must be asc or desc"),
        ("/v2/orders?nested=maybe", "nested must be true or false"),
        ("/v2/orders/00000000-0003-4000-8000-000000000001?nested=maybe", "nested must be true or false"),
        ("/v2/orders?side=long", "side must be buy or sell"),
        ("/v2/assets?status=sleeping", "status must be active or inactive"),
    ] {
        let (status, body) = ask(&server, "GET", path, "");
        assert_eq!((status, &body["message"]), (422, &json!(words)), "{path}: {body}");
    }
    let (status, body) = ask(&server, "DELETE", "/v2/positions?cancel_orders=maybe", "");
    assert_eq!((status, &body["message"]), (422, &json!("cancel_orders must be true or false")));
    for path in ["/v2/orders?nested=True&direction=ASC&side=buy", "/v2/orders?nested=", "/v2/orders?nested=0"] {
        assert_eq!(get(&server, path), json!([]));
    }
    let count = |path: &str| get(&server, path).as_array().unwrap().len();
    assert_eq!(count("/v2/assets"), 2);
    assert_eq!(count("/v2/assets?status=active&asset_class=us_equity&exchange=NYSE"), 2);
    for none in ["status=inactive", "asset_class=crypto", "exchange=NASDAQ"] {
        assert_eq!(count(&format!("/v2/assets?{none}")), 0, "{none}");
    }
}
