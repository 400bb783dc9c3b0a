//! `serve` keeps SageMaker's contract, whatever is sent.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use common::{Answer, Root, Server, data, head, signal};
use models::features::WIDTH;
use models::{Card, Forecast};
use serde_json::{Value, json};

fn forecast() -> Forecast {
    let card = Card::read(&fs::read(data("models/forecast/model.json")).unwrap()).unwrap();
    Forecast::new(card, &fs::read(data("models/forecast/weights.safetensors")).unwrap()).unwrap()
}

fn row(seed: usize) -> [f32; WIDTH] {
    std::array::from_fn(|at| ((seed * 31 + at * 17) % 101) as f32 / 100.0)
}

fn line(row: &[f32; WIDTH]) -> String {
    row.map(|value| value.to_string()).join(",")
}

fn served() -> (Root, Server) {
    let root = Root::with_model();
    let server = Server::start(&mut root.command("serve"));
    (root, server)
}

#[test]
fn rows_are_predicted_in_every_form() {
    let (_root, server) = served();
    let mut model = forecast();
    let rows = [row(1), row(2)];
    let wanted = rows.map(|row| model.probabilities(&row).unwrap());
    assert_eq!(server.get("/ping").status, 200);
    assert_eq!(server.get("/execution-parameters").json()["MaxPayloadInMB"], 6);

    let csv = server.csv(&format!("{}\n{}\n", line(&rows[0]), line(&rows[1])));
    let said: Vec<Vec<f32>> =
        csv.body.lines().map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect();
    assert_eq!((csv.status, said), (200, wanted.map(|two| two.to_vec()).to_vec()));
    assert!(csv.head.contains("content-type: text/csv") && csv.head.contains("x-model: forecast@"), "{}", csv.head);
    let names: Vec<String> = model.card().features.features().into_iter().map(|feature| feature.name).collect();
    let with_header = server.csv(&format!("{}\n{}\n", names.join(","), line(&rows[0])));
    assert_eq!(with_header.body, csv.body.lines().next().unwrap().to_owned() + "\n");

    let predictions = |answer: &Answer| -> Vec<[f32; 2]> {
        let list = answer.json()["predictions"].as_array().unwrap().clone();
        list.iter().map(|one| ["long", "short"].map(|side| one[side].as_f64().unwrap() as f32)).collect()
    };
    let list = json!([rows[0].to_vec(), rows[1].to_vec()]);
    let fingerprint = &model.card().features_fingerprint;
    for body in [
        json!({ "instances": list }),
        list.clone(),
        json!({ "features_fingerprint": fingerprint, "instances": [{"features": rows[0].to_vec()}, rows[1].to_vec()] }),
    ] {
        assert_eq!(predictions(&server.json(&body)), wanted);
    }
    let lines = format!("{}\n{}\n", json!(rows[0].to_vec()), json!({"features": rows[1].to_vec()}));
    let answer = server.post("/invocations", &[("Content-Type", "application/jsonlines")], lines.as_bytes());
    assert_eq!(answer.body.lines().count(), 2);
    // The answer in another form than the question.
    let headers = [("Content-Type", "text/csv; charset=utf-8"), ("Accept", "application/json")];
    let answer = server.post("/invocations", &headers, line(&rows[0]).as_bytes());
    assert_eq!(predictions(&answer), wanted[..1]);
}

#[test]
fn a_bad_body_is_refused_with_its_reason() {
    let (_root, server) = served();
    let good = line(&row(1));
    server.csv("").refuses(400, &["no rows"]);
    server.csv("1,2,3").refuses(400, &["row 1 has 3 numbers; the model reads 31, from `close_scaled` to `roc_16`"]);
    server.csv(&format!("{good}\n{good},1\n")).refuses(400, &["row 2 has 32 numbers"]);
    server.csv(&format!("{good}\n{}\n", good.replacen("0.31", "x<y", 1))).refuses(400, &["row 2, number", "`x<y`"]);
    server.csv(&good.replacen("0.31", "NaN", 1)).refuses(400, &["`NaN` is not a finite number"]);
    server.csv(&good.replacen("0.31", "1e99", 1)).refuses(400, &["`1e99` is not a finite number"]);
    server.csv(&good.replacen("0.31", "", 1)).refuses(400, &["`` is not a finite number"]);
    server.csv(&format!("sym,close\n{good}")).refuses(400, &["column 1 is `sym`, and the model reads `close_scaled`"]);
    server.csv(&good.replace(',', ";")).refuses(400, &["row 1, number 1"]);
    server.post("/invocations", &[("Content-Type", "text/csv")], b"\xff\xfe1").refuses(400, &["UTF-8"]);
    let of = |body: &str| server.post("/invocations", &[("Content-Type", "application/json")], body.as_bytes());
    of("{").refuses(400, &["the body is not JSON"]);
    of("{}").refuses(400, &["the body is nothing; send {\"instances\": [...]}"]);
    of("[]").refuses(400, &["no rows"]);
    of("[5]").refuses(400, &["instance 1 is a number; a row is a list of numbers"]);
    of("[[1, \"2\"]]").refuses(400, &["instance 1, number 2"]);
    of("[[1e999]]").refuses(400, &["is not JSON"]);
    of("{\"features_fingerprint\": \"abc\", \"instances\": []}").refuses(400, &["fingerprint", "abc"]);
    let deep = "[".repeat(100_000);
    of(&deep).refuses(400, &["is not JSON"]);
    server.post("/invocations", &[("Content-Type", "image/png")], b"x").refuses(415, &["image/png", "text/csv"]);
    let headers = [("Content-Type", "text/csv"), ("Accept", "image/png")];
    server.post("/invocations", &headers, good.as_bytes()).refuses(406, &["image/png"]);
    assert_eq!((server.get("/invocations").status, server.get("/nothing").status), (405, 404));
    // And it still works.
    assert_eq!(server.csv(&good).status, 200);
}

