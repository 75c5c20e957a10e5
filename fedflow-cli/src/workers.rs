//! What the commands that take a flow file share: its settings, its devices, its workers, and its check.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fedflow_core::{Config, DevicePool};
use fedflow_gpu::{DeviceChoice, DeviceEnvironment, LedgerError, OpenError, Opened, Pool};
use fedflow_worker::{Protocol, WorkerProgram, describe};

use crate::args::SettingArgs;
use crate::command_error::CommandError;
use crate::environment::{config_variables, search_path};
use crate::flow::{Flow, FlowFile, Surroundings, WorkerEntry, WorkerProtocol, validate};
use crate::mail::check_mail;
use crate::settings::{Layers, Settings};

/// How long a worker may take to list its task kinds.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The effective configuration.
///
/// # Errors
/// All that is wrong in any of its sources.
pub(crate) fn load_settings(args: &SettingArgs, flow: Option<&FlowFile>) -> Result<Settings, CommandError> {
    let layers = Layers {
        directory: Path::new("."),
        config_file: args.config.as_deref(),
        flow: flow.map(|file| (&file.source, file.flow.config.as_slice())),
        variables: &config_variables(),
        set: &args.set,
    };
    Ok(Settings::load(&layers)?)
}

/// Opens the devices that `--devices` asks for; with `auto` the reason comes along if there is no card.
///
/// # Errors
/// The text is no choice of devices, or there are no such devices.
pub(crate) fn open_devices(text: &str, config: &Config) -> Result<Opened, CommandError> {
    let choice: DeviceChoice = text.parse().map_err(CommandError::refused)?;
    Pool::open(&choice, config, &DeviceEnvironment::from_process()).map_err(|error| {
        let hint = match &error {
            OpenError::Ledger(LedgerError::Chosen { .. }) => {
                "FEDFLOW_LEASE_DIR names, by its whole path, a directory that all runs of this machine can write to; \
                 unset it for the usual place"
            }
            OpenError::Ledger(_) => {
                "FEDFLOW_LEASE_DIR can name another directory; --devices cpu:2 needs no card and no leases"
            }
            _ => "`fedflow devices` shows what there is; --devices cpu:2 needs no card",
        };
        CommandError::refused(error).hint(hint)
    })
}

/// Looks for all that can be known to be wrong before the flow runs.
///
/// # Errors
/// All of it.
pub(crate) fn check_flow(flow: &Flow, config: &Config, pool: &Pool) -> Result<(), CommandError> {
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
pub(crate) fn worker_programs(flow: &Flow) -> BTreeMap<String, WorkerProgram> {
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
