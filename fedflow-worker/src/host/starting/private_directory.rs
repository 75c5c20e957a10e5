//! `PrivateDirectory`: where Rust workers offer their channels, and where large parameters pass.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fedflow_core::WorkerId;
use tempfile::TempDir;

use crate::processes::own_process::own_environment;

/// The longest path of a socket, in bytes; ipc-channel cuts a longer one off silently.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// What lies below a private directory: the worker's directory, ipc-channel's own directory and the socket.
const LONGEST_BELOW: usize = "/12345678901234567890/.tmp123456/socket".len();

const PREFIX: &str = "fedflow-";
/// How many random characters follow.
const RANDOM: usize = 6;
/// Locked as long as the directory's host lives.
const OWNER: &str = "owner";
/// How often a directory is made anew that another host has taken for abandoned.
const TRIES: u32 = 100;

/// A directory that only this user can enter, on a memory file system if there is one. It is removed when dropped;
/// that of a host that was killed is removed by its guard or by the next host.
///
/// It may be removed at any time, as `systemd-logind` does when its user logs out, or have no room left: then another
/// one is made for the workers to come.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    /// Where it may be made, the best place first.
    places: Vec<PathBuf>,
    /// The last one is in use; workers may still use the others.
    made: Mutex<Vec<OwnedDirectory>>,
}

impl PrivateDirectory {
    /// Makes it, and removes what hosts that were killed have left.
    ///
    /// # Errors
    /// There is no place for it.
    pub(crate) fn make() -> io::Result<Self> {
        let places = own_environment::places_for_small_files();
        places.iter().for_each(|place| remove_abandoned(place));
        Self::make_in(places)
    }

    fn make_in(places: Vec<PathBuf>) -> io::Result<Self> {
        let made = OwnedDirectory::make_in_one(&places, |_| Ok(()))?;
        Ok(Self { places, made: Mutex::new(vec![made]) })
    }

    /// Makes the directory of one worker.
    ///
    /// # Errors
    /// No place has room for it.
    pub(crate) fn make_for(&self, worker: WorkerId) -> io::Result<PathBuf> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let in_directory = |directory: &Path| directory.join(worker.0.to_string());
        if let Some(current) = made.last() {
            let path = in_directory(current.path());
            if fs::create_dir(&path).is_ok() {
                return Ok(path);
            }
        }
        let other = OwnedDirectory::make_in_one(&self.places, |new| fs::create_dir(in_directory(new)))?;
        let path = in_directory(other.path());
        made.push(other);
        Ok(path)
    }
}

/// A directory of this process's own.
#[derive(Debug)]
struct OwnedDirectory {
    directory: TempDir,
    _owner: File,
}

impl OwnedDirectory {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes it in the first place where that succeeds, and `prepare` too.
    fn make_in_one(places: &[PathBuf], prepare: impl Fn(&Path) -> io::Result<()>) -> io::Result<Self> {
        let mut refused = io::Error::other("no place has a path that is short enough for a socket");
        for place in places {
            if place.as_os_str().len() + "/".len() + PREFIX.len() + RANDOM + LONGEST_BELOW > MAX_SOCKET_PATH {
                continue;
            }
            match Self::make_in(place).and_then(|made| prepare(made.path()).map(|()| made)) {
                Ok(made) => return Ok(made),
                Err(error) => refused = io::Error::new(error.kind(), format!("{}: {error}", place.display())),
            }
        }
        Err(refused)
    }

