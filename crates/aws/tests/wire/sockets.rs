//! The shipped HTTP client against sockets that misbehave.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aws::{Aws, config};
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::Credentials;
use ports::Kind;
use ports::catalog::Catalog;
use ports::objects::Objects;
use ports::records::{Key, Records};
use tokio::runtime::Runtime;

use crate::common::{KEY, REGION, SECRET, runtime};
use crate::failures::cluster;

fn at(runtime: &Runtime, address: &str) -> Aws {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(300))
        .operation_timeout(Duration::from_secs(5))
        .build();
    let loader = config::loader()
        .endpoint_url(address)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEY, SECRET, None, None, "test"))
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1)))
        .timeout_config(timeouts);
    Aws::new(runtime.block_on(loader.load()), runtime.handle().clone())
}

/// Gives every connection the same bytes, or none and stays silent.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut silent = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            if answer.is_empty() {
                silent.push(stream);
            } else {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    address
}

#[test]
fn nobody_there_is_not_reachable() {
    let runtime = runtime();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = at(&runtime, &format!("http://{free}")).records("t").get(&Key::new("p", "s")).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.message.contains("refused"), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    let (runtime, started) = (runtime(), Instant::now());
    let error = at(&runtime, &server("")).records("t").get(&Key::new("p", "s")).unwrap_err();
    assert_eq!(error.kind, Kind::TimedOut, "{error}");
    assert!(started.elapsed() > Duration::from_millis(600), "two attempts");
}

#[test]
fn a_download_that_breaks_off_leaves_nothing() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let address = server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ndate,close\n");
    let objects = at(&runtime, &address).objects("s3://landing/raw").unwrap();
    let error = objects.download("a.csv", &folder.path().join("a.csv")).unwrap_err();
    assert!(error.kind.passes(), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Runs a test of this file once more, in a process whose environment is only what is given.
fn again(test: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .env(AGAIN, "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{told}");
}

const AGAIN: &str = "ALGOTRADING_TEST_AGAIN";

fn loaded(runtime: &Runtime) -> Option<Aws> {
    std::env::var_os(AGAIN).map(|_| runtime.block_on(Aws::load()))
}

#[test]
fn the_environment_says_where_the_services_are() {
    let runtime = runtime();
    let Some(aws) = loaded(&runtime) else {
        let all = server("HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"Table\":{\"Name\":\"\"}}");
        let item = r#"{"Item":{"version":{"N":"7"},"body":{"S":"{}"}}}"#;
        let one = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{item}", item.len());
        again(
            "sockets::the_environment_says_where_the_services_are",
            &[
                ("AWS_REGION", REGION),
                ("AWS_ACCESS_KEY_ID", KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
                ("AWS_ENDPOINT_URL", &all),
                ("AWS_ENDPOINT_URL_DYNAMODB", &server(one.leak())),
            ],
        );
        return;
    };
    assert!(aws.catalog().table("db", "t").unwrap().is_some(), "the one for all");
    assert_eq!(aws.records("t").get(&Key::new("p", "s")).unwrap().unwrap().version, 7, "its own");
}

#[test]
fn without_a_region_nobody_is_asked() {
    let runtime = runtime();
    let Some(aws) = loaded(&runtime) else {
        let credentials = [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        return again("sockets::without_a_region_nobody_is_asked", &credentials);
    };
    let error = aws.records("t").get(&Key::new("p", "s")).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.message.to_lowercase().contains("region"), "{error}");
}

#[test]
fn making_adapters_asks_nobody() {
    let runtime = runtime();
    let started = Instant::now();
    let Some(aws) = loaded(&runtime) else {
        // An address that swallows what is sent: a call would not come back soon. Nobody has given credentials either.
        let environment = [("AWS_REGION", REGION), ("AWS_ENDPOINT_URL", "http://192.0.2.1:9")];
        return again("sockets::making_adapters_asks_nobody", &environment);
    };
    let loaded = started.elapsed();
    let _ = (aws.exchange("s3://b").unwrap(), aws.objects("s3://b").unwrap(), aws.records("t"), aws.catalog());
    let _ = (aws.queries("w", "d"), aws.endpoint("e"), aws.notices("t"), aws.figures("n"), aws.tasks(cluster()));
    eprintln!("loaded after {loaded:?}, made after {:?}", started.elapsed());
    assert!(started.elapsed() < config::CONNECT, "{:?}", started.elapsed());
}
