//! The environment, the adapters it names, and the clock.

use std::time::SystemTime;

use algotrading::eod::{Outcome, Trouble, What, catalogue, ingest};
use aws::Aws;
use domain::Timestamp;
use lake::Lake;

/// Bytes of a revision that a function of 512 MB takes in; see docs/performance.md.
const INGEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes that a query may read.
const SCAN_BYTES_MAX: u64 = 10 << 30;

/// Everything around a step.
#[derive(Debug, Clone)]
pub struct World {
    /// Makes the adapters.
    pub aws: Aws,
}

/// A variable of the environment; nothing when it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str) -> Outcome<String> {
    variable(name).ok_or_else(|| {
        Trouble::new(
            What::BadInput,
            format!("the environment variable {name} is not set; the stack that starts this sets it"),
        )
    })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn number(name: &str, otherwise: u64) -> Outcome<u64> {
    let Some(text) = variable(name) else { return Ok(otherwise) };
    text.parse().map_err(|_| Trouble::new(What::BadInput, format!("{name} is `{text}`; it must be a whole number")))
}

fn yes(name: &str, otherwise: bool) -> Outcome<bool> {
    match variable(name).as_deref() {
        None => Ok(otherwise),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(text) => Err(Trouble::new(What::BadInput, format!("{name} is `{text}`; it must be true or false"))),
    }
}

