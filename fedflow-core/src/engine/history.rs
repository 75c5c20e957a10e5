//! What earlier sessions of a run have recorded, by group.

use std::collections::BTreeMap;

use super::flow_error::FlowError;
use crate::model::name::Name;
use crate::work::entry::RecordedOutcome;
use crate::work::fingerprint::task_fingerprint;
use crate::work::group::{GroupError, TaskGroup};

/// The recorded groups of a run; empty for a new run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The groups that were started, by name.
    pub groups: BTreeMap<Name, RecordedGroup>,
    /// The tasks that this session opens again, by group. The recorded groups have no outcomes of them.
    pub reopened: BTreeMap<Name, Vec<Name>>,
}

/// A group that was started by an earlier session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordedGroup {
    /// What the group was made of; see [`fingerprint`](crate::fingerprint). `None` if tasks of it are open again, which
    /// may be made of something else now.
    pub fingerprint: Option<u64>,
    /// If tasks of it are open again: what each of the others is made of, by task. Empty in a run of format 1.
    pub tasks: BTreeMap<Name, u64>,
    /// Whether every task had its outcome.
    pub finished: bool,
    /// The outcomes, by task.
    pub outcomes: BTreeMap<Name, RecordedOutcome>,
    /// The number of the last attempt at each task that was started.
    pub attempts: BTreeMap<Name, u32>,
}

impl History {
    /// Takes what was recorded of a group.
    pub(super) fn take(
        &mut self,
        group: &TaskGroup,
        fingerprint: u64,
    ) -> Result<Option<RecordedGroup>, FlowError> {
        let name = group.group_name();
        match self.groups.remove(&name) {
            Some(recorded) if !recorded.fits(group, fingerprint) => Err(FlowError::Changed(name)),
            recorded => Ok(recorded),
        }
    }
}

impl RecordedGroup {
    /// Whether a group is made of what is recorded. If tasks are open again, it may have more tasks, and those may be made
    /// of something else.
    fn fits(&self, group: &TaskGroup, fingerprint: u64) -> bool {
        let Some(known) = self.fingerprint else {
            let recorded = self.tasks.keys().chain(self.attempts.keys()).chain(self.outcomes.keys());
            let mut missing = recorded.filter(|task| group.place_of(task).is_none());
            let mut others = self.tasks.iter().filter(|(task, known)| {
                group.get_task(task.as_str()).is_some_and(|entry| task_fingerprint(group, entry) != **known)
            });
            return missing.next().is_none() && others.next().is_none();
        };
        known == fingerprint
    }

    /// Puts the recorded outcomes and attempt numbers into the group.
    pub(super) fn restore(self, group: &mut TaskGroup) -> Result<(), GroupError> {
        for (task, attempt) in self.attempts {
            group.restore_attempt(&task, attempt)?;
        }
        for (task, outcome) in self.outcomes {
            group.restore(&task, outcome)?;
        }
        Ok(())
    }
}
