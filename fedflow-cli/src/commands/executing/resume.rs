//! `fedflow resume`: goes on with a run from its directory alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{Config, GroupProgress, Name, OnFailure, RunProgress};
use fedflow_worker::store::{Head, JournalReader, RunDir, recover};

use super::failed_tasks::{Again, by_group, failed_tasks, find_named, run_again};
use super::flow_groups::run_groups;
use super::shown_run::shown;
use crate::args::{ResumeArgs, SettingArgs};
use crate::commands::command_error::CommandError;
use crate::commands::flow_setup::{
    Checked, check_flow, load_settings, open_devices, with_grace, worker_programs,
};
use crate::commands::printing::{plain_table, stderr, stdout};
use crate::flow::{Flow, FlowFile, FlowGroup};
use crate::run::short_path;
use crate::run::{Guard, RunBuilder};

/// The most tasks that are named.
const SHOWN: usize = 10;

/// Goes on with the run.
pub(in crate::commands) fn cmd_resume(args: &ResumeArgs, guard: Guard) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::no_run)?;
    // Only the head is needed here; the records are read once the directory is locked.
    let head = JournalReader::open(&run_dir).map_err(CommandError::failed)?.head().clone();
    let Some(flow_file) = head.flow_file.as_deref().map(PathBuf::from) else {
        let message = format!("{} was not run from a flow file", short_path(run_dir.path()));
        return Err(CommandError::refused(message)
            .hint("run the program again that made it; what it has recorded is not run again"));
    };
    let text = run_dir.kept_flow().map_err(CommandError::failed)?;
    say_if_changed(&flow_file, &text);
    let file = FlowFile::parse(text, &flow_file)?;
    let named = match args.tasks.as_slice() {
        [] => BTreeSet::new(),
        tasks => {
            let recorded = recover(&run_dir).map_err(CommandError::failed)?;
            find_named(tasks, &recorded, run_dir.path())?
        }
    };
    if args.list {
        return list(&file.flow, &run_dir, &named);
    }
    let config = with_password(with_grace(recorded_config(&head)?, args.grace))?;
    let devices = open_devices(args.devices.as_deref().unwrap_or(&head.devices), &config)?;
    check_flow(&file.flow, &config, devices.pool(), Checked::Recorded)?;
    let stops_at_failures = config.task.on_failure == OnFailure::Stop;
    let builder = RunBuilder::new(head.flow, run_dir.path(), guard)
        .opened_devices(devices)
        .config(config)
        .workers(worker_programs(&file.flow));
    let groups = file.flow.groups.clone();
    let builder = if args.failed {
        builder.judge(move |run_dir, recorded| {
            let again = run_again(&groups, run_dir.path(), recorded, &named);
            say_again(&again);
            Ok(by_group(&again))
        })
    } else {
        builder.judge(move |_, recorded| {
            say_if_only_failures(&groups, recorded, stops_at_failures);
            Ok(BTreeMap::new())
        })
    };
    run_groups(shown(builder, args.progress).resume()?, &file.flow)
}

/// Prints which tasks would be run again, and why.
fn list(flow: &Flow, run_dir: &RunDir, named: &BTreeSet<(Name, Name)>) -> Result<(), CommandError> {
    let recorded = recover(run_dir).map_err(CommandError::failed)?.progress();
    let again = run_again(&flow.groups, run_dir.path(), &recorded, named);
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
    let failed: Vec<String> = failed_tasks(recorded)
        .map(|(group, task, failure)| format!("\n  {}/{task}: {failure}", group.name))
        .collect();
    let is_left = |group: &FlowGroup| !recorded.group(&group.name).is_some_and(GroupProgress::is_over);
    let mut left = groups.iter().filter(|group| is_left(group));
    // A group that has begun is gone on with, whatever failed before.
    let any_left = left.any(|group| !stops_at_failures || recorded.group(&group.name).is_some());
    if failed.is_empty() || any_left {
        return;
    }
    let more = failed.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n  … and {more} more") } else { String::new() };
    let shown = failed.get(..SHOWN).unwrap_or(&failed).concat();
    stderr::say(&format!("note: nothing is left to run, as these tasks have failed:{shown}{more}"));
}

fn recorded_config(head: &Head) -> Result<Config, CommandError> {
    let mut config = Config::default();
    for (key, value) in head.config.iter() {
        config.set(key, value).map_err(CommandError::failed)?;
    }
    Ok(config)
}

/// The journal keeps no password: it is taken from where the run took it, `fedflow.toml` or the environment.
fn with_password(mut config: Config) -> Result<Config, CommandError> {
    if config.smtp.enable {
        config.smtp.password = load_settings(&SettingArgs::default(), None)?.config().smtp.password.clone();
    }
    Ok(config)
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
