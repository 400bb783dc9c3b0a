//! A server that answers as it is told to, and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Plain(u16, String),
    /// The same, with headers.
    Headers(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for ever.
    Hang,
    /// Ok, then a part of the body, and the line breaks.
    Broken(&'static str),
    /// Ok and a body without end.
    Endless,
}

/// What the socket does.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// Says this in a text frame.
    Text(String),
    /// Says this in a binary frame.
    Binary(String),
    /// Closes it.
    Close,
}

#[derive(Default)]
struct Script {
    asked: Vec<(String, String)>,
    replies: VecDeque<Reply>,
    open: Option<String>,
    refuse_keys: bool,
    deaf: bool,
    sockets: Vec<mpsc::UnboundedSender<Line>>,
}

#[derive(Clone)]
pub(crate) struct Hostile {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Hostile {
    /// On a thread that ends with the test's process.
    pub(crate) fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let hostile = Self { address: listener.local_addr().unwrap(), script: Arc::default() };
        let routes = Router::new().fallback(answer).with_state(hostile.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        hostile
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next requests, in order; after them `[]`.
    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().replies.extend(replies);
    }

    /// The answer to whoever asks for open orders.
    pub(crate) fn open(&self, rows: String) {
        self.script.lock().unwrap().open = Some(rows);
    }

    /// The requests so far, without those for names that a new line asks.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.iter().map(|(what, _)| what.clone()).collect()
    }

    pub(crate) fn bodies(&self, of: &str) -> Vec<String> {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|(what, _)| what.starts_with(of)).map(|(_, body)| body.clone()).collect()
    }

    pub(crate) fn posts(&self) -> usize {
        self.bodies("POST ").len()
    }

    pub(crate) fn refuse_keys(&self, refuse: bool) {
        self.script.lock().unwrap().refuse_keys = refuse;
    }

    /// New sockets read nothing once they listen, so that they answer no ping.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.script.lock().unwrap().deaf = deaf;
    }

    /// Makes every socket do something.
    pub(crate) fn say(&self, line: Line) {
        self.script.lock().unwrap().sockets.retain(|socket| socket.send(line.clone()).is_ok());
    }
}

async fn answer(State(hostile): State<Hostile>, request: Request) -> Response {
    if request.uri().path() == "/stream" {
        let (mut parts, _) = request.into_parts();
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.unwrap();
        return upgrade.on_upgrade(|socket| talk(socket, hostile));
    }
    let what = format!("{} {}", request.method(), request.uri());
    // A new line asks for it too, for names, so it has an answer of its own.
    if what.contains("status=open") && what.contains("nested=true") {
        let open = hostile.script.lock().unwrap().open.clone();
        return open.unwrap_or_else(|| "[]".to_owned()).into_response();
    }
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let reply = {
        let mut script = hostile.script.lock().unwrap();
        script.asked.push((what, String::from_utf8_lossy(&body).into_owned()));
        script.replies.pop_front().unwrap_or_else(|| Reply::Plain(200, "[]".to_owned()))
    };
    let status = |code| StatusCode::from_u16(code).unwrap();
    match reply {
        Reply::Plain(code, body) => (status(code), body).into_response(),
        Reply::Headers(code, headers, body) => {
            let mut response = (status(code), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Reply::Hang => std::future::pending().await,
        Reply::Broken(part) => {
            let broken = futures_util::stream::iter([Ok(Bytes::from(part)), Err(std::io::Error::other("broken"))]);
            Body::from_stream(broken).into_response()
        }
        Reply::Endless => {
            let endless =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 20])));
            Body::from_stream(endless).into_response()
        }
    }
}

async fn talk(mut socket: WebSocket, hostile: Hostile) {
    let (refuse, deaf) = {
        let script = hostile.script.lock().unwrap();
        (script.refuse_keys, script.deaf)
    };
    let status = if refuse { "unauthorized" } else { "authorized" };
    for answer in [
        format!(r#"{{"stream":"authorization","data":{{"status":"{status}","action":"authenticate"}}}}"#),
        r#"{"stream":"listening","data":{"streams":["trade_updates"]}}"#.to_owned(),
    ] {
        if socket.recv().await.is_none() || socket.send(Message::Binary(answer.into())).await.is_err() {
            return;
        }
    }
    if deaf {
        return tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let (tell, mut lines) = mpsc::unbounded_channel();
    hostile.script.lock().unwrap().sockets.push(tell);
    loop {
        let message = tokio::select! {
            line = lines.recv() => match line {
                Some(Line::Text(text)) => Message::Text(text.into()),
                Some(Line::Binary(text)) => Message::Binary(text.into()),
                Some(Line::Close) | None => return,
            },
            heard = socket.recv() => match heard {
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
