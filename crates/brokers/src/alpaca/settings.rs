//! Where Alpaca is, and with which keys.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

/// A key and its secret. Neither is ever printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    key_id: String,
    secret: String,
}

/// A key or its secret cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of Alpaca and its secret are printable text without spaces, and neither is empty")]
pub struct CredentialsError;

impl Credentials {
    /// Checks that both can be sent.
    ///
    /// # Errors
    /// [`CredentialsError`]; it does not repeat them.
    pub fn new(key_id: impl Into<String>, secret: impl Into<String>) -> Result<Self, CredentialsError> {
        let (key_id, secret) = (key_id.into(), secret.into());
        let fits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits(&key_id) && fits(&secret) { Ok(Self { key_id, secret }) } else { Err(CredentialsError) }
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// For headers; marked so that no log of the client prints them.
    pub(super) fn headers(&self) -> [(&'static str, HeaderValue); 2] {
        let value = |text: &str| {
            let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        };
        [("apca-api-key-id", value(&self.key_id)), ("apca-api-secret-key", value(&self.secret))]
    }

    /// Whether these are the given ones; takes as long whatever is wrong with them.
    pub(super) fn are(&self, key_id: &str, secret: &str) -> bool {
        let same = |left: &[u8], right: &[u8]| {
            let different = left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right));
            different == 0 && left.len() == right.len()
        };
        same(self.key_id.as_bytes(), key_id.as_bytes()) & same(self.secret.as_bytes(), secret.as_bytes())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Where the API is: `https://paper-api.alpaca.markets`, `https://api.alpaca.markets`, or a server on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(Url);

/// An address that orders and keys may not be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// It is not an address.
    #[error("`{0}` is not an address like https://paper-api.alpaca.markets")]
    NotAnAddress(String),
    /// It is not encrypted.
    #[error("`{0}` is not encrypted: https is required unless the host is this machine")]
    NotEncrypted(String),
}

impl Base {
    /// Reads an address; what follows the host is ignored.
    ///
    /// # Errors
    /// [`BaseError`].
    pub fn parse(text: &str) -> Result<Self, BaseError> {
        let url = Url::parse(text).map_err(|_| BaseError::NotAnAddress(text.to_owned()))?;
        let Some(host) = url.host_str() else { return Err(BaseError::NotAnAddress(text.to_owned())) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseError::NotAnAddress("an address with a name and password in it".to_owned()));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(host) => Ok(Self(url)),
            "http" => Err(BaseError::NotEncrypted(text.to_owned())),
            _ => Err(BaseError::NotAnAddress(text.to_owned())),
        }
    }

    /// Whether it is this machine.
    pub(super) fn is_local(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback)
    }

    /// The address of a path.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    /// The address of the socket.
    pub(super) fn socket(&self) -> String {
        let url = self.at("/stream");
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        format!("{scheme}{}", &url.as_str()[url.scheme().len()..])
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// How to trade at Alpaca.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where.
    pub base: Base,
    /// With which keys.
    pub credentials: Credentials,
    /// No call waits longer.
    pub time_out: Duration,
    /// Requests that leave in a minute at most.
    pub requests_per_minute: u32,
    /// How long to wait before the socket is opened again; doubled each time, up to the second.
    pub reconnect_after: (Duration, Duration),
    /// How often the socket is asked for a sign of life; it is closed when none came for twice as long.
    pub ping_every: Duration,
    /// How far back an order is looked for that is only known as an alternative of another. Alpaca itself ends orders
    /// after 90 days.
    pub look_back: Duration,
}

impl Settings {
    /// Alpaca's own limits.
    #[must_use]
    pub fn new(base: Base, credentials: Credentials) -> Self {
        Self {
            base,
            credentials,
            time_out: Duration::from_secs(10),
            requests_per_minute: 200,
            reconnect_after: (Duration::from_millis(500), Duration::from_secs(30)),
            ping_every: Duration::from_secs(10),
            look_back: Duration::from_secs(100 * 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_printed() {
        let credentials = Credentials::new("PKTEST", "verysecret").unwrap();
        let settings = Settings::new(Base::parse("https://api.alpaca.markets").unwrap(), credentials.clone());
        let printed = format!("{credentials:?} {settings:?} {:?}", credentials.headers());
        assert!(!printed.contains("PKTEST") && !printed.contains("verysecret"), "{printed}");
        let wrong = Credentials::new("PKTEST", "very secret").unwrap_err();
        assert!(!wrong.to_string().contains("very secret"));
    }

    #[test]
    fn keys_are_these_or_not() {
        let credentials = Credentials::new("key", "secret").unwrap();
        assert!(credentials.are("key", "secret"));
        for (key, secret) in [("key", "secre"), ("key", "secrets"), ("ke", "secret"), ("", ""), ("Key", "secret")] {
            assert!(!credentials.are(key, secret), "{key} {secret}");
        }
    }

    #[test]
    fn keys_leave_this_machine_only_encrypted() {
        for good in ["https://api.alpaca.markets", "http://127.0.0.1:8080", "http://[::1]:80", "http://localhost:1"] {
            assert!(Base::parse(good).is_ok(), "{good}");
        }
        for bad in ["http://api.alpaca.markets", "http://127.0.0.1.evil.example", "http://localhost.evil.example"] {
            assert_eq!(Base::parse(bad), Err(BaseError::NotEncrypted(bad.to_owned())), "{bad}");
        }
        for bad in ["", "api.alpaca.markets", "ftp://api.alpaca.markets", "https://a:b@api.alpaca.markets"] {
            assert!(matches!(Base::parse(bad), Err(BaseError::NotAnAddress(_))), "{bad}");
        }
        let base = Base::parse("https://paper-api.alpaca.markets/v2?x").unwrap();
        assert_eq!(base.socket(), "wss://paper-api.alpaca.markets/stream");
        assert_eq!(Base::parse("http://127.0.0.1:99").unwrap().socket(), "ws://127.0.0.1:99/stream");
        assert_eq!(base.at("/v2/orders").as_str(), "https://paper-api.alpaca.markets/v2/orders");
    }
}
