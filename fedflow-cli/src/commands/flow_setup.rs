//! What the commands that take a flow file share: its settings, its devices, its workers, and its check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fedflow_core::{Config, DevicePool};
use fedflow_gpu::Pool;
use fedflow_worker::{Protocol, WorkerProgram, describe};

use crate::args::SettingArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stderr;
use crate::flow::{Flow, FlowFile, Surroundings, WorkerEntry, WorkerProtocol, validate};
use crate::mail::check_mail;
use crate::run::{Devices, search_path, variables_with_prefix};
use crate::settings::{CONFIG_PREFIX, Layers, Settings};

/// How long a worker may take to list its task kinds.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Checks everything that can be checked before the flow runs.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn check_flow(flow: &Flow, config: &Config, pool: &Pool) -> Result<(), CommandError> {
    let search_path = search_path();
    let surroundings = Surroundings {
        config,
        search_path: search_path.as_deref(),
        describe: &|_name, entry| {
            // The worker `self` is this very program.
            let own = std::env::current_exe().map(|path| vec![path.display().to_string()]);
            let command = if entry.command.is_empty() {
                own.map_err(|error| error.to_string())?
            } else {
                entry.command.clone()
            };
            describe(&command, &flow.base_dir, &program(entry).env, DESCRIBE_TIMEOUT)
                .map_err(|error| error.to_string())
        },
        leasable: &|request| pool.check(request),
    };
    let found = validate(flow, &surroundings);
    found.or(())?;
    Ok(check_mail(config)?)
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