#[test]
fn a_payload_of_six_megabytes_is_predicted_and_a_larger_one_refused() {
    let (_root, server) = served();
    let line = line(&row(3)) + "\n";
    let count = (6 << 20) / line.len();
    let answer = server.csv(&line.repeat(count));
    assert_eq!((answer.status, answer.body.lines().count()), (200, count));
    server.csv(&line.repeat(count + 1)).refuses(413, &["larger than 6291456 bytes"]);
    // Without a length, too.
    let mut stream = server.connect();
    let chunk = line.repeat(1 << 13);
    write!(stream, "POST /invocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    for _ in 0..=(7 << 20) / chunk.len() {
        if write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    Answer::read(stream).refuses(413, &["larger than"]);
}

#[test]
fn two_hundred_at_once_each_get_their_own_answer() {
    let (_root, server) = served();
    let mut model = forecast();
    let wanted: Vec<String> = (0..200)
        .map(|seed| {
            let [long, short] = model.probabilities(&row(seed)).unwrap();
            format!("{long},{short}\n").repeat(50)
        })
        .collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..200)
            .map(|seed| {
                let server = &server;
                scope.spawn(move || server.csv(&(line(&row(seed)) + "\n").repeat(50)))
            })
            .collect();
        for (thread, wanted) in threads.into_iter().zip(&wanted) {
            let answer = thread.join().unwrap();
            assert_eq!((answer.status, &answer.body), (200, wanted));
        }
    });
}

#[test]
fn a_client_of_the_runtime_api_is_answered_as_that_api_does() {
    let (_root, server) = served();
    let path = "/endpoints/eod/invocations";
    let good = server.post(path, &[("Content-Type", "text/csv")], line(&row(1)).as_bytes());
    assert_eq!(good.status, 200);
    assert!(good.head.contains("x-amzn-invoked-production-variant: alltraffic"));
    let bad = server.post(path, &[("Content-Type", "text/csv")], b"1,2");
    assert_eq!(bad.status, 424);
    assert!(bad.head.contains("x-amzn-errortype: modelerror"), "{}", bad.head);
    assert_eq!(bad.json()["OriginalStatusCode"], 400);
    assert!(bad.json()["OriginalMessage"].as_str().unwrap().contains("row 1 has 2 numbers"));
}

#[test]
fn told_to_stop_it_lets_those_finish_who_are_inside() {
    let (_root, mut server) = served();
    let body = line(&row(1));
    let mut stream = server.connect();
    stream.write_all(head("/invocations", &[("Content-Type", "text/csv")], body.len()).as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..10]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    signal(&server.child, "TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.child.try_wait().unwrap().is_none(), "somebody is inside");
    assert!(TcpStream::connect(server.address).is_err(), "nobody else is let in");
    stream.write_all(&body.as_bytes()[10..]).unwrap();
    assert_eq!(Answer::read(stream).status, 200);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_model_that_cannot_be_used_is_not_served() {
    let root = Root::with_model();
    let weights = root.path("model/weights.safetensors");
    let refuses = |root: &Root, words: &str| {
        let done = root.command("serve").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && said.contains(words), "{said}");
    };
    let mut bytes = fs::read(&weights).unwrap();
    bytes[500] ^= 1;
    fs::write(&weights, bytes).unwrap();
    refuses(&root, "SHA-256 differs");
    fs::remove_file(&weights).unwrap();
    refuses(&root, "cannot read the model's");
    let card = root.path("model/model.json");
    let mut changed: Value = serde_json::from_slice(&fs::read(&card).unwrap()).unwrap();
    changed["features_fingerprint"] = "0".into();
    fs::write(&card, changed.to_string()).unwrap();
    refuses(&root, "train it again");
    fs::write(&card, "{").unwrap();
    refuses(&root, "model.json is not a model's");
    let taken = served();
    let done = Root::with_model().command("serve").env("ALGOTRADING_BIND", taken.1.address.to_string()).output();
    assert!(String::from_utf8(done.unwrap().stderr).unwrap().contains("cannot listen on"));
    let done = Root::with_model().command("serve").env("SAGEMAKER_MAX_PAYLOAD_IN_MB", "much").output().unwrap();
    assert!(String::from_utf8(done.stderr).unwrap().contains("whole number above 0"));
}
