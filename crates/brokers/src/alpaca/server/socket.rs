//! `/stream`: authenticate, listen, and hear of every order. Frames are binary, as on Alpaca's paper accounts.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::timeout;
use trading::Broker;

use super::http::{Shared, has_keys};

/// How long a stranger may stay.
const STRANGER_TIME_MAX: Duration = Duration::from_secs(10);
/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What a client says.
#[derive(Debug, Deserialize)]
struct Said {
    action: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    key: String,
    #[serde(default)]
    secret: String,
}

pub(super) async fn upgrade<B: Broker + Send + 'static>(
    State(shared): State<Arc<Shared<B>>>,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Response {
    let known = has_keys(&shared.credentials, &headers);
    let socket = socket.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    socket.on_upgrade(move |socket| async move {
        // However it ends, the client comes again and asks.
        let _ = serve(socket, shared, known).await;
    })
}

async fn serve<B: Broker>(mut socket: WebSocket, shared: Arc<Shared<B>>, mut known: bool) -> Result<(), axum::Error> {
    let mut stop = shared.stop.clone();
    let mut updates: Option<Receiver<Bytes>> = None;
    loop {
        tokio::select! {
            // Closed either way when the server is gone.
            _ = stop.changed() => return socket.send(Message::Close(None)).await,
            said = timeout(if known { Duration::MAX } else { STRANGER_TIME_MAX }, socket.recv()) => {
                let bytes = match said {
                    Err(_) | Ok(None) => return Ok(()),
                    Ok(Some(message)) => match message? {
                        Message::Text(text) => Bytes::from(text),
                        Message::Binary(bytes) => bytes,
                        Message::Close(_) => return Ok(()),
                        Message::Ping(_) | Message::Pong(_) => continue,
                    },
                };
                let Ok(said) = serde_json::from_slice::<Said>(&bytes) else {
                    say(&mut socket, &json!({ "stream": "error", "data": { "error": "no action" } })).await?;
                    continue;
                };
                match said.action.as_str() {
                    "authenticate" | "auth" => {
                        known = is_known(&shared, &said);
                        let status = if known { "authorized" } else { "unauthorized" };
                        let data = json!({ "status": status, "action": "authenticate" });
                        say(&mut socket, &json!({ "stream": "authorization", "data": data })).await?;
                        if !known {
                            return socket.send(Message::Close(None)).await;
                        }
                    }
                    "listen" if known => {
                        let wanted = said.data["streams"].as_array().cloned().unwrap_or_default();
                        let ours = wanted.iter().any(|stream| stream == "trade_updates");
                        updates = ours.then(|| shared.house(|house| house.listen()));
                        let streams: &[&str] = if ours { &["trade_updates"] } else { &[] };
                        say(&mut socket, &json!({ "stream": "listening", "data": { "streams": streams } })).await?;
                    }
                    _ => {
                        let why = if known { "unknown action" } else { "not authenticated" };
                        say(&mut socket, &json!({ "stream": "error", "data": { "error": why } })).await?;
                    }
                }
            }
            update = next(&mut updates) => match update {
                Ok(update) => socket.send(Message::Binary(update)).await?,
                // It has missed some: the line is cut, so that it knows.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return socket.send(Message::Close(None)).await,
            }
        }
    }
}

fn is_known<B>(shared: &Shared<B>, said: &Said) -> bool {
    let word = |name: &str| said.data[name].as_str().unwrap_or_default();
    shared.credentials.are(word("key_id"), word("secret_key")) || shared.credentials.are(&said.key, &said.secret)
}

async fn next(updates: &mut Option<Receiver<Bytes>>) -> Result<Bytes, RecvError> {
    match updates {
        Some(updates) => updates.recv().await,
        None => std::future::pending().await,
    }
}

async fn say(socket: &mut WebSocket, words: &Value) -> Result<(), axum::Error> {
    socket.send(Message::Binary(Bytes::from(words.to_string()))).await
}
