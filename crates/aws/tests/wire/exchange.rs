use ports::Kind;
use ports::exchange::{Exchange, JobState, Revision};
use serde_json::{Value, json as value};

use crate::common::{Wire, json, refused};

fn entry(id: &str, updated: &str, finalized: bool, revoked: bool) -> Value {
    value!({
        "Arn": format!("arn:aws:dataexchange:eu-central-1::data-sets/ds/revisions/{id}"), "DataSetId": "ds", "Id": id,
        "CreatedAt": "2013-01-01T00:00:00Z", "UpdatedAt": updated, "Finalized": finalized, "Revoked": revoked,
    })
}

#[test]
fn revisions_are_those_that_are_finished_from_all_pages_the_oldest_first() {
    let wire = Wire::new([
        json(value!({ "NextToken": "n1", "Revisions": [
            entry("third", "2013-03-02T00:00:00.5Z", true, false),
            entry("draft", "2013-03-01T00:00:00Z", false, false),
        ] })),
        json(value!({ "Revisions": [
            entry("second", "2013-03-02T00:00:00Z", true, false),
            entry("revoked", "2013-03-01T00:00:00Z", true, true),
            entry("first", "2013-02-28T21:00:00Z", true, false),
        ] })),
    ]);
    let told = wire.aws.exchange("s3://landing/raw").unwrap().revisions("ds").unwrap();
    let revision = |id: &str, at: &str| Revision { id: id.into(), published_at: at.into() };
    assert_eq!(
        told,
        [
            revision("first", "2013-02-28T21:00:00Z"),
            revision("second", "2013-03-02T00:00:00Z"),
            revision("third", "2013-03-02T00:00:00.5Z"),
        ]
    );
    let sent = wire.sent();
    assert_eq!(sent.len(), 2);
    assert!(sent[0].uri.contains("dataexchange.eu-central-1.amazonaws.com/v1/data-sets/ds/revisions"), "{sent:?}");
    assert!(sent[1].uri.contains("nextToken=n1"), "{sent:?}");
    assert!(sent[0].header("authorization").unwrap().contains("Credential="), "{sent:?}");
}

#[test]
fn an_export_names_where_each_asset_lands() {
    for (place, pattern) in [
        ("s3://landing/raw/vendor", "raw/vendor/${DataSet.Id}/${Revision.Id}/${Asset.Name}"),
        ("s3://landing", "${DataSet.Id}/${Revision.Id}/${Asset.Name}"),
    ] {
        let wire = Wire::new([json(value!({ "Id": "job-1", "State": "WAITING" }))]);
        assert_eq!(wire.aws.exchange(place).unwrap().create_export("ds", "rev").unwrap(), "job-1");
        let sent = &wire.sent()[0];
        assert_eq!((sent.method.as_str(), sent.uri.ends_with("/v1/jobs")), ("POST", true), "{sent:?}");
        assert_eq!(
            sent.json(),
            value!({ "Type": "EXPORT_REVISIONS_TO_S3", "Details": { "ExportRevisionsToS3": {
                "DataSetId": "ds",
                "RevisionDestinations": [{ "Bucket": "landing", "KeyPattern": pattern, "RevisionId": "rev" }],
            } } })
        );
    }
}

#[test]
fn a_place_that_is_no_bucket_is_not_accepted() {
    let wire = Wire::new([]);
    assert_eq!(wire.aws.exchange("/tmp/landing").unwrap_err().kind, Kind::Invalid);
}

#[test]
fn a_job_is_started_once() {
    let wire = Wire::new([json(value!({}))]);
    wire.aws.exchange("s3://landing").unwrap().start("job-1").unwrap();
    let sent = &wire.sent()[0];
    assert_eq!((sent.method.as_str(), sent.uri.ends_with("/v1/jobs/job-1")), ("PATCH", true), "{sent:?}");

    let wire = Wire::new([refused(409, "ConflictException", "the job is at work")]);
    assert_eq!(wire.aws.exchange("s3://landing").unwrap().start("job-1").unwrap_err().kind, Kind::Conflict);

    for (state, kind) in [("IN_PROGRESS", Kind::Conflict), ("COMPLETED", Kind::Conflict), ("WAITING", Kind::Invalid)] {
        let wire = Wire::new([
            refused(400, "ValidationException", "wrong state"),
            json(value!({ "Id": "job-1", "State": state })),
        ]);
        let error = wire.aws.exchange("s3://landing").unwrap().start("job-1").unwrap_err();
        assert_eq!((error.kind, error.call, error.message.as_str()), (kind, "StartJob", "wrong state"), "{state}");
    }
}

#[test]
fn a_job_tells_where_it_stands_and_why_it_failed() {
    let state = |answer: Value| Wire::new([json(answer)]).aws.exchange("s3://landing").unwrap().job("job-1").unwrap();
    assert_eq!(state(value!({ "State": "WAITING" })), JobState::Waiting);
    assert_eq!(state(value!({ "State": "IN_PROGRESS" })), JobState::Running);
    assert_eq!(state(value!({ "State": "COMPLETED" })), JobState::Completed);
    let failed = state(value!({ "State": "ERROR", "Errors": [
        { "Code": "ACCESS_DENIED_EXCEPTION", "Message": "may not write to the bucket", "ResourceId": "a1", "ResourceType": "ASSET" },
        { "Code": "LIMIT_EXCEEDED_EXCEPTION", "Message": "too large" },
    ] }));
    let words = "ACCESS_DENIED_EXCEPTION: may not write to the bucket (on a1); LIMIT_EXCEEDED_EXCEPTION: too large";
    assert_eq!(failed, JobState::Failed(words.into()));
    for ended in ["TIMED_OUT", "CANCELLED"] {
        let JobState::Failed(reason) = state(value!({ "State": ended })) else { panic!("{ended} is a failure") };
        assert!(reason.contains(ended), "{reason}");
    }
}
