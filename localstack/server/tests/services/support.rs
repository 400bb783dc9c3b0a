//! The server as its users have it: a process, a folder of products, a lake, programs for containers.

use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use algotrading::shelf::Shelf;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use lake::Lake;
use models::Card;
use models::registry::Registry;
use serde_json::Value;
use tempfile::TempDir;

use crate::emulator::Emulator;

/// A running server before a tiny emulator; both end with it.
pub(crate) struct Offline {
    pub(crate) url: String,
    pub(crate) emulator: Emulator,
    pub(crate) folder: TempDir,
    process: Child,
}

impl Drop for Offline {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn shipped(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models/forecast").join(name)).unwrap()
}

impl Offline {
    pub(crate) async fn start() -> Self {
        let emulator = Emulator::default();
        let upstream = emulator.start().await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["products", "lake", "programs", "logs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_offline-aws"));
        for (argument, name) in
            [("--data-exchange", "products"), ("--lake", "lake"), ("--bin-dir", "programs"), ("--log-dir", "logs")]
        {
            command.arg(argument).arg(folder.path().join(name));
        }
        command.args(["--port", "0", "--upstream", &upstream]).stdout(Stdio::piped());
        let mut process = command.env("AWS_ENDPOINT_URL", &upstream).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("listening on ").unwrap().trim().to_owned();
        Self { url, emulator, folder, process }
    }

    /// What every client of AWS is made of.
    pub(crate) fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&self.url)
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            // A fault that comes once must be seen.
            .retry_config(RetryConfig::disabled())
            .build()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The vendor publishes.
    pub(crate) fn publish(&self, data_set: &str, revision: &str, published_at: &str, assets: &[(&str, &str)]) {
        let folder = self.path("products").join(data_set).join(revision);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in assets {
            fs::write(folder.join(name), text).unwrap();
        }
        let manifest = format!(r#"{{"published_at": "{published_at}", "finalized": true}}"#);
        fs::write(folder.join("revision.json"), manifest).unwrap();
    }

    /// A shell stands for the containers: what they do is their command.
    pub(crate) fn container(&self, definition: &str, command: &str) {
        let program = self.path("programs").join(definition);
        std::os::unix::fs::symlink("/bin/sh", program).unwrap();
        self.define(definition, command);
    }

    /// A container whose program is not there.
    pub(crate) fn define(&self, definition: &str, command: &str) {
        let container = serde_json::json!([{
            "name": definition, "image": "image", "command": ["-c", command],
            "environment": [{ "name": "FROM", "value": "definition" }, { "name": "KEPT", "value": "kept" }],
        }]);
        self.emulator.definitions.lock().unwrap().insert(definition.to_owned(), container);
    }

    /// The shipped forecast, promoted; its card and files.
    pub(crate) fn keep_the_forecast(&self) {
        let lake = Lake::create(self.path("lake").to_str().unwrap()).unwrap();
        let shelf = Shelf(&lake);
        let registry = Registry(&shelf);
        let card = Card::read(&shipped("model.json")).unwrap();
        let weights = ("weights.safetensors".to_owned(), shipped("weights.safetensors"));
        let version = registry.keep(&card, vec![weights]).unwrap();
        registry.promote(&format!("forecast@{version}")).unwrap();
    }

    /// A call of the server itself.
    pub(crate) async fn offline(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = Request::new(Body::from(if body.is_null() { String::new() } else { body.to_string() }));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}/_offline/{path}", self.url).parse().unwrap();
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn fault(&self, fault: Value) {
        assert_eq!(self.offline(Method::POST, "faults", fault).await.0, 200);
    }

    pub(crate) async fn no_faults(&self) {
        assert_eq!(self.offline(Method::DELETE, "faults", Value::Null).await.0, 200);
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

/// Asks until the answer fits.
pub(crate) async fn until<T: std::fmt::Debug, F: Future<Output = T>>(
    ask: impl Fn() -> F,
    fits: impl Fn(&T) -> bool,
) -> T {
    let began = Instant::now();
    loop {
        let found = ask().await;
        if fits(&found) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "still {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
