//! The groups of a flow file, executed in order in a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use fedflow_core::{Dict, FlowError, TaskGroup};

use super::shown_run::{Resumable, Shown, close};
use crate::commands::command_error::CommandError;
use crate::flow::{Decisions, Flow, FlowContext};
use crate::run::Run;

/// Executes the groups of a flow and closes the run. Each group is built when those before it are over, or, if it loads
/// ahead, when the one before it begins.
///
/// # Errors
/// How the run ended, if not every task finished.
pub(super) fn run_groups(mut run: Run<Shown>, flow: &Flow) -> Result<(), CommandError> {
    let done = Arc::new(Done::default());
    let ended = execute_all(&mut run, flow, &done);
    // The reports are written without them.
    drop(done);
    close(run, ended, Resumable::Yes)
}

fn execute_all(run: &mut Run<Shown>, flow: &Flow, done: &Arc<Done>) -> Result<(), FlowError> {
    let mut ahead: Option<TaskGroup> = None;
    let mut decisions = Decisions::default();
    for (place, plan) in flow.groups.iter().enumerate() {
        let mut group = match ahead.take() {
            Some(mut group) => {
                plan.set_train_params(&mut group, done)?;
                group
            }
            None => plan.build(done)?,
        };
        if let Some(reason) = decisions.skipped(plan, done).map_err(FlowError::Undecided)? {
            group.skip_all(&reason);
        }
        match flow.groups.get(place + 1).filter(|next| next.load_ahead) {
            Some(next) => {
                let known = decisions.known(next);
                let mut next = next.build_ahead(done, &plan.name)?;
                if let Some(reason) = known {
                    next.skip_all(&reason);
                }
                run.execute_and_load(&mut group, &mut next)?;
                ahead = Some(next);
            }
            None => {
                run.execute(&mut group)?;
            }
        }
        done.add(group);
    }
    Ok(())
}

/// The groups that are over, which templates may ask.
#[derive(Default)]
struct Done {
    groups: RwLock<BTreeMap<String, TaskGroup>>,
}

impl Done {
    fn add(&self, group: TaskGroup) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(group.group_name().as_str().into(), group);
    }

    fn groups(&self) -> RwLockReadGuard<'_, BTreeMap<String, TaskGroup>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FlowContext for Done {
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf> {
        self.groups().get(group)?.get_task(task)?.workdir()
    }

    fn result(&self, group: &str, task: &str) -> Option<Dict> {
        self.groups().get(group)?.get_task(task)?.result().cloned()
    }

    fn results(&self, group: &str) -> Dict {
        self.groups().get(group).map(TaskGroup::result).unwrap_or_default()
    }
}
