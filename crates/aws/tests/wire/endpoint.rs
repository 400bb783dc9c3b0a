use ports::Kind;
use ports::endpoint::Endpoint;
use serde_json::json as value;

use crate::common::{Said, Wire, refused, said};

#[test]
fn a_body_goes_to_the_endpoint_and_its_answer_comes_back() {
    let wire = Wire::new([said(200, [1, 2, 255])]);
    let told = wire.aws.endpoint("forecast").invoke("application/json", b"[1]".to_vec()).unwrap();
    assert_eq!(told, [1, 2, 255]);
    let sent = &wire.sent()[0];
    let host = "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/forecast/invocations";
    assert_eq!((sent.method.as_str(), sent.uri.as_str(), sent.body.as_str()), ("POST", host, "[1]"));
    assert_eq!(
        (sent.header("content-type"), sent.header("accept")),
        (Some("application/json"), Some("application/json"))
    );
}

fn model_error(status: u16, words: &str) -> Said {
    let body = value!({
        "Message": format!("Received client error ({status}) from primary with message"), "OriginalMessage": words,
        "OriginalStatusCode": status, "LogStreamArn": "arn",
    });
    said(424, body.to_string()).with("x-amzn-errortype", "ModelError")
}

#[test]
fn the_model_says_why_it_refuses_or_fails() {
    for (status, kind) in [(400, Kind::Invalid), (415, Kind::Invalid), (500, Kind::Service), (503, Kind::Service)] {
        let wire = Wire::new(vec![model_error(status, "row 3 has\n4 features"); 4]);
        let error = wire.aws.endpoint("forecast").invoke("text/csv", vec![]).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, "row 3 has 4 features"), "{status}");
        assert_eq!(error.resource, "`forecast`");
    }
}

#[test]
fn an_endpoint_that_is_not_there_is_not_a_bad_body() {
    let answer = |words: &str| {
        let wire = Wire::new([refused(400, "ValidationError", words)]);
        wire.aws.endpoint("forecast").invoke("text/csv", vec![]).unwrap_err().kind
    };
    assert_eq!(answer("Endpoint forecast of account 1 not found."), Kind::NotFound);
    assert_eq!(answer("Body is too long"), Kind::Invalid);
}
