//! Makes a task's directory and logs for an attempt, and moves what an earlier attempt left there out of the way.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;

use fedflow_core::{Assignment, FailureKind};
use tracing::debug;

use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::setup::context::HostContext;

/// Makes a task's directories, empty for this attempt, and its log files. Blocks on the file system.
pub(crate) fn make_task_logs(context: &HostContext, assignment: &Assignment) -> io::Result<Logs> {
    make_workdir(context, assignment)?;
    make_logs(context, assignment)
}

/// Makes a task's directories, empty for this attempt. Blocks on the file system.
pub(crate) fn make_workdir(context: &HostContext, assignment: &Assignment) -> io::Result<()> {
    let earlier = if context.options.keep_failed_attempts { Earlier::Keep } else { Earlier::Remove };
    match prepare(&assignment.workdir, assignment.attempt, earlier)? {
        Some(Aside::Kept(path)) => debug!("what lay in its directory is kept as {}", path.display()),
        Some(Aside::Removed) => debug!("what lay in its directory is removed"),
        None => {}
    }
    fs::create_dir_all(&assignment.checkpoint_dir)
}

/// Makes a task's log files in its directory.
pub(crate) fn make_logs(context: &HostContext, assignment: &Assignment) -> io::Result<Logs> {
    let logs = Logs::create(&assignment.workdir, context.options.log_limit)?;
    logs.keep_small(&context.log_keeper);
    Ok(logs)
}

/// The failure of a task whose directory cannot be made.
pub(crate) fn no_directory(assignment: &Assignment, error: &io::Error) -> Cause {
    Cause::new(FailureKind::Spawn, format!("cannot make {}: {error}", assignment.workdir.display()))
}

/// What becomes of the directory of an earlier attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Earlier {
    /// It is kept beside the new one as `ID.attempt-K`.
    Keep,
    /// It is removed.
    Remove,
}

/// What became of an earlier directory.
#[derive(Debug, PartialEq, Eq)]
enum Aside {
    /// It is kept here.
    Kept(PathBuf),
    /// It is removed, in the background.
    Removed,
}

/// Makes an empty directory for an attempt; returns what became of an earlier one that was not empty. Blocks on the
/// file system.
fn prepare(workdir: &Path, attempt: u32, earlier: Earlier) -> io::Result<Option<Aside>> {
    // Whatever the umask is, other users must not write here.
    let mut builder = DirBuilder::new();
    builder.mode(0o755);
    let made = match (builder.create(workdir), workdir.parent()) {
        // The first task of its group.
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            builder.recursive(true).create(parent)?;
            builder.recursive(false).create(workdir)
        }
        (made, _) => made,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(|()| None),
    }
    // A worker may have put a link or a file in the place of its directory: it is not followed, only moved away.
    let is_directory = fs::symlink_metadata(workdir)?.is_dir();
    if is_directory && fs::read_dir(workdir)?.next().is_none() {
        return Ok(None);
    }
    let aside = free_name(workdir, attempt)?;
    fs::rename(workdir, &aside)?;
    // Before the first attempt it is from one that a crash kept from being recorded, or the user's own: never
    // removed.
    let told = if (earlier == Earlier::Remove && attempt > 1) || !is_directory {
        remove(aside);
        Aside::Removed
    } else {
        Aside::Kept(aside)
    };
    builder.create(workdir)?;
    Ok(Some(told))
}

/// The name under which the attempt before this one is kept.
fn free_name(workdir: &Path, attempt: u32) -> io::Result<PathBuf> {
    let name = workdir.file_name().unwrap_or_default();
    for number in attempt.saturating_sub(1).max(1).. {
        let mut kept = name.to_owned();
        kept.push(format!(".attempt-{number}"));
        let path = workdir.with_file_name(kept);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes a directory in the background: a large one takes long.
fn remove(path: PathBuf) {
    let work = move || {
        // What cannot be removed stays; it has a name of its own and disturbs no task.
        let _ = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
    };
    let _ = thread::Builder::new().name("fedflow-remove".into()).spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_attempt_is_kept_beside() {
        let root = tempfile::tempdir().unwrap();
        let workdir = root.path().join("group/client-3");
        prepare(&workdir, 1, Earlier::Keep).unwrap();
        prepare(&workdir, 1, Earlier::Keep).unwrap();
        assert!(!root.path().join("group/client-3.attempt-1").exists(), "an empty one is used");
        for attempt in 2..=3 {
            fs::write(workdir.join("model"), format!("of {}", attempt - 1)).unwrap();
            prepare(&workdir, attempt, Earlier::Keep).unwrap();
            assert_eq!(fs::read_dir(&workdir).unwrap().count(), 0);
        }
        let kept =
            |number| fs::read(root.path().join(format!("group/client-3.attempt-{number}/model"))).unwrap();
        assert_eq!((kept(1), kept(2)), (b"of 1".to_vec(), b"of 2".to_vec()));
    }

    #[test]
    fn what_was_there_before_the_first_attempt_is_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let workdir = root.path().join("task");
        fs::create_dir(&workdir).unwrap();
        fs::write(workdir.join("mine"), "x").unwrap();
        prepare(&workdir, 1, Earlier::Remove).unwrap();
        assert!(root.path().join("task.attempt-1/mine").exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("precious"), "x").unwrap();
        let workdir = root.path().join("task");
        std::os::unix::fs::symlink(&elsewhere, &workdir).unwrap();
        prepare(&workdir, 2, Earlier::Remove).unwrap();
        assert!(fs::symlink_metadata(&workdir).unwrap().is_dir());
        assert!(elsewhere.join("precious").exists());
    }

    #[test]
    fn what_cannot_be_made_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        assert!(prepare(&root.path().join("file/task"), 1, Earlier::Keep).is_err());
    }
}
