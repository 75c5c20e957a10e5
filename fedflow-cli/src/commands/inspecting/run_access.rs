//! `RunAccess`: a run as another process sees it: its directory, its journal so far, and its tasks by name.

use std::path::Path;

use fedflow_core::Name;
use fedflow_worker::store::{JournalFollower, RunDir};

use super::overview::{Overview, TaskOverview};
use crate::commands::command_error::CommandError;
use crate::diagnostic::did_you_mean;
use crate::run::short_path;
use crate::view::escape;

/// A run that another process may be supervising.
pub(crate) struct RunAccess {
    pub(crate) run_dir: RunDir,
    pub(crate) journal: JournalFollower,
    pub(crate) overview: Overview,
}

impl RunAccess {
    /// Opens a run directory and reads its journal so far.
    ///
    /// # Errors
    /// It holds no run, is not the caller's, or its journal cannot be read.
    pub(crate) fn open(run_dir: &Path) -> Result<Self, CommandError> {
        let run_dir = RunDir::open(run_dir).map_err(CommandError::no_run)?;
        let journal = JournalFollower::open(&run_dir).map_err(CommandError::failed)?;
        let mut access = Self { run_dir, journal, overview: Overview::default() };
        access.catch_up()?;
        Ok(access)
    }

    /// Reads what was added to the journal.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn catch_up(&mut self) -> Result<(), CommandError> {
        self.overview.catch_up(&mut self.journal).map_err(CommandError::failed)
    }

    /// The names of group and task in `GROUP/TASK`.
    ///
    /// # Errors
    /// The run has no such task; the error says which one was probably meant.
    pub(crate) fn find_task(&self, text: &str) -> Result<(Name, Name), CommandError> {
        let found = self.overview.tasks().find(|(group, task)| is_pair(text, &group.name, &task.id));
        if let Some((group, task)) = found {
            return Ok((group.name.clone(), task.id.clone()));
        }
        let run = short_path(self.run_dir.path());
        let error = CommandError::refused(format!("{run} has no task {} so far", escape(text)));
        if let Some((group, _)) = text.split_once('/')
            && !self.overview.groups().iter().any(|known| known.name.as_str() == group)
        {
            let groups = self.overview.groups().iter().map(|known| known.name.as_str());
            let begun = format!("the group {:?} has not begun, or is none of this flow", escape(group));
            return Err(error.hint(begun).maybe_hint(did_you_mean(group, groups)));
        }
        let pairs: Vec<String> =
            self.overview.tasks().map(|(group, task)| format!("{}/{}", group.name, task.id)).collect();
        // A task's name alone most likely lacks its group.
        let meant = pairs.iter().find(|pair| pair.rsplit('/').next() == Some(text));
        let hint = match meant {
            Some(pair) => Some(format!("did you mean {pair:?}?")),
            None => did_you_mean(text, pairs.iter().map(String::as_str)),
        };
        Err(error.maybe_hint(hint))
    }

    /// A task that was found before.
    pub(crate) fn task(&self, group: &Name, task: &Name) -> Option<&TaskOverview> {
        self.overview.task(group, task)
    }
}

fn is_pair(text: &str, group: &Name, task: &Name) -> bool {
    text.strip_prefix(group.as_str()).and_then(|rest| rest.strip_prefix('/')) == Some(task.as_str())
}
