//! `TaskNames`: the names of groups and tasks, for traces of parts that know only numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fedflow_core::{Name, RunEvent, TaskKey};

/// The names of the groups that have begun, and of their tasks. A clone has the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskNames(Arc<Mutex<BTreeMap<u32, GroupNames>>>);

#[derive(Debug)]
struct GroupNames {
    group: Name,
    tasks: Vec<Name>,
}

impl TaskNames {
    /// Takes in the names of a group that begins, if anything is traced that names tasks.
    pub(crate) fn learn(&self, event: &RunEvent) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        if let RunEvent::GroupStarted { group, index, tasks, .. } = event {
            let names = GroupNames { group: group.clone(), tasks: tasks.clone() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*index, names);
        }
    }

    /// A task by name, as `group/task`.
    pub(crate) fn of(&self, key: TaskKey) -> String {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = groups
            .get(&key.group)
            .and_then(|names| Some((&names.group, names.tasks.get(usize::try_from(key.place).ok()?)?)));
        match found {
            Some((group, task)) => format!("{group}/{task}"),
            None => format!("task {} of group {}", u64::from(key.place) + 1, key.group),
        }
    }
}
