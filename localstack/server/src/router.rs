//! Which service a call is for, what tests have go wrong with it, and the server around both.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::athena::Athena;
use crate::clock;
use crate::ecs::Ecs;
use crate::exchange::Exchange;
use crate::faults::{Entry, Fault, Faults, Wrong};
use crate::glue::Glue;
use crate::sagemaker::SageMaker;
use crate::upstream::{Upstream, answer};
use crate::wire::{Answer, Caller, Refusal, input, ok};

/// The most that a body may hold.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The planner descends into a query's tree: one query that is long but honest must not end the server for all.
const STACK_BYTES: usize = 256 << 20;

/// What the server is set up with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Port of 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// The emulator.
    pub upstream: String,
    /// Folder of data products.
    pub data_exchange: PathBuf,
    /// Lake whose models answer.
    pub lake: String,
    /// Folder of the containers' programs.
    pub bin_dir: PathBuf,
    /// Folder for what containers say.
    pub log_dir: PathBuf,
}

/// A call as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) caller: Caller,
}

struct Server {
    upstream: Upstream,
    faults: Arc<Faults>,
    exchange: Exchange,
    sagemaker: SageMaker,
    ecs: Ecs,
    glue: Glue,
    athena: Athena,
}

/// Serves until it is told to stop.
///
/// # Errors
/// The port is taken, or the system refuses.
pub fn serve(settings: Settings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let upstream = Upstream::new(&settings.upstream);
        let faults = Arc::new(Faults::new());
        let server = Arc::new(Server {
            exchange: Exchange::new(settings.data_exchange, upstream.clone(), Arc::clone(&faults)),
            sagemaker: SageMaker::new(settings.lake),
            ecs: Ecs::new(upstream.clone(), Arc::clone(&faults), settings.bin_dir, settings.log_dir),
            glue: Glue::new(upstream.clone(), Arc::clone(&faults)),
            athena: Athena::new(upstream.clone(), Arc::clone(&faults)),
            upstream,
            faults,
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", settings.port))
            .await
            .with_context(|| format!("cannot listen on port {} of 127.0.0.1", settings.port))?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let app = Router::new().fallback(take).with_state(Arc::clone(&server));
        let ending = Arc::clone(&server);
        let ended = async move {
            stopped().await;
            // A call that hangs would keep the server, and with it the tasks.
            ending.ecs.stop_all().await;
        };
        axum::serve(listener, app).with_graceful_shutdown(ended).await?;
        // Those that were started in the meantime.
        server.ecs.stop_all().await;
        Ok(())
    })
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn take(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return Refusal::new("RequestEntityTooLarge", "the body is too large").into_response();
    };
    let caller = Caller::of(&head.headers);
    let call = Call { method: head.method, uri: head.uri, headers: head.headers, body, caller };
    if let Some(path) = call.uri.path().strip_prefix("/_offline/") {
        return answer(server.offline(path, &call));
    }
    let (service, name) = server.named(&call);
    let mut response = server.answer(service, &name, &call).await;
    if response.status().is_server_error() && response.status() == StatusCode::BAD_GATEWAY {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    let status = response.status().as_u16();
    server.faults.note(Entry { service, call: name, status, at_ms: clock::milliseconds() });
    response
}

impl Server {
    /// Service and operation of a call.
    fn named(&self, call: &Call) -> (&'static str, String) {
        let target = call.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some((service, name)) = target.rsplit_once('.') {
            let service = match service {
                "AmazonAthena" => "athena",
                "AWSGlue" => "glue",
                _ if service.starts_with("AmazonEC2ContainerService") => "ecs",
                _ => "other",
            };
            return (service, name.to_owned());
        }
        let path = call.uri.path();
        if path.starts_with("/endpoints/") && path.ends_with("/invocations") {
            return ("sagemaker", "InvokeEndpoint".to_owned());
        }
        match Exchange::operation(&call.method, path) {
            Some(name) => ("dataexchange", name.to_owned()),
            None => ("other", path.to_owned()),
        }
    }

    async fn answer(&self, service: &'static str, name: &str, call: &Call) -> Response {
        match self.faults.at_the_door(service, name) {
            Some(Wrong::Error { status, code, message, after }) => {
                if after {
                    self.really(service, name, call).await;
                }
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Refusal::new(&code, message).with_status(status).into_response();
            }
            Some(Wrong::OtherShape { body }) => return (StatusCode::OK, body).into_response(),
            Some(Wrong::Delay { ms }) => tokio::time::sleep(std::time::Duration::from_millis(ms)).await,
            _ => {}
        }
        self.really(service, name, call).await
    }

    async fn really(&self, service: &'static str, name: &str, call: &Call) -> Response {
        let done = match service {
            "dataexchange" => Some(self.exchange.handle(name, call).await),
            "sagemaker" => Some(self.sagemaker.handle(call).await),
            "ecs" => self.ecs.handle(name, call).await.map(|done| done.map(|value| ok(&value))),
            "glue" => self.glue.handle(name, call).await.map(|done| done.map(|value| ok(&value))),
            "athena" => self.athena.handle(name, call).await.map(|done| done.map(|value| ok(&value))),
            _ => None,
        };
        match done {
            Some(done) => answer(done),
            None => {
                let path = call.uri.path_and_query().map_or("/", |path| path.as_str());
                answer(self.upstream.forward(&call.method, path, &call.headers, call.body.clone()).await)
            }
        }
    }

    /// What tests ask of the server itself.
    fn offline(&self, path: &str, call: &Call) -> Answer<Response> {
        match (&call.method, path) {
            (&Method::GET, "health") => Ok(ok(&json!({ "ok": true }))),
            (&Method::GET, "requests") => {
                let calls = serde_json::to_value(self.faults.calls()).unwrap_or_default();
                Ok(ok(&calls))
            }
            (&Method::POST, "faults") => {
                let body = input(&call.body)?;
                let all = if let Value::Array(all) = body { all } else { vec![body] };
                for one in all {
                    let fault: Fault = serde_json::from_value(one)
                        .map_err(|error| Refusal::new("ValidationException", format!("no such fault: {error}")))?;
                    self.faults.add(fault);
                }
                Ok(ok(&json!({})))
            }
            (&Method::DELETE, "faults") => {
                self.faults.clear();
                Ok(ok(&json!({})))
            }
            _ => {
                Err(Refusal::new("NotFound", format!("there is nothing at {path}")).with_status(StatusCode::NOT_FOUND))
            }
        }
    }
}
