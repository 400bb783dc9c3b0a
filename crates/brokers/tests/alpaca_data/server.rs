//! Alpaca's market data on this machine: a script of minutes, told by a clock that somebody moves, with faults on wish.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub, reason = "each file that has it as a module uses its part")]

#[path = "msgpack.rs"]
mod msgpack;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::{Calendar, SessionDate, Timestamp};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "PKDATAKEY";
pub(crate) const SECRET: &str = "a-very-secret-data-secret";

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
/// The socket tells a minute so long after its end; questions are answered with it later.
const TOLD_AFTER: i64 = SECOND / 10;
const ANSWERED_AFTER: i64 = 2 * SECOND;
/// A day's bar is the official one so long after the close. Before, it is the day so far.
const OFFICIAL_AFTER: i64 = 15 * MINUTE;

/// A bar in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cents {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: i64,
}

impl Cents {
    fn row(&self, at: i64) -> Value {
        let price = |cents: i64| cents as f64 / 100.0;
        json!({
            "t": Timestamp::from_nanos(at).to_string(), "o": price(self.open), "h": price(self.high),
            "l": price(self.low), "c": price(self.close), "v": self.volume, "n": 3, "vw": price(self.close),
        })
    }
}

/// A trade: time, price in cents, size, conditions.
pub(crate) type Trade = (i64, i64, i64, Vec<String>);

/// What there is to tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// By symbol and beginning.
    pub(crate) minutes: BTreeMap<String, BTreeMap<i64, Cents>>,
    /// By symbol and session; with how long after the close Alpaca has it, beyond what is usual.
    pub(crate) days: BTreeMap<String, BTreeMap<SessionDate, (Cents, i64)>>,
    /// By symbol.
    pub(crate) trades: BTreeMap<String, Vec<Trade>>,
    /// By kind.
    pub(crate) actions: Vec<(String, Value)>,
}

/// How often what goes wrong, as a share of the occasions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A question is not answered well.
    pub(crate) answers: f64,
    /// The line breaks, before or after something is said, or in a word.
    pub(crate) drops: f64,
    /// A message is told twice, later, or not at all.
    pub(crate) muddles: f64,
    /// Something that cannot be so comes too.
    pub(crate) lies: f64,
}

/// A reply that was asked for.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16, Vec<(&'static str, String)>, String),
    Hang,
}

#[derive(Default)]
struct Shared {
    script: Script,
    faults: Faults,
    random: u64,
    replies: Vec<(String, Reply)>,
    asked: Vec<String>,
    /// Said instead of a welcome, to the next that come.
    errors: Vec<(u64, String)>,
    /// Said to every socket that listens.
    says: Vec<String>,
    page: usize,
    mute: bool,
}

impl Shared {
    /// A number below a limit.
    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn happens(&mut self, share: f64) -> bool {
        (self.below(1_000_000) as f64) < share * 1e6
    }
}

#[derive(Clone)]
pub(crate) struct Prices {
    address: SocketAddr,
    now: Arc<AtomicI64>,
    sockets: Arc<AtomicUsize>,
    shared: Arc<Mutex<Shared>>,
}

