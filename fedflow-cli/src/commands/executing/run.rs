//! `fedflow run`: a flow from its first group, or with `--resume` from where it stopped.

use std::path::{Path, PathBuf};

use fedflow_core::{Config, Durations, Observer, StartOrder};
use fedflow_worker::store::RunDir;

use super::flow_groups::run_groups;
use super::recorded_groups::{Differences, compare, named};
use super::shown_run::shown;
use crate::args::RunArgs;
use crate::commands::command_error::CommandError;
use crate::commands::flow_setup::{
    Checked, check_flow, current_directory, load_settings, open_devices, with_grace, worker_programs,
};
use crate::commands::printing::stderr;
use crate::flow::{Flow, FlowFile};
use crate::run::{DEFAULT_SEED, Guard, OpenError, RunBuilder, read_durations};
use crate::settings::{Settings, typed_path};

/// Runs the flow.
pub(in crate::commands) fn cmd_run(args: &RunArgs, guard: Guard) -> Result<(), CommandError> {
    let file = FlowFile::read(&args.flow)?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = with_grace(settings.config().clone(), args.options.grace);
    let devices = open_devices(&args.options.devices, &config)?;
    let checked = if args.resume { Checked::Recorded } else { Checked::New };
    check_flow(&file.flow, &config, devices.pool(), checked)?;
    let workdir = workdir_of(args, &file, &settings)?;
    if args.resume {
        RunDir::open(&workdir)
            .map_err(|error| CommandError::refused(error).hint("without --resume the flow begins anew"))?;
    }
    let durations = named_durations(args, &config)?;
    let grouping = config.task.directory_grouping;
    let mut builder = RunBuilder::new(file.flow.name.clone(), workdir, guard)
        .opened_devices(devices)
        .config(config)
        .workers(worker_programs(&file.flow))
        .base_dir(file.flow.base_dir.clone())
        .flow_file(&args.flow, file.text())
        .reserve(task_directories(&file.flow, grouping))
        .seed(args.seed.unwrap_or(DEFAULT_SEED))
        .fresh(args.fresh);
    if let Some(durations) = durations {
        builder = builder.durations(durations);
    }
    let builder = shown(builder, args.options.progress);
    let run = if args.resume { accepting(builder, &file.flow).resume() } else { builder.begin() };
    run_groups(run?, &file.flow)
}

/// Has a flow that changes recorded tasks refused before anything is written or started. Groups may have more tasks than
/// are recorded.
fn accepting<O: Observer>(builder: RunBuilder<O>, flow: &Flow) -> RunBuilder<O> {
    let groups = flow.groups.clone();
    builder.judge(move |run_dir, recorded| {
        let Differences { grown, changed } = compare(&groups, run_dir.path(), recorded);
        if !changed.is_empty() {
            return Err(OpenError::Changed { groups: changed });
        }
        for (group, new) in &grown {
            let difference = match named(new) {
                Some(new) => format!("has more tasks now: {new}"),
                None => "has its tasks in another order now".into(),
            };
            stderr::say(&format!("note: {group} {difference}; what it has recorded is kept"));
        }
        // Their groups are open again; none of their recorded tasks is.
        Ok(grown.into_iter().map(|(group, _)| (group, Vec::new())).collect())
    })
}

/// The run directory of a run, as far as it can be told from outside.
#[must_use]
pub(in crate::commands) fn run_dir_of(args: &RunArgs) -> Option<PathBuf> {
    let file = FlowFile::read(&args.flow).ok()?;
    let settings = load_settings(&args.settings, Some(&file)).ok()?;
    workdir_of(args, &file, &settings).ok()
}

fn workdir_of(args: &RunArgs, file: &FlowFile, settings: &Settings) -> Result<PathBuf, CommandError> {
    Ok(match &args.options.workdir {
        Some(workdir) => typed_path(workdir),
        None => settings.workdir(&file.flow.base_dir, &current_directory()?),
    })
}

/// What the run that `--durations` names says of how long tasks take; only an order that asks may be given one.
fn named_durations(args: &RunArgs, config: &Config) -> Result<Option<Durations>, CommandError> {
    let Some(run) = &args.durations else { return Ok(None) };
    if config.scheduler.order != StartOrder::LongestFirst {
        return Err(CommandError::refused("--durations has no effect in this order")
            .hint("tasks start by their durations with --set scheduler.order=longest-first"));
    }
    let run_dir = RunDir::open(run).map_err(CommandError::no_run)?;
    read_durations(&run_dir).map(Some).map_err(CommandError::refused)
}

/// Where the tasks of a flow will have their directories, below the run directory.
fn task_directories(flow: &Flow, grouping: bool) -> impl Iterator<Item = PathBuf> {
    flow.groups.iter().flat_map(move |group| {
        group.tasks.iter().map(move |task| {
            let name = task.task_id.as_str();
            if grouping { Path::new(group.name.as_str()).join(name) } else { PathBuf::from(name) }
        })
    })
}
