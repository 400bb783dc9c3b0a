//! Containers that are started and end. On AWS: ECS on Fargate.

use crate::Answer;

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRequest {
    /// Name of the task: its definition and its container are called so.
    pub name: String,
    /// Further environment of the container.
    pub environment: Vec<(String, String)>,
    /// At most 64 characters; the same token starts the same task once.
    pub token: String,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Starting or at work.
    Running,
    /// Ended; without an exit code the container never ran.
    Stopped {
        /// Of the container.
        exit_code: Option<i32>,
        /// The service's own words; may be empty.
        reason: String,
    },
}

/// Containers.
pub trait Tasks {
    /// Starts a task; gives its id.
    ///
    /// # Errors
    /// It cannot be started: no capacity, no such definition, …
    fn start(&self, request: &TaskRequest) -> Answer<String>;

    /// Where a task stands.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when the service has forgotten it.
    fn state(&self, task: &str) -> Answer<TaskState>;
}