    fn make_in(place: &Path) -> io::Result<Self> {
        for _ in 0..TRIES {
            let directory = tempfile::Builder::new()
                .prefix(PREFIX)
                .rand_bytes(RANDOM)
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(place)?;
            match lock_as_owner(directory.path()) {
                Ok(Some(owner)) => return Ok(Self { directory, _owner: owner }),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("every directory that was made is gone at once"))
    }
}

/// Locks a new directory's owner file; `None` if another host has taken it for abandoned meanwhile.
fn lock_as_owner(directory: &Path) -> io::Result<Option<File>> {
    let path = directory.join(OWNER);
    let owner = File::create_new(&path)?;
    owner.lock()?;
    let (ours, there) = (owner.metadata()?, fs::metadata(&path)?);
    Ok(((ours.dev(), ours.ino()) == (there.dev(), there.ino())).then_some(owner))
}

/// Removes the private directories of this user's hosts that have ended without removing them: those that no process
/// holds. The guard of a supervisor calls it when the supervisor has ended. Blocks on the file system.
pub fn remove_abandoned_directories() {
    own_environment::places_for_small_files().iter().for_each(|place| remove_abandoned(place));
}

fn remove_abandoned(place: &Path) {
    let mine = rustix::process::geteuid().as_raw();
    let is_ours = |name: &str| name.strip_prefix(PREFIX).is_some_and(|random| random.len() == RANDOM);
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let named = entry.file_name().to_str().is_some_and(is_ours);
        if !named || !entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == mine) {
            continue;
        }
        match File::open(entry.path().join(OWNER)) {
            Ok(owner) if owner.try_lock().is_ok() => {
                // What cannot be removed is left to the next host.
                let _ = fs::remove_dir_all(entry.path());
            }
            // Its host was killed, or is just about to own it and then makes another one. Only an empty one is removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = fs::remove_dir(entry.path());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(place: &Path) -> Vec<PathBuf> {
        fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn only_what_is_abandoned_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let alive = OwnedDirectory::make_in(place.path()).unwrap();
        let other = OwnedDirectory::make_in(place.path()).unwrap();
        let [abandoned, unfinished, foreign, unnamed] =
            ["fedflow-abcdef", "fedflow-uvwxyz", "fedflow-123456", "fedflow-results"]
                .map(|name| place.path().join(name));
        for path in [&abandoned, &unfinished, &foreign, &unnamed] {
            fs::create_dir(path).unwrap();
        }
        fs::create_dir(abandoned.join("1")).unwrap();
        fs::write(abandoned.join(OWNER), "").unwrap();
        fs::write(foreign.join("precious"), "").unwrap();
        remove_abandoned(place.path());
        assert!(alive.path().exists() && other.path().exists());
        assert!(!abandoned.exists() && !unfinished.exists());
        assert!(foreign.exists() && unnamed.exists(), "it is no private directory");
        let mode = alive.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }

    #[test]
    fn hosts_that_start_and_clean_up_at_once_take_nothing_from_each_other() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        remove_abandoned(place.path());
                        let made = OwnedDirectory::make_in(place.path()).unwrap();
                        remove_abandoned(place.path());
                        fs::create_dir(made.path().join("1")).unwrap();
                    }
                });
            }
        });
        assert_eq!(entries(place.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn one_that_was_removed_is_made_again() {
        let place = tempfile::tempdir().unwrap();
        let private = PrivateDirectory::make_in(vec![place.path().to_owned()]).unwrap();
        let first = private.make_for(WorkerId(1)).unwrap();
        fs::remove_dir_all(first.parent().unwrap()).unwrap();
        let second = private.make_for(WorkerId(2)).unwrap();
        assert!(second.is_dir() && second.parent() != first.parent());
        assert_eq!(private.make_for(WorkerId(3)).unwrap().parent(), second.parent(), "that one stays in use");
        drop(private);
        assert_eq!(entries(place.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_next_place_is_taken_where_one_is_gone_or_its_path_is_too_long() {
        let root = tempfile::tempdir().unwrap();
        let [gone, long, good] =
            [root.path().join("gone"), root.path().join("x".repeat(60)), root.path().join("good")];
        for path in [&gone, &long, &good] {
            fs::create_dir(path).unwrap();
        }
        let private = PrivateDirectory::make_in(vec![gone.clone(), long.clone(), good.clone()]).unwrap();
        let first = private.make_for(WorkerId(1)).unwrap();
        assert!(first.starts_with(&gone));
        fs::remove_dir_all(&gone).unwrap();
        assert!(private.make_for(WorkerId(2)).unwrap().starts_with(&good));
        fs::remove_dir_all(&good).unwrap();
        let refused = private.make_for(WorkerId(3)).unwrap_err().to_string();
        assert!(refused.starts_with(&good.display().to_string()), "{refused}");
    }
}
