//! Alpaca behind [`trading::Broker`].

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use trading::{Account, Broker, BrokerEvent, ClientOrderId, Failure, OrderStatus, Ticket};

use super::client::{self, Client};
use super::settings::Settings;
use super::stream;
use super::wire::NewOrder;

/// The adapter cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// No thread for it.
    #[error("cannot start a thread for the line to Alpaca")]
    Runtime(#[source] std::io::Error),
    /// Certificates could not be verified.
    #[error("cannot verify certificates: {0}")]
    Roots(String),
    /// The HTTP client.
    #[error("cannot set up the client of Alpaca's API")]
    Client(#[source] reqwest::Error),
}

/// An account at Alpaca, or at anything that speaks its API.
#[derive(Debug)]
pub struct AlpacaBroker {
    client: Arc<Client>,
    events: Receiver<BrokerEvent>,
    time_out: Duration,
    /// Only none while it is dropped.
    runtime: Option<Runtime>,
}

impl AlpacaBroker {
    /// Starts to listen, on a thread of its own; does not wait for the line.
    ///
    /// # Errors
    /// [`SetUpError`]. That Alpaca cannot be reached is no error: it is told as an event.
    pub fn connect(settings: Settings) -> Result<Self, SetUpError> {
        let tls = client::tls().map_err(SetUpError::Roots)?;
        let client = Arc::new(Client::new(&settings, &tls).map_err(SetUpError::Client)?);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("alpaca")
            .enable_all()
            .build()
            .map_err(SetUpError::Runtime)?;
        let (tell, events) = channel();
        let time_out = settings.time_out;
        runtime.spawn(stream::listen(client.clone(), settings, tls, tell));
        Ok(Self { client, events, time_out, runtime: Some(runtime) })
    }

    /// What Alpaca says where it does not take the keys; none where it takes them or gives no answer.
    #[must_use]
    pub fn keys_refused(&self) -> Option<String> {
        self.ask(|client| async move { Ok(client.keys_refused().await) }).unwrap_or_default()
    }

    /// Does some work on the adapter's own thread, so that a caller may be anywhere, also in a runtime.
    fn ask<T, W>(&self, work: impl FnOnce(Arc<Client>) -> W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let Some(runtime) = &self.runtime else { return Err(Failure::NotSent("the adapter has ended".to_owned())) };
        let (work, time_out) = (work(self.client.clone()), self.time_out);
        let (tell, hear) = sync_channel(1);
        runtime.spawn(async move {
            let late = |_| Err(Failure::Unclear("no answer in time".to_owned()));
            let _ = tell.send(tokio::time::timeout(time_out, work).await.unwrap_or_else(late));
        });
        hear.recv().unwrap_or_else(|_| Err(Failure::Unclear("the adapter failed over it".to_owned())))
    }
}

impl Drop for AlpacaBroker {
    fn drop(&mut self) {
        // Waiting for it would not be allowed where the caller is in a runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Broker for AlpacaBroker {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        let order = NewOrder::of(tickets).map_err(Failure::Refused)?;
        self.ask(|client| async move { client.submit(order).await })
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        let id = id.clone();
        self.ask(|client| async move { client.cancel(&id).await })
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        let (id, with) = (id.clone(), with.clone());
        self.ask(|client| async move { client.replace(&id, &with).await })
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        let id = id.clone();
        self.ask(|client| async move { client.find(&id).await })
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        self.ask(|client| async move { client.working().await })
    }

    fn account(&mut self) -> Result<Account, Failure> {
        self.ask(|client| async move { client.account().await })
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        self.events.try_iter().collect()
    }
}