impl World {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Self::clock()
    }

    /// Now, by the machine's clock.
    pub fn clock() -> Timestamp {
        let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Where the lake is.
    ///
    /// # Errors
    /// Nobody said.
    pub fn location(&self) -> Outcome<String> {
        required("LAKE")
    }

    /// The lake.
    ///
    /// # Errors
    /// Nobody said where, or it is no place for one.
    pub fn lake(&self) -> Outcome<Lake> {
        Lake::create(&self.location()?).map_err(|error| Trouble::new(What::BadInput, error.to_string()))
    }

    /// The records.
    ///
    /// # Errors
    /// Nobody named the table.
    pub fn records(&self) -> Outcome<aws::records::DynamoDb> {
        Ok(self.aws.records(&required("RECORDS_TABLE")?))
    }

    /// The data products.
    ///
    /// # Errors
    /// Nobody said where exports land.
    pub fn exchange(&self) -> Outcome<aws::exchange::DataExchange> {
        Ok(self.aws.exchange(&required("EXPORTS")?)?)
    }

    /// Where exports land.
    ///
    /// # Errors
    /// Nobody said where.
    pub fn landing(&self) -> Outcome<aws::objects::S3> {
        Ok(self.aws.objects(&required("EXPORTS")?)?)
    }

    /// The data sets; none is possible.
    #[must_use]
    pub fn data_sets(&self) -> Vec<String> {
        list(&variable("DATA_SETS").unwrap_or_default())
    }

    /// How an import is made; a container has room for any.
    ///
    /// # Errors
    /// A number that is none.
    pub fn ingest(&self, in_container: bool) -> Outcome<ingest::Settings> {
        let bytes_max = if in_container { u64::MAX } else { number("INGEST_BYTES_MAX", INGEST_BYTES_MAX)? };
        Ok(ingest::Settings { data_sets: self.data_sets(), bytes_max, profile: variable("INGEST_PROFILE") })
    }

    fn database() -> String {
        variable("DATABASE").unwrap_or_else(|| "algo_data".to_owned())
    }

    /// The crawler and its database.
    ///
    /// # Errors
    /// A number that is none.
    pub fn catalogue(&self) -> Outcome<catalogue::Settings> {
        Ok(catalogue::Settings {
            crawler: variable("CRAWLER"),
            database: Self::database(),
            seconds_max: number("CRAWL_SECONDS_MAX", catalogue::CRAWL_SECONDS_MAX)?,
        })
    }

    /// Queries, and how much one may read.
    ///
    /// # Errors
    /// A number that is none.
    pub fn queries(&self) -> Outcome<(aws::queries::Athena, u64)> {
        let workgroup = variable("WORKGROUP").unwrap_or_else(|| "MyWorkGroup".to_owned());
        Ok((self.aws.queries(&workgroup, &Self::database()), number("SCAN_BYTES_MAX", SCAN_BYTES_MAX)?))
    }

    /// The model that scores, empty for none, and the endpoint that answers for it.
    #[must_use]
    pub fn model(&self) -> (String, Option<aws::endpoint::SageMaker>) {
        let name = std::env::var("MODEL").unwrap_or_else(|_| "forecast".to_owned());
        (name, variable("ENDPOINT").map(|endpoint| self.aws.endpoint(&endpoint)))
    }

    /// Containers.
    ///
    /// # Errors
    /// Nobody named the cluster or its network.
    pub fn tasks(&self) -> Outcome<aws::tasks::Ecs> {
        Ok(self.aws.tasks(aws::tasks::Cluster {
            name: required("CLUSTER")?,
            subnets: list(&required("SUBNETS")?),
            public_address: yes("PUBLIC_ADDRESS", true)?,
            security_groups: list(&required("SECURITY_GROUPS")?),
            prefix: variable("TASK_PREFIX").unwrap_or_default(),
        }))
    }

    /// Words to people.
    ///
    /// # Errors
    /// Nobody named the topic.
    pub fn notices(&self) -> Outcome<aws::notices::Sns> {
        Ok(self.aws.notices(&required("TOPIC_ARN")?))
    }

    /// Figures.
    #[must_use]
    pub fn figures(&self) -> aws::figures::CloudWatch {
        self.aws.figures(&variable("METRICS_NAMESPACE").unwrap_or_else(|| "algotrading".to_owned()))
    }

    /// A variable that a container is started with.
    ///
    /// # Errors
    /// It was not.
    pub fn given(&self, name: &str) -> Outcome<String> {
        required(name)
    }

    /// A variable that may be left out.
    #[must_use]
    pub fn perhaps(&self, name: &str) -> Option<String> {
        variable(name)
    }

    /// A whole number that may be left out.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, name: &str, otherwise: u64) -> Outcome<u64> {
        number(name, otherwise)
    }

    /// The market stream.
    ///
    /// # Errors
    /// Nobody named it.
    pub fn stream(&self) -> Outcome<aws::stream::Kinesis> {
        Ok(self.aws.stream(&required("MARKET_STREAM")?))
    }

    /// Orders on their way to the broker adapter.
    ///
    /// # Errors
    /// Nobody named the queue.
    pub fn orders(&self) -> Outcome<aws::queue::Sqs> {
        Ok(self.aws.queue(&required("ORDERS_QUEUE_URL")?))
    }

    /// What became of them, on its way back.
    ///
    /// # Errors
    /// Nobody named the queue.
    pub fn executions(&self) -> Outcome<aws::queue::Sqs> {
        Ok(self.aws.queue(&required("EXECUTIONS_QUEUE_URL")?))
    }

    /// The journals.
    ///
    /// # Errors
    /// Nobody named the table.
    pub fn journals(&self) -> Outcome<std::sync::Arc<aws::lines::DynamoLines>> {
        Ok(std::sync::Arc::new(self.aws.lines(&required("JOURNAL_TABLE")?)))
    }

    /// Where finished journals are kept; none is possible.
    ///
    /// # Errors
    /// It is no place.
    pub fn archive(&self) -> Outcome<Option<aws::archive::LockedBucket>> {
        Ok(variable("ARCHIVE").map(|place| self.aws.archive(&place)).transpose()?)
    }

    /// A name that no other process has.
    #[must_use]
    pub fn owner(&self, program: &str) -> String {
        let draw = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        let place = variable("HOSTNAME").unwrap_or_else(|| "this machine".to_owned());
        format!("{program} {} on {place} ({draw:08x})", std::process::id())
    }
}
