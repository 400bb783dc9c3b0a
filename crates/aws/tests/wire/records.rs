use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use ports::Kind;
use ports::records::{Key, Put, Record, Records};
use serde_json::{Value, json as value};

use crate::common::{Said, Sent, Wire, adapters, json, refused, runtime};

fn item(sort: &str, version: u64, body: &Value, writer: &str) -> Value {
    value!({
        "pk": { "S": "day" }, "sk": { "S": sort }, "version": { "N": version.to_string() },
        "body": { "S": body.to_string() }, "writer": { "S": writer },
    })
}

#[test]
fn a_record_is_read_as_the_last_write_left_it() {
    let wire =
        Wire::new([json(value!({ "Item": item("s", 3, &value!({ "a": [1.5, null] }), "w") })), json(value!({}))]);
    let (records, key) = (wire.aws.records("table"), Key::new("day", "s"));
    assert_eq!(records.get(&key).unwrap(), Some(Record { version: 3, body: value!({ "a": [1.5, null] }) }));
    assert_eq!(records.get(&key).unwrap(), None);
    let key = value!({ "pk": { "S": "day" }, "sk": { "S": "s" } });
    assert_eq!(wire.bodies(".GetItem")[0], value!({ "TableName": "table", "Key": key, "ConsistentRead": true }));
}

#[test]
fn a_write_names_what_it_has_seen() {
    let wire = Wire::new([json(value!({})), json(value!({}))]);
    let (records, key) = (wire.aws.records("table"), Key::new("day", "s"));
    assert_eq!(records.put(&key, &value!({ "a": 1 }), 0).unwrap(), Put::Stored);
    assert_eq!(records.put(&key, &value!({ "a": 2 }), 1).unwrap(), Put::Stored);
    let sent = wire.bodies(".PutItem");
    assert_eq!(sent[0]["ConditionExpression"], "attribute_not_exists(pk)");
    assert_eq!(sent[0]["Item"]["version"], value!({ "N": "1" }));
    assert_eq!(sent[0]["Item"]["body"], value!({ "S": r#"{"a":1}"# }));
    assert_eq!(sent[1]["ConditionExpression"], "version = :seen");
    assert_eq!(sent[1]["ExpressionAttributeValues"], value!({ ":seen": { "N": "1" } }));
    assert_eq!(sent[1]["Item"]["version"], value!({ "N": "2" }));
    assert_ne!(sent[0]["Item"]["writer"], sent[1]["Item"]["writer"], "each write has a name of its own");
}

#[test]
fn who_writes_second_is_told_even_if_both_write_the_same() {
    let body = value!({ "state": "exporting" });
    let wire = Wire::new([
        refused(400, "ConditionalCheckFailedException", "The conditional request failed"),
        json(value!({ "Item": item("s", 1, &body, "somebody else") })),
    ]);
    assert_eq!(wire.aws.records("table").put(&Key::new("day", "s"), &body, 0).unwrap(), Put::Conflict);
    assert_eq!(wire.sent().len(), 2, "a conflict is not tried again");
}

/// Keeps what is written and loses the answer of the first write.
#[derive(Debug, Clone, Default)]
struct Forgetful {
    item: Arc<Mutex<Option<Value>>>,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Forgetful {
    fn answer(&self, sent: &Sent) -> Said {
        self.targets.lock().unwrap().push(sent.target.clone());
        let mut item = self.item.lock().unwrap();
        if sent.target.ends_with(".GetItem") {
            return json(value!({ "Item": *item }));
        }
        if item.is_some() {
            return refused(400, "ConditionalCheckFailedException", "The conditional request failed");
        }
        *item = Some(sent.json()["Item"].clone());
        refused(500, "InternalServerError", "it is written, but you will not know")
    }
}

impl HttpConnector for Forgetful {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(self.answer(&Sent::of(&request)).response()))
    }
}

#[test]
fn a_write_whose_answer_was_lost_is_not_its_own_conflict() {
    let (runtime, table) = (runtime(), Forgetful::default());
    let moved = table.clone();
    let aws = adapters(&runtime, http_client_fn(move |_, _| SharedHttpConnector::new(moved.clone())));
    let records = aws.records("table");
    assert_eq!(records.put(&Key::new("day", "s"), &value!(1), 0).unwrap(), Put::Stored);
    assert_eq!(table.targets.lock().unwrap().len(), 3, "write, the same again, read");
    assert_eq!(records.put(&Key::new("day", "s"), &value!(1), 0).unwrap(), Put::Conflict, "another write is another");
}

#[test]
fn a_list_has_all_pages_in_order() {
    let last = value!({ "pk": { "S": "day" }, "sk": { "S": "a" } });
    let wire = Wire::new([
        json(value!({ "Items": [item("a", 1, &value!(1), "w")], "LastEvaluatedKey": last })),
        json(value!({ "Items": [item("b", 2, &value!(2), "w")] })),
    ]);
    let told = wire.aws.records("table").list("day").unwrap();
    assert_eq!(
        told,
        [
            (Key::new("day", "a"), Record { version: 1, body: value!(1) }),
            (Key::new("day", "b"), Record { version: 2, body: value!(2) }),
        ]
    );
    let sent = wire.bodies(".Query");
    assert_eq!(sent[0]["ConsistentRead"], true);
    assert_eq!(sent[0]["KeyConditionExpression"], "pk = :pk");
    assert_eq!(sent[0]["ExpressionAttributeValues"], value!({ ":pk": { "S": "day" } }));
    assert_eq!(sent[1]["ExclusiveStartKey"], last);
}

#[test]
fn an_item_that_is_no_record_is_not_passed_over() {
    let mut broken = item("a", 1, &value!(1), "w");
    broken["body"] = value!({ "S": "{" });
    let listed = || json(value!({ "Items": [broken] }));
    let wire = Wire::new([json(value!({ "Item": broken })), listed(), listed()]);
    let records = wire.aws.records("table");
    let error = records.get(&Key::new("day", "a")).unwrap_err();
    assert!(error.kind == Kind::Damaged && !error.kind.passes(), "{error}");
    let error = records.list("day").unwrap_err();
    assert_eq!((error.kind, error.resource.as_str()), (Kind::Damaged, "`table day/a`"));
    // Its name is known all the same, so that it hides no other.
    assert_eq!(records.keys("day").unwrap(), [Key::new("day", "a")]);
}

#[test]
fn a_missing_table_is_not_found() {
    let wire = Wire::new([refused(400, "ResourceNotFoundException", "Requested resource not found")]);
    assert_eq!(wire.aws.records("table").list("day").unwrap_err().kind, Kind::NotFound);
}
