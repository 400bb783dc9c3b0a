//! The files of a lake, in a folder or in an object store: listed, opened, read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;

use crate::error::{LakeError, one_line};

/// Where the files are.
#[derive(Debug, Clone)]
pub(crate) enum Files {
    /// In a folder, which need not exist.
    Folder(PathBuf),
    /// In a store whose root is the lake.
    Store(Arc<dyn ObjectStore>, String),
}

/// Which part of a Parquet file is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Names of columns; all when empty.
    pub(crate) columns: &'a [&'a str],
    /// Only row groups whose `sym` may lie between these.
    pub(crate) symbols: Option<(&'a str, &'a str)>,
}

impl Files {
    pub(crate) fn location(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Store(_, location) => location.clone(),
        }
    }

    fn failed(&self, what: &'static str, error: &object_store::Error) -> LakeError {
        LakeError::Store { what, location: self.location(), reason: one_line(&error.to_string()) }
    }

    /// Paths below a folder of the lake, relative to the lake, sorted.
    pub(crate) fn list(&self, under: &str) -> Result<Vec<String>, LakeError> {
        let mut found = Vec::new();
        match self {
            Self::Folder(root) => walk(root, &root.join(under), &mut found)?,
            Self::Store(store, _) => {
                let prefix = object_store::path::Path::from(under);
                let objects: Vec<_> =
                    block_on(store.list(Some(&prefix)).try_collect()).map_err(|error| self.failed("list", &error))?;
                found.extend(objects.into_iter().map(|object: object_store::ObjectMeta| object.location.to_string()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The Parquet files below a folder.
    pub(crate) fn parquet(&self, under: &str) -> Result<Vec<String>, LakeError> {
        let mut found = self.list(under)?;
        found.retain(|path| path.ends_with(".parquet"));
        Ok(found)
    }

    /// All bytes of a file; `None` when there is none.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        match self {
            Self::Folder(root) => match std::fs::read(root.join(path)) {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(LakeError::Read { path: root.join(path), source }),
            },
            Self::Store(store, _) => {
                match block_on(async { store.get(&object_store::path::Path::from(path)).await?.bytes().await }) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(self.failed("read", &error)),
                }
            }
        }
    }

    /// Whether a file is there.
    pub(crate) fn exists(&self, path: &str) -> Result<bool, LakeError> {
        match self {
            Self::Folder(root) => Ok(root.join(path).exists()),
            Self::Store(store, _) => match block_on(store.head(&object_store::path::Path::from(path))) {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(self.failed("read", &error)),
            },
        }
    }

    /// Opens a Parquet file for reading in batches.
    pub(crate) fn open(&self, path: &str, wanted: Wanted<'_>) -> Result<ParquetRecordBatchReader, LakeError> {
        match self {
            Self::Folder(root) => {
                let file =
                    File::open(root.join(path)).map_err(|source| LakeError::Read { path: root.join(path), source })?;
                reader(path, file, wanted)
            }
            Self::Store(..) => {
                let bytes = self.read(path)?.ok_or_else(|| LakeError::corrupt(path, "it vanished"))?;
                reader(path, bytes, wanted)
            }
        }
    }
}

fn reader<R: ChunkReader + 'static>(
    path: &str,
    input: R,
    wanted: Wanted<'_>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    let failed = |error| LakeError::corrupt(path, error);
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(failed)?.with_batch_size(8 << 10);
    if !wanted.columns.is_empty() {
        let schema = builder.parquet_schema();
        let has = |name: &&str| schema.columns().iter().any(|column| column.name() == *name);
        if let Some(missing) = wanted.columns.iter().find(|name| !has(name)) {
            return Err(LakeError::corrupt(path, format!("it has no column `{missing}`")));
        }
        let mask = ProjectionMask::columns(schema, wanted.columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    if let Some((first, last)) = wanted.symbols {
        let keep = |group: &parquet::file::metadata::RowGroupMetaData| {
            let column = group.columns().iter().find(|column| column.column_descr().name() == "sym");
            match column.and_then(|column| column.statistics()) {
                Some(Statistics::ByteArray(edges)) => {
                    edges.min_bytes_opt().is_none_or(|min| min <= last.as_bytes())
                        && edges.max_bytes_opt().is_none_or(|max| max >= first.as_bytes())
                }
                _ => true,
            }
        };
        let groups = builder.metadata().row_groups();
        let kept: Vec<usize> = (0..groups.len()).filter(|at| keep(&groups[*at])).collect();
        builder = builder.with_row_groups(kept);
    }
    builder.build().map_err(failed)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) -> Result<(), LakeError> {
    let failed = |source| LakeError::Read { path: folder.into(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(root, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            found.push(parts.join("/"));
        }
    }
    Ok(())
}
