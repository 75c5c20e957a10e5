//! `PrivateDirectory`: where workers are met, and where large parameters and results pass.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fedflow_core::WorkerId;
use tempfile::TempDir;

use crate::processes::own_process::own_environment;

/// The longest path of a socket, in bytes; ipc-channel cuts a longer one off silently.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

const PREFIX: &str = "fedflow-";
/// Locked as long as the directory's host lives.
const OWNER: &str = "owner";
/// Where commands put their results. A directory of its own, as a command may do anything there.
const RESULTS: &str = "results";

/// A directory that only this user can enter, on a memory file system if there is one. It is removed when dropped;
/// the next host removes that of a host that was killed.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    directory: TempDir,
    _owner: File,
}

impl PrivateDirectory {
    pub(crate) fn make() -> io::Result<Self> {
        let parent = own_environment::memory_directory();
        let made = Self::make_in(&parent)?;
        // Below it lie the worker's directory, ipc-channel's own directory and the socket.
        let below = "/12345678901234567890/.tmp123456/socket".len();
        if made.directory.path().as_os_str().len() + below <= MAX_SOCKET_PATH {
            return Ok(made);
        }
        Self::make_in(Path::new("/tmp"))
    }

    fn make_in(parent: &Path) -> io::Result<Self> {
        remove_abandoned(parent);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        // The lock file gets its name once it is locked, so that the directory is never taken for abandoned.
        fs::create_dir(directory.path().join(RESULTS))?;
        let unnamed = directory.path().join("new");
        let owner = File::create_new(&unnamed)?;
        owner.lock()?;
        fs::rename(&unnamed, directory.path().join(OWNER))?;
        Ok(Self { directory, _owner: owner })
    }

    /// The directory of one worker.
    pub(crate) fn of(&self, worker: WorkerId) -> PathBuf {
        self.directory.path().join(worker.0.to_string())
    }

    /// Where a command may put its result.
    pub(crate) fn result_of(&self, worker: WorkerId) -> PathBuf {
        self.directory.path().join(RESULTS).join(format!("{}.json", worker.0))
    }
}

/// Removes the directories of this user's hosts that are gone.
fn remove_abandoned(parent: &Path) {
    let mine = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let own = named && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == mine);
        let Some(owner) = own.then(|| File::open(entry.path().join(OWNER)).ok()).flatten() else { continue };
        if owner.try_lock().is_ok() {
            // What cannot be removed is left to the next host.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_abandoned_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let alive = PrivateDirectory::make_in(parent.path()).unwrap();
        let abandoned = parent.path().join("fedflow-old");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(OWNER), "").unwrap();
        let unfinished = parent.path().join("fedflow-new");
        fs::create_dir(&unfinished).unwrap();
        let other = PrivateDirectory::make_in(parent.path()).unwrap();
        assert!(alive.directory.path().exists() && other.directory.path().exists() && unfinished.exists());
        assert!(!abandoned.exists());
        let mode = alive.directory.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = alive.directory.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
