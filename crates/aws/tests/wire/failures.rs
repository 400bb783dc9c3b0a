//! Failures mean the same whichever service they come from, and only those that may pass are tried again.

use std::time::Duration;

use aws::tasks::Cluster;
use aws::{Aws, config};
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::Credentials;
use aws_smithy_http_client::test_util::{NeverClient, ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use ports::archive::Archive;
use ports::catalog::Catalog;
use ports::endpoint::Endpoint;
use ports::exchange::Exchange;
use ports::figures::{Figure, Figures, Unit};
use ports::lines::{Lease, Lines};
use ports::notices::Notices;
use ports::objects::Objects;
use ports::queries::Queries;
use ports::queue::Queue;
use ports::records::{Key, Records};
use ports::secrets::Secrets;
use ports::stream::Stream;
use ports::tasks::{TaskRequest, Tasks};
use ports::{Answer, Kind};

use crate::common::{KEY, REGION, SECRET, Said, TOKEN, Wire, adapters, json, refused, runtime, said};

pub(crate) fn cluster() -> Cluster {
    Cluster {
        name: "algo".into(),
        subnets: vec!["subnet-1".into(), "subnet-2".into()],
        public_address: true,
        security_groups: vec!["sg-1".into()],
        prefix: "algo-".into(),
    }
}

fn s3(status: u16, code: &str, message: &str) -> Said {
    said(status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn sns(status: u16, code: &str, message: &str) -> Said {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    said(status, format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
}

/// CBOR: a map of two texts.
fn cloudwatch(status: u16, code: &str, message: &str) -> Said {
    let mut body = vec![0xa2];
    for text in ["__type", code, "message", message] {
        body.extend([0x78, u8::try_from(text.len()).unwrap()]);
        body.extend(text.as_bytes());
    }
    said(status, body).with("smithy-protocol", "rpc-v2-cbor").with("content-type", "application/cbor")
}

struct Case {
    service: &'static str,
    call: &'static str,
    /// A word of the resource.
    on: &'static str,
    make: fn(&Aws) -> Answer<()>,
    /// How the service tells a failure.
    failure: fn(u16, &str, &str) -> Said,
    /// Its words for "too many calls" and "access denied".
    throttled: (u16, &'static str),
    denied: (u16, &'static str),
}

const THROTTLED: (u16, &str) = (400, "ThrottlingException");
const DENIED: (u16, &str) = (400, "AccessDeniedException");

fn every_call() -> Vec<Case> {
    fn case(service: &'static str, call: &'static str, on: &'static str, make: fn(&Aws) -> Answer<()>) -> Case {
        Case { service, call, on, make, failure: refused, throttled: THROTTLED, denied: DENIED }
    }
    fn exchange(aws: &Aws) -> impl Exchange {
        aws.exchange("s3://landing/raw").unwrap()
    }
    fn s3_case(call: &'static str, make: fn(&Aws) -> Answer<()>) -> Case {
        Case {
            failure: s3,
            throttled: (503, "SlowDown"),
            denied: (403, "AccessDenied"),
            ..case("S3", call, "raw", make)
        }
    }
    vec![
        case("Data Exchange", "ListDataSetRevisions", "ds", |aws| exchange(aws).revisions("ds").map(|_| ())),
        case("Data Exchange", "CreateJob", "ds/rev", |aws| exchange(aws).create_export("ds", "rev").map(|_| ())),
        case("Data Exchange", "StartJob", "job", |aws| exchange(aws).start("job")),
        case("Data Exchange", "GetJob", "job", |aws| exchange(aws).job("job").map(|_| ())),
        s3_case("ListObjectsV2", |aws| aws.objects("s3://landing/raw").unwrap().list("a").map(|_| ())),
        s3_case("GetObject", |aws| {
            aws.objects("s3://landing/raw").unwrap().download("a.csv", "/nowhere/a.csv".as_ref())
        }),
        case("DynamoDB", "GetItem", "p/s", |aws| aws.records("t").get(&Key::new("p", "s")).map(|_| ())),
        case("DynamoDB", "PutItem", "p/s", |aws| {
            aws.records("t").put(&Key::new("p", "s"), &serde_json::json!(1), 0).map(|_| ())
        }),
        case("DynamoDB", "Query", "p", |aws| aws.records("t").list("p").map(|_| ())),
        case("DynamoDB", "GetItem", "t sma", |aws| aws.lines("t").lease("sma").map(|_| ())),
        case("DynamoDB", "Query", "t sma", |aws| aws.lines("t").read("sma", 0).map(|_| ())),
        case("DynamoDB", "TransactWriteItems", "t sma", |aws| {
            let lease = Lease { owner: "a".into(), epoch: 1, seen_ms: 1, until_ms: 2 };
            aws.lines("t").append("sma", &[], &lease).map(|_| ())
        }),
        case("Kinesis", "PutRecords", "market", |aws| aws.stream("market").put(&["a".to_owned()])),
        case("Kinesis", "ListShards", "market", |aws| aws.stream("market").read(None).map(|_| ())),
        case("SQS", "SendMessage", "orders", |aws| aws.queue("http://sqs/1/orders.fifo").send("g", "i", "t")),
        case("SQS", "ReceiveMessage", "orders", |aws| aws.queue("http://sqs/1/orders.fifo").receive(0).map(|_| ())),
        case("SQS", "DeleteMessage", "orders", |aws| aws.queue("http://sqs/1/orders.fifo").delete("r")),
        case("Secrets Manager", "GetSecretValue", "broker", |aws| aws.secrets().secret("broker").map(|_| ())),
        s3_case("PutObject", |aws| aws.archive("s3://archive/raw").unwrap().keep("a", Vec::new())),
        case("Glue", "StartCrawler", "bars", |aws| aws.catalog().crawl("bars")),
        case("Glue", "GetCrawler", "bars", |aws| aws.catalog().crawler("bars").map(|_| ())),
        case("Glue", "GetTable", "db.bars", |aws| aws.catalog().table("db", "bars").map(|_| ())),
        case("Athena", "StartQueryExecution", "wg", |aws| {
            aws.queries("wg", "db").start("SELECT 1", &[], "token").map(|_| ())
        }),
        case("Athena", "GetQueryExecution", "q", |aws| aws.queries("wg", "db").state("q").map(|_| ())),
        case("Athena", "GetQueryResults", "q", |aws| aws.queries("wg", "db").rows("q", 5).map(|_| ())),
        case("Athena", "StopQueryExecution", "q", |aws| aws.queries("wg", "db").stop("q")),
        case("SageMaker", "InvokeEndpoint", "forecast", |aws| {
            aws.endpoint("forecast").invoke("application/json", b"{}".to_vec()).map(|_| ())
        }),
        case("ECS", "RunTask", "algo-runner", |aws| {
            let request = TaskRequest { name: "runner".into(), environment: vec![], token: "t".into() };
            aws.tasks(cluster()).start(&request).map(|_| ())
        }),
        case("ECS", "DescribeTasks", "task", |aws| aws.tasks(cluster()).state("task").map(|_| ())),
        Case {
            failure: sns,
            throttled: (400, "Throttling"),
            denied: (403, "AuthorizationError"),
            ..case("SNS", "Publish", "topic", |aws| aws.notices("arn:aws:sns:eu-central-1:1:topic").publish("s", "t"))
        },
        Case {
            failure: cloudwatch,
            ..case("CloudWatch", "PutMetricData", "algotrading", |aws| {
                let figure = Figure { name: "equity", value: 1.0, unit: Unit::None, dimensions: vec![] };
                aws.figures("algotrading").put(&[figure])
            })
        },
    ]
}

#[test]
fn what_is_throttled_is_tried_four_times_and_then_given_up() {
    for case in every_call() {
        let (status, code) = case.throttled;
        let wire = Wire::new(vec![(case.failure)(status, code, "Rate exceeded"); 9]);
        let error = (case.make)(&wire.aws).unwrap_err();
        assert_eq!((error.service, error.call, error.kind), (case.service, case.call, Kind::Throttled), "{error}");
        assert_eq!(wire.sent().len(), config::ATTEMPTS as usize, "{error}");
        assert!(error.resource.contains(case.on), "{error}");
        assert_eq!(error.message, "Rate exceeded", "{error}");
    }
}

#[test]
fn what_is_denied_is_not_tried_again() {
    for case in every_call() {
        let (status, code) = case.denied;
        let wire = Wire::new(vec![(case.failure)(status, code, "no policy\nallows it"); 9]);
        let error = (case.make)(&wire.aws).unwrap_err();
        assert_eq!((error.call, error.kind), (case.call, Kind::Denied), "{error}");
        assert_eq!(wire.sent().len(), 1, "{error}");
        assert_eq!(error.message, "no policy allows it");
    }
}

#[test]
fn a_service_that_fails_is_tried_again() {
    for case in every_call() {
        let wire = Wire::new(vec![(case.failure)(500, "InternalFailure", "try later"); 9]);
        let error = (case.make)(&wire.aws).unwrap_err();
        assert_eq!((error.call, error.kind), (case.call, Kind::Service), "{error}");
        assert_eq!(wire.sent().len(), config::ATTEMPTS as usize, "{error}");
    }
}

#[test]
fn a_call_that_is_throttled_once_succeeds() {
    let wire = Wire::new([refused(400, "ThrottlingException", "slower"), json(serde_json::json!({}))]);
    assert_eq!(wire.aws.records("t").get(&Key::new("p", "s")).unwrap(), None);
    assert_eq!(wire.sent().len(), 2);
}

#[test]
fn no_answer_in_time_says_so() {
    let (runtime, never) = (runtime(), NeverClient::new());
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(5))
        .operation_timeout(Duration::from_millis(1000))
        .build();
    let made = config::loader()
        .http_client(never.clone())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEY, SECRET, None, None, "test"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .timeout_config(timeouts);
    let aws = Aws::new(runtime.block_on(made.load()), runtime.handle().clone());
    for case in every_call() {
        let before = never.num_calls();
        let error = (case.make)(&aws).unwrap_err();
        assert_eq!((error.call, error.kind), (case.call, Kind::TimedOut), "{error}");
        assert!(never.num_calls() > before + 1, "{error}");
    }
}

#[test]
fn an_answer_that_nobody_understands_is_the_services_failure() {
    for case in every_call() {
        // What CloudWatch answers is not looked at.
        if matches!(case.service, "CloudWatch" | "SNS" | "SageMaker") || case.call == "GetObject" {
            continue;
        }
        let wire = Wire::new(vec![said(200, "<html>welcome"); 9]);
        if let Err(error) = (case.make)(&wire.aws) {
            assert_eq!((error.call, error.kind), (case.call, Kind::Service), "{error}");
        }
    }
}

#[test]
fn without_credentials_nothing_is_sent() {
    let runtime = runtime();
    let replay = StaticReplayClient::new(vec![]);
    let made = config::loader().http_client(replay.clone()).region(Region::new(REGION)).no_credentials();
    let aws = Aws::new(runtime.block_on(made.load()), runtime.handle().clone());
    // S3 also answers those whom it does not know.
    for case in every_call().into_iter().filter(|case| case.service != "S3") {
        let error = (case.make)(&aws).unwrap_err();
        assert_eq!((error.call, error.kind), (case.call, Kind::Denied), "{error}");
    }
    assert_eq!(replay.actual_requests().count(), 0);
}

#[test]
fn no_failure_repeats_the_credentials() {
    let echo = format!(
        "The request signature we calculated does not match. The Canonical String for this request should have been \
         'POST\n/\n\nx-amz-security-token:{TOKEN}\nCredential={KEY}/1'"
    );
    for case in every_call().into_iter().filter(|case| case.service != "CloudWatch") {
        let wire = Wire::new(vec![(case.failure)(403, "SignatureDoesNotMatch", &echo); 9]);
        let error = (case.make)(&wire.aws).unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{error}");
        let told = format!("{error} {error:?}");
        assert!([KEY, SECRET, TOKEN].iter().all(|secret| !told.contains(secret)), "{told}");
        assert!(!error.message.contains('\n') && error.message.starts_with("The request signature"), "{error}");
    }
}

#[test]
fn an_adapter_may_be_used_wherever_a_thread_may_wait() {
    let runtime = runtime();
    let answer = || ReplayEvent::new(HttpRequest::empty(), json(serde_json::json!({})).response());
    let aws = adapters(&runtime, StaticReplayClient::new(vec![answer(), answer(), answer()]));
    let records = aws.records("t");
    let key = Key::new("p", "s");
    assert_eq!(records.get(&key).unwrap(), None, "outside the runtime");
    runtime.block_on(async {
        let (moved, of) = (records.clone(), key.clone());
        let blocking = tokio::task::spawn_blocking(move || moved.get(&of)).await.unwrap();
        assert_eq!(blocking.unwrap(), None, "on a thread that may wait");
        let driving = tokio::spawn(async move { records.get(&key) }).await.unwrap();
        assert_eq!(driving.unwrap(), None, "on a thread that drives tasks");
    });
}
