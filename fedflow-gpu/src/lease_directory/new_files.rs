//! Makes the directory and its files so that they appear under their names only when they are complete.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use fedflow_core::ProcessId;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::ledger_error::LedgerFault;
use crate::machine::this_process;

/// The names of files that are not complete yet begin so.
pub(super) const UNFINISHED: &str = ".new-";
/// All users may add files; only a file's owner may remove it.
const SHARED_MODE: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO).union(Mode::SVTX);
const OPEN_NEW_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Makes a directory that all users may use.
pub(super) fn make_directory(path: &Path) -> Result<(), LedgerFault> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unfinished = parent.join(unfinished_name()?);
    rustix::fs::mkdir(&unfinished, Mode::RWXU)?;
    let made = (|| {
        let fd = rustix::fs::openat(CWD, &unfinished, OPEN_NEW_DIR, Mode::empty())?;
        rustix::fs::fchmod(&fd, SHARED_MODE)?;
        rustix::fs::renameat_with(CWD, &unfinished, CWD, path, RenameFlags::NOREPLACE)
    })();
    let Err(error) = made else { return Ok(()) };
    let _ = rustix::fs::rmdir(&unfinished);
    match error {
        // Another process was faster.
        Errno::EXIST => Ok(()),
        // A file system without this kind of rename: another user may find the directory closed for an instant.
        Errno::INVAL | Errno::NOSYS => make_in_place(path),
        error => Err(error.into()),
    }
}

fn make_in_place(path: &Path) -> Result<(), LedgerFault> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) => {
            let fd = rustix::fs::openat(CWD, path, OPEN_NEW_DIR, Mode::empty())?;
            Ok(rustix::fs::fchmod(&fd, SHARED_MODE)?)
        }
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A number that this process has not used before.
pub(crate) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A name for a file that is not complete yet.
pub(super) fn unfinished_name() -> std::io::Result<String> {
    let ProcessId { pid, start_ticks } = this_process()?;
    Ok(format!("{UNFINISHED}{pid}-{start_ticks}-{}", next_number()))
}

/// The process that was making the file of such a name.
pub(super) fn maker_of(unfinished: &str) -> Option<ProcessId> {
    let mut numbers = unfinished.strip_prefix(UNFINISHED)?.split('-');
    Some(ProcessId { pid: numbers.next()?.parse().ok()?, start_ticks: numbers.next()?.parse().ok()? })
}
