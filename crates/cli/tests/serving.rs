//! What a server of models lets in.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use algotrading::serving::{Limits, serve};
use models::card::sha256;
use models::foreign::Nobody;
use models::{Card, Model};

fn shipped(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models/forecast").join(name)).unwrap()
}

fn model() -> Model {
    let files = [("weights.safetensors".to_owned(), shipped("weights.safetensors"))].into();
    Model::new(Card::read(&shipped("model.json")).unwrap(), &files, &Nobody).unwrap()
}

fn ask(address: SocketAddr, length: usize, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "POST /invocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{sent}"
    )
    .unwrap();
    stream
}

fn status(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_full_queue_sends_away_and_a_slow_client_holds_nobody_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limits = Limits { queue_max: 4, concurrency_max: 1, body_seconds_max: 1, ..Limits::default() };
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let (ready, address) = std::sync::mpsc::channel();
    let server = runtime.spawn(async move {
        let stop = async {
            let _ = told.await;
        };
        let at = "127.0.0.1:0".parse().unwrap();
        serve(model(), "m@1".to_owned(), limits, at, stop, move |address| ready.send(address).unwrap()).await
    });
    let address = address.recv().unwrap();
    let row = vec!["0.5"; 31].join(",");
    let quick = || status(ask(address, row.len(), &row));
    // Three who do not send what they said they would.
    let slow: Vec<TcpStream> = (0..3).map(|_| ask(address, 1_000, "0.5,")).collect();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(quick(), "200", "one more fits, and is not held up");
    let fourth = ask(address, 1_000, "0.5,");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(quick(), "503");
    for stream in slow.into_iter().chain([fourth]) {
        assert_eq!(status(stream), "408");
    }
    assert_eq!(quick(), "200");
    drop(ask(address, 1_000, "0.5,"));
    tell.send(()).unwrap();
    runtime.block_on(server).unwrap().unwrap();
}

#[test]
fn a_client_that_goes_away_costs_nobody_else_an_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limits = Limits { concurrency_max: 1, ..Limits::default() };
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let (ready, address) = std::sync::mpsc::channel();
    let server = runtime.spawn(async move {
        let stop = async {
            let _ = told.await;
        };
        let at = "127.0.0.1:0".parse().unwrap();
        serve(model(), "m@1".to_owned(), limits, at, stop, move |address| ready.send(address).unwrap()).await
    });
    let address = address.recv().unwrap();
    let row = vec!["0.5"; 31].join(",") + "\n";
    let many = row.repeat(40_000);
    for _ in 0..3 {
        let gone = ask(address, many.len(), &many);
        // Long enough for the prediction to begin, far too short for it to end.
        std::thread::sleep(Duration::from_millis(30));
        drop(gone);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(status(ask(address, row.len(), &row)), "200");
    }
    tell.send(()).unwrap();
    runtime.block_on(server).unwrap().unwrap();
}

#[test]
fn a_model_of_a_lake_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample/daily_adjusted_FB.csv");
    let algotrading = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_algotrading"));
        command.args(arguments).arg("--lake").arg(&lake);
        command
    };
    assert!(algotrading(&["data", "import", sample.to_str().unwrap()]).output().unwrap().status.success());
    let version = sha256(&shipped("model.json"))[..16].to_owned();
    let place: PathBuf = lake.join("models/forecast").join(&version);
    fs::create_dir_all(&place).unwrap();
    for name in ["model.json", "weights.safetensors"] {
        fs::write(place.join(name), shipped(name)).unwrap();
    }
    let none = algotrading(&["serve-model", "forecast"]).output().unwrap();
    assert!(none.status.code() == Some(1) && String::from_utf8_lossy(&none.stderr).contains("model promote forecast@"));
    let reference = format!("forecast@{}", &version[..6]);
    let mut child = algotrading(&["serve-model", &reference, "--bind", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.as_mut().unwrap()), &mut line).unwrap();
    let address = line.split("http://").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let row = vec!["0.5"; 31].join(",");
    assert_eq!(status(ask(address, row.len(), &row)), "200");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
