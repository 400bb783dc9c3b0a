use ports::Kind;
use ports::lines::{Held, Lease, Line, Lines};
use serde_json::{Value, json as value};

use crate::common::{Said, Wire, json, refused, said};

fn lease(owner: &str, epoch: u64, seen_ms: i64, until_ms: i64) -> Lease {
    Lease { owner: owner.into(), epoch, seen_ms, until_ms }
}

fn item(lease: &Lease) -> Said {
    let number = |number: String| value!({ "N": number });
    json(value!({ "Item": {
        "strategy": { "S": "lease#sma" }, "seq": { "N": "0" }, "owner": { "S": lease.owner },
        "epoch": number(lease.epoch.to_string()), "seen": number(lease.seen_ms.to_string()),
        "until": number(lease.until_ms.to_string()),
    } }))
}

fn nobody() -> Said {
    json(value!({}))
}

fn conflict() -> Said {
    refused(400, "ConditionalCheckFailedException", "The conditional request failed")
}

fn line(seq: u64, text: &str) -> Line {
    Line { seq, text: text.into() }
}

#[test]
fn the_first_lease_is_number_one_and_a_lost_one_makes_way_for_the_next() {
    let wire = Wire::new([nobody(), json(value!({})), item(&lease("a", 4, 100, 200)), json(value!({}))]);
    let lines = wire.aws.lines("journal");
    assert_eq!(lines.claim("sma", "a", 50, 80).unwrap(), Held::Yes(lease("a", 1, 50, 80)));
    assert_eq!(lines.claim("sma", "b", 201, 300).unwrap(), Held::Yes(lease("b", 5, 201, 300)));
    let sent = wire.sent();
    assert_eq!(sent[1].json()["ConditionExpression"], "attribute_not_exists(strategy)");
    assert_eq!(sent[1].json()["Key"], value!({ "strategy": { "S": "lease#sma" }, "seq": { "N": "0" } }));
    assert_eq!(sent[3].json()["ConditionExpression"], "#owner = :was AND epoch = :before AND seen = :last");
    assert_eq!(sent[3].json()["ExpressionAttributeValues"][":before"], value!({ "N": "4" }));
}

#[test]
fn a_lease_that_is_held_is_not_taken_but_by_force() {
    let held = lease("a", 4, 100, 200);
    let wire = Wire::new([item(&held), item(&held), json(value!({}))]);
    let lines = wire.aws.lines("journal");
    assert_eq!(lines.claim("sma", "b", 150, 300).unwrap(), Held::No(held));
    assert_eq!(lines.revoke("sma", "guardian", 150, 300).unwrap(), lease("guardian", 5, 150, 300));
}

#[test]
fn who_claims_at_the_same_moment_looks_again() {
    let wire = Wire::new([nobody(), conflict(), item(&lease("b", 1, 50, 80))]);
    let claimed = wire.aws.lines("journal").claim("sma", "a", 50, 80).unwrap();
    assert_eq!(claimed, Held::No(lease("b", 1, 50, 80)));
}

#[test]
fn lines_and_the_lease_are_one_write() {
    let wire = Wire::new([json(value!({}))]);
    let holder = lease("a", 4, 100, 200);
    let added = wire.aws.lines("journal").append("sma", &[line(7, "seven"), line(8, "eight")], &holder);
    assert_eq!(added.unwrap(), Held::Yes(holder));
    let sent = &wire.bodies(".TransactWriteItems")[0];
    let items = sent["TransactItems"].as_array().unwrap();
    assert_eq!(items[0]["Update"]["ConditionExpression"], "#owner = :owner AND epoch = :epoch");
    assert_eq!(items[0]["Update"]["ExpressionAttributeValues"][":epoch"], value!({ "N": "4" }));
    assert_eq!(
        items[1]["Put"]["Item"],
        value!({ "strategy": { "S": "sma" }, "seq": { "N": "7" }, "line": { "S": "seven" } })
    );
    assert_eq!(items[2]["Put"]["ConditionExpression"], "attribute_not_exists(seq)");
    assert!(
        sent["ClientRequestToken"].as_str().is_some_and(|token| !token.is_empty()),
        "sent twice it is written once"
    );
}

#[test]
fn many_lines_go_in_several_writes() {
    let wire = Wire::new([json(value!({})), json(value!({})), json(value!({}))]);
    let many: Vec<Line> = (0..200).map(|seq| line(seq, "x")).collect();
    wire.aws.lines("journal").append("sma", &many, &lease("a", 1, 1, 2)).unwrap();
    let counts: Vec<usize> =
        wire.bodies(".TransactWriteItems").iter().map(|sent| sent["TransactItems"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [100, 100, 3]);
}

#[test]
fn a_second_writer_adds_nothing_and_learns_whose_it_is() {
    let reasons: Value = value!([{ "Code": "ConditionalCheckFailed" }, { "Code": "None" }]);
    let cancelled = value!({
        "__type": "TransactionCanceledException", "Message": "Transaction cancelled", "CancellationReasons": reasons,
    });
    let answer = said(400, cancelled.to_string()).with("x-amzn-errortype", "TransactionCanceledException");
    let wire = Wire::new([answer, item(&lease("b", 5, 300, 400))]);
    let added = wire.aws.lines("journal").append("sma", &[line(7, "seven")], &lease("a", 4, 100, 200)).unwrap();
    assert_eq!(added, Held::No(lease("b", 5, 300, 400)));
}

#[test]
fn a_line_that_no_item_holds_is_refused_before_anything_is_sent() {
    let wire = Wire::new([]);
    let long = line(7, &"x".repeat(400 * 1024));
    let error = wire.aws.lines("journal").append("sma", &[long], &lease("a", 4, 1, 2)).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.starts_with("line 7 has 409600 bytes, and an item of DynamoDB holds 400 KB"), "{error}");
}

#[test]
fn lines_are_read_page_by_page() {
    let stored = |seq: u64| value!({ "strategy": { "S": "sma" }, "seq": { "N": seq.to_string() }, "line": { "S": format!("l{seq}") } });
    let wire = Wire::new([json(value!({ "Items": [stored(3), stored(4)] })), json(value!({ "Items": [] }))]);
    let lines = wire.aws.lines("journal");
    assert_eq!(lines.read("sma", 3).unwrap(), [line(3, "l3"), line(4, "l4")]);
    assert_eq!(lines.read("sma", 5).unwrap(), []);
    let sent = &wire.bodies(".Query")[0];
    assert_eq!(sent["KeyConditionExpression"], "strategy = :strategy AND seq >= :from");
    assert_eq!(sent["ExpressionAttributeValues"][":from"], value!({ "N": "3" }));
    assert_eq!(sent["ConsistentRead"], true);
}
