//! Credentials. On AWS: Secrets Manager.

use std::collections::BTreeMap;
use std::fmt;

use crate::Answer;

/// A text that nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever presents it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The fields of a secret that is a JSON object of texts, such as `{"key_id": …, "secret_key": …}`; none if it is
    /// something else.
    #[must_use]
    pub fn fields(&self) -> Option<BTreeMap<String, Secret>> {
        let fields: BTreeMap<String, String> = serde_json::from_str(&self.0).ok()?;
        Some(fields.into_iter().map(|(name, text)| (name, Self(text))).collect())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Credentials.
pub trait Secrets {
    /// The secret of a name, as it is now.
    ///
    /// # Errors
    /// There is none of that name, or the role may not read it.
    fn secret(&self, name: &str) -> Answer<Secret>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_it() {
        let secret = Secret::new(r#"{"key_id":"PK1","secret_key":"hush"}"#);
        let fields = secret.fields().unwrap();
        assert_eq!(fields["secret_key"].expose(), "hush");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{fields:?}"), r#"{"key_id": ***, "secret_key": ***}"#);
        assert_eq!(Secret::new("plain").fields(), None);
    }
}