impl Prices {
    /// On a thread that ends with the process.
    pub(crate) fn new(script: Script, now: Timestamp) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let prices = Self {
            address: listener.local_addr().unwrap(),
            now: Arc::new(AtomicI64::new(now.nanos())),
            sockets: Arc::default(),
            shared: Arc::new(Mutex::new(Shared { script, page: 10_000, ..Shared::default() })),
        };
        let routes = Router::new()
            .route("/v2/stocks/bars", get(bars))
            .route("/v1/corporate-actions", get(actions))
            .route("/v2/{source}", get(stream))
            .with_state(prices.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        prices
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::SeqCst))
    }

    /// Time never goes back.
    pub(crate) fn move_to(&self, now: Timestamp) {
        self.now.fetch_max(now.nanos(), Ordering::SeqCst);
    }

    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared().script);
    }

    pub(crate) fn faults(&self, faults: Faults, seed: u64) {
        let mut shared = self.shared();
        (shared.faults, shared.random) = (faults, seed);
    }

    /// Rows in a page at most.
    pub(crate) fn page(&self, rows: usize) {
        self.shared().page = rows;
    }

    /// Answers the next question whose address has this in it.
    pub(crate) fn reply(&self, to: &str, reply: Reply) {
        self.shared().replies.push((to.to_owned(), reply));
    }

    /// Forgets replies that nobody has got.
    pub(crate) fn no_replies(&self) {
        self.shared().replies.clear();
    }

    /// Says this error instead of a welcome.
    pub(crate) fn error(&self, code: u64, message: &str) {
        self.shared().errors.push((code, message.to_owned()));
    }

    /// Sockets that listen are told this.
    pub(crate) fn say(&self, text: &str) {
        self.shared().says.push(text.to_owned());
    }

    /// Sockets tell no prices.
    pub(crate) fn mute(&self, mute: bool) {
        self.shared().mute = mute;
    }

    /// The questions so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared().asked.clone()
    }

    /// How many sockets listen.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::SeqCst)
    }
}

type Asked = BTreeMap<String, String>;
type Said = Query<Vec<(String, String)>>;

fn problem(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), json!({ "message": message }).to_string()).into_response()
}

/// What a question says; nothing twice.
fn asked(said: Said) -> Option<Asked> {
    let count = said.0.len();
    Some(said.0.into_iter().collect::<Asked>()).filter(|asked| asked.len() == count)
}

/// What stands in the way of an answer: nobody with the keys, a reply that was asked for, a fault.
async fn hindrance(prices: &Prices, path: &str, headers: &HeaderMap, asked: &Asked) -> Option<Response> {
    let reply = {
        let mut shared = prices.shared();
        let address = asked.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let address = format!("{path}?{address}");
        shared.asked.push(address.clone());
        let at = shared.replies.iter().position(|(to, _)| address.contains(to));
        at.map(|at| shared.replies.remove(at).1)
    };
    match reply {
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Status(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return Some(response);
        }
        None => {}
    }
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if !(is("apca-api-key-id", KEY) && is("apca-api-secret-key", SECRET)) {
        return Some(problem(403, "forbidden."));
    }
    let which = {
        let mut shared = prices.shared();
        let share = shared.faults.answers;
        if !shared.happens(share) {
            return None;
        }
        shared.below(5)
    };
    Some(match which {
        0 => problem(500, "internal server error"),
        1 => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        2 => {
            let mut response = problem(429, "too many requests.");
            response.headers_mut().insert("retry-after", "0".parse().unwrap());
            response
        }
        3 => {
            let broken = [Ok(Bytes::from("{\"bars\":")), Err(std::io::Error::other("broken"))];
            Body::from_stream(futures_util::stream::iter(broken)).into_response()
        }
        _ => (StatusCode::REQUEST_TIMEOUT, "").into_response(),
    })
}

/// An answer in pages: of rows by a name, so many, from where the page before ended.
fn paged(prices: &Prices, under: &str, rows: Vec<(String, Value)>, asked: &Asked) -> Response {
    let mut shared = prices.shared();
    let from = match asked.get("page_token") {
        None => 0,
        Some(token) => match token.strip_prefix("row-").and_then(|from| from.parse::<usize>().ok()) {
            Some(from) => from,
            None => return problem(400, "invalid page_token"),
        },
    };
    let limit = asked.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(1_000).min(shared.page);
    let to = (from + limit).min(rows.len());
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, row) in rows[from.min(to)..to].iter().cloned() {
        groups.entry(name).or_default().push(row);
    }
    let token = if to < rows.len() { json!(format!("row-{to}")) } else { Value::Null };
    let mut answer = json!({ under: groups, "next_page_token": token });
    let share = shared.faults.answers / 2.0;
    if shared.happens(share) {
        answer.as_object_mut().unwrap().remove("next_page_token");
    }
    let mut text = answer.to_string();
    if shared.happens(share) {
        let half = shared.below(text.len());
        text.truncate(half);
    }
    text.into_response()
}

fn time(text: Option<&String>) -> Option<i64> {
    let text = text?;
    Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z"))).ok().map(Timestamp::nanos)
}

