use std::fs;

use ports::Kind;
use ports::objects::{Object, Objects};

use crate::common::{Wire, said};

fn page(next: Option<&str>, keys: &[(&str, u64)]) -> String {
    let contents: String =
        keys.iter().map(|(key, size)| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>")).collect();
    let next = next.map_or_else(String::new, |token| {
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
    });
    format!("<ListBucketResult>{next}{contents}</ListBucketResult>")
}

#[test]
fn a_list_has_the_files_of_all_pages_and_no_folders() {
    let wire = Wire::new([
        said(200, page(Some("more"), &[("raw/ds/r/", 0), ("raw/ds/r/b.csv", 3)])),
        said(200, page(None, &[("raw/ds/r/a.csv", 2), ("raw/ds/r/empty.csv", 0)])),
    ]);
    let told = wire.aws.objects("s3://landing/raw").unwrap().list("ds/r").unwrap();
    let object = |path: &str, bytes| Object { path: path.into(), bytes };
    assert_eq!(told, [object("ds/r/a.csv", 2), object("ds/r/b.csv", 3), object("ds/r/empty.csv", 0)]);
    let sent = wire.sent();
    assert!(sent[0].uri.starts_with("https://landing.s3.eu-central-1.amazonaws.com/?list-type=2"), "{sent:?}");
    assert!(sent[0].uri.contains("prefix=raw%2Fds%2Fr%2F"), "a folder ends with a slash: {sent:?}");
    assert!(sent[1].uri.contains("continuation-token=more"), "{sent:?}");
}

#[test]
fn the_whole_place_may_be_listed() {
    for (place, prefix) in [("s3://landing/raw", "prefix=raw%2F"), ("s3://landing", "prefix=")] {
        let wire = Wire::new([said(200, page(None, &[("raw/a.csv", 2)]))]);
        assert_eq!(wire.aws.objects(place).unwrap().list("").unwrap().len(), 1);
        assert!(wire.sent()[0].uri.ends_with(prefix), "{:?}", wire.sent());
    }
}

#[test]
fn a_download_is_put_in_place_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a.csv");
    fs::write(&to, "earlier").unwrap();
    let wire = Wire::new([said(200, "date,close\n").with("content-length", "11")]);
    wire.aws.objects("s3://landing/raw").unwrap().download("ds/r/a b.csv", &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "date,close\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    assert!(wire.sent()[0].uri.contains("/raw/ds/r/a%20b.csv"), "{:?}", wire.sent());
}

#[test]
fn a_download_cut_short_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new([said(200, "date,cl").with("content-length", "11")]);
    let error = wire.aws.objects("s3://landing").unwrap().download("a.csv", &folder.path().join("a.csv")).unwrap_err();
    assert_eq!((error.kind, error.call), (Kind::Service, "GetObject"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_download_with_a_wrong_checksum_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new([said(200, "date,close\n").with("x-amz-checksum-crc32", "AAAAAA==")]);
    let error = wire.aws.objects("s3://landing").unwrap().download("a.csv", &folder.path().join("a.csv")).unwrap_err();
    assert_eq!(error.kind, Kind::Service, "{error}");
    assert!(error.message.contains("checksum"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_download_says_whether_the_file_or_the_folder_is_missing() {
    let missing = said(404, "<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>");
    let wire = Wire::new([missing]);
    let folder = tempfile::tempdir().unwrap();
    let error = wire.aws.objects("s3://landing").unwrap().download("a.csv", &folder.path().join("a.csv")).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert_eq!(error.resource, "`s3://landing/a.csv`");

    let wire = Wire::new([said(200, "x")]);
    let to = folder.path().join("no such folder/a.csv");
    let error = wire.aws.objects("s3://landing").unwrap().download("a.csv", &to).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.resource.contains("no such folder"), "{error}");
}

#[test]
fn a_missing_bucket_is_not_an_empty_one() {
    let wire = Wire::new([said(404, "<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>")]);
    assert_eq!(wire.aws.objects("s3://landing").unwrap().list("").unwrap_err().kind, Kind::NotFound);
}
