//! The commands: one file each. Every one returns a value or a [`CommandError`]; only [`main`] exits.

mod check;
mod check_worker;
mod completions;
mod config;
mod demo;
mod devices;
mod init;
mod plan;
mod report;
mod resume;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::command_error::CommandError;

/// Runs the command that the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    match run_command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                eprintln!("{text}");
            }
            error.exit_code()
        }
    }
}

fn run_command(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => run::cmd_run(&args),
        Command::Resume(args) => resume::cmd_resume(&args),
        Command::Check(args) => check::cmd_check(&args),
        Command::Plan(args) => plan::cmd_plan(&args),
        Command::Devices(args) => devices::cmd_devices(&args),
        Command::Report(args) => report::cmd_report(&args),
        Command::CheckWorker(args) => check_worker::cmd_check_worker(args),
        Command::Init(args) => init::cmd_init(&args),
        Command::Config(args) => config::cmd_config(&args),
        Command::Demo(args) => demo::cmd_demo(&args),
        Command::Completions { shell } => completions::cmd_completions(shell),
    }
}
