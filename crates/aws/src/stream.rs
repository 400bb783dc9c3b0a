//! A stream in Kinesis with one shard.

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use ports::stream::{Entry, Stream};
use ports::{Answer, Kind};

use crate::calls::Calls;

/// A stream. Reading goes on where it ended without asking for the way there again.
#[derive(Debug, Clone)]
pub struct Kinesis {
    client: Client,
    calls: Calls,
    name: String,
    way: Arc<Mutex<Option<Way>>>,
}

/// An iterator, and the position that it leads behind; none is before the oldest message.
#[derive(Debug)]
struct Way {
    after: Option<String>,
    iterator: String,
}

/// One shard has one order whatever the key.
const KEY: &str = "market";
/// The most messages of one request, and the most bytes, with room for what goes with them.
const AT_ONCE: usize = 500;
const BYTES: usize = 4 << 20;
/// How often messages that were not taken are put again.
const TRIES: u32 = 8;
/// The most messages of one read.
const PAGE: i32 = 1_000;

impl Kinesis {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, name: &str) -> Self {
        Self { client: Client::new(config), calls, name: name.into(), way: Arc::default() }
    }

    /// The shard; several are none, because what is in them has no order.
    fn shard(&self) -> Answer<String> {
        let call = "ListShards";
        let answer = self.calls.ask(call, &self.name, self.client.list_shards().stream_name(&self.name).send())?;
        match answer.shards() {
            [one] => Ok(one.shard_id().to_owned()),
            others => {
                let message = format!("the stream has {} shards; market events need exactly one", others.len());
                Err(self.calls.error(call, &self.name, Kind::Invalid, message))
            }
        }
    }

    fn iterator(&self, after: Option<&str>) -> Answer<String> {
        let call = "GetShardIterator";
        let request = self.client.get_shard_iterator().stream_name(&self.name).shard_id(self.shard()?);
        let request = match after {
            None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Some(position) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(position)
            }
        };
        let answer = self.calls.ask(call, &self.name, request.send())?;
        answer.shard_iterator.ok_or_else(|| self.calls.lacking(call, &self.name, "iterator"))
    }

    /// Puts some; how many of them are there, from the first on.
    fn put_some(&self, texts: &[String]) -> Answer<(usize, String)> {
        let call = "PutRecords";
        let entry = |text: &String| {
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(text.as_bytes())).partition_key(KEY).build();
            entry.map_err(|error| self.calls.error(call, &self.name, Kind::Invalid, error.to_string()))
        };
        let entries: Vec<_> = texts.iter().map(entry).collect::<Answer<_>>()?;
        let request = self.client.put_records().stream_name(&self.name).set_records(Some(entries));
        let answer = self.calls.ask(call, &self.name, request.send())?;
        if answer.records().len() != texts.len() {
            return Err(self.calls.lacking(call, &self.name, "word on each message"));
        }
        let failed = answer.records().iter().position(|record| record.error_code().is_some());
        let words = failed.and_then(|at| answer.records()[at].error_message()).unwrap_or_default().to_owned();
        Ok((failed.unwrap_or(texts.len()), words))
    }
}

/// How many of the first texts fit into one request.
fn fitting(texts: &[String]) -> usize {
    let mut bytes = 0;
    let fits = |text: &&String| {
        bytes += text.len() + KEY.len();
        bytes <= BYTES
    };
    texts.iter().take(AT_ONCE).take_while(fits).count().max(1)
}

impl Stream for Kinesis {
    /// Messages behind one that was not taken may be there already: all from that one on are put again.
    fn put(&self, texts: &[String]) -> Answer<()> {
        let (mut rest, mut tries) = (texts, 0);
        while !rest.is_empty() {
            let (there, words) = self.put_some(&rest[..fitting(rest)])?;
            rest = &rest[there..];
            if words.is_empty() && there > 0 {
                tries = 0;
                continue;
            }
            tries += 1;
            if tries == TRIES {
                return Err(self.calls.error("PutRecords", &self.name, Kind::Throttled, words));
            }
            let pause = std::time::Duration::from_millis(50 << tries.min(5));
            self.calls.wait(async { tokio::time::sleep(pause).await });
        }
        Ok(())
    }

    fn read(&self, after: Option<&str>) -> Answer<Vec<Entry>> {
        let call = "GetRecords";
        let known = self.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let known = known.filter(|way| way.after.as_deref() == after).map(|way| way.iterator);
        let fresh = known.is_none();
        let iterator = known.map_or_else(|| self.iterator(after), Ok)?;
        let request = self.client.get_records().shard_iterator(iterator).limit(PAGE);
        let answer = match self.calls.wait(request.send()) {
            Ok(answer) => answer,
            // It is good for five minutes.
            Err(failure)
                if !fresh && failure.as_service_error().is_some_and(|error| error.is_expired_iterator_exception()) =>
            {
                return self.read(after);
            }
            Err(failure) => return Err(self.calls.failed(call, &self.name, &failure)),
        };
        let mut entries = Vec::new();
        for record in answer.records() {
            let text = std::str::from_utf8(record.data().as_ref()).map_err(|_| {
                self.calls.error(call, &self.name, Kind::Service, format!("{} is no text", record.sequence_number()))
            })?;
            entries.push(Entry { position: record.sequence_number().to_owned(), text: text.to_owned() });
        }
        if let Some(iterator) = answer.next_shard_iterator {
            let after = entries.last().map(|entry| entry.position.clone()).or(after.map(str::to_owned));
            *self.way.lock().unwrap_or_else(PoisonError::into_inner) = Some(Way { after, iterator });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_what_fits() {
        assert_eq!(fitting(&vec!["a".to_owned(); 501]), 500);
        assert_eq!(fitting(&vec!["a".repeat(1 << 20); 5]), 3);
        assert_eq!(fitting(&["a".repeat(5 << 20)]), 1);
    }
}
