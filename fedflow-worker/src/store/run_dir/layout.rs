//! `RunDir`: a run directory that was made or opened, and the paths in it.

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

impl RunDir {
    /// `path` is absolute, free of links and UTF-8; `private` is its `.fedflow`.
    pub(in crate::store) fn new(path: PathBuf, private: PrivateDir) -> Self {
        Self { path, private }
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
