//! What the commands that take a flow file share: its settings, its devices, its workers, and its check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fedflow_core::{Config, DevicePool};
use fedflow_gpu::Pool;
use fedflow_worker::{Protocol, WorkerProgram, describe_with};

use crate::args::SettingArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stderr;
use crate::flow::{Findings, Flow, FlowFile, Surroundings, WorkerEntry, WorkerProtocol, validate};
use crate::mail::check_mail;
use crate::run::{Devices, python_path, search_path, variables_with_prefix};
use crate::settings::{CONFIG_PREFIX, Layers, Settings};

/// How long a worker may take to list its task kinds.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which flow is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// One that is about to run from its beginning.
    New,
    /// One of which a part has run.
    Recorded,
}

/// The effective configuration.
///
/// # Errors
/// Every mistake in any of its sources.
pub(super) fn load_settings(args: &SettingArgs, flow: Option<&FlowFile>) -> Result<Settings, CommandError> {
    let layers = Layers {
        directory: Path::new("."),
        config_file: args.config.as_deref(),
        flow: flow.map(|file| (&file.source, file.flow.config.as_slice())),
        variables: &variables_with_prefix(CONFIG_PREFIX),
        set: &args.set,
    };
    Ok(Settings::load(&layers)?)
}

/// Opens the devices that `--devices` asks for.
///
/// # Errors
/// The text does not describe devices, or there are no such devices.
pub(super) fn open_devices(text: &str, config: &Config) -> Result<Devices, CommandError> {
    Devices::open(text, config).map_err(CommandError::from)
}

/// Checks everything that can be checked before the flow runs. Prints warnings, and returns how many there are.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn check_flow(
    flow: &Flow,
    config: &Config,
    pool: &Pool,
    checked: Checked,
) -> Result<usize, CommandError> {
    let (search_path, python_path) = (search_path(), python_path());
    let surroundings = Surroundings {
        config,
        search_path: search_path.as_deref(),
        python_path: python_path.as_deref(),
        is_recorded: checked == Checked::Recorded,
        describe: &|_name, entry, questions| {
            // The worker `self` is this very program.
            let own = std::env::current_exe().map(|path| vec![path.display().to_string()]);
            let command = if entry.command.is_empty() {
                own.map_err(|error| error.to_string())?
            } else {
                entry.command.clone()
            };
            let cwd = entry.current_dir(&flow.base_dir);
            let directories = [&flow.base_dir, cwd.as_ref().unwrap_or(&flow.base_dir)].map(PathBuf::as_path);
            describe_with(&command, directories, &program(entry).env, questions, DESCRIBE_TIMEOUT)
                .map_err(|error| error.to_string())
        },
        leasable: &|request| pool.check(request),
    };
    let Findings { errors, warnings } = validate(flow, &surroundings);
    if !warnings.is_empty() {
        stderr::say(&warnings.to_string());
    }
    errors.or(())?;
    check_mail(config)?;
    Ok(warnings.len())
}

/// The worker programs of a flow, as the host starts them.
#[must_use]
pub(super) fn worker_programs(flow: &Flow) -> BTreeMap<String, WorkerProgram> {
    flow.workers.iter().map(|(name, entry)| (name.clone(), program(entry))).collect()
}

fn program(entry: &WorkerEntry) -> WorkerProgram {
    WorkerProgram {
        command: entry.command.clone(),
        protocol: match entry.protocol {
            WorkerProtocol::Ipc => Protocol::Ipc,
            WorkerProtocol::Json => Protocol::Json,
        },
        env: entry.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

/// The configuration with the time that `--grace` gives running tasks to end.
pub(super) fn with_grace(mut config: Config, grace: Option<Duration>) -> Config {
    if let Some(grace) = grace {
        config.supervision.grace = grace;
    }
    config
}

/// The directory to which paths on the command line are relative.
pub(super) fn current_directory() -> Result<PathBuf, CommandError> {
    std::env::current_dir().map_err(|error| CommandError::failed(format!("no current directory: {error}")))
}

/// Says why there are CPU slots instead of cards, if so.
pub(super) fn say_note(devices: &Devices) {
    if let Some(note) = devices.note() {
        stderr::say(&format!("note: {note}"));
    }
}
