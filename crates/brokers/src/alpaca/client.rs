//! Questions and answers over HTTPS.
//!
//! Nothing here is sent again after it may have arrived. A redirect is not followed: it would carry the keys elsewhere.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::{Symbol, Timestamp};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use trading::{ClientOrderId, Failure, OrderStatus, State};

use super::names::Names;
use super::settings::{Base, Credentials, Settings};
use super::throttle::Throttle;
use super::wire::{AccountRow, Activity, ApiError, ClockRow, NewOrder, OrderRow, PositionRow, Replacement};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Orders in a page, the most that Alpaca gives.
const ORDERS_PER_PAGE: usize = 500;
/// Fills in a page, the most that Alpaca gives.
const FILLS_PER_PAGE: usize = 100;

/// The client, shared by the calls and the socket.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Base,
    throttle: Mutex<Throttle>,
    names: Mutex<Names>,
    /// How long a request may wait to be allowed.
    patience: Duration,
    look_back: Duration,
}

/// What came back.
enum Answer {
    Given(Vec<u8>),
    /// There is no such thing.
    Missing(String),
}

type Query<'a> = &'a [(&'a str, String)];

/// A client that tells its keys to nobody but this base.
pub(super) fn http(
    credentials: &Credentials,
    base: &Base,
    time_out: Duration,
    tls: &rustls::ClientConfig,
) -> reqwest::Result<reqwest::Client> {
    let headers = credentials.headers().into_iter().map(|(name, value)| (HeaderName::from_static(name), value));
    let mut http = reqwest::Client::builder()
        .use_preconfigured_tls(tls.clone())
        .https_only(!base.is_local())
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(time_out / 2)
        .timeout(time_out)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("algotrading/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers.collect());
    if base.is_local() {
        http = http.no_proxy();
    }
    http.build()
}

impl Client {
    pub(super) fn new(settings: &Settings, tls: &rustls::ClientConfig) -> reqwest::Result<Self> {
        Ok(Self {
            http: http(&settings.credentials, &settings.base, settings.time_out, tls)?,
            base: settings.base.clone(),
            throttle: Mutex::new(Throttle::new(settings.requests_per_minute, Instant::now())),
            names: Mutex::new(Names::default()),
            patience: settings.time_out / 2,
            look_back: settings.look_back,
        })
    }

    fn names<T>(&self, ask: impl FnOnce(&mut Names) -> T) -> T {
        ask(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works one order, or two alternatives.
    pub(super) async fn submit(&self, order: NewOrder) -> Result<(), Failure> {
        match self.write(Method::POST, "/v2/orders", &order).await {
            Err(Failure::Refused(message)) if ApiError::is_known_name(&message) => Ok(()),
            Err(failure) => Err(failure),
            Ok(body) => self.learn(&body),
        }
    }

    /// An answer to an order that cannot be read leaves open what became of it.
    fn learn(&self, body: &[u8]) -> Result<(), Failure> {
        let row: OrderRow = read(body)?;
        self.names(|names| names.learn(&row));
        Ok(())
    }

    /// Stops working an order.
    pub(super) async fn cancel(&self, id: &ClientOrderId) -> Result<(), Failure> {
        let known = self.names(|names| names.theirs(id).cloned());
        let theirs = match known {
            Some(theirs) => theirs,
            None => self.order(id).await?.ok_or_else(|| unknown(id))?.id,
        };
        let path = format!("/v2/orders/{theirs}");
        match self.ask(Method::DELETE, &path, &[], None).await {
            Ok(Answer::Given(_)) => Ok(()),
            Ok(Answer::Missing(message)) => Err(Failure::Refused(message)),
            // Alpaca refuses to cancel only what has ended.
            Err((Some(StatusCode::UNPROCESSABLE_ENTITY), Failure::Refused(_))) => Ok(()),
            Err((_, failure)) => Err(failure),
        }
    }

    /// Puts `with` in the place of an order.
    pub(super) async fn replace(&self, id: &ClientOrderId, with: &trading::Ticket) -> Result<(), Failure> {
        let old = self.order(id).await?.ok_or_else(|| unknown(id))?;
        let name = self.names(|names| names.replacing(id, &with.id));
        let replacement = Replacement::of(&old, with, name).map_err(Failure::Refused)?;
        match self.write(Method::PATCH, &format!("/v2/orders/{}", old.id), &replacement).await {
            Err(Failure::Refused(message)) if ApiError::is_known_name(&message) => Ok(()),
            Err(failure) => Err(failure),
            Ok(body) => self.learn(&body),
        }
    }

    /// An order with its executions.
    pub(super) async fn find(&self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        let Some(row) = self.order(id).await? else { return Ok(None) };
        let fills = self.fills(std::slice::from_ref(&row)).await?;
        row.told(id.clone(), &fills, now()).map(Some).map_err(Failure::Unclear)
    }

    /// Everything that works.
    pub(super) async fn working(&self) -> Result<Vec<OrderStatus>, Failure> {
        let mut working = Vec::new();
        self.orders("open", None, None, |row| {
            // What has no name here, an option say, is an order of somebody else's in something else.
            let told = |row: &&OrderRow| row.symbol.is_some() && row.side.is_some();
            working.extend(row.family().filter(|row| row.status.state() == State::Working).filter(told).cloned());
            ControlFlow::Continue(())
        })
        .await?;
        let fills = self.fills(&working).await?;
        let told = working.iter().map(|row| {
            let known = self.names(|names| names.ours(row).cloned());
            let id = known.unwrap_or_else(|| ClientOrderId::told(row.client_order_id.as_str()));
            row.told(id, &fills, now()).map_err(Failure::Unclear)
        });
        told.collect()
    }

    /// Cash and positions.
    pub(super) async fn account(&self) -> Result<trading::Account, Failure> {
        let account: AccountRow = self.get("/v2/account", &[]).await?;
        let positions: Vec<PositionRow> = self.get("/v2/positions", &[]).await?;
        let holdings = positions.into_iter().filter_map(|row| row.holding().transpose());
        let holdings: Result<Vec<_>, _> = holdings.collect();
        let mut holdings = holdings.map_err(Failure::Unclear)?;
        holdings.retain(|holding| !holding.quantity.is_zero());
        Ok(trading::Account { cash: Some(account.cash), holdings })
    }

    /// What is said where the keys are not taken; none where they are, or nobody answers.
    pub(super) async fn keys_refused(&self) -> Option<String> {
        match self.ask(Method::GET, "/v2/account", &[], None).await {
            Err((Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), Failure::Refused(words))) => Some(words),
            _ => None,
        }
    }

    /// The name of an order that the socket tells; asks for the group it belongs to where it may be a leg.
    pub(super) async fn name(&self, row: &OrderRow) -> Result<ClientOrderId, Failure> {
        if let Some(name) = self.names(|names| names.ours(row).cloned()) {
            return Ok(name);
        }
        let may_be_leg = row.order_class == Some(super::wire::Class::Oco) && row.replaces.is_none();
        if may_be_leg && let Some(symbol) = &row.symbol {
            let since = Timestamp::from_nanos(row.created_at.nanos().saturating_sub(60_000_000_000));
            self.orders("all", Some(since), Some(symbol), |group| {
                let found = group.family().any(|one| one.id == row.id) && group.id != row.id;
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        }
        self.names(|names| {
            names.learn(row);
            Ok(names.ours(row).cloned().unwrap_or_else(|| ClientOrderId::told(row.client_order_id.as_str())))
        })
    }

    /// Learns the names of everything that works.
    pub(super) async fn learn_names(&self) -> Result<(), Failure> {
        self.orders("open", None, None, |_| ControlFlow::Continue(())).await
    }

    /// An order by our name for it.
    async fn order(&self, id: &ClientOrderId) -> Result<Option<OrderRow>, Failure> {
        if let Some(theirs) = self.names(|names| names.theirs(id).cloned()) {
            let row = self.row(&format!("/v2/orders/{theirs}"), &[]).await?;
            if row.as_ref().is_none_or(|row| self.names(|names| names.ours(row) == Some(id))) {
                return Ok(row);
            }
        }
        let query = [("client_order_id", id.as_str().to_owned())];
        if let Some(row) = self.row("/v2/orders:by_client_order_id", &query).await? {
            return Ok(Some(row));
        }
        // It may be one of two alternatives, whose names only their group tells.
        let clock: ClockRow = self.get("/v2/clock", &[]).await?;
        let look_back = i64::try_from(self.look_back.as_nanos()).unwrap_or(i64::MAX);
        let since = Timestamp::from_nanos(clock.timestamp.nanos().saturating_sub(look_back));
        let (mut found, mut replaced) = (None, None);
        self.orders("all", Some(since), None, |row| {
            let theirs = self.names(|names| names.theirs(id).cloned());
            found = theirs.and_then(|theirs| row.family().find(|one| one.id == theirs).cloned());
            replaced = self.names(|names| names.replaced(id).cloned());
            if found.is_some() || replaced.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        match (found, replaced) {
            (None, Some(last)) => self.original(id, last).await,
            (found, _) => Ok(found),
        }
    }

    /// Goes back from the last replacement of a leg to the first of them, which had the name.
    async fn original(&self, id: &ClientOrderId, last: String) -> Result<Option<OrderRow>, Failure> {
        let mut next = Some(last);
        let mut row = None;
        while let Some(theirs) = next {
            row = self.row(&format!("/v2/orders/{theirs}"), &[]).await?;
            next = row.as_ref().and_then(|row| row.replaces.clone());
        }
        if let Some(row) = &row {
            self.names(|names| names.know(row, id.clone()));
        }
        Ok(row)
    }

    async fn row(&self, path: &str, query: Query<'_>) -> Result<Option<OrderRow>, Failure> {
        match self.ask(Method::GET, path, query, None).await {
            Ok(Answer::Missing(_)) => Ok(None),
            Ok(Answer::Given(body)) => {
                let row: OrderRow = read(&body)?;
                self.names(|names| names.learn(&row));
                Ok(Some(row))
            }
            Err((_, failure)) => Err(failure),
        }
    }

    /// Shows every order, newest first, each with its legs, and learns their names.
    async fn orders(
        &self,
        status: &str,
        since: Option<Timestamp>,
        symbol: Option<&Symbol>,
        mut show: impl FnMut(&OrderRow) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut query = vec![
            ("status", status.to_owned()),
            ("nested", "true".to_owned()),
            ("direction", "desc".to_owned()),
            ("limit", ORDERS_PER_PAGE.to_string()),
        ];
        query.extend(since.map(|since| ("after", since.to_string())));
        query.extend(symbol.map(|symbol| ("symbols", symbol.to_string())));
        let first_page = query.len();
        let mut seen = HashSet::new();
        loop {
            let page: Vec<OrderRow> = self.get("/v2/orders", &query).await?;
            let (count, before) = (page.len(), seen.len());
            let mut last = None;
            for row in page {
                last = Some(row.submitted_at.unwrap_or(row.created_at));
                if !seen.insert(row.id.clone()) {
                    continue;
                }
                self.names(|names| names.learn(&row));
                if show(&row).is_break() {
                    return Ok(());
                }
            }
            if count < ORDERS_PER_PAGE {
                return Ok(());
            }
            // The end is exclusive, and others may share the last one's time: those are shown once.
            let Some(last) = last.filter(|_| seen.len() > before) else {
                return Err(Failure::Unclear("a page of orders held nothing new".to_owned()));
            };
            query.truncate(first_page);
            query.push(("until", Timestamp::from_nanos(last.nanos().saturating_add(1_000)).to_string()));
        }
    }

    /// The account's fills since the first of the orders that has any.
    async fn fills(&self, rows: &[OrderRow]) -> Result<Vec<Activity>, Failure> {
        let filled = rows.iter().filter(|row| !row.filled_qty.is_zero());
        let Some(first) = filled.map(|row| row.created_at).min() else { return Ok(Vec::new()) };
        let second = first.nanos().div_euclid(1_000_000_000).saturating_sub(1);
        let after = Timestamp::from_nanos(second.saturating_mul(1_000_000_000)).to_string();
        let mut query =
            vec![("after", after), ("direction", "asc".to_owned()), ("page_size", FILLS_PER_PAGE.to_string())];
        // Of one order its fills alone; where the filter is not known the others come too, and are not its own.
        if let [row] = rows {
            query.push(("order_id", row.id.clone()));
        }
        let first_page = query.len();
        let mut fills: Vec<Activity> = Vec::new();
        loop {
            let page: Vec<Activity> = self.get("/v2/account/activities/FILL", &query).await?;
            let count = page.len();
            fills.extend(page);
            let Some(last) = fills.last().filter(|_| count >= FILLS_PER_PAGE) else { return Ok(fills) };
            query.truncate(first_page);
            query.push(("page_token", last.id.clone()));
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: Query<'_>) -> Result<T, Failure> {
        match self.ask(Method::GET, path, query, None).await {
            Ok(Answer::Given(body)) => read(&body),
            Ok(Answer::Missing(message)) => Err(Failure::Refused(message)),
            Err((_, failure)) => Err(failure),
        }
    }

    async fn write(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Vec<u8>, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::NotSent(error.to_string()))?;
        match self.ask(method, path, &[], Some(body)).await {
            Ok(Answer::Given(body)) => Ok(body),
            Ok(Answer::Missing(message)) => Err(Failure::Refused(message)),
            Err((_, failure)) => Err(failure),
        }
    }

    /// One request; with a failure comes the status, if there was one.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, (Option<StatusCode>, Failure)> {
        self.wait(method == Method::DELETE).await.map_err(|failure| (None, failure))?;
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, self.base.at(path)).query(query);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| (None, lost(&what, error)))?;
        let status = response.status();
        let pause = pause(status, response.headers());
        if let Some(pause) = pause {
            self.throttle.lock().unwrap_or_else(PoisonError::into_inner).pause(pause, Instant::now());
        }
        let failed = |failure| (Some(status), failure);
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if answer.len() + chunk.len() <= ANSWER_BYTES_MAX => answer.extend_from_slice(&chunk),
                Ok(Some(_)) => return Err(failed(Failure::Unclear(format!("{what}: the answer is too long")))),
                Ok(None) => break,
                Err(error) => return Err(failed(lost(&what, error))),
            }
        }
        if status.is_success() {
            return Ok(Answer::Given(answer));
        }
        let message = reason(status, &answer);
        match status {
            StatusCode::NOT_FOUND => Ok(Answer::Missing(message)),
            StatusCode::TOO_MANY_REQUESTS => Err(failed(Failure::NotSent(message))),
            StatusCode::REQUEST_TIMEOUT => Err(failed(Failure::Unclear(message))),
            _ if status.is_client_error() => Err(failed(Failure::Refused(message))),
            _ => Err(failed(Failure::Unclear(format!("{what}: {message}")))),
        }
    }

    /// Waits until a request may leave, if that is not too long.
    async fn wait(&self, urgent: bool) -> Result<(), Failure> {
        let until = Instant::now() + self.patience;
        loop {
            let now = Instant::now();
            let taken = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).take(urgent, now);
            match taken {
                Ok(()) => return Ok(()),
                Err(wait) if now + wait <= until => tokio::time::sleep(wait).await,
                Err(wait) => {
                    let seconds = wait.as_secs_f64();
                    return Err(Failure::NotSent(format!("Alpaca may be asked again in {seconds:.1} s")));
                }
            }
        }
    }
}

/// By our clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn unknown(id: &ClientOrderId) -> Failure {
    Failure::Refused(format!("Alpaca knows no order {id}"))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Unclear(format!("an answer that cannot be read: {error}")))
}