async fn bars(State(prices): State<Prices>, headers: HeaderMap, said: Said) -> Response {
    let Some(asked) = asked(said) else { return problem(400, "a parameter is given twice") };
    if let Some(response) = hindrance(&prices, "/v2/stocks/bars", &headers, &asked).await {
        return response;
    }
    let word = |name: &str| asked.get(name).map(String::as_str);
    let (Some(start), Some(end)) = (time(asked.get("start")), time(asked.get("end"))) else {
        return problem(400, "start and end are wanted");
    };
    if !matches!(word("feed"), None | Some("iex" | "sip")) || !matches!(word("adjustment"), None | Some("raw")) {
        return problem(400, "invalid feed or adjustment");
    }
    let (Some(symbols), now) = (word("symbols"), prices.now()) else { return problem(400, "symbols is required") };
    let script = prices.shared().script.clone();
    let mut rows = Vec::new();
    for symbol in symbols.split(',') {
        let mut add = |at: i64, bar: &Cents| {
            if (start..=end).contains(&at) {
                rows.push((symbol.to_owned(), bar.row(at)));
            }
        };
        let minutes = script.minutes.get(symbol).into_iter().flatten();
        match word("timeframe") {
            Some("1Min") => {
                let there = minutes.filter(|(at, _)| *at + MINUTE + ANSWERED_AFTER <= now.nanos());
                there.for_each(|(at, bar)| add(*at, bar));
            }
            Some("1Day") => {
                for (date, (bar, late)) in script.days.get(symbol).into_iter().flatten() {
                    let Ok(session) = Calendar::nyse().session(*date) else { continue };
                    // Midnight in New York.
                    let at = session.open.nanos() - 9 * 60 * MINUTE - 30 * MINUTE;
                    let today = session.open.nanos()..session.close.nanos();
                    let official = now.nanos() >= today.end + OFFICIAL_AFTER;
                    let mut so_far = script.minutes.get(symbol).into_iter().flatten();
                    let so_far = so_far.find(|(at, _)| today.contains(at) && **at + MINUTE <= now.nanos());
                    match (official, so_far) {
                        (true, _) if now.nanos() >= today.end + late => add(at, bar),
                        (false, Some((_, bar))) => add(at, bar),
                        _ => {}
                    }
                }
            }
            _ => return problem(400, "invalid timeframe"),
        }
    }
    paged(&prices, "bars", rows, &asked)
}

async fn actions(State(prices): State<Prices>, headers: HeaderMap, said: Said) -> Response {
    let Some(asked) = asked(said) else { return problem(400, "a parameter is given twice") };
    if let Some(response) = hindrance(&prices, "/v1/corporate-actions", &headers, &asked).await {
        return response;
    }
    let word = |name: &str| asked.get(name).map(String::as_str);
    let date = |text: Option<&str>| text.and_then(|text| SessionDate::parse(text).ok());
    let (Some(start), Some(end)) = (date(word("start")), date(word("end"))) else {
        return problem(400, "start and end are wanted");
    };
    let symbols: Option<Vec<&str>> = word("symbols").map(|symbols| symbols.split(',').collect());
    let matches = |row: &Value| {
        let names = ["symbol", "old_symbol", "source_symbol"];
        let named = |symbols: &Vec<&str>| names.iter().any(|name| symbols.iter().any(|one| row[name] == **one));
        let filed = date(row["process_date"].as_str()).is_some_and(|filed| start <= filed && filed <= end);
        filed && symbols.as_ref().is_none_or(named)
    };
    let rows = prices.shared().script.actions.iter().filter(|(_, row)| matches(row)).cloned().collect();
    paged(&prices, "corporate_actions", rows, &asked)
}

