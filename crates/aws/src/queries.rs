//! Queries in Athena.

use aws_config::SdkConfig;
use aws_sdk_athena::Client;
use aws_sdk_athena::types::{QueryExecutionContext, QueryExecutionState, ResultSet, Row};
use ports::Answer;
use ports::queries::{Queries, QueryState, Rows};
use sha2::{Digest, Sha256};

use crate::calls::Calls;
use crate::error::by_words;

/// Queries of a database in a workgroup.
#[derive(Debug, Clone)]
pub struct Athena {
    client: Client,
    calls: Calls,
    workgroup: String,
    database: String,
}

/// The most rows that the service gives at once.
const PAGE: usize = 1000;

impl Athena {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, workgroup: &str, database: &str) -> Self {
        Self { client: Client::new(config), calls, workgroup: workgroup.into(), database: database.into() }
    }
}

/// A token the service takes: 32 to 128 characters. Any other becomes its digest.
fn request_token(token: &str) -> String {
    if (32..=128).contains(&token.chars().count()) {
        return token.to_owned();
    }
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn values(row: &Row) -> Vec<Option<String>> {
    row.data().iter().map(|value| value.var_char_value().map(str::to_owned)).collect()
}

fn names(results: &ResultSet) -> Vec<String> {
    let columns = results.result_set_metadata().map_or(&[][..], |about| about.column_info());
    columns.iter().map(|column| column.label().unwrap_or(column.name()).to_owned()).collect()
}

/// The first row of a SELECT says the names of the columns once more; that of SHOW or DESCRIBE does not.
fn is_header(row: &[Option<String>], columns: &[String]) -> bool {
    row.len() == columns.len() && row.iter().zip(columns).all(|(value, name)| value.as_ref() == Some(name))
}

fn count(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

impl Queries for Athena {
    fn start(&self, sql: &str, parameters: &[String], token: &str) -> Answer<String> {
        let call = "StartQueryExecution";
        let context = QueryExecutionContext::builder().catalog("AwsDataCatalog").database(&self.database).build();
        let request = self
            .client
            .start_query_execution()
            .query_string(sql)
            .query_execution_context(context)
            .work_group(&self.workgroup)
            .client_request_token(request_token(token))
            // None at all is not the same as an empty list, which is refused.
            .set_execution_parameters((!parameters.is_empty()).then(|| parameters.to_vec()));
        let answer = self.calls.ask(call, &self.workgroup, request.send()).map_err(by_words)?;
        answer.query_execution_id.ok_or_else(|| self.calls.lacking(call, &self.workgroup, "id of a query"))
    }

    fn state(&self, query: &str) -> Answer<QueryState> {
        let call = "GetQueryExecution";
        let request = self.client.get_query_execution().query_execution_id(query);
        let answer = self.calls.ask(call, query, request.send()).map_err(by_words)?;
        let execution = answer.query_execution().ok_or_else(|| self.calls.lacking(call, query, "query"))?;
        let status = execution.status().ok_or_else(|| self.calls.lacking(call, query, "status"))?;
        let state = status.state().ok_or_else(|| self.calls.lacking(call, query, "state"))?;
        Ok(match state {
            QueryExecutionState::Queued | QueryExecutionState::Running => QueryState::Running,
            QueryExecutionState::Succeeded => {
                let statistics = execution.statistics();
                QueryState::Succeeded {
                    scanned_bytes: count(statistics.and_then(|some| some.data_scanned_in_bytes())),
                    engine_ms: count(statistics.and_then(|some| some.engine_execution_time_in_millis())),
                }
            }
            ended => {
                let told = status.athena_error().and_then(|error| error.error_message());
                let reason = status.state_change_reason().or(told).filter(|reason| !reason.is_empty());
                let reason = reason.map_or_else(|| format!("{} without a reason", ended.as_str()), str::to_owned);
                QueryState::Failed(reason)
            }
        })
    }

    fn rows(&self, query: &str, most: usize) -> Answer<Rows> {
        let call = "GetQueryResults";
        let mut told = Rows::default();
        let (mut next, mut first) = (None, true);
        loop {
            // One more than asked for tells whether there are more, and the header is a row too.
            let wanted = (most - told.rows.len()).saturating_add(1 + usize::from(first)).min(PAGE);
            let request = self
                .client
                .get_query_results()
                .query_execution_id(query)
                .max_results(i32::try_from(wanted).unwrap_or(i32::MAX))
                .set_next_token(next);
            let answer = self.calls.ask(call, query, request.send()).map_err(by_words)?;
            if let Some(results) = answer.result_set() {
                if first {
                    told.columns = names(results);
                }
                let rows = results.rows().iter().map(values).enumerate();
                told.rows.extend(
                    rows.filter(|(at, row)| !(first && *at == 0 && is_header(row, &told.columns))).map(|(_, row)| row),
                );
            }
            (next, first) = (answer.next_token, false);
            if told.rows.len() > most || next.is_none() {
                break;
            }
        }
        told.more = told.rows.len() > most;
        told.rows.truncate(most);
        Ok(told)
    }

    fn stop(&self, query: &str) -> Answer<()> {
        let request = self.client.stop_query_execution().query_execution_id(query);
        self.calls.ask("StopQueryExecution", query, request.send()).map(|_| ()).map_err(by_words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_long_enough_and_stays_the_same() {
        let long = "r".repeat(36);
        assert_eq!(request_token(&long), long);
        for other in ["", "short", &"r".repeat(129)] {
            assert_eq!(request_token(other).len(), 64);
            assert_eq!(request_token(other), request_token(other));
        }
        assert_ne!(request_token("a"), request_token("b"));
    }
}
