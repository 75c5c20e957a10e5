//! `fedflow resume`: goes on with a run from its directory alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{
    Config, FailureKinds, GroupProgress, Name, OnFailure, OutcomeKind, RunProgress, SessionSetup,
};
use fedflow_worker::store::{RunDir, RunState, recover};

use super::failed_tasks::{Again, by_group, find_named, run_again};
use super::flow_groups::run_groups;
use super::shown_run::{shown, spoken};
use crate::args::{ResumeArgs, SettingArgs};
use crate::commands::command_error::CommandError;
use crate::commands::flow_setup::{
    Checked, check_flow, load_settings, open_devices, with_grace, worker_programs,
};
use crate::commands::printing::{plain_table, stderr, stdout};
use crate::flow::{Flow, FlowFile, FlowGroup, FlowInputs};
use crate::run::short_path;
use crate::run::{Guard, LockedRun, RunBuilder};
use crate::view::{Palette, told_once};

/// The most tasks that are named.
const SHOWN: usize = 10;
/// The most tasks that are named of those that failed in the same way.
const NAMED: usize = 5;

/// Goes on with the run.
pub(in crate::commands) fn cmd_resume(args: &ResumeArgs, guard: Guard) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::no_run)?;
    if args.list {
        // A run that goes on may be looked at.
        let recorded = recover(&run_dir).map_err(CommandError::failed)?;
        let file = recorded_flow(&run_dir, &recorded)?;
        return list(&file.flow, &run_dir, &recorded, &named(args, &recorded, &run_dir)?);
    }
    let mut locked = LockedRun::open(&run_dir, &spoken())?;
    let head = locked.state().head().clone();
    let file = recorded_flow(&run_dir, locked.state())?;
    let named = named(args, locked.state(), &run_dir)?;
    let setup = locked.state().setup();
    let (config, config_file) = with_password(with_grace(config_of(&setup)?, args.grace), &setup)?;
    let devices = open_devices(args.devices.as_deref().unwrap_or(&setup.devices), &config)?;
    check_flow(&file.flow, &config, devices.pool(), Checked::Recorded)?;
    let recorded = locked.state().progress();
    if args.failed {
        let again = run_again(&file.flow.groups, run_dir.path(), &recorded, &named);
        say_again(&again);
        locked.reopen(by_group(&again));
    } else {
        let stops_at_failures = config.task.on_failure == OnFailure::Stop;
        say_if_only_failures(&file.flow.groups, &recorded, stops_at_failures);
    }
    let mut builder = RunBuilder::new(head.flow, run_dir.path(), guard)
        .opened_devices(devices)
        .config(config)
        .vars(setup.vars)
        .workers(worker_programs(&file.flow));
    if let Some(file) = config_file {
        builder = builder.config_file(file);
    }
    run_groups(shown(builder, args.progress).go_on(locked)?, &file.flow)
}

/// The flow of a run, as it was run last.
fn recorded_flow(run_dir: &RunDir, recorded: &RunState) -> Result<FlowFile, CommandError> {
    let Some(flow_file) = recorded.head().flow_file.as_deref().map(PathBuf::from) else {
        let message = format!("{} was not run from a flow file", short_path(run_dir.path()));
        return Err(CommandError::refused(message)
            .hint("run the program again that made it; what it has recorded is not run again"));
    };
    let text = run_dir.kept_flow().map_err(CommandError::failed)?;
    say_if_changed(&flow_file, &text);
    let inputs = FlowInputs { vars: recorded.setup().vars, seed: recorded.first_seed() };
    Ok(FlowFile::parse_with(text, &flow_file, &inputs)?)
}

/// The tasks that are named on the command line.
fn named(
    args: &ResumeArgs,
    recorded: &RunProgress,
    run_dir: &RunDir,
) -> Result<BTreeSet<(Name, Name)>, CommandError> {
    find_named(&args.tasks, recorded, run_dir.path())
}

/// Prints which tasks would be run again, and why.
fn list(
    flow: &Flow,
    run_dir: &RunDir,
    recorded: &RunState,
    named: &BTreeSet<(Name, Name)>,
) -> Result<(), CommandError> {
    let again = run_again(&flow.groups, run_dir.path(), &recorded.progress(), named);
    let rows = again.iter().map(|again| [format!("{}/{}", again.group, again.task), again.cause.to_string()]);
    stdout::print(|out| writeln!(out, "{}", plain_table(["task", "why"], rows)))
}

/// Says which tasks are run again.
fn say_again(again: &[Again]) {
    if again.is_empty() {
        return stderr::say("note: no task has failed");
    }
    let names: Vec<String> =
        again.iter().take(SHOWN).map(|again| format!("{}/{}", again.group, again.task)).collect();
    let more = again.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    stderr::say(&format!("running again: {}{more}", names.join(", ")));
}

/// Says that nothing is left to run but what failed, if so, and names it.
fn say_if_only_failures(groups: &[Arc<FlowGroup>], recorded: &RunProgress, stops_at_failures: bool) {
    let mut failed: FailureKinds<String, SHOWN, NAMED> = FailureKinds::default();
    for (group, task) in recorded.tasks() {
        if let Some(failure) = task.failure().filter(|_| task.kind() != OutcomeKind::Skipped) {
            let name = format!("{}/{}", group.name, task.id);
            failed.add(failure, &task.id, group.workdir_of(task).as_deref(), name);
        }
    }
    let is_left = |group: &FlowGroup| !recorded.group(&group.name).is_some_and(GroupProgress::is_over);
    let mut left = groups.iter().filter(|group| is_left(group));
    // A group that has begun is gone on with, whatever failed before.
    let any_left = left.any(|group| !stops_at_failures || recorded.group(&group.name).is_some());
    if failed.iter().next().is_none() || any_left {
        return;
    }
    let mut text = String::from("note: nothing is left to run, as these tasks have failed:");
    for alike in failed.iter() {
        text.push('\n');
        text.push_str(&told_once(Palette::of_stderr(), alike));
    }
    if failed.left_out() > 0 {
        text.push_str(&format!("\n  … and {} more", failed.left_out()));
    }
    stderr::say(&text);
}

fn config_of(setup: &SessionSetup) -> Result<Config, CommandError> {
    let mut config = Config::default();
    for (key, value) in setup.config.iter() {
        config.set(key, value).map_err(CommandError::failed)?;
    }
    Ok(config)
}

/// The journal keeps no password: it is taken from where the run took it, its configuration file or the environment. Also
/// returns that file: the current directory's `fedflow.toml` if the run had none, or it is not there any more.
fn with_password(
    mut config: Config,
    setup: &SessionSetup,
) -> Result<(Config, Option<PathBuf>), CommandError> {
    let recorded = setup.config_file.as_ref().map(PathBuf::from);
    if !config.smtp.enable {
        return Ok((config, recorded));
    }
    let args = SettingArgs { config: recorded.filter(|file| file.exists()), set: Vec::new() };
    let settings = load_settings(&args, None)?;
    config.smtp.password = settings.config().smtp.password.clone();
    Ok((config, settings.file()))
}

fn say_if_changed(flow_file: &Path, kept: &str) {
    if std::fs::read_to_string(flow_file).is_ok_and(|text| text != kept) {
        let file = short_path(flow_file);
        stderr::say(&format!(
            "note: {file} has changed since; the recorded flow goes on\n\
             hint: fedflow run --resume {file} takes the changes"
        ));
    }
}
