//! `RecordedContext`: what templates are answered from the journal alone, before any group runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{Dict, GroupProgress, Name, RunProgress};

use crate::flow::{FlowContext, FlowGroup};

/// Answers templates from what is recorded, as they will be answered when their group starts: of the groups before it in
/// the flow.
pub(super) struct RecordedContext {
    flow: Arc<RecordedFlow>,
    /// The place in the flow of the group that asks.
    place: usize,
}

/// A flow beside what is recorded of its run.
struct RecordedFlow {
    run_dir: PathBuf,
    progress: Arc<RunProgress>,
    places: HashMap<Name, usize>,
}

impl RecordedContext {
    /// The context of the first group of a flow, which knows of none.
    pub(super) fn of(run_dir: &Path, progress: &Arc<RunProgress>, groups: &[Arc<FlowGroup>]) -> Self {
        let places = groups.iter().enumerate().map(|(place, group)| (group.name.clone(), place)).collect();
        let flow = RecordedFlow { run_dir: run_dir.into(), progress: Arc::clone(progress), places };
        Self { flow: Arc::new(flow), place: 0 }
    }

    /// The context of the group at a place of the flow.
    pub(super) fn at(&self, place: usize) -> Arc<Self> {
        Arc::new(Self { flow: Arc::clone(&self.flow), place })
    }

    fn group(&self, name: &str) -> Option<&GroupProgress> {
        let name = Name::new(name).ok()?;
        let is_before = self.flow.places.get(&name).is_some_and(|place| *place < self.place);
        self.flow.progress.group(&name).filter(|_| is_before)
    }
}

impl FlowContext for RecordedContext {
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf> {
        let group = self.group(group)?;
        let workdir = group.workdir_of(group.task(&Name::new(task).ok()?)?)?;
        // The run directory may have been moved since.
        let RecordedFlow { run_dir, progress, .. } = self.flow.as_ref();
        let inside = Path::new(workdir.as_ref()).strip_prefix(progress.workdir()).ok()?;
        Some(run_dir.join(inside))
    }

    fn result(&self, group: &str, task: &str) -> Option<Dict> {
        self.group(group)?.task(&Name::new(task).ok()?)?.result().cloned()
    }

    fn results(&self, group: &str) -> Dict {
        let tasks = self.group(group).into_iter().flat_map(|group| group.tasks());
        tasks.filter_map(|task| Some((task.id.as_str(), task.result()?.clone()))).collect()
    }
}
