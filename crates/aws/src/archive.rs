//! Files in a bucket with Object Lock: its own rule keeps each from the moment it is written.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use ports::archive::Archive;
use ports::{Answer, Kind};

use crate::calls::Calls;
use crate::place::Place;

/// Files below a place.
#[derive(Debug, Clone)]
pub struct LockedBucket {
    client: Client,
    calls: Calls,
    place: Place,
}

impl LockedBucket {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, place: Place) -> Self {
        Self { client: Client::new(config), calls, place }
    }
}

impl Archive for LockedBucket {
    /// The checksum that such a bucket wants comes from the SDK.
    fn keep(&self, path: &str, bytes: Vec<u8>) -> Answer<()> {
        let key = self.place.key(path);
        let request = self
            .client
            .put_object()
            .bucket(&self.place.bucket)
            .key(&key)
            .if_none_match("*")
            .body(ByteStream::from(bytes));
        match self.calls.ask("PutObject", &key, request.send()) {
            Err(error) if error.kind == Kind::Conflict => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}
