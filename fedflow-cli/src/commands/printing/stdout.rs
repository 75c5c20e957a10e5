//! Prints results to stdout; a reader that has seen enough is no error.

use std::io::{self, BufWriter, ErrorKind, Write};

use crate::commands::command_error::CommandError;

/// Has `write` print to stdout.
///
/// # Errors
/// stdout cannot be written to for another reason than that its reader went away.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
