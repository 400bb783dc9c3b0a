//! What tests have the services do wrong, and what was asked of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A wrong that is done to the next calls that fit.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Fault {
    /// Of which service; any when absent.
    service: Option<String>,
    /// Of which call; any when absent.
    call: Option<String>,
    /// How often; until the faults are cleared when negative.
    #[serde(default = "once")]
    times: i64,
    #[serde(flatten)]
    does: Wrong,
}

fn once() -> i64 {
    1
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Wrong {
    /// The call is refused.
    Error {
        #[serde(default = "internal_error")]
        status: u16,
        code: String,
        #[serde(default)]
        message: String,
        /// The call did its work, and only its answer is lost.
        #[serde(default)]
        after: bool,
    },
    /// The call takes longer.
    Delay { ms: u64 },
    /// The call answers 200 with this body.
    #[serde(rename = "wrong_shape")]
    OtherShape { body: String },
    /// The started job ends as ERROR.
    FailJob { message: String },
    /// The started query ends as FAILED.
    FailQuery { message: String },
    /// The started crawl does not end until the faults are cleared.
    HangCrawler,
    /// The started crawl fails.
    FailCrawl { message: String },
    /// The containers of the started task do not run, and exit with this.
    Exit { code: i32 },
}

fn internal_error() -> u16 {
    500
}

impl Wrong {
    /// Done to the call itself, whatever the service; the others are done to what the call starts.
    fn is_at_the_door(&self) -> bool {
        matches!(self, Self::Error { .. } | Self::Delay { .. } | Self::OtherShape { .. })
    }
}

/// A call that was answered.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) service: &'static str,
    pub(crate) call: String,
    pub(crate) status: u16,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// The faults that are to come, and the calls that were.
pub(crate) struct Faults {
    coming: Mutex<Vec<Fault>>,
    calls: Mutex<Vec<Entry>>,
    /// Counts how often the faults were cleared.
    cleared: watch::Sender<u64>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self { coming: Mutex::default(), calls: Mutex::default(), cleared: watch::Sender::new(0) }
    }

    pub(crate) fn add(&self, fault: Fault) {
        held(&self.coming).push(fault);
    }

    /// Forgets what is to come, and lets go what hangs.
    pub(crate) fn clear(&self) {
        held(&self.coming).clear();
        self.cleared.send_modify(|times| *times += 1);
    }

    /// Comes when the faults are cleared.
    pub(crate) fn until_cleared(&self) -> impl Future<Output = ()> + use<> {
        let mut cleared = self.cleared.subscribe();
        async move {
            // An error means that the server is gone, and with it whoever waits.
            let _ = cleared.changed().await;
        }
    }

    fn take(&self, service: &str, call: &str, fits: impl Fn(&Wrong) -> bool) -> Option<Wrong> {
        let mut coming = held(&self.coming);
        let at = coming.iter().position(|fault| {
            let of = |wanted: &Option<String>, one: &str| wanted.as_deref().is_none_or(|wanted| wanted == one);
            of(&fault.service, service) && of(&fault.call, call) && fault.times != 0 && fits(&fault.does)
        })?;
        let does = coming[at].does.clone();
        match coming[at].times {
            i64::MIN..=0 => {}
            1 => drop(coming.remove(at)),
            _ => coming[at].times -= 1,
        }
        Some(does)
    }

    /// What is done to a call itself.
    pub(crate) fn at_the_door(&self, service: &str, call: &str) -> Option<Wrong> {
        self.take(service, call, Wrong::is_at_the_door)
    }

    /// What is done to what a call starts.
    pub(crate) fn within(&self, service: &str, call: &str) -> Option<Wrong> {
        self.take(service, call, |wrong| !wrong.is_at_the_door())
    }

    pub(crate) fn note(&self, entry: Entry) {
        held(&self.calls).push(entry);
    }

    pub(crate) fn calls(&self) -> Vec<Entry> {
        held(&self.calls).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_fault_comes_as_often_as_said_and_only_to_its_call() {
        let faults = Faults::new();
        faults.add(fault(r#"{"service":"ecs","call":"RunTask","times":2,"do":"error","code":"X"}"#));
        assert_eq!(faults.at_the_door("ecs", "StopTask"), None);
        assert_eq!(faults.at_the_door("glue", "RunTask"), None);
        assert_eq!(faults.within("ecs", "RunTask"), None);
        for _ in 0..2 {
            let wrong = Wrong::Error { status: 500, code: "X".into(), message: String::new(), after: false };
            assert_eq!(faults.at_the_door("ecs", "RunTask"), Some(wrong));
        }
        assert_eq!(faults.at_the_door("ecs", "RunTask"), None);
    }

    #[test]
    fn a_fault_of_any_service_comes_until_it_is_cleared() {
        let faults = Faults::new();
        faults.add(fault(r#"{"times":-1,"do":"delay","ms":5}"#));
        for service in ["ecs", "glue", "ecs"] {
            assert_eq!(faults.at_the_door(service, "Any"), Some(Wrong::Delay { ms: 5 }));
        }
        faults.clear();
        assert_eq!(faults.at_the_door("ecs", "Any"), None);
        faults.add(fault(r#"{"times":0,"do":"delay","ms":5}"#));
        assert_eq!(faults.at_the_door("ecs", "Any"), None);
    }

    #[test]
    fn what_hangs_goes_on_when_faults_are_cleared() {
        let faults = Faults::new();
        let waits = faults.until_cleared();
        faults.add(fault(r#"{"service":"glue","do":"hang_crawler"}"#));
        faults.clear();
        futures::executor::block_on(waits);
        assert_eq!(faults.within("glue", "StartCrawler"), None);
    }
}
