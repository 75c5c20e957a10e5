//! Which attempts left processes running.

use fedflow_core::LeftRunning;

use crate::report::GroupReport;

/// A sentence about each attempt that left processes running.
pub(crate) fn left_running(groups: &[GroupReport]) -> impl Iterator<Item = String> {
    let tasks = groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task)));
    tasks.flat_map(|(group, task)| {
        let sentence = move |left: &LeftRunning| format!("{} / {} left {left}.", group.name, task.id);
        task.all_attempts.iter().filter_map(move |attempt| attempt.left_running.as_deref().map(sentence))
    })
}
