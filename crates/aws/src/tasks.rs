//! Containers in ECS on Fargate.

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, Container, ContainerOverride, Failure, KeyValuePair, LaunchType,
    NetworkConfiguration, Task, TaskOverride,
};
use ports::tasks::{TaskRequest, TaskState, Tasks};
use ports::{Answer, CallError, Kind};

use crate::calls::Calls;
use crate::error::by_words;

/// Where containers run.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Name or ARN.
    pub name: String,
    /// Their ids.
    pub subnets: Vec<String>,
    /// Whether a container gets an address of its own: without one it needs a NAT gateway or interface endpoints.
    pub public_address: bool,
    /// May be empty: then the network's own.
    pub security_groups: Vec<String>,
    /// What the name of a definition has before the name of the task.
    pub prefix: String,
}

/// Containers in a cluster.
#[derive(Debug, Clone)]
pub struct Ecs {
    client: Client,
    calls: Calls,
    cluster: Cluster,
}

impl Ecs {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, cluster: Cluster) -> Self {
        Self { client: Client::new(config), calls, cluster }
    }

    /// A request may be answered, and still nothing runs.
    fn refused(&self, call: &'static str, resource: &str, failures: &[Failure]) -> CallError {
        let told: Vec<_> = failures
            .iter()
            .map(|failure| [failure.reason(), failure.detail()].into_iter().flatten().collect::<Vec<_>>().join(": "))
            .collect();
        let missing = failures.iter().any(|failure| failure.reason() == Some("MISSING"));
        let kind = if missing { Kind::NotFound } else { Kind::Service };
        match told.join("; ") {
            words if words.is_empty() => self.calls.lacking(call, resource, "task"),
            words => self.calls.error(call, resource, kind, words),
        }
    }

    /// The container that is called like the task: the platform may put others beside it.
    fn container<'a>(&self, task: &'a Task) -> Option<&'a Container> {
        let definition = task.task_definition_arn().and_then(|arn| arn.rsplit('/').next());
        let family = definition.and_then(|definition| definition.split(':').next());
        let name = family.and_then(|family| family.strip_prefix(self.cluster.prefix.as_str()));
        let named = task.containers().iter().find(|container| container.name().is_some() && container.name() == name);
        named.or(task.containers().first())
    }
}

impl Tasks for Ecs {
    fn start(&self, request: &TaskRequest) -> Answer<String> {
        let (call, definition) = ("RunTask", format!("{}{}", self.cluster.prefix, request.name));
        let public = if self.cluster.public_address { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(self.cluster.subnets.clone()))
            .set_security_groups(
                (!self.cluster.security_groups.is_empty()).then(|| self.cluster.security_groups.clone()),
            )
            .assign_public_ip(public)
            .build()
            .map_err(|error| self.calls.error(call, &definition, Kind::Invalid, error.to_string()))?;
        let pairs =
            request.environment.iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
        let container = ContainerOverride::builder().name(&request.name).set_environment(Some(pairs.collect())).build();
        let request = self
            .client
            .run_task()
            .cluster(&self.cluster.name)
            .task_definition(&definition)
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .overrides(TaskOverride::builder().container_overrides(container).build())
            .client_token(&request.token)
            .count(1);
        let answer = self.calls.ask(call, &definition, request.send()).map_err(by_words)?;
        let arn = answer.tasks().first().and_then(|task| task.task_arn());
        let id = arn.and_then(|arn| arn.rsplit('/').next()).map(str::to_owned);
        id.ok_or_else(|| self.refused(call, &definition, answer.failures()))
    }

    fn state(&self, task: &str) -> Answer<TaskState> {
        let call = "DescribeTasks";
        let request = self.client.describe_tasks().cluster(&self.cluster.name).tasks(task);
        let answer = self.calls.ask(call, task, request.send()).map_err(by_words)?;
        let found = answer.tasks().first().ok_or_else(|| self.refused(call, task, answer.failures()))?;
        if found.last_status() != Some("STOPPED") {
            return Ok(TaskState::Running);
        }
        let container = self.container(found);
        let reasons = [found.stopped_reason(), container.and_then(|container| container.reason())];
        Ok(TaskState::Stopped {
            exit_code: container.and_then(|container| container.exit_code()),
            reason: reasons.into_iter().flatten().filter(|reason| !reason.is_empty()).collect::<Vec<_>>().join("; "),
        })
    }
}
