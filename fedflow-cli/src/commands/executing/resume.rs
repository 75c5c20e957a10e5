//! `fedflow resume`: goes on with a run from its directory alone.

use std::path::{Path, PathBuf};

use fedflow_core::Config;
use fedflow_worker::store::{Head, JournalReader, RunDir};

use super::flow_groups::run_groups;
use super::shown_run::shown;
use crate::args::{ResumeArgs, SettingArgs};
use crate::commands::command_error::CommandError;
use crate::commands::flow_setup::{check_flow, load_settings, open_devices, with_grace, worker_programs};
use crate::commands::printing::stderr;
use crate::flow::FlowFile;
use crate::run::short_path;
use crate::run::{Guard, RunBuilder};

/// Goes on with the run.
pub(in crate::commands) fn cmd_resume(args: &ResumeArgs, guard: Guard) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::refused)?;
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
    let config = with_password(with_grace(recorded_config(&head)?, args.grace))?;
    let devices = open_devices(args.devices.as_deref().unwrap_or(&head.devices), &config)?;
    check_flow(&file.flow, &config, devices.pool())?;
    let builder = RunBuilder::new(head.flow, run_dir.path(), guard)
        .opened_devices(devices)
        .config(config)
        .workers(worker_programs(&file.flow));
    run_groups(shown(builder, args.progress).resume()?, &file.flow)
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
