//! Prints results to stdout. A reader that goes away early is no error.

use std::io::{self, BufWriter, ErrorKind, Write};

use crate::commands::command_error::CommandError;

/// Prints what `write` writes to stdout.
///
/// # Errors
/// stdout cannot be written, unless its reader went away.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
