//! Journals in a DynamoDB table: key `strategy` (text) and `seq` (number), `line` (text). The lease of a journal is the
//! item `lease#NAME`, 0 with `owner`, `epoch`, `seen` and `until`.
//!
//! Lines and the lease are written in one transaction, so a writer whose lease was taken adds nothing, not even a part.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem, Update};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use ports::lines::{AT_ONCE, Held, Lease, Line, Lines};
use ports::{Answer, Kind};

use crate::calls::Calls;

/// Journals in a table. Every read sees every write that ended before it.
#[derive(Debug, Clone)]
pub struct DynamoLines {
    client: Client,
    calls: Calls,
    table: String,
}

/// The most bytes of an item, its names included, less what an item has beside the line.
const LINE_MAX: usize = 400 * 1024 - 512;
/// The most bytes of one transaction, with room for what goes with the lines.
const BYTES: usize = 3 << 20;

/// Why a transaction is cancelled that another writer stands in the way of.
const CONDITION: &str = "ConditionalCheckFailed";
/// Why a transaction is cancelled that meets another one, or somebody who takes the lease: it is tried again.
const CONFLICT: &str = "TransactionConflict";
/// How often, and after how long.
const CONFLICTS: u32 = 6;
const CONFLICT_WAIT: Duration = Duration::from_millis(40);

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn lease_of(item: &HashMap<String, AttributeValue>) -> Option<Lease> {
    fn count<T: std::str::FromStr>(item: &HashMap<String, AttributeValue>, name: &str) -> Option<T> {
        item.get(name)?.as_n().ok()?.parse().ok()
    }
    Some(Lease {
        owner: item.get("owner")?.as_s().ok()?.clone(),
        epoch: count(item, "epoch")?,
        seen_ms: count(item, "seen")?,
        until_ms: count(item, "until")?,
    })
}

impl DynamoLines {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, table: &str) -> Self {
        Self { client: Client::new(config), calls, table: table.into() }
    }

    fn resource(&self, journal: &str) -> String {
        format!("{} {journal}", self.table)
    }

    /// Writes the lease if a condition holds; none if it does not.
    fn lease_if(
        &self,
        journal: &str,
        (owner, now_ms, until_ms): (&str, i64, i64),
        condition: &str,
        seen: Option<&Lease>,
        epoch: u64,
    ) -> Answer<Option<Lease>> {
        let call = "UpdateItem";
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("strategy", text(format!("lease#{journal}")))
            .key("seq", number(0))
            .update_expression("SET #owner = :owner, epoch = :epoch, seen = :seen, #until = :until")
            .condition_expression(condition)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":seen", number(now_ms))
            .expression_attribute_values(":until", number(until_ms))
            .set_expression_attribute_values_if(seen)
            .return_values(ReturnValue::AllNew);
        match self.calls.wait(request.send()) {
            Ok(_) => Ok(Some(Lease { owner: owner.to_owned(), epoch, seen_ms: now_ms, until_ms })),
            Err(failure)
                if failure.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(None)
            }
            Err(failure) => Err(self.calls.failed(call, self.resource(journal), &failure)),
        }
    }

    /// Takes the lease as long as nobody else changes it meanwhile; `may` says whether it may be taken. One's own keeps its
    /// number unless it is to be `anew`.
    fn take(
        &self,
        journal: &str,
        (owner, now_ms, until_ms): (&str, i64, i64),
        anew: bool,
        may: impl Fn(&Lease) -> bool,
    ) -> Answer<Held> {
        for _ in 0..8 {
            let seen = self.lease(journal)?;
            if let Some(seen) = seen.as_ref().filter(|seen| seen.owner != owner && !may(seen)) {
                return Ok(Held::No(seen.clone()));
            }
            let condition = match &seen {
                None => "attribute_not_exists(strategy)",
                Some(_) => "#owner = :was AND epoch = :before AND seen = :last",
            };
            let epoch = match &seen {
                Some(seen) if seen.owner == owner && !anew => seen.epoch,
                seen => seen.as_ref().map_or(0, |seen| seen.epoch) + 1,
            };
            if let Some(lease) = self.lease_if(journal, (owner, now_ms, until_ms), condition, seen.as_ref(), epoch)? {
                return Ok(Held::Yes(lease));
            }
        }
        let message = "the lease is being changed by others all the time";
        Err(self.calls.error("UpdateItem", self.resource(journal), Kind::Conflict, message))
    }
}

/// Values that only a condition on a lease that was seen has.
trait Seen {
    fn set_expression_attribute_values_if(self, seen: Option<&Lease>) -> Self;
}

impl Seen for aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
    fn set_expression_attribute_values_if(self, seen: Option<&Lease>) -> Self {
        match seen {
            None => self,
            Some(seen) => self
                .expression_attribute_values(":was", text(&seen.owner))
                .expression_attribute_values(":before", number(seen.epoch))
                .expression_attribute_values(":last", number(seen.seen_ms)),
        }
    }
}

