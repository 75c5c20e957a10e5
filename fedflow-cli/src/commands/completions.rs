//! `fedflow completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;

/// Prints the script.
pub(crate) fn cmd_completions(shell: Shell) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fedflow", &mut script);
    stdout::print(|out| out.write_all(&script))
}
