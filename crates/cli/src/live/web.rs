//! The board as a page of this machine, and a person's wishes from it.
//!
//! Whoever can send requests here can stop the trading, so each one passes the same door (`admit`): the address is
//! this machine's, the name it was asked under as well (a foreign name that resolves here is an attack), the page that
//! asks is ours (a browser says so), and it holds the token. The first visit brings the token that the program printed
//! and takes a cookie home, after which the token is in no address, page or script.
//!
//! A cookie goes to every port of a host. This one has a path that follows from the token, so that another program's
//! page at the same address is not sent it, and two traders on one machine do not take each other's.
//!
//! Invariant: nothing here trades. A wish is checked and handed to the trading loop, each once however often it is sent.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::{Money, Notional, Timestamp};
use engine::Mode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use trading::Snapshot;

use super::board::{Block, CONFIRMATION, Line, RefusalLine, Shared, look, plain};
use super::requests::{Ask, Submit, Wish};

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// Only what this server itself sent, and no text that is read as code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// What lets in. Its `Debug` does not show it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one, of 256 bits.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).context("cannot make a token for the page: the system gives no random numbers")?;
        Ok(Self(hex(&bytes)))
    }

    /// One that was made before, so that a page stays open over a restart; none unless it is as long.
    #[must_use]
    pub fn again(text: &str) -> Option<Self> {
        (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// Its text, to keep it where only its owner reads.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The address of the first visit. It carries the token: print it once, to the person who started the program.
    #[must_use]
    pub fn address(&self, at: SocketAddr) -> String {
        format!("http://{at}/?token={}", self.0)
    }

    /// What follows from it and does not tell it.
    fn derived(&self, what: &str) -> String {
        hex(&Sha256::new().chain_update(what).chain_update(&self.0).finalize())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many wishes are remembered, so that one that is sent again is not done again.
const WISHES: usize = 256;

/// What the page is made from.
struct Page {
    board: Shared,
    submit: Submit,
    token: Token,
    cookie: String,
    /// Folder of the page and of its cookie.
    folder: String,
    clock: fn() -> Timestamp,
    /// What was handed over, by its name.
    done: Mutex<VecDeque<(String, Wish)>>,
}

/// Serves the page until it is dropped.
///
/// # Errors
/// The listener is not on a loopback address.
pub async fn serve(
    listener: TcpListener,
    board: Shared,
    submit: Submit,
    token: Token,
    clock: fn() -> Timestamp,
) -> Result<()> {
    let at = listener.local_addr().context("the page's listener has no address")?;
    if !at.ip().is_loopback() {
        bail!(
            "the page can stop the trading, so it is for this machine alone: listen on 127.0.0.1, not on {}",
            at.ip()
        );
    }
    let folder = format!("/{}", &token.derived("page")[..16]);
    let cookie = token.derived("cookie");
    let page = Page { board, submit, token, cookie, folder, clock, done: Mutex::default() };
    axum::serve(listener, routes(Arc::new(page))).await.context("the page's server stopped")
}

fn routes(page: Arc<Page>) -> Router {
    let under = |name: &str| format!("{}/{name}", page.folder);
    Router::new()
        .route(&under(""), get(|| file("text/html; charset=utf-8", HTML)))
        .route(&under("page.css"), get(|| file("text/css; charset=utf-8", CSS)))
        .route(&under("page.js"), get(|| file("text/javascript; charset=utf-8", SCRIPT)))
        .route(&under("icon.svg"), get(|| file("image/svg+xml", ICON)))
        .route(&under("board"), get(shown))
        .route(&under("ask"), post(asked))
        .route("/api/board", get(shown))
        .route("/api/ask", post(asked))
        .layer(DefaultBodyLimit::max(4_096))
        .layer(middleware::from_fn_with_state(page.clone(), admit))
        .layer(middleware::map_response(guarded))
        .with_state(page)
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Every answer's headers.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Nobody comes in, or what was asked for is not done; and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Turned(StatusCode, String);

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        let text = serde_json::json!({ "error": self.1 }).to_string();
        (self.0, [(header::CONTENT_TYPE, "application/json")], text).into_response()
    }
}

fn turned(status: StatusCode, reason: impl Into<String>) -> Turned {
    Turned(status, reason.into())
}

/// The door that every request passes.
async fn admit(State(page): State<Arc<Page>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Err(turned) = of_this_machine(headers).and_then(|host| of_this_page(request.method(), headers, host)) {
        return turned.into_response();
    }
    if request.uri().path() == "/" {
        return first_visit(&page, &request);
    }
    if !holds_key(&page, headers) {
        let reason = "this is for whoever holds the token: open the address that the program printed as it started";
        return turned(StatusCode::UNAUTHORIZED, reason).into_response();
    }
    next.run(request).await
}

/// The name that the server was asked under.
fn of_this_machine(headers: &HeaderMap) -> Result<&str, Turned> {
    let host = text_of(headers, header::HOST).unwrap_or_default();
    let name = host.parse::<Authority>().ok().filter(|host| !host.as_str().contains('@'));
    let local = name.as_ref().map(Authority::host).is_some_and(|name| {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    if local && headers.get_all(header::HOST).iter().count() == 1 {
        return Ok(host);
    }
    Err(turned(StatusCode::FORBIDDEN, "ask under this machine's own name: 127.0.0.1 or localhost"))
}

/// Whose page asks. Another port of this machine is another page, which `SameSite` cookies do not tell apart.
fn of_this_page(method: &Method, headers: &HeaderMap, host: &str) -> Result<(), Turned> {
    let refused = || Err(turned(StatusCode::FORBIDDEN, "only the trading page itself may ask this"));
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    if origin.is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return refused();
    }
    let site = text_of(headers, HeaderName::from_static("sec-fetch-site"));
    let reads = method == Method::GET || method == Method::HEAD;
    match site {
        None | Some("same-origin") => {}
        // The address typed, or a link followed.
        Some(_) if reads && text_of(headers, HeaderName::from_static("sec-fetch-mode")) == Some("navigate") => {}
        Some(_) => return refused(),
    }
    // A browser always says where a request that changes something comes from; who holds the token itself is none.
    if !reads && origin.is_none() && !headers.contains_key(header::AUTHORIZATION) {
        return refused();
    }
    Ok(())
}

fn first_visit(page: &Page, request: &Request) -> Response {
    let sent = request.uri().query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("token=")));
    if request.method() != Method::GET || !sent.is_some_and(|sent| same(sent, &page.token.0)) {
        let reason = "open the address that the program printed as it started, with its token";
        return turned(StatusCode::UNAUTHORIZED, reason).into_response();
    }
    let cookie = format!("trading={}; Path={}/; HttpOnly; SameSite=Strict", page.cookie, page.folder);
    let to = format!("{}/", page.folder);
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, to)]).into_response()
}

