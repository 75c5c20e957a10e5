//! Removes an earlier run for `--fresh`: what Fedflow and the run's tasks made, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use fedflow_core::RunEvent;

use super::create_error::CreateRunDirError;
use super::leftovers::end_leftovers;
use super::salvage::salvage;
use crate::store::run_dir::{JOURNAL, LOCK, OUTPUTS, RunDir, RunDirError, RunLock, failed};

/// How long the processes of the earlier run have to end by themselves.
const GRACE: Duration = Duration::from_secs(2);
/// What a group's report may end with.
const REPORT_ENDINGS: [&str; 5] = ["html", "json", "csv", "md", "xml"];

/// What an earlier run made, by its journal.
#[derive(Default)]
struct Made {
    /// The directory of each task, relative to the run directory, and how many attempts it had.
    tasks: BTreeMap<PathBuf, u32>,
    groups: BTreeSet<PathBuf>,
    group_names: BTreeSet<String>,
    /// Where the run directory was when the records that follow were written.
    base: PathBuf,
}

/// Removes the run whose journal is in the directory. The journal goes last, so that an interrupted removal can be repeated.
pub(super) fn remove(run: &RunDir) -> Result<(), CreateRunDirError> {
    let _lock = RunLock::acquire(run)?;
    let mut made = Made { base: run.path().into(), ..Made::default() };
    let head = salvage(run, |event| made.add(event))?;
    if let Some(head) = head {
        let left = end_leftovers(&head.run_token, GRACE).map_err(failed("search", Path::new("/proc")))?;
        if !left.is_empty() {
            return Err(CreateRunDirError::StillRunning(left));
        }
    }
    for (workdir, attempts) in &made.tasks {
        remove_task(run.path(), workdir, *attempts)?;
    }
    for group in &made.groups {
        remove_if_empty(&run.path().join(group))?;
    }
    remove_reports(run, &made.group_names)?;
    for output in OUTPUTS {
        remove_file(&run.path().join(output))?;
    }
    let state = run.private().path();
    for entry in fs::read_dir(state).map_err(failed("look into", state))? {
        let entry = entry.map_err(failed("look into", state))?;
        if entry.file_name() != LOCK && entry.file_name() != JOURNAL {
            remove_tree(&entry.path())?;
        }
    }
    run.private().sync().map_err(failed("sync", state))?;
    remove_file(&run.journal())?;
    Ok(())
}

impl Made {
    fn add(&mut self, event: RunEvent) {
        match event {
            RunEvent::RunStarted { workdir, .. } => self.base = workdir.into(),
            RunEvent::GroupStarted { group, workdir, .. } => {
                self.groups.extend(self.relative(&workdir));
                self.group_names.insert(group.as_str().to_owned());
            }
            RunEvent::TaskStarted { workdir, attempt, .. } => {
                if let Some(path) = self.relative(&workdir) {
                    let attempts = self.tasks.entry(path).or_default();
                    *attempts = attempt.max(*attempts);
                }
            }
            _ => {}
        }
    }

    /// A recorded directory relative to the run directory, which may have been moved since; `None` if it is not
    /// one or two names below it.
    fn relative(&self, workdir: &str) -> Option<PathBuf> {
        let path = Path::new(workdir).strip_prefix(&self.base).ok()?;
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        (plain && matches!(path.components().count(), 1 | 2)).then(|| path.into())
    }
}

/// Removes a task's directory and those in which its failed attempts were kept.
fn remove_task(run: &Path, workdir: &Path, attempts: u32) -> Result<(), RunDirError> {
    if let Some(group) = workdir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // A task may have replaced its group's directory by a link: its target is not the run's.
        if !fs::symlink_metadata(run.join(group)).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(());
        }
    }
    let path = run.join(workdir);
    remove_tree(&path)?;
    (1..=attempts).try_for_each(|attempt| {
        let mut kept = path.clone().into_os_string();
        kept.push(format!(".attempt-{attempt}"));
        remove_tree(Path::new(&kept))
    })
}

fn remove_reports(run: &RunDir, groups: &BTreeSet<String>) -> Result<(), RunDirError> {
    let reports = run.reports();
    if !fs::symlink_metadata(&reports).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    for group in groups {
        for ending in REPORT_ENDINGS {
            remove_file(&reports.join(format!("{group}.{ending}")))?;
        }
    }
    remove_if_empty(&reports)
}

