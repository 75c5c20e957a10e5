//! The process that has started this one, or has adopted it since.

use std::io;

use fedflow_core::ProcessId;
use rustix::process::getppid;

use crate::processes::process_identity::identify;

/// The parent of this process.
///
/// # Errors
/// It is outside this process namespace, it has ended, or `/proc` cannot be read.
pub fn own_parent() -> io::Result<ProcessId> {
    let parent = getppid().ok_or(io::ErrorKind::NotFound)?;
    identify(parent.as_raw_nonzero().get().unsigned_abs())
}
