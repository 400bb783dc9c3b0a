//! Questions about the past, over HTTPS: asked until they are answered, page after page.
//!
//! Only reading happens here, so asking again is harmless. A redirect is not followed: it would carry the keys elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::settings::Base;
use super::super::throttle::Throttle;
use super::DataSettings;
use super::said::Said;
use super::wire::{ActionsPage, BarsPage};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Bars in a page, the most that Alpaca gives.
const BARS_PER_PAGE: u32 = 10_000;
/// Corporate actions in a page, the most that Alpaca gives.
const ACTIONS_PER_PAGE: u32 = 1_000;
/// Pages of one answer; more would be a server that turns in circles.
const PAGES_MAX: usize = 1_000;

/// Alpaca does not answer this, and says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

/// Rows by what they belong to: a symbol, or a kind of action.
pub(super) type Rows = Vec<(String, Value)>;

pub(super) type Query = Vec<(&'static str, String)>;

/// The client.
#[derive(Debug)]
pub(super) struct Rest {
    http: reqwest::Client,
    base: Base,
    throttle: Mutex<Throttle>,
    wait: (Duration, Duration),
    said: Said,
    /// Whether it has answered: then a refusal is not about the keys.
    has_answered: AtomicBool,
    is_down: AtomicBool,
}

enum Trouble {
    Later(String),
    Refused(Refused),
}

impl Rest {
    pub(super) fn new(settings: &DataSettings, tls: &rustls::ClientConfig, said: Said) -> reqwest::Result<Self> {
        Ok(Self {
            http: super::super::client::http(&settings.credentials, &settings.rest, settings.time_out, tls)?,
            base: settings.rest.clone(),
            throttle: Mutex::new(Throttle::new(settings.requests_per_minute, Instant::now())),
            wait: settings.reconnect_after,
            said,
            has_answered: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
        })
    }

    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// All bars of a query, by symbol.
    pub(super) async fn bars(&self, mut query: Query) -> Result<Rows, Refused> {
        query.extend([
            ("limit", BARS_PER_PAGE.to_string()),
            ("adjustment", "raw".to_owned()),
            ("sort", "asc".to_owned()),
        ]);
        self.pages("/v2/stocks/bars", query, |page: BarsPage| (page.bars, page.next_page_token)).await
    }

    /// All corporate actions of a query, by kind.
    pub(super) async fn actions(&self, mut query: Query) -> Result<Rows, Refused> {
        query.push(("limit", ACTIONS_PER_PAGE.to_string()));
        let read = |page: ActionsPage| (page.corporate_actions, page.next_page_token);
        self.pages("/v1/corporate-actions", query, read).await
    }

    async fn pages<P: DeserializeOwned>(
        &self,
        path: &str,
        mut query: Query,
        read: impl Fn(P) -> (Option<HashMap<String, Option<Vec<Value>>>>, Option<String>),
    ) -> Result<Rows, Refused> {
        let first = query.len();
        let (mut rows, mut wait): (Rows, Duration) = (Vec::new(), self.wait.0);
        let mut tokens: Vec<String> = Vec::new();
        loop {
            let page = match self.page(path, &query).await {
                Ok(page) => page,
                Err(Trouble::Refused(refused)) => return Err(refused),
                Err(Trouble::Later(why)) => {
                    if !self.is_down.swap(true, Ordering::Relaxed) {
                        self.said.say(format!("Alpaca's prices are asked for again and again: {why}"));
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(self.wait.1);
                    continue;
                }
            };
            query.truncate(first);
            wait = self.wait.0;
            let (groups, token) = read(page);
            for (group, values) in groups.unwrap_or_default() {
                rows.extend(values.unwrap_or_default().into_iter().map(|value| (group.clone(), value)));
            }
            match token {
                None => {
                    self.has_answered.store(true, Ordering::Relaxed);
                    if self.is_down.swap(false, Ordering::Relaxed) {
                        self.said.say("Alpaca's prices are answered again".to_owned());
                    }
                    return Ok(rows);
                }
                Some(token) if tokens.len() < PAGES_MAX && !tokens.contains(&token) => {
                    query.push(("page_token", token.clone()));
                    tokens.push(token);
                }
                Some(_) => return Err(Refused(format!("GET {path}: the pages have no end"))),
            }
        }
    }

    async fn page<P: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<P, Trouble> {
        loop {
            let taken = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).take(false, Instant::now());
            match taken {
                Ok(()) => break,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
        let later = |error: reqwest::Error| Trouble::Later(format!("GET {path}: {}", words(&error.without_url())));
        let mut response = self.http.get(self.base.at(path)).query(query).send().await.map_err(later)?;
        let status = response.status();
        if let Some(pause) = pause(status, response.headers()) {
            self.throttle.lock().unwrap_or_else(PoisonError::into_inner).pause(pause, Instant::now());
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(later)? {
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::Later(format!("GET {path}: the answer is too long")));
            }
            answer.extend_from_slice(&chunk);
        }
        if status.is_success() {
            let unreadable = |error| Trouble::Later(format!("GET {path}: an answer that cannot be read: {error}"));
            return serde_json::from_slice(&answer).map_err(unreadable);
        }
        let why = format!("GET {path}: {}", reason(status, &answer));
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(Trouble::Later(why)),
            _ if status.is_client_error() => Err(Trouble::Refused(Refused(why))),
            _ => Err(Trouble::Later(why)),
        }
    }
}

fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        words.push_str(&format!(": {one}"));
        cause = one.source();
    }
    words
}

#[derive(Debug, Deserialize)]
struct ErrorRow {
    message: String,
}

/// Alpaca's own words, or the beginning of what came in their place.
fn reason(status: StatusCode, answer: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorRow>(answer) {
        Ok(error) if !error.message.is_empty() => error.message,
        _ => format!("status {status} {}", String::from_utf8_lossy(answer).trim()),
    };
    text.trim_end().chars().filter(|letter| !letter.is_control()).take(200).collect()
}

/// How long Alpaca wants to be left alone; what it says without a number is left to the growing wait between tries.
fn pause(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if status != StatusCode::TOO_MANY_REQUESTS && number("x-ratelimit-remaining") != Some(0) {
        return None;
    }
    let reset = number("x-ratelimit-reset").map(|reset| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(reset).saturating_sub(now)
    });
    number("retry-after").map(Duration::from_secs).or(reset)
}