/// Whether a transaction was cancelled for this reason.
fn cancelled_for(failure: &SdkError<TransactWriteItemsError, HttpResponse>, reason: &str) -> bool {
    matches!(
        failure.as_service_error(),
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
            if cancelled.cancellation_reasons().iter().any(|one| one.code() == Some(reason))
    )
}

/// How many of the first lines fit into one transaction.
fn fitting(lines: &[Line]) -> usize {
    let mut bytes = 0;
    let fits = |line: &&Line| {
        bytes += line.text.len() + 100;
        bytes <= BYTES
    };
    lines.iter().take(AT_ONCE).take_while(fits).count().max(1)
}

impl Lines for DynamoLines {
    fn claim(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Held> {
        self.take(journal, (owner, now_ms, until_ms), false, |seen| seen.until_ms < now_ms)
    }

    fn revoke(&self, journal: &str, owner: &str, now_ms: i64, until_ms: i64) -> Answer<Lease> {
        match self.take(journal, (owner, now_ms, until_ms), true, |_| true)? {
            Held::Yes(lease) | Held::No(lease) => Ok(lease),
        }
    }

    fn lease(&self, journal: &str) -> Answer<Option<Lease>> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("strategy", text(format!("lease#{journal}")))
            .key("seq", number(0))
            .consistent_read(true);
        let resource = self.resource(journal);
        let Some(item) = self.calls.ask("GetItem", &resource, request.send())?.item else { return Ok(None) };
        match lease_of(&item) {
            Some(lease) => Ok(Some(lease)),
            None => Err(self.calls.error("GetItem", &resource, Kind::Service, "the item is no lease")),
        }
    }

    fn read(&self, journal: &str, from: u64) -> Answer<Vec<Line>> {
        let (call, resource) = ("Query", self.resource(journal));
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("strategy = :strategy AND seq >= :from")
            .expression_attribute_values(":strategy", text(journal))
            .expression_attribute_values(":from", number(from))
            .consistent_read(true);
        let answer = self.calls.ask(call, &resource, request.send())?;
        let line = |item: &HashMap<String, AttributeValue>| {
            let seq = item.get("seq").and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok());
            let text = item.get("line").and_then(|value| value.as_s().ok()).cloned();
            match (seq, text) {
                (Some(seq), Some(text)) => Ok(Line { seq, text }),
                _ => Err(self.calls.error(call, &resource, Kind::Service, "an item has no number or no line")),
            }
        };
        answer.items().iter().map(line).collect()
    }

    fn append(&self, journal: &str, lines: &[Line], lease: &Lease) -> Answer<Held> {
        let (call, resource) = ("TransactWriteItems", self.resource(journal));
        if let Some(long) = lines.iter().find(|line| line.text.len() > LINE_MAX) {
            let message = format!(
                "line {} has {} bytes, and an item of DynamoDB holds 400 KB; trade fewer instruments in one strategy",
                long.seq,
                long.text.len()
            );
            return Err(self.calls.error(call, resource, Kind::Invalid, message));
        }
        let invalid = |error: aws_sdk_dynamodb::error::BuildError| {
            self.calls.error(call, &resource, Kind::Invalid, error.to_string())
        };
        let (mut rest, mut conflicts) = (lines, 0);
        loop {
            let renewed = Update::builder()
                .table_name(&self.table)
                .key("strategy", text(format!("lease#{journal}")))
                .key("seq", number(0))
                .update_expression("SET seen = :seen, #until = :until")
                .condition_expression("#owner = :owner AND epoch = :epoch")
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_names("#until", "until")
                .expression_attribute_values(":owner", text(&lease.owner))
                .expression_attribute_values(":epoch", number(lease.epoch))
                .expression_attribute_values(":seen", number(lease.seen_ms))
                .expression_attribute_values(":until", number(lease.until_ms));
            let mut items = vec![TransactWriteItem::builder().update(renewed.build().map_err(invalid)?).build()];
            let (some, later) = rest.split_at(if rest.is_empty() { 0 } else { fitting(rest) });
            for line in some {
                let put = Put::builder()
                    .table_name(&self.table)
                    .item("strategy", text(journal))
                    .item("seq", number(line.seq))
                    .item("line", text(&line.text))
                    .condition_expression("attribute_not_exists(seq)");
                items.push(TransactWriteItem::builder().put(put.build().map_err(invalid)?).build());
            }
            // The SDK gives each a token, so that one whose answer was lost is not its own conflict.
            let request = self.client.transact_write_items().set_transact_items(Some(items));
            match self.calls.wait(request.send()) {
                Ok(_) => {}
                Err(failure) if cancelled_for(&failure, CONDITION) => {
                    let held = self.lease(journal)?;
                    return Ok(Held::No(held.unwrap_or_else(|| lease.clone())));
                }
                Err(failure) if cancelled_for(&failure, CONFLICT) && conflicts < CONFLICTS => {
                    conflicts += 1;
                    std::thread::sleep(CONFLICT_WAIT * conflicts);
                    continue;
                }
                Err(failure) => return Err(self.calls.failed(call, &resource, &failure)),
            }
            rest = later;
            if rest.is_empty() {
                return Ok(Held::Yes(lease.clone()));
            }
        }
    }
}
