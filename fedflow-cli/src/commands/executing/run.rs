//! `fedflow run`: a flow from its first group, or with `--resume` from where it stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{Config, Dict, Durations, Name};
use fedflow_worker::store::{RunDir, RunState};

use super::flow_groups::run_groups;
use super::recorded_groups::{Differences, compare, named, older};
use super::run_again::{announcement, by_group, run_again};
use super::shown_run::{shown, spoken};
use crate::args::RunArgs;
use crate::commands::command_error::{CHANGED_HINT, CommandError};
use crate::commands::flow_setup::{
    Checked, check_flow, current_directory, load_settings, open_devices, with_grace, worker_programs,
};
use crate::commands::printing::stderr;
use crate::flow::{Flow, FlowFile, FlowInputs};
use crate::run::{DEFAULT_DEVICES, DEFAULT_SEED, Guard, LockedRun, RunBuilder, read_durations};
use crate::settings::{Settings, typed_path};

/// Runs the flow.
pub(in crate::commands) fn cmd_run(args: &RunArgs, guard: Guard) -> Result<(), CommandError> {
    let mut inputs = inputs_of(args);
    let mut file = FlowFile::read_with(&args.flow, &inputs)?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = with_grace(settings.config().clone(), args.options.grace);
    let workdir = workdir_of(args, &file, &settings)?;
    let mut locked = if args.resume { Some(lock(&workdir, &guard)?) } else { None };
    if let Some(locked) = &locked {
        // A session goes on with the variables and the samples of the one before, too.
        inputs = recorded_inputs(locked.state(), &file.flow, &inputs.vars);
        file = FlowFile::read_with(&args.flow, &inputs)?;
    }
    // A session goes on with the devices of the one before, unless it is given others.
    let devices = args.options.devices.clone().or_else(|| Some(locked.as_ref()?.state().setup().devices));
    let devices = open_devices(devices.as_deref().unwrap_or(DEFAULT_DEVICES), &config)?;
    let checked = if args.resume { Checked::Recorded } else { Checked::New };
    check_flow(&file.flow, &config, devices.pool(), checked)?;
    if let Some(locked) = &mut locked {
        accept(locked, &workdir, &file.flow)?;
    }
    let durations = named_durations(args, &config)?;
    let grouping = config.task.directory_grouping;
    let mut builder = RunBuilder::new(file.flow.name.clone(), workdir, guard)
        .opened_devices(devices)
        .config(config)
        .workers(worker_programs(&file.flow))
        .base_dir(file.flow.base_dir.clone())
        .flow_file(&args.flow, file.text())
        .vars(inputs.vars)
        .reserve(task_directories(&file.flow, grouping))
        .fresh(args.fresh);
    if let Some(file) = settings.file() {
        builder = builder.config_file(file);
    }
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    if let Some(durations) = durations {
        builder = builder.durations(durations);
    }
    let builder = shown(builder, args.options.progress);
    let run = match locked {
        Some(locked) => builder.go_on(locked),
        None => builder.begin(),
    };
    run_groups(run?, &file.flow)
}

/// What a new run reads its flow with.
fn inputs_of(args: &RunArgs) -> FlowInputs {
    FlowInputs { vars: args.vars.given(), seed: args.seed.unwrap_or(DEFAULT_SEED) }
}

/// What the flow of a recorded run is read with: the first seed, and the variables that it still has, unless others are
/// given.
fn recorded_inputs(recorded: &RunState, flow: &Flow, given: &Dict) -> FlowInputs {
    let setup = recorded.setup();
    let kept = setup.vars.iter().filter(|(name, _)| flow.vars.get(name).is_some());
    let vars = kept.chain(given.iter()).map(|(name, value)| (name, value.clone())).collect();
    FlowInputs { vars, seed: recorded.first_seed() }
}

/// The run in the workdir, to go on with it.
fn lock(workdir: &Path, guard: &Guard) -> Result<LockedRun, CommandError> {
    let run_dir = RunDir::open(workdir)
        .map_err(|error| CommandError::refused(error).hint("without --resume the flow begins anew"))?;
    Ok(LockedRun::open(&run_dir, guard, &spoken())?)
}

/// Refuses a flow that changes recorded tasks, before anything is written or started. Groups may have more tasks than are
/// recorded, and there may be more groups: recorded tasks that ask for what these will have are run again.
fn accept(locked: &mut LockedRun, run_dir: &Path, flow: &Flow) -> Result<(), CommandError> {
    let recorded = locked.state().progress();
    let again = run_again(&flow.groups, run_dir, &recorded, |_, _| None);
    let mut reopened = by_group(&again);
    let mut kept = Arc::clone(&recorded);
    if !reopened.is_empty() {
        Arc::make_mut(&mut kept).reopen(&reopened);
    }
    let Differences { grown, changed } = compare(&flow.groups, run_dir, &kept);
    if !changed.is_empty() {
        return Err(refusal(&changed));
    }
    for (group, new) in &grown {
        let difference = match named(new) {
            Some(new) => format!("has more tasks now: {new}"),
            None => "has its tasks in another order now".into(),
        };
        stderr::say(&format!("note: {group} {difference}; what it has recorded is kept"));
    }
    announcement(&again).iter().for_each(|text| stderr::say(text));
    let (older, newer) = older(&flow.groups, &recorded, &kept, &grown);
    if let Some((older, newer)) = named(&older).zip(named(&newer)) {
        stderr::say(&format!(
            "note: {older}: what is recorded is kept, and is older than what {newer} will have"
        ));
    }
    // A group that has grown is open again; of its recorded tasks only those that are run again are.
    for (group, _) in grown {
        reopened.entry(group).or_default();
    }
    locked.reopen(reopened);
    Ok(())
}

/// Recorded groups are made of other tasks or parameters.
fn refusal(changed: &[(Name, String)]) -> CommandError {
    let differences: String =
        changed.iter().map(|(group, difference)| format!("\n  {group}: {difference}")).collect();
    CommandError::refused(format!(
        "the run has recorded groups that are made of other tasks or parameters now:{differences}"
    ))
    .hint(CHANGED_HINT)
}

/// The run directory of a run, as far as it can be told from outside.
#[must_use]
pub(in crate::commands) fn run_dir_of(args: &RunArgs) -> Option<PathBuf> {
    let file = FlowFile::read_with(&args.flow, &inputs_of(args)).ok()?;
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
    if !config.scheduler.order.asks_for_durations() {
        return Err(CommandError::refused("--durations has no effect in this order").hint(
            "tasks start by their durations with --set scheduler.order=longest-first, packed or auto",
        ));
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
