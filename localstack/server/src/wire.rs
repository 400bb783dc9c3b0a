//! What the services have in common on the wire: a call that arrived, the answer to it, and an error as AWS writes it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

/// A call as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// GET, POST, …
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// As sent, signature included.
    pub headers: HeaderMap,
    /// As sent.
    pub body: Bytes,
}

impl Call {
    /// Name of the operation of a JSON service: `StartQueryExecution` of `AmazonAthena.StartQueryExecution`.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.headers.get("x-amz-target")?.to_str().ok()?.rsplit('.').next()
    }

    /// The body as JSON; an empty one is an empty object.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new(400, "SerializationException", format!("the body is not JSON: {error}")))
    }
}

/// An error as a service writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status.
    pub status: u16,
    /// `ResourceNotFoundException`, …
    pub code: String,
    /// For people.
    pub message: String,
    /// Further members of the body.
    pub more: Vec<(String, Value)>,
}

impl Failure {
    /// With a status, a code and words.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), more: Vec::new() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // Services spell the message both ways, and clients read either.
        let mut body = json!({ "__type": self.code, "message": self.message, "Message": self.message });
        for (name, value) in self.more {
            body[name] = value;
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            response.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), code);
        }
        response
    }
}

/// A service's answer: JSON, or an error.
pub type Answer = Result<Value, Failure>;
