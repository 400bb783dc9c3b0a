//! How a call fails.

/// What a call gives.
pub type Answer<T> = Result<T, CallError>;

/// Of what kind a failure is; it decides whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Too many calls; the adapter has tried again and given up.
    Throttled,
    /// The role may not do this.
    Denied,
    /// The resource is not there.
    NotFound,
    /// The resource is in another state than the call needs.
    Conflict,
    /// The service does not understand or accept what was asked.
    Invalid,
    /// No answer in time.
    TimedOut,
    /// Nobody there.
    Unreachable,
    /// The service failed by itself, or answered what nobody understands.
    Service,
    /// What is kept there was written by somebody else, and makes no sense. It stays so until a person mends it.
    Damaged,
}

impl Kind {
    /// Whether the same call may succeed later, without anybody changing anything.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::Throttled | Self::TimedOut | Self::Unreachable | Self::Service)
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Throttled => "too many calls",
            Self::Denied => "access denied",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Invalid => "not accepted",
            Self::TimedOut => "no answer in time",
            Self::Unreachable => "not reachable",
            Self::Service => "the service failed",
            Self::Damaged => "what is kept there is damaged",
        }
    }
}

/// A call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service} {call} on {resource}: {}{}", kind.words(), reason(message))]
pub struct CallError {
    /// `Glue`, `Athena`, …
    pub service: &'static str,
    /// `StartCrawler`, …
    pub call: &'static str,
    /// What it was about.
    pub resource: String,
    /// Of what kind.
    pub kind: Kind,
    /// The service's own words, in one line; may be empty.
    pub message: String,
}

fn reason(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}
