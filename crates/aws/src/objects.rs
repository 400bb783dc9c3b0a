//! Files in S3.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use ports::objects::{Object, Objects};
use ports::{Answer, CallError, Kind};

use crate::calls::Calls;
use crate::error;
use crate::place::Place;

/// The files below a prefix of a bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    calls: Calls,
    place: Place,
}

impl S3 {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, place: Place) -> Self {
        Self { client: Client::new(config), calls, place }
    }

    fn on_disk(&self, path: &Path, failure: &io::Error) -> CallError {
        let kind = match failure.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Service,
        };
        self.calls.error("GetObject", path.display(), kind, failure.to_string())
    }

    /// Writes the body as it comes in; gives its length.
    fn write(&self, from: &str, mut body: ByteStream, to: &Path) -> Answer<u64> {
        let mut file = File::create(to).map_err(|failure| self.on_disk(to, &failure))?;
        let mut written = 0;
        self.calls.wait(async {
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|failure| {
                    // The connection broke, the rest never came, or the checksum is wrong.
                    self.calls.error("GetObject", from, Kind::Service, error::chain(&failure))
                })?;
                file.write_all(&piece).map_err(|failure| self.on_disk(to, &failure))?;
                written += piece.len() as u64;
            }
            Ok(written)
        })
    }
}

/// Where a file lies until it is whole.
fn part_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    name.into()
}

impl Objects for S3 {
    fn list(&self, folder: &str) -> Answer<Vec<Object>> {
        let folder = folder.trim_matches('/');
        // With the slash: `a` is no folder of `ab/c`.
        let start = match (folder, self.place.prefix.as_str()) {
            ("", "") => String::new(),
            ("", prefix) => format!("{prefix}/"),
            (folder, _) => format!("{}/", self.place.key(folder)),
        };
        let resource = format!("s3://{}/{start}", self.place.bucket);
        let pages = self.client.list_objects_v2().bucket(&self.place.bucket).prefix(start).into_paginator();
        let pages: Vec<_> =
            self.calls.ask("ListObjectsV2", resource, async { pages.send().collect::<Result<_, _>>().await })?;
        let mut found = Vec::new();
        for object in pages.iter().flat_map(|page| page.contents()) {
            let bytes = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            match object.key().and_then(|key| self.place.path(key)) {
                Some(path) if !(bytes == 0 && path.ends_with('/')) => found.push(Object { path: path.into(), bytes }),
                _ => {}
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn download(&self, path: &str, to: &Path) -> Answer<()> {
        let key = self.place.key(path);
        let from = format!("s3://{}/{key}", self.place.bucket);
        let answer =
            self.calls.ask("GetObject", &from, self.client.get_object().bucket(&self.place.bucket).key(key).send())?;
        let (part, length) = (part_of(to), answer.content_length.and_then(|length| u64::try_from(length).ok()));
        let copied = self.write(&from, answer.body, &part).and_then(|written| {
            if length.is_some_and(|length| length != written) {
                let message = format!("{written} bytes came of {}", length.unwrap_or_default());
                return Err(self.calls.error("GetObject", &from, Kind::Service, message));
            }
            fs::rename(&part, to).map_err(|failure| self.on_disk(to, &failure))
        });
        if copied.is_err() {
            let _ = fs::remove_file(&part);
        }
        copied
    }
}
