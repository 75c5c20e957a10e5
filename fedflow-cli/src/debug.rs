//! What a run says beside its progress when `debug` is set: decisions, processes, signals, what is cleaned up.

mod pool;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fedflow_core::{Name, RunEvent, TaskKey};

use crate::run::Notices;

pub(crate) use pool::TalkingPool;

/// Where it is said. A clone says it to the same place.
#[derive(Clone)]
pub(crate) struct DebugTalk {
    notices: Notices,
    groups: Arc<Mutex<BTreeMap<u32, Group>>>,
}

/// How devices and processes, which know numbers only, are told by name.
struct Group {
    name: Name,
    tasks: Vec<Name>,
}

impl DebugTalk {
    pub(crate) fn new(notices: Notices) -> Self {
        Self { notices, groups: Arc::default() }
    }

    /// Says one line. Does not block.
    pub(crate) fn say(&self, text: &str) {
        self.notices.debug(text);
    }

    /// Takes in the names of a group that begins.
    pub(crate) fn learn(&self, event: &RunEvent) {
        if let RunEvent::GroupStarted { group, index, tasks, .. } = event {
            let group = Group { name: group.clone(), tasks: tasks.clone() };
            self.groups.lock().unwrap_or_else(PoisonError::into_inner).insert(*index, group);
        }
    }

    /// A task by name.
    fn task(&self, key: TaskKey) -> String {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let found = groups
            .get(&key.group)
            .and_then(|group| Some((&group.name, group.tasks.get(usize::try_from(key.place).ok()?)?)));
        match found {
            Some((group, task)) => format!("{group}/{task}"),
            None => format!("task {} of group {}", u64::from(key.place) + 1, key.group),
        }
    }
}
