//! The routes: keys checked, a question read, the account asked under its lock, an answer written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::{Quantity, SessionDate, Timestamp};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use trading::Broker;

use super::super::settings::Credentials;
use super::super::wire::Status;
use super::asked::{Asked, Change, whole};
use super::house::House;
use super::problem::Problem;
use super::{answers, socket};

/// What the routes share.
pub(super) struct Shared<B> {
    pub(super) house: Mutex<House<B>>,
    pub(super) credentials: Credentials,
    /// Turns true when the server stops.
    pub(super) stop: watch::Receiver<bool>,
}

impl<B> Shared<B> {
    pub(super) fn house<T>(&self, ask: impl FnOnce(&mut House<B>) -> T) -> T {
        ask(&mut self.house.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Server<B> = State<Arc<Shared<B>>>;
type Words = Query<HashMap<String, String>>;
type Answer = Result<Response, Problem>;

pub(super) fn routes<B: Broker + Send + 'static>(shared: Arc<Shared<B>>) -> Router {
    let guarded = Router::new()
        .route("/v2/account", get(account))
        .route("/v2/account/activities", get(activities))
        .route("/v2/account/activities/{kind}", get(activities_of))
        .route("/v2/orders", post(submit).get(orders).delete(cancel_all))
        .route("/v2/orders:by_client_order_id", get(order_by_client))
        .route("/v2/orders/{id}", get(order).patch(replace).delete(cancel))
        .route("/v2/positions", get(positions).delete(close_all))
        .route("/v2/positions/{name}", get(position).delete(close))
        .route("/v2/assets", get(assets))
        .route("/v2/assets/{name}", get(asset))
        .route("/v2/clock", get(clock))
        .route("/v2/calendar", get(calendar))
        .fallback(|| async { Problem::missing("endpoint not found") })
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared.clone());
    // The socket is told the keys in its first message.
    Router::new().route("/stream", get(socket::upgrade)).with_state(shared).merge(guarded)
}

async fn guard<B: Broker + Send + 'static>(State(shared): Server<B>, request: Request, next: Next) -> Response {
    if !has_keys(&shared.credentials, request.headers()) {
        return Problem::stranger().into_response();
    }
    match whole_body(request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The request with its body read, so that no route waits for one.
async fn whole_body(request: Request) -> Result<Request, Problem> {
    let (head, body) = request.into_parts();
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(Problem::too_large(BODY_BYTES_MAX));
    }
    let read = async {
        let (mut body, mut bytes) = (body.into_data_stream(), Vec::new());
        while let Some(part) = body.next().await {
            bytes.extend_from_slice(&part.map_err(|_| Problem::unreadable("the body broke off"))?);
            if bytes.len() > BODY_BYTES_MAX {
                return Err(Problem::too_large(BODY_BYTES_MAX));
            }
        }
        Ok(bytes)
    };
    let bytes = timeout(BODY_TIME_MAX, read).await.map_err(|_| Problem::too_slow())??;
    Ok(Request::from_parts(head, Body::from(bytes)))
}

fn say(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn ok(body: &Value) -> Answer {
    Ok(say(StatusCode::OK, body))
}

/// Yes or no; no unless said.
fn yes(words: &HashMap<String, String>, name: &str) -> Result<bool, Problem> {
    match words.get(name).map(|value| value.to_ascii_lowercase()).as_deref() {
        Some("true" | "t" | "1") => Ok(true),
        None | Some("" | "false" | "f" | "0") => Ok(false),
        Some(_) => Err(Problem::invalid(format!("{name} must be true or false"))),
    }
}

/// One of two words, in any case; none where nothing is said.
fn either(words: &HashMap<String, String>, name: &str, [one, other]: [&str; 2]) -> Result<Option<String>, Problem> {
    let said = words.get(name).map(|word| word.to_ascii_lowercase()).filter(|word| !word.is_empty());
    match said {
        Some(word) if word != one && word != other => Err(Problem::invalid(format!("{name} must be {one} or {other}"))),
        said => Ok(said),
    }
}

fn newest_first(words: &HashMap<String, String>) -> Result<bool, Problem> {
    Ok(either(words, "direction", ["asc", "desc"])?.is_none_or(|direction| direction == "desc"))
}

async fn account<B: Broker>(State(shared): Server<B>) -> Answer {
    ok(&shared.house(|house| answers::account(&house.floor))?)
}

async fn submit<B: Broker>(State(shared): Server<B>, body: Bytes) -> Answer {
    let asked = Asked::read(&body)?;
    shared.house(|house| {
        let at = house.submit(&asked)?;
        let answer = answers::order(house, at, true);
        house.settle().map_err(Problem::broken)?;
        ok(&answer)
    })
}

async fn order<B: Broker>(State(shared): Server<B>, Path(id): Path<String>, Query(words): Words) -> Answer {
    let nested = yes(&words, "nested")?;
    shared.house(|house| {
        let at = house.find(&id)?;
        ok(&answers::order(house, at, nested))
    })
}

async fn order_by_client<B: Broker>(State(shared): Server<B>, Query(words): Words) -> Answer {
    let id = words.get("client_order_id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Problem::invalid("client_order_id is required"))?;
    shared.house(|house| {
        let at = house.find_by_client(id)?;
        ok(&answers::order(house, at, true))
    })
}

async fn replace<B: Broker>(State(shared): Server<B>, Path(id): Path<String>, body: Bytes) -> Answer {
    let change = Change::read(&body)?;
    shared.house(|house| {
        let at = house.find(&id)?;
        let new = house.replace(at, &change)?;
        let answer = answers::order(house, new, true);
        house.settle().map_err(Problem::broken)?;
        ok(&answer)
    })
}

async fn cancel<B: Broker>(State(shared): Server<B>, Path(id): Path<String>) -> Answer {
    shared.house(|house| {
        let at = house.find(&id)?;
        house.cancel(at)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

async fn cancel_all<B: Broker>(State(shared): Server<B>) -> Answer {
    shared.house(|house| ok_many(&cancel_open(house)?))
}

fn ok_many(body: &[Value]) -> Answer {
    Ok(say(StatusCode::MULTI_STATUS, &json!(body)))
}

fn cancel_open<B: Broker>(house: &mut House<B>) -> Result<Vec<Value>, Problem> {
    let open: Vec<usize> = (0..house.rows.len()).filter(|at| house.rows[*at].is_open()).collect();
    for at in &open {
        // One of a group may have taken another with it.
        if house.rows[*at].is_open() {
            house.cancel(*at)?;
        }
    }
    // Exits of an entry that had filled in part have begun to work.
    for at in 0..house.rows.len() {
        if house.rows[at].is_open() {
            house.cancel(at)?;
        }
    }
    Ok(open.iter().map(|at| json!({ "id": house.rows[*at].id, "status": 200 })).collect())
}

/// Which orders are asked for.
struct Filter {
    status: String,
    nested: bool,
    newest_first: bool,
    limit: usize,
    after: Option<Timestamp>,
    until: Option<Timestamp>,
    side: Option<String>,
    symbols: Option<Vec<String>>,
}

/// A moment, or the first one of a day.
fn moment(words: &HashMap<String, String>, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = words.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let day = |_| {
        let date = SessionDate::parse(text).map_err(|_| Problem::invalid(format!("invalid {name}: {text}")))?;
        Ok(Timestamp::from_nanos(i64::from(date.days()) * 86_400_000_000_000))
    };
    Timestamp::parse(text).or_else(day).map(Some)
}

fn number(words: &HashMap<String, String>, name: &str, usual: usize, most: usize) -> Result<usize, Problem> {
    let Some(text) = words.get(name) else { return Ok(usual) };
    let wrong = || Problem::invalid(format!("{name} must be between 1 and {most}"));
    text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(wrong)
}

impl Filter {
    fn read(words: &HashMap<String, String>) -> Result<Self, Problem> {
        let word = |name: &str, usual: &str| words.get(name).map_or(usual, String::as_str).to_ascii_lowercase();
        let status = word("status", "open");
        if !["open", "closed", "all"].contains(&status.as_str()) {
            return Err(Problem::invalid("status must be open, closed or all"));
        }
        let list = |text: &String| text.split(',').map(|one| one.trim().to_ascii_uppercase()).collect();
        Ok(Self {
            status,
            nested: yes(words, "nested")?,
            newest_first: newest_first(words)?,
            limit: number(words, "limit", 50, 500)?,
            after: moment(words, "after")?,
            until: moment(words, "until")?,
            side: either(words, "side", ["buy", "sell"])?,
            symbols: words.get("symbols").filter(|text| !text.is_empty()).map(list),
        })
    }

    fn wants<B: Broker>(&self, house: &House<B>, at: usize) -> bool {
        let row = &house.rows[at];
        if self.nested && row.parent.is_some() && row.status != Status::Replaced {
            return false;
        }
        // A parent is as open as the most open of its legs.
        let open = row.is_open() || self.nested && row.legs.iter().any(|leg| house.rows[*leg].is_open());
        let status = match self.status.as_str() {
            "open" => open,
            "closed" => !open,
            _ => true,
        };
        let symbol = house.floor.symbols()[row.instrument.index()].as_str();
        status
            && self.after.is_none_or(|after| row.created_at > after)
            && self.until.is_none_or(|until| row.created_at < until)
            && self.side.as_ref().is_none_or(|side| answers::word(&row.side) == *side)
            && self.symbols.as_ref().is_none_or(|symbols| symbols.iter().any(|one| one == symbol))
    }
}

async fn orders<B: Broker>(State(shared): Server<B>, Query(words): Words) -> Answer {
    let filter = Filter::read(&words)?;
    shared.house(|house| {
        let mut found: Vec<usize> = (0..house.rows.len()).filter(|at| filter.wants(house, *at)).collect();
        found.sort_by_key(|at| (house.rows[*at].created_at, *at));
        if filter.newest_first {
            found.reverse();
        }
        found.truncate(filter.limit);
        let rows: Vec<Value> = found.iter().map(|at| answers::order(house, *at, filter.nested)).collect();
        ok(&json!(rows))
    })
}

async fn positions<B: Broker>(State(shared): Server<B>) -> Answer {
    shared.house(|house| {
        let held = house.floor.held()?;
        let rows: Result<Vec<Value>, _> = held.iter().map(|held| answers::position(house, held)).collect();
        ok(&json!(rows?))
    })
}

async fn position<B: Broker>(State(shared): Server<B>, Path(name): Path<String>) -> Answer {
    shared.house(|house| {
        let instrument = answers::instrument(&house.floor, &name);
        let held = house.floor.held()?.into_iter().find(|held| Some(held.instrument) == instrument);
        let held = held.ok_or_else(|| Problem::missing("position does not exist"))?;
        ok(&answers::position(house, &held)?)
    })
}

/// How much of a position to close: given as words of the address or as a body.
fn to_close(words: &HashMap<String, String>, body: &[u8], held: Quantity) -> Result<Option<Quantity>, Problem> {
    let body: HashMap<String, Value> =
        if body.is_empty() { HashMap::new() } else { serde_json::from_slice(body).map_err(Problem::unreadable)? };
    let given = |name: &str| {
        let in_body = body.get(name).filter(|value| !value.is_null());
        let in_body = in_body.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        words.get(name).cloned().or(in_body)
    };
    let read = |text: String| Quantity::parse(&text).map_err(|_| Problem::invalid(format!("`{text}` is no number")));
    match (given("qty"), given("percentage")) {
        (None, None) => Ok(None),
        (Some(quantity), None) => Ok(Some(whole(read(quantity)?)?)),
        (None, Some(percentage)) => {
            let percentage = read(percentage)?;
            if percentage.signum() <= 0 || percentage.units() > 100 * Quantity::UNITS {
                return Err(Problem::invalid("percentage must be above 0 and at most 100"));
            }
            let exact = held.abs().scale(percentage.units(), 100 * Quantity::UNITS)?;
            Ok(Some(whole(exact)?))
        }
        (Some(_), Some(_)) => Err(Problem::invalid("only one of qty and percentage may be given")),
    }
}

async fn close<B: Broker>(
    State(shared): Server<B>,
    Path(name): Path<String>,
    Query(words): Words,
    body: Bytes,
) -> Answer {
    shared.house(|house| {
        let instrument = answers::instrument(&house.floor, &name);
        let instrument = instrument.ok_or_else(|| Problem::missing("position does not exist"))?;
        let quantity = to_close(&words, &body, house.floor.book().position(instrument))?;
        let at = house.close(instrument, quantity)?;
        let answer = answers::order(house, at, true);
        house.settle().map_err(Problem::broken)?;
        ok(&answer)
    })
}

async fn close_all<B: Broker>(State(shared): Server<B>, Query(words): Words) -> Answer {
    let cancels = yes(&words, "cancel_orders")?;
    shared.house(|house| {
        if cancels {
            cancel_open(house)?;
        }
        let mut done = Vec::new();
        for held in house.floor.held()? {
            let symbol = house.floor.symbols()[held.instrument.index()].clone();
            let (status, body) = match house.close(held.instrument, None) {
                Ok(at) => (200, answers::order(house, at, true)),
                Err(problem) => (problem.status.as_u16(), problem.body),
            };
            house.settle().map_err(Problem::broken)?;
            done.push(json!({ "symbol": symbol, "status": status, "body": body }));
        }
        ok_many(&done)
    })
}

async fn activities<B: Broker>(State(shared): Server<B>, Query(words): Words) -> Answer {
    // Nothing but fills happens here that has a name in the API.
    let kinds = words.get("activity_types").map(|kinds| kinds.split(',').any(|kind| kind.trim() == "FILL"));
    if kinds == Some(false) { ok(&json!([])) } else { list_fills(&shared, &words) }
}

async fn activities_of<B: Broker>(State(shared): Server<B>, Path(kind): Path<String>, Query(words): Words) -> Answer {
    if kind == "FILL" { list_fills(&shared, &words) } else { ok(&json!([])) }
}

fn list_fills<B: Broker>(shared: &Shared<B>, words: &HashMap<String, String>) -> Answer {
    let (after, until) = (moment(words, "after")?, moment(words, "until")?);
    let size = number(words, "page_size", 100, 100)?;
    let newest_first = newest_first(words)?;
    shared.house(|house| {
        let order = words.get("order_id").filter(|id| !id.is_empty());
        let within = |at: &usize| {
            let (time, of) = (house.fills[*at].at, &house.rows[house.fills[*at].order].id);
            order.is_none_or(|order| order == of)
                && after.is_none_or(|after| time > after)
                && until.is_none_or(|until| time < until)
        };
        let mut found: Vec<usize> = (0..house.fills.len()).filter(within).collect();
        if newest_first {
            found.reverse();
        }
        if let Some(token) = words.get("page_token").filter(|token| !token.is_empty()) {
            let last = found.iter().position(|at| answers::activity_id(house, *at) == *token);
            let last = last.ok_or_else(|| Problem::invalid("page_token is not one of these activities"))?;
            found.drain(..=last);
        }
        found.truncate(size);
        let rows: Vec<Value> = found.iter().map(|at| answers::activity(house, *at)).collect();
        ok(&json!(rows))
    })
}

async fn assets<B: Broker>(State(shared): Server<B>, Query(words): Words) -> Answer {
    either(&words, "status", ["active", "inactive"])?;
    let wanted = |asset: &Value| {
        let other = |(name, field): &(&str, &str)| {
            let word = words.get(*name).filter(|word| !word.is_empty());
            word.is_some_and(|word| asset[*field].as_str().is_none_or(|has| !has.eq_ignore_ascii_case(word)))
        };
        ![("status", "status"), ("asset_class", "class"), ("exchange", "exchange")].iter().any(other)
    };
    shared.house(|house| {
        let ids = house.floor.symbols().iter().filter_map(|symbol| house.floor.instrument(symbol.as_str()));
        let rows: Vec<Value> = ids.map(|id| answers::asset(&house.floor, id)).filter(wanted).collect();
        ok(&json!(rows))
    })
}

async fn asset<B: Broker>(State(shared): Server<B>, Path(name): Path<String>) -> Answer {
    shared.house(|house| {
        let instrument = answers::instrument(&house.floor, &name);
        let instrument = instrument.ok_or_else(|| Problem::missing(format!("asset not found for {name}")))?;
        ok(&answers::asset(&house.floor, instrument))
    })
}

async fn clock<B: Broker>(State(shared): Server<B>) -> Answer {
    ok(&shared.house(|house| answers::clock(&house.floor)))
}

async fn calendar<B: Broker>(State(shared): Server<B>, Query(words): Words) -> Answer {
    let day = |name: &str| -> Result<String, Problem> {
        let text = words.get(name).map(String::as_str).unwrap_or_default();
        let date: String = text.chars().take(10).collect();
        if !date.is_empty() && SessionDate::parse(&date).is_err() {
            return Err(Problem::invalid(format!("invalid {name}: {text}")));
        }
        Ok(date)
    };
    let (start, end) = (day("start")?, day("end")?);
    ok(&json!(shared.house(|house| answers::calendar(&house.floor, &start, &end))))
}

/// Whether the keys in the headers are right.
pub(super) fn has_keys(credentials: &Credentials, headers: &HeaderMap) -> bool {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    credentials.are(said("apca-api-key-id"), said("apca-api-secret-key"))
}
