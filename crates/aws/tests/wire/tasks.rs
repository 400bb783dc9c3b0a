use aws::tasks::Cluster;
use ports::Kind;
use ports::tasks::{TaskRequest, TaskState, Tasks};
use serde_json::{Value, json as value};

use crate::common::{Wire, json, refused};
use crate::failures::cluster;

fn request() -> TaskRequest {
    TaskRequest {
        name: "strategy-runner".into(),
        environment: vec![("SESSION".into(), "2013-03-01".into())],
        token: "sma-2013-03-01-1".into(),
    }
}

#[test]
fn a_task_is_started_on_fargate_with_its_environment() {
    let arn = "arn:aws:ecs:eu-central-1:1:task/algo/0123abcd";
    let wire = Wire::new([json(value!({ "tasks": [{ "taskArn": arn }], "failures": [] }))]);
    assert_eq!(wire.aws.tasks(cluster()).start(&request()).unwrap(), "0123abcd");
    let sent = &wire.bodies(".RunTask")[0];
    assert_eq!(sent["cluster"], "algo");
    assert_eq!(sent["taskDefinition"], "algo-strategy-runner");
    assert_eq!(sent["launchType"], "FARGATE");
    assert_eq!(sent["clientToken"], "sma-2013-03-01-1");
    assert_eq!(
        sent["networkConfiguration"],
        value!({ "awsvpcConfiguration": {
        "subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED",
    } })
    );
    assert_eq!(
        sent["overrides"],
        value!({ "containerOverrides": [{
        "name": "strategy-runner", "environment": [{ "name": "SESSION", "value": "2013-03-01" }],
    }] })
    );
}

#[test]
fn in_a_private_network_a_task_has_no_public_address() {
    let wire = Wire::new([json(value!({ "tasks": [{ "taskArn": "arn:aws:ecs:eu-central-1:1:task/algo/1" }] }))]);
    let private = Cluster { public_address: false, ..cluster() };
    wire.aws.tasks(private).start(&request()).unwrap();
    let sent = &wire.bodies(".RunTask")[0];
    assert_eq!(sent["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"], "DISABLED");
}

#[test]
fn an_answer_without_a_task_is_a_failure_with_its_reason() {
    let failures = value!([{ "reason": "Capacity is unavailable at this time", "detail": "eu-central-1a" }]);
    let wire = Wire::new([json(value!({ "tasks": [], "failures": failures }))]);
    let error = wire.aws.tasks(cluster()).start(&request()).unwrap_err();
    assert_eq!(error.kind, Kind::Service);
    assert_eq!(error.message, "Capacity is unavailable at this time: eu-central-1a");
    let wire = Wire::new([refused(400, "ClientException", "TaskDefinition not found.")]);
    assert_eq!(wire.aws.tasks(cluster()).start(&request()).unwrap_err().kind, Kind::NotFound);
    let wire = Wire::new([refused(400, "InvalidParameterException", "subnet-1 is bad")]);
    assert_eq!(wire.aws.tasks(cluster()).start(&request()).unwrap_err().kind, Kind::Invalid);
}

fn state(task: Value) -> TaskState {
    let wire = Wire::new([json(value!({ "tasks": [task], "failures": [] }))]);
    let told = wire.aws.tasks(cluster()).state("0123abcd").unwrap();
    assert_eq!(wire.bodies(".DescribeTasks"), [value!({ "cluster": "algo", "tasks": ["0123abcd"] })]);
    told
}

#[test]
fn a_task_tells_where_it_stands_and_how_its_container_ended() {
    for at_work in ["PROVISIONING", "PENDING", "RUNNING", "STOPPING", "DEPROVISIONING"] {
        assert_eq!(state(value!({ "lastStatus": at_work })), TaskState::Running);
    }
    let definition = "arn:aws:ecs:eu-central-1:1:task-definition/algo-strategy-runner:7";
    let ended = state(value!({
        "lastStatus": "STOPPED", "stoppedReason": "Essential container in task exited", "taskDefinitionArn": definition,
        "containers": [{ "name": "guard", "exitCode": 137 }, { "name": "strategy-runner", "exitCode": 0 }],
    }));
    let reason = "Essential container in task exited".to_owned();
    assert_eq!(ended, TaskState::Stopped { exit_code: Some(0), reason });
    let never_ran = state(value!({
        "lastStatus": "STOPPED", "stoppedReason": "Task failed to start",
        "containers": [{ "name": "strategy-runner", "reason": "CannotPullContainerError" }],
    }));
    let reason = "Task failed to start; CannotPullContainerError".to_owned();
    assert_eq!(never_ran, TaskState::Stopped { exit_code: None, reason });
}

#[test]
fn a_forgotten_task_is_not_found() {
    let wire = Wire::new([json(value!({ "tasks": [], "failures": [{ "arn": "a", "reason": "MISSING" }] }))]);
    let error = wire.aws.tasks(cluster()).state("0123abcd").unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::NotFound, "MISSING"));
    let wire = Wire::new([refused(400, "ClusterNotFoundException", "Cluster not found.")]);
    assert_eq!(wire.aws.tasks(cluster()).state("0123abcd").unwrap_err().kind, Kind::NotFound);
}
