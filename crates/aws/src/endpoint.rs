//! A model behind a SageMaker endpoint.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sagemakerruntime::Client;
use aws_sdk_sagemakerruntime::config::Builder;
use aws_sdk_sagemakerruntime::config::timeout::TimeoutConfig;
use aws_sdk_sagemakerruntime::operation::invoke_endpoint::InvokeEndpointError;
use aws_sdk_sagemakerruntime::primitives::Blob;
use ports::endpoint::Endpoint;
use ports::{Answer, Kind};

use crate::calls::Calls;
use crate::error::by_words;

/// The model behind an endpoint.
#[derive(Debug, Clone)]
pub struct SageMaker {
    client: Client,
    calls: Calls,
    name: String,
}

/// A model may take 60 seconds for an answer, four times what is long for any other service.
const PATIENCE: u32 = 4;

fn patient(config: &SdkConfig) -> Option<TimeoutConfig> {
    let timeouts = config.timeout_config()?;
    let longer = |limit: Option<Duration>| limit.map(|limit| limit * PATIENCE);
    let mut patient = timeouts.to_builder();
    patient
        .set_operation_attempt_timeout(longer(timeouts.operation_attempt_timeout()))
        .set_operation_timeout(longer(timeouts.operation_timeout()));
    Some(patient.build())
}

impl SageMaker {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, name: &str) -> Self {
        let mut own = Builder::from(config);
        own.set_timeout_config(patient(config));
        Self { client: Client::from_conf(own.build()), calls, name: name.into() }
    }
}

impl Endpoint for SageMaker {
    fn invoke(&self, content_type: &str, body: Vec<u8>) -> Answer<Vec<u8>> {
        let call = "InvokeEndpoint";
        let request = self
            .client
            .invoke_endpoint()
            .endpoint_name(&self.name)
            .content_type(content_type)
            .accept(content_type)
            .body(Blob::new(body));
        match self.calls.wait(request.send()) {
            Ok(answer) => Ok(answer.body.map(Blob::into_inner).unwrap_or_default()),
            Err(failure) => Err(match failure.as_service_error() {
                // The service is well and passes on what the container said.
                Some(InvokeEndpointError::ModelError(model)) => {
                    let refused = model.original_status_code().is_some_and(|status| (400..500).contains(&status));
                    let words = model.original_message().or(model.message()).unwrap_or_default();
                    self.calls.error(call, &self.name, if refused { Kind::Invalid } else { Kind::Service }, words)
                }
                _ => by_words(self.calls.failed(call, &self.name, &failure)),
            }),
        }
    }
}
