//! What all clients share, and where the adapters are made.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use ports::Answer;
use tokio::runtime::Handle;

use crate::archive::LockedBucket;
use crate::calls::Calls;
use crate::catalog::Glue;
use crate::endpoint::SageMaker;
use crate::exchange::DataExchange;
use crate::figures::CloudWatch;
use crate::lines::DynamoLines;
use crate::notices::Sns;
use crate::objects::S3;
use crate::place::Place;
use crate::queries::Athena;
use crate::queue::Sqs;
use crate::records::DynamoDb;
use crate::secrets::SecretsManager;
use crate::stream::Kinesis;
use crate::tasks::{Cluster, Ecs};

/// How often a call is made at most, the first time included.
pub const ATTEMPTS: u32 = 4;
/// How long it may take to reach a service.
pub const CONNECT: Duration = Duration::from_secs(2);
/// How long one attempt may take.
pub const ATTEMPT: Duration = Duration::from_secs(16);
/// How long a call may take, with its attempts and the pauses between them.
pub const CALL: Duration = Duration::from_secs(48);

/// How the clients are set up: region, credentials and endpoints from the environment, calls that were throttled or
/// lost repeated after growing, random pauses, TLS without C. A caller may still change it.
///
/// The region is looked for in the environment and the profile only: the third place would be asked over the network,
/// and no machine that answers there runs this.
pub fn loader() -> ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(region)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
}

/// Makes the adapters. An adapter may be used from any thread but one that drives other tasks of a runtime with a
/// single thread.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    runtime: Handle,
}

impl Aws {
    /// As the environment says, on the runtime it is called in. Nothing is asked of the network.
    pub async fn load() -> Self {
        Self::new(loader().load().await, Handle::current())
    }

    /// Of a configuration, on a runtime with several threads.
    #[must_use]
    pub fn new(config: SdkConfig, runtime: Handle) -> Self {
        Self { config, runtime }
    }

    fn calls(&self, service: &'static str) -> Calls {
        Calls::new(service, self.runtime.clone())
    }

    /// Data products, exported to `s3://bucket/prefix`.
    ///
    /// # Errors
    /// That is no such place.
    pub fn exchange(&self, exports: &str) -> Answer<DataExchange> {
        Ok(DataExchange::new(&self.config, self.calls("Data Exchange"), Place::parse(exports)?))
    }

    /// The files below `s3://bucket/prefix`.
    ///
    /// # Errors
    /// That is no such place.
    pub fn objects(&self, place: &str) -> Answer<S3> {
        Ok(S3::new(&self.config, self.calls("S3"), Place::parse(place)?))
    }

    /// The records of a table.
    #[must_use]
    pub fn records(&self, table: &str) -> DynamoDb {
        DynamoDb::new(&self.config, self.calls("DynamoDB"), table)
    }

    /// The catalogue.
    #[must_use]
    pub fn catalog(&self) -> Glue {
        Glue::new(&self.config, self.calls("Glue"))
    }

    /// Queries of a database in a workgroup.
    #[must_use]
    pub fn queries(&self, workgroup: &str, database: &str) -> Athena {
        Athena::new(&self.config, self.calls("Athena"), workgroup, database)
    }

    /// The model behind an endpoint.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> SageMaker {
        SageMaker::new(&self.config, self.calls("SageMaker"), name)
    }

    /// Containers in a cluster.
    #[must_use]
    pub fn tasks(&self, cluster: Cluster) -> Ecs {
        Ecs::new(&self.config, self.calls("ECS"), cluster)
    }

    /// Words to who listens to a topic.
    #[must_use]
    pub fn notices(&self, topic_arn: &str) -> Sns {
        Sns::new(&self.config, self.calls("SNS"), topic_arn)
    }

    /// Figures in a namespace.
    #[must_use]
    pub fn figures(&self, namespace: &str) -> CloudWatch {
        CloudWatch::new(&self.config, self.calls("CloudWatch"), namespace)
    }

    /// A stream of market events.
    #[must_use]
    pub fn stream(&self, name: &str) -> Kinesis {
        Kinesis::new(&self.config, self.calls("Kinesis"), name)
    }

    /// A FIFO queue.
    #[must_use]
    pub fn queue(&self, url: &str) -> Sqs {
        Sqs::new(&self.config, self.calls("SQS"), url)
    }

    /// The journals of a table.
    #[must_use]
    pub fn lines(&self, table: &str) -> DynamoLines {
        DynamoLines::new(&self.config, self.calls("DynamoDB"), table)
    }

    /// Files that stay, below `s3://bucket/prefix`.
    ///
    /// # Errors
    /// That is no such place.
    pub fn archive(&self, place: &str) -> Answer<LockedBucket> {
        Ok(LockedBucket::new(&self.config, self.calls("S3"), Place::parse(place)?))
    }

    /// The secrets of the account.
    #[must_use]
    pub fn secrets(&self) -> SecretsManager {
        SecretsManager::new(&self.config, self.calls("Secrets Manager"))
    }
}
