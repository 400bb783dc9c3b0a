//! The paper venue, served over Alpaca's API, so that any client of Alpaca trades on it.
//!
//! A [`Floor`] is a broker in this process behind the limits; [`serve`] puts it on a listener, and whoever holds the
//! [`Handle`] drives the market. Requests and the market take turns under one lock: an answer shows the account at one
//! moment, and listeners hear of everything in the order in which it happened.
//!
//! Served are orders (market, limit, stop, stop-limit, trailing stop; day, gtc, and market orders as opg and cls; simple,
//! bracket, oco, oto), positions, the account, fills, assets, clock, calendar, and the socket. What is not (fractions,
//! notionals, extended hours, ioc, fok, options) is refused with a sentence. Time is the market's. An order at the
//! market trades at the next price that the market has, not at the last one.
//!
//! In reading order: `floor` (limits and account before a broker), `asked` (what a client wants), `house` (orders and
//! what becomes of them), `answers`, `problem`, `http` (the routes), `socket`, `lines` (who is connected).

mod answers;
mod asked;
mod floor;
mod house;
mod http;
mod lines;
mod problem;
mod socket;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use engine::Mode;
use tokio::runtime::Builder;
use tokio::sync::watch;
use trading::{Broker, market::Market};

pub use floor::{Floor, FloorError};

use super::settings::Credentials;
use house::House;
use http::Shared;

/// A server that runs; it stops when this is dropped.
pub struct Handle<B> {
    address: SocketAddr,
    shared: Arc<Shared<B>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Serves an account to whoever has the keys, on a thread of its own.
///
/// Nothing is encrypted: the listener is for this machine, or stands behind something that encrypts.
///
/// # Errors
/// The listener or the thread cannot be used.
pub fn serve<B: Broker + Send + 'static>(
    listener: TcpListener,
    floor: Floor<B>,
    credentials: Credentials,
) -> io::Result<Handle<B>> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let (stop, stopped) = watch::channel(false);
    // Hash maps are seeded by the operating system: no two starts have the same.
    let start = RandomState::new().build_hasher().finish();
    let shared = Arc::new(Shared { house: House::new(floor, start).into(), credentials, stop: stopped.clone() });
    let routes = http::routes(shared.clone());
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("alpaca-server".to_owned()).spawn(move || {
        let outcome = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            lines::serve(listener, routes, stopped).await;
            Ok(())
        });
        runtime.shutdown_background();
        outcome
    })?;
    Ok(Handle { address, shared, stop, thread: Some(thread) })
}

impl<B: Broker> Handle<B> {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Something happened in the market: orders trade on it, and whoever listens hears of them.
    ///
    /// # Errors
    /// [`FloorError`]; the account cannot go on.
    pub fn market(&self, event: &Market) -> Result<(), FloorError> {
        self.shared.house(|house| house.market(event))
    }

    /// A person or the guardian says what may still be done with the account.
    ///
    /// # Errors
    /// [`FloorError`]; the account cannot go on.
    pub fn control(&self, mode: Mode) -> Result<(), FloorError> {
        self.shared.house(|house| {
            house.floor.control(mode)?;
            house.settle()
        })
    }

    /// Looks at the account.
    pub fn look<T>(&self, look: impl FnOnce(&Floor<B>) -> T) -> T {
        self.shared.house(|house| look(&house.floor))
    }
}

impl<B> Handle<B> {
    /// Stops it and waits until it has.
    ///
    /// # Errors
    /// The server had failed.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let _ = self.stop.send(true);
        let failed = |_| Err(io::Error::other("the server's thread failed"));
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(failed))
    }
}

impl<B> Drop for Handle<B> {
    fn drop(&mut self) {
        // Who wants to know calls `stop`.
        let _ = self.end();
    }
}

impl<B> std::fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("address", &self.address).finish_non_exhaustive()
    }
}
