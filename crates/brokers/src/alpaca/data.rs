//! Alpaca's market data as a [`trading::Feed`].
//!
//! [`AlpacaFeed`] listens to the socket of minute bars (and of trades, where wished) and asks over HTTPS for every
//! minute that is final and has not come, so that each minute of each symbol is told once and in order, whatever the
//! line does. A session is told as a replay tells it: [`Opened`](trading::Market::Opened), the corporate actions in
//! force since the close before, prices, the official bar of each symbol, and [`Closed`](trading::Market::Closed).
//! Sessions that went by while nobody listened are told from what Alpaca remembers.
//!
//! A minute's price is its last one, at its end, as Alpaca first made it; that Alpaca makes a minute again half a minute
//! later for trades that came late, and that trades are corrected, changes nothing that was told. Minutes before the
//! open and after the close are not told. Nothing that cannot be so is told (a high below the low, a price of nothing,
//! somebody else's symbol, a time to come): it is left out, and [`Said`] has a sentence about it.
//!
//! In reading order: `wire` (what is said, and what of it can be so), `day` (what of a session may be told next),
//! `rest`, `line` (the socket), `days` (session after session), `said`.

mod day;
mod days;
mod line;
mod rest;
mod said;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use domain::{Calendar, SessionDate, Symbol, Timestamp};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc::unbounded_channel, watch};
use trading::{Feed, FeedError, Market, Next};

pub use said::Said;

use super::broker::SetUpError;
use super::client;
use super::settings::{Base, BaseError, Credentials};
use days::Days;
use line::Line;
use rest::Rest;

/// Where Alpaca answers about the past.
pub const REST: &str = "https://data.alpaca.markets";
/// Where Alpaca tells prices as they happen.
pub const STREAM: &str = "wss://stream.data.alpaca.markets";

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Whose trades make the prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// One exchange, a few percent of what trades; free.
    Iex,
    /// All exchanges; the last quarter of an hour on a paid subscription.
    Sip,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Iex => "iex",
            Self::Sip => "sip",
        }
    }
}

/// How to hear prices from Alpaca.
#[derive(Debug, Clone)]
pub struct DataSettings {
    /// Where questions go.
    pub rest: Base,
    /// Where the socket is.
    pub stream: Base,
    /// With which keys.
    pub credentials: Credentials,
    /// Of the prices in a session.
    pub source: Source,
    /// Of the bar of a day. All exchanges have the official close, and once it is older than a quarter of an hour they
    /// are free.
    pub daily: Source,
    /// Whether trades are told too, ahead of their minutes.
    pub trades: bool,
    /// No question waits longer for an answer.
    pub time_out: Duration,
    /// Questions in a minute at most.
    pub requests_per_minute: u32,
    /// How long to wait before a question or the socket is tried again; doubled each time, up to the second.
    pub reconnect_after: (Duration, Duration),
    /// How often the socket is asked for a sign of life; it is closed when none came for twice as long.
    pub ping_every: Duration,
    /// From a minute's end until Alpaca has it for good, so that one that is not there by then will never be. Alpaca
    /// makes it within seconds and again after 30; so far ahead of Alpaca's our clock may be.
    pub settle_after: Duration,
    /// From the close until the day's bars are asked for: closing auctions are late, and before a quarter of an hour
    /// has gone by they are not free.
    pub bars_after: Duration,
    /// From the close until a bar that Alpaca does not have is waited for no longer: its symbol did not trade.
    pub bars_until: Duration,
    /// How often the clock is looked at.
    pub look_every: Duration,
}

impl DataSettings {
    /// Minutes of a source, with Alpaca's own limits.
    #[must_use]
    pub fn new(rest: Base, stream: Base, credentials: Credentials, source: Source) -> Self {
        Self {
            rest,
            stream,
            credentials,
            source,
            daily: Source::Sip,
            trades: false,
            time_out: Duration::from_secs(10),
            requests_per_minute: 200,
            reconnect_after: (Duration::from_millis(500), Duration::from_secs(30)),
            ping_every: Duration::from_secs(10),
            settle_after: Duration::from_secs(40),
            bars_after: Duration::from_secs(20 * 60),
            bars_until: Duration::from_secs(60 * 60),
            look_every: Duration::from_millis(200),
        }
    }

    /// At Alpaca itself.
    ///
    /// # Errors
    /// Its addresses are no addresses, which they are.
    pub fn alpaca(credentials: Credentials, source: Source) -> Result<Self, BaseError> {
        Ok(Self::new(Base::parse(REST)?, stream_at(STREAM)?, credentials, source))
    }

