//! The tasks of ECS: a container is the program of its name, run on this machine with the task's environment.
//!
//! Clusters and task definitions are the emulator's; everything but tasks goes on to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::clock;
use crate::faults::{Faults, Wrong};
use crate::router::Call;
use crate::upstream::Upstream;
use crate::wire::{Answer, Caller, Refusal, input, text, texts};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";
/// How long a container that is told to stop may take, unless its definition says; on AWS it is 30 seconds.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Ecs {
    upstream: Upstream,
    faults: Arc<Faults>,
    bin_dir: PathBuf,
    log_dir: PathBuf,
    tasks: Arc<Mutex<BTreeMap<String, Task>>>,
}

struct Task {
    shown: Value,
    cluster: String,
    token: Option<String>,
    /// What the task was asked for with.
    request: Value,
    /// Tells the containers to stop, and why.
    stop: watch::Sender<Option<String>>,
}

impl Ecs {
    pub(crate) fn new(upstream: Upstream, faults: Arc<Faults>, bin_dir: PathBuf, log_dir: PathBuf) -> Self {
        Self { upstream, faults, bin_dir, log_dir, tasks: Arc::default() }
    }

    /// The answer to an operation about tasks; nothing to another.
    pub(crate) async fn handle(&self, operation: &str, call: &Call) -> Option<Answer<Value>> {
        let request = match input(&call.body) {
            Ok(request) => request,
            Err(refusal) => return Some(Err(refusal)),
        };
        Some(match operation {
            "RunTask" => self.run(&request, &call.caller).await,
            "DescribeTasks" => Ok(self.describe(&request)),
            "ListTasks" => Ok(self.list(&request)),
            "StopTask" => self.stop(&request),
            _ => return None,
        })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, request: &Value, caller: &Caller) -> Answer<Value> {
        let cluster = short(request["cluster"].as_str().unwrap_or("default")).to_owned();
        let token = request["clientToken"].as_str().map(|token| format!("{}/{cluster}/{token}", caller.access_key));
        let known = |tasks: &BTreeMap<String, Task>| {
            let mut same = tasks.values().filter(|task| token.is_some() && task.token == token).peekable();
            same.peek()?;
            let (same, others): (Vec<_>, Vec<_>) = same.partition(|task| task.request == *request);
            if let Some(other) = others.first() {
                let message = "The provided clientToken is already in use with a different RunTask request.";
                let ids = json!([other.shown["taskArn"]]);
                return Some(Err(Refusal::new("ConflictException", message).with("resourceIds", ids)));
            }
            Some(Ok(answer(same.into_iter().map(|task| task.shown.clone()).collect())))
        };
        if let Some(known) = known(&self.locked()) {
            return known;
        }
        let count = request["count"].as_u64().unwrap_or(1);
        if !(1..=10).contains(&count) {
            return Err(Refusal::new("InvalidParameterException", "count must be between 1 and 10"));
        }
        let found = self
            .upstream
            .call(caller, &format!("{TARGET}.DescribeClusters"), &json!({ "clusters": [cluster] }))
            .await?;
        let active = |cluster: &Value| text(cluster, "status") == "ACTIVE";
        if !found["clusters"].as_array().is_some_and(|found| found.iter().any(active)) {
            return Err(Refusal::new("ClusterNotFoundException", "Cluster not found."));
        }
        let wanted = json!({ "taskDefinition": text(request, "taskDefinition") });
        let found = self.upstream.call(caller, &format!("{TARGET}.DescribeTaskDefinition"), &wanted).await?;
        let definition = &found["taskDefinition"];
        let containers: Vec<Value> = definition["containerDefinitions"].as_array().cloned().unwrap_or_default();
        let (mut shown, mut works) = (Vec::new(), Vec::new());
        {
            // Two calls with the same token may have come this far; the first one starts the tasks.
            let mut tasks = self.locked();
            if let Some(known) = known(&tasks) {
                return known;
            }
            for _ in 0..count {
                let id = uuid::Uuid::new_v4().simple().to_string();
                let task = provisioned(&id, &cluster, definition, request, caller);
                shown.push(task.clone());
                let (stop, told) = watch::channel(None);
                let (cluster, token, request) = (cluster.clone(), token.clone(), request.clone());
                tasks.insert(id.clone(), Task { shown: task, cluster, token, request, stop });
                works.push((id, told));
            }
        }
        for (id, told) in works {
            let wrong = self.faults.within("ecs", "RunTask");
            let (own, containers, request) = (self.clone(), containers.clone(), request.clone());
            let region = caller.region.clone();
            tokio::spawn(async move { own.work(&id, &containers, &request, &region, wrong, told).await });
        }
        Ok(answer(shown))
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        if let Some(task) = self.locked().get_mut(id) {
            change(&mut task.shown);
        }
    }

