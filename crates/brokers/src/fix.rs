//! A broker over FIX 4.4, as the side that connects.
//!
//! In reading order: [`codec`] (fields and bytes), [`session`] (logon, heartbeats, gaps; no clock and no socket),
//! [`orders`] (what reports mean), [`store`] (what outlasts the process), `positions`, `pace` (how often), `line` (TCP and TLS), `worker` (the thread
//! that joins them). Why it is our own: `docs/adr/0010-fix-engine.md`.
//!
//! Invariant: an order leaves once. It is stored before its bytes leave, it is never sent again when the counterparty
//! asks for lost messages, and its name is refused a second time unless the counterparty said that it never saw it.
//! Executions are told once, across reconnects and restarts, and [`FixBroker::find`] has each of them.
//!
//! The store is the memory of what was sent: without it, an order that left is unknown here. Keep it with the journal.

pub mod codec;
mod line;
pub mod orders;
mod pace;
mod positions;
pub mod session;
pub mod store;
mod time;
mod worker;

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use trading::{Account, Broker, BrokerEvent, ClientOrderId, Failure, Holding, OrderStatus, Ticket};

pub use self::line::{Authorities, Endpoint, Tls, TlsError};
pub use self::orders::Style;
pub use self::session::Secret;
pub use self::store::{Keep, StoreError};

use self::line::Prepared;
use self::orders::Orders;
use self::session::{Session, Settings};
use self::store::{Held, Store};
use self::worker::{Answer, Call, Input, Worker, no_alternatives};

/// What the reason begins with, of a session that is not tried again by itself.
pub const STOPPED: &str = "the session is stopped, and has to be started by hand";

/// One session with one counterparty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Our name (`SenderCompID`).
    pub sender: String,
    /// The counterparty's (`TargetCompID`).
    pub target: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// `Username`, where it is wanted.
    pub username: Option<Secret>,
    /// `Password`, where it is wanted.
    pub password: Option<Secret>,
    /// How long the line may be silent (`HeartBtInt`), in whole seconds.
    pub heartbeat: Duration,
    /// Whether every logon begins both sides' numbers again (`ResetSeqNumFlag`). What was said while the line was down
    /// is then not sent again, and only asking finds it.
    pub reset_on_logon: bool,
    /// How orders are written.
    pub style: Style,
    /// Whether orders that are alternatives are worked side by side, and the rest cancelled here when one trades.
    ///
    /// FIX 4.4 has no such orders. Between the trade and the cancellation, and for as long as the line is down, the
    /// others may trade as well: the position may then be larger than any one of them. The first trade ends them,
    /// even if it fills only a part.
    pub emulate_alternatives: bool,
    /// The sort of quantity (`PosType`) that is the position, where the counterparty tells several, such as one of the
    /// start of the day beside it.
    pub position_type: Option<String>,
    /// How many messages of ours may leave in any second, beside those of the session itself; more wait for their turn.
    /// A tenth, and at least one where there are two, is for cancels.
    pub messages_per_second_max: Option<u32>,
    /// How long a call waits for its answer, and a logon for its.
    pub answer_within: Duration,
    /// Pause before the first attempt to connect again; it doubles with each one that fails.
    pub reconnect_min: Duration,
    /// The longest pause.
    pub reconnect_max: Duration,
    /// After so many logons in a row that the counterparty refused, none is tried: it may lock the account.
    pub logons_max: u32,
}

impl Config {
    /// With what is usual.
    #[must_use]
    pub fn new(sender: &str, target: &str, endpoint: Endpoint) -> Self {
        Self {
            sender: sender.to_owned(),
            target: target.to_owned(),
            endpoint,
            username: None,
            password: None,
            heartbeat: Duration::from_secs(30),
            reset_on_logon: false,
            style: Style::default(),
            emulate_alternatives: false,
            position_type: None,
            messages_per_second_max: None,
            answer_within: Duration::from_secs(10),
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            logons_max: 5,
        }
    }

    fn check(&self) -> Result<(), StartError> {
        let clean = |text: &str| !text.is_empty() && !text.bytes().any(|byte| byte.is_ascii_control());
        let problem = if !clean(&self.sender) || !clean(&self.target) {
            "sender and target must be names without control characters"
        } else if self.heartbeat.as_secs() == 0 || self.heartbeat.subsec_nanos() != 0 {
            "the heartbeat must be a whole number of seconds, at least 1"
        } else if self.answer_within.is_zero()
            || self.reconnect_min.is_zero()
            || self.reconnect_max < self.reconnect_min
        {
            "times to wait must be above 0, and reconnect_max no less than reconnect_min"
        } else if self.logons_max == 0 || self.messages_per_second_max == Some(0) {
            "logons_max and messages_per_second_max must be at least 1"
        } else {
            return Ok(());
        };
        Err(StartError::Config(problem))
    }
}

