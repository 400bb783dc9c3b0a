use std::fs;

use ports::embedded::{
    FolderExchange, FolderObjects, FolderRecords, KeptArchive, KeptFigures, KeptLines, KeptNotices, KeptQueue,
    KeptStream,
};

use crate::conformance;

#[test]
fn records() {
    let folder = tempfile::tempdir().unwrap();
    conformance::records(&FolderRecords(folder.path().into()));
}

#[test]
fn objects() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in conformance::FILES {
        let file = folder.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    conformance::objects(&FolderObjects(folder.path().into()));
}

#[test]
fn exchange() {
    let folder = tempfile::tempdir().unwrap();
    let (products, landing) = (folder.path().join("products"), folder.path().join("landing"));
    for (revision, at) in [("r2", "2013-03-02T00:00:00Z"), ("r1", "2013-03-01T00:00:00Z")] {
        let place = products.join("ds").join(revision);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("bars.csv"), "date,close\n").unwrap();
        fs::write(place.join("revision.json"), format!(r#"{{"published_at":"{at}"}}"#)).unwrap();
    }
    conformance::exchange(&FolderExchange::new(products, landing.clone()), &FolderObjects(landing), "ds");
}

#[test]
fn notices() {
    let kept = KeptNotices::default();
    conformance::notices(&kept);
    assert_eq!(kept.take().len(), 4);
}

#[test]
fn figures() {
    let kept = KeptFigures::default();
    conformance::figures(&kept);
    assert_eq!(kept.take().len(), 5 + 1001);
}

#[test]
fn stream() {
    conformance::stream(&KeptStream::default());
}

#[test]
fn queue() {
    conformance::queue(&KeptQueue::default(), false);
}

#[test]
fn lines() {
    conformance::lines(&KeptLines::default());
}

#[test]
fn archive() {
    let kept = KeptArchive::default();
    conformance::archive(&kept, |path| kept.files()[path].clone());
}
