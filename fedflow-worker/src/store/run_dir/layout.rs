//! `RunDir`: a run directory that was made or opened, and the paths in it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::private_dir::PrivateDir;

pub(in crate::store) const PRIVATE: &str = ".fedflow";
pub(in crate::store) const JOURNAL: &str = "journal.jsonl";
pub(in crate::store) const LOCK: &str = "lock";
pub(in crate::store) const RESULTS: &str = "results";
pub(in crate::store) const FLOW: &str = "flow.toml";
pub(in crate::store) const CHECKPOINTS: &str = "checkpoints";
pub(in crate::store) const REPORTS: &str = "reports";
/// What Fedflow writes directly into the run directory.
pub(in crate::store) const OUTPUTS: [&str; 3] = ["report.html", "results.json", "results.csv"];

/// A run directory. Clones are cheap.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
    private: PrivateDir,
}

/// Why a run directory cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The system refuses something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Something else has this name.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The path is not UTF-8, so neither journal nor reports could name it.
    #[error("the path {} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// Other users can write to the directory.
    #[error("others can write to {} (mode {mode:o}); {}", path.display(), advice(path, *is_shared))]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Whether it is meant to be written to by others, as `/tmp` is.
        is_shared: bool,
    },
    /// The directory holds no run, but something of a name that Fedflow needs.
    #[error("{} is in the way; it was not made by this run", .0.display())]
    Taken(PathBuf),
    /// The directory holds no run.
    #[error("{} holds no run", .0.display())]
    NotARun(PathBuf),
}

impl RunDir {
    /// `path` is absolute, free of links and UTF-8; `private` is its `.fedflow`.
    pub(in crate::store) fn new(path: PathBuf, private: PrivateDir) -> Self {
        Self { path, private }
    }

    /// Opens the directory of a run that was begun earlier, to resume it or to look at it.
    ///
    /// # Errors
    /// It holds no run, others can write to it, or it belongs to another user.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RunDirError> {
        let path = path.as_ref();
        let path = path.canonicalize().map_err(failed("open", path))?;
        let metadata = fs::metadata(&path).map_err(failed("open", &path))?;
        let state = path.join(PRIVATE);
        // First: what others may write to is no concern of Fedflow's where there is no run, as in /tmp.
        if metadata.is_dir() && !exists(&state.join(JOURNAL))? {
            return Err(RunDirError::NotARun(path));
        }
        refuse_unfit(&path, &metadata)?;
        let private = PrivateDir::open(&state).map_err(failed("open", &state))?;
        Ok(Self::new(path, private))
    }

    /// Refuses paths that are to be made in this directory and exist already, such as the directories of tasks
    /// that never ran. A link counts, wherever it points.
    ///
    /// # Errors
    /// Names the first one that exists.
    pub fn refuse_taken<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<(), RunDirError> {
        paths.into_iter().try_for_each(|path| refuse_existing(self.path().join(path)))
    }

    /// Keeps the text of the flow as it is run in `.fedflow/flow.toml`. Blocks until it is durable.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_flow(&self, text: &str) -> Result<(), RunDirError> {
        self.private().write_durably(FLOW, text.as_bytes()).map_err(failed("write", &self.flow()))?;
        Ok(())
    }

    /// The text of the flow as it was run.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept_flow(&self) -> Result<String, RunDirError> {
        let path = self.flow();
        let file = self.private().read(FLOW).map_err(failed("read", &path))?;
        io::read_to_string(file).map_err(failed("read", &path))
    }

    /// The directory itself: an absolute path without links, in UTF-8.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.private.path().join(JOURNAL)
    }

    /// The file that is locked while a supervisor works here.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.private.path().join(LOCK)
    }

    /// The flow as it was run.
    #[must_use]
    pub fn flow(&self) -> PathBuf {
        self.private.path().join(FLOW)
    }

    /// Where tasks have the directories that survive attempts.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.private.path().join(CHECKPOINTS)
    }

    /// Where the groups' reports lie.
    #[must_use]
    pub fn reports(&self) -> PathBuf {
        self.path.join(REPORTS)
    }

    /// The flow's report.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.path.join(OUTPUTS[0])
    }

    /// The results as JSON.
    #[must_use]
    pub fn results_json(&self) -> PathBuf {
        self.path.join(OUTPUTS[1])
    }

    /// The results as a table.
    #[must_use]
    pub fn results_csv(&self) -> PathBuf {
        self.path.join(OUTPUTS[2])
    }

    pub(in crate::store) fn private(&self) -> &PrivateDir {
        &self.private
    }
}

/// For `map_err`: the system's error with what was tried.
pub(in crate::store) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
    move |source| RunDirError::Io { doing, path: path.into(), source }
}

pub(in crate::store) fn refuse_unfit(path: &Path, metadata: &Metadata) -> Result<(), RunDirError> {
    if !metadata.is_dir() {
        return Err(RunDirError::NotADirectory(path.into()));
    }
    if path.to_str().is_none() {
        return Err(RunDirError::NotUtf8(path.into()));
    }
    if writable_by_others(metadata) {
        let (mode, is_shared) = (metadata.mode() & 0o7777, is_shared(metadata));
        return Err(RunDirError::WritableByOthers { path: path.into(), mode, is_shared });
    }
    Ok(())
}

pub(in crate::store) fn writable_by_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 != 0
}

/// Whether a directory that others may write to is meant for that: it is not this user's, or it is sticky, as `/tmp` is. To
/// take the permission away would do harm.
pub(in crate::store) fn is_shared(metadata: &Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    metadata.mode() & STICKY != 0 || metadata.uid() != rustix::process::geteuid().as_raw()
}

fn advice(path: &Path, is_shared: bool) -> String {
    if is_shared {
        return format!("use a directory of your own, such as {}", path.join("res").display());
    }
    "take that from them with chmod go-w".into()
}

pub(in crate::store) fn refuse_existing(path: PathBuf) -> Result<(), RunDirError> {
    if exists(&path)? { Err(RunDirError::Taken(path)) } else { Ok(()) }
}

/// Whether there is anything of this name, a broken link included.
pub(in crate::store) fn exists(path: &Path) -> Result<bool, RunDirError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(failed("look at", path)(error)),
    }
}
