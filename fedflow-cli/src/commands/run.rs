//! `fedflow run`: a flow from its first group, or with `--resume` from where it stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedflow_core::{Config, Dict, Durations, FlowError, StartOrder, TaskGroup};
use fedflow_worker::store::{
    CreateRunDirError, Existing, Head, RunDir, RunLock, create_run_dir, flow_checksum, new_run_token,
    recorded_config, unix_now,
};

use crate::args::RunArgs;
use crate::command_error::CommandError;
use crate::flow::{Flow, FlowContext, FlowFile};
use crate::history::read_durations;
use crate::session::{Session, SessionPlan, shown};
use crate::settings::Settings;
use crate::stderr;
use crate::workers::{check_flow, load_settings, open_devices, worker_programs};

/// The seed of a run that names none: the same flow makes the same choices.
pub(crate) const DEFAULT_SEED: u64 = 0;

/// Runs the flow.
pub(crate) fn cmd_run(args: &RunArgs) -> Result<(), CommandError> {
    let file = FlowFile::read(&args.flow)?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = with_grace(settings.config().clone(), args.options.grace);
    let opened = open_devices(&args.options.devices, &config)?;
    check_flow(&file.flow, &config, &opened.pool)?;
    let workdir = workdir_of(args, &file, &settings)?;
    say_note(opened.note.as_deref());
    if args.resume {
        let run_dir = RunDir::open(&workdir)
            .map_err(|error| CommandError::refused(error).hint("without --resume the flow begins anew"))?;
        run_dir.keep_flow(file.source.text()).map_err(CommandError::failed)?;
        return super::resume::resume_flow(&run_dir, &file, config, opened.pool, args.options.progress);
    }
    let durations = earlier_durations(args, &config, &workdir)?;
    let (run_dir, lock) = begin(&workdir, args.fresh)?;
    refuse_taken(&run_dir, &file.flow, &config)?;
    run_dir.keep_flow(file.source.text()).map_err(CommandError::failed)?;
    let head = Head {
        flow: file.flow.name.clone(),
        base_dir: file.flow.base_dir.display().to_string(),
        flow_file: std::path::absolute(&args.flow).ok().map(|path| path.display().to_string()),
        flow_crc: Some(flow_checksum(file.source.text())),
        config: recorded_config(&config),
        devices: args.options.devices.clone(),
        seed: args.seed.unwrap_or(DEFAULT_SEED),
        created: unix_now(),
        run_token: new_run_token().map_err(CommandError::failed)?,
    };
    let workers = worker_programs(&file.flow);
    let progress = args.options.progress;
    let plan = SessionPlan {
        run_dir,
        lock,
        head,
        earlier: None,
        durations,
        config,
        pool: opened.pool,
        workers,
        progress,
    };
    run_groups(Session::open(plan)?, &file.flow)
}

/// The run directory of a run, as far as it can be told from outside.
#[must_use]
pub(crate) fn run_dir_of(args: &RunArgs) -> Option<PathBuf> {
    let file = FlowFile::read(&args.flow).ok()?;
    let settings = load_settings(&args.settings, Some(&file)).ok()?;
    workdir_of(args, &file, &settings).ok()
}

fn workdir_of(args: &RunArgs, file: &FlowFile, settings: &Settings) -> Result<PathBuf, CommandError> {
    Ok(match &args.options.workdir {
        Some(workdir) => workdir.clone(),
        None => settings.workdir(&file.flow.base_dir, &current_directory()?),
    })
}

/// What earlier runs say of how long tasks take, for the order that asks: the run that is named, or the one that
/// `--fresh` is about to remove.
fn earlier_durations(args: &RunArgs, config: &Config, workdir: &Path) -> Result<Durations, CommandError> {
    let learns = config.scheduler.order == StartOrder::LongestFirst;
    match &args.durations {
        Some(_) if !learns => Err(CommandError::refused("--durations has no effect in this order")
            .hint("tasks start by their durations with --set scheduler.order=longest-first")),
        Some(run) => {
            let run_dir = RunDir::open(run).map_err(CommandError::refused)?;
            read_durations(&run_dir).map_err(CommandError::refused)
        }
        // A run that cannot be read may be what `--fresh` is for.
        None if learns && args.fresh => Ok(RunDir::open(workdir)
            .ok()
            .and_then(|run_dir| read_durations(&run_dir).ok())
            .unwrap_or_default()),
        None => Ok(Durations::default()),
    }
}

