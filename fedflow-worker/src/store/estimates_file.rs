//! `EstimatesFile`: the memory of tasks that runs have learned, kept beside the user's configuration for later runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fedflow_core::Estimates;
use serde::{Deserialize, Serialize};

use super::run_dir::PrivateDir;

const FILE: &str = "estimates.json";
const LOCK: &str = "estimates.lock";

/// The version of the file's format.
const VERSION: u32 = 1;

/// A larger file is not Fedflow's: the number of families and the size of each are bounded.
const MAX_BYTES: u64 = 8 << 20;

/// How long to wait for another run that saves. That takes milliseconds, unless the run was stopped meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The estimates file in a directory of the user's. The directory is made private if it is not.
#[derive(Debug, Clone)]
pub struct EstimatesFile {
    directory: PathBuf,
}

/// Why estimates cannot be kept. A run goes on without them.
#[derive(Debug, thiserror::Error)]
pub enum EstimatesError {
    /// The system refuses it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is not what Fedflow writes.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version of Fedflow has written it; it is left alone.
    #[error("{} was written by a later version of Fedflow (format {version})", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format's version.
        version: u32,
    },
    /// Another process holds its lock.
    #[error("{} is locked by another process", .0.display())]
    Locked(PathBuf),
}

#[derive(Serialize)]
struct Written<'a> {
    fedflow_estimates: u32,
    estimates: &'a Estimates,
}

/// Read first, as later versions may hold anything else.
#[derive(Deserialize)]
struct Version {
    fedflow_estimates: u32,
}

#[derive(Deserialize)]
struct Content {
    estimates: Estimates,
}

impl EstimatesFile {
    /// The file in a directory, which need not exist yet.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Reads what was learned; nothing if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or comes from a later version.
    pub fn load(&self) -> Result<Estimates, EstimatesError> {
        match PrivateDir::open(&self.real_directory()) {
            Ok(directory) => self.read(&directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Estimates::default()),
            Err(error) => Err(failed(&self.directory)(error)),
        }
    }

    /// Adds what a run has learned to what other runs have saved meanwhile. The file is replaced as a whole; a damaged one is
    /// begun anew. Blocks on the disk, and for two seconds at most while another run saves.
    ///
    /// # Errors
    /// It cannot be written, another process keeps it locked, or it comes from a later version.
    pub fn save(&self, learned: &Estimates) -> Result<(), EstimatesError> {
        if !learned.has_news() {
            return Ok(());
        }
        let place = self.real_directory();
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        let directory = PrivateDir::create(&place).map_err(failed(&self.directory))?;
        let _locked = self.lock(&directory)?;
        let mut estimates = match self.read(&directory) {
            Ok(estimates) => estimates,
            Err(EstimatesError::Damaged { .. }) => Estimates::default(),
            Err(error) => return Err(error),
        };
        estimates.take_news(learned);
        let written = Written { fedflow_estimates: VERSION, estimates: &estimates };
        let mut text = serde_json::to_vec(&written).map_err(|error| self.damaged(&error))?;
        text.push(b'\n');
        directory.write_durably(FILE, &text).map_err(failed(&self.path()))?;
        Ok(())
    }

    /// Where the directory is. It may be a link, as programs make that keep a user's configuration elsewhere. Its owner and
    /// its permissions are checked when it is opened; links inside it are not followed.
    fn real_directory(&self) -> PathBuf {
        std::fs::canonicalize(&self.directory).unwrap_or_else(|_| self.directory.clone())
    }

