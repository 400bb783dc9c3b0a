//! Figures that are watched. On AWS: CloudWatch.

use crate::Answer;

/// Of what a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A fraction or a ratio, or money.
    None,
    /// Percent.
    Percent,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// How much; finite.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// What it belongs to: pairs such as `strategy`, `sma`.
    pub dimensions: Vec<(&'static str, String)>,
}

/// Figures.
pub trait Figures {
    /// Publishes some.
    ///
    /// # Errors
    /// They cannot be published.
    fn put(&self, figures: &[Figure]) -> Answer<()>;
}
