//! An endpoint answers as the lake's model does.

use algotrading::serving::body::{Form, answer};
use aws_sdk_sagemakerruntime::Client;
use aws_sdk_sagemakerruntime::error::ProvideErrorMetadata;
use aws_sdk_sagemakerruntime::primitives::Blob;
use models::foreign::Nobody;
use models::{Card, Model};

use crate::support::{Offline, shipped};

fn model() -> Model {
    let files = [("weights.safetensors".to_owned(), shipped("weights.safetensors"))].into();
    Model::new(Card::read(&shipped("model.json")).unwrap(), &files, &Nobody).unwrap()
}

#[tokio::test]
async fn an_endpoint_says_what_the_model_says_in_each_form() {
    let offline = Offline::start().await;
    offline.keep_the_forecast();
    let client = Client::new(&offline.config());
    let row = vec!["0.5"; 31].join(",");
    let other = vec!["-0.25"; 31].join(",");
    for (content_type, body) in [
        ("text/csv", format!("{row}\n{other}\n")),
        ("application/json", format!("{{\"instances\":[[{row}],[{other}]]}}")),
        ("application/jsonlines", format!("[{row}]\n[{other}]\n")),
    ] {
        let wanted = answer(&mut model(), Form::of(Some(content_type), None).unwrap(), body.as_bytes()).unwrap();
        let ask = client.invoke_endpoint().endpoint_name("forecast").content_type(content_type);
        let said = ask.body(Blob::new(body)).send().await.unwrap();
        assert_eq!(String::from_utf8_lossy(said.body().unwrap().as_ref()), wanted, "{content_type}");
    }
}

#[tokio::test]
async fn what_the_model_refuses_is_a_model_error_with_the_models_own_words() {
    let offline = Offline::start().await;
    offline.keep_the_forecast();
    let client = Client::new(&offline.config());
    let ask = client.invoke_endpoint().endpoint_name("forecast").content_type("text/csv").body(Blob::new("1,2"));
    let error = ask.send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 424);
    let wanted = answer(&mut model(), Form::of(Some("text/csv"), None).unwrap(), b"1,2").unwrap_err();
    match error.into_service_error() {
        aws_sdk_sagemakerruntime::operation::invoke_endpoint::InvokeEndpointError::ModelError(error) => {
            assert_eq!(error.original_status_code(), Some(400));
            assert_eq!(error.original_message(), Some(&*wanted.to_string()));
            assert_eq!(error.log_stream_arn(), Some(""));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_validation_error() {
    let offline = Offline::start().await;
    let client = Client::new(&offline.config());
    let ask = client.invoke_endpoint().endpoint_name("nobody").content_type("text/csv").body(Blob::new("1"));
    let error = ask.send().await.unwrap_err();
    assert_eq!((error.code(), error.raw_response().unwrap().status().as_u16()), (Some("ValidationError"), 400));
    let said = error.message().unwrap();
    assert!(said.starts_with("Endpoint nobody of account 000000000000 not found."), "{said}");
}
