//! `ResultRow`: a task of a run with its parameters and its result.

use std::sync::Arc;

use fedflow_core::{Dict, Name, OutcomeKind, RunProgress};

/// A task with its parameters and its result. It shares them with the run that it was taken from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResultRow {
    /// The run, as the user calls it.
    pub run: Arc<str>,
    /// The task's group.
    pub group: Name,
    /// The task.
    pub task: Name,
    /// How it ended.
    pub kind: OutcomeKind,
    /// Its last attempt; 0 if there was none.
    pub attempt: u32,
    /// Its parameters.
    pub params: Dict,
    /// Its result; `None` if it has none.
    pub result: Option<Dict>,
}

impl ResultRow {
    /// The tasks of a run, in the order in which they were added.
    pub fn of_run<N>(run: &str, progress: &RunProgress<N>) -> impl Iterator<Item = Self> {
        let run: Arc<str> = run.into();
        progress.tasks().map(move |(group, task)| Self {
            run: run.clone(),
            group: group.name.clone(),
            task: task.id.clone(),
            kind: task.kind(),
            attempt: task.attempts,
            params: task.params.clone(),
            result: task.result().cloned(),
        })
    }
}
