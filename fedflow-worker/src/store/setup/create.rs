//! Makes a run directory safely.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::create_error::CreateRunDirError;
use crate::store::run_dir::{
    CHECKPOINTS, JOURNAL, OUTPUTS, PRIVATE, PrivateDir, REPORTS, RunDir, RunDirError, exists, failed,
    is_shared, refuse_existing, refuse_unfit, writable_by_others,
};

/// Makes a run directory, with the directories above it.
///
/// The directory may exist. If it is empty and writable by others, that is taken from them; if it is shared with them or not
/// empty and writable by others, it is refused. It may hold files of the user, but none with a name that Fedflow
/// writes there (`.fedflow`, `reports`, `report.html`, `results.json`, `results.csv`); use
/// [`RunDir::refuse_taken`] for the directories of tasks, and [`remove_earlier_run`](super::remove_earlier_run) for
/// an earlier run. Blocks on the disk.
///
/// # Errors
/// Says what is in the way.
pub fn create_run_dir(path: impl AsRef<Path>) -> Result<RunDir, CreateRunDirError> {
    let path = make_directory(path.as_ref())?;
    let state = path.join(PRIVATE);
    let holds_state = exists(&state)?;
    if !holds_state {
        for name in OUTPUTS.iter().chain(&[REPORTS]) {
            refuse_existing(path.join(name))?;
        }
    } else if !fs::symlink_metadata(&state).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(RunDirError::Taken(state).into());
    }
    let private = PrivateDir::create(&state).map_err(failed("use", &state))?;
    let run = RunDir::new(path, private);
    let journal = run.journal();
    // Without a journal, an earlier start got no further than this, and nothing is lost.
    if run.private().contains(JOURNAL).map_err(failed("look at", &journal))? {
        return Err(CreateRunDirError::EarlierRun(run.path().into()));
    }
    run.private().subdir(CHECKPOINTS).map_err(failed("make", &run.checkpoints()))?;
    let reports = run.reports();
    DirBuilder::new()
        .mode(0o755)
        .create(&reports)
        .or_else(|error| {
            let is_there = fs::symlink_metadata(&reports).is_ok_and(|metadata| metadata.is_dir());
            if is_there { Ok(()) } else { Err(error) }
        })
        .map_err(failed("make", &reports))?;
    for directory in [state.as_path(), run.path()] {
        sync_directory(directory).map_err(failed("sync", directory))?;
    }
    // The entry in the parent directory is not Fedflow's alone; some file systems cannot sync it.
    if let Some(parent) = run.path().parent() {
        let _ = sync_directory(parent);
    }
    Ok(run)
}

/// Makes the run directory if it does not exist. Returns its path without links.
fn make_directory(path: &Path) -> Result<PathBuf, RunDirError> {
    let path = std::path::absolute(path).map_err(failed("find", path))?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("make", parent))?;
    }
    let made = DirBuilder::new().mode(0o755).create(&path);
    let path = match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("make", &path)(error));
        }
        _ => path.canonicalize().map_err(failed("make", &path))?,
    };
    let metadata = fs::metadata(&path).map_err(failed("look at", &path))?;
    let tight = metadata.mode() & 0o7755;
    // An empty directory holds no files of other users, so the permission can be taken away.
    if metadata.is_dir() && writable_by_others(&metadata) && is_empty(&path)? && !is_shared(&metadata) {
        fs::set_permissions(&path, fs::Permissions::from_mode(tight)).map_err(failed("restrict", &path))?;
        return Ok(path);
    }
    refuse_unfit(&path, &metadata)?;
    Ok(path)
}

fn is_empty(path: &Path) -> Result<bool, RunDirError> {
    Ok(fs::read_dir(path).map_err(failed("look into", path))?.next().is_none())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::store::example_run as sample;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_directory_is_made_private() {
        let root = tempfile::tempdir().unwrap();
        let run = create_run_dir(root.path().join("a/b")).unwrap();
        assert_eq!(mode(run.path()) & 0o022, 0);
        assert_eq!(mode(&run.path().join(PRIVATE)), 0o700);
        assert_eq!(mode(&run.checkpoints()), 0o700);
        assert!(run.reports().is_dir());
        run.keep_flow("name = \"ü\"").unwrap();
        assert_eq!(mode(&run.flow()), 0o600);
        assert_eq!(run.kept_flow().unwrap(), "name = \"ü\"");
    }

    #[test]
    fn an_earlier_run_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        assert!(matches!(RunDir::open(run.path()), Err(RunDirError::NotARun(_))));
        create_run_dir(run.path()).expect("a start that got no further is no run");
        sample::write_run(&run, &sample::events());
        let error = create_run_dir(run.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("{} holds an earlier run", run.path().display()));
        assert_eq!(RunDir::open(run.path()).unwrap().journal(), run.journal());
    }

    #[test]
    fn foreign_files_stay_unless_they_are_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("notes.txt"), "mine").unwrap();
        let taken = root.path().join("results.json");
        fs::write(&taken, "mine").unwrap();
        let path = root.path().canonicalize().unwrap();
        let refused = create_run_dir(&path).unwrap_err();
        assert!(
            matches!(&refused, CreateRunDirError::Directory(RunDirError::Taken(path)) if path.ends_with("results.json")),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
        assert!(!path.join(PRIVATE).exists(), "a refusal leaves no trace");
        fs::remove_file(taken).unwrap();
        let run = create_run_dir(&path).unwrap();
        symlink("/nowhere", path.join("train")).unwrap();
        run.refuse_taken(["split/split"]).unwrap();
        run.refuse_taken(["notes.txt/below-a-file"]).unwrap();
        assert!(matches!(run.refuse_taken(["split", "train"]), Err(RunDirError::Taken(_))));
    }

    #[test]
    fn others_cannot_write_to_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("res");
        fs::create_dir(&path).unwrap();
        let open_up = || fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        open_up();
        create_run_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o755, "it was empty");
        open_up();
        assert!(matches!(RunDir::open(&path), Err(RunDirError::NotARun(_))), "there is nothing to protect");
        let refused = create_run_dir(&path).unwrap_err().to_string();
        assert!(refused.contains("777") && refused.contains("chmod go-w"), "{refused}");
        fs::write(path.join(PRIVATE).join(JOURNAL), "").unwrap();
        assert!(matches!(RunDir::open(&path), Err(RunDirError::WritableByOthers { .. })));
    }

    #[test]
    fn a_directory_that_is_everybodys_stays_so() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("tmp");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
        for content in [None, Some("file")] {
            content.iter().for_each(|name| fs::write(path.join(name), "").unwrap());
            let refused = create_run_dir(&path).unwrap_err().to_string();
            assert!(refused.contains("use a directory of your own, such as "), "{refused}");
            assert!(refused.ends_with("/tmp/res") && !refused.contains("chmod"), "{refused}");
            assert_eq!((mode(&path), path.join(PRIVATE).exists()), (0o1777, false));
        }
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            create_run_dir(&file),
            Err(CreateRunDirError::Directory(RunDirError::NotADirectory(_)))
        ));
        let run = root.path().join("run");
        fs::create_dir(&run).unwrap();
        symlink(root.path(), run.join(PRIVATE)).unwrap();
        assert!(matches!(create_run_dir(&run), Err(CreateRunDirError::Directory(RunDirError::Taken(_)))));
        assert!(matches!(RunDir::open(root.path().join("none")), Err(RunDirError::Io { .. })));
    }
}
