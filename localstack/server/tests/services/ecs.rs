//! A task is its containers' programs, run here.

use std::collections::BTreeSet;
use std::fs;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{ContainerOverride, DesiredStatus, KeyValuePair, Task, TaskOverride, TaskStopCode};
use serde_json::json;

use crate::support::{Offline, until};

async fn run(client: &Client, definition: &str, token: Option<&str>) -> String {
    let over = KeyValuePair::builder().name("FROM").value("override").build();
    let over = ContainerOverride::builder().name(definition).environment(over).build();
    let request = client.run_task().cluster("cluster").task_definition(definition);
    let request = request.overrides(TaskOverride::builder().container_overrides(over).build());
    let started = request.set_client_token(token.map(str::to_owned)).send().await.unwrap();
    started.tasks()[0].task_arn().unwrap().to_owned()
}

async fn in_state(client: &Client, arn: &str, state: &str) -> Task {
    let ask = || async {
        let found = client.describe_tasks().cluster("cluster").tasks(arn).send().await.unwrap();
        found.tasks()[0].clone()
    };
    until(ask, |task| task.last_status() == Some(state)).await
}

fn said(offline: &Offline, arn: &str, container: &str) -> String {
    let id = arn.rsplit('/').next().unwrap();
    fs::read_to_string(offline.path("logs").join(format!("{id}-{container}.log"))).unwrap()
}

async fn started() -> (Offline, Client) {
    let offline = Offline::start().await;
    let client = Client::new(&offline.config());
    (offline, client)
}

#[tokio::test]
async fn a_container_runs_with_its_environment_and_its_exit_code_ends_the_task() {
    let (offline, client) = started().await;
    offline.container("exits", "echo $FROM $KEPT $AWS_ENDPOINT_URL; echo wrong >&2; exit 7");
    let arn = run(&client, "exits", None).await;
    let task = in_state(&client, &arn, "STOPPED").await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(task.stopped_reason(), Some("Essential container in task exited"));
    let [container] = task.containers() else { panic!("{task:?}") };
    assert_eq!((container.exit_code(), container.last_status()), (Some(7), Some("STOPPED")));
    let said = said(&offline, &arn, "exits");
    assert!(said.starts_with("override kept http://127.0.0.1:") && said.ends_with("\nwrong\n"), "{said}");
}

#[tokio::test]
async fn the_same_token_starts_one_task() {
    let (offline, client) = started().await;
    offline.container("exits", "exit 0");
    let (first, second) = tokio::join!(run(&client, "exits", Some("t")), run(&client, "exits", Some("t")));
    assert_eq!(first, second);
    assert_eq!(run(&client, "exits", Some("t")).await, first);
    assert_ne!(run(&client, "exits", Some("other")).await, first);
    assert_ne!(run(&client, "exits", None).await, run(&client, "exits", None).await);
    assert_eq!(in_state(&client, &first, "STOPPED").await.containers()[0].exit_code(), Some(0));
}