    async fn work(
        &self,
        id: &str,
        containers: &[Value],
        request: &Value,
        region: &str,
        wrong: Option<Wrong>,
        mut told: watch::Receiver<Option<String>>,
    ) {
        let mut children = Vec::new();
        let mut broken = None;
        let exits = matches!(wrong, Some(Wrong::Exit { .. }));
        // Containers that are to exit at once are never started: what they do must not be seen.
        for (at, container) in containers.iter().enumerate().filter(|_| !exits) {
            match self.spawn(id, container, request, region) {
                Ok(child) => children.push((at, child)),
                Err(reason) => broken = Some((at, reason)),
            }
        }
        // Of each container whether it has ended, and with which code if one is known.
        let mut ends: Vec<Option<Option<i32>>> = vec![None; containers.len()];
        let mut reason = "Essential container in task exited".to_owned();
        let mut code = "EssentialContainerExited";
        if let Some((at, why)) = broken {
            reason.clone_from(&why);
            code = "TaskFailedToStart";
            self.change(id, |task| task["containers"][at]["reason"] = why.into());
        } else if let Some(Wrong::Exit { code }) = wrong {
            ends.fill(Some(Some(code)));
        } else {
            self.change(id, |task| {
                task["lastStatus"] = "RUNNING".into();
                task["startedAt"] = clock::epoch().into();
                for container in task["containers"].as_array_mut().into_iter().flatten() {
                    container["lastStatus"] = "RUNNING".into();
                }
            });
            let mut stopped = None;
            // The first essential container to end ends the task, or the last one of them all.
            while ends.contains(&None) && stopped.is_none() {
                tokio::select! {
                    (at, end) = first(&mut children) => {
                        children.retain(|(one, _)| *one != at);
                        ends[at] = Some(end);
                        self.change(id, |task| ended(&mut task["containers"][at], end));
                        if containers[at]["essential"].as_bool().unwrap_or(true) {
                            break;
                        }
                    }
                    told = told.wait_for(Option::is_some) => {
                        stopped = told.ok().and_then(|why| why.clone()).or(Some("the offline AWS ends".to_owned()));
                    }
                }
            }
            if let Some(why) = stopped {
                (reason, code) = (why, "UserInitiated");
            }
        }
        for (at, mut child) in children {
            let patience = containers[at]["stopTimeout"].as_u64().map_or(PATIENCE, Duration::from_secs);
            ends[at] = Some(end(&mut child, patience).await);
        }
        self.change(id, |task| {
            task["lastStatus"] = "STOPPED".into();
            task["desiredStatus"] = "STOPPED".into();
            task["stoppedReason"] = reason.into();
            task["stopCode"] = code.into();
            task["stoppedAt"] = clock::epoch().into();
            for (at, end) in ends.iter().enumerate() {
                ended(&mut task["containers"][at], end.flatten());
            }
        });
    }

