//! Records in a DynamoDB table: key `pk` and `sk` (text), `version` (number), `body` (text, JSON) and `writer` (text).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use ports::records::{Key, Put, Record, Records};
use ports::{Answer, Kind};
use serde_json::Value;

use crate::calls::Calls;

type Item = HashMap<String, AttributeValue>;

/// The records of a table. Every read sees every write that ended before it.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    client: Client,
    calls: Calls,
    table: String,
}

impl DynamoDb {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, table: &str) -> Self {
        Self { client: Client::new(config), calls, table: table.into() }
    }

    fn item(&self, key: &Key) -> Answer<Option<Item>> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.partition.clone()))
            .key("sk", AttributeValue::S(key.sort.clone()))
            .consistent_read(true);
        Ok(self.calls.ask("GetItem", format!("{} {key}", self.table), request.send())?.item)
    }

    /// The items of a partition, in order.
    fn items(&self, partition: &str) -> Answer<Vec<(Key, Item)>> {
        let resource = format!("{} {partition}", self.table);
        let items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition.into()))
            .consistent_read(true)
            .into_paginator()
            .items();
        let items: Vec<Item> =
            self.calls.ask("Query", &resource, async { items.send().collect::<Result<_, _>>().await })?;
        let keyed = items.into_iter().map(|item| {
            let sort = text(&item, "sk").ok_or_else(|| self.calls.lacking("Query", &resource, "sort key"))?;
            Ok((Key::new(partition, sort), item))
        });
        keyed.collect()
    }

    fn record(&self, call: &'static str, key: &Key, item: &Item) -> Answer<Record> {
        let version = item.get("version").and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok());
        let body = text(item, "body").and_then(|body| serde_json::from_str(body).ok());
        match (version, body) {
            (Some(version), Some(body)) => Ok(Record { version, body }),
            _ => {
                let resource = format!("{} {key}", self.table);
                Err(self.calls.error(call, resource, Kind::Damaged, "the item has no version or its body is no JSON"))
            }
        }
    }
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// A name that no other write has: 128 random bits, from the keys that the standard library draws for its maps.
fn writer() -> String {
    let draw = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", draw(), draw())
}

impl Records for DynamoDb {
    fn get(&self, key: &Key) -> Answer<Option<Record>> {
        self.item(key)?.map(|item| self.record("GetItem", key, &item)).transpose()
    }

    /// A write whose answer is lost is sent again, and then stands in its own way. So each write carries a name; when
    /// what stands in the way has the same name, it is this very write. Its body and version would not tell: two that
    /// write the same at once must not both believe to be the one who did.
    fn put(&self, key: &Key, body: &Value, seen: u64) -> Answer<Put> {
        let writer = writer();
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(key.partition.clone()))
            .item("sk", AttributeValue::S(key.sort.clone()))
            .item("version", AttributeValue::N((seen + 1).to_string()))
            .item("body", AttributeValue::S(body.to_string()))
            .item("writer", AttributeValue::S(writer.clone()));
        let request = match seen {
            0 => request.condition_expression("attribute_not_exists(pk)"),
            _ => request
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", AttributeValue::N(seen.to_string())),
        };
        match self.calls.wait(request.send()) {
            Ok(_) => Ok(Put::Stored),
            Err(failure)
                if failure.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                let own = self.item(key)?.is_some_and(|item| text(&item, "writer") == Some(&writer));
                Ok(if own { Put::Stored } else { Put::Conflict })
            }
            Err(failure) => Err(self.calls.failed("PutItem", format!("{} {key}", self.table), &failure)),
        }
    }

    fn keys(&self, partition: &str) -> Answer<Vec<Key>> {
        Ok(self.items(partition)?.into_iter().map(|(key, _)| key).collect())
    }

    fn list(&self, partition: &str) -> Answer<Vec<(Key, Record)>> {
        let told = self.items(partition)?.into_iter().map(|(key, item)| {
            let record = self.record("Query", &key, &item)?;
            Ok((key, record))
        });
        told.collect()
    }
}
