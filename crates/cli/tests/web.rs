//! Who the trading page lets in, and what it hands over.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use algotrading::live::board::{Board, Kind, Shared};
use algotrading::live::requests::{Ask, Submit, Wish};
use algotrading::live::web::{Token, serve};
use domain::{Symbol, Timestamp};
use engine::Mode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

struct Page {
    at: SocketAddr,
    board: Shared,
    asked: Receiver<Wish>,
    /// Whether nothing can be written down.
    full: Arc<AtomicBool>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn page() -> Page {
    let board = Board::new("sma on paper", vec![Symbol::new("AAPL").unwrap()]);
    let board: Shared = Arc::new(Mutex::new(board));
    let (wishes, asked) = channel();
    let full = Arc::new(AtomicBool::new(false));
    let fails = full.clone();
    let submit: Submit = Arc::new(move |wish| {
        anyhow::ensure!(!fails.load(Ordering::Relaxed), "no space left on device");
        Ok(wishes.send(wish)?)
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    let token = Token::again(SECRET).unwrap();
    runtime.spawn(serve(listener, board.clone(), submit, token, || Timestamp::from_nanos(1_700_000_000_000_000_000)));
    Page { at, board, asked, full, _runtime: runtime }
}

impl Page {
    /// A request as somebody may send it: every header is given, `Host` included.
    fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn host(&self) -> String {
        self.at.to_string()
    }

    /// Visits as the person does who was given the address. Gives the page's folder and cookie.
    fn visit(&self) -> (String, String) {
        let answer = self.send(&format!("GET /?token={SECRET}"), &[("Host", &self.host())], "");
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        (answer.header("location").unwrap().to_owned(), cookie)
    }

    /// What the page itself sends when a person confirms, with headers put in the place of its own.
    fn wish(&self, path: &str, cookie: &str, other: &[(&str, &str)], body: &Value) -> Answer {
        let (host, origin) = (self.host(), format!("http://{}", self.at));
        let own = [
            ("Host", host.as_str()),
            ("Origin", origin.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Mode", "cors"),
            ("Content-Type", "application/json"),
            ("Cookie", cookie),
        ];
        let kept = own.iter().filter(|(name, _)| !other.iter().any(|(another, _)| another == name));
        let headers: Vec<_> = kept.chain(other).copied().filter(|(_, value)| !value.is_empty()).collect();
        self.send(&format!("POST {path}"), &headers, &body.to_string())
    }

    fn asked(&self) -> Vec<Wish> {
        std::thread::sleep(Duration::from_millis(50));
        self.asked.try_iter().collect()
    }
}

fn flatten(id: &str) -> Value {
    json!({"id": id, "confirm": "FLATTEN", "wish": {"ask": {"control": "flatten"}, "by": "Ann", "reason": "test"}})
}

#[test]
fn nobody_comes_in_without_the_token() {
    let page = page();
    let (folder, cookie) = page.visit();
    let host = page.host();
    let cut = &SECRET[..63];
    let wrong =
        ["", "0", cut, &SECRET.replace('0', "1"), &format!("{SECRET}0"), &SECRET.to_uppercase()].map(str::to_owned);
    for token in &wrong {
        let answer = page.send(&format!("GET /?token={token}"), &[("Host", &host)], "");
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{token}");
        let answer = page.send("GET /api/board", &[("Host", &host), ("Authorization", &format!("Bearer {token}"))], "");
        assert_eq!(answer.status, 401, "{token}");
    }
    for path in ["/", &folder, &format!("{folder}board"), &format!("{folder}page.js"), "/api/board", "/nothing"] {
        assert_eq!(page.send(&format!("GET {path}"), &[("Host", &host)], "").status, 401, "{path}");
        let stale = [("Host", host.as_str()), ("Cookie", "trading=00")];
        assert_eq!(page.send(&format!("GET {path}"), &stale, "").status, 401, "{path}");
        // The token itself is no cookie, and a wrong token is not made good by a cookie.
        let token = [("Host", host.as_str()), ("Cookie", &format!("trading={SECRET}"))];
        assert_eq!(page.send(&format!("GET {path}"), &token, "").status, 401, "{path}");
        let both = [("Host", host.as_str()), ("Cookie", cookie.as_str()), ("Authorization", "Bearer x")];
        assert_eq!(page.send(&format!("GET {path}"), &both, "").status, 401, "{path}");
    }
    let answer = page.wish(&format!("{folder}ask"), "", &[], &flatten("no-cookie"));
    assert_eq!(answer.status, 401);
    assert_eq!(page.asked(), []);
}

#[test]
fn whoever_holds_it_sees_and_asks() {
    let page = page();
    let (folder, cookie) = page.visit();
    let host = page.host();
    let own = [("Host", host.as_str()), ("Cookie", cookie.as_str()), ("Sec-Fetch-Site", "same-origin")];
    for (name, kind) in
        [("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg")]
    {
        let answer = page.send(&format!("GET {folder}{name}"), &own, "");
        assert!(answer.status == 200 && answer.header("content-type").unwrap().starts_with(kind), "{answer:?}");
    }
    let shown: Value = serde_json::from_str(&page.send(&format!("GET {folder}board"), &own, "").body).unwrap();
    assert_eq!(shown["title"], "sma on paper");
    let bearer = [("Host", host.as_str()), ("Authorization", &format!("Bearer {SECRET}"))];
    assert_eq!(page.send("GET /api/board", &bearer, "").status, 200);

    assert_eq!(page.wish(&format!("{folder}ask"), &cookie, &[], &flatten("wish-0001")).status, 202);
    let json = [bearer[0], bearer[1], ("Content-Type", "application/json")];
    assert_eq!(page.send("POST /api/ask", &json, &flatten("wish-0002").to_string()).status, 202);
    let ask = Wish { ask: Ask::Control(Mode::Flatten), by: "Ann".to_owned(), reason: "test".to_owned() };
    assert_eq!(page.asked(), [ask.clone(), ask]);
}

#[test]
fn a_foreign_name_for_this_machine_is_refused() {
    let page = page();
    let (folder, cookie) = page.visit();
    let port = page.at.port();
    let foreign = [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "0.0.0.0",
        "192.168.0.1",
        "x@127.0.0.1",
        "127.0.0.1:1:1",
    ];
    for host in foreign.map(str::to_owned).into_iter().chain([format!("evil.example:{port}")]) {
        let headers = [("Host", host.as_str()), ("Cookie", cookie.as_str())];
        assert_eq!(page.send(&format!("GET {folder}board"), &headers, "").status, 403, "{host}");
        assert_eq!(page.send(&format!("GET /?token={SECRET}"), &headers[..1], "").status, 403, "{host}");
        let origin = format!("http://{host}");
        let answer =
            page.wish(&format!("{folder}ask"), &cookie, &[("Host", &host), ("Origin", &origin)], &flatten("wish-0001"));
        assert!([400, 403].contains(&answer.status), "{host}: {answer:?}");
    }
    // Through a tunnel the port is another.
    for host in ["127.0.0.1", "localhost", "LOCALHOST:9000", "[::1]:9000", "127.8.8.8:1"] {
        let headers = [("Host", host), ("Cookie", cookie.as_str())];
        assert_eq!(page.send(&format!("GET {folder}board"), &headers, "").status, 200, "{host}");
    }
    assert_eq!(page.asked(), []);
}

#[test]
fn only_the_page_itself_may_ask() {
    let page = page();
    let (folder, cookie) = page.visit();
    let path = format!("{folder}ask");
    let ask = |other: &[(&str, &str)]| page.wish(&path, &cookie, other, &flatten("wish-0001")).status;
    let (same_host_other_port, tls) =
        (format!("http://127.0.0.1:{}", page.at.port() ^ 1), format!("https://{}", page.at));
    for origin in
        ["http://evil.example", "null", "", &same_host_other_port, &tls, "http://127.0.0.1", "http://localhost"]
    {
        assert_eq!(ask(&[("Origin", origin)]), 403, "{origin}");
    }
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(ask(&[("Sec-Fetch-Site", site)]), 403, "{site}");
        assert_eq!(ask(&[("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "navigate")]), 403, "{site}");
        let host = page.host();
        let read = [
            ("Host", host.as_str()),
            ("Cookie", cookie.as_str()),
            ("Sec-Fetch-Site", site),
            ("Sec-Fetch-Mode", "no-cors"),
        ];
        assert_eq!(page.send(&format!("GET {folder}board"), &read, "").status, 403, "{site} reads");
    }
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(ask(&[("Content-Type", kind)]), 415, "{kind}");
    }
    assert_eq!(page.asked(), []);
}

#[test]
fn a_get_changes_nothing() {
    let page = page();
    let (folder, cookie) = page.visit();
    let host = page.host();
    let origin = format!("http://{host}");
    let headers = [
        ("Host", host.as_str()),
        ("Cookie", cookie.as_str()),
        ("Origin", origin.as_str()),
        ("Content-Type", "application/json"),
    ];
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer =
            page.send(&format!("{method} {folder}ask?mode=flatten"), &headers, &flatten("wish-0001").to_string());
        assert_eq!(answer.status, 405, "{method}");
    }
    assert_eq!(page.asked(), []);
}

#[test]
fn what_is_asked_is_checked_here_too_and_handed_over_once() {
    let page = page();
    let (folder, cookie) = page.visit();
    let ask = |body: &Value| page.wish(&format!("{folder}ask"), &cookie, &[], body).status;
    let control = |mode: &str, by: &str, reason: &str| json!({"ask": {"control": mode}, "by": by, "reason": reason});
    for confirm in [Value::Null, json!("flatten"), json!("FLATTEN "), json!("")] {
        let body = json!({"id": "wish-0001", "confirm": confirm, "wish": control("flatten", "Ann", "")});
        assert_eq!(ask(&body), 422, "{confirm}");
    }
    for (wish, status) in [
        (control("reduce_only", " ", ""), 422),
        (control("normal", "Ann", ""), 422),
        (json!({"ask": "accept", "by": "Ann", "reason": ""}), 422),
        (control("reduce_only", &"x".repeat(61), ""), 422),
        (control("stop", "Ann", ""), 400),
        (json!({"ask": "sell", "by": "Ann", "reason": ""}), 400),
        (json!({"ask": "reenable", "by": "Ann", "reason": "x", "extra": 1}), 400),
        (control("reduce_only", "Ann", &"x".repeat(5_000)), 413),
    ] {
        assert_eq!(ask(&json!({"id": "wish-0001", "wish": wish})), status, "{wish}");
    }
    assert_eq!(ask(&json!({"id": "short", "wish": control("cancel", "Ann", "")})), 400);
    assert_eq!(page.asked(), []);

    let cancel = json!({"id": "wish-0002", "wish": control("cancel", "Ann", "")});
    assert_eq!([ask(&cancel), ask(&cancel), ask(&cancel)], [202; 3]);
    assert_eq!(page.asked().len(), 1);
    // A name that stands for another wish is no way to ask.
    let other = json!({"id": "wish-0002", "confirm": "FLATTEN", "wish": control("flatten", "Ann", "")});
    let answer = page.wish(&format!("{folder}ask"), &cookie, &[], &other);
    assert!(answer.status == 409 && answer.body.contains("give it an id of its own"), "{answer:?}");
    assert_eq!(ask(&cancel), 202);
    assert_eq!(page.asked(), []);
}

#[test]
fn what_could_not_be_written_down_was_not_asked_and_may_be_sent_again() {
    let page = page();
    let (folder, cookie) = page.visit();
    let sent = || page.wish(&format!("{folder}ask"), &cookie, &[], &flatten("wish-0001"));
    page.full.store(true, Ordering::Relaxed);
    let answer = sent();
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("NOTHING WAS ASKED: no space left on device"), "{answer:?}");
    assert_eq!(page.asked(), []);
    page.full.store(false, Ordering::Relaxed);
    assert_eq!((sent().status, sent().status, page.asked().len()), (202, 202, 1));
}

#[test]
fn every_answer_is_closed_to_other_pages_and_kept_nowhere() {
    let page = page();
    let (folder, cookie) = page.visit();
    let host = page.host();
    let own = [("Host", host.as_str()), ("Cookie", cookie.as_str())];
    let answers = [
        page.send(&format!("GET {folder}"), &own, ""),
        page.send(&format!("GET {folder}board"), &own, ""),
        page.send(&format!("GET {folder}nothing"), &own, ""),
        page.send(&format!("GET /?token={SECRET}"), &own, ""),
        page.send("GET /", &[("Host", "evil.example")], ""),
        page.send("GET /api/board", &own[..1], ""),
        page.wish(&format!("{folder}ask"), &cookie, &[], &flatten("wish-0001")),
    ];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 404, 303, 403, 401, 202]);
    for answer in &answers {
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let cookie = answers[3].header("set-cookie").unwrap();
    assert!(cookie.ends_with(&format!("; Path={folder}; HttpOnly; SameSite=Strict")), "{cookie}");
    for answer in &answers {
        assert!(!answer.head.contains(SECRET) && !answer.body.contains(SECRET), "{answer:?}");
    }
}

#[test]
fn the_token_is_not_shown_by_chance() {
    let token = Token::again(SECRET).unwrap();
    assert_eq!(format!("{token:?}"), "Token(…)");
    assert_eq!(token.address("127.0.0.1:80".parse().unwrap()), format!("http://127.0.0.1:80/?token={SECRET}"));
    let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
    assert_eq!(one.expose().len(), 64);
    assert_ne!(one.expose(), other.expose());
    assert!(Token::again("short").is_none() && Token::again(&"g".repeat(64)).is_none());
    assert!(Token::again(one.expose()).is_some_and(|again| again.expose() == one.expose()));
}

#[test]
fn other_addresses_than_this_machines_own_are_refused() {
    let runtime = Runtime::new().unwrap();
    let done = runtime.block_on(async {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        serve(listener, Shared::default(), Arc::new(|_| Ok(())), Token::random().unwrap(), Timestamp::default).await
    });
    let error = done.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1") && error.contains("0.0.0.0") && !error.contains('\n'), "{error}");
}

#[test]
fn text_from_outside_stays_text() {
    let page = page();
    page.board.lock().unwrap().say(Kind::Trouble, "</script><script>alert(1)</script>\u{202e}\x1b[2J");
    let (folder, cookie) = page.visit();
    let host = page.host();
    let answer = page.send(&format!("GET {folder}board"), &[("Host", &host), ("Cookie", &cookie)], "");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let shown: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(shown["said"][0]["text"], "</script><script>alert(1)</script>\u{fffd}\u{fffd}[2J");
    let script = include_str!("../src/live/page.js");
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
        assert!(!script.contains(way), "{way} reads text as code");
    }
}
