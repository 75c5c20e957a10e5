//! Which tasks of a run are run again: some, and then those that asked for what these will have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{GroupProgress, Name, OutcomeKind, RunProgress, TaskProgress};

use super::recorded_context::RecordedContext;
use crate::flow::{AskedTask, FlowGroup, FlowTask};

/// The most tasks that are named.
const SHOWN: usize = 10;

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
    /// It asks for the result or the directory of a task that is yet to run, or to run again.
    Used(AskedTask),
    /// It was skipped, which is judged again as a task before it is run again.
    Skipped,
}

/// The recorded tasks of a flow that are run again, in order: those for which `failed` has a text, and every one whose
/// templates ask for the result or the directory of an earlier task that is run again or has no outcome yet.
pub(super) fn run_again(
    groups: &[Arc<FlowGroup>],
    run_dir: &Path,
    recorded: &Arc<RunProgress>,
    failed: impl Fn(&GroupProgress, &TaskProgress) -> Option<String>,
) -> Vec<Again> {
    let Some(last) = groups.iter().rposition(|plan| recorded.group(&plan.name).is_some()) else {
        return Vec::new();
    };
    let context = RecordedContext::of(run_dir, recorded, groups);
    let mut again: Vec<Again> = Vec::new();
    let mut open: BTreeSet<(String, String)> = BTreeSet::new();
    for (place, plan) in groups.iter().enumerate().take(last + 1) {
        let group = recorded.group(&plan.name);
        let context = context.at(place);
        // Tasks of one group cannot ask for each other.
        let mut opened = Vec::new();
        for planned in &plan.tasks {
            let done = group.and_then(|group| {
                let task = group.task(&planned.task_id).filter(|task| task.outcome.is_some())?;
                Some((group, task))
            });
            if let Some((group, task)) = done {
                let failed = failed(group, task).map(Cause::Failed);
                let judged =
                    (!open.is_empty() && task.kind() == OutcomeKind::Skipped).then_some(Cause::Skipped);
                let cause = failed.or(judged).or_else(|| used(plan, planned, &context, &open));
                let Some(cause) = cause else { continue };
                again.push(Again { group: group.name.clone(), task: task.id.clone(), cause });
            }
            if place < last {
                opened.push((plan.name.as_str().into(), planned.task_id.as_str().into()));
            }
        }
        open.extend(opened);
    }
    again
}

/// Whether a task asks for one that is open.
fn used(
    plan: &FlowGroup,
    task: &FlowTask,
    context: &Arc<RecordedContext>,
    open: &BTreeSet<(String, String)>,
) -> Option<Cause> {
    // What is rendered at most once for each task is not rendered at all in a run of which nothing changes.
    let asked = if open.is_empty() { BTreeSet::new() } else { plan.asked_by(task, context) };
    let is_open = |asked: &AskedTask| match &asked.task {
        Some(task) => open.contains(&(asked.group.clone(), task.clone())),
        None => {
            let first = open.range((asked.group.clone(), String::new())..).next();
            first.is_some_and(|(group, _)| *group == asked.group)
        }
    };
    asked.into_iter().find(is_open).map(Cause::Used)
}

/// The tasks by group, as a run takes them.
pub(super) fn by_group(again: &[Again]) -> BTreeMap<Name, Vec<Name>> {
    let mut groups: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    for Again { group, task, .. } in again {
        groups.entry(group.clone()).or_default().push(task.clone());
    }
    groups
}

/// Says which tasks are run again; `None` if there are none.
pub(super) fn announcement(again: &[Again]) -> Option<String> {
    let names: Vec<String> =
        again.iter().take(SHOWN).map(|again| format!("{}/{}", again.group, again.task)).collect();
    let more = again.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("running again: {}{more}", names.join(", ")))
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
