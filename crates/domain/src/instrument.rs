//! What is traded.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Position of an instrument in the list of one run: small and dense, so that state is an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstrumentId(pub u32);

impl InstrumentId {
    /// As an array index.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A text is not a symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a symbol (1 to 24 letters, digits or . - ^ / = _ & $ +)")]
pub struct SymbolError(String);

/// A ticker as the vendor prints it, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Symbol(String);

impl Symbol {
    /// Checks and upper-cases a ticker.
    ///
    /// # Errors
    /// [`SymbolError`] when it is empty, too long or has other characters.
    pub fn new(text: &str) -> Result<Self, SymbolError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-^/=_&$+".contains(&byte);
        if text.is_empty() || text.len() > 24 || !text.bytes().all(allowed) {
            return Err(SymbolError(text.chars().take(40).collect()));
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    /// The ticker.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
