//! A FIFO queue in SQS.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use ports::Answer;
use ports::queue::{Message, Queue};

use crate::calls::Calls;
use crate::error::by_words;

/// A queue.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: Client,
    calls: Calls,
    url: String,
}

/// How long a message that was received and not deleted stays away: whoever received it is gone then.
const AWAY: Duration = Duration::from_secs(10);
/// The longest wait of one request; an attempt may take no longer than [`crate::config::ATTEMPT`].
const WAIT_MAX: u32 = 10;

impl Sqs {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, url: &str) -> Self {
        Self { client: Client::new(config), calls, url: url.into() }
    }
}

impl Queue for Sqs {
    fn send(&self, group: &str, id: &str, text: &str) -> Answer<()> {
        let request = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(group)
            .message_deduplication_id(id)
            .message_body(text);
        self.calls.ask("SendMessage", &self.url, request.send()).map(|_| ()).map_err(by_words)
    }

    fn receive(&self, wait_s: u32) -> Answer<Vec<Message>> {
        let request = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .visibility_timeout(AWAY.as_secs() as i32)
            .wait_time_seconds(wait_s.min(WAIT_MAX) as i32);
        let answer = self.calls.ask("ReceiveMessage", &self.url, request.send()).map_err(by_words)?;
        let messages = answer.messages.unwrap_or_default().into_iter().map(|message| Message {
            text: message.body.unwrap_or_default(),
            receipt: message.receipt_handle.unwrap_or_default(),
        });
        Ok(messages.collect())
    }

    fn delete(&self, receipt: &str) -> Answer<()> {
        let request = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt);
        self.calls.ask("DeleteMessage", &self.url, request.send()).map(|_| ())
    }
}