fn holds_key(page: &Page, headers: &HeaderMap) -> bool {
    if let Some(sent) = text_of(headers, header::AUTHORIZATION) {
        return sent.strip_prefix("Bearer ").is_some_and(|sent| same(sent, &page.token.0));
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs.any(|pair| pair.trim().strip_prefix("trading=").is_some_and(|sent| same(sent, &page.cookie)))
}

/// Takes as long wherever they differ.
fn same(sent: &str, kept: &str) -> bool {
    sent.as_bytes().ct_eq(kept.as_bytes()).into()
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The board as the page takes it.
#[derive(Serialize)]
struct Shown {
    title: String,
    replayed: bool,
    now: Timestamp,
    /// Time of the market: the clock's, or a replay's.
    market_now: Timestamp,
    updated_at: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    /// Seconds since each position's symbol was heard of.
    silence_s: Vec<Option<f64>>,
    profit: Option<Money>,
    session_profit: Option<Money>,
    reference: Option<Money>,
    gross: Option<Money>,
    /// Milliseconds since 1970 and equity; numbers, because they are drawn.
    curve: Vec<(i64, f64)>,
    session_from: usize,
    blocks: Vec<Block>,
    refusals: VecDeque<RefusalLine>,
    said: VecDeque<Line>,
}

async fn shown(State(page): State<Arc<Page>>) -> Result<Response, Turned> {
    let now = (page.clock)();
    let shown = {
        // The trading loop waits while this is held: copies only.
        let board = look(&page.board);
        let positions = board.snapshot.iter().flat_map(|snapshot| &snapshot.positions);
        let silence = positions.clone().map(|one| board.silence(one.heard_at, now).map(|nanos| nanos as f64 / 1e9));
        let gross = positions
            .fold(Notional::default(), |sum, one| sum.plus(one.price.unwrap_or_default().times(one.quantity).abs()));
        Shown {
            title: board.title.clone(),
            replayed: board.replayed,
            now,
            market_now: board.market_now(now),
            updated_at: board.updated_at,
            silence_s: silence.collect(),
            profit: board.profit(),
            session_profit: board.session_profit(),
            reference: board.reference(),
            gross: gross.to_money().ok(),
            curve: board.curve.iter().map(|one| (one.at.micros().div_euclid(1_000), one.equity.to_f64())).collect(),
            session_from: board.session_from,
            blocks: board.blocks(now),
            refusals: board.refusals.clone(),
            said: board.said.clone(),
            snapshot: board.snapshot.clone(),
        }
    };
    match serde_json::to_string(&shown) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response()),
        Err(_) => Err(turned(StatusCode::INTERNAL_SERVER_ERROR, "the board cannot be written")),
    }
}

