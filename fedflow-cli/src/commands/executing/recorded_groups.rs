//! A flow beside what is recorded of its run: which recorded groups it makes of something else now.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{Name, RunProgress, TaskEntry, TaskGroup, TaskProgress, fingerprint};

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
    let context = RecordedContext::of(run_dir, recorded);
    let mut before: Option<&FlowGroup> = None;
    let mut differences = Differences::default();
    for plan in groups {
        let before = before.replace(plan);
        let Some(group) = recorded.group(&plan.name) else { continue };
        let Some(known) = group.fingerprint else { continue };
        let built = match before.filter(|_| plan.load_ahead) {
            Some(before) => plan.build_ahead(&context, &before.name),
            None => plan.build(&context),
        };
        // A group that came from a flow file can always be built.
        let Ok(built) = built else { continue };
        if known == fingerprint(&built) {
            continue;
        }
        let name = plan.name.clone();
        let recorded_part = part(&built, group.tasks());
        if recorded_part.is_some_and(|part| fingerprint(&part) == known) {
            differences.grown.push((name, added(group.tasks(), &built)));
        } else {
            differences.changed.push((name, difference(group.tasks(), &built)));
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

/// What is different, in words.
fn difference(recorded: &[TaskProgress], now: &TaskGroup) -> String {
    let is_left_out = |id: &&Name| now.get_task(id.as_str()).is_none();
    let left_out = recorded.iter().map(|task| &task.id).filter(is_left_out);
    let left_out: Vec<Name> = left_out.cloned().collect();
    match named(&left_out) {
        Some(left_out) => format!("it lacks recorded tasks: {left_out}"),
        None => "its recorded tasks have other programs or parameters".into(),
    }
}

/// The first names of a list; `None` if it is empty.
pub(super) fn named(names: &[Name]) -> Option<String> {
    let shown: Vec<&str> = names.iter().take(NAMED).map(|name| name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}