/// Makes the run directory and locks it; what an earlier run left is refused, or with `fresh` removed.
pub(crate) fn begin(workdir: &Path, fresh: bool) -> Result<(RunDir, RunLock), CommandError> {
    let existing = if fresh { Existing::Fresh } else { Existing::Refuse };
    let run_dir = create_run_dir(workdir, existing).map_err(|error| refused_directory(error, workdir))?;
    let lock = RunLock::acquire(&run_dir).map_err(CommandError::failed)?;
    Ok((run_dir, lock))
}

/// What lies where a task's directory is to be is not this run's to move.
fn refuse_taken(run_dir: &RunDir, flow: &Flow, config: &Config) -> Result<(), CommandError> {
    let grouping = config.task.directory_grouping;
    let paths = flow.groups.iter().flat_map(|group| {
        group.tasks.iter().map(move |task| {
            let name = task.task_id.as_str();
            if grouping { Path::new(group.name.as_str()).join(name) } else { PathBuf::from(name) }
        })
    });
    run_dir.refuse_taken(paths).map_err(|error| refused_directory(error.into(), run_dir.path()))
}

fn refused_directory(error: CreateRunDirError, workdir: &Path) -> CommandError {
    let is_locked = || {
        let run_dir = RunDir::open(workdir).ok()?;
        RunLock::acquire(&run_dir).err()
    };
    match error {
        CreateRunDirError::EarlierRun(_) if let Some(locked) = is_locked() => CommandError::failed(locked),
        CreateRunDirError::EarlierRun(_) => CommandError::refused(error)
            .hint(format!("go on with it: fedflow resume {}", shown(workdir)))
            .hint("or begin anew and remove it: --fresh; or work elsewhere: --workdir DIR"),
        CreateRunDirError::Locked(_) => CommandError::failed(error),
        error => CommandError::refused(error).hint("work elsewhere: --workdir DIR"),
    }
}

/// Executes the groups of a flow, each built when those before it are over, or, if it loads ahead, when the one
/// before it begins.
pub(crate) fn run_groups(mut session: Session, flow: &Flow) -> Result<(), CommandError> {
    let mut done = Done::default();
    let ended = execute_all(&mut session, flow, &mut done);
    // The reports are written without them.
    drop(done);
    session.close(ended)
}

fn execute_all(session: &mut Session, flow: &Flow, done: &mut Done) -> Result<(), FlowError> {
    let mut ahead: Option<TaskGroup> = None;
    for (place, plan) in flow.groups.iter().enumerate() {
        let mut group = match ahead.take() {
            Some(mut group) => {
                plan.set_train_params(&mut group, done)?;
                group
            }
            None => plan.build(done)?,
        };
        match flow.groups.get(place + 1).filter(|next| next.load_ahead) {
            Some(next) => {
                let mut next = next.build_ahead(done, &plan.name)?;
                session.execute_and_load(&mut group, &mut next)?;
                ahead = Some(next);
            }
            None => {
                session.execute(&mut group)?;
            }
        }
        done.groups.insert(group.group_name().as_str().into(), group);
    }
    Ok(())
}

/// The groups that are over: what templates may ask for.
#[derive(Default)]
struct Done {
    groups: BTreeMap<String, TaskGroup>,
}

impl FlowContext for Done {
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf> {
        self.groups.get(group)?.get_task(task)?.workdir()
    }

    fn result(&self, group: &str, task: &str) -> Option<Dict> {
        self.groups.get(group)?.get_task(task)?.result().cloned()
    }
}

/// The line that says why there are CPU slots instead of cards.
pub(crate) fn say_note(note: Option<&str>) {
    if let Some(note) = note {
        stderr::say(&format!("note: {note}"));
    }
}

/// `--grace` sets how long what runs may go on after a signal, and how long SIGTERM is given to work.
pub(crate) fn with_grace(mut config: Config, grace: Option<std::time::Duration>) -> Config {
    if let Some(grace) = grace {
        config.supervision.grace = grace;
    }
    config
}

/// Where relative paths on the command line begin.
pub(crate) fn current_directory() -> Result<PathBuf, CommandError> {
    std::env::current_dir().map_err(|error| CommandError::failed(format!("no current directory: {error}")))
}
