//! The commands. Every one returns a value or a [`CommandError`]; only [`main`] exits.

mod check;
mod check_worker;
mod command_error;
mod completions;
mod config;
mod devices;
mod executing;
mod flow_setup;
mod init;
mod inspecting;
mod plan;
mod printing;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use self::command_error::CommandError;
use self::executing::run_guarded;
use self::printing::stderr;
use crate::args::{Cli, Command};
use crate::debug::log_filter::log_filter;
use crate::run::{log_variable, prepare_process};

/// Runs the command that the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    prepare_process();
    // Before anything is begun: a mistake in the variable is said once, and clearly.
    let checked = log_filter(log_variable().as_deref(), false).map_err(CommandError::refused);
    match checked.and_then(|_| run_command(parsed().command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                stderr::say(&text);
            }
            error.exit_code()
        }
    }
}

/// The arguments. If they are wrong, that is said and the process ends.
fn parsed() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let of_kind = |kind| {
            error.get(kind).and_then(|value| match value {
                ContextValue::String(text) => Some(text.as_str()),
                _ => None,
            })
        };
        let is_second = error.kind() == ErrorKind::UnknownArgument
            && of_kind(ContextKind::InvalidArg).is_some_and(|argument| argument.ends_with(".toml"));
        if !is_second {
            error.exit();
        }
        let _ = error.print();
        stderr::say(
            "hint: one flow at a time: its groups run in order, and each flow has a run directory of its own",
        );
        std::process::exit(error.exit_code())
    })
}

fn run_command(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => {
            run_guarded(|| executing::run_dir_of(&args), |guard| executing::cmd_run(&args, guard))
        }
        Command::Resume(args) => {
            run_guarded(|| Some(args.run_dir.clone()), |guard| executing::cmd_resume(&args, guard))
        }
        Command::Demo(args) => run_guarded(|| None, |guard| executing::cmd_demo(&args, guard)),
        Command::Check(args) => check::cmd_check(&args),
        Command::Plan(args) => plan::cmd_plan(&args),
        Command::Status(args) => inspecting::cmd_status(&args),
        Command::Logs(args) => inspecting::cmd_logs(&args),
        Command::Stop(args) => inspecting::cmd_stop(&args),
        Command::Report(args) => inspecting::cmd_report(&args),
        Command::Results(args) => inspecting::cmd_results(&args),
        Command::Devices(args) => devices::cmd_devices(&args),
        Command::CheckWorker(args) => check_worker::cmd_check_worker(args),
        Command::Init(args) => init::cmd_init(&args),
        Command::Config(args) => config::cmd_config(&args),
        Command::Schema => init::cmd_schema(),
        Command::Completions { shell } => completions::cmd_completions(shell),
    }
}
