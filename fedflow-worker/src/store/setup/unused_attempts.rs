//! Removes what attempts have left that only waited when their run was stopped: they did not count.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::store::run_dir::RunDir;
use crate::store::run_state::RunState;

/// Removes the directories of tasks whose last attempt had only loaded and waited when the run was stopped. Their next one
/// has the same number, and finds no directory that would have to be put aside. What cannot be removed is put aside as
/// ever. Blocks on the disk.
pub fn remove_unused_attempts(run_dir: &RunDir, state: &RunState) {
    for (group, task) in state.tasks().filter(|(_, task)| task.has_only_waited()) {
        let recorded = group.workdir_of(task);
        let place = recorded.and_then(|workdir| place_of(run_dir.path(), state.workdir(), &workdir));
        // A link in the place of a directory is not followed.
        if let Some(place) =
            place.filter(|place| fs::symlink_metadata(place).is_ok_and(|found| found.is_dir()))
        {
            let _ = fs::remove_dir_all(place);
        }
    }
}

/// Where a recorded directory lies by now: the run directory may have been moved. `None` if it lay elsewhere.
fn place_of(run_dir: &Path, recorded_run_dir: &str, workdir: &str) -> Option<PathBuf> {
    let inside = Path::new(workdir).strip_prefix(recorded_run_dir).ok()?;
    let mut components = inside.components().peekable();
    let is_below = components.peek().is_some() && components.all(|part| matches!(part, Component::Normal(_)));
    is_below.then(|| run_dir.join(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_the_run_directory_is_found() {
        let place = |workdir| place_of(Path::new("/moved"), "/res", workdir);
        assert_eq!(place("/res/g/t"), Some(PathBuf::from("/moved/g/t")));
        for elsewhere in ["/res", "/res/", "/home/g/t", "/res/../home", ""] {
            assert_eq!(place(elsewhere), None, "{elsewhere}");
        }
    }
}
