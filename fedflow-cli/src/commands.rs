//! The commands: one file each. Every one returns a value or a [`CommandError`]; only [`main`] exits.

mod check;
mod check_worker;
mod completions;
mod config;
mod demo;
mod devices;
mod flow_groups;
mod flow_setup;
mod guarded;
mod init;
mod logs;
mod plan;
mod report;
mod resume;
mod run;
mod shown_run;
mod status;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::command_error::CommandError;
use crate::debug::log_filter::log_filter;
use crate::run::prepare_process;
use guarded::run_guarded;

/// Runs the command that the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    prepare_process();
    // Before anything is begun: a mistake in the variable is said once, and clearly.
    let checked = log_filter(false).map_err(CommandError::refused);
    match checked.and_then(|_| run_command(Cli::parse().command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                crate::stderr::say(&text);
            }
            error.exit_code()
        }
    }
}

fn run_command(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => run_guarded(|| run::run_dir_of(&args), |guard| run::cmd_run(&args, guard)),
        Command::Resume(args) => {
            run_guarded(|| Some(args.run_dir.clone()), |guard| resume::cmd_resume(&args, guard))
        }
        Command::Check(args) => check::cmd_check(&args),
        Command::Plan(args) => plan::cmd_plan(&args),
        Command::Devices(args) => devices::cmd_devices(&args),
        Command::Report(args) => report::cmd_report(&args),
        Command::Status(args) => status::cmd_status(&args),
        Command::Logs(args) => logs::cmd_logs(&args),
        Command::Stop(args) => stop::cmd_stop(&args),
        Command::CheckWorker(args) => check_worker::cmd_check_worker(args),
        Command::Init(args) => init::cmd_init(&args),
        Command::Config(args) => config::cmd_config(&args),
        Command::Demo(args) => run_guarded(|| None, |guard| demo::cmd_demo(&args, guard)),
        Command::Completions { shell } => completions::cmd_completions(shell),
    }
}
