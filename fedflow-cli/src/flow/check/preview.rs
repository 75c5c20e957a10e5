//! The groups of a flow as they will be run, as far as that is known before.

use std::path::Path;
use std::sync::Arc;

use fedflow_core::{GroupError, TaskGroup};

use super::super::file::Flow;
use super::super::templates::Answers;
use super::known_tasks::{KnownTasks, StaticAnswers, View};

/// The groups, each with at most the first `most` tasks. Commands and parameters are rendered, with the directories that
/// tasks will have in `run_dir`, by group or not; what uses results stands in commands as it is written.
///
/// # Errors
/// Never for a flow that came from a flow file, as its names are unique.
pub fn preview(
    flow: &Flow,
    run_dir: &Path,
    grouping: bool,
    most: usize,
) -> Result<Vec<TaskGroup>, GroupError> {
    let known = Arc::new(KnownTasks::of(&flow.groups));
    let run_dir: Arc<Path> = run_dir.into();
    let previews = flow.groups.iter().map(|group| {
        let answers: Arc<dyn Answers> = Arc::new(StaticAnswers {
            known: Arc::clone(&known),
            group: group.index,
            view: View::Start,
            run_dir: Arc::clone(&run_dir),
            grouping,
        });
        group.of_first(most, |task| group.preview(task, &answers))
    });
    previews.collect()
}