    fn read(&self, directory: &PrivateDir) -> Result<Estimates, EstimatesError> {
        let file = match directory.read(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Estimates::default()),
            Err(error) => return Err(failed(&self.path())(error)),
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(failed(&self.path()))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(self.damaged(&"it is too large"));
        }
        let Version { fedflow_estimates: version } =
            serde_json::from_slice(&text).map_err(|error| self.damaged(&error))?;
        if version > VERSION {
            return Err(EstimatesError::TooNew { path: self.path(), version });
        }
        let Content { estimates } = serde_json::from_slice(&text).map_err(|error| self.damaged(&error))?;
        Ok(estimates.bounded())
    }

    /// Locks the file until the returned descriptor is closed. The kernel frees the lock of a process that dies.
    fn lock(&self, directory: &PrivateDir) -> Result<File, EstimatesError> {
        let file = directory.open_or_create(LOCK).map_err(failed(&self.directory.join(LOCK)))?;
        // The system call has no time limit, so it waits on a thread of its own, which ends with the lock.
        let (done, locked) = crossbeam_channel::bounded(1);
        let wait = move || {
            let result = file.lock();
            // The caller may have stopped waiting.
            let _ = done.send(result.map(|()| file));
        };
        thread::Builder::new()
            .name("fedflow-lock".into())
            .spawn(wait)
            .map_err(failed(&self.directory.join(LOCK)))?;
        match locked.recv_timeout(LOCK_WAIT) {
            Ok(result) => result.map_err(failed(&self.directory.join(LOCK))),
            Err(_) => Err(EstimatesError::Locked(self.path())),
        }
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> EstimatesError {
        EstimatesError::Damaged { path: self.path(), reason: reason.to_string() }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> EstimatesError {
    let path = path.into();
    move |source| EstimatesError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use fedflow_core::{Family, Memory, Name, Size, TaskSpec};

    use super::*;

    fn family(group: &str) -> Family {
        Family::of(&Name::new(group).unwrap(), &TaskSpec::command("t", ["train"]).unwrap())
    }

    fn learned(groups: &[&str]) -> Estimates {
        let mut estimates = Estimates::default();
        groups.iter().for_each(|group| {
            estimates.observe(&family(group), Memory::Card, Size::from_gb(3), false);
        });
        estimates
    }

    fn place() -> (tempfile::TempDir, EstimatesFile) {
        let root = tempfile::tempdir().unwrap();
        let file = EstimatesFile::in_directory(root.path().join("config/fedflow"));
        (root, file)
    }

    #[test]
    fn what_is_saved_is_loaded_and_stays_private() {
        let (_root, file) = place();
        assert!(file.load().unwrap().is_empty(), "there is none yet");
        file.save(&Estimates::default()).unwrap();
        assert!(!file.path().exists(), "nothing was learned");
        file.save(&learned(&["a"])).unwrap();
        assert!(file.load().unwrap().of(&family("a"), Memory::Card) > Some(Size::from_gb(3)));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn runs_that_save_at_once_lose_nothing() {
        let (_root, file) = place();
        let groups: Vec<String> = (0..16).map(|number| format!("g{}x", char::from(b'a' + number))).collect();
        thread::scope(|scope| {
            for group in &groups {
                scope.spawn(|| file.save(&learned(&[group])).unwrap());
            }
        });
        let all = file.load().unwrap();
        assert!(groups.iter().all(|group| all.of(&family(group), Memory::Card).is_some()));
    }

    #[test]
    fn a_directory_that_is_a_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("dotfiles"), root.path().join("fedflow"));
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&real, &link).unwrap();
        let file = EstimatesFile::in_directory(&link);
        file.save(&learned(&["a"])).unwrap();
        assert!(real.join(FILE).is_file());
        assert!(file.load().unwrap().of(&family("a"), Memory::Card).is_some());
    }

    #[test]
    fn a_damaged_file_is_told_and_begun_anew() {
        let (_root, file) = place();
        file.save(&learned(&["a"])).unwrap();
        for text in ["", "{}", "{\"fedflow_estimates\":1,\"estimates\":{\"families\":7}}", "\0\0\0"] {
            fs::write(file.path(), text).unwrap();
            assert!(matches!(file.load(), Err(EstimatesError::Damaged { .. })), "{text:?}");
            file.save(&learned(&["b"])).unwrap();
            assert!(file.load().unwrap().of(&family("b"), Memory::Card).is_some());
        }
        fs::write(file.path(), vec![b' '; (MAX_BYTES + 1) as usize]).unwrap();
        assert!(file.load().unwrap_err().to_string().ends_with("it is too large"));
    }

    #[test]
    fn a_later_versions_file_and_somebody_elses_are_left_alone() {
        let (root, file) = place();
        file.save(&learned(&["a"])).unwrap();
        let later = "{\"fedflow_estimates\":2,\"something\":\"else\"}";
        fs::write(file.path(), later).unwrap();
        assert!(matches!(file.load(), Err(EstimatesError::TooNew { version: 2, .. })));
        assert!(file.save(&learned(&["b"])).is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), later);
        let precious = root.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        fs::remove_file(file.path()).unwrap();
        symlink(&precious, file.path()).unwrap();
        assert!(file.load().is_err());
        assert!(file.save(&learned(&["b"])).is_err());
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    }
}
