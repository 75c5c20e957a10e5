//! `NewRunDirectory`: makes the directory of a new run, in place of the run that it replaces.

use std::path::{Path, PathBuf};

use fedflow_worker::store::{
    CreateRunDirError, LockError, LockState, RunDir, RunDirError, RunLock, create_run_dir, remove_earlier_run,
};

use super::earlier_sessions::lock_run;
use super::notice::Notices;
use super::open_error::OpenError;
use super::supervisor::Guard;

/// The directory of a new run, to be made.
pub(super) struct NewRunDirectory<'a> {
    pub(super) path: &'a Path,
    /// Paths below it that must be free.
    pub(super) reserved: &'a [PathBuf],
    /// Whether a run that is there is removed.
    pub(super) fresh: bool,
    pub(super) guard: &'a Guard,
    pub(super) notices: &'a Notices,
}

impl NewRunDirectory<'_> {
    /// Makes and locks it. Nothing is removed before all that can be in the way has been looked at.
    ///
    /// # Errors
    /// The directory holds a run that is not to be removed or goes on, something is in the way, or the system refuses it.
    pub(super) fn make(&self) -> Result<(RunDir, RunLock), OpenError> {
        self.refuse_taken()?;
        let replaced = self.remove_replaced()?;
        let run_dir = create_run_dir(self.path).map_err(|error| self.refusal(error))?;
        let lock = match replaced {
            Some(lock) => lock,
            None => lock_run(&run_dir, self.guard, self.notices)?,
        };
        if RunDir::open(run_dir.path()).is_ok() {
            // A supervisor that had the lock meanwhile has begun it.
            return Err(OpenError::Directory(CreateRunDirError::EarlierRun(run_dir.path().into())));
        }
        run_dir.refuse_taken(self.reserved).map_err(|error| OpenError::Directory(error.into()))?;
        Ok((run_dir, lock))
    }

    /// Refuses what is in the way before anything is made. Where there is a run, what is its own goes first.
    fn refuse_taken(&self) -> Result<(), OpenError> {
        let Ok(workdir) = std::path::absolute(self.path) else { return Ok(()) };
        let mut paths = self.reserved.iter().map(|path| workdir.join(path));
        match paths.find(|path| path.symlink_metadata().is_ok()) {
            Some(taken) if RunDir::open(&workdir).is_err() => {
                Err(OpenError::Directory(RunDirError::Taken(taken).into()))
            }
            _ => Ok(()),
        }
    }

    /// Removes the run that this one replaces, if there is one; what is locked stays so for this one.
    fn remove_replaced(&self) -> Result<Option<RunLock>, OpenError> {
        // Whatever is wrong with the directory is said when it is made.
        let Some(run_dir) = RunDir::open(self.path).ok().filter(|_| self.fresh) else { return Ok(None) };
        let lock = lock_run(&run_dir, self.guard, self.notices)?;
        remove_earlier_run(&lock, self.reserved).map_err(OpenError::Directory)?;
        Ok(Some(lock))
    }

    /// Why the directory cannot be made. A run that is going on is named before one that has ended.
    fn refusal(&self, error: CreateRunDirError) -> OpenError {
        match error {
            CreateRunDirError::EarlierRun(_) => match locked(self.path) {
                Some(in_use) => in_use,
                None => OpenError::Directory(error),
            },
            error => OpenError::Directory(error),
        }
    }
}

/// Why the run in a directory could not be locked now, if so.
fn locked(workdir: &Path) -> Option<OpenError> {
    let run_dir = RunDir::open(workdir).ok()?;
    match RunLock::probe(&run_dir) {
        Ok(LockState::Free) => None,
        // One that has lost its guard is about to be one that has ended.
        Ok(LockState::Held(Some(holder))) if holder.is_ending() => None,
        Ok(LockState::Held(holder)) => {
            Some(OpenError::Locked(LockError::Held { run_dir: run_dir.path().into(), holder }))
        }
        Err(error) => Some(OpenError::Locked(error)),
    }
}
