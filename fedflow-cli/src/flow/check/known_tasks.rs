//! What is known before a flow runs of the tasks that templates ask for: whether they end before they are asked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use fedflow_core::Name;

use super::super::context::too_early;
use super::super::group::FlowGroup;
use super::super::templates::{Answer, Answers, Call, Function};
use crate::diagnostic::did_you_mean;

/// The groups of a flow, by name.
pub(super) struct KnownTasks(HashMap<Name, GroupIndex>);

/// A group, and its tasks by id.
struct GroupIndex {
    group: Arc<FlowGroup>,
    /// The tasks' places, sorted by id. Made when a template first asks for a task of the group: groups can be large,
    /// and few are asked for.
    by_id: OnceLock<Vec<u32>>,
}

/// Answers the templates of one group as far as that is possible before the flow runs.
pub(super) struct StaticAnswers {
    pub(super) known: Arc<KnownTasks>,
    /// The index of the group.
    pub(super) group: u32,
    /// What it is taken to be known of the groups before.
    pub(super) view: View,
    /// The run directory, which has a directory for each task.
    pub(super) run_dir: Arc<Path>,
    /// Whether the directories of tasks lie in one of their group.
    pub(super) grouping: bool,
}

/// What is taken to be known of the groups before the one that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// All tasks have ended, but their results are known only later.
    Start,
    /// The same, and a value stands in for each result, so that what is asked after it is seen as well.
    StandIns,
    /// The group before still runs, as when this one loads ahead.
    Ahead,
}

impl KnownTasks {
    pub(super) fn of(groups: &[Arc<FlowGroup>]) -> Self {
        let index = |group: &Arc<FlowGroup>| {
            let index = GroupIndex { group: Arc::clone(group), by_id: OnceLock::new() };
            (group.name.clone(), index)
        };
        Self(groups.iter().map(index).collect())
    }

    fn group(&self, name: &str) -> Option<&GroupIndex> {
        self.0.get(&Name::new(name).ok()?)
    }

    /// Whether a task ends before the group with this index starts; the error says why not.
    fn check(&self, call: &Call, asking: u32) -> Result<(), String> {
        let wrong = |what: String| Err(format!("{call}: {what}"));
        let hint = |hint: Option<String>| hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        let Some(index) = self.group(&call.group) else {
            let meant = did_you_mean(&call.group, self.0.keys().map(Name::as_str));
            return wrong(format!("there is no group {:?}{}", call.group, hint(meant)));
        };
        if let Some(task) = call.task.as_ref().filter(|task| !index.has_task(task)) {
            let ids = index.group.tasks.iter().map(|task| task.task_id.as_str());
            let meant = did_you_mean(task, ids);
            return wrong(format!("there is no task {task:?} in it{}", hint(meant)));
        }
        if index.group.index == asking {
            return wrong("the tasks of one group run at the same time; put it into an earlier group".into());
        }
        if index.group.index > asking {
            return wrong("that group runs later".into());
        }
        Ok(())
    }
}

impl GroupIndex {
    fn has_task(&self, id: &str) -> bool {
        let tasks = &self.group.tasks;
        let id_at = |place: u32| tasks.get(place as usize).map_or("", |task| task.task_id.as_str());
        let by_id = self.by_id.get_or_init(|| {
            let mut places: Vec<u32> = (0..).take(tasks.len()).collect();
            places.sort_unstable_by(|a, b| id_at(*a).cmp(id_at(*b)));
            places
        });
        by_id.binary_search_by(|place| id_at(*place).cmp(id)).is_ok()
    }
}

impl Answers for StaticAnswers {
    fn answer(&self, call: &Call) -> Answer {
        if call.has_stand_in() {
            return Answer::Later;
        }
        if self.view == View::Ahead {
            let still_runs =
                self.known.group(&call.group).is_some_and(|asked| asked.group.index + 1 == self.group);
            if still_runs {
                return too_early(call);
            }
            // Whatever else is wrong with the call is found when all of the task is rendered.
            return match call.function {
                Function::Workdir => Answer::path(&self.run_dir),
                Function::Result | Function::Results => Answer::Later,
            };
        }
        match (self.known.check(call, self.group), call.function) {
            (Err(reason), _) => Answer::Refused(reason),
            (Ok(()), Function::Workdir) => {
                let group = if self.grouping { &call.group } else { "" };
                Answer::path(&self.run_dir.join(group).join(call.task.as_deref().unwrap_or_default()))
            }
            (Ok(()), _) if self.view == View::StandIns => Answer::stand_in(),
            (Ok(()), _) => Answer::Later,
        }
    }
}
