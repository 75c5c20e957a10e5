//! The tasks that `needs` names: they must be there, and end before the group begins whose task needs them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fedflow_core::Name;

use super::super::group::FlowGroup;
use super::super::values::Mistake;
use crate::diagnostic::{Span, did_you_mean};

/// What tasks need, to be checked when all groups are known.
#[derive(Debug, Default)]
pub(super) struct NeededTasks(HashSet<Needed>);

/// A task that is needed, as `GROUP/TASK`, and the index of the group that needs it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Needed {
    span: Span,
    text: String,
    by: u32,
}

impl NeededTasks {
    pub(super) fn add(&mut self, span: Span, text: String, by: u32) {
        self.0.insert(Needed { span, text, by });
    }

    /// What is wrong with them.
    pub(super) fn check(&self, groups: &[Arc<FlowGroup>]) -> Vec<Mistake> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let by_name: HashMap<&str, &FlowGroup> =
            groups.iter().map(|group| (group.name.as_str(), group.as_ref())).collect();
        let mut ids: HashMap<&str, HashSet<&Name>> = HashMap::new();
        let mut mistakes: Vec<Mistake> = Vec::new();
        for Needed { span, text, by } in &self.0 {
            let mut wrong = |message: String, hint: Option<String>| {
                mistakes.push(Mistake { hint, ..Mistake::new(*span, format!("{text:?}: {message}")) });
            };
            let Some((group, task)) = text.split_once('/') else {
                wrong("expected a task as GROUP/TASK".into(), None);
                continue;
            };
            let Some(found) = by_name.get(group) else {
                wrong(format!("there is no group {group:?}"), did_you_mean(group, by_name.keys().copied()));
                continue;
            };
            let ids = ids.entry(group).or_insert_with(|| found.tasks.iter().map(|it| &it.task_id).collect());
            if !Name::new(task).is_ok_and(|name| ids.contains(&name)) {
                let known: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                wrong(format!("there is no task {task:?} in that group"), did_you_mean(task, known));
            } else if found.index == *by {
                let hint = "put it into an earlier group";
                wrong("the tasks of one group run at the same time".into(), Some(hint.into()));
            } else if found.index > *by {
                wrong("that group runs later".into(), Some("a task may need tasks of earlier groups".into()));
            }
        }
        mistakes.sort_by_key(|mistake| mistake.span);
        mistakes
    }
}
