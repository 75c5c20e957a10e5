//! The commands: one file each. Every one returns a value or a [`CommandError`]; only [`main`] exits.

mod check;
mod check_worker;
mod completions;
mod config;
mod demo;
mod devices;
mod init;
mod logs;
mod plan;
mod report;
mod resume;
mod run;
mod status;
mod stop;

use std::process::ExitCode;

use clap::Parser;
use fedflow_worker::shed_inheritance;

use crate::args::{Cli, Command};
use crate::command_error::CommandError;
use crate::guard::run_guarded;
use crate::memory::give_memory_back;
use crate::signals::survive_file_size_limit;

/// Runs the command that the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    shed_inheritance();
    survive_file_size_limit();
    give_memory_back();
    match run_command(Cli::parse().command) {
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
        Command::Run(args) => run_guarded(|| run::run_dir_of(&args), || run::cmd_run(&args)),
        Command::Resume(args) => run_guarded(|| Some(args.run_dir.clone()), || resume::cmd_resume(&args)),
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
        Command::Demo(args) => run_guarded(|| None, || demo::cmd_demo(&args)),
        Command::Completions { shell } => completions::cmd_completions(shell),
    }
}
