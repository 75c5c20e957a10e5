//! How a group is opened: where it works, what was recorded of it, and whether it can be run.

use std::path::PathBuf;

use super::flow_error::FlowError;
use super::history::History;
use crate::model::config::Config;
use crate::model::identity::TaskKey;
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::model::value::Dict;
use crate::ports::{DevicePool, RunSettings};
use crate::scheduler::{ScheduledTask, SchedulerInput};
use crate::work::fingerprint::{fingerprint, task_fingerprint};
use crate::work::group::TaskGroup;
use crate::work::told_params::told_params;

/// A group that can be run, or was run by an earlier session.
pub(super) struct Opening {
    pub(super) name: Name,
    pub(super) tasks: Vec<ScheduledTask>,
    /// Whether all its outcomes were recorded: there is nothing to run.
    pub(super) is_complete: bool,
    /// What is told when it starts.
    pub(super) start: RunEvent,
}

/// Opens a group: it has its place, its directory, and what was recorded of it.
pub(super) fn open(
    group: &mut TaskGroup,
    index: u32,
    settings: &RunSettings,
    config: &Config,
    history: &mut History,
) -> Result<Opening, FlowError> {
    group.begin(index, PathBuf::new());
    let name = group.group_name();
    let workdir = if config.task.directory_grouping {
        settings.workdir.join(name.as_str())
    } else {
        settings.workdir.clone()
    };
    group.begin(index, workdir.clone());
    let fingerprint = fingerprint(group);
    let recorded = history.take(group, fingerprint)?;
    let is_recorded = recorded.as_ref().is_some_and(|recorded| recorded.finished);
    if let Some(recorded) = recorded {
        recorded.restore(group)?;
    }
    let start = RunEvent::GroupStarted {
        group: name.clone(),
        index,
        workdir: workdir.display().to_string(),
        fingerprint,
        tasks: group.tasks().map(|task| task.task_id().clone()).collect(),
        fingerprints: group.tasks().map(|task| task_fingerprint(group, task)).collect(),
        order: group.chosen_order,
        params: told_params_of(group),
    };
    let tasks = ScheduledTask::of_group(group, config);
    Ok(Opening { name, tasks, is_complete: is_recorded && group.finished(), start })
}

/// The parameters of each task that are told; nothing if no task has any.
fn told_params_of(group: &TaskGroup) -> Vec<Dict> {
    let params: Vec<Dict> = group.tasks().map(|task| told_params(task.spec())).collect();
    if params.iter().all(Dict::is_empty) { Vec::new() } else { params }
}

/// Checks that every request can be met, before anything is started.
pub(super) fn check(
    tasks: &[ScheduledTask],
    pool: &impl DevicePool,
    config: &Config,
) -> Result<(), FlowError> {
    let mut last = None;
    for (place, task) in (0..).zip(tasks) {
        let asks = (task.needs(), task.pin());
        // Tasks of a group mostly ask for the same.
        if task.is_over() || last == Some(asks) {
            continue;
        }
        let request = task.lease_request(TaskKey { group: 0, place }, config);
        let fits = pool.check(&request);
        fits.map_err(|source| FlowError::Unleasable { task: task.task_id.clone(), source })?;
        last = Some(asks);
    }
    Ok(())
}

/// The tasks of a group that loaded ahead and have turned out by now to be broken, or not to be run.
pub(super) fn not_run(group: &TaskGroup) -> impl Iterator<Item = SchedulerInput> {
    (0..).zip(group.tasks()).filter(|(_, task)| !task.status().is_over()).filter_map(|(place, entry)| {
        let task = TaskKey { group: group.index(), place };
        match (entry.skipped(), entry.broken()) {
            (Some(reason), _) => Some(SchedulerInput::Skip { task, reason: reason.to_owned() }),
            (None, Some(message)) => Some(SchedulerInput::Broken { task, message: message.to_owned() }),
            (None, None) => None,
        }
    })
}
