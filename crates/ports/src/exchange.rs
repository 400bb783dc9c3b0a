//! Data products: revisions of a data set, and jobs that export them. On AWS: Data Exchange.

use crate::Answer;

/// A finished revision of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its id.
    pub id: String,
    /// When the provider published it: UTC, RFC 3339.
    pub published_at: String,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Created and not started.
    Waiting,
    /// At work.
    Running,
    /// Done.
    Completed,
    /// Ended without success, with the service's own reason.
    Failed(String),
}

/// Data products.
pub trait Exchange {
    /// The finished revisions of a data set, the first published first; revoked ones are left out.
    ///
    /// # Errors
    /// The service cannot be asked.
    fn revisions(&self, data_set: &str) -> Answer<Vec<Revision>>;

    /// Creates, without starting it, a job that writes the assets of a revision into the landing place, each at
    /// `<prefix>/<data set>/<revision>/<name of the asset>`; gives the job's id.
    ///
    /// # Errors
    /// The service refuses.
    fn create_export(&self, data_set: &str, revision: &str) -> Answer<String>;

    /// Starts a job that waits.
    ///
    /// # Errors
    /// The service refuses; [`crate::Kind::Conflict`] when the job was started before.
    fn start(&self, job: &str) -> Answer<()>;

    /// Where a job stands.
    ///
    /// # Errors
    /// The service cannot be asked.
    fn job(&self, job: &str) -> Answer<JobState>;
}
