//! The socket of prices: connect, say who we are, subscribe, listen, and again when the line breaks.
//!
//! Alpaca does not repeat what it said while nobody listened. Nothing here makes up for that: what was missed is asked
//! for, whether a line broke or not (`day`).

use std::sync::Arc;
use std::time::Duration;

use domain::Symbol;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc::UnboundedSender, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::DataSettings;
use super::days::Heard;
use super::said::Said;
use super::wire::{self, Message};

/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a line is no more.
enum Broken {
    /// It is not wanted, or nobody hears.
    Done,
    /// It may be opened again; with whether trying again may help at all.
    Because(String, bool),
}

impl From<String> for Broken {
    fn from(why: String) -> Self {
        Self::Because(why, false)
    }
}

pub(super) struct Line {
    pub(super) settings: DataSettings,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) symbols: Vec<Symbol>,
    pub(super) said: Said,
    /// Whether anybody wants to hear.
    pub(super) wanted: watch::Receiver<bool>,
    pub(super) tell: UnboundedSender<Heard>,
}

impl Line {
    /// Listens whenever it is wanted; ends when nobody hears.
    pub(super) async fn listen(mut self) {
        let (first, most) = self.settings.reconnect_after;
        let (mut wait, mut told_down, mut was_up) = (first, false, false);
        loop {
            if !*self.wanted.borrow_and_update() {
                match self.wanted.changed().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            }
            let opened = timeout(self.settings.time_out, self.open()).await;
            let silent = || Err(Broken::from("the socket of prices gives no answer".to_owned()));
            let outcome = match opened.unwrap_or_else(|_| silent()) {
                Err(broken) => broken,
                Ok(mut socket) => {
                    if told_down {
                        self.said.say("the socket of prices is open again".to_owned());
                    }
                    (told_down, was_up) = (false, true);
                    let opened = Instant::now();
                    let outcome = self.hear(&mut socket).await;
                    if opened.elapsed() > wait {
                        wait = first;
                    }
                    let _ = timeout(Duration::from_millis(100), socket.close(None)).await;
                    outcome
                }
            };
            match outcome {
                Broken::Done => continue,
                // What went well once is not for ever forbidden.
                Broken::Because(why, true) if !was_up => {
                    let _ = self.tell.send(Heard::ForGood(why));
                    return;
                }
                Broken::Because(why, _) => {
                    // A line that stays down is told once.
                    if !std::mem::replace(&mut told_down, true) {
                        self.said.say(format!("the socket of prices is opened again: {why}"));
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(most);
        }
    }

    /// Opens a socket that listens.
    async fn open(&self) -> Result<Socket, Broken> {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connector = Connector::Rustls(self.tls.clone());
        let (mut socket, _) =
            connect_async_tls_with_config(self.settings.socket(), Some(limits), true, Some(connector))
                .await
                .map_err(|error| format!("it cannot be opened: {error}"))?;
        succeed(&mut socket, "connected").await?;
        let keys = &self.settings.credentials;
        say(&mut socket, &json!({ "action": "auth", "key": keys.key_id(), "secret": keys.secret() })).await?;
        succeed(&mut socket, "authenticated").await?;
        let symbols: Vec<&str> = self.symbols.iter().map(Symbol::as_str).collect();
        let trades: &[&str] = if self.settings.trades { &symbols } else { &[] };
        say(&mut socket, &json!({ "action": "subscribe", "bars": symbols, "trades": trades })).await?;
        loop {
            for message in next(&mut socket).await? {
                match message {
                    Message::Error(code, message) => {
                        let (why, stays) = wire::sentence(code, &message);
                        return Err(Broken::Because(why, stays));
                    }
                    Message::Subscription(channels) => {
                        for (channel, wanted) in [("bars", &symbols[..]), ("trades", trades)] {
                            self.compare(channel, wanted, channels.get(channel));
                        }
                        return Ok(socket);
                    }
                    // A price that came before the answer is asked for.
                    Message::Success(_) | Message::Minute(..) | Message::Trade(..) => {}
                }
            }
        }
    }

    /// Says which symbols Alpaca does not tell; their minutes are asked for.
    fn compare(&self, channel: &str, wanted: &[&str], given: Option<&Value>) {
        let given = given.and_then(Value::as_array);
        let has = |symbol: &str| given.is_some_and(|given| given.iter().any(|one| one == symbol || one == "*"));
        for symbol in wanted.iter().filter(|symbol| !has(symbol)) {
            self.said.once(format!("{channel} {symbol}"), || {
                format!("Alpaca does not tell the {channel} of {symbol} as they happen")
            });
        }
    }

    /// Hears until the line breaks or is not wanted any more.
    async fn hear(&mut self, socket: &mut Socket) -> Broken {
        let every = self.settings.ping_every;
        let mut ping = tokio::time::interval_at(Instant::now() + every, every);
        let mut heard = Instant::now();
        loop {
            let messages = tokio::select! {
                messages = next(socket) => messages,
                changed = self.wanted.changed() => {
                    if changed.is_err() || !*self.wanted.borrow() {
                        return Broken::Done;
                    }
                    continue;
                }
                _ = ping.tick() => {
                    if heard.elapsed() > every * 2 {
                        return format!("it was silent for {:.1} s", heard.elapsed().as_secs_f64()).into();
                    }
                    match socket.send(Frame::Ping(Vec::new().into())).await {
                        Ok(()) => continue,
                        Err(error) => return format!("it broke: {error}").into(),
                    }
                }
            };
            heard = Instant::now();
            let messages = match messages {
                Ok(messages) => messages,
                Err(why) => return why.into(),
            };
            for message in messages {
                let told = match message {
                    Message::Minute(symbol, row) => self.tell.send(Heard::Minute(symbol, row)),
                    Message::Trade(symbol, row) => self.tell.send(Heard::Trade(symbol, row)),
                    Message::Error(code, message) => {
                        let (why, stays) = wire::sentence(code, &message);
                        return Broken::Because(why, stays);
                    }
                    Message::Success(_) | Message::Subscription(_) => Ok(()),
                };
                if told.is_err() {
                    return Broken::Done;
                }
            }
        }
    }
}

/// Waits until a step of the connection went well.
async fn succeed(socket: &mut Socket, step: &str) -> Result<(), Broken> {
    loop {
        for message in next(socket).await? {
            match message {
                Message::Success(what) if what == step => return Ok(()),
                Message::Error(code, message) => {
                    let (why, stays) = wire::sentence(code, &message);
                    return Err(Broken::Because(why, stays));
                }
                _ => {}
            }
        }
    }
}

async fn say(socket: &mut Socket, words: &Value) -> Result<(), String> {
    socket.send(Frame::text(words.to_string())).await.map_err(|error| format!("it broke: {error}"))
}

/// What the next frame says; nothing, if it is no frame of words.
async fn next(socket: &mut Socket) -> Result<Vec<Message>, String> {
    let frame = socket.next().await.ok_or("it was closed")?;
    match frame.map_err(|error| format!("it broke: {error}"))? {
        Frame::Text(text) => wire::messages(text.as_bytes()),
        Frame::Binary(bytes) => wire::messages(&bytes),
        Frame::Close(_) => Err("it was closed".to_owned()),
        Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Ok(Vec::new()),
    }
}
