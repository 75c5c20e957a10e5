//! A flow beside what is recorded of its run: which recorded groups it makes of something else now.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{
    GroupProgress, Name, RunProgress, TaskEntry, TaskGroup, TaskProgress, fingerprint, task_fingerprint,
};

use super::recorded_context::RecordedContext;
use crate::flow::FlowGroup;

/// The most tasks of a group that are named.
const NAMED: usize = 5;

/// The recorded groups that a flow makes of something else now, in order.
#[derive(Default)]
pub(super) struct Differences {
    /// Groups whose recorded tasks are the same, and that have more of them or another order, with the new ones.
    pub(super) grown: Vec<(Name, Vec<Name>)>,
    /// Groups whose recorded tasks are not the same, each with what is different.
    pub(super) changed: Vec<(Name, String)>,
}

/// Compares a flow with what is recorded of its run. The groups are rendered as they will be when their turn comes, with
/// the recorded results.
#[must_use]
pub(super) fn compare(groups: &[Arc<FlowGroup>], run_dir: &Path, recorded: &Arc<RunProgress>) -> Differences {
    let context = RecordedContext::of(run_dir, recorded, groups);
    let mut before: Option<&FlowGroup> = None;
    let mut differences = Differences::default();
    for (place, plan) in groups.iter().enumerate() {
        let before = before.replace(plan);
        let context = context.at(place);
        let Some(group) = recorded.group(&plan.name) else { continue };
        let built = match before.filter(|_| plan.load_ahead) {
            Some(before) => plan.build_ahead(&context, &before.name),
            None => plan.build(&context),
        };
        // A group that came from a flow file can always be built.
        let Ok(built) = built else { continue };
        if group.fingerprint == Some(fingerprint(&built)) {
            continue;
        }
        let name = plan.name.clone();
        let new = added(group.tasks(), &built);
        match difference(group, &built) {
            Some(difference) => differences.changed.push((name, difference)),
            // A group that is open again already may have its tasks in any order.
            None if group.fingerprint.is_none() && new.is_empty() => {}
            None => differences.grown.push((name, new)),
        }
    }
    differences
}

/// The recorded tasks of a group, as it has them now, in the recorded order; `None` if it lacks one.
fn part(now: &TaskGroup, recorded: &[TaskProgress]) -> Option<TaskGroup> {
    let mut part = TaskGroup::new(now.group_name()).ok()?;
    part.load_ahead = now.load_ahead;
    for task in recorded {
        let entry = now.get_task(task.id.as_str())?;
        let spec = entry.spec().clone();
        let added = match entry.broken() {
            Some(message) => part.add_broken_task(spec, message.to_owned()),
            None => part.add_task(spec),
        };
        added.ok()?;
    }
    Some(part)
}

/// The tasks that are not recorded.
fn added(recorded: &[TaskProgress], now: &TaskGroup) -> Vec<Name> {
    let known: BTreeSet<&Name> = recorded.iter().map(|task| &task.id).collect();
    now.tasks().map(TaskEntry::task_id).filter(|id| !known.contains(id)).cloned().collect()
}

/// What is different about the recorded tasks that are not open again, in words; `None` if nothing is.
fn difference(recorded: &GroupProgress, now: &TaskGroup) -> Option<String> {
    let known = |id: &Name| now.get_task(id.as_str());
    let picked = |is_meant: &dyn Fn(&Name) -> bool| -> Option<String> {
        let ids = recorded.tasks().iter().map(|task| &task.id);
        named(&ids.filter(|id| is_meant(id)).cloned().collect::<Vec<_>>())
    };
    let left_out = picked(&|id| known(id).is_none());
    let other = picked(&|id| {
        let (before, task) = (recorded.fingerprint_of(id), known(id));
        before.zip(task).is_some_and(|(before, task)| before != task_fingerprint(now, task))
    });
    let told = [
        left_out.map(|tasks| format!("it lacks recorded tasks: {tasks}")),
        other.map(|tasks| format!("other programs or parameters: {tasks}")),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    match recorded.fingerprint {
        _ if !told.is_empty() => Some(told.join("; ")),
        // In format 1 only the group as a whole is known.
        Some(whole) if !recorded.has_task_fingerprints() => {
            let is_same = part(now, recorded.tasks()).is_some_and(|part| fingerprint(&part) == whole);
            (!is_same).then(|| "its recorded tasks have other programs or parameters".into())
        }
        _ => None,
    }
}

/// The groups that were over and come after groups with new tasks: what is `kept` of them is older than these. Empty, or
/// with these groups.
#[must_use]
pub(super) fn older(
    groups: &[Arc<FlowGroup>],
    recorded: &RunProgress,
    kept: &RunProgress,
    grown: &[(Name, Vec<Name>)],
) -> (Vec<Name>, Vec<Name>) {
    let has_grown = |name: &Name| grown.iter().any(|(group, new)| group == name && !new.is_empty());
    let is_newer = |plan: &Arc<FlowGroup>| recorded.group(&plan.name).is_none() || has_grown(&plan.name);
    let is_kept = |plan: &Arc<FlowGroup>| {
        let has_outcomes = |group: &GroupProgress| group.tasks().iter().any(|task| task.outcome.is_some());
        recorded.group(&plan.name).is_some_and(GroupProgress::is_over)
            && kept.group(&plan.name).is_some_and(has_outcomes)
    };
    let names = |plans: &[Arc<FlowGroup>], is_meant: &dyn Fn(&Arc<FlowGroup>) -> bool| -> Vec<Name> {
        plans.iter().filter(|plan| is_meant(plan)).map(|plan| plan.name.clone()).collect()
    };
    let Some(first) = groups.iter().position(is_newer) else { return (Vec::new(), Vec::new()) };
    let behind = groups.get(first..).unwrap_or_default();
    let older = names(behind, &|plan| is_kept(plan) && !is_newer(plan));
    let last = behind.iter().rposition(|plan| older.contains(&plan.name)).unwrap_or(0);
    (older, names(behind.get(..last).unwrap_or_default(), &is_newer))
}

/// The first names of a list; `None` if it is empty.
pub(super) fn named(names: &[Name]) -> Option<String> {
    let shown: Vec<&str> = names.iter().take(NAMED).map(|name| name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}
