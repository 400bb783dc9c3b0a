//! The lines of clients: each is served until it ends, or has not said a whole request in time.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a client may take for a request's head, and how long its line may say nothing between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long requests and sockets may go on after a stop.
const CLOSING_TIME_MAX: Duration = Duration::from_millis(250);
/// When to accept again after that has failed: too many files are open, perhaps.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves whoever comes, until it is told to stop.
pub(super) async fn serve(listener: TcpListener, routes: Router, mut stop: watch::Receiver<bool>) {
    let mut lines = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((line, _)) => drop(lines.spawn(one(line, routes.clone(), stop.clone()))),
                Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
            },
            Some(_) = lines.join_next() => {}
        }
    }
    drop(listener);
    // A client that keeps its line does not keep the server; sockets get to say that they close.
    let _ = timeout(CLOSING_TIME_MAX, async { while lines.join_next().await.is_some() {} }).await;
}

async fn one(line: TcpStream, routes: Router, mut stop: watch::Receiver<bool>) {
    // Answers are small, and each is waited for.
    let _ = line.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(line), TowerToHyperService::new(routes))
        .with_upgrades();
    tokio::pin!(served);
    // How it ends is the client's business; it comes again and asks.
    tokio::select! {
        _ = served.as_mut() => {}
        _ = stop.changed() => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}
