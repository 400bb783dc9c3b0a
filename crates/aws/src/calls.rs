//! Waiting for an answer on a thread that may wait: the ports are synchronous, the clients are not.

use std::fmt::Display;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::{Answer, CallError, Kind};
use tokio::runtime::Handle;

use crate::error;

/// The calls of one service.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    service: &'static str,
    runtime: Handle,
}

impl Calls {
    pub(crate) fn new(service: &'static str, runtime: Handle) -> Self {
        Self { service, runtime }
    }

    /// Waits. On a thread of `spawn_blocking`, or outside a runtime, that is all; on one that drives tasks it first
    /// hands those to another thread, where simply waiting would panic.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        tokio::task::block_in_place(|| self.runtime.block_on(future))
    }

    /// Waits for an answer whose failure is told as it is.
    pub(crate) fn ask<T, E>(
        &self,
        call: &'static str,
        resource: impl Display,
        answer: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Answer<T>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        self.wait(answer).map_err(|failure| self.failed(call, resource, &failure))
    }

    /// A failure of the SDK.
    pub(crate) fn failed<E>(
        &self,
        call: &'static str,
        resource: impl Display,
        failure: &SdkError<E, HttpResponse>,
    ) -> CallError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let (kind, message) = error::reading(failure);
        self.error(call, resource, kind, &message)
    }

    /// A failure that the adapter itself sees.
    pub(crate) fn error(
        &self,
        call: &'static str,
        resource: impl Display,
        kind: Kind,
        message: impl AsRef<str>,
    ) -> CallError {
        let message = error::one_line(message.as_ref());
        CallError { service: self.service, call, resource: format!("`{resource}`"), kind, message }
    }

    /// An answer without what every answer has.
    pub(crate) fn lacking(&self, call: &'static str, resource: impl Display, what: &str) -> CallError {
        self.error(call, resource, Kind::Service, format!("the answer has no {what}"))
    }
}
