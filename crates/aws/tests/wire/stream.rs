use ports::Kind;
use ports::stream::{Entry, Stream};
use serde_json::{Value, json as value};

use crate::common::{Said, Wire, json, refused};

fn shards(count: usize) -> Said {
    let shard = |n: usize| {
        value!({
            "ShardId": format!("shard-{n}"), "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
            "SequenceNumberRange": { "StartingSequenceNumber": "1" },
        })
    };
    json(value!({ "Shards": (0..count).map(shard).collect::<Vec<_>>() }))
}

fn iterator(name: &str) -> Said {
    json(value!({ "ShardIterator": name }))
}

/// Records with these positions; the data are what they say in base 64.
fn records(of: &[(&str, &str)], next: Option<&str>) -> Said {
    let record = |(position, data): &(&str, &str)| value!({ "SequenceNumber": position, "Data": data, "PartitionKey": "market" });
    json(value!({ "Records": of.iter().map(record).collect::<Vec<_>>(), "NextShardIterator": next }))
}

fn entry(position: &str, text: &str) -> Entry {
    Entry { position: position.into(), text: text.into() }
}

#[test]
fn reading_goes_on_where_it_ended_without_asking_for_the_way() {
    let wire = Wire::new([
        shards(1),
        iterator("a"),
        records(&[("7", "b25l"), ("8", "dHdv")], Some("b")),
        records(&[], Some("c")),
        records(&[("9", "dGhyZWU=")], Some("d")),
    ]);
    let stream = wire.aws.stream("market");
    assert_eq!(stream.read(None).unwrap(), [entry("7", "one"), entry("8", "two")]);
    assert_eq!(stream.read(Some("8")).unwrap(), []);
    assert_eq!(stream.read(Some("8")).unwrap(), [entry("9", "three")]);
    let sent: Vec<Value> = wire.sent().iter().map(|sent| sent.json()).collect();
    assert_eq!(sent[1]["ShardIteratorType"], "TRIM_HORIZON");
    let iterators = [2, 3, 4].map(|at: usize| sent[at]["ShardIterator"].clone());
    assert_eq!(iterators, ["a", "b", "c"]);
}

#[test]
fn another_position_and_an_iterator_that_is_too_old_are_asked_for_anew() {
    let wire = Wire::new([
        shards(1),
        iterator("a"),
        records(&[("7", "b25l")], Some("b")),
        refused(400, "ExpiredIteratorException", "Iterator expired"),
        shards(1),
        iterator("c"),
        records(&[("8", "dHdv")], None),
    ]);
    let stream = wire.aws.stream("market");
    assert_eq!(stream.read(Some("6")).unwrap(), [entry("7", "one")]);
    assert_eq!(stream.read(Some("7")).unwrap(), [entry("8", "two")]);
    let sent = wire.sent();
    assert_eq!(sent[1].json()["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER");
    assert_eq!(sent[1].json()["StartingSequenceNumber"], "6");
    assert_eq!(sent[5].json()["StartingSequenceNumber"], "7");
}

#[test]
fn a_stream_of_several_shards_has_no_order_and_is_refused() {
    let wire = Wire::new([shards(2)]);
    let error = wire.aws.stream("market").read(None).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Invalid, "the stream has 2 shards; market events need exactly one")
    );
}

#[test]
fn what_was_not_taken_is_put_again_with_all_that_follows() {
    let there = |n: u32| value!({ "SequenceNumber": n.to_string(), "ShardId": "shard-0" });
    let failed = value!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slower" });
    let wire = Wire::new([
        json(value!({ "FailedRecordCount": 1, "Records": [there(1), failed, there(3)] })),
        json(value!({ "FailedRecordCount": 0, "Records": [there(4), there(5)] })),
    ]);
    let texts = ["one", "two", "three"].map(str::to_owned);
    wire.aws.stream("market").put(&texts).unwrap();
    let sent = wire.bodies(".PutRecords");
    let data =
        |at: usize| sent[at]["Records"].as_array().unwrap().iter().map(|one| one["Data"].clone()).collect::<Vec<_>>();
    assert_eq!(data(0), ["b25l", "dHdv", "dGhyZWU="]);
    assert_eq!(data(1), ["dHdv", "dGhyZWU="]);
}

#[test]
fn what_is_never_taken_is_given_up() {
    let failed = value!({ "ErrorCode": "InternalFailure", "ErrorMessage": "not now" });
    let answer = json(value!({ "FailedRecordCount": 1, "Records": [failed] }));
    let wire = Wire::new(vec![answer; 20]);
    let error = wire.aws.stream("market").put(&["one".to_owned()]).unwrap_err();
    assert_eq!((error.call, error.kind, error.message.as_str()), ("PutRecords", Kind::Throttled, "not now"));
    assert_eq!(wire.sent().len(), 8);
}
