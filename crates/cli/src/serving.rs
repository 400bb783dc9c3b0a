//! A model behind HTTP, as SageMaker's hosting and batch transform call it.
//!
//! `GET /ping` says that the model is there; `POST /invocations` predicts the rows of a body ([`body`]); `POST
//! /endpoints/{name}/invocations` does the same for a client of the SageMaker runtime API, and wraps what goes wrong as
//! that API does. So many bodies are held and so many predicted at once; whoever comes on top of a full queue is sent
//! away at once. A stop lets those finish who have been let in.

pub mod body;

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use models::Model;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use body::{Form, Unfit};

/// How much is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest body.
    pub body_bytes_max: usize,
    /// Requests that are predicted at once.
    pub concurrency_max: usize,
    /// Requests that wait or are predicted; the next one is sent away.
    pub queue_max: usize,
    /// How long a client may take to send its body.
    pub body_seconds_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // What SageMaker sends to a real-time endpoint at most.
        Self { body_bytes_max: 6 << 20, concurrency_max: cores, queue_max: 1_024, body_seconds_max: 60 }
    }
}

/// Bodies that are in memory at once, for each request that is predicted.
const BODIES: usize = 16;

struct Server {
    limits: Limits,
    /// What each prediction works with; it comes back afterwards.
    models: Mutex<Vec<Model>>,
    version: String,
    bodies: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    inside: AtomicUsize,
}

/// One of those inside; leaves when it is dropped.
struct Place(Arc<Server>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a request gets no prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        let status = match unfit {
            Unfit::Type(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Unfit::Accept(_) => StatusCode::NOT_ACCEPTABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, reason: unfit.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = serde_json::json!({ "error": self.reason }).to_string();
        (self.status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
    }
}

/// The routes of a model.
fn routes(model: Model, version: String, limits: Limits) -> Router {
    let server = Server {
        models: Mutex::new(vec![model; limits.concurrency_max]),
        version,
        bodies: Arc::new(Semaphore::new(limits.concurrency_max * BODIES)),
        workers: Arc::new(Semaphore::new(limits.concurrency_max)),
        inside: AtomicUsize::new(0),
        limits,
    };
    Router::new()
        .route("/ping", get(|| async { StatusCode::OK }))
        .route("/execution-parameters", get(parameters))
        .route("/invocations", post(invocations))
        .route("/endpoints/{name}/invocations", post(endpoint))
        .with_state(Arc::new(server))
}

/// What batch transform asks before it sends anything.
async fn parameters(State(server): State<Arc<Server>>) -> Response {
    let parameters = serde_json::json!({
        "MaxConcurrentTransforms": server.limits.concurrency_max,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": server.limits.body_bytes_max >> 20,
    });
    ([(header::CONTENT_TYPE, "application/json")], parameters.to_string()).into_response()
}

async fn invocations(State(server): State<Arc<Server>>, request: Request) -> Response {
    match predicted(server, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

/// As the SageMaker runtime answers: what the model refuses is a `ModelError` with the model's own status in it.
async fn endpoint(State(server): State<Arc<Server>>, Path(name): Path<String>, request: Request) -> Response {
    match predicted(server, request).await {
        Ok(mut response) => {
            response.headers_mut().insert("x-amzn-invoked-production-variant", HeaderValue::from_static("AllTraffic"));
            response
        }
        Err(Refusal { status, reason }) => {
            let error = serde_json::json!({
                "Message": format!("The model of endpoint {name} returned {}: {reason}", status.as_u16()),
                "OriginalStatusCode": status.as_u16(),
                "OriginalMessage": reason,
            });
            let kind = [("x-amzn-errortype", "ModelError"), ("content-type", "application/json")];
            (StatusCode::FAILED_DEPENDENCY, kind, error.to_string()).into_response()
        }
    }
}

async fn predicted(server: Arc<Server>, request: Request) -> Result<Response, Refusal> {
    let refused = |status, reason: &str| Refusal { status, reason: reason.to_owned() };
    let place = Place(server.clone());
    if server.inside.fetch_add(1, Ordering::Relaxed) >= server.limits.queue_max {
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "too many requests are waiting; try again"));
    }
    let (head, sent) = request.into_parts();
    let form = Form::of(header_of(&head.headers, &header::CONTENT_TYPE), header_of(&head.headers, &header::ACCEPT))?;
    // Neither semaphore is ever closed.
    let held = server.bodies.clone().acquire_owned().await;
    let bytes = read(&server.limits, &head.headers, sent).await?;
    let worker = server.workers.clone().acquire_owned().await;
    let own = server.clone();
    let done = tokio::task::spawn_blocking(move || {
        // A prediction goes on when its client goes away, and until it ends all this is taken.
        let _taken = (place, held, worker);
        let models = || own.models.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = models().pop();
        // There are as many copies as workers, unless a prediction has panicked and taken its copy with it.
        let Some(mut model) = taken else {
            return Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "there is no copy of the model left; start again"));
        };
        let answer = body::answer(&mut model, form, &bytes);
        models().push(model);
        Ok(answer?)
    });
    let text = done.await.map_err(|_| refused(StatusCode::INTERNAL_SERVER_ERROR, "the prediction stopped"))??;
    let mut response = ([(header::CONTENT_TYPE, form.content_type())], text).into_response();
    if let Ok(version) = HeaderValue::from_str(&server.version) {
        response.headers_mut().insert("x-model", version);
    }
    Ok(response)
}

fn header_of<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn read(limits: &Limits, headers: &HeaderMap, sent: Body) -> Result<Vec<u8>, Refusal> {
    let most = limits.body_bytes_max;
    let large = || Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        reason: format!("the body is larger than {most} bytes; send fewer rows at once"),
    };
    let announced = header_of(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(large());
    }
    let wait = Duration::from_secs(limits.body_seconds_max);
    match tokio::time::timeout(wait, to_bytes(sent, most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) if is_too_large(&error) => Err(large()),
        Ok(Err(_)) => Err(Refusal { status: StatusCode::BAD_REQUEST, reason: "the body broke off".to_owned() }),
        Err(_) => Err(Refusal { status: StatusCode::REQUEST_TIMEOUT, reason: "the body took too long".to_owned() }),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        if one.to_string().contains("length limit") {
            return true;
        }
        cause = one.source();
    }
    false
}

/// How long those who are inside may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// Serves a model until it is told to stop, then lets those finish who are inside, up to 25 seconds.
///
/// `version` goes out with every prediction; `ready` learns the address.
///
/// # Errors
/// The address is taken or not this machine's.
pub async fn serve(
    model: Model,
    version: String,
    limits: Limits,
    address: SocketAddr,
    stop: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address or stop what listens there"))?;
    ready(listener.local_addr()?);
    let routes = routes(model, version, limits);
    let (told, was_told) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        // Nobody listens when the server has stopped by itself.
        let _ = told.send(());
    };
    let deadline = async move {
        if was_told.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        done = axum::serve(listener, routes).with_graceful_shutdown(stop).into_future() => done.context("the server stopped"),
        () = deadline => Ok(()),
    }
}

/// Comes when this process is told to stop (SIGTERM, or Ctrl-C).
pub async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
