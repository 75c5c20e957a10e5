//! `fedflow schema`: the JSON Schema of a flow file, for editors.

use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;
use crate::flow::flow_schema;

/// Prints the schema.
pub(crate) fn cmd_schema() -> Result<(), CommandError> {
    stdout::print(|out| writeln!(out, "{:#}", flow_schema()))
}