    fn spawn(&self, id: &str, container: &Value, request: &Value, region: &str) -> Result<Child, String> {
        let name = text(container, "name");
        let program = self.bin_dir.join(name);
        let unusable = |reason: &dyn std::fmt::Display| {
            format!("CannotPullContainerError: `{}` cannot be run: {reason}", program.display())
        };
        if name.contains('/') || !program.is_file() {
            return Err(unusable(&"there is no such program"));
        }
        let overrides = request["overrides"]["containerOverrides"].as_array().into_iter().flatten();
        let more = overrides.filter(|one| text(one, "name") == name).collect::<Vec<_>>();
        let log = self.log_dir.join(format!("{id}-{name}.log"));
        let out = std::fs::create_dir_all(&self.log_dir)
            .and_then(|()| File::create(&log))
            .map_err(|error| unusable(&error))?;
        let errors = out.try_clone().map_err(|error| unusable(&error))?;
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("AWS_REGION", region)
            .envs(std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name == "PATH" || name == "TMPDIR"));
        for pair in
            [container].into_iter().chain(more.iter().copied()).flat_map(|one| one["environment"].as_array()).flatten()
        {
            command.env(text(pair, "name"), text(pair, "value"));
        }
        let arguments = more.iter().map(|one| texts(&one["command"])).find(|given| !given.is_empty());
        command.args(arguments.unwrap_or_else(|| texts(&container["command"])));
        command.stdin(Stdio::null()).stdout(out).stderr(errors).kill_on_drop(true);
        command.spawn().map_err(|error| unusable(&error))
    }

    fn describe(&self, request: &Value) -> Value {
        let tasks = self.locked();
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for arn in texts(&request["tasks"]) {
            match tasks.get(short(&arn)) {
                Some(task) => found.push(task.shown.clone()),
                None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
            }
        }
        json!({ "tasks": found, "failures": failures })
    }

    fn list(&self, request: &Value) -> Value {
        let cluster = short(request["cluster"].as_str().unwrap_or("default"));
        let status = request["desiredStatus"].as_str().unwrap_or("RUNNING");
        let tasks = self.locked();
        let fits = |task: &&Task| task.cluster == cluster && text(&task.shown, "desiredStatus") == status;
        let arns: Vec<_> = tasks.values().filter(fits).map(|task| task.shown["taskArn"].clone()).collect();
        json!({ "taskArns": arns })
    }

    fn stop(&self, request: &Value) -> Answer<Value> {
        let mut tasks = self.locked();
        let task = tasks.get_mut(short(text(request, "task")));
        let task =
            task.ok_or_else(|| Refusal::new("InvalidParameterException", "The referenced task was not found."))?;
        let reason = request["reason"].as_str().unwrap_or("Task stopped by user").to_owned();
        let _ = task.stop.send(Some(reason));
        task.shown["desiredStatus"] = "STOPPED".into();
        Ok(json!({ "task": task.shown }))
    }

    /// Ends all tasks, and waits until they have.
    pub(crate) async fn stop_all(&self) {
        for task in self.locked().values() {
            let _ = task.stop.send(Some("the offline AWS is stopped".to_owned()));
        }
        let all_stopped = || self.locked().values().all(|task| text(&task.shown, "lastStatus") == "STOPPED");
        for _ in 0..100 {
            if all_stopped() {
                break;
            }
            tokio::time::sleep(PATIENCE / 50).await;
        }
    }
}

fn answer(tasks: Vec<Value>) -> Value {
    json!({ "tasks": tasks, "failures": [] })
}

/// A task that is not yet running.
fn provisioned(id: &str, cluster: &str, definition: &Value, request: &Value, caller: &Caller) -> Value {
    let arn = |kind: &str, rest: &str| format!("arn:aws:ecs:{}:{}:{kind}/{rest}", caller.region, caller.account());
    let container = |container: &Value| {
        json!({ "name": text(container, "name"), "image": text(container, "image"), "lastStatus": "PENDING",
                "containerArn": arn("container", &format!("{cluster}/{id}/{}", text(container, "name"))) })
    };
    let containers = definition["containerDefinitions"].as_array().into_iter().flatten();
    json!({
        "taskArn": arn("task", &format!("{cluster}/{id}")), "clusterArn": arn("cluster", cluster),
        "taskDefinitionArn": definition["taskDefinitionArn"], "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING", "launchType": "FARGATE", "startedBy": request["startedBy"],
        "overrides": request["overrides"], "createdAt": clock::epoch(),
        "containers": containers.map(container).collect::<Vec<_>>(),
    })
}

fn ended(container: &mut Value, code: Option<i32>) {
    container["lastStatus"] = "STOPPED".into();
    if let Some(code) = code {
        container["exitCode"] = code.into();
    }
}

/// The last part of an ARN, or the name as it is.
fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    // As a container says it: 128 and the signal.
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The first of some children that ends, and how.
async fn first(children: &mut [(usize, Child)]) -> (usize, Option<i32>) {
    loop {
        for (at, child) in children.iter_mut() {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return (*at, Some(code(status))),
                Err(_) => return (*at, None),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends a child: asked first, and then made to.
async fn end(child: &mut Child, patience: Duration) -> Option<i32> {
    if let Some(id) = child.id() {
        let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
    }
    if let Ok(status) = tokio::time::timeout(patience, child.wait()).await {
        return status.ok().map(code);
    }
    let _ = child.kill().await;
    child.wait().await.ok().map(code)
}
