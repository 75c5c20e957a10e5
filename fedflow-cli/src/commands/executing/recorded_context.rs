//! `RecordedContext`: what templates are answered from the journal alone, before any group runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{Dict, Name, RunProgress};

use crate::flow::FlowContext;

/// Answers templates from what is recorded.
pub(super) struct RecordedContext {
    run_dir: PathBuf,
    progress: Arc<RunProgress>,
}

impl RecordedContext {
    pub(super) fn of(run_dir: &Path, progress: &Arc<RunProgress>) -> Arc<Self> {
        Arc::new(Self { run_dir: run_dir.into(), progress: Arc::clone(progress) })
    }
}

impl FlowContext for RecordedContext {
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf> {
        let group = self.progress.group(&Name::new(group).ok()?)?;
        let workdir = group.workdir_of(group.task(&Name::new(task).ok()?)?)?;
        // The run directory may have been moved since.
        let inside = Path::new(workdir.as_ref()).strip_prefix(self.progress.workdir()).ok()?;
        Some(self.run_dir.join(inside))
    }

    fn result(&self, group: &str, task: &str) -> Option<Dict> {
        let group = self.progress.group(&Name::new(group).ok()?)?;
        group.task(&Name::new(task).ok()?)?.result().cloned()
    }

    fn results(&self, group: &str) -> Dict {
        let group = Name::new(group).ok().and_then(|name| self.progress.group(&name));
        let tasks = group.into_iter().flat_map(|group| group.tasks());
        tasks.filter_map(|task| Some((task.id.as_str(), task.result()?.clone()))).collect()
    }
}