/// A request without an answer: it was not sent only if there was no connection.
fn lost(what: &str, error: reqwest::Error) -> Failure {
    let (not_sent, timed_out) = (error.is_connect() || error.is_builder(), error.is_timeout());
    let error = error.without_url();
    let mut words = format!("{what}: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(one) = cause {
        words.push_str(&format!(": {one}"));
        cause = one.source();
    }
    match (not_sent, timed_out) {
        (true, _) => Failure::NotSent(words),
        (false, true) => Failure::Unclear(format!("{what}: no answer in time")),
        (false, false) => Failure::Unclear(words),
    }
}

/// Alpaca's own words, or the beginning of what came in their place.
fn reason(status: StatusCode, answer: &[u8]) -> String {
    match serde_json::from_slice::<ApiError>(answer) {
        Ok(error) if !error.message.is_empty() => error.message,
        _ => {
            let text: String = String::from_utf8_lossy(answer).chars().take(200).collect();
            format!("status {status} {}", text.trim()).trim_end().to_owned()
        }
    }
}

/// How long Alpaca wants to be left alone.
fn pause(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let used_up = status == StatusCode::TOO_MANY_REQUESTS;
    if !used_up && number("x-ratelimit-remaining") != Some(0) {
        return None;
    }
    let reset = number("x-ratelimit-reset").map(|reset| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(reset).saturating_sub(now)
    });
    let after = number("retry-after").map(Duration::from_secs);
    after.or(reset).or(used_up.then_some(Duration::from_secs(1)))
}

/// TLS with the operating system's roots; certificates are verified.
pub(super) fn tls() -> Result<Arc<rustls::ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(format!("no root certificates: {why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
