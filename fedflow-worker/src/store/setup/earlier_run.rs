//! Removes an earlier run, as `--fresh` asks: what Fedflow and the run's tasks made, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use fedflow_core::RunEvent;

use super::create_error::CreateRunDirError;
use super::leftovers::end_leftovers;
use super::salvage::salvage;
use crate::store::run_dir::{JOURNAL, LOCK, OUTPUTS, RunDir, RunDirError, RunLock, exists, failed};

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

/// Removes the run in a directory that is locked, to make room for another one whose tasks will have these directories.
///
/// Ends what is left of the run's processes and removes what its journal lists (the directories of its tasks and of their
/// earlier attempts), its reports, its results and the content of `.fedflow`, except the lock. A group's directory is removed
/// if nothing foreign is left in it. No link is followed. Blocks on the disk, and for a few seconds if processes do not end.
///
/// # Errors
/// Something is in the way of the other run that this one has not made, the journal is not understood, or processes do not
/// end. Nothing was removed then, unless the system failed in the middle of it.
pub fn remove_earlier_run(lock: &RunLock, reserved: &[PathBuf]) -> Result<(), CreateRunDirError> {
    let run = lock.run_dir();
    let mut made = Made { base: run.path().into(), ..Made::default() };
    let head = salvage(run, |event| made.add(event))?;
    made.refuse_foreign(run.path(), reserved)?;
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
    // Last, so that an interrupted removal can be repeated.
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

    /// Refuses paths that will not be free when all this is removed.
    fn refuse_foreign(&self, run: &Path, reserved: &[PathBuf]) -> Result<(), RunDirError> {
        for path in reserved {
            if exists(&run.join(path))? && !self.is_all_of(run, path)? {
                return Err(RunDirError::Taken(run.join(path)));
            }
        }
        Ok(())
    }

    /// Whether nothing of a path is left when all this is removed.
    fn is_all_of(&self, run: &Path, path: &Path) -> Result<bool, RunDirError> {
        if self.tasks.contains_key(path) || self.is_kept_attempt(path) {
            return Ok(true);
        }
        if !self.groups.contains(path) {
            return Ok(false);
        }
        let group = run.join(path);
        for entry in fs::read_dir(&group).map_err(failed("look into", &group))? {
            let inside = path.join(entry.map_err(failed("look into", &group))?.file_name());
            if !self.tasks.contains_key(&inside) && !self.is_kept_attempt(&inside) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an attempt was kept there that failed.
    fn is_kept_attempt(&self, path: &Path) -> bool {
        let parts = path.to_str().and_then(|path| path.rsplit_once(".attempt-"));
        let number = parts.and_then(|(task, number)| Some((task, number.parse::<u32>().ok()?)));
        number.is_some_and(|(task, number)| {
            self.tasks.get(Path::new(task)).is_some_and(|attempts| (1..=*attempts).contains(&number))
        })
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
    use crate::store::{JournalError, create_run_dir};

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "text").unwrap();
    }

    /// Removes the run in a directory, for another one whose tasks have these directories.
    fn remove_for(path: &Path, reserved: &[&str]) -> Result<(), CreateRunDirError> {
        let lock = RunLock::acquire(&RunDir::open(path).unwrap()).unwrap();
        remove_earlier_run(&lock, &reserved.iter().map(PathBuf::from).collect::<Vec<_>>())
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

        remove_for(&moved, &[]).unwrap();
        let expected = foreign.into_iter().chain([
            ".fedflow",
            ".fedflow/lock",
            "reports",
            "train",
            "train/client-1.attempt-9",
            "train/client-3",
        ]);
        assert_eq!(everything_below(&moved), expected.map(str::to_owned).collect());
        assert!(root.path().join("outside/precious").exists());
        create_run_dir(&moved).unwrap();
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
        remove_for(run.path(), &[]).unwrap();
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
        remove_for(run.path(), &[]).unwrap();
        assert!(!run.path().join("train").exists());
    }

    #[test]
    fn a_run_stays_if_something_foreign_is_in_the_way_of_the_next_one() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        for file in
            ["train/client-1/x", "train/client-1.attempt-1/x", "train/mine/x", "mine/x", "split/split/x"]
        {
            write(run.path().join(file));
        }
        let before = everything_below(run.path());
        for foreign in ["train/mine", "mine", "train", "train/client-1.attempt-9", "train/client-1/x"] {
            write(run.path().join("train/client-1.attempt-9/x"));
            let refused = remove_for(run.path(), &["train/client-1", foreign]);
            assert!(
                matches!(&refused, Err(CreateRunDirError::Directory(RunDirError::Taken(path))) if path.ends_with(foreign)),
                "{foreign}: {refused:?}"
            );
            remove_tree(&run.path().join("train/client-1.attempt-9")).unwrap();
        }
        assert_eq!(everything_below(run.path()), before);
        // Of this run's making, or not there.
        let reserved = ["train/client-1", "train/client-1.attempt-1", "split", "other/t"];
        remove_for(run.path(), &reserved).unwrap();
        RunDir::open(run.path()).unwrap_err();
        assert!(run.path().join("train/mine/x").exists());
    }

    #[test]
    fn a_run_that_is_not_understood_stays() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        let before = everything_below(run.path());
        fs::write(run.journal(), sample::newer_journal()).unwrap();
        let refused = remove_for(run.path(), &[]).unwrap_err();
        assert!(matches!(refused, CreateRunDirError::Journal(JournalError::Newer { version: 3, .. })));
        assert_eq!(everything_below(run.path()), before);
    }
}