    /// The address of the socket.
    fn socket(&self) -> String {
        let url = self.stream.at(&format!("/v2/{}", self.source.name()));
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        format!("{scheme}{}", &url.as_str()[url.scheme().len()..])
    }
}

/// Reads the address of a socket (`wss://`, or `ws://` on this machine); what follows the host is ignored.
///
/// # Errors
/// [`BaseError`], as for any address that keys are sent to.
pub fn stream_at(text: &str) -> Result<Base, BaseError> {
    let as_http = |scheme: &str, with: &str| text.strip_prefix(scheme).map(|rest| format!("{with}{rest}"));
    let address = as_http("wss://", "https://").or_else(|| as_http("ws://", "http://"));
    Base::parse(address.as_deref().unwrap_or(text))
}

/// Prices from Alpaca, or from anything that speaks its API.
pub struct AlpacaFeed {
    events: Receiver<Result<Market, FeedError>>,
    said: Said,
    failed: Option<FeedError>,
    /// Only none while it is dropped.
    runtime: Option<Runtime>,
}

impl AlpacaFeed {
    /// Starts to listen, on a thread of its own; does not wait for the line.
    ///
    /// Instruments are the positions of `symbols`. Told is every session after `after`, the last one that was told to
    /// its end; with none it is today's from its beginning, also when it is over, or else the next. A session that was
    /// told in part is told again.
    ///
    /// # Errors
    /// [`SetUpError`]. That Alpaca cannot be reached is no error, it is tried again; that it refuses the keys is one of
    /// [`next`](Feed::next).
    pub fn connect(
        settings: DataSettings,
        symbols: &[Symbol],
        after: Option<SessionDate>,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, SetUpError> {
        let tls = client::tls().map_err(SetUpError::Roots)?;
        let said = Said::default();
        let rest = Rest::new(&settings, &tls, said.clone()).map_err(SetUpError::Client)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("alpaca-data")
            .enable_all()
            .build()
            .map_err(SetUpError::Runtime)?;
        let (tell, events) = channel();
        let (own, heard) = unbounded_channel();
        let (wanted, is_wanted) = watch::channel(false);
        let (symbols, clock): (Vec<Symbol>, Clock) = (symbols.to_vec(), Arc::new(clock));
        match days::first(Calendar::nyse(), after, clock()) {
            None => {
                let why = format!("the trading calendar ends on {}", Calendar::nyse().horizon().1);
                let _ = tell.send(Err(FeedError(why)));
            }
            Some(first) => {
                runtime.spawn(
                    Line {
                        settings: settings.clone(),
                        tls,
                        symbols: symbols.clone(),
                        said: said.clone(),
                        wanted: is_wanted,
                        tell: own.clone(),
                    }
                    .listen(),
                );
                let days = Days::new(settings, clock, symbols, rest, said.clone(), tell, wanted, own, first);
                runtime.spawn(days.run(heard));
            }
        }
        Ok(Self { events, said, failed: None, runtime: Some(runtime) })
    }

    /// What it has to say to people: what was left out, and how the line is.
    #[must_use]
    pub fn said(&self) -> Said {
        self.said.clone()
    }
}

impl Feed for AlpacaFeed {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let failed = match self.events.recv_timeout(Duration::from_millis(wait_ms)) {
            Ok(Ok(event)) => return Ok(Next::Event(event)),
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Nothing),
            Ok(Err(failed)) => failed,
            Err(RecvTimeoutError::Disconnected) => FeedError("the thread that hears prices has failed".to_owned()),
        };
        self.failed = Some(failed.clone());
        Err(failed)
    }
}

impl Drop for AlpacaFeed {
    fn drop(&mut self) {
        // Waiting for it would not be allowed where the caller is in a runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for AlpacaFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlpacaFeed").field("failed", &self.failed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_encrypted_unless_it_is_on_this_machine() {
        let keys = Credentials::new("PKTEST", "verysecret").unwrap();
        let settings = DataSettings::alpaca(keys, Source::Iex).unwrap();
        assert_eq!(settings.socket(), "wss://stream.data.alpaca.markets/v2/iex");
        assert!(!format!("{settings:?}").contains("PKTEST") && !format!("{settings:?}").contains("verysecret"));
        let local = DataSettings { stream: stream_at("ws://127.0.0.1:80").unwrap(), source: Source::Sip, ..settings };
        assert_eq!(local.socket(), "ws://127.0.0.1/v2/sip");
        assert!(matches!(stream_at("ws://stream.data.alpaca.markets"), Err(BaseError::NotEncrypted(_))));
        assert!(matches!(stream_at("stream.data.alpaca.markets"), Err(BaseError::NotAnAddress(_))));
    }
}
