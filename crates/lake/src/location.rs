//! Where a lake lies: a folder or `s3://bucket/prefix`, both as one object store whose root is the lake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::error::one_line;

/// No store can be opened at a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Not a folder nor an S3 address.
    #[error("`{location}` cannot hold a lake ({reason}); give a folder or s3://bucket/prefix")]
    NoPlace {
        /// As given.
        location: String,
        /// Why not.
        reason: String,
    },
    /// The folder does not exist.
    #[error("there is no lake at `{location}`; import some first: `algotrading data import FILE --lake {location}`")]
    Missing {
        /// As given.
        location: String,
    },
    /// The store could not be set up.
    #[error("cannot open the lake at `{location}`: {reason}; check the address and AWS_* settings")]
    Unreadable {
        /// As given.
        location: String,
        /// In one line.
        reason: String,
    },
}

/// A location, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// A folder.
    Folder(&'a Path),
    /// A bucket and a prefix without slash at its end.
    S3 {
        /// Name of the bucket.
        bucket: &'a str,
        /// Empty for the whole bucket.
        prefix: &'a str,
    },
}

/// Takes a location apart.
///
/// # Errors
/// Another scheme, no bucket, or a file.
pub fn parse(location: &str) -> Result<Address<'_>, LocationError> {
    let no_place = |reason: String| LocationError::NoPlace { location: location.to_owned(), reason };
    match location.split_once("://") {
        Some(("s3", rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(no_place("the bucket's name is missing".to_owned()));
            }
            Ok(Address::S3 { bucket, prefix: prefix.trim_end_matches('/') })
        }
        Some((scheme, _)) => Err(no_place(format!("`{scheme}://` is not supported"))),
        None if location.is_empty() => Err(no_place("the name is empty".to_owned())),
        None if Path::new(location).is_file() => Err(no_place("it is a file".to_owned())),
        None => Ok(Address::Folder(Path::new(location))),
    }
}

/// Opens the store whose root is the lake; a folder must exist.
///
/// S3 is configured by the usual `AWS_*` variables: region, credentials (or a container's or instance's role) and
/// `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3`; an `http://` endpoint is taken as meant. Its calls need a tokio
/// runtime around them.
///
/// # Errors
/// The location is no place for a lake, the folder is missing, or the settings do not fit.
pub fn store(location: &str) -> Result<Arc<dyn ObjectStore>, LocationError> {
    let unreadable = |error: object_store::Error| LocationError::Unreadable {
        location: location.to_owned(),
        reason: one_line(&error.to_string()),
    };
    match parse(location)? {
        Address::Folder(path) if !path.exists() => Err(LocationError::Missing { location: location.to_owned() }),
        Address::Folder(path) => {
            LocalFileSystem::new_with_prefix(path).map(|store| Arc::new(store) as _).map_err(unreadable)
        }
        Address::S3 { bucket, prefix } => s3(bucket, prefix).map_err(unreadable),
    }
}

fn s3(bucket: &str, prefix: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
    let mut client = ClientOptions::new().with_connect_timeout(Duration::from_secs(5));
    if let Some(endpoint) = endpoint {
        client = client.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(endpoint);
    }
    // A person waits for the answer: a store that is not there is reported in seconds, not minutes.
    let store = builder
        .with_retry(RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() })
        .with_client_options(client)
        .build()?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_says_to_import_first() {
        let error = store("/no/such/lake").err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("import some first")));
    }

    #[test]
    fn an_unknown_scheme_and_a_missing_bucket_are_refused() {
        for location in ["gs://bucket/x", "s3://", "s3:///prefix", ""] {
            assert!(matches!(store(location), Err(LocationError::NoPlace { .. })), "{location}");
        }
        assert_eq!(parse("s3://b/p/").unwrap(), Address::S3 { bucket: "b", prefix: "p" });
    }
}
