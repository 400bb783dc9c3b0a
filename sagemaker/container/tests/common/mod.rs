//! Starts the container's program as SageMaker does, under a root of the test's own.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A file of the repository's `data/`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

/// What is `/opt/ml` in the container.
pub struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    pub fn new() -> Self {
        let root = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["input/config", "input/data/training", "model", "output"] {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        root
    }

    /// With symbols of the sample in the channel `training`.
    pub fn with(symbols: &[&str]) -> Self {
        let root = Self::new();
        for symbol in symbols {
            let name = format!("daily_adjusted_{symbol}.csv");
            let channel = root.path("input/data/training").join(&name);
            fs::copy(data("sample").join(&name), channel).unwrap();
        }
        root
    }

    /// With the demo's model in it.
    pub fn with_model() -> Self {
        let root = Self::new();
        for file in ["model.json", "weights.safetensors"] {
            fs::copy(data("models/forecast").join(file), root.path("model").join(file)).unwrap();
        }
        root
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn asks(&self, hyperparameters: &[(&str, &str)]) -> &Self {
        let all: serde_json::Map<String, serde_json::Value> =
            hyperparameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        fs::write(self.path("input/config/hyperparameters.json"), serde_json::to_vec(&all).unwrap()).unwrap();
        let resources = r#"{"current_host":"algo-1","hosts":["algo-1"],"network_interface_name":"eth0"}"#;
        fs::write(self.path("input/config/resourceconfig.json"), resources).unwrap();
        self
    }

    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_algotrading-container"));
        for (name, _) in std::env::vars() {
            if name.starts_with("ALGOTRADING_") || name.starts_with("SAGEMAKER_") {
                command.env_remove(name);
            }
        }
        command.arg(verb).env("ALGOTRADING_ML_ROOT", self.folder.path()).env("ALGOTRADING_BIND", "127.0.0.1:0");
        command
    }

    pub fn train(&self) -> Output {
        self.command("train").output().unwrap()
    }

    /// Trains, and gives what it printed.
    pub fn trained(&self) -> String {
        let done = self.train();
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(!self.path("output/failure").exists());
        said
    }

    /// The reason that SageMaker would show.
    pub fn fails(&self) -> String {
        let done = self.train();
        assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stdout));
        let reason = fs::read_to_string(self.path("output/failure")).unwrap();
        assert_eq!(String::from_utf8(done.stderr).unwrap(), format!("error: {reason}\n"));
        assert_eq!(reason.lines().count(), 1, "{reason}");
        reason
    }

    /// The files of the model, by name.
    pub fn model(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.path("model"))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

/// Sends a signal to a process by its id.
pub fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// A server under test; stopped when dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().parse();
        let address = address.unwrap_or_else(|_| panic!("no address in `{line}`"));
        Self { child, address }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Answer {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Answer::read(stream)
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(head(path, headers, body.len()).as_bytes()).unwrap();
        // A server that has heard enough may answer and close before everything is sent.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    /// To `/invocations`, as CSV.
    pub fn csv(&self, body: &str) -> Answer {
        self.post("/invocations", &[("Content-Type", "text/csv")], body.as_bytes())
    }

    pub fn json(&self, body: &serde_json::Value) -> Answer {
        self.post("/invocations", &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn head(path: &str, headers: &[(&str, &str)], length: usize) -> String {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n")
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is the close of a connection whose body nobody wanted.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: `{text}`"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Refused with a status and words.
    pub fn refuses(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        let said = self.json()["error"].as_str().unwrap().to_owned();
        for word in words {
            assert!(said.contains(word), "`{word}` is not in `{said}`");
        }
    }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&rest[..length]);
        text = rest[length..].trim_start_matches("\r\n");
        if length == 0 {
            break;
        }
    }
    whole
}
