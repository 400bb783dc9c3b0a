//! SageMaker's runtime: an endpoint is a model of the lake, and answers as `algotrading serve-model` does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use algotrading::serving::Limits;
use algotrading::serving::body::{Form, Unfit, answer};
use algotrading::shelf;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lake::Lake;
use models::Model;

use crate::router::Call;
use crate::wire::{Answer, Refusal};

pub(crate) struct SageMaker {
    lake: String,
    /// Opened models, by name and version.
    models: Arc<Mutex<BTreeMap<String, Model>>>,
}

impl SageMaker {
    pub(crate) fn new(lake: String) -> Self {
        Self { lake, models: Arc::default() }
    }

    pub(crate) async fn handle(&self, call: &Call) -> Answer<Response> {
        let name = call.uri.path().trim_start_matches("/endpoints/").trim_end_matches("/invocations").to_owned();
        let (lake, models, headers, body) =
            (self.lake.clone(), Arc::clone(&self.models), call.headers.clone(), call.body.clone());
        let account = call.caller.account().to_owned();
        let runtime = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            // The lake's client of S3 lives on the runtime.
            let _entered = runtime.enter();
            invoke(&lake, &models, (&account, &name), &headers, &body)
        });
        done.await.unwrap_or_else(|_| Err(Refusal::internal("InternalFailure", "the model stopped in the middle")))
    }
}

fn refused(status: u16, message: String) -> Refusal {
    let text = format!("Received client error ({status}) from primary with message \"{message}\".");
    Refusal::new("ModelError", text)
        .with_status(StatusCode::FAILED_DEPENDENCY)
        .with("OriginalStatusCode", status)
        .with("OriginalMessage", message)
        .with("LogStreamArn", "")
}

fn invoke(
    location: &str,
    models: &Mutex<BTreeMap<String, Model>>,
    (account, name): (&str, &str),
    headers: &HeaderMap,
    body: &[u8],
) -> Answer<Response> {
    let absent = |reason: String| {
        // The service's own sentence, and then why it is so here.
        Refusal::new("ValidationError", format!("Endpoint {name} of account {account} not found. {reason}"))
    };
    let lake = Lake::create(location).map_err(|error| absent(error.to_string()))?;
    let (entry, opened) = shelf::model(&lake, name).map_err(|error| absent(format!("{error:#}")))?;
    let most = Limits::default().body_bytes_max;
    if body.len() > most {
        return Err(refused(413, format!("the body is larger than {most} bytes; send fewer rows at once")));
    }
    let mut models = models.lock().unwrap_or_else(PoisonError::into_inner);
    let model = models.entry(format!("{}@{}", entry.name, entry.version)).or_insert(opened);
    let value = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let form = Form::of(value(header::CONTENT_TYPE), value(header::ACCEPT))
        .map_err(|error| refused(if matches!(error, Unfit::Accept(_)) { 406 } else { 415 }, error.to_string()))?;
    let said = answer(model, form, body).map_err(|error| refused(400, error.to_string()))?;
    let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, form.content_type())], said).into_response();
    response.headers_mut().insert("x-amzn-invoked-production-variant", header::HeaderValue::from_static("primary"));
    Ok(response)
}
