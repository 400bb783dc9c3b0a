//! The ports on nothing but memory and folders: what a laptop uses, and what tests hold the others against.

mod folder;
mod memory;

pub use folder::{FolderExchange, FolderObjects, FolderRecords};
pub use memory::{KeptArchive, KeptFigures, KeptLines, KeptNotices, KeptQueue, KeptStream};
