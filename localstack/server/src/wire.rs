//! How the services' calls look on the wire: who asks, what is answered, how a refusal is written.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// Who asks, as the signature says; nobody checks it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) access_key: String,
    pub(crate) region: String,
    /// The service that the call was signed for.
    pub(crate) service: String,
}

impl Caller {
    /// `Credential=<key>/<day>/<region>/<service>/aws4_request` of the header.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let scope = signed.split_once("Credential=").map_or("", |(_, rest)| rest);
        let scope = scope.split([',', ' ']).next().unwrap_or_default();
        let mut parts = scope.rsplit('/').skip(1);
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (service, region, _day, access_key) = (next(), next(), next(), next());
        let or = |given: Option<&str>, otherwise: &str| given.unwrap_or(otherwise).to_owned();
        Self { access_key: or(access_key, "test"), region: or(region, "us-east-1"), service: or(service, "") }
    }

    /// The emulator takes twelve digits as an account, and has one for all other keys.
    pub(crate) fn account(&self) -> &str {
        let digits = self.access_key.len() == 12 && self.access_key.bytes().all(|byte| byte.is_ascii_digit());
        if digits { &self.access_key } else { "000000000000" }
    }
}

/// A call that is not answered as asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    /// What the service tells besides.
    pub(crate) more: Vec<(String, Value)>,
}

/// What a call comes to.
pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    /// The caller's mistake.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code.to_owned(), message: message.into(), more: Vec::new() }
    }

    /// With another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With one more member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.push((name.to_owned(), value.into()));
        self
    }

    /// This server's or the emulator's failure.
    pub(crate) fn internal(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message).with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body: Map<String, Value> = self.more.into_iter().collect();
        body.insert("__type".to_owned(), self.code.clone().into());
        // The services do not agree on the name, and clients take the one they know.
        body.insert("message".to_owned(), self.message.clone().into());
        body.insert("Message".to_owned(), self.message.into());
        let mut response = (self.status, json_type(), Value::from(body).to_string()).into_response();
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/x-amz-json-1.1")]
}

/// A JSON answer.
pub(crate) fn ok(value: &Value) -> Response {
    answered(StatusCode::OK, value)
}

/// A JSON answer with a status of its own.
pub(crate) fn answered(status: StatusCode, value: &Value) -> Response {
    (status, json_type(), value.to_string()).into_response()
}

/// The body of a call; none is an empty object.
pub(crate) fn input(body: &[u8]) -> Answer<Value> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::new("SerializationException", error.to_string()))
}

/// A member that is text; empty when it is absent.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The texts of a list.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A page of a list, and the token of the next one: the place where it begins.
pub(crate) fn page<T>(items: Vec<T>, most: usize, token: Option<&str>, bad: &str) -> Answer<(Vec<T>, Option<String>)> {
    let from = match token {
        None | Some("") => 0,
        Some(token) => token.parse().map_err(|_| Refusal::new(bad, format!("Invalid NextToken: {token}")))?,
    };
    let next = (items.len().saturating_sub(from) > most).then(|| (from + most).to_string());
    Ok((items.into_iter().skip(from).take(most).collect(), next))
}

/// Drops the members that are null: the services leave out what they do not have.
pub(crate) fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_says_who_asks() {
        let mut headers = HeaderMap::new();
        let signed = "AWS4-HMAC-SHA256 Credential=123456789012/20200101/eu-west-1/ecs/aws4_request, SignedHeaders=host";
        headers.insert(header::AUTHORIZATION, signed.parse().unwrap());
        let caller = Caller::of(&headers);
        assert_eq!((caller.account(), &*caller.region, &*caller.service), ("123456789012", "eu-west-1", "ecs"));
        let nobody = Caller::of(&HeaderMap::new());
        assert_eq!((nobody.account(), &*nobody.access_key), ("000000000000", "test"));
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (first, next) = page(vec![1, 2, 3], 2, None, "X").unwrap();
        assert_eq!((first, next.as_deref()), (vec![1, 2], Some("2")));
        let (last, next) = page(vec![1, 2, 3], 2, next.as_deref(), "X").unwrap();
        assert_eq!((last, next), (vec![3], None));
        assert!(page(vec![1], 2, Some("x"), "X").is_err());
    }
}
