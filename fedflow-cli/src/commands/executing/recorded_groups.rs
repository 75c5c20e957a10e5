//! A flow beside what is recorded of its run: which recorded groups it makes of something else now.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{Name, RunProgress, TaskEntry, TaskGroup, TaskProgress, fingerprint};

use super::recorded_context::RecordedContext;
use crate::flow::FlowGroup;

/// The most tasks of a group that are named.
const NAMED: usize = 5;

/// The recorded groups that a flow makes of other tasks or parameters, in order, each with what is different. They are
/// rendered as they will be when their turn comes, with the recorded results.
#[must_use]
pub(super) fn changed_groups(
    groups: &[Arc<FlowGroup>],
    run_dir: &Path,
    recorded: &Arc<RunProgress>,
) -> Vec<(Name, String)> {
    let context = RecordedContext::of(run_dir, recorded);
    let mut before: Option<&FlowGroup> = None;
    let mut changed = Vec::new();
    for plan in groups {
        let before = before.replace(plan);
        let Some(group) = recorded.group(&plan.name) else { continue };
        let built = match before.filter(|_| plan.load_ahead) {
            Some(before) => plan.build_ahead(&context, &before.name),
            None => plan.build(&context),
        };
        // A group that came from a flow file can always be built.
        let Ok(built) = built else { continue };
        if group.fingerprint.is_some_and(|recorded| recorded != fingerprint(&built)) {
            changed.push((plan.name.clone(), difference(group.tasks(), &built)));
        }
    }
    changed
}

/// What is different, in words.
fn difference(recorded: &[TaskProgress], now: &TaskGroup) -> String {
    let known: BTreeSet<&Name> = recorded.iter().map(|task| &task.id).collect();
    let added: Vec<&Name> = now.tasks().map(TaskEntry::task_id).filter(|id| !known.contains(id)).collect();
    let is_left_out = |id: &&Name| now.get_task(id.as_str()).is_none();
    let left_out: Vec<&Name> = recorded.iter().map(|task| &task.id).filter(is_left_out).collect();
    match (named(&added), named(&left_out)) {
        (None, None) => "its tasks have other programs, parameters or another order".into(),
        (Some(added), None) => format!("it has more tasks: {added}"),
        (None, Some(left_out)) => format!("it lacks tasks: {left_out}"),
        (Some(added), Some(left_out)) => format!("it has more tasks: {added}; and lacks others: {left_out}"),
    }
}

/// The first names of a list; `None` if it is empty.
fn named(names: &[&Name]) -> Option<String> {
    let shown: Vec<&str> = names.iter().take(NAMED).map(|name| name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}
