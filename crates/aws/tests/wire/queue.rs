use ports::queue::{Message, Queue};
use ports::{Answer, Kind};
use serde_json::json as value;

use crate::common::{Wire, json, refused};

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/1/orders.fifo";

fn md5_of(text: &str) -> &'static str {
    match text {
        "hello" => "5d41402abc4b2a76b9719d911017c592",
        _ => unreachable!(),
    }
}

#[test]
fn a_message_has_its_group_and_an_id_by_which_it_is_known_again() -> Answer<()> {
    let wire = Wire::new([json(value!({ "MessageId": "1", "MD5OfMessageBody": md5_of("hello") }))]);
    wire.aws.queue(URL).send("sma", "3-1-0", "hello")?;
    let sent = &wire.bodies(".SendMessage")[0];
    assert_eq!(
        *sent,
        value!({ "QueueUrl": URL, "MessageGroupId": "sma", "MessageDeduplicationId": "3-1-0", "MessageBody": "hello" })
    );
    Ok(())
}

#[test]
fn what_is_received_stays_away_until_it_is_deleted_or_ten_seconds_are_over() -> Answer<()> {
    let message = value!({ "MessageId": "1", "ReceiptHandle": "r", "Body": "hello", "MD5OfBody": md5_of("hello") });
    let wire = Wire::new([json(value!({ "Messages": [message] })), json(value!({})), json(value!({}))]);
    let queue = wire.aws.queue(URL);
    assert_eq!(queue.receive(60)?, [Message { text: "hello".into(), receipt: "r".into() }]);
    queue.delete("r")?;
    assert_eq!(queue.receive(0)?, []);
    let sent = wire.sent();
    let asked = sent[0].json();
    assert_eq!((asked["WaitTimeSeconds"].as_u64(), asked["VisibilityTimeout"].as_u64()), (Some(10), Some(10)));
    assert_eq!(sent[1].json(), value!({ "QueueUrl": URL, "ReceiptHandle": "r" }));
    Ok(())
}

#[test]
fn a_queue_that_is_not_there_is_not_found() {
    let wire =
        Wire::new([refused(400, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")]);
    assert_eq!(wire.aws.queue(URL).receive(0).unwrap_err().kind, Kind::NotFound);
}
