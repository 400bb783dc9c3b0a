//! Data products on AWS Data Exchange.

use aws_config::SdkConfig;
use aws_sdk_dataexchange::Client;
use aws_sdk_dataexchange::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dataexchange::types::{
    ExportRevisionsToS3RequestDetails, JobError, RequestDetails, RevisionDestinationEntry, State, Type,
};
use ports::exchange::{Exchange, JobState, Revision};
use ports::{Answer, Kind};

use crate::calls::Calls;
use crate::place::Place;

/// Data sets that the account is entitled to, and jobs that export them to a place.
#[derive(Debug, Clone)]
pub struct DataExchange {
    client: Client,
    calls: Calls,
    exports: Place,
}

impl DataExchange {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, exports: Place) -> Self {
        Self { client: Client::new(config), calls, exports }
    }
}

/// Why a job failed: all the service says about it.
fn reason(state: &State, errors: &[JobError]) -> String {
    if errors.is_empty() {
        return format!("the job ended as {} without a reason", state.as_str());
    }
    let told = errors.iter().map(|error| {
        let on = error.resource_id().map_or_else(String::new, |id| format!(" (on {id})"));
        format!("{}: {}{on}", error.code().as_str(), error.message())
    });
    told.collect::<Vec<_>>().join("; ")
}

impl Exchange for DataExchange {
    /// The service does not say when a revision was published. What it says last about one that can no longer change,
    /// `UpdatedAt`, is when it was finished: later than its creation, when its files were not there yet.
    fn revisions(&self, data_set: &str) -> Answer<Vec<Revision>> {
        let call = "ListDataSetRevisions";
        let pages = self.client.list_data_set_revisions().data_set_id(data_set).into_paginator().items();
        let entries: Vec<_> = self.calls.ask(call, data_set, async { pages.send().collect::<Result<_, _>>().await })?;
        let mut finished: Vec<_> = entries.into_iter().filter(|entry| entry.finalized && !entry.revoked).collect();
        // As times, not as text: with and without a fraction of a second they do not sort alike.
        finished.sort_by(|a, b| (a.updated_at, &a.id).cmp(&(b.updated_at, &b.id)));
        let said = |time: &DateTime| {
            time.fmt(DateTimeFormat::DateTime)
                .map_err(|_| self.calls.error(call, data_set, Kind::Service, "a revision's time is out of range"))
        };
        finished
            .into_iter()
            .map(|entry| Ok(Revision { published_at: said(&entry.updated_at)?, id: entry.id }))
            .collect()
    }

    /// Repeated after its answer was lost, this makes a second job; nobody knows it, so nobody starts it.
    fn create_export(&self, data_set: &str, revision: &str) -> Answer<String> {
        let (call, resource) = ("CreateJob", format!("{data_set}/{revision}"));
        let built = RevisionDestinationEntry::builder()
            .revision_id(revision)
            .bucket(&self.exports.bucket)
            .key_pattern(self.exports.key("${DataSet.Id}/${Revision.Id}/${Asset.Name}"))
            .build()
            .and_then(|to| {
                ExportRevisionsToS3RequestDetails::builder().data_set_id(data_set).revision_destinations(to).build()
            });
        let details = built.map_err(|error| self.calls.error(call, &resource, Kind::Invalid, error.to_string()))?;
        let request = self
            .client
            .create_job()
            .r#type(Type::ExportRevisionsToS3)
            .details(RequestDetails::builder().export_revisions_to_s3(details).build());
        let job = self.calls.ask(call, &resource, request.send())?;
        job.id.ok_or_else(|| self.calls.lacking(call, &resource, "id of a job"))
    }

    fn start(&self, job: &str) -> Answer<()> {
        let Err(mut failure) = self.calls.ask("StartJob", job, self.client.start_job().job_id(job).send()) else {
            return Ok(());
        };
        // A job that was started before is sometimes called a conflict, sometimes invalid; it is one if it waits no more.
        if failure.kind == Kind::Invalid && self.job(job).is_ok_and(|state| state != JobState::Waiting) {
            failure.kind = Kind::Conflict;
        }
        Err(failure)
    }

    fn job(&self, job: &str) -> Answer<JobState> {
        let answer = self.calls.ask("GetJob", job, self.client.get_job().job_id(job).send())?;
        let state = answer.state().ok_or_else(|| self.calls.lacking("GetJob", job, "state"))?;
        Ok(match state {
            State::Waiting => JobState::Waiting,
            State::InProgress => JobState::Running,
            State::Completed => JobState::Completed,
            _ => JobState::Failed(reason(state, answer.errors())),
        })
    }
}