/// A wish as the page sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// Its name: the same wish sent again has the same.
    id: String,
    /// What was typed to confirm it.
    confirm: Option<String>,
    wish: Wish,
}

async fn asked(State(page): State<Arc<Page>>, headers: HeaderMap, body: Bytes) -> Result<Response, Turned> {
    // What a form of another page can send is none.
    if text_of(&headers, header::CONTENT_TYPE) != Some("application/json") {
        return Err(turned(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    let sent: Sent = serde_json::from_slice(&body)
        .map_err(|error| turned(StatusCode::BAD_REQUEST, plain(&format!("this is not something to ask: {error}"))))?;
    if !(8..=64).contains(&sent.id.len()) {
        return Err(turned(
            StatusCode::BAD_REQUEST,
            "give it an id of 8 to 64 letters, the same when it is sent again",
        ));
    }
    let flattens = sent.wish.ask == Ask::Control(Mode::Flatten);
    if flattens && sent.confirm.as_deref() != Some(CONFIRMATION) {
        return Err(turned(StatusCode::UNPROCESSABLE_ENTITY, format!("type {CONFIRMATION} to confirm")));
    }
    let wish = sent.wish.checked().map_err(|unfit| turned(StatusCode::UNPROCESSABLE_ENTITY, unfit.to_string()))?;
    // False where another wish has that name.
    let once = move || -> anyhow::Result<bool> {
        let mut done = page.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = done.iter().find(|(id, _)| *id == sent.id) {
            return Ok(*before == wish);
        }
        (page.submit)(wish.clone())?;
        if done.len() == WISHES {
            done.pop_front();
        }
        done.push_back((sent.id, wish));
        Ok(true)
    };
    match tokio::task::spawn_blocking(once).await.map_err(Into::into).and_then(|done| done) {
        Ok(true) => {
            Ok((StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], r#"{"asked":true}"#)
                .into_response())
        }
        Ok(false) => Err(turned(
            StatusCode::CONFLICT,
            "something else was asked under this id, and this was not: give it an id of its own",
        )),
        Err(error) => Err(turned(StatusCode::SERVICE_UNAVAILABLE, plain(&format!("NOTHING WAS ASKED: {error:#}")))),
    }
}
