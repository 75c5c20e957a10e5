//! The groups that a call of the engine works on: the active one, and one that loads ahead.

use crate::model::identity::TaskKey;
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::work::group::{GroupError, TaskGroup};

/// The active group, whose tasks may train, and the one that loads ahead.
pub(super) struct ActiveGroups<'g> {
    pub(super) active: Option<&'g mut TaskGroup>,
    pub(super) next: Option<&'g mut TaskGroup>,
}

impl ActiveGroups<'_> {
    /// No group: the run is over.
    pub(super) fn none() -> Self {
        Self { active: None, next: None }
    }

    /// The group of a task.
    pub(super) fn group_of(&self, task: TaskKey) -> Option<&TaskGroup> {
        self.groups().find(|group| group.index() == task.group)
    }

    /// The task that is meant by a name.
    pub(super) fn find(&self, group: &Name, task: &Name) -> Option<TaskKey> {
        let group = self.groups().find(|known| known.group_name() == *group)?;
        let place = u32::try_from(group.place_of(task)?).ok()?;
        Some(TaskKey { group: group.index(), place })
    }

    /// Has the groups follow an event.
    pub(super) fn apply(&mut self, event: &RunEvent) -> Result<(), GroupError> {
        for group in [&mut self.active, &mut self.next].into_iter().flatten() {
            group.apply(event)?;
        }
        Ok(())
    }

    fn groups(&self) -> impl Iterator<Item = &TaskGroup> {
        [&self.active, &self.next].into_iter().filter_map(|group| group.as_deref())
    }
}
