//! The failed tasks of some groups, those that failed in the same way together.

use fedflow_core::{FailureKinds, OutcomeKind};

use crate::report::{GroupReport, TaskReport};

/// A task with its group.
pub(crate) type InGroup<'a> = (&'a GroupReport, &'a TaskReport);

/// The failed tasks of some groups, by what they failed of.
pub(crate) fn failure_kinds<const KINDS: usize, const NAMED: usize>(
    groups: &[GroupReport],
) -> FailureKinds<InGroup<'_>, KINDS, NAMED> {
    let mut kinds = FailureKinds::default();
    for group in groups {
        for task in group.tasks().iter().filter(|task| task.kind() == OutcomeKind::Exception) {
            if let Some(failure) = task.failure() {
                kinds.add(failure, &task.id, group.workdir_of(task).as_deref(), (group, task));
            }
        }
    }
    kinds
}
