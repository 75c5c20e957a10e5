//! `fedflow stop`: asks the supervisor of a run to stop it, or to cancel one of its tasks.

use fedflow_core::{FailureKind, Name, RunOutcome, StopLevel, TaskOutcome};
use fedflow_worker::store::{
    ControlError, ControlRequest, LockState, RunLock, RunWatch, send_control_request,
};

use super::overview::GroupState;
use super::run_access::RunAccess;
use crate::args::StopArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;
use crate::run::short_path;
use crate::view::one_line;

/// Stops the run or the task, and waits until it has ended.
pub(crate) fn cmd_stop(args: &StopArgs) -> Result<(), CommandError> {
    let mut access = RunAccess::open(&args.run_dir)?;
    refuse_unsupervised(&access)?;
    match &args.task {
        None => stop_run(&mut access, if args.now { StopLevel::AtOnce } else { StopLevel::Graceful }),
        Some(text) => {
            let (group, task) = access.find_task(text)?;
            stop_task(&mut access, &group, &task)
        }
    }
}

fn refuse_unsupervised(access: &RunAccess) -> Result<(), CommandError> {
    match RunLock::probe(&access.run_dir).map_err(CommandError::failed)? {
        LockState::Held(_) => Ok(()),
        LockState::Free => {
            let run = short_path(access.run_dir.path());
            Err(CommandError::refused(format!("nothing is running in {run}")))
        }
    }
}

fn stop_run(access: &mut RunAccess, level: StopLevel) -> Result<(), CommandError> {
    request(access, &ControlRequest::Stop(level))?;
    RunLock::wait_until_free(&access.run_dir).map_err(CommandError::failed)?;
    access.catch_up()?;
    let run = short_path(access.run_dir.path());
    let line = match access.overview.outcome() {
        Some(RunOutcome::Complete) => format!("{run}: the run was complete before it stopped"),
        Some(RunOutcome::Stopped) => format!("{run}: stopped; `fedflow resume {run}` goes on with it"),
        Some(RunOutcome::Failed) => {
            format!("{run}: the run could not go on; `fedflow status {run}` shows it")
        }
        None => format!("{run}: the run broke off; `fedflow resume {run}` goes on with it"),
    };
    stdout::print(|out| writeln!(out, "{line}"))
}

/// Tasks of groups that have not begun cannot be cancelled: their names are known only when the group is made, and a
/// request that is kept until then would be lost with the supervisor.
fn stop_task(access: &mut RunAccess, group: &Name, task: &Name) -> Result<(), CommandError> {
    if let Some(end) = end_of(access, group, task) {
        return Err(CommandError::refused(format!("{group}/{task} is over already: {end}")));
    }
    let overview = &access.overview;
    let begun = overview.group(group).is_some_and(|group| overview.state_of(group) == GroupState::Running);
    if !begun {
        return Err(CommandError::refused(format!(
            "the group {group} has not begun again since the run was resumed"
        ))
        .hint("tasks can be stopped when their group has begun"));
    }
    let mut watch = RunWatch::open(&access.run_dir).map_err(CommandError::failed)?;
    request(access, &ControlRequest::Cancel { group: group.clone(), task: task.clone() })?;
    loop {
        let supervised = watch.is_supervised();
        access.catch_up()?;
        let outcome = access.task(group, task).and_then(|task| task.outcome.as_ref());
        match outcome {
            Some(TaskOutcome::Failed(failure)) if failure.kind == FailureKind::Cancelled => {
                return stdout::print(|out| writeln!(out, "{group}/{task}: cancelled"));
            }
            Some(_) => {
                let end = end_of(access, group, task).unwrap_or_default();
                return Err(CommandError::refused(format!(
                    "{group}/{task} ended before it was stopped: {end}"
                )));
            }
            None if !supervised => {
                let error = format!("the run ended before {group}/{task} had an outcome");
                return Err(CommandError::failed(error));
            }
            None => {}
        }
        watch.wait(None).map_err(CommandError::failed)?;
    }
}

/// The outcome of a task in words; `None` if it has none.
fn end_of(access: &RunAccess, group: &Name, task: &Name) -> Option<String> {
    match access.task(group, task)?.outcome.as_ref()? {
        TaskOutcome::Finished(_) => Some("it has finished".into()),
        TaskOutcome::Failed(failure) => Some(one_line(failure)),
    }
}

fn request(access: &RunAccess, request: &ControlRequest) -> Result<(), CommandError> {
    send_control_request(&access.run_dir, request).or_else(|error| {
        // The task may have ended just before.
        refuse_unsupervised(access)?;
        let error = match error {
            ControlError::NotListening(_) => CommandError::failed(error)
                .hint("it may have just begun, or have no socket; a signal stops it as well: kill -TERM PID"),
            error => CommandError::failed(error),
        };
        match RunLock::probe(&access.run_dir) {
            Ok(LockState::Held(Some(holder))) => Err(error.hint(format!("it is {holder}"))),
            _ => Err(error),
        }
    })
}