#[tokio::test]
async fn a_stopped_task_is_asked_first_and_then_made_to_end() {
    let (offline, client) = started().await;
    offline.container("polite", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    offline.container("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    for (definition, exit_code) in [("polite", 5), ("stubborn", 128 + 9)] {
        let arn = run(&client, definition, None).await;
        in_state(&client, &arn, "RUNNING").await;
        // The program has set its trap.
        until(|| async { said(&offline, &arn, definition) }, |said| said == "ready\n").await;
        let listed = client.list_tasks().cluster("cluster").send().await.unwrap();
        assert_eq!(listed.task_arns(), [arn.as_str()]);
        let told = client.stop_task().cluster("cluster").task(&arn).reason("enough").send().await.unwrap();
        assert_eq!(told.task().unwrap().desired_status(), Some("STOPPED"));
        let task = in_state(&client, &arn, "STOPPED").await;
        assert_eq!((task.stopped_reason(), task.containers()[0].exit_code()), (Some("enough"), Some(exit_code)));
        assert_eq!(task.stop_code(), Some(&TaskStopCode::UserInitiated));
    }
    let stopped = client.list_tasks().cluster("cluster").desired_status(DesiredStatus::Stopped).send().await.unwrap();
    assert_eq!(stopped.task_arns().len(), 2);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_image_that_cannot_be_pulled() {
    let (offline, client) = started().await;
    offline.define("absent", "exit 0");
    let arn = run(&client, "absent", None).await;
    let task = in_state(&client, &arn, "STOPPED").await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    let [container] = task.containers() else { panic!("{task:?}") };
    assert_eq!(container.exit_code(), None);
    assert!(container.reason().unwrap().starts_with("CannotPullContainerError: "), "{container:?}");
}

#[tokio::test]
async fn what_the_emulator_does_not_have_is_refused_and_other_calls_are_its_own() {
    let (offline, client) = started().await;
    offline.container("exits", "exit 0");
    let nowhere = client.run_task().cluster("nobody").task_definition("exits").send().await.unwrap_err();
    assert_eq!(nowhere.code(), Some("ClusterNotFoundException"));
    let nothing = client.run_task().cluster("cluster").task_definition("nobody").send().await.unwrap_err();
    assert_eq!(nothing.code(), Some("ClientException"));
    let missing = client.describe_tasks().cluster("cluster").tasks("nobody").send().await.unwrap();
    assert_eq!(missing.failures()[0].reason(), Some("MISSING"));
    let stop = client.stop_task().cluster("cluster").task("nobody").send().await.unwrap_err();
    assert_eq!(stop.code(), Some("InvalidParameterException"));
    assert_eq!(client.list_clusters().send().await.unwrap().cluster_arns(), ["the emulator's"]);
}

#[tokio::test]
async fn a_task_that_is_to_exit_never_runs() {
    let (offline, client) = started().await;
    let touched = offline.path("touched");
    offline.container("touches", &format!("touch {}", touched.display()));
    offline.fault(json!({ "service": "ecs", "do": "exit", "code": 3 })).await;
    let arn = run(&client, "touches", None).await;
    assert_eq!(in_state(&client, &arn, "STOPPED").await.containers()[0].exit_code(), Some(3));
    let next = run(&client, "touches", None).await;
    assert!(
        !fs::exists(offline.path("logs").join(format!("{}-touches.log", arn.rsplit('/').next().unwrap()))).unwrap()
    );
    assert_eq!(in_state(&client, &next, "STOPPED").await.containers()[0].exit_code(), Some(0));
    assert!(fs::exists(touched).unwrap());
}

#[tokio::test]
async fn tasks_end_with_the_server_even_while_a_call_hangs() {
    let (mut offline, client) = started().await;
    offline.container("endless", "echo $$; while :; do sleep 0.05; done");
    let arn = run(&client, "endless", None).await;
    in_state(&client, &arn, "RUNNING").await;
    let process = until(|| async { said(&offline, &arn, "endless") }, |said| said.ends_with('\n')).await;
    let process = process.trim().to_owned();
    offline.fault(json!({ "service": "ecs", "call": "ListTasks", "do": "delay", "ms": 6_000 })).await;
    let hangs = tokio::spawn(client.list_tasks().cluster("cluster").send());
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let signalled = std::process::Command::new("kill").args(["-TERM", &offline.process().to_string()]).status();
    assert!(signalled.unwrap().success());
    let began = std::time::Instant::now();
    // No signal: it only says whether the process is there.
    let asks =
        || std::process::Command::new("kill").args(["-0", &process]).stderr(std::process::Stdio::null()).status();
    let runs = || async { asks().unwrap().success() };
    until(runs, |runs| !runs).await;
    assert!(began.elapsed().as_secs() < 4 && !offline.has_ended(), "before the call that hangs");
    drop(hangs.await);
}

#[tokio::test]
async fn a_token_is_of_one_request_and_a_count_is_of_tasks() {
    let (offline, client) = started().await;
    offline.container("exits", "exit 0");
    let ask = |count| client.run_task().cluster("cluster").task_definition("exits").client_token("t").count(count);
    let arns = |tasks: &[Task]| tasks.iter().map(|task| task.task_arn().unwrap().to_owned()).collect::<BTreeSet<_>>();
    let first = arns(ask(2).send().await.unwrap().tasks());
    assert_eq!((first.len(), arns(ask(2).send().await.unwrap().tasks())), (2, first.clone()));
    let other = ask(1).send().await.unwrap_err();
    assert_eq!(other.code(), Some("ConflictException"));
    assert_eq!(ask(11).client_token("u").send().await.unwrap_err().code(), Some("InvalidParameterException"));
    for arn in first {
        in_state(&client, &arn, "STOPPED").await;
    }
}

#[tokio::test]
async fn only_an_essential_container_ends_its_task() {
    let (offline, client) = started().await;
    offline.container("main", "sleep 0.4; exit 3");
    offline.container("side", "exit 9");
    {
        let mut definitions = offline.emulator.definitions.lock().unwrap();
        let mut both = [definitions["main"][0].clone(), definitions["side"][0].clone()];
        both[1]["essential"] = false.into();
        definitions.insert("both".to_owned(), json!(both));
    }
    let arn = run(&client, "both", None).await;
    let ask = || async {
        let found = client.describe_tasks().cluster("cluster").tasks(&arn).send().await.unwrap();
        found.tasks()[0].clone()
    };
    let running = until(ask, |task| task.containers()[1].exit_code() == Some(9)).await;
    assert_eq!((running.last_status(), running.containers()[0].exit_code()), (Some("RUNNING"), None));
    let task = in_state(&client, &arn, "STOPPED").await;
    assert_eq!(task.containers().iter().map(|one| one.exit_code()).collect::<Vec<_>>(), [Some(3), Some(9)]);
}

#[tokio::test]
async fn a_stubborn_container_has_the_time_that_its_definition_gives() {
    let (offline, client) = started().await;
    offline.container("slow", "trap 'sleep 2.5; exit 6' TERM; echo ready; while :; do sleep 0.05; done");
    offline.emulator.definitions.lock().unwrap().get_mut("slow").unwrap()[0]["stopTimeout"] = 10.into();
    let arn = run(&client, "slow", None).await;
    in_state(&client, &arn, "RUNNING").await;
    until(|| async { said(&offline, &arn, "slow") }, |text| text.contains("ready")).await;
    let stopping = client.stop_task().cluster("cluster").task(&arn).send().await.unwrap();
    assert_eq!(stopping.task().unwrap().desired_status(), Some("STOPPED"));
    assert_eq!(in_state(&client, &arn, "STOPPED").await.containers()[0].exit_code(), Some(6));
}