/// Removes a directory and its content, a file, or a link, but never the target of a link.
fn remove_tree(path: &Path) -> Result<(), RunDirError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).or_else(missing_is_fine),
        Ok(_) => fs::remove_file(path).or_else(missing_is_fine),
        Err(error) => missing_is_fine(error),
    }
    .map_err(failed("remove", path))
}

fn remove_file(path: &Path) -> Result<(), RunDirError> {
    match fs::remove_file(path) {
        // A directory of this name is not Fedflow's.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(()),
        removed => removed.or_else(missing_is_fine).map_err(failed("remove", path)),
    }
}

fn remove_if_empty(path: &Path) -> Result<(), RunDirError> {
    match fs::remove_dir(path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) =>
        {
            Ok(())
        }
        removed => removed.or_else(missing_is_fine).map_err(failed("remove", path)),
    }
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::store::example_run as sample;
    use crate::store::{Existing, JournalError, LockError, create_run_dir};

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "text").unwrap();
    }

    fn everything_below(path: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![path.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                found.insert(entry.path().strip_prefix(path).unwrap().to_str().unwrap().to_owned());
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
            }
        }
        found
    }

    #[test]
    fn foreign_files_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(&root.path().join("res"));
        sample::write_run(&run, &sample::events());
        for made in [
            "train/client-1/stdout.log",
            "train/client-1.attempt-1/stdout.log",
            "train/client-2/deep/model.bin",
            "split/split/part",
            "reports/train.html",
            "report.html",
            "results.json",
            "results.csv",
            ".fedflow/checkpoints/train/client-1/state",
            ".fedflow/results/3.json",
        ] {
            write(run.path().join(made));
        }
        let foreign = [
            "notes.txt",
            "train/notes.txt",
            "train/client-3/mine",
            "train/client-1.attempt-9/mine",
            "reports/other.html",
        ];
        for file in foreign {
            write(run.path().join(file));
        }
        write(root.path().join("outside/precious"));
        symlink(root.path().join("outside"), run.path().join("train/client-2/link")).unwrap();
        // The journal may have been written where the directory was before.
        let moved = root.path().join("moved");
        fs::rename(run.path(), &moved).unwrap();

        create_run_dir(&moved, Existing::Fresh).unwrap();
        let expected = foreign.into_iter().chain([
            ".fedflow",
            ".fedflow/checkpoints",
            ".fedflow/lock",
            "reports",
            "train",
            "train/client-1.attempt-9",
            "train/client-3",
        ]);
        assert_eq!(everything_below(&moved), expected.map(str::to_owned).collect());
        assert!(root.path().join("outside/precious").exists());
        create_run_dir(&moved, Existing::Refuse).unwrap();
    }

    #[test]
    fn links_in_place_of_directories_lead_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(&root.path().join("res"));
        sample::write_run(&run, &sample::events());
        let outside = root.path().join("outside");
        write(outside.join("client-1/precious"));
        symlink(&outside, run.path().join("train")).unwrap();
        fs::create_dir(run.path().join("split")).unwrap();
        symlink(outside.join("client-1"), run.path().join("split/split")).unwrap();
        create_run_dir(run.path(), Existing::Fresh).unwrap();
        assert!(outside.join("client-1/precious").exists());
        assert!(!run.path().join("split").exists());
    }

    #[test]
    fn a_damaged_journal_can_be_given_up() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        write(run.path().join("train/client-1/stdout.log"));
        sample::edit_journal(&run, |bytes| bytes[200] ^= 1);
        create_run_dir(run.path(), Existing::Fresh).unwrap();
        assert!(!run.path().join("train").exists());
    }

    #[test]
    fn a_run_that_goes_on_or_is_not_understood_stays() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        let before = everything_below(run.path());
        let lock = RunLock::acquire(&run).unwrap();
        let refused = create_run_dir(run.path(), Existing::Fresh).unwrap_err();
        assert!(matches!(refused, CreateRunDirError::Locked(LockError::Held { .. })));
        drop(lock);
        fs::write(run.journal(), sample::newer_journal()).unwrap();
        let refused = create_run_dir(run.path(), Existing::Fresh).unwrap_err();
        assert!(matches!(refused, CreateRunDirError::Journal(JournalError::Newer { version: 3, .. })));
        assert_eq!(everything_below(run.path()), before);
    }
}
