//! Adapters whose requests are kept and whose answers are given.

use std::time::Duration;

use aws::{Aws, config};
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_s3::config::Credentials;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const KEY: &str = "AKIAQQQQQQQQQQQQQQQQ";
pub(crate) const SECRET: &str = "the-secret-of-the-key";
pub(crate) const TOKEN: &str = "the-token-of-the-session";

/// What one request is answered with.
#[derive(Clone)]
pub(crate) struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

pub(crate) fn said(status: u16, body: impl Into<Vec<u8>>) -> Said {
    Said { status, headers: Vec::new(), body: body.into() }
}

pub(crate) fn json(body: Value) -> Said {
    said(200, body.to_string())
}

/// A failure as the JSON services tell it.
pub(crate) fn refused(status: u16, code: &str, message: &str) -> Said {
    let body = serde_json::json!({ "__type": code, "message": message });
    said(status, body.to_string()).with("x-amzn-errortype", code)
}

impl Said {
    pub(crate) fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }

    pub(crate) fn response(self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status.try_into().unwrap(), SdkBody::from(self.body));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What was asked.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) target: String,
    pub(crate) body: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Sent {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        Self {
            method: request.method().into(),
            uri: request.uri().into(),
            target: request.headers().get("x-amz-target").unwrap_or_default().into(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
            headers: request.headers().iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The adapters as they are shipped, but for what is named here: pauses are short, and the answers come from `http`.
pub(crate) fn adapters(runtime: &Runtime, http: impl HttpClient + 'static) -> Aws {
    let loader = config::loader()
        .http_client(http)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEY, SECRET, Some(TOKEN.into()), None, "test"))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(config::ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(1))
                .with_max_backoff(Duration::from_millis(2)),
        );
    Aws::new(runtime.block_on(loader.load()), runtime.handle().clone())
}

/// Adapters and the answers they get.
pub(crate) struct Wire {
    pub(crate) aws: Aws,
    replay: StaticReplayClient,
    _runtime: Runtime,
}

impl Wire {
    pub(crate) fn new(answers: impl IntoIterator<Item = Said>) -> Self {
        let events = answers.into_iter().map(|answer| ReplayEvent::new(HttpRequest::empty(), answer.response()));
        let (replay, runtime) = (StaticReplayClient::new(events.collect()), runtime());
        Self { aws: adapters(&runtime, replay.clone()), replay, _runtime: runtime }
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.replay.actual_requests().map(Sent::of).collect()
    }

    /// The bodies of what was asked, each of which was for this target.
    pub(crate) fn bodies(&self, target: &str) -> Vec<Value> {
        let sent = self.sent();
        assert!(sent.iter().all(|sent| sent.target.ends_with(target)), "{sent:?}");
        sent.iter().map(Sent::json).collect()
    }
}
