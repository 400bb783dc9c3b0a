//! Where a lake lies: a folder or `s3://bucket/prefix`, both as one object store whose root is the lake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::error::{SqlError, one_line};

/// Opens the store whose root is the lake.
///
/// S3 is configured by the usual `AWS_*` variables: region, credentials (or a container's or
/// instance's role) and `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3`; an `http://` endpoint is taken
/// as meant.
pub(crate) fn store(location: &str) -> Result<Arc<dyn ObjectStore>, SqlError> {
    match location.split_once("://") {
        Some(("s3", rest)) => s3(location, rest),
        Some((scheme, _)) => {
            Err(SqlError::Location { location: location.to_owned(), reason: format!("`{scheme}://` is not supported") })
        }
        None => folder(location),
    }
}

fn folder(location: &str) -> Result<Arc<dyn ObjectStore>, SqlError> {
    let path = Path::new(location);
    if path.is_file() {
        return Err(SqlError::Location { location: location.to_owned(), reason: "it is a file".to_owned() });
    }
    if !path.exists() {
        return Err(SqlError::Empty { location: location.to_owned() });
    }
    LocalFileSystem::new_with_prefix(path)
        .map(|store| Arc::new(store) as _)
        .map_err(|error| unreadable(location, &error))
}

fn s3(location: &str, rest: &str) -> Result<Arc<dyn ObjectStore>, SqlError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(SqlError::Location {
            location: location.to_owned(),
            reason: "the bucket's name is missing".to_owned(),
        });
    }
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
        .build()
        .map_err(|error| unreadable(location, &error))?;
    Ok(Arc::new(PrefixStore::new(store, prefix.trim_end_matches('/'))))
}

pub(crate) fn unreadable(location: &str, error: &object_store::Error) -> SqlError {
    SqlError::Unreadable { location: location.to_owned(), reason: one_line(&error.to_string()) }
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
        for location in ["gs://bucket/x", "s3://", "s3:///prefix"] {
            assert!(matches!(store(location), Err(SqlError::Location { .. })), "{location}");
        }
    }
}
