//! A function: events in, answers out.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use algotrading::eod::{Outcome, Trouble, What};
use aws::Aws;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::World;
use crate::log::Line;

/// What the service is told of a failure.
#[derive(Debug)]
struct Failed(Trouble);

impl From<Failed> for Diagnostic {
    fn from(Failed(trouble): Failed) -> Self {
        Self { error_type: trouble.what.name().to_owned(), error_message: trouble.text }
    }
}

/// Serves a step until the service stops the process.
pub fn serve<I, O, F>(step: F) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(&World, I) -> Outcome<O> + Send + Sync + 'static,
{
    // One thread waits for events, the other drives the clients while a step waits for them.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            Line::new("ERROR", "cannot start").with("error", error.to_string()).write();
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        let world = World { aws: Aws::load().await };
        let step = Arc::new(move |event: Value| {
            let input = serde_json::from_value(event)
                .map_err(|error| Trouble::new(What::BadInput, format!("the input makes no sense: {error}")))?;
            let answer = step(&world, input)?;
            serde_json::to_value(answer).map_err(|error| Trouble::new(What::BadRecord, error.to_string()))
        });
        lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| handle(Arc::clone(&step), event))).await
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Line::new("ERROR", "the runtime's interface failed").with("error", error.to_string()).write();
            ExitCode::FAILURE
        }
    }
}

async fn handle<F>(step: Arc<F>, event: LambdaEvent<Value>) -> Result<Value, Failed>
where
    F: Fn(Value) -> Outcome<Value> + Send + Sync + 'static,
{
    let LambdaEvent { payload, context } = event;
    let line = |level: &str, message: &str| {
        let line = Line::new(level, message).with("request_id", context.request_id.as_str());
        line.with("xray_trace_id", context.xray_trace_id.clone()).about(&payload)
    };
    let begun = Instant::now();
    let input = payload.clone();
    let done = tokio::task::spawn_blocking(move || step(input)).await;
    let done = done.unwrap_or_else(|_| {
        Err(Trouble::new(What::Transient, "the step stopped in the middle: this is a defect, please report it"))
    });
    let duration_ms = begun.elapsed().as_millis() as u64;
    match done {
        Ok(answer) => {
            line("INFO", "done").about(&answer).with("duration_ms", duration_ms).write();
            Ok(answer)
        }
        Err(trouble) => {
            line("ERROR", &trouble.text)
                .with("error_type", trouble.what.name())
                .with("duration_ms", duration_ms)
                .write();
            Err(Failed(trouble))
        }
    }
}
