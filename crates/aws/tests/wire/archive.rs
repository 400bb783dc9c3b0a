use ports::Kind;
use ports::archive::Archive;

use crate::common::{Wire, said};

#[test]
fn a_file_is_written_once_with_a_checksum_and_one_that_is_there_stays() {
    let there = "<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>";
    let wire = Wire::new([said(200, ""), said(412, there)]);
    let archive = wire.aws.archive("s3://archive/journal").unwrap();
    archive.keep("sma/run/000-100.jsonl", b"{}".to_vec()).unwrap();
    archive.keep("sma/run/000-100.jsonl", b"{}".to_vec()).unwrap();
    let sent = &wire.sent()[0];
    assert!(sent.method == "PUT" && sent.uri.contains("journal/sma/run/000-100.jsonl"), "{sent:?}");
    assert_eq!(sent.header("if-none-match"), Some("*"));
    let checksum = sent.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum-") || name == "x-amz-trailer");
    assert!(checksum, "a bucket with Object Lock wants one: {sent:?}");
}

#[test]
fn a_bucket_that_may_not_be_written_says_so() {
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let wire = Wire::new([said(403, denied)]);
    let error = wire.aws.archive("s3://archive/journal").unwrap().keep("a", Vec::new()).unwrap_err();
    assert_eq!((error.call, error.kind), ("PutObject", Kind::Denied));
    assert!(wire.aws.archive("archive").is_err());
}
