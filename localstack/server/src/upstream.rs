//! The emulator behind: calls passed on as they are, calls of our own in the caller's name, its S3.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use serde_json::Value;

use crate::wire::{Answer, Caller, Refusal, input, text};

/// An emulator of AWS on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// Without slash at its end.
    url: String,
    client: Client<HttpConnector, Body>,
}

/// Headers that belong to one connection and not to the call.
const OF_THE_CONNECTION: [header::HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// The most that an answer may hold.
const ANSWER_BYTES_MAX: usize = 256 << 20;

impl Upstream {
    pub(crate) fn new(url: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { url: url.trim_end_matches('/').to_owned(), client }
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> Refusal {
        let message = format!("cannot reach the emulator at {}: {reason}", self.url);
        Refusal::internal("InternalFailure", message).with_status(StatusCode::BAD_GATEWAY)
    }

    /// Passes a call on as it is.
    pub(crate) async fn forward(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Answer<Response> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() =
            format!("{}{path_and_query}", self.url).parse().map_err(|error| self.unreachable(&error))?;
        *request.headers_mut() = headers.clone();
        for name in OF_THE_CONNECTION {
            request.headers_mut().remove(name);
        }
        let answer = self.client.request(request).await.map_err(|error| self.unreachable(&error))?;
        let (mut head, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await.map_err(|error| self.unreachable(&error))?;
        for name in OF_THE_CONNECTION {
            head.headers.remove(name);
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }

    /// A call of a JSON service in the caller's name, such as `AWSGlue.GetTable`.
    pub(crate) async fn call(&self, caller: &Caller, target: &str, request: &Value) -> Answer<Value> {
        let service = match target.split('.').next().unwrap_or_default() {
            "AWSGlue" => "glue",
            "AmazonAthena" => "athena",
            _ => "ecs",
        };
        // The emulator reads who calls and does not check the signature.
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={}/20200101/{}/{service}/aws4_request, SignedHeaders=host, Signature=00",
            caller.access_key, caller.region
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        for (name, value) in [("x-amz-target", target), ("authorization", &*signed)] {
            headers.insert(name, HeaderValue::from_str(value).map_err(|error| self.unreachable(&error))?);
        }
        let answer = self.forward(&Method::POST, "/", &headers, request.to_string().into()).await?;
        let status = answer.status();
        let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.map_err(|error| self.unreachable(&error))?;
        let value = input(&body)?;
        if status.is_success() {
            return Ok(value);
        }
        let code = text(&value, "__type").rsplit('#').next().unwrap_or_default();
        let message = value["message"].as_str().or(value["Message"].as_str()).unwrap_or_default();
        Err(Refusal::new(code, message).with_status(status))
    }

    /// A bucket of the emulator's S3, as the caller has it.
    pub(crate) fn bucket(&self, caller: &Caller, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let store = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&caller.region)
            .with_access_key_id(&caller.access_key)
            .with_secret_access_key("offline")
            .with_endpoint(&self.url)
            .with_allow_http(true)
            .with_client_options(
                ClientOptions::new().with_allow_http(true).with_connect_timeout(Duration::from_secs(2)),
            )
            .with_retry(RetryConfig { max_retries: 2, ..RetryConfig::default() })
            .build()?;
        Ok(Arc::new(store))
    }
}

/// What `s3://bucket/key` names.
pub(crate) fn s3_address(location: &str) -> Option<(&str, &str)> {
    let rest = location.strip_prefix("s3://").or_else(|| location.strip_prefix("s3a://"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, key))
}

/// A refusal as the answer it is.
pub(crate) fn answer(outcome: Answer<Response>) -> Response {
    outcome.unwrap_or_else(IntoResponse::into_response)
}
