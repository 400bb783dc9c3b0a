//! The `trade_updates` socket: connect, say who we are, listen, and again when the line breaks.
//!
//! Alpaca does not repeat what it said while nobody listened. So a break is told as [`BrokerEvent::Disconnected`], also
//! one that we cause because a message could not be read: it may have been a fill.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use trading::BrokerEvent;

use super::client::Client;
use super::settings::Settings;
use super::wire::{Message, TradeUpdate};

/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Listens for ever; ends when nobody hears the events.
pub(super) async fn listen(
    client: Arc<Client>,
    settings: Settings,
    tls: Arc<rustls::ClientConfig>,
    events: Sender<BrokerEvent>,
) {
    let (first, most) = settings.reconnect_after;
    let mut wait = first;
    let mut told_down = false;
    loop {
        let why = match open(&settings, &tls).await {
            Err(why) => why,
            Ok(mut socket) => match client.learn_names().await {
                Err(failure) => failure.to_string(),
                Ok(()) => {
                    if events.send(BrokerEvent::Connected).is_err() {
                        return;
                    }
                    (wait, told_down) = (first, false);
                    hear(&mut socket, &client, &settings, &events).await
                }
            },
        };
        // A line that stays down is told once.
        if !told_down && events.send(BrokerEvent::Disconnected(why)).is_err() {
            return;
        }
        told_down = true;
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(most);
    }
}

/// Opens a socket that listens.
async fn open(settings: &Settings, tls: &Arc<rustls::ClientConfig>) -> Result<Socket, String> {
    let opening = async {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connector = Connector::Rustls(tls.clone());
        let address = settings.base.socket();
        let (mut socket, _) = connect_async_tls_with_config(address, Some(limits), true, Some(connector))
            .await
            .map_err(|error| format!("the socket cannot be opened: {error}"))?;
        let keys = &settings.credentials;
        let data = json!({ "key_id": keys.key_id(), "secret_key": keys.secret() });
        say(&mut socket, &json!({ "action": "authenticate", "data": data })).await?;
        let answer = answer(&mut socket, "authorization").await?;
        if answer.data["status"] != "authorized" {
            return Err("Alpaca refuses the keys on the socket".to_owned());
        }
        say(&mut socket, &json!({ "action": "listen", "data": { "streams": ["trade_updates"] } })).await?;
        let answer = self::answer(&mut socket, "listening").await?;
        let streams = answer.data["streams"].as_array();
        if !streams.is_some_and(|streams| streams.iter().any(|stream| stream == "trade_updates")) {
            return Err("Alpaca does not let us listen to trade_updates".to_owned());
        }
        Ok(socket)
    };
    timeout(settings.time_out, opening).await.unwrap_or_else(|_| Err("the socket gives no answer".to_owned()))
}

async fn say(socket: &mut Socket, words: &serde_json::Value) -> Result<(), String> {
    let sent = socket.send(Frame::text(words.to_string())).await;
    sent.map_err(|error| format!("the socket broke: {error}"))
}

async fn answer(socket: &mut Socket, stream: &str) -> Result<Message, String> {
    loop {
        if let Some(message) = next(socket).await?
            && message.stream == stream
        {
            return Ok(message);
        }
    }
}

/// The next frame, with what it says if it says anything. Paper accounts send binary frames, live ones text.
async fn next(socket: &mut Socket) -> Result<Option<Message>, String> {
    let frame = socket.next().await.ok_or("the socket was closed")?;
    let read = |bytes: &[u8]| {
        let message = serde_json::from_slice(bytes);
        message.map(Some).map_err(|error| format!("a message that cannot be read: {error}"))
    };
    match frame.map_err(|error| format!("the socket broke: {error}"))? {
        Frame::Text(text) => read(text.as_bytes()),
        Frame::Binary(bytes) => read(&bytes),
        Frame::Close(_) => Err("the socket was closed".to_owned()),
        Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Ok(None),
    }
}

/// Hears until the line breaks; says why it did.
async fn hear(socket: &mut Socket, client: &Client, settings: &Settings, events: &Sender<BrokerEvent>) -> String {
    let silence_max: Duration = settings.ping_every * 2;
    let mut ping = tokio::time::interval_at(Instant::now() + settings.ping_every, settings.ping_every);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            message = next(socket) => message,
            _ = ping.tick() => {
                if heard.elapsed() > silence_max {
                    return format!("the socket was silent for {:.1} s", heard.elapsed().as_secs_f64());
                }
                match socket.send(Frame::Ping(Vec::new().into())).await {
                    Ok(()) => continue,
                    Err(error) => return format!("the socket broke: {error}"),
                }
            }
        };
        heard = Instant::now();
        let told = match message {
            Ok(Some(message)) => told(message, client).await,
            Ok(None) => continue,
            Err(why) => return why,
        };
        match told {
            Ok(Some(event)) => {
                if events.send(event).is_err() {
                    return "nobody hears the events".to_owned();
                }
            }
            Ok(None) => {}
            Err(why) => return why,
        }
    }
}

async fn told(message: Message, client: &Client) -> Result<Option<BrokerEvent>, String> {
    if message.stream != "trade_updates" {
        return Ok(None);
    }
    let update: TradeUpdate =
        serde_json::from_value(message.data).map_err(|error| format!("a message that cannot be read: {error}"))?;
    let id = client.name(&update.order).await.map_err(|failure| failure.to_string())?;
    update.told(id)
}
