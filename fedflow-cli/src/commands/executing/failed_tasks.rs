//! Which tasks of a run have failed, and so are run again by `resume --failed`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{GroupProgress, Name, OutcomeKind, RunProgress, TaskProgress};

use super::run_again::{Again, run_again};
use crate::commands::command_error::CommandError;
use crate::diagnostic::did_you_mean;
use crate::flow::FlowGroup;
use crate::run::short_path;
use crate::view::{escape, one_line};

/// The tasks of a flow that are run again, in order: those that failed, or of these only the named ones; then every
/// later task whose templates ask for the result or the directory of one that is run again.
pub(super) fn run_failed_again(
    groups: &[Arc<FlowGroup>],
    run_dir: &Path,
    recorded: &Arc<RunProgress>,
    named: &BTreeSet<(Name, Name)>,
) -> Vec<Again> {
    run_again(groups, run_dir, recorded, |group, task| {
        let is_meant = named.is_empty() || named.contains(&(group.name.clone(), task.id.clone()));
        failure(task).filter(|_| is_meant)
    })
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
