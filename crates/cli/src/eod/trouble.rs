//! How a step fails: of what kind, for whoever decides whether to try again, and in a sentence, for people.

use ports::{CallError, Kind};

/// What a step gives.
pub type Outcome<T> = Result<T, Trouble>;

/// Of what kind a failure is. The names are those that the state machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It may pass by itself.
    Transient,
    /// The role may not do this.
    Denied,
    /// The input makes no sense.
    BadInput,
    /// A resource is missing.
    NotFound,
    /// A record of an earlier step cannot be read.
    BadRecord,
    /// A revision could not be exported.
    ExportFailed,
    /// The vendor's files could not be imported.
    IngestFailed,
    /// The crawl failed.
    CrawlFailed,
    /// The catalogue says other than the declared tables.
    CatalogDrift,
    /// A query failed.
    QueryFailed,
    /// The data are not fit to be traded on.
    DataQuality,
    /// The model failed, or answered what cannot be used.
    ModelFailed,
    /// The strategy failed.
    TaskFailed,
}

impl What {
    /// As the state machine knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "Transient",
            Self::Denied => "Denied",
            Self::BadInput => "BadInput",
            Self::NotFound => "NotFound",
            Self::BadRecord => "BadRecord",
            Self::ExportFailed => "ExportFailed",
            Self::IngestFailed => "IngestFailed",
            Self::CrawlFailed => "CrawlFailed",
            Self::CatalogDrift => "CatalogDrift",
            Self::QueryFailed => "QueryFailed",
            Self::DataQuality => "DataQuality",
            Self::ModelFailed => "ModelFailed",
            Self::TaskFailed => "TaskFailed",
        }
    }
}

/// A step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    /// Of what kind.
    pub what: What,
    /// In a sentence.
    pub text: String,
}

impl Trouble {
    /// Of a kind, in a sentence.
    pub fn new(what: What, text: impl Into<String>) -> Self {
        Self { what, text: text.into() }
    }

    /// Something else's failure as one of a kind; what may pass by itself stays so.
    pub(crate) fn of(what: What) -> impl Fn(anyhow::Error) -> Self {
        move |error| {
            let passes = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(lake::LakeError::Store { .. })));
            Self::new(if passes { What::Transient } else { what }, format!("{error:#}"))
        }
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        let what = match error.kind {
            kind if kind.passes() => What::Transient,
            Kind::Denied => What::Denied,
            Kind::NotFound => What::NotFound,
            Kind::Damaged => What::BadRecord,
            _ => What::BadInput,
        };
        Self::new(what, error.to_string())
    }
}
