//! `fedflow init`: a flow file and a configuration to start from; beside it what helps to write one.

mod schema;
mod starter;

use std::path::Path;

pub(crate) use self::schema::cmd_schema;
use self::starter::write_starter;
use crate::args::InitArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;
use crate::run::short_path;

/// Writes the files and says what to do with them.
pub(crate) fn cmd_init(args: &InitArgs) -> Result<(), CommandError> {
    let written = write_starter(&args.directory).map_err(CommandError::refused)?;
    let flow = written.iter().find(|path| path.ends_with("flow.toml")).map_or(Path::new("flow.toml"), |p| p);
    stdout::print(|out| {
        for path in &written {
            writeln!(out, "wrote {}", short_path(path))?;
        }
        writeln!(out, "\nNext: fedflow check {0}\n      fedflow run {0}", short_path(flow))
    })
}
