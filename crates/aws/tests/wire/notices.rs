use ports::Kind;
use ports::notices::Notices;

use crate::common::{Said, Wire, said};

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:alarms";

fn published() -> Said {
    said(200, "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>")
}

#[test]
fn a_notice_goes_to_the_topic_under_one_line() {
    let wire = Wire::new([published()]);
    wire.aws.notices(TOPIC).publish("drawdown\nof sma — 12 %", "equity fell\nsee the report").unwrap();
    let body = &wire.sent()[0].body;
    assert!(body.contains("Action=Publish"), "{body}");
    assert!(body.contains("TopicArn=arn%3Aaws%3Asns%3Aeu-central-1%3A123456789012%3Aalarms"), "{body}");
    assert!(body.contains("Subject=drawdown%20of%20sma%20-%2012%20%25"), "{body}");
    assert!(body.contains("Message=equity%20fell%0Asee%20the%20report"), "{body}");
}

#[test]
fn an_empty_notice_is_sent_too() {
    let wire = Wire::new([published(), published()]);
    wire.aws.notices(TOPIC).publish("", "text").unwrap();
    wire.aws.notices(TOPIC).publish("subject", " ").unwrap();
    let sent = wire.sent();
    assert!(!sent[0].body.contains("Subject="), "{sent:?}");
    assert!(sent[1].body.contains("Message=subject"), "{sent:?}");
}

#[test]
fn a_missing_topic_is_not_found() {
    let error =
        "<ErrorResponse><Error><Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>";
    let wire = Wire::new([said(404, error)]);
    let error = wire.aws.notices(TOPIC).publish("s", "t").unwrap_err();
    assert_eq!((error.kind, error.resource), (Kind::NotFound, format!("`{TOPIC}`")));
}
