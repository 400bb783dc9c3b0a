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
/// How long a task that is told to stop may take.
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
            let same = tasks.values().find(|task| token.is_some() && task.token == token);
            same.map(|task| json!({ "tasks": [task.shown], "failures": [] }))
        };
        if let Some(known) = known(&self.locked()) {
            return Ok(known);
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
        let id = uuid::Uuid::new_v4().simple().to_string();
        let account = caller.account();
        let arn = |kind: &str, rest: &str| format!("arn:aws:ecs:{}:{account}:{kind}/{rest}", caller.region);
        let containers: Vec<Value> = definition["containerDefinitions"].as_array().cloned().unwrap_or_default();
        let shown_container = |container: &Value| {
            json!({ "name": text(container, "name"), "image": text(container, "image"), "lastStatus": "PENDING",
                    "containerArn": arn("container", &format!("{cluster}/{id}/{}", text(container, "name"))) })
        };
        let shown = json!({
            "taskArn": arn("task", &format!("{cluster}/{id}")), "clusterArn": arn("cluster", &cluster),
            "taskDefinitionArn": definition["taskDefinitionArn"], "lastStatus": "PROVISIONING",
            "desiredStatus": "RUNNING", "launchType": "FARGATE", "startedBy": request["startedBy"],
            "overrides": request["overrides"], "createdAt": clock::epoch(),
            "containers": containers.iter().map(shown_container).collect::<Vec<_>>(),
        });
        let (stop, told) = watch::channel(None);
        {
            // Two calls with the same token may have come this far; the first one starts the task.
            let mut tasks = self.locked();
            if let Some(known) = known(&tasks) {
                return Ok(known);
            }
            tasks.insert(id.clone(), Task { shown: shown.clone(), cluster, token, stop });
        }
        let wrong = self.faults.within("ecs", "RunTask");
        let (own, request, region) = (self.clone(), request.clone(), caller.region.clone());
        tokio::spawn(async move { own.work(&id, &containers, &request, &region, wrong, told).await });
        Ok(json!({ "tasks": [shown], "failures": [] }))
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
        let mut ends = vec![None; containers.len()];
        let mut reason = "Essential container in task exited".to_owned();
        let mut code = "EssentialContainerExited";
        if let Some((at, why)) = broken {
            reason.clone_from(&why);
            code = "TaskFailedToStart";
            self.change(id, |task| task["containers"][at]["reason"] = why.into());
        } else if let Some(Wrong::Exit { code }) = wrong {
            ends.fill(Some(code));
        } else {
            self.change(id, |task| {
                task["lastStatus"] = "RUNNING".into();
                task["startedAt"] = clock::epoch().into();
                for container in task["containers"].as_array_mut().into_iter().flatten() {
                    container["lastStatus"] = "RUNNING".into();
                }
            });
            // The first container to end ends the task.
            let stopped = tokio::select! {
                (at, end) = first(&mut children) => {
                    ends[at] = end;
                    None
                }
                stopped = told.wait_for(Option::is_some) => stopped.ok().and_then(|why| why.clone()),
            };
            if let Some(why) = stopped {
                (reason, code) = (why, "UserInitiated");
            }
        }
        for (at, mut child) in children {
            if ends[at].is_none() {
                ends[at] = end(&mut child).await;
            }
        }
        self.change(id, |task| {
            task["lastStatus"] = "STOPPED".into();
            task["desiredStatus"] = "STOPPED".into();
            task["stoppedReason"] = reason.into();
            task["stopCode"] = code.into();
            task["stoppedAt"] = clock::epoch().into();
            for (at, end) in ends.iter().enumerate() {
                task["containers"][at]["lastStatus"] = "STOPPED".into();
                if let Some(end) = end {
                    task["containers"][at]["exitCode"] = (*end).into();
                }
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
        let tasks = self.locked();
        let task = tasks.get(short(text(request, "task")));
        let task =
            task.ok_or_else(|| Refusal::new("InvalidParameterException", "The referenced task was not found."))?;
        let reason = request["reason"].as_str().unwrap_or("Task stopped by user").to_owned();
        let _ = task.stop.send(Some(reason));
        let mut shown = task.shown.clone();
        shown["desiredStatus"] = "STOPPED".into();
        Ok(json!({ "task": shown }))
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
async fn end(child: &mut Child) -> Option<i32> {
    if let Some(id) = child.id() {
        let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
    }
    if let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await {
        return status.ok().map(code);
    }
    let _ = child.kill().await;
    child.wait().await.ok().map(code)
}
