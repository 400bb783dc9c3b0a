//! A lake in S3, spoken over real HTTP: a small server of our own answers listings and ranged reads
//! from a folder.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::sample;

/// Serves `folder` as the bucket `bucket` under `prefix/`.
fn serve(folder: PathBuf) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let signed = Arc::new(AtomicBool::new(true));
    let all_signed = Arc::clone(&signed);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (folder, signed) = (folder.clone(), Arc::clone(&all_signed));
            std::thread::spawn(move || answer(stream, &folder, &signed));
        }
    });
    (address, signed)
}

fn answer(stream: TcpStream, folder: &Path, signed: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        reader.read_line(&mut request).ok()?;
        let target = request.split(' ').nth(1)?.to_owned();
        let (mut range, mut authorized) = (None, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim().to_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("range: bytes=") {
                range = Some(value.to_owned());
            }
            authorized |= header.starts_with("authorization: aws4-hmac-sha256 credential=test-key/");
        }
        if !authorized {
            signed.store(false, Ordering::Relaxed);
        }
        let head = request.starts_with("HEAD");
        let (status, extra, body) = respond(&target, range.as_deref(), folder);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nLast-Modified: Tue, 03 Jan 2012 00:00:00 GMT\r\nETag: \"x\"\r\n{extra}\r\n"
        )
        .ok()?;
        if !head {
            stream.write_all(&body).ok()?;
        }
    }
}

fn respond(target: &str, range: Option<&str>, folder: &Path) -> (&'static str, String, Vec<u8>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if query.contains("list-type=2") {
        let prefix = query
            .split('&')
            .find_map(|part| part.strip_prefix("prefix="))
            .unwrap_or_default()
            .replace("%2F", "/")
            .replace("%3D", "=");
        let mut items = String::new();
        for file in files(folder) {
            let key = format!("some/prefix/{}", file.strip_prefix(folder).unwrap().display());
            if key.starts_with(&prefix) {
                let size = fs::metadata(&file).unwrap().len();
                items.push_str(&format!(
                    "<Contents><Key>{key}</Key><LastModified>2012-01-03T00:00:00.000Z</LastModified><ETag>\"x\"</ETag><Size>{size}</Size></Contents>"
                ));
            }
        }
        let body = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        );
        return ("200 OK", String::new(), body.into_bytes());
    }
    let key = path.replace("%3D", "=");
    let Some(bytes) = key.strip_prefix("/bucket/some/prefix/").and_then(|key| fs::read(folder.join(key)).ok()) else {
        return ("404 Not Found", String::new(), vec![]);
    };
    let total = bytes.len();
    match range {
        None => ("200 OK", String::new(), bytes),
        Some(range) => {
            let (from, to) = range.split_once('-').unwrap();
            let (from, to) = match from.parse::<usize>() {
                Ok(from) => (from, to.parse::<usize>().map_or(total, |to| (to + 1).min(total))),
                Err(_) => (total - to.parse::<usize>().unwrap().min(total), total),
            };
            let extra = format!("Content-Range: bytes {from}-{}/{total}\r\n", to - 1);
            ("206 Partial Content", extra, bytes[from..to].to_vec())
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn ask(endpoint: &str, lake: &str, sql: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_algotrading-sql"))
        .args([sql, "--lake", lake, "--format", "csv"])
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test-key")
        .env("AWS_SECRET_ACCESS_KEY", "test-secret")
        .env_remove("AWS_ENDPOINT_URL_S3")
        .env_remove("AWS_SESSION_TOKEN")
        .output()
        .unwrap()
}

#[test]
fn a_lake_in_s3_answers_as_a_folder_does() {
    let lake = sample();
    let (endpoint, signed) = serve(lake.path().to_owned());
    let sql = "SELECT sym, dt, close FROM hist_data_daily_adjusted ORDER BY sym, dt";
    for address in ["s3://bucket/some/prefix", "s3://bucket/some/prefix/"] {
        let output = ask(&endpoint, address, sql);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), support::csv(lake.path(), sql));
    }
    assert!(signed.load(Ordering::Relaxed), "every request is signed with the key of the environment");
}

#[test]
fn an_empty_prefix_says_to_import_first_and_a_dead_endpoint_is_one_line() {
    let lake = sample();
    let (endpoint, _) = serve(lake.path().to_owned());
    let output = ask(&endpoint, "s3://bucket/other", "SELECT 1");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("--lake s3://bucket/other") && text.lines().count() == 1, "{text}");

    let output = ask("http://127.0.0.1:1", "s3://bucket/some/prefix", "SELECT 1");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("cannot read the lake `s3://bucket/some/prefix`") && text.lines().count() == 1, "{text}");
}

#[test]
fn a_broken_file_in_s3_is_named_with_its_address() {
    let lake = sample();
    let victim = lake.path().join("bars_daily/year=2012/first.parquet");
    let bytes = fs::read(&victim).unwrap();
    fs::write(&victim, &bytes[..bytes.len() / 2]).unwrap();
    let (endpoint, _) = serve(lake.path().to_owned());
    let output = ask(&endpoint, "s3://bucket/some/prefix", "SELECT * FROM hist_data_daily");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("`s3://bucket/some/prefix/bars_daily/year=2012/first.parquet`"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}
