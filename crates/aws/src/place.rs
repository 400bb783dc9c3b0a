//! A prefix of a bucket: `s3://bucket/prefix`.

use std::fmt;

use ports::{Answer, CallError, Kind};

/// A prefix of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with, without a slash at either end; empty for the whole bucket.
    pub prefix: String,
}

impl Place {
    /// Reads `s3://bucket/prefix`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(url: &str) -> Answer<Self> {
        let (bucket, prefix) = match url.strip_prefix("s3://") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", ""),
        };
        if bucket.is_empty() {
            return Err(CallError {
                service: "S3",
                call: "address",
                resource: format!("`{url}`"),
                kind: Kind::Invalid,
                message: "an address looks like `s3://bucket/prefix`".into(),
            });
        }
        Ok(Self { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
    }

    /// The key of a path below it.
    #[must_use]
    pub fn key(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    /// The path of a key below it.
    #[must_use]
    pub fn path<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() { Some(key) } else { key.strip_prefix(&self.prefix)?.strip_prefix('/') }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_gives_keys_and_takes_them_back() {
        let place = Place::parse("s3://b/raw/vendor/").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("b", "raw/vendor"));
        assert_eq!(place.key("a.csv"), "raw/vendor/a.csv");
        assert_eq!(place.path("raw/vendor/a.csv"), Some("a.csv"));
        assert_eq!(place.path("raw/vendors/a.csv"), None);
        for whole in ["s3://b", "s3://b/"] {
            let place = Place::parse(whole).unwrap();
            assert_eq!((place.key("a").as_str(), place.path("a")), ("a", Some("a")));
        }
        for bad in ["", "s3://", "s3:///a", "b/a", "/tmp"] {
            assert_eq!(Place::parse(bad).unwrap_err().kind, Kind::Invalid, "{bad}");
        }
    }
}
