//! One line of JSON for each thing that happened.

use serde_json::{Map, Value};

/// Fields of an event or answer that say what it is about; everything else stays out of the log.
const ABOUT: [&str; 9] = ["session", "run", "strategy", "query", "done", "task", "oversized", "read", "quarantined"];

/// A line that is being put together.
pub(crate) struct Line(Map<String, Value>);

impl Line {
    pub(crate) fn new(level: &str, message: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("level".to_owned(), level.into());
        fields.insert("message".to_owned(), message.into());
        Self(fields)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// What an event or an answer is about.
    pub(crate) fn about(mut self, value: &Value) -> Self {
        for name in ABOUT {
            if let Some(value) = value.get(name).filter(|value| !value.is_object() && !value.is_array()) {
                self.0.insert(name.to_owned(), value.clone());
            }
        }
        self
    }

    pub(crate) fn write(self) {
        println!("{}", Value::Object(self.0));
    }
}
