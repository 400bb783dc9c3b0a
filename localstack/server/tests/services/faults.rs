//! What tests have go wrong, and what they see of the calls.

use std::time::{Duration, Instant};

use aws_sdk_dataexchange::error::ProvideErrorMetadata;
use aws_sdk_sagemakerruntime::primitives::Blob;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::Offline;

#[tokio::test]
async fn a_call_is_refused_as_told_and_as_often() {
    let offline = Offline::start().await;
    offline.publish("eod", "r1", "2013-02-26T22:30:00Z", &[]);
    let client = aws_sdk_dataexchange::Client::new(&offline.config());
    offline
        .fault(json!({ "service": "dataexchange", "call": "ListDataSets", "times": 2, "do": "error", "status": 500,
                       "code": "InternalServerException", "message": "down" }))
        .await;
    client.list_data_set_revisions().data_set_id("eod").send().await.unwrap();
    for _ in 0..2 {
        let error = client.list_data_sets().send().await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Some("InternalServerException"), Some("down")));
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    }
    client.list_data_sets().send().await.unwrap();
}

#[tokio::test]
async fn a_negative_count_lasts_until_the_faults_are_cleared() {
    let offline = Offline::start().await;
    let client = aws_sdk_dataexchange::Client::new(&offline.config());
    offline
        .fault(json!({ "service": "dataexchange", "times": -1, "do": "error", "status": 429,
                       "code": "ThrottlingException", "message": "slower" }))
        .await;
    for _ in 0..3 {
        assert_eq!(client.list_jobs().send().await.unwrap_err().code(), Some("ThrottlingException"));
    }
    offline.no_faults().await;
    client.list_jobs().send().await.unwrap();
}

#[tokio::test]
async fn any_service_can_be_slow_and_an_endpoint_can_say_something_else() {
    let offline = Offline::start().await;
    let client = aws_sdk_sagemakerruntime::Client::new(&offline.config());
    offline.fault(json!({ "do": "delay", "ms": 300 })).await;
    let began = Instant::now();
    aws_sdk_dataexchange::Client::new(&offline.config()).list_jobs().send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    offline.fault(json!({ "service": "sagemaker", "do": "wrong_shape", "body": "{\"predictions\": []}" })).await;
    let said = client.invoke_endpoint().endpoint_name("nobody").body(Blob::new("1")).send().await.unwrap();
    assert_eq!(said.body().unwrap().as_ref(), b"{\"predictions\": []}");
}

#[tokio::test]
async fn the_calls_are_told_in_order_with_their_status() {
    let offline = Offline::start().await;
    assert_eq!(offline.offline(Method::GET, "health", Value::Null).await.0, 200);
    let client = aws_sdk_dataexchange::Client::new(&offline.config());
    client.list_data_sets().send().await.unwrap();
    client.get_job().job_id("nobody").send().await.unwrap_err();
    aws_sdk_glue::Client::new(&offline.config()).get_crawler().name("nobody").send().await.unwrap_err();
    let (_, calls) = offline.offline(Method::GET, "requests", Value::Null).await;
    let told = |call: &Value| (call["service"].clone(), call["call"].clone(), call["status"].clone());
    let wanted = [("dataexchange", "ListDataSets", 200), ("dataexchange", "GetJob", 404), ("glue", "GetCrawler", 400)];
    let calls = calls.as_array().unwrap();
    assert_eq!(calls.iter().map(told).collect::<Vec<_>>(), wanted.map(|(a, b, c)| (json!(a), json!(b), json!(c))));
    assert!(calls.iter().all(|call| call["at_ms"].as_i64().unwrap() > 1_600_000_000_000));
}

#[tokio::test]
async fn a_fault_that_is_none_is_refused() {
    let offline = Offline::start().await;
    let (status, said) = offline.offline(Method::POST, "faults", json!({ "service": "ecs", "do": "explode" })).await;
    assert!(status == 400 && said["message"].as_str().unwrap().starts_with("no such fault: "), "{said}");
}
