//! Makes a run directory safely, or opens one.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::earlier_run;
use super::run_dir_error::{RunDirError, failed};
use crate::store::run_dir::{CHECKPOINTS, FLOW, JOURNAL, OUTPUTS, PRIVATE, PrivateDir, REPORTS, RunDir};

/// What happens to an earlier run in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Refuse,
    /// It is removed: what Fedflow and the run's tasks made, and nothing else.
    Fresh,
}

impl RunDir {
    /// Makes a run directory, with the directories above it.
    ///
    /// The directory may exist. If it is empty and writable by others, that is taken from them; if it is not
    /// empty and writable by others, it is refused. Without an earlier run in it, it may hold files of the user,
    /// but none with a name that Fedflow writes there (`.fedflow`, `reports`, `report.html`, `results.json`,
    /// `results.csv`); use [`Self::refuse_taken`] for the directories of tasks.
    ///
    /// [`Existing::Fresh`] ends what is left of an earlier run's processes and removes what the run's journal
    /// lists (the directories of its tasks and of their earlier attempts), its reports, its results and the
    /// content of `.fedflow`, except the lock. A group's directory is removed if nothing foreign is left in it.
    /// No link is followed. Blocks on the disk, and for a few seconds if processes do not end.
    ///
    /// # Errors
    /// Says what is in the way. Nothing was removed, unless the system failed in the middle of it.
    pub fn create(path: impl AsRef<Path>, existing: Existing) -> Result<Self, RunDirError> {
        let path = make_directory(path.as_ref())?;
        let state = path.join(PRIVATE);
        let holds_state = exists(&state)?;
        if !holds_state {
            for name in OUTPUTS.iter().chain(&[REPORTS]) {
                refuse_existing(path.join(name))?;
            }
        } else if !fs::symlink_metadata(&state).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(RunDirError::Taken(state));
        }
        let private = PrivateDir::create(&state).map_err(failed("use", &state))?;
        let run = Self::new(path, private);
        let journal = run.journal();
        // Without a journal an earlier start got no further than this; nothing is lost by going on.
        if run.private().contains(JOURNAL).map_err(failed("look at", &journal))? {
            match existing {
                Existing::Refuse => return Err(RunDirError::EarlierRun(run.path().into())),
                Existing::Fresh => earlier_run::remove(&run)?,
            }
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

    /// Opens the directory of a run that was begun earlier, to resume it or to look at it.
    ///
    /// # Errors
    /// It holds no run, others can write to it, or it belongs to somebody else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RunDirError> {
        let path = path.as_ref();
        let path = path.canonicalize().map_err(failed("open", path))?;
        let metadata = fs::metadata(&path).map_err(failed("open", &path))?;
        refuse_unfit(&path, &metadata)?;
        let state = path.join(PRIVATE);
        if !exists(&state.join(JOURNAL))? {
            return Err(RunDirError::NotARun(path));
        }
        let private = PrivateDir::open(&state).map_err(failed("open", &state))?;
        Ok(Self::new(path, private))
    }

    /// Refuses paths that are to be made in this directory and exist already, such as the directories of tasks
    /// that never ran. A link counts, wherever it points.
    ///
    /// # Errors
    /// Names the first one that exists.
    pub fn refuse_taken<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<(), RunDirError> {
        paths.into_iter().try_for_each(|path| refuse_existing(self.path().join(path)))
    }

    /// Keeps the text of the flow as it is run in `.fedflow/flow.toml`. Blocks until it is durable.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_flow(&self, text: &str) -> Result<(), RunDirError> {
        self.private().write_durably(FLOW, text.as_bytes()).map_err(failed("write", &self.flow()))?;
        Ok(())
    }

    /// The text of the flow as it was run.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept_flow(&self) -> Result<String, RunDirError> {
        let path = self.flow();
        let file = self.private().read(FLOW).map_err(failed("read", &path))?;
        io::read_to_string(file).map_err(failed("read", &path))
    }
}

/// Makes the run directory if it is not there, and says where it really is.
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
    // An empty directory holds nobody's files, so nobody misses the permission. `/tmp` is never empty.
    if metadata.is_dir() && writable_by_others(&metadata) && is_empty(&path)? && is_own(&metadata) {
        fs::set_permissions(&path, fs::Permissions::from_mode(tight)).map_err(failed("restrict", &path))?;
        return Ok(path);
    }
    refuse_unfit(&path, &metadata)?;
    Ok(path)
}

fn refuse_unfit(path: &Path, metadata: &Metadata) -> Result<(), RunDirError> {
    if !metadata.is_dir() {
        return Err(RunDirError::NotADirectory(path.into()));
    }
    if path.to_str().is_none() {
        return Err(RunDirError::NotUtf8(path.into()));
    }
    if writable_by_others(metadata) {
        return Err(RunDirError::WritableByOthers { path: path.into(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

fn writable_by_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 != 0
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

fn is_empty(path: &Path) -> Result<bool, RunDirError> {
    Ok(fs::read_dir(path).map_err(failed("look into", path))?.next().is_none())
}

fn refuse_existing(path: PathBuf) -> Result<(), RunDirError> {
    if exists(&path)? { Err(RunDirError::Taken(path)) } else { Ok(()) }
}

/// Whether there is anything of this name, a broken link included.
fn exists(path: &Path) -> Result<bool, RunDirError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(failed("look at", path)(error)),
    }
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
        let run = RunDir::create(root.path().join("a/b"), Existing::Refuse).unwrap();
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
        RunDir::create(run.path(), Existing::Refuse).expect("a start that got no further is no run");
        sample::write_run(&run, &sample::events());
        let error = RunDir::create(run.path(), Existing::Refuse).unwrap_err();
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
        let refused = RunDir::create(&path, Existing::Fresh).unwrap_err();
        assert!(matches!(&refused, RunDirError::Taken(path) if path.ends_with("results.json")), "{refused}");
        assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
        assert!(!path.join(PRIVATE).exists(), "a refusal leaves no trace");
        fs::remove_file(taken).unwrap();
        let run = RunDir::create(&path, Existing::Refuse).unwrap();
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
        RunDir::create(&path, Existing::Refuse).unwrap();
        assert_eq!(mode(&path), 0o755, "it was empty");
        open_up();
        let refused = RunDir::create(&path, Existing::Refuse).unwrap_err().to_string();
        assert!(refused.contains("777") && refused.contains("chmod go-w"), "{refused}");
        fs::write(path.join(PRIVATE).join(JOURNAL), "").unwrap();
        assert!(matches!(RunDir::open(&path), Err(RunDirError::WritableByOthers { .. })));
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(RunDir::create(&file, Existing::Refuse), Err(RunDirError::NotADirectory(_))));
        let run = root.path().join("run");
        fs::create_dir(&run).unwrap();
        symlink(root.path(), run.join(PRIVATE)).unwrap();
        assert!(matches!(RunDir::create(&run, Existing::Refuse), Err(RunDirError::Taken(_))));
        assert!(matches!(RunDir::open(root.path().join("none")), Err(RunDirError::Io { .. })));
    }
}
