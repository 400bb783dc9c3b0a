//! The models of a lake.

use anyhow::{Context, Result};
use lake::{Lake, LakeError};
use models::Model;
use models::foreign::Opener;
use models::registry::{Entry, Registry, Store};

/// A lake as a place for models.
#[derive(Debug)]
pub struct Shelf<'a>(pub &'a Lake);

impl Store for Shelf<'_> {
    type Error = LakeError;

    fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        self.0.list(folder)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, LakeError> {
        Ok(self.0.read(path)?.map(|bytes| bytes.to_vec()))
    }

    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), LakeError> {
        self.0.write(files)
    }
}

/// The model that `name` or `name@version` means, ready to predict.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn model(lake: &Lake, reference: &str) -> Result<(Entry, Model)> {
    let shelf = Shelf(lake);
    let registry = Registry(&shelf);
    let entry = registry.find(reference)?;
    let files = registry.files(&entry)?;
    let model = Model::new(entry.card.clone(), &files, opener())
        .with_context(|| format!("model {}@{}", entry.name, entry.version))?;
    Ok((entry, model))
}

/// Who opens the files of other programs.
#[must_use]
pub fn opener() -> &'static dyn Opener {
    #[cfg(feature = "onnx")]
    return &onnx::Runtime;
    #[cfg(not(feature = "onnx"))]
    return &models::foreign::Nobody;
}
