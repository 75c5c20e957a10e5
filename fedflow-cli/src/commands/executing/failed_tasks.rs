//! Which tasks of a run are run again: those that failed, and then those that used them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{GroupProgress, Name, OutcomeKind, RunProgress, TaskProgress};

use super::recorded_context::RecordedContext;
use crate::commands::command_error::CommandError;
use crate::diagnostic::did_you_mean;
use crate::flow::{AskedTask, FlowGroup};
use crate::run::short_path;
use crate::view::{escape, one_line};

/// A task that is run again.
pub(super) struct Again {
    pub(super) group: Name,
    pub(super) task: Name,
    pub(super) cause: Cause,
}

/// Why a task is run again.
pub(super) enum Cause {
    /// It failed or was cancelled; the text says how.
    Failed(String),
    /// It asked for the result or the directory of a task that is run again.
    Used(AskedTask),
    /// It was skipped, which is judged again as a task before it is run again.
    Skipped,
}

/// The tasks of a flow that are run again, in order: those that failed, or of these only the named ones; then every
/// later task whose templates asked for the result or the directory of one that is run again.
pub(super) fn run_again(
    groups: &[Arc<FlowGroup>],
    run_dir: &Path,
    recorded: &Arc<RunProgress>,
    named: &BTreeSet<(Name, Name)>,
) -> Vec<Again> {
    let context = RecordedContext::of(run_dir, recorded);
    let mut again: Vec<Again> = Vec::new();
    let mut opened: BTreeSet<(String, String)> = BTreeSet::new();
    for plan in groups {
        let Some(group) = recorded.group(&plan.name) else { continue };
        // Tasks of one group cannot ask for each other.
        let before = again.len();
        for planned in &plan.tasks {
            let Some(task) = group.task(&planned.task_id).filter(|task| task.outcome.is_some()) else {
                continue;
            };
            let is_meant = named.is_empty() || named.contains(&(group.name.clone(), task.id.clone()));
            let cause = match failure(task).filter(|_| is_meant) {
                Some(failure) => Some(Cause::Failed(failure)),
                None if opened.is_empty() => None,
                None if task.kind() == OutcomeKind::Skipped => Some(Cause::Skipped),
                None => {
                    let asked = plan.asked_by(planned, &context);
                    let is_opened = |asked: &AskedTask| match &asked.task {
                        Some(task) => opened.contains(&(asked.group.clone(), task.clone())),
                        None => opened.iter().any(|(group, _)| *group == asked.group),
                    };
                    asked.into_iter().find(is_opened).map(Cause::Used)
                }
            };
            let (group, task) = (group.name.clone(), task.id.clone());
            again.extend(cause.map(|cause| Again { group, task, cause }));
        }
        let new = again.get(before..).unwrap_or_default();
        opened.extend(new.iter().map(|again| (again.group.as_str().into(), again.task.as_str().into())));
    }
    again
}

/// The tasks that have failed or were cancelled, in order, each with how.
fn failed_tasks(recorded: &RunProgress) -> impl Iterator<Item = (&GroupProgress, &Name, String)> {
    recorded.tasks().filter_map(|(group, task)| Some((group, &task.id, failure(task)?)))
}

/// The tasks that are named as `GROUP/TASK`.
///
/// # Errors
/// The run has no such task, or it has finished.
pub(super) fn find_named(
    texts: &[String],
    recorded: &RunProgress,
    run_dir: &Path,
) -> Result<BTreeSet<(Name, Name)>, CommandError> {
    texts.iter().map(|text| find(text, recorded, run_dir)).collect()
}

fn find(text: &str, recorded: &RunProgress, run_dir: &Path) -> Result<(Name, Name), CommandError> {
    let is_meant = |group: &Name, task: &Name| text.split_once('/') == Some((group.as_str(), task.as_str()));
    let Some((group, task)) = recorded.tasks().find(|(group, task)| is_meant(&group.name, &task.id)) else {
        let run = short_path(run_dir);
        let failed: Vec<String> =
            failed_tasks(recorded).map(|(group, task, _)| format!("{}/{task}", group.name)).collect();
        return Err(CommandError::refused(format!("{run} has recorded no task {}", escape(text)))
            .maybe_hint(did_you_mean(text, failed.iter().map(String::as_str))));
    };
    let ended = match task.kind() {
        OutcomeKind::Finished => Some("has finished"),
        OutcomeKind::Skipped => Some("was skipped"),
        _ => None,
    };
    if let Some(ended) = ended {
        let message = format!("{} {ended}; only what failed is run again", escape(text));
        return Err(CommandError::refused(message));
    }
    Ok((group.name.clone(), task.id.clone()))
}

/// How a task failed, on one line; `None` if it did not.
fn failure(task: &TaskProgress) -> Option<String> {
    task.failure().filter(|_| task.kind() != OutcomeKind::Skipped).map(one_line)
}

/// The tasks by group, as a run takes them.
pub(super) fn by_group(again: &[Again]) -> BTreeMap<Name, Vec<Name>> {
    let mut groups: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    for Again { group, task, .. } in again {
        groups.entry(group.clone()).or_default().push(task.clone());
    }
    groups
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => f.write_str(failure),
            Self::Used(AskedTask { group, task: Some(task) }) => write!(f, "used {group}/{task}"),
            Self::Used(AskedTask { group, task: None }) => write!(f, "used {group}"),
            Self::Skipped => f.write_str("was skipped"),
        }
    }
}