/// The adapter cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is wished for makes no sense.
    #[error("the FIX session cannot be held like this: {0}")]
    Config(&'static str),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system gives no thread.
    #[error("cannot start the session's thread")]
    Thread(#[source] io::Error),
}

/// A broker behind a FIX session.
///
/// It connects, and connects again, by itself; dropping it logs out.
#[derive(Debug)]
pub struct FixBroker {
    inputs: Sender<Input>,
    events: Receiver<BrokerEvent>,
    worker: Option<JoinHandle<()>>,
    /// Why the session is stopped.
    stopped: Arc<OnceLock<String>>,
    answer_within: Duration,
    emulate_alternatives: bool,
}

impl FixBroker {
    /// Whether a session can be begun as it is wished for; nothing is written.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn check(config: &Config) -> Result<(), StartError> {
        Self::prepare(config).map(drop)
    }

    fn prepare(config: &Config) -> Result<Option<Prepared>, StartError> {
        config.check()?;
        let tls = config.endpoint.tls.as_ref();
        Ok(tls.map(|tls| Prepared::new(tls, &config.endpoint.host)).transpose()?)
    }

    /// Opens the store, one for each session, and begins to connect.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, keep: Keep) -> Result<Self, StartError> {
        let tls = Self::prepare(&config)?;
        let (store, held) = Store::open(keep, &config.sender, &config.target)?;
        Self::begin(config, tls, store, held)
    }

    fn begin(config: Config, tls: Option<Prepared>, store: Store, held: Held) -> Result<Self, StartError> {
        let settings = Settings {
            sender: config.sender.clone(),
            target: config.target.clone(),
            heartbeat: config.heartbeat,
            reset_on_logon: config.reset_on_logon,
            username: config.username.clone(),
            password: config.password.clone(),
            answer_within: config.answer_within,
        };
        let session = Session::new(settings, held.numbers);
        let orders = Orders::replay(&held.orders);
        let (inputs, received) = mpsc::channel();
        let (told, events) = mpsc::channel();
        let (answer_within, emulate_alternatives) = (config.answer_within, config.emulate_alternatives);
        let stopped = Arc::new(OnceLock::new());
        let worker =
            Worker::new(config, tls, session, store, orders, received, inputs.clone(), told, Arc::clone(&stopped));
        let worker = thread::Builder::new().name("fix-session".into()).spawn(move || worker.run());
        let worker = Some(worker.map_err(StartError::Thread)?);
        Ok(Self { inputs, events, worker, stopped, answer_within, emulate_alternatives })
    }

    /// Waits until the session is up.
    ///
    /// # Errors
    /// [`Failure::NotSent`] with what is in the way, when it is not up in time.
    pub fn wait(&self, within: Duration) -> Result<(), Failure> {
        self.ask(Call::Up, within).map(drop)
    }

    fn positions(&self) -> Result<(Vec<Holding>, Option<domain::Money>), Failure> {
        match self.call(Call::Positions) {
            Ok(Answer::Positions { holdings, cash }) => Ok((holdings, cash)),
            Ok(_) => Err(lost()),
            Err(Failure::Refused(text)) => {
                Err(Failure::Refused(format!("this counterparty does not tell positions over FIX: {text}")))
            }
            Err(failure) => Err(failure),
        }
    }

    fn call(&self, call: Call) -> Result<Answer, Failure> {
        self.ask(call, self.answer_within)
    }

    fn ask(&self, call: Call, within: Duration) -> Result<Answer, Failure> {
        let (reply, answer) = mpsc::channel();
        let input = Input::Call { call, within, since: Instant::now(), reply };
        self.inputs.send(input).map_err(|_| Failure::NotSent("the session's thread has ended".into()))?;
        // The worker answers in time by itself; it may be writing to a line that does not take anything.
        answer.recv_timeout(within + self.answer_within * 2).unwrap_or_else(|_| Err(lost()))
    }

    /// Sends alternatives one after another; what stands in the way of a later one takes back the earlier ones.
    fn submit_alternatives(&self, tickets: &[Ticket]) -> Result<(), Failure> {
        for (at, ticket) in tickets.iter().enumerate() {
            let sent = self.call(Call::Submit(Box::new(ticket.clone())));
            if let Err(failure) = sent {
                if at == 0 {
                    return Err(failure);
                }
                for earlier in &tickets[..at] {
                    // What comes of it is told by events, and found by asking.
                    drop(self.call(Call::Cancel(earlier.id.clone())));
                }
                return Err(Failure::Unclear(format!("{} of the alternatives was not taken ({failure})", ticket.id)));
            }
        }
        Ok(())
    }
}