async fn stream(
    State(prices): State<Prices>,
    Path(source): Path<String>,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Response {
    if !matches!(source.as_str(), "iex" | "sip") {
        return problem(404, "not found");
    }
    let packed = headers.get("content-type").is_some_and(|form| form == "application/msgpack");
    socket.on_upgrade(move |socket| async move {
        let mut line = Line { socket, packed, prices };
        // However it ends, the client comes again.
        let _ = line.talk().await;
    })
}

struct Line {
    socket: WebSocket,
    packed: bool,
    prices: Prices,
}

/// The line is to break.
struct Cut;

impl From<axum::Error> for Cut {
    fn from(_: axum::Error) -> Self {
        Self
    }
}

/// Counts a socket while it listens.
struct Listening(Arc<AtomicUsize>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Line {
    async fn say(&mut self, messages: &[Value]) -> Result<(), Cut> {
        let words = Value::from(messages.to_vec());
        let frame = match self.packed {
            true => Message::Binary(msgpack::encode(&words).into()),
            false => Message::Text(words.to_string().into()),
        };
        Ok(self.socket.send(frame).await?)
    }

    async fn hear(&mut self) -> Result<Value, Cut> {
        loop {
            match self.socket.recv().await.ok_or(Cut)?? {
                Message::Text(text) => return serde_json::from_str(&text).map_err(|_| Cut),
                Message::Binary(bytes) if self.packed => return msgpack::decode(&bytes).ok_or(Cut),
                Message::Binary(bytes) => return serde_json::from_slice(&bytes).map_err(|_| Cut),
                Message::Close(_) => return Err(Cut),
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    async fn error(&mut self, code: u64, message: &str) -> Result<(), Cut> {
        self.say(&[json!({ "T": "error", "code": code, "msg": message })]).await
    }

    async fn talk(&mut self) -> Result<(), Cut> {
        let error = {
            let mut shared = self.prices.shared();
            (!shared.errors.is_empty()).then(|| shared.errors.remove(0))
        };
        self.say(&[json!({ "T": "success", "msg": "connected" })]).await?;
        let words = self.hear().await?;
        if let Some((code, message)) = error {
            return self.error(code, &message).await;
        }
        if words["action"] != "auth" {
            return self.error(401, "not authenticated").await;
        }
        if words["key"] != KEY || words["secret"] != SECRET {
            return self.error(402, "auth failed").await;
        }
        self.say(&[json!({ "T": "success", "msg": "authenticated" })]).await?;
        let (mut channels, mut told): ([Vec<String>; 2], i64) = (Default::default(), self.prices.now().nanos());
        let mut held: Vec<Value> = Vec::new();
        let mut listening = None;
        loop {
            let words = tokio::select! {
                words = self.hear() => words?,
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    if listening.is_some() {
                        let now = self.prices.now().nanos() - TOLD_AFTER;
                        let due = self.due(&channels, told, now);
                        told = told.max(now);
                        self.tell(due, &mut held).await?;
                    }
                    continue;
                }
            };
            let add = |known: &mut Vec<String>, name: &str| {
                let names = words[name].as_array().cloned().unwrap_or_default();
                let names: Vec<String> = names.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
                match words["action"].as_str() {
                    Some("unsubscribe") => known.retain(|one| !names.contains(one)),
                    _ => known.extend(names.into_iter().filter(|one| !known.contains(one)).collect::<Vec<_>>()),
                }
            };
            match words["action"].as_str() {
                Some("subscribe" | "unsubscribe") => {
                    let [bars, trades] = &mut channels;
                    add(bars, "bars");
                    add(trades, "trades");
                    let empty: [&str; 0] = [];
                    let answer = json!({
                        "T": "subscription", "bars": channels[0], "trades": channels[1], "quotes": empty,
                        "updatedBars": empty, "dailyBars": empty, "statuses": empty, "lulds": empty,
                        "corrections": channels[1], "cancelErrors": channels[1],
                    });
                    self.say(&[answer]).await?;
                    self.prices.sockets.fetch_add(usize::from(listening.is_none()), Ordering::SeqCst);
                    listening.get_or_insert_with(|| Listening(self.prices.sockets.clone()));
                }
                Some("auth") => self.error(403, "already authenticated").await?,
                _ => self.error(400, "invalid syntax").await?,
            }
        }
    }

    /// What became known after one time and until another.
    fn due(&self, [bars, trades]: &[Vec<String>; 2], after: i64, to: i64) -> Vec<Value> {
        let shared = self.prices.shared();
        if shared.mute {
            return Vec::new();
        }
        let mut due: Vec<(i64, Value)> = Vec::new();
        let known = |mut row: Value, kind: &str, symbol: &str| {
            row["T"] = json!(kind);
            row["S"] = json!(symbol);
            row
        };
        for symbol in bars {
            for (at, bar) in shared.script.minutes.get(symbol).into_iter().flatten() {
                if after < at + MINUTE && at + MINUTE <= to {
                    due.push((at + MINUTE, known(bar.row(*at), "b", symbol)));
                }
            }
        }
        for symbol in trades {
            for (at, price, size, conditions) in shared.script.trades.get(symbol).into_iter().flatten() {
                if after < *at && *at <= to {
                    let (t, p) = (Timestamp::from_nanos(*at).to_string(), *price as f64 / 100.0);
                    let row =
                        json!({ "t": t, "p": p, "s": size, "c": conditions, "i": at % 1_000, "x": "V", "z": "C" });
                    due.push((*at, known(row, "t", symbol)));
                }
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, row)| row).collect()
    }

    async fn tell(&mut self, due: Vec<Value>, held: &mut Vec<Value>) -> Result<(), Cut> {
        let (messages, after) = {
            let mut shared = self.prices.shared();
            let faults = shared.faults;
            let mut messages = Vec::new();
            for message in due {
                if shared.happens(faults.lies) {
                    messages.extend(lie(&mut shared, &message, self.prices.now()));
                }
                if shared.happens(faults.muddles) {
                    match shared.below(4) {
                        0 => messages.extend([message.clone(), message]),
                        1 => held.push(message),
                        2 => {
                            held.push(message.clone());
                            messages.push(message);
                        }
                        _ => {}
                    }
                } else {
                    messages.push(message);
                }
            }
            if !messages.is_empty() && shared.happens(faults.muddles) {
                let (at, with) = (shared.below(messages.len()), shared.below(messages.len()));
                messages.swap(at, with);
                messages.append(held);
            }
            let after = if !messages.is_empty() && shared.happens(faults.drops) { Some(shared.below(5)) } else { None };
            (messages, after)
        };
        let said = std::mem::take(&mut self.prices.shared().says);
        for text in said {
            self.socket.send(Message::Text(text.into())).await?;
        }
        if messages.is_empty() {
            return Ok(());
        }
        match after {
            None => self.say(&messages).await,
            // Without a word.
            Some(0) => Err(Cut),
            Some(1) => {
                self.say(&messages[..messages.len() / 2]).await?;
                Err(Cut)
            }
            Some(2) => {
                self.say(&messages).await?;
                Err(Cut)
            }
            // In the middle of a word; the client has to go by itself.
            Some(3) => {
                let words = Value::from(messages).to_string();
                Ok(self.socket.send(Message::Text(words[..words.len() / 2].into())).await?)
            }
            Some(_) => {
                self.error(407, "slow client").await?;
                Err(Cut)
            }
        }
    }
}

/// Something like a message that cannot be so, or that is not for us.
fn lie(shared: &mut Shared, message: &Value, now: Timestamp) -> Vec<Value> {
    let mut lie = message.clone();
    match shared.below(9) {
        0 => lie["h"] = json!(0.01),
        1 => lie["c"] = json!(-1.5),
        2 => lie["S"] = json!("NOBODY"),
        // So far ahead that no clock of a test has passed it when it is read.
        3 => lie["t"] = json!(Timestamp::from_nanos((now.nanos() / MINUTE + 24 * 60) * MINUTE).to_string()),
        4 => lie["T"] = json!("u"),
        5 => lie["T"] = json!("d"),
        6 => lie = json!({ "T": "c", "S": message["S"], "op": 1, "cp": 2, "t": message["t"] }),
        7 => lie["t"] = json!("2024-01-02T00:00:07Z"),
        _ => lie["o"] = json!("much"),
    }
    if shared.below(2) == 0 { vec![lie, json!({ "T": "nothing new" })] } else { vec![lie] }
}
