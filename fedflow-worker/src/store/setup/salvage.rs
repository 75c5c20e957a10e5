//! What can still be read of the journal of a run that is given up.

use fedflow_core::RunEvent;

use crate::store::journal::{
    Content, Found, Head, JournalError, decode, io_error, open_lines, read_head, sealed_length,
};
use crate::store::run_dir::RunDir;

/// Passes on every event of a journal that can still be read, whatever stands between them. Returns the head if it can be
/// read. It is not for resuming a run, only for finding what a run that is given up has made.
pub(in crate::store) fn salvage(
    run_dir: &RunDir,
    mut visit: impl FnMut(RunEvent),
) -> Result<Option<Head>, JournalError> {
    let path = run_dir.journal();
    let mut lines = open_lines(run_dir)?;
    let head = match read_head(&mut lines, &path) {
        Ok(head) => Some(head),
        Err(JournalError::NoHead(_) | JournalError::Damaged { .. }) => None,
        Err(error) => return Err(error),
    };
    loop {
        match lines.read().map_err(|source| io_error("read", path.clone(), source))? {
            Found::End => return Ok(head),
            Found::Unended | Found::TooLong => continue,
            Found::Line => {}
        }
        let Some(length) = sealed_length(&lines.text) else { continue };
        match decode(&mut lines.text, length) {
            Ok((_, _, Content::Event(event))) => visit(event),
            Ok((seq, _, Content::Outside(outside))) => {
                let _ = outside.read(run_dir.private(), seq).map(&mut visit);
            }
            Err(_) => {}
        }
    }
}