fn lost() -> Failure {
    Failure::Unclear("the session's thread gave no answer".into())
}

/// Names that FIX cannot carry are refused here.
fn plain(id: &ClientOrderId) -> Result<(), Failure> {
    let fits = !id.as_str().is_empty() && id.as_str().bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(())
        .ok_or_else(|| Failure::Refused(format!("`{}` is no name for an order", id.as_str().escape_debug())))
}

impl Broker for FixBroker {
    fn submit(&mut self, tickets: &[Ticket]) -> Result<(), Failure> {
        tickets.iter().try_for_each(|ticket| plain(&ticket.id))?;
        match tickets {
            [] => Ok(()),
            [ticket] => self.call(Call::Submit(Box::new(ticket.clone()))).map(drop),
            _ if self.emulate_alternatives => self.submit_alternatives(tickets),
            _ => Err(no_alternatives()),
        }
    }

    fn cancel(&mut self, id: &ClientOrderId) -> Result<(), Failure> {
        plain(id)?;
        self.call(Call::Cancel(id.clone())).map(drop)
    }

    fn replace(&mut self, id: &ClientOrderId, with: &Ticket) -> Result<(), Failure> {
        plain(id)?;
        plain(&with.id)?;
        self.call(Call::Replace { id: id.clone(), with: Box::new(with.clone()) }).map(drop)
    }

    fn find(&mut self, id: &ClientOrderId) -> Result<Option<OrderStatus>, Failure> {
        plain(id)?;
        match self.call(Call::Find(id.clone()))? {
            Answer::Order(order) => Ok(order),
            _ => Err(lost()),
        }
    }

    fn working(&mut self) -> Result<Vec<OrderStatus>, Failure> {
        match self.call(Call::Working)? {
            Answer::Orders(orders) => Ok(orders),
            _ => Err(lost()),
        }
    }

    fn account(&mut self) -> Result<Account, Failure> {
        let (holdings, cash) = self.positions()?;
        Ok(Account { cash, holdings })
    }

    fn events(&mut self) -> Vec<BrokerEvent> {
        self.events.try_iter().collect()
    }

    fn stopped(&self) -> Option<String> {
        self.stopped.get().cloned()
    }
}

impl Drop for FixBroker {
    fn drop(&mut self) {
        drop(self.inputs.send(Input::Stop));
        if let Some(worker) = self.worker.take() {
            drop(worker.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    fn config(port: u16) -> Config {
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: None };
        Config { password: Some(Secret::new("hunter2")), ..Config::new("US", "THEM", endpoint) }
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = |change: fn(&mut Config)| {
            let mut config = config(1);
            change(&mut config);
            matches!(FixBroker::start(config, Keep::Folder(folder.path().to_owned())), Err(StartError::Config(_)))
        };
        assert!(wrong(|config| config.sender = String::new()));
        assert!(wrong(|config| config.target = "A\u{1}56=B".into()));
        assert!(wrong(|config| config.heartbeat = Duration::from_millis(1500)));
        assert!(wrong(|config| config.heartbeat = Duration::ZERO));
        assert!(wrong(|config| config.reconnect_max = Duration::from_millis(1)));
        assert!(wrong(|config| config.logons_max = 0));
        assert!(wrong(|config| config.messages_per_second_max = Some(0)));
        assert!(!format!("{:?}", config(1)).contains("hunter2"));
    }

    #[test]
    fn nothing_leaves_that_cannot_be_stored() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = config(server.local_addr().unwrap().port());
        let keep = Keep::Folder(folder.path().to_owned());
        let (mut store, held) = Store::open(keep, &config.sender, &config.target).unwrap();
        store.fill_disk();
        let mut broker = FixBroker::begin(config, None, store, held).unwrap();
        let (mut line, _) = server.accept().unwrap();
        let mut heard = Vec::new();
        line.read_to_end(&mut heard).unwrap();
        assert!(heard.is_empty(), "{heard:?}");
        let Err(Failure::NotSent(reason)) = broker.wait(Duration::from_secs(5)) else { panic!("it went on") };
        assert!(reason.starts_with("the session is stopped") && reason.contains("cannot write"), "{reason}");
        assert!(matches!(&broker.events()[..], [BrokerEvent::Disconnected(_)]));
        assert!(matches!(broker.working(), Err(Failure::NotSent(_))));
    }
}
