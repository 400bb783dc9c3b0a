//! Notices and figures that are kept until somebody reads them.

use std::sync::{Mutex, PoisonError};

use crate::Answer;
use crate::error::{CallError, Kind};
use crate::figures::{Figure, Figures};
use crate::notices::Notices;

/// Notices, kept.
#[derive(Debug, Default)]
pub struct KeptNotices(Mutex<Vec<(String, String)>>);

impl KeptNotices {
    /// Subject and text of each notice, taken out.
    #[must_use]
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notices for KeptNotices {
    fn publish(&self, subject: &str, text: &str) -> Answer<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((subject.to_owned(), text.to_owned()));
        Ok(())
    }
}

/// Figures, kept.
#[derive(Debug, Default)]
pub struct KeptFigures(Mutex<Vec<Figure>>);

impl KeptFigures {
    /// All figures, taken out.
    #[must_use]
    pub fn take(&self) -> Vec<Figure> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Figures for KeptFigures {
    fn put(&self, figures: &[Figure]) -> Answer<()> {
        if let Some(bad) = figures.iter().find(|figure| !figure.value.is_finite()) {
            return Err(CallError {
                service: "figures",
                call: "put",
                resource: bad.name.to_owned(),
                kind: Kind::Invalid,
                message: format!("{} is no figure", bad.value),
            });
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(figures);
        Ok(())
    }
}
