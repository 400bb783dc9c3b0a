//! Catalogue and crawler in Glue.

use aws_config::SdkConfig;
use aws_sdk_glue::Client;
use aws_sdk_glue::primitives::{DateTime, DateTimeFormat};
use aws_sdk_glue::types::{Column, CrawlerState, LastCrawlInfo, LastCrawlStatus};
use ports::Answer;
use ports::catalog::{Catalog, Crawler, Table};

use crate::calls::Calls;

/// The catalogue of the account.
#[derive(Debug, Clone)]
pub struct Glue {
    client: Client,
    calls: Calls,
}

impl Glue {
    pub(crate) fn new(config: &SdkConfig, calls: Calls) -> Self {
        Self { client: Client::new(config), calls }
    }
}

fn columns(columns: &[Column]) -> Vec<(String, String)> {
    columns.iter().map(|column| (column.name().into(), column.r#type().unwrap_or_default().into())).collect()
}

fn said(time: Option<&DateTime>) -> String {
    time.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()).unwrap_or_default()
}

fn last(crawl: &LastCrawlInfo) -> (String, Option<String>) {
    let reason = match crawl.status() {
        None | Some(LastCrawlStatus::Succeeded) => None,
        Some(status) => Some(match crawl.error_message() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => format!("the crawl ended as {} without a reason", status.as_str()),
        }),
    };
    (said(crawl.start_time()), reason)
}

impl Catalog for Glue {
    fn crawl(&self, crawler: &str) -> Answer<()> {
        match self.calls.wait(self.client.start_crawler().name(crawler).send()) {
            Ok(_) => Ok(()),
            Err(failure) if failure.as_service_error().is_some_and(|error| error.is_crawler_running_exception()) => {
                Ok(())
            }
            Err(failure) => Err(self.calls.failed("StartCrawler", crawler, &failure)),
        }
    }

    fn crawler(&self, crawler: &str) -> Answer<Crawler> {
        let answer = self.calls.ask("GetCrawler", crawler, self.client.get_crawler().name(crawler).send())?;
        let found = answer.crawler().ok_or_else(|| self.calls.lacking("GetCrawler", crawler, "crawler"))?;
        let running = found.state().is_some_and(|state| *state != CrawlerState::Ready);
        Ok(Crawler { running, last: found.last_crawl().map(last) })
    }

    fn table(&self, database: &str, table: &str) -> Answer<Option<Table>> {
        let request = self.client.get_table().database_name(database).name(table);
        let answer = match self.calls.wait(request.send()) {
            Ok(answer) => answer,
            Err(failure) if failure.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => {
                return Ok(None);
            }
            Err(failure) => return Err(self.calls.failed("GetTable", format!("{database}.{table}"), &failure)),
        };
        Ok(answer.table().map(|table| {
            let files = table.storage_descriptor();
            Table {
                columns: columns(files.map_or(&[], |files| files.columns())),
                partition_keys: columns(table.partition_keys()),
                location: files.and_then(|files| files.location()).unwrap_or_default().into(),
            }
        }))
    }
}
